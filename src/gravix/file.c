/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - files, where these clients' names or flags differ from those of the API. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/feed.h"
#include "gravix/internal.h"
#include "stream/describe.h"

#define FILE_FOUND_MAX 1000 /* names of one search, when the client names no number */
#define FILE_DEPTH_MAX 1000

/* A flag of the body; false: the request has its answer. */
static bool file_flag(struct api_call *call, const char *field, bool fallback, uint32_t bit,
                      uint32_t *flags)
{
    struct error err;
    bool value = false;
    if (json_get_bool(call->body, field, fallback, &value, &err) < 0) {
        api_fail(call, &err);
        return false;
    }
    *flags |= value ? bit : 0;
    return true;
}

int gravix_take_success(struct ask *a, const struct wire_frame *frame)
{
    if (!wire_reply_is(frame, WIRE_OK))
        return -EPROTO;
    jsonw_key_bool(&a->w, "success", true);
    return 1;
}

void gravix_succeeded(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_bool(&w, "success", true);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* `text` is the path. */
static int file_take_removed(struct ask *a, const struct wire_frame *frame)
{
    if (!wire_reply_is(frame, WIRE_OK))
        return -EPROTO;
    jsonw_key_str(&a->w, "message", "File deleted successfully");
    jsonw_key_str(&a->w, "path", a->p.text);
    return 1;
}

static int file_take_made(struct ask *a, const struct wire_frame *frame)
{
    if (!wire_reply_is(frame, WIRE_OK))
        return -EPROTO;
    jsonw_key_str(&a->w, "message", "Directory created successfully");
    jsonw_key_str(&a->w, "path", a->p.text);
    jsonw_key_bool(&a->w, "success", true);
    return 1;
}

/* --- read, list, delete, make --- */

void gravix_file_read(struct api_call *call)
{
    cJSON_DeleteItemFromObjectCaseSensitive(call->body, "content_base64");
    cJSON_AddBoolToObject(call->body, "content_base64", true); /* of a file that is no text */
    api_file_read(call);
}

static int file_take_entry(struct ask *a, const struct wire_frame *frame)
{
    struct wire_info info;
    if (wire_reply_is(frame, WIRE_END)) {
        jsonw_array_end(&a->w);
        return 1;
    }
    if (!wire_reply_info(frame, &info))
        return -EPROTO;
    jsonw_object(&a->w);
    describe_info(&a->w, &info);
    jsonw_object_end(&a->w);
    return 0;
}

void gravix_file_list(struct api_call *call)
{
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    wire_request_list_tree(&request, path, 1);
    api_ask(call, &(struct ask_params){.take = file_take_entry, .array = "files"}, &request);
}

void gravix_file_delete(struct api_call *call)
{
    uint32_t flags = 0;
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL || !file_flag(call, "recursive", false, WIRE_REMOVE_RECURSIVE, &flags))
        return;
    wire_request_remove(&request, path, flags);
    api_ask(call, &(struct ask_params){.take = file_take_removed, .text = path}, &request);
}

void gravix_file_mkdir(struct api_call *call)
{
    struct error err;
    uint32_t flags = 0;
    struct buf request = {0};
    const char *mode = NULL, *path = api_path_field(call, "path");
    if (path == NULL || !file_flag(call, "recursive", true, WIRE_MKDIR_PARENTS, &flags))
        return;
    int rv = json_get_str(call->body, "mode", "", &mode, &err);
    if (rv == 0 && (strlen(mode) > 5 || strspn(mode, "01234567") != strlen(mode)))
        rv = error_set(&err, ERROR_INVALID_ARGUMENT, "Field 'mode' is no octal mode");
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_mkdir(&request, path, (uint32_t)strtoul(mode, NULL, 8) & 07777, flags);
    api_ask(call, &(struct ask_params){.take = file_take_made, .text = path}, &request);
}

/* --- owner: a name or a number --- */

static void file_as_text(json *body, const char *field)
{
    char text[24];
    const json *value = cJSON_GetObjectItemCaseSensitive(body, field);
    if (!cJSON_IsNumber(value))
        return;
    (void)snprintf(text, sizeof(text), "%d", value->valueint);
    cJSON_ReplaceItemInObjectCaseSensitive(body, field, cJSON_CreateString(text));
}

void gravix_file_chown(struct api_call *call)
{
    file_as_text(call->body, "user");
    file_as_text(call->body, "group");
    api_file_chown(call);
}

/* --- move and copy --- */

static int file_take_moved(struct ask *a, const struct wire_frame *frame)
{
    struct wire_info info;
    if (!wire_reply_info(frame, &info))
        return -EPROTO;
    jsonw_key_bool(&a->w, "success", true);
    jsonw_key(&a->w, "entry");
    jsonw_object(&a->w);
    describe_info(&a->w, &info);
    jsonw_object_end(&a->w);
    return 1;
}

static void file_transfer(struct api_call *call, uint32_t recursive,
                          void (*encode)(struct buf *b, const char *source, const char *destination,
                                         uint32_t flags))
{
    struct buf request = {0};
    uint32_t flags = WIRE_TO_PARENTS;
    const char *source = api_path_field(call, "source");
    const char *destination = source != NULL ? api_path_field(call, "destination") : NULL;
    if (destination == NULL || !file_flag(call, "overwrite", false, WIRE_TO_OVERWRITE, &flags) ||
        !file_flag(call, "recursive", false, recursive, &flags))
        return;
    encode(&request, source, destination, flags);
    api_ask(call, &(struct ask_params){.take = file_take_moved}, &request);
}

void gravix_file_move(struct api_call *call)
{
    file_transfer(call, 0, wire_request_move);
}

void gravix_file_copy(struct api_call *call)
{
    file_transfer(call, WIRE_TO_RECURSIVE, wire_request_copy);
}

/* --- find --- */

/* Whether a part of the path below the searched one begins with a dot. */
static bool file_is_hidden(struct span path, size_t skip)
{
    for (size_t i = skip; i + 1 < path.len; i++) {
        if (path.data[i] == '/' && path.data[i + 1] == '.')
            return true;
    }
    return false;
}

/* `text` is the glob, `number` how many matches there may still be, `flag` with hidden ones. */
static int file_take_named(struct ask *a, const struct wire_frame *frame)
{
    struct wire_info info;
    if (wire_reply_is(frame, WIRE_END)) {
        jsonw_array_end(&a->w);
        jsonw_key_bool(&a->w, "truncated", a->p.number < 0);
        jsonw_key_int(&a->w, "files_scanned", a->seen);
        return 1;
    }
    if (!wire_reply_info(frame, &info))
        return -EPROTO;
    if (info.stat.kind == WIRE_KIND_DIRECTORY)
        return 0;
    a->seen++;
    cleanup_free char *name = strndup(info.stat.name.data, info.stat.name.len);
    size_t searched = strlen(a->op.call->params[1]);
    if (name == NULL || fnmatch(a->p.text, name, 0) != 0 ||
        (!a->p.flag && file_is_hidden(info.stat.path, MIN(searched, info.stat.path.len))))
        return 0;
    if (a->p.number-- <= 0)
        return 0;
    jsonw_object(&a->w);
    describe_span(&a->w, "path", info.stat.path);
    jsonw_key_int(&a->w, "line", 0);
    jsonw_key_int(&a->w, "column", 0);
    jsonw_key_str(&a->w, "content", "");
    jsonw_object_end(&a->w);
    return 0;
}

/* Without a pattern a match is a file whose name fits the glob. */
static void file_find_names(struct api_call *call, const char *glob)
{
    struct error err;
    struct buf request = {0};
    struct ask_params ask = {.take = file_take_named, .array = "matches", .text = glob};
    int64_t depth = 0;
    const char *path = api_path_field(call, "path");
    if (path == NULL)
        return;
    call->params[1] = path;
    int rv = json_get_int(call->body, "max_depth", FILE_DEPTH_MAX, 1, FILE_DEPTH_MAX, &depth, &err);
    if (rv == 0)
        rv = json_get_int(call->body, "max_results", FILE_FOUND_MAX, 1, INT32_MAX, &ask.number,
                          &err);
    if (rv == 0)
        rv = json_get_bool(call->body, "include_hidden", false, &ask.flag, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_list_tree(&request, path, (uint32_t)depth);
    api_ask(call, &ask, &request);
}

void gravix_file_find(struct api_call *call)
{
    struct error err;
    const char *pattern = "", *glob = "";
    int rv = json_get_str(call->body, "pattern", "", &pattern, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "glob", "", &glob, &err);
    if (rv < 0)
        api_fail(call, &err);
    else if (pattern[0] == '\0' && glob[0] != '\0')
        file_find_names(call, glob);
    else
        api_file_find(call);
}

/* --- watch, upload, download --- */

void gravix_file_watch(struct api_call *call)
{
    uint32_t flags = 0;
    struct buf request = {0};
    const char *path = api_path_field(call, "path");
    if (path == NULL || !file_flag(call, "recursive", false, WIRE_TREE_RECURSIVE, &flags))
        return;
    const struct feed_params feed = {
        .kind = EVENTS_OF_WATCH, .writer = &gravix_speak_watch, .watched = path};
    wire_request_watch(&request, path, flags);
    api_feed_start(call, &feed, &request);
}

void gravix_file_upload(struct api_call *call)
{
    const struct api_notes notes = {0};
    api_upload_to(call, http_form_query(call->req, "path"), &notes);
}

void gravix_file_download(struct api_call *call)
{
    api_download_from(call, http_form_query(call->req, "path"));
}
