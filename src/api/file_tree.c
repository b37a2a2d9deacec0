/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_tree.c - what is done with files as a whole: list, look at, make, move, copy, remove, give
 * away, watch. Paths are made absolute here and passed on: the agent's kernel says what the user
 * of the sandbox may do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/ask.h"
#include "api/feed.h"
#include "api/path.h"
#include "stream/describe.h"
#include "wire/reply.h"
#include "wire/request.h"

/* --- answers --- */

/* `text` is the message; the path is the request's. */
static int tree_take_done(struct ask *a, const struct wire_frame *frame)
{
    struct error err;
    const char *path = NULL;
    struct api_call *call = a->op.call;
    int rv = api_ask_done(a, frame);
    if (rv > 0 && json_need_str(call->body, "path", &path, &err) == 0)
        jsonw_key_str(&a->w, "path", api_path(call, path, &err));
    return rv;
}

/* Of what is there: "info", behind the message of `text` when there is one. */
static int tree_take_info(struct ask *a, const struct wire_frame *frame)
{
    struct wire_info info;
    if (!wire_reply_info(frame, &info))
        return -EPROTO;
    if (a->p.text != NULL)
        jsonw_key_str(&a->w, "message", a->p.text);
    else
        jsonw_key_bool(&a->w, "exists", true);
    jsonw_key(&a->w, "info");
    jsonw_object(&a->w);
    describe_info(&a->w, &info);
    jsonw_object_end(&a->w);
    return 1;
}

static void tree_absent(struct ask *a)
{
    jsonw_key_bool(&a->w, "exists", false);
}

static int tree_take_entry(struct ask *a, const struct wire_frame *frame)
{
    struct wire_stat stat;
    if (frame->type != WIRE_ENTRY || !wire_reply_stat(frame, &stat))
        return -EPROTO;
    jsonw_object(&a->w);
    describe_span(&a->w, "name", stat.name);
    describe_span(&a->w, "path", stat.path);
    jsonw_key_int(&a->w, "size", (int64_t)MIN(stat.size, (uint64_t)INT64_MAX));
    jsonw_key_bool(&a->w, "is_dir", stat.kind == WIRE_KIND_DIRECTORY);
    /* 0 would print as null. */
    jsonw_key_time(&a->w, "modified_at", MAX(stat.mtime_ns / 1000000, 1));
    jsonw_object_end(&a->w);
    return 0;
}

/* --- a path, and little else --- */

void api_file_list(struct api_call *call)
{
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    wire_request_list(&request, path);
    api_ask(call, &(struct ask_params){.take = tree_take_entry, .array = "files"}, &request);
}

void api_file_delete(struct api_call *call)
{
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    wire_request_remove(&request, path, WIRE_REMOVE_RECURSIVE);
    api_ask(call, &(struct ask_params){.take = tree_take_done, .text = "File deleted successfully"},
            &request);
}

void api_file_mkdir(struct api_call *call)
{
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    wire_request_mkdir(&request, path, 0, WIRE_MKDIR_PARENTS);
    api_ask(call,
            &(struct ask_params){.take = tree_take_done, .text = "Directory created successfully"},
            &request);
}

void api_file_info(struct api_call *call)
{
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    wire_request_info(&request, path);
    api_ask(call, &(struct ask_params){.take = tree_take_info, .absent = tree_absent}, &request);
}

/* --- two paths --- */

/* WIRE_TO_* for the members of the body. */
static int tree_parse_to(struct api_call *call, uint32_t *flags, struct error *err)
{
    bool overwrite = false, recursive = false;
    int rv = json_get_bool(call->body, "overwrite", false, &overwrite, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "recursive", false, &recursive, err);
    *flags = WIRE_TO_PARENTS | (overwrite ? WIRE_TO_OVERWRITE : 0) |
             (recursive ? WIRE_TO_RECURSIVE : 0);
    return rv;
}

static void tree_transfer(struct api_call *call, const char *text,
                          void (*encode)(struct buf *b, const char *source, const char *destination,
                                         uint32_t flags),
                          uint32_t allowed)
{
    struct error err;
    struct buf request = {0};
    uint32_t flags = 0;
    const char *source = api_path_field(call, "source");
    const char *destination = source != NULL ? api_path_field(call, "destination") : NULL;
    if (destination == NULL)
        return;
    if (tree_parse_to(call, &flags, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    encode(&request, source, destination, flags & allowed);
    api_ask(call, &(struct ask_params){.take = tree_take_info, .text = text}, &request);
}

void api_file_move(struct api_call *call)
{
    tree_transfer(call, "File moved successfully", wire_request_move,
                  WIRE_TO_PARENTS | WIRE_TO_OVERWRITE);
}

void api_file_copy(struct api_call *call)
{
    tree_transfer(call, "File copied successfully", wire_request_copy,
                  WIRE_TO_PARENTS | WIRE_TO_OVERWRITE | WIRE_TO_RECURSIVE);
}

/* --- mode and owner --- */

static int tree_parse_recursive(struct api_call *call, uint32_t *flags, struct error *err)
{
    bool recursive = false;
    int rv = json_get_bool(call->body, "recursive", false, &recursive, err);
    *flags = recursive ? WIRE_TREE_RECURSIVE : 0;
    return rv;
}

/* Octal digits, as people write modes. */
static int tree_parse_mode(struct api_call *call, uint32_t *mode, struct error *err)
{
    const char *text = NULL;
    int rv = json_need_str(call->body, "mode", &text, err);
    if (rv < 0)
        return rv;
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "01234567") != len || strtoul(text, NULL, 8) > 07777)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'mode' is no octal mode");
    *mode = (uint32_t)strtoul(text, NULL, 8);
    return 0;
}

void api_file_chmod(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    uint32_t mode = 0, flags = 0;
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    int rv = tree_parse_mode(call, &mode, &err);
    if (rv == 0)
        rv = tree_parse_recursive(call, &flags, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_chmod(&request, path, mode, flags);
    api_ask(call, &(struct ask_params){.take = tree_take_done, .text = "Mode changed successfully"},
            &request);
}

void api_file_chown(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    const char *user = NULL, *group = NULL;
    uint32_t flags = 0;
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    int rv = json_get_str(call->body, "user", "", &user, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "group", "", &group, &err);
    if (rv == 0)
        rv = tree_parse_recursive(call, &flags, &err);
    if (rv == 0 && user[0] == '\0' && group[0] == '\0')
        rv = error_set(&err, ERROR_INVALID_ARGUMENT, "Field 'user' or 'group' is required");
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_chown(&request, path, user, group, flags);
    api_ask(call,
            &(struct ask_params){.take = tree_take_done, .text = "Owner changed successfully"},
            &request);
}

/* --- watch --- */

void api_file_watch(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    uint32_t flags = 0;
    const struct feed_params feed = {.kind = EVENTS_OF_WATCH, .writer = &event_sse_command};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    if (tree_parse_recursive(call, &flags, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_watch(&request, path, flags);
    api_feed_start(call, &feed, &request);
}
