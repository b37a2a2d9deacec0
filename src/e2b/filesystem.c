/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.c - filesystem.Filesystem, and the planes of messages: which method is which. */
#include <errno.h>
#include <string.h>

#include "api/ask.h"
#include "api/feed.h"
#include "e2b/internal.h"
#include "stream/tell.h"

/* A field that is a path; absolute, in the request's arena. NULL: the request has its answer. */
static const char *filesystem_field(struct api_call *call, const char *field)
{
    struct error err;
    const char *path = NULL;
    if (json_need_str(call->body, field, &path, &err) == 0)
        path = e2b_path(call, path, &err);
    else
        path = NULL;
    if (path == NULL)
        api_fail(call, &err);
    return path;
}

/* --- what a file is --- */

static void filesystem_span(struct jsonw *w, const char *key, struct span s)
{
    jsonw_key(w, key);
    jsonw_strn(w, s.data, s.len);
}

/* "drwxr-xr-x" */
static void filesystem_permissions(struct jsonw *w, enum wire_kind kind, uint32_t mode)
{
    char text[11] = "-rwxrwxrwx";
    if (kind == WIRE_KIND_DIRECTORY)
        text[0] = 'd';
    else if (kind == WIRE_KIND_SYMLINK)
        text[0] = 'l';
    for (unsigned int i = 0; i < 9; i++) {
        if ((mode >> (8 - i) & 1) == 0)
            text[1 + i] = '-';
    }
    jsonw_key_str(w, "permissions", text);
}

/* A link is what it leads to, and says so. */
static const char *filesystem_type(const struct wire_info *info)
{
    uint32_t kind = info->stat.kind;
    if (kind == WIRE_KIND_SYMLINK)
        kind = info->target_kind;
    if (kind == WIRE_KIND_DIRECTORY)
        return "FILE_TYPE_DIRECTORY";
    return kind == WIRE_KIND_FILE ? "FILE_TYPE_FILE" : "FILE_TYPE_UNSPECIFIED";
}

/* What a client has noted on the file (files.c). */
static void filesystem_metadata(struct jsonw *w, const struct wire_info *info)
{
    struct cursor list = info->attributes;
    const size_t space = strlen(E2B_NOTES_SPACE);
    struct span note;
    bool any = false;
    while (wire_next_word(&list, &note)) {
        const char *equals = memchr(note.data, '=', note.len);
        size_t name = equals != NULL ? (size_t)(equals - note.data) : 0;
        if (name <= space || memcmp(note.data, E2B_NOTES_SPACE, space) != 0)
            continue;
        if (!any) {
            jsonw_key(w, "metadata");
            jsonw_object(w);
        }
        any = true;
        jsonw_keyn(w, note.data + space, name - space);
        jsonw_strn(w, equals + 1, note.len - name - 1);
    }
    if (any)
        jsonw_object_end(w);
}

static void filesystem_entry(struct jsonw *w, const struct wire_info *info)
{
    const struct wire_stat *s = &info->stat;
    jsonw_object(w);
    filesystem_span(w, "name", s->name);
    filesystem_span(w, "path", s->path);
    jsonw_key_str(w, "type", filesystem_type(info));
    jsonw_key_int(w, "size", (int64_t)MIN(s->size, (uint64_t)INT64_MAX));
    jsonw_key_int(w, "mode", s->mode & 0777);
    filesystem_permissions(w, s->kind, s->mode);
    filesystem_span(w, "owner", info->owner);
    filesystem_span(w, "group", info->group);
    jsonw_key_time(w, "modifiedTime", MAX(s->mtime_ns / 1000000, 1)); /* 0 would print as null */
    if (s->kind == WIRE_KIND_SYMLINK) {
        filesystem_span(w, "symlinkTarget", info->target);
        jsonw_key_bool(w, "isSymlink", true);
    }
    filesystem_metadata(w, info);
    jsonw_object_end(w);
}

/* Answers with the entry that the reply is. */
static void filesystem_told(struct api_call *call, const struct wire_frame *frame,
                            const struct error *err)
{
    struct wire_info info;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (frame == NULL || !wire_reply_info(frame, &info)) {
        api_step_failed(call, err);
        return;
    }
    jsonw_object(&w);
    jsonw_key(&w, "entry");
    filesystem_entry(&w, &info);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void filesystem_look(struct api_call *call, const char *path,
                            void (*then)(struct api_call *call, const struct wire_frame *frame,
                                         const struct error *err))
{
    struct buf request = {0};
    wire_request_info(&request, path);
    api_step(call, &request, ERROR_NONE, then);
}

static void filesystem_stat(struct api_call *call)
{
    const char *path = filesystem_field(call, "path");
    if (path != NULL)
        filesystem_look(call, path, filesystem_told);
}

static int filesystem_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_info info;
    if (!wire_reply_info(frame, &info))
        return -EPROTO;
    filesystem_entry(&a->w, &info);
    return 0;
}

static void filesystem_list(struct api_call *call)
{
    struct error err;
    int64_t depth = 0;
    struct buf request = {0};
    const char *path = filesystem_field(call, "path");
    if (path == NULL)
        return;
    if (json_get_int(call->body, "depth", 0, 0, UINT32_MAX, &depth, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_list_tree(&request, path, (uint32_t)depth);
    api_ask(call, &(struct ask_params){.take = filesystem_take_listed, .array = "entries"},
            &request);
}

/* --- make, move, remove --- */

static void filesystem_exists(struct api_call *call, const struct wire_frame *frame,
                              const struct error *err)
{
    struct wire_info info;
    if (frame == NULL || !wire_reply_info(frame, &info))
        api_step_failed(call, err);
    else if (info.stat.kind == WIRE_KIND_FILE)
        api_fail_code(call, ERROR_INVALID_PATH, "The path is a file");
    else
        api_fail_code(call, ERROR_CONFLICT, "The directory exists");
}

static void filesystem_made(struct api_call *call, const struct wire_frame *frame,
                            const struct error *err)
{
    struct buf request = {0};
    const char *path = call->params[1];
    if (frame != NULL && wire_reply_is(frame, WIRE_OK)) {
        filesystem_look(call, path, filesystem_told);
    } else if (err != NULL && err->code == ERROR_FILE_NOT_FOUND) { /* its parents are missing */
        wire_request_mkdir(&request, path, 0, WIRE_MKDIR_PARENTS);
        api_step(call, &request, ERROR_INVALID_PATH, filesystem_made);
    } else if (err != NULL && err->code == ERROR_INVALID_PATH) {
        filesystem_look(call, path, filesystem_exists);
    } else {
        api_step_failed(call, err);
    }
}

/* First without parents, for only then the agent says that a directory is there already. */
static void filesystem_make(struct api_call *call)
{
    struct buf request = {0};
    const char *path = filesystem_field(call, "path");
    if (path == NULL)
        return;
    call->params[1] = path;
    wire_request_mkdir(&request, path, 0, 0);
    api_step(call, &request, ERROR_NONE, filesystem_made);
}

static void filesystem_move(struct api_call *call)
{
    struct buf request = {0};
    const char *source = filesystem_field(call, "source");
    const char *destination = source != NULL ? filesystem_field(call, "destination") : NULL;
    if (destination == NULL)
        return;
    wire_request_move(&request, source, destination, WIRE_TO_PARENTS | WIRE_TO_OVERWRITE);
    api_step(call, &request, ERROR_NONE, filesystem_told);
}

/* What is not there is removed already. */
static void filesystem_removed(struct api_call *call, const struct wire_frame *frame,
                               const struct error *err)
{
    if (err != NULL && err->code == ERROR_FILE_NOT_FOUND)
        e2b_reply_empty(call);
    else
        e2b_step_done(call, frame, err);
}

static void filesystem_remove(struct api_call *call)
{
    struct buf request = {0};
    const char *path = filesystem_field(call, "path");
    if (path == NULL)
        return;
    wire_request_remove(&request, path, WIRE_REMOVE_RECURSIVE);
    api_step(call, &request, ERROR_NONE, filesystem_removed);
}

/* --- watch --- */

bool e2b_watch_request(struct api_call *call, struct buf *request)
{
    struct error err;
    bool recursive = false;
    const char *path = filesystem_field(call, "path");
    if (path == NULL)
        return false;
    if (json_get_bool(call->body, "recursive", false, &recursive, &err) < 0) {
        api_fail(call, &err);
        return false;
    }
    wire_request_watch(request, path, recursive ? WIRE_TREE_RECURSIVE : 0);
    return true;
}

void e2b_watch_dir(struct api_call *call)
{
    struct buf request = {0};
    const struct feed_params feed = {.kind = EVENTS_OF_WATCH, .writer = &tell_watch};
    if (e2b_take_message(call) && e2b_watch_request(call, &request))
        api_feed_start(call, &feed, &request);
}

/* --- the methods --- */

#define PROC   "/process.Process/"
#define FILES  "/filesystem.Filesystem/"
#define UNARY  (API_SANDBOX | API_RUNNING | API_JSON)
#define STREAM (API_SANDBOX | API_RUNNING | API_BYTES)

static const struct api_route unary_routes[] = {
    {METHOD_POST, PROC "List", UNARY, SCOPE_READ, e2b_process_list},
    {METHOD_POST, PROC "SendInput", UNARY, SCOPE_RUN, e2b_process_input},
    {METHOD_POST, PROC "CloseStdin", UNARY, SCOPE_RUN, e2b_process_close_stdin},
    {METHOD_POST, PROC "Update", UNARY, SCOPE_RUN, e2b_process_update},
    {METHOD_POST, PROC "SendSignal", UNARY, SCOPE_RUN, e2b_process_signal},
    {METHOD_POST, FILES "Stat", UNARY, SCOPE_READ, filesystem_stat},
    {METHOD_POST, FILES "ListDir", UNARY, SCOPE_READ, filesystem_list},
    {METHOD_POST, FILES "MakeDir", UNARY, SCOPE_RUN, filesystem_make},
    {METHOD_POST, FILES "Move", UNARY, SCOPE_RUN, filesystem_move},
    {METHOD_POST, FILES "Remove", UNARY, SCOPE_RUN, filesystem_remove},
    {METHOD_POST, FILES "CreateWatcher", UNARY, SCOPE_READ, e2b_watcher_create},
    {METHOD_POST, FILES "GetWatcherEvents", UNARY, SCOPE_READ, e2b_watcher_events},
    {METHOD_POST, FILES "RemoveWatcher", UNARY, SCOPE_READ, e2b_watcher_remove},
};

static const struct api_route stream_routes[] = {
    {METHOD_POST, PROC "Start", STREAM, SCOPE_RUN, e2b_process_start},
    {METHOD_POST, PROC "Connect", STREAM, SCOPE_READ, e2b_process_connect},
    {METHOD_POST, PROC "StreamInput", API_SANDBOX | API_RUNNING | API_STREAM, SCOPE_RUN,
     e2b_input_stream, e2b_input_stream_data, e2b_input_stream_end},
    {METHOD_POST, FILES "WatchDir", STREAM, SCOPE_READ, e2b_watch_dir},
};

static const struct api_surface unary_surface = {.admit = e2b_admit_envd, .fail = e2b_fail_unary};
static const struct api_surface stream_surface = {.admit = e2b_admit_envd, .fail = e2b_fail_stream};

const struct e2b_plane e2b_unary_plane = {unary_routes, ARRAY_SIZE(unary_routes), &unary_surface};
const struct e2b_plane e2b_stream_plane = {stream_routes, ARRAY_SIZE(stream_routes),
                                           &stream_surface};
