/* SPDX-License-Identifier: Apache-2.0 */
/* listing.c - lists of an account's sandboxes, narrowed by `status` (one or more, with commas) and
 * by `metadata` (NAME=VALUE, which may be repeated: all must match). */
#include <stdio.h>
#include <string.h>

#include "api/api.h"

#define LISTING_PAIRS 8

struct listing_pair {
    const char *name, *value; /* in the request's arena */
};

struct listing {
    struct api_list list;
    void (*write)(struct jsonw *w, const struct sandbox *sb);
    unsigned int statuses; /* a bit for each enum sandbox_status; 0: any */
    struct listing_pair pairs[LISTING_PAIRS];
    size_t n_pairs;
};

static int listing_add_status(struct listing *l, const char *name, size_t len, struct error *err)
{
    for (unsigned int s = 0; s < SANDBOX_STATUS_COUNT; s++) {
        const char *known = sandbox_status_str((enum sandbox_status)s);
        if (strlen(known) == len && memcmp(known, name, len) == 0) {
            l->statuses |= 1u << s;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "Query parameter 'status' takes creating, running, stopped, failed, "
                     "terminated and timed_out, with commas between them");
}

static int listing_parse_statuses(struct listing *l, const char *text, struct error *err)
{
    int rv = 0;
    for (const char *p = text; p != NULL && rv == 0;) {
        size_t len = strcspn(p, ",");
        rv = listing_add_status(l, p, len, err);
        p = p[len] == ',' ? p + len + 1 : NULL;
    }
    return rv;
}

static int listing_add_pair(struct listing *l, char *text, struct error *err)
{
    char *equals = text != NULL ? strchr(text, '=') : NULL;
    if (equals == NULL || equals == text || l->n_pairs == LISTING_PAIRS)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Query parameter 'metadata' is NAME=VALUE, at most %d times",
                         LISTING_PAIRS);
    *equals = '\0';
    l->pairs[l->n_pairs++] = (struct listing_pair){text, equals + 1};
    return 0;
}

static int listing_parse(struct api_call *call, struct listing *l, struct error *err)
{
    struct http_str rest = call->req->query, name, value;
    int rv = listing_parse_statuses(l, http_query(call->req, "status"), err);
    while (rv == 0 && http_query_next(&rest, &name, &value)) {
        if (name.len != strlen("metadata") || memcmp(name.data, "metadata", name.len) != 0)
            continue;
        const char *text = http_unescape(call->req, value.data, value.len);
        rv = listing_add_pair(l, (char *)text, err);
    }
    return rv;
}

/* Strings match as they are; numbers and booleans as their JSON. */
static bool listing_matches(const json *has, const struct listing_pair *pair)
{
    cleanup_buf struct buf text = {0};
    const json *value = cJSON_GetObjectItemCaseSensitive(has, pair->name);
    if (cJSON_IsString(value))
        return strcmp(value->valuestring, pair->value) == 0;
    return value != NULL && json_print(&text, value) == 0 && buf_cstr(&text) != NULL &&
           strcmp((const char *)text.data, pair->value) == 0;
}

static bool listing_wants(void *ctx, const struct sandbox *sb)
{
    const struct listing *l = ctx;
    cleanup_buf struct buf text = {0};
    if (l->statuses != 0 && (l->statuses & 1u << sb->status) == 0)
        return false;
    if (l->n_pairs == 0)
        return true;
    if (sandbox_table_metadata(sb, &text) < 0)
        return false;
    cleanup_json json *has = json_parse_object(text.data, text.len, NULL);
    for (size_t i = 0; i < l->n_pairs; i++) {
        if (!listing_matches(has, &l->pairs[i]))
            return false;
    }
    return true;
}

static void listing_visit(void *ctx, struct sandbox *sb)
{
    struct listing *l = ctx;
    l->write(&l->list.w, sb);
}

void api_list_sandboxes(struct api_call *call, const char *field,
                        void (*write)(struct jsonw *w, const struct sandbox *sb))
{
    struct error err;
    struct listing l = {.write = write};
    if (listing_parse(call, &l, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    api_list_begin(call, &l.list, field);
    unsigned int total = sandbox_table_list(call->api->sandboxes, call->principal.account,
                                            l.list.offset, l.list.limit, listing_wants,
                                            listing_visit, &l);
    api_list_end(call, &l.list, total);
}
