/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - see fields.h. The names come from clients: they enter a header, a log line and a
 * message only as letters, digits and a few signs. */
#include "api/fields.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define FIELDS_ROUTES  256
#define FIELDS_NAME    40 /* letters of a name that are looked at and told */
#define FIELDS_IGNORED 16 /* names in a header; the rest is only counted */
#define FIELDS_LEAST   3  /* letters of a name that can be misspelled */
#define FIELDS_SHORT   4  /* letters of a name in which two wrong ones make another word */
#define FIELDS_PREFIX  "/v1/agents"

static const struct api_fields *fields_of_route[FIELDS_ROUTES];

/* "/sandboxes/:id" is "/sandboxes/{id}". */
static bool fields_same_path(const char *pattern, const char *path)
{
    while (*pattern != '\0' && *path != '\0') {
        if (*pattern == ':' && *path == '{') {
            pattern += strcspn(pattern, "/");
            path += strcspn(path, "/");
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *pattern == *path;
}

static bool fields_describe(const struct api_fields *f, const struct api_route *route)
{
    size_t prefix = (route->flags & API_AGENTS) != 0 ? strlen(FIELDS_PREFIX) : 0;
    return f->method == route->method && strncmp(f->path, FIELDS_PREFIX, prefix) == 0 &&
           fields_same_path(route->pattern, f->path + prefix);
}

void api_fields_init(void)
{
    for (size_t r = 0; r < MIN(api_route_count, (size_t)FIELDS_ROUTES); r++) {
        for (size_t i = 0; i < api_fields_count; i++) {
            if (fields_describe(&api_fields[i], &api_routes[r]))
                fields_of_route[r] = &api_fields[i];
        }
    }
}

/* What the call's route knows. NULL: nothing is documented, or another client's words are spoken.
 */
static const struct api_fields *fields_of_call(const struct api_call *call)
{
    if (call->surface != NULL || (call->route->flags & API_PUBLIC) != 0 ||
        call->route < api_routes ||
        call->route >= api_routes + MIN(api_route_count, (size_t)FIELDS_ROUTES))
        return NULL;
    return fields_of_route[call->route - api_routes];
}

bool api_fields_near(const char *a, size_t len, const char *b)
{
    unsigned int d[3][FIELDS_NAME + 1];
    size_t other = strlen(b);
    unsigned int most = MIN(len, other) <= FIELDS_SHORT ? 1 : 2;
    if (MIN(len, other) < FIELDS_LEAST || MAX(len, other) > FIELDS_NAME)
        return false;
    for (unsigned int j = 0; j <= other; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= len; i++) {
        unsigned int *row = d[i % 3], *above = d[(i - 1) % 3], *two_above = d[(i + 1) % 3];
        row[0] = (unsigned int)i;
        for (size_t j = 1; j <= other; j++) {
            unsigned int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = MIN(best, MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, two_above[j - 2] + 1);
            row[j] = best;
        }
    }
    return d[len % 3][other] <= most;
}

static bool fields_is(const char *known, struct http_str name)
{
    return strlen(known) == name.len && memcmp(known, name.data, name.len) == 0;
}

static bool fields_has(const char *const *list, struct http_str name)
{
    while (*list != NULL && !fields_is(*list, name))
        list++;
    return *list != NULL;
}

static const char *fields_meant(const char *const *list, struct http_str name)
{
    while (*list != NULL && !api_fields_near(name.data, name.len, *list))
        list++;
    return *list;
}

/* Another route that knows the name. */
static const struct api_fields *fields_elsewhere(struct http_str name)
{
    for (size_t i = 0; i < api_fields_count; i++) {
        if (fields_has(api_fields[i].body, name) || fields_has(api_fields[i].query, name))
            return &api_fields[i];
    }
    return NULL;
}

static const char *fields_printable(struct http_str name, char ret[FIELDS_NAME + 1])
{
    size_t len = MIN(name.len, (size_t)FIELDS_NAME);
    for (size_t i = 0; i < len; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '.';
        ret[i] = plain ? c : '?';
    }
    ret[len] = '\0';
    return ret;
}

/* A check under way: of a body, or of a query. */
struct fields_check {
    struct api_call *call;
    const struct api_fields *fields;
    bool query;
    unsigned int count;
    struct buf ignored; /* names, separated by commas */
};

/* Refuses the name or adds it to those that are ignored. */
static int fields_judge(struct fields_check *c, struct http_str name, struct error *err)
{
    char text[FIELDS_NAME + 1];
    const char *const *here = c->query ? c->fields->query : c->fields->body;
    const char *const *other = c->query ? c->fields->body : c->fields->query;
    const char *what = c->query ? "Query parameter" : "Field";
    if (name.len == 0 || fields_has(here, name))
        return 0;
    (void)fields_printable(name, text);
    if (fields_has(other, name))
        return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is a %s of this route and not a %s",
                         text, c->query ? "field of the body" : "parameter of the query",
                         c->query ? "parameter of its query" : "field of its body");
    const char *meant = fields_meant(here, name);
    if (meant != NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "%s '%s' is not known; is '%s' what you mean?", what, text, meant);
    const struct api_fields *elsewhere = fields_elsewhere(name);
    if (elsewhere != NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "%s '%s' is not known to this route; %s %s knows '%s'", what, text,
                         http_method_str(elsewhere->method), elsewhere->path, text);
    if (c->call->api->config->unknown_fields == CONFIG_UNKNOWN_REJECT)
        return error_set(err, ERROR_INVALID_ARGUMENT, "%s '%s' is not known", what, text);
    if (c->count++ < FIELDS_IGNORED)
        (void)buf_printf(&c->ignored, "%s%s", c->ignored.len > 0 ? ", " : "", text);
    return 0;
}

/* Tells the client and the operator. */
static void fields_tell(struct fields_check *c)
{
    const char *names = c->ignored.len > 0 ? buf_cstr(&c->ignored) : NULL;
    if (names == NULL)
        return;
    (void)http_add_header(c->call->req, "X-Corral-Ignored", names);
    log_info("fields ignored", "route=%s key=%s in=%s names=\"%s\" count=%u",
             c->call->route->pattern, c->call->principal.key_id, c->query ? "query" : "body", names,
             c->count);
}

int api_fields_check_query(struct api_call *call, struct error *err)
{
    struct fields_check c = {.call = call, .fields = fields_of_call(call), .query = true};
    struct http_str rest = call->req->query, name, value;
    int rv = 0;
    while (rv == 0 && c.fields != NULL && http_query_next(&rest, &name, &value))
        rv = fields_judge(&c, name, err);
    if (rv == 0)
        fields_tell(&c);
    buf_done(&c.ignored);
    return rv;
}

int api_fields_check_body(struct api_call *call, struct error *err)
{
    struct fields_check c = {.call = call, .fields = fields_of_call(call)};
    const json *item = NULL;
    int rv = 0;
    if (c.fields == NULL || (call->route->flags & API_STRICT) != 0)
        return 0;
    cJSON_ArrayForEach(item, call->body)
    {
        /* Clients that print every field they have say null for those that are not set. */
        if (rv == 0 && item->string != NULL && !cJSON_IsNull(item))
            rv = fields_judge(&c, (struct http_str){item->string, strlen(item->string)}, err);
    }
    if (rv == 0)
        fields_tell(&c);
    buf_done(&c.ignored);
    return rv;
}
