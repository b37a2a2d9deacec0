/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - see feed.h. The timer outlives the operation by one turn of the loop: its close frees
 * the feed. */
#include "api/feed.h"

#include "sandbox/oom.h"

struct feed {
    struct api_op op;
    struct event_source source;
    const struct event_writer *writer;
    uv_timer_t timer; /* first FEED_PATIENCE_MS, then signs of life */
    uint64_t timeout_ms;
    uint64_t written_ms; /* loop time of the last bytes */
    struct buf out;
    struct sandbox_oom oom;
    bool begun; /* the answer's headers have left */
};

static void feed_frame(struct api_op *op, const struct wire_frame *frame);
static void feed_failed(struct api_op *op, const struct error *err);
static void feed_release(struct api_op *op);
static void feed_on_timer(uv_timer_t *timer);
static void feed_on_writable(struct http_request *req);

static const struct api_op_ops feed_ops = {
    .frame = feed_frame, .failed = feed_failed, .release = feed_release};

static void feed_emit(struct event_source *source, const struct event *event)
{
    struct feed *f = container_of(source, struct feed, source);
    struct event e = *event;
    if (e.type == EVENT_EXIT)
        sandbox_oom_judge(&f->oom, f->op.call->sandbox, &e.exit);
    else if (e.type == EVENT_DONE && e.done.status == WIRE_CODE_KERNEL_DIED)
        sandbox_oom_judge(&f->oom, f->op.call->sandbox, &e.done.how);
    f->writer->event(&f->out, &e);
}

void api_feed_start(struct api_call *call, const struct feed_params *p, struct buf *request)
{
    struct feed *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    f->source = (struct event_source){.kind = p->kind,
                                      .text = !p->raw,
                                      .after = p->after,
                                      .lines = p->lines,
                                      .watched = p->watched,
                                      .emit = feed_emit};
    f->writer = p->writer;
    f->op.not_found = p->not_found;
    f->timeout_ms = p->timeout_ms;
    sandbox_oom_mark(&f->oom, call->sandbox);
    (void)uv_timer_init(call->api->loop, &f->timer); /* never fails */
    (void)uv_timer_start(&f->timer, feed_on_timer, FEED_PATIENCE_MS, 0);
    call->req->writable = feed_on_writable;
    api_op_start(&f->op, call, &feed_ops, request, p->timeout_ms);
}

static void feed_begin(struct feed *f)
{
    struct http_request *req = f->op.call->req;
    if (f->begun)
        return;
    f->begun = true;
    (void)http_add_header(req, "Cache-Control", "no-cache");
    (void)http_add_header(req, "X-Accel-Buffering", "no"); /* proxies must not hold it back */
    http_reply_start(req, 200, f->writer->content_type, -1);
    f->written_ms = uv_now(f->timer.loop);
    (void)uv_timer_start(&f->timer, feed_on_timer, f->writer->keepalive_ms, 0);
}

/* Hands what was written to the client, and has the agent wait while it does not read. The backstop
 * waits, too: as long as the client takes something, the end of a run that is over may take its
 * time to arrive. */
static void feed_flush(struct feed *f)
{
    struct http_request *req = f->op.call->req;
    feed_begin(f);
    if (f->out.len == 0)
        return;
    if (f->out.failed) {
        http_reply_abort(req);
        return;
    }
    http_reply_write(req, f->out.data, f->out.len);
    buf_reset(&f->out);
    f->written_ms = uv_now(f->timer.loop);
    if (!http_reply_writable(req)) {
        agent_call_pause(&f->op.agent);
        agent_call_set_deadline(&f->op.agent, 0);
    }
}

static void feed_on_writable(struct http_request *req)
{
    struct api_call *call = req->app;
    struct api_op *op = call->state;
    if (op == NULL)
        return;
    agent_call_set_deadline(&op->agent, container_of(op, struct feed, op)->timeout_ms);
    agent_call_resume(&op->agent);
}

static void feed_end(struct feed *f)
{
    feed_flush(f);
    uv_timer_stop(&f->timer);
    http_reply_end(api_op_close(&f->op)->req);
}

static void feed_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct feed *f = container_of(op, struct feed, op);
    int rv = event_source_feed(&f->source, frame);
    if (rv < 0)
        api_op_bad_frame(op);
    else if (rv > 0 || op->call->req->method == METHOD_HEAD)
        feed_end(f);
    else
        feed_flush(f);
}

static void feed_failed(struct api_op *op, const struct error *err)
{
    struct feed *f = container_of(op, struct feed, op);
    if (!f->begun) {
        api_fail(api_op_close(op), err);
        return;
    }
    const struct event e = {.type = EVENT_FAILED, .failure = err};
    f->writer->event(&f->out, &e);
    feed_end(f);
}

/* An event that the client has not read yet is sign of life enough. */
static void feed_on_timer(uv_timer_t *timer)
{
    struct feed *f = container_of(timer, struct feed, timer);
    if (f->op.call == NULL)
        return;
    uint64_t quiet = uv_now(timer->loop) - f->written_ms;
    uint64_t due = f->writer->keepalive_ms;
    if (!f->begun) {
        feed_begin(f);
        return;
    }
    if (quiet >= due && http_reply_writable(f->op.call->req)) {
        sandbox_check(f->op.call->sandbox); /* whether anybody is left who could say something */
        f->writer->keepalive(&f->out);
        feed_flush(f);
    }
    (void)uv_timer_start(timer, feed_on_timer, quiet < due ? due - quiet : due, 0);
}

static void feed_on_timer_closed(uv_handle_t *handle)
{
    struct feed *f = container_of((uv_timer_t *)handle, struct feed, timer);
    event_source_done(&f->source);
    buf_done(&f->out);
    free(f);
}

static void feed_release(struct api_op *op)
{
    struct feed *f = container_of(op, struct feed, op);
    uv_close((uv_handle_t *)&f->timer, feed_on_timer_closed);
}
