/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.c - requests that put a sandbox away, bring it back, or wait for that.
 *
 * The sandbox goes its way whether or not the client waits.
 */
#include "api/wake.h"

/* In the request's arena; `call->state` points to it. */
struct wake {
    struct sandbox_wait wait;
    struct api_call *call;
    void *state; /* the call's, for `then` */
    void (*then)(struct api_call *call);
};

static void wake_cancel(struct api_call *call)
{
    struct wake *k = call->state;
    list_del(&k->wait.node);
}

/* The body of a streamed request was held back. The request may be over after `then`, and the next
 * one of the connection in its place. */
static void wake_done(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct wake *k = container_of(w, struct wake, wait);
    struct api_call *call = k->call;
    struct http_request *req = call->req;
    uint64_t id = req->id;
    (void)sb;
    call->state = k->state;
    call->cancel = NULL;
    if (err != NULL)
        api_fail(call, err);
    else
        k->then(call);
    if (req->id == id && req->status == 0)
        http_body_resume(req);
}

static struct wake *wake_new(struct api_call *call, void (*then)(struct api_call *call))
{
    struct wake *k = arena_alloc(&call->req->arena, sizeof(*k));
    if (k == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    k->wait.done = wake_done;
    k->call = call;
    k->state = call->state;
    k->then = then;
    list_init(&k->wait.node);
    call->state = k;
    call->cancel = wake_cancel;
    return k;
}

void api_wake(struct api_call *call, struct sandbox *sb, void (*then)(struct api_call *call))
{
    struct error err;
    struct wake *k = wake_new(call, then);
    if (k == NULL)
        return;
    if ((call->route->flags & API_STREAM) != 0)
        http_body_pause(call->req);
    if (sandbox_table_wake(sb, &k->wait, &err) < 0)
        api_fail(call, &err);
}

void api_sandbox_put_away(struct api_call *call, void (*then)(struct api_call *call))
{
    struct error err;
    struct wake *k = wake_new(call, then);
    if (k != NULL && sandbox_table_pause(call->sandbox, &k->wait, &err) < 0)
        api_fail(call, &err);
}

void api_sandbox_bring_back(struct api_call *call, unsigned int seconds,
                            void (*then)(struct api_call *call))
{
    struct error err;
    struct wake *k = wake_new(call, then);
    if (k != NULL && sandbox_table_resume(call->sandbox, seconds, &k->wait, &err) < 0)
        api_fail(call, &err);
}

void api_sandbox_roll_back(struct api_call *call, const char *dir,
                           void (*then)(struct api_call *call))
{
    struct error err;
    struct wake *k = wake_new(call, then);
    if (k != NULL && sandbox_table_rollback(call->sandbox, dir, &k->wait, &err) < 0)
        api_fail(call, &err);
}
