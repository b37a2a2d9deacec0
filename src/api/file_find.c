/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_find.c - files/find and files/replace: a search in the contents of files, and what is put in
 * the place of what it finds. The agent bounds both in time, bytes and matches; an answer that was
 * cut says so.
 */
#include <errno.h>
#include <string.h>

#include "api/ask.h"
#include "api/path.h"
#include "stream/describe.h"
#include "wire/reply.h"
#include "wire/request.h"

#define FIND_MAX_DEPTH   1000
#define FIND_MAX_MATCHES 100000

static int find_parse_flag(struct api_call *call, const char *field, bool fallback, bool set_when,
                           uint32_t flag, uint32_t *flags, struct error *err)
{
    bool value = fallback;
    int rv = json_get_bool(call->body, field, fallback, &value, err);
    if (rv == 0 && value == set_when)
        *flags |= flag;
    return rv;
}

static int find_parse(struct api_call *call, struct wire_find_params *p, struct error *err)
{
    int64_t depth = 0;
    int rv = json_need_str(call->body, "path", &p->path, err);
    if (rv == 0)
        rv = json_need_str(call->body, "pattern", &p->pattern, err);
    if (rv == 0)
        rv = json_get_str(call->body, "glob", "", &p->glob, err);
    if (rv == 0)
        rv = json_get_int(call->body, "max_depth", 0, 0, FIND_MAX_DEPTH, &depth, err);
    if (rv == 0)
        rv = find_parse_flag(call, "regex", false, true, WIRE_FIND_REGEX, &p->flags, err);
    if (rv == 0)
        rv = find_parse_flag(call, "case_sensitive", true, false, WIRE_FIND_NO_CASE, &p->flags,
                             err);
    if (rv == 0)
        rv = find_parse_flag(call, "include_hidden", false, true, WIRE_FIND_HIDDEN, &p->flags, err);
    if (rv == 0 && (p->pattern[0] == '\0' || strlen(p->pattern) > WIRE_MAX_PATTERN ||
                    strlen(p->glob) > WIRE_MAX_PATTERN))
        rv = error_set(err, ERROR_INVALID_ARGUMENT,
                       "Fields 'pattern' and 'glob' have at most %u "
                       "bytes, and a pattern has one at least",
                       WIRE_MAX_PATTERN);
    if (rv < 0)
        return rv;
    p->depth = (uint32_t)depth;
    p->path = api_path(call, p->path, err);
    return p->path != NULL ? 0 : -EINVAL;
}

static int find_take_match(struct ask *a, const struct wire_frame *frame)
{
    struct wire_match match;
    struct wire_found found;
    if (wire_reply_found(frame, &found)) {
        jsonw_array_end(&a->w);
        jsonw_key_bool(&a->w, "truncated", found.cut);
        jsonw_key_int(&a->w, "files_scanned", (int64_t)found.files);
        return 1;
    }
    if (!wire_reply_match(frame, &match))
        return -EPROTO;
    jsonw_object(&a->w);
    describe_span(&a->w, "path", match.path);
    jsonw_key_int(&a->w, "line", (int64_t)match.line);
    jsonw_key_int(&a->w, "column", (int64_t)match.column);
    describe_span(&a->w, "content", match.text);
    jsonw_object_end(&a->w);
    return 0;
}

/* `flag`: nothing was changed. */
static int find_take_replaced(struct ask *a, const struct wire_frame *frame)
{
    struct wire_replaced replaced;
    struct wire_found found;
    if (wire_reply_found(frame, &found)) {
        jsonw_array_end(&a->w);
        jsonw_key_int(&a->w, "total_replacements", (int64_t)found.count);
        jsonw_key_bool(&a->w, "truncated", found.cut);
        jsonw_key_int(&a->w, "files_scanned", (int64_t)found.files);
        jsonw_key_bool(&a->w, "dry_run", a->p.flag);
        return 1;
    }
    if (!wire_reply_replaced(frame, &replaced))
        return -EPROTO;
    jsonw_object(&a->w);
    describe_span(&a->w, "path", replaced.path);
    jsonw_key_int(&a->w, "replacements", (int64_t)replaced.count);
    jsonw_object_end(&a->w);
    return 0;
}

void api_file_find(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    struct wire_find_params p = {0};
    int64_t matches = 0;
    int rv = find_parse(call, &p, &err);
    if (rv == 0)
        rv = json_get_int(call->body, "max_results", 0, 0, FIND_MAX_MATCHES, &matches, &err);
    p.matches = (uint32_t)matches;
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_find(&request, &p);
    api_ask(call, &(struct ask_params){.take = find_take_match, .array = "matches"}, &request);
}

void api_file_replace(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    struct wire_find_params p = {0};
    int rv = find_parse(call, &p, &err);
    if (rv == 0)
        rv = json_need_str(call->body, "replacement", &p.replacement, &err);
    if (rv == 0)
        rv = find_parse_flag(call, "dry_run", false, true, WIRE_FIND_DRY_RUN, &p.flags, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    const struct ask_params ask = {
        .take = find_take_replaced, .array = "files", .flag = (p.flags & WIRE_FIND_DRY_RUN) != 0};
    wire_request_replace(&request, &p);
    api_ask(call, &ask, &request);
}
