/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/transform.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

static const char *const transform_reserved[] = {
    "connection",        "content-length",   "expect", "host",    "http2-settings",
    "keep-alive",        "proxy-connection", "te",     "trailer", "upgrade",
    "transfer-encoding",
};

bool transform_is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool word = isalnum((unsigned char)text[i]) != 0;
        if (text[i] == '\0' || (!word && strchr("!#$%&'*+-.^_`|~", text[i]) == NULL))
            return false;
    }
    return len > 0;
}

bool transform_is_reserved(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(transform_reserved); i++)
        if (strlen(transform_reserved[i]) == len &&
            strncasecmp(transform_reserved[i], name, len) == 0)
            return true;
    return false;
}

static int transform_bad(struct error *err, const char *host, const char *reason)
{
    char quoted[96];
    return error_set(err, ERROR_INVALID_ARGUMENT, "the transform of %s %s",
                     log_quote(quoted, sizeof(quoted), host), reason);
}

static size_t transform_length(const char *const *list)
{
    size_t n = 0;
    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

static const char **transform_copy(const char *const *list, struct arena *arena)
{
    size_t n = transform_length(list);
    const char **copy = arena_alloc(arena, (n + 1) * sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = arena_strndup(arena, list[i], strlen(list[i]));
        if (copy[i] == NULL)
            return NULL;
    }
    return copy;
}

static bool transform_is_value(const char *value)
{
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++)
        if ((*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return strlen(value) <= TRANSFORM_MAX_VALUE;
}

static int transform_read_fields(struct transform *t, const struct transform_text *text,
                                 struct arena *arena, struct error *err)
{
    size_t n = transform_length(text->headers);
    if (n % 2 != 0 || n / 2 > TRANSFORM_MAX_FIELDS)
        return transform_bad(err, text->host, "has too many header fields, or one without a value");
    t->fields = arena_alloc(arena, (n / 2 + 1) * sizeof(*t->fields));
    if (t->fields == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i += 2) {
        const char *name = text->headers[i], *value = text->headers[i + 1];
        if (!transform_is_token(name, strlen(name)) || transform_is_reserved(name, strlen(name)))
            return transform_bad(err, text->host, "sets a header field that cannot be set");
        if (!transform_is_value(value))
            return transform_bad(err, text->host,
                                 "has a value that is too long or holds control characters");
        struct transform_field *f = &t->fields[t->n_fields];
        f->name = arena_strndup(arena, name, strlen(name));
        f->value = arena_strndup(arena, value, strlen(value));
        if (f->value != NULL)
            t->n_fields++;
        if (f->name == NULL || f->value == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int transform_read(struct transform *t, const struct transform_text *text,
                          struct arena *arena, struct error *err)
{
    int rv = rule_read(text->host, arena, &t->host, err);
    if (rv < 0)
        return rv;
    if (t->host.kind != RULE_NAME && t->host.kind != RULE_BELOW)
        return transform_bad(err, text->host, "is not for a host name");
    t->methods = transform_copy(text->methods, arena);
    t->paths = transform_copy(text->paths, arena);
    if (t->methods == NULL || t->paths == NULL)
        return -ENOMEM;
    for (const char **m = t->methods; *m != NULL; m++)
        if (!transform_is_token(*m, strlen(*m)))
            return transform_bad(err, text->host, "has a method that is none");
    for (const char **p = t->paths; *p != NULL; p++)
        if ((*p)[0] != '/' && (*p)[0] != '*')
            return transform_bad(err, text->host, "has a path that begins with neither / nor *");
    return transform_read_fields(t, text, arena, err);
}

int transform_list_read(const struct transform_text *texts, size_t count, struct arena *arena,
                        struct transform_list *ret, struct error *err)
{
    *ret = (struct transform_list){.items = NULL};
    if (count > EGRESS_MAX_TRANSFORMS)
        return error_set(err, ERROR_INVALID_ARGUMENT, "there are %zu transforms, more than %u",
                         count, EGRESS_MAX_TRANSFORMS);
    ret->items = arena_alloc(arena, (count + 1) * sizeof(*ret->items));
    int rv = ret->items == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && rv == 0; i++) {
        ret->count++;
        rv = transform_read(&ret->items[i], &texts[i], arena, err);
    }
    return rv == -ENOMEM ? error_set_errno(err, ERROR_INTERNAL, rv, "a transform") : rv;
}

void transform_list_wipe(struct transform_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < l->items[i].n_fields; k++)
            explicit_bzero(l->items[i].fields[k].value, strlen(l->items[i].fields[k].value));
    l->count = 0;
}

static bool transform_is_for(const struct transform *t, const char *name, uint16_t port)
{
    const struct rule_target target = {.name = name};
    return (t->host.port == 0 || t->host.port == port) && rule_covers(&t->host, &target);
}

bool transform_covers(const struct transform_list *l, const char *name, uint16_t port)
{
    for (size_t i = 0; i < l->count; i++)
        if (transform_is_for(&l->items[i], name, port))
            return true;
    return false;
}

bool transform_names_port(const struct transform_list *l, const char *name, uint16_t port)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].host.port == port && transform_is_for(&l->items[i], name, port))
            return true;
    return false;
}

/* Whether servers may differ about which path this is. */
static bool transform_is_unclear(struct span path)
{
    for (size_t i = 0; i < path.len; i++) {
        const char *at = path.data + i;
        size_t left = path.len - i;
        if (*at == '\\' || *at == '#')
            return true;
        if (left >= 3 && (strncasecmp(at, "%2e", 3) == 0 || strncasecmp(at, "%2f", 3) == 0 ||
                          strncasecmp(at, "%5c", 3) == 0))
            return true;
        if (*at != '/' || left < 2)
            continue;
        if (at[1] == '/')
            return true;
        size_t dots = 0;
        while (dots < left - 1 && at[dots + 1] == '.')
            dots++;
        if ((dots == 1 || dots == 2) && (left == dots + 1 || strchr("/;", at[dots + 1]) != NULL))
            return true;
    }
    return false;
}

static bool transform_glob(const char *pattern, struct span text)
{
    const char *star = NULL;
    size_t at = 0, back = 0;
    while (at < text.len) {
        if (*pattern == '*') {
            star = ++pattern;
            back = at;
        } else if (*pattern != '\0' && *pattern == text.data[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star;
            at = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool transform_path_matches(const struct transform *t, struct span path)
{
    bool unclear = transform_is_unclear(path);
    if (t->paths[0] == NULL)
        return true;
    for (const char **p = t->paths; *p != NULL; p++) {
        bool all = strcmp(*p, "*") == 0 || strcmp(*p, "/*") == 0;
        if ((all || !unclear) && transform_glob(*p, path))
            return true;
    }
    return false;
}

static bool transform_method_matches(const struct transform *t, struct span method)
{
    if (t->methods[0] == NULL)
        return true;
    for (const char **m = t->methods; *m != NULL; m++)
        if (strcmp(*m, "*") == 0 ||
            (strlen(*m) == method.len && memcmp(*m, method.data, method.len) == 0))
            return true;
    return false;
}

bool transform_applies(const struct transform *t, const char *name, uint16_t port,
                       struct span method, struct span path)
{
    return transform_is_for(t, name, port) && transform_method_matches(t, method) &&
           transform_path_matches(t, path);
}
