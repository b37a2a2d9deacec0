/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - see call.h for the life of a call.
 *
 * A call has two libuv handles, the stream and the timer, and `closed` comes when both are gone.
 * The timer has one meaning a state: the connection's time-out at first, the caller's deadline
 * later. That is why agent_call_set_deadline does nothing before the call is open.
 */
#include "wire/call.h"

#include <errno.h>
#include <unistd.h>

#include "core/step.h"

static void call_opened(struct stream *s, int status);
static void call_data(struct stream *s, const uint8_t *data, size_t len);
static void call_ended(struct stream *s, int status);
static void call_drained(struct stream *s);
static void call_stream_closed(struct stream *s);
static void call_timer(uv_timer_t *timer);
static void call_timer_closed(uv_handle_t *handle);
static void call_frames(struct agent_call *call);

static const struct stream_handler call_stream_handler = {
    .opened = call_opened,
    .data = call_data,
    .ended = call_ended,
    .drained = call_drained,
    .closed = call_stream_closed,
};

void agent_target_init(struct agent_target *t, uv_loop_t *loop, const char *socket_path)
{
    *t = (struct agent_target){.loop = loop, .socket_path = socket_path};
    list_init(&t->calls);
}

static void call_fail(struct agent_call *call, const struct error *err)
{
    if (call->state >= AGENT_CALL_FAILED)
        return;
    call->state = AGENT_CALL_FAILED;
    stream_read_stop(&call->stream);
    uv_timer_stop(&call->timer);
    call->handler->failed(call, err);
}

/* Several owners may hang on one target, and a `failed` callback may close any of them: the list is
 * walked from its start until no call is left that can fail. */
void agent_target_fail(struct agent_target *t, const struct error *err)
{
    list_for_each (it, &t->calls) {
        struct agent_call *call = list_entry(it, struct agent_call, node);
        if (call->state < AGENT_CALL_FAILED) {
            call_fail(call, err);
            it = &t->calls;
        }
    }
}

/* Its handles, open and without a connection. */
static int call_init(struct agent_call *call, struct agent_target *target,
                     const struct agent_call_handler *handler, struct buf *request,
                     uint64_t timeout_ms)
{
    *call = (struct agent_call){
        .target = target, .handler = handler, .deadline_ms = timeout_ms, .request = *request};
    *request = (struct buf){0};
    call->reader.parts = true; /* a file's contents go on as they come */
    list_init(&call->node);
    int rv = call->request.failed ? -ENOMEM : 0;
    if (rv == 0)
        rv = stream_init_pipe(&call->stream, target->loop, &call_stream_handler);
    if (rv < 0) {
        buf_done(&call->request);
        return rv;
    }
    uv_timer_init(target->loop, &call->timer);
    list_add_tail(&target->calls, &call->node);
    target->used_ms = uv_now(target->loop);
    call->state = AGENT_CALL_CONNECTING;
    return 0;
}

int agent_call_start(struct agent_call *call, struct agent_target *target,
                     const struct agent_call_handler *handler, struct buf *request,
                     uint64_t timeout_ms)
{
    int rv = call_init(call, target, handler, request, timeout_ms);
    if (rv < 0)
        return rv;
    uv_timer_start(&call->timer, call_timer, AGENT_CONNECT_TIMEOUT_MS, 0);
    rv = stream_connect_pipe(&call->stream, target->socket_path);
    if (rv < 0) /* the handles exist and must close: the failure is told from the loop */
        uv_timer_start(&call->timer, call_timer, 0, 0);
    return 0;
}

/* The agent has answered the greeting. */
static void call_open(struct agent_call *call)
{
    call->state = AGENT_CALL_OPEN;
    agent_call_set_deadline(call, call->deadline_ms);
    (void)stream_write_buf(&call->stream, &call->request);
    if (call->handler->opened != NULL)
        call->handler->opened(call);
}

int agent_call_start_on(struct agent_call *call, struct agent_target *target,
                        const struct agent_call_handler *handler, struct buf *request,
                        uint64_t timeout_ms, int fd)
{
    int rv = call_init(call, target, handler, request, timeout_ms);
    if (rv < 0) {
        (void)close(fd);
        return rv;
    }
    if (stream_open(&call->stream, fd) < 0) {
        uv_timer_start(&call->timer, call_timer, 0, 0);
        return 0;
    }
    stream_read_start(&call->stream);
    call_open(call);
    return 0;
}

static void call_opened(struct stream *s, int status)
{
    struct agent_call *call = container_of(s, struct agent_call, stream);
    struct error err;
    char greeting[WIRE_GREETING_SIZE];
    if (call->state != AGENT_CALL_CONNECTING)
        return;
    if (status < 0) {
        error_set_errno(&err, ERROR_SANDBOX_FAILED, status, "The sandbox does not answer");
        call_fail(call, &err);
        return;
    }
    size_t n = wire_greeting_print(greeting, WIRE_AGENT_PORT);
    call->state = AGENT_CALL_GREETING;
    step_reach("call", "opened");
    (void)stream_write(s, greeting, n); /* a failure comes through `ended` */
    stream_read_start(s);
}

/* Takes bytes of the greeting's answer; the number used, or -EPROTO. */
static ssize_t call_greeting(struct agent_call *call, const uint8_t *data, size_t len)
{
    ssize_t used = wire_greeting_feed(&call->greeting, data, len);
    if (used >= 0 && call->greeting.done)
        call_open(call);
    return used;
}

static void call_protocol_error(struct agent_call *call, const char *what)
{
    struct error err;
    error_set(&err, ERROR_SANDBOX_FAILED, "The sandbox's agent broke the protocol: %s", what);
    call_fail(call, &err);
}

static void call_data(struct stream *s, const uint8_t *data, size_t len)
{
    struct agent_call *call = container_of(s, struct agent_call, stream);
    if (call->state == AGENT_CALL_GREETING) {
        ssize_t used = call_greeting(call, data, len);
        if (used < 0) {
            call_protocol_error(call, "greeting");
            return;
        }
        data += used;
        len -= (size_t)used;
    }
    if (len == 0)
        return;
    if (call->state == AGENT_CALL_RAW) {
        call->handler->raw(call, data, len);
        return;
    }
    int rv = wire_reader_lend(&call->reader, data, len);
    if (rv == 0) {
        call_frames(call);
        rv = wire_reader_keep(&call->reader);
    }
    if (rv < 0)
        call_protocol_error(call, "out of memory");
}

static void call_frames(struct agent_call *call)
{
    struct wire_frame frame;
    call->in_frames = true;
    while (call->state == AGENT_CALL_OPEN && !call->paused) {
        int rv = wire_reader_next(&call->reader, &frame);
        if (rv < 0)
            call_protocol_error(call, "frame header");
        if (rv <= 0)
            break;
        call->handler->frame(call, &frame);
    }
    if (call->state == AGENT_CALL_RAW) {
        struct span rest = wire_reader_rest(&call->reader);
        if (rest.len > 0)
            call->handler->raw(call, (const uint8_t *)rest.data, rest.len);
        wire_reader_done(&call->reader);
    }
    call->in_frames = false;
}

static void call_ended(struct stream *s, int status)
{
    struct agent_call *call = container_of(s, struct agent_call, stream);
    struct error err;
    if (status == 0)
        error_set(&err, ERROR_SANDBOX_FAILED, "The sandbox's agent closed the connection");
    else
        error_set_errno(&err, ERROR_SANDBOX_FAILED, status, "The connection to the agent was lost");
    call_fail(call, &err);
}

static void call_drained(struct stream *s)
{
    struct agent_call *call = container_of(s, struct agent_call, stream);
    if (call->handler->drained != NULL && call->state < AGENT_CALL_FAILED)
        call->handler->drained(call);
}

static void call_timer(uv_timer_t *timer)
{
    struct agent_call *call = container_of(timer, struct agent_call, timer);
    struct error err;
    if (call->state == AGENT_CALL_CONNECTING || call->state == AGENT_CALL_GREETING)
        error_set(&err, ERROR_SANDBOX_FAILED, "The sandbox's agent cannot be reached");
    else
        error_set(&err, ERROR_TIMEOUT, "The sandbox's agent did not answer in time");
    call_fail(call, &err);
}

void agent_call_set_deadline(struct agent_call *call, uint64_t timeout_ms)
{
    if (call->state != AGENT_CALL_OPEN && call->state != AGENT_CALL_RAW)
        return;
    if (timeout_ms > 0)
        uv_timer_start(&call->timer, call_timer, timeout_ms, 0);
    else
        uv_timer_stop(&call->timer);
}

int agent_call_send_buf(struct agent_call *call, struct buf *frames)
{
    int rv = -ECANCELED;
    if (call->state == AGENT_CALL_OPEN)
        rv = frames->failed ? -ENOMEM : stream_write_buf(&call->stream, frames);
    buf_done(frames);
    return rv;
}

int agent_call_send(struct agent_call *call, enum wire_type type, const void *payload, size_t len)
{
    struct buf frame = {0};
    if (call->state != AGENT_CALL_OPEN)
        return -ECANCELED;
    (void)wire_put_frame(&frame, type, payload, len);
    return agent_call_send_buf(call, &frame);
}

void agent_call_turn_raw(struct agent_call *call)
{
    if (call->state == AGENT_CALL_OPEN)
        call->state = AGENT_CALL_RAW;
}

int agent_call_send_raw(struct agent_call *call, const void *data, size_t len)
{
    return call->state == AGENT_CALL_RAW ? stream_write(&call->stream, data, len) : -ECANCELED;
}

void agent_call_shutdown(struct agent_call *call)
{
    if (call->state == AGENT_CALL_RAW)
        stream_shutdown(&call->stream);
}

bool agent_call_writable(const struct agent_call *call)
{
    return stream_writable(&call->stream);
}

void agent_call_pause(struct agent_call *call)
{
    call->paused = true;
    stream_read_stop(&call->stream);
}

void agent_call_resume(struct agent_call *call)
{
    if (!call->paused || call->state >= AGENT_CALL_FAILED)
        return;
    call->paused = false;
    stream_read_start(&call->stream);
    if (call->state == AGENT_CALL_OPEN && !call->in_frames)
        call_frames(call);
}

void agent_call_bad_frame(struct agent_call *call)
{
    call_protocol_error(call, "unexpected frame");
}

static void call_maybe_closed(struct agent_call *call)
{
    if (!call->stream_closed || !call->timer_closed)
        return;
    call->target->bytes_in += call->stream.bytes_in;
    call->target->bytes_out += call->stream.bytes_out;
    list_del(&call->node);
    call->target->used_ms = uv_now(call->target->loop);
    wire_reader_done(&call->reader);
    buf_done(&call->request);
    if (call->handler->closed != NULL)
        call->handler->closed(call);
}

void agent_call_close(struct agent_call *call)
{
    if (call->state == AGENT_CALL_CLOSING)
        return;
    call->state = AGENT_CALL_CLOSING;
    step_reach("call", "closed");
    stream_close(&call->stream);
    uv_close((uv_handle_t *)&call->timer, call_timer_closed);
}

static void call_stream_closed(struct stream *s)
{
    struct agent_call *call = container_of(s, struct agent_call, stream);
    call->stream_closed = true;
    call_maybe_closed(call);
}

static void call_timer_closed(uv_handle_t *handle)
{
    struct agent_call *call = container_of((uv_timer_t *)handle, struct agent_call, timer);
    call->timer_closed = true;
    call_maybe_closed(call);
}
