/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - a watched directory for clients that ask now and then what has changed.
 *
 * state      waits for                       then
 * opening    OK of the agent                 watching, and the request is answered
 * watching   RemoveWatcher, or the end of    closed
 *            the sandbox or of the server
 *
 * Changes are kept as JSON, up to WATCHER_BYTES: what a client never fetches costs no more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "e2b/internal.h"
#include "stream/tell.h"
#include "wire/call.h"

#define WATCHER_BYTES   (1u << 20)
#define WATCHER_MAX     32 /* of one sandbox */
#define WATCHER_OPEN_MS 60000

struct watcher {
    struct list node; /* in e2b->watchers until it is closed */
    struct agent_call agent;
    struct api_call *call; /* that waits for the answer; NULL: none */
    char id[ID_SIZE], sandbox[ID_SIZE];
    struct buf changes; /* elements of an array */
};

static void watcher_close(struct watcher *w)
{
    if (w->call != NULL) {
        w->call->cancel = NULL;
        w->call->state = NULL;
    }
    w->call = NULL;
    list_del(&w->node);
    agent_call_close(&w->agent);
}

static void watcher_cancel(struct api_call *call)
{
    watcher_close(call->state);
}

static void watcher_opened(struct watcher *w)
{
    struct buf body = {0};
    struct jsonw out = {.out = &body};
    struct api_call *call = w->call;
    w->call = NULL;
    agent_call_set_deadline(&w->agent, 0);
    jsonw_object(&out);
    jsonw_key_str(&out, "watcherId", w->id);
    jsonw_object_end(&out);
    api_reply(call, 200, &body);
}

static void watcher_add(struct watcher *w, const struct wire_changed *change)
{
    struct tell_change seen[2];
    struct jsonw out = {.out = &w->changes, .comma = w->changes.len > 0};
    unsigned int n = tell_changes(change, seen);
    for (unsigned int i = 0; i < n && w->changes.len < WATCHER_BYTES; i++)
        tell_change_write(&out, &seen[i]);
}

static void watcher_failed(struct agent_call *agent, const struct error *err)
{
    struct watcher *w = container_of(agent, struct watcher, agent);
    struct api_call *call = w->call;
    watcher_close(w);
    if (call != NULL)
        api_fail(call, err);
}

static void watcher_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct watcher *w = container_of(agent, struct watcher, agent);
    struct wire_changed change;
    struct error err;
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &err);
        watcher_failed(agent, &err);
    } else if (w->call != NULL && wire_reply_is(frame, WIRE_OK)) {
        watcher_opened(w);
    } else if (w->call == NULL && wire_reply_change(frame, &change)) {
        watcher_add(w, &change);
    } else {
        agent_call_bad_frame(agent);
    }
}

static void watcher_closed(struct agent_call *agent)
{
    struct watcher *w = container_of(agent, struct watcher, agent);
    buf_done(&w->changes);
    free(w);
}

static const struct agent_call_handler watcher_handler = {
    .frame = watcher_frame, .failed = watcher_failed, .closed = watcher_closed};

static unsigned int watcher_count(struct api_call *call)
{
    unsigned int n = 0;
    list_for_each (it, &call->api->e2b->watchers)
        n += strcmp(list_entry(it, struct watcher, node)->sandbox, call->sandbox->id) == 0;
    return n;
}

void e2b_watcher_create(struct api_call *call)
{
    struct buf request = {0};
    if (watcher_count(call) >= WATCHER_MAX) {
        api_fail_code(call, ERROR_QUOTA_EXCEEDED, "The sandbox has too many watchers");
        return;
    }
    if (!e2b_watch_request(call, &request))
        return;
    if (call->user != NULL)
        wire_request_as(&request, call->user);
    struct watcher *w = calloc(1, sizeof(*w));
    if (w == NULL || agent_call_start(&w->agent, &call->sandbox->target, &watcher_handler, &request,
                                      WATCHER_OPEN_MS) < 0) {
        free(w);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    w->call = call;
    id_new(w->id);
    memcpy(w->sandbox, call->sandbox->id, sizeof(w->sandbox));
    list_add_tail(&call->api->e2b->watchers, &w->node);
    call->state = w;
    call->cancel = watcher_cancel;
}

/* The watcher that the request names, of this sandbox. NULL: the request has its answer. */
static struct watcher *watcher_find(struct api_call *call)
{
    struct error err;
    const char *id = NULL;
    int rv = json_get_str(call->body, "watcherId", NULL, &id, &err);
    if (rv == 0 && id == NULL)
        rv = json_need_str(call->body, "watcher_id", &id, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return NULL;
    }
    list_for_each (it, &call->api->e2b->watchers) {
        struct watcher *w = list_entry(it, struct watcher, node);
        if (w->call == NULL && strcmp(w->id, id) == 0 && strcmp(w->sandbox, call->sandbox->id) == 0)
            return w;
    }
    api_fail_code(call, ERROR_FILE_NOT_FOUND, "There is no such watcher");
    return NULL;
}

void e2b_watcher_events(struct api_call *call)
{
    struct buf body = {0};
    struct watcher *w = watcher_find(call);
    if (w == NULL)
        return;
    (void)buf_append_str(&body, "{\"events\":[");
    (void)buf_append(&body, w->changes.data, w->changes.len);
    (void)buf_append_str(&body, "]}");
    buf_done(&w->changes);
    api_reply(call, 200, &body);
}

void e2b_watcher_remove(struct api_call *call)
{
    struct watcher *w = watcher_find(call);
    if (w == NULL)
        return;
    watcher_close(w);
    e2b_reply_empty(call);
}

void e2b_stop(struct e2b *e)
{
    while (!list_empty(&e->watchers))
        watcher_close(list_first(&e->watchers, struct watcher, node));
}
