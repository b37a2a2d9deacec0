/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_stream.c - StreamInput: messages that arrive while the request lasts, each for the standard
 * input of the process that the first one names.
 *
 * One message at a time is with the agent, and the body pauses meanwhile. So a process that does
 * not read slows the client down. The answer comes when the body is over and the last message was
 * taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "e2b/internal.h"
#include "stream/connect.h"
#include "wire/call.h"

struct input_stream {
    struct api_call *call; /* NULL once the request is answered or gone */
    struct agent_call agent;
    bool agent_open; /* `agent` has not closed */
    bool named;      /* `which` is set */
    bool complete;   /* the body is over */
    struct wire_which which;
    struct buf held; /* of the body, not parsed yet */
};

static void input_stream_pump(struct input_stream *s);

static void input_stream_maybe_free(struct input_stream *s)
{
    if (s->call != NULL || s->agent_open)
        return;
    buf_done(&s->held);
    free(s);
}

static struct api_call *input_stream_detach(struct input_stream *s)
{
    struct api_call *call = s->call;
    s->call = NULL;
    call->cancel = NULL;
    call->state = NULL;
    if (s->agent_open)
        agent_call_close(&s->agent);
    input_stream_maybe_free(s);
    return call;
}

static void input_stream_cancel(struct api_call *call)
{
    (void)input_stream_detach(call->state);
}

static void input_stream_failed(struct agent_call *agent, const struct error *err)
{
    struct error copy = *err;
    if (copy.code == ERROR_FILE_NOT_FOUND)
        copy.code = ERROR_PROCESS_NOT_FOUND;
    api_fail(input_stream_detach(container_of(agent, struct input_stream, agent)), &copy);
}

static void input_stream_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct error err;
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &err);
        input_stream_failed(agent, &err);
    } else if (wire_reply_is(frame, WIRE_OK)) {
        agent_call_close(agent); /* the next message follows its close */
    } else {
        agent_call_bad_frame(agent);
    }
}

static void input_stream_closed(struct agent_call *agent)
{
    struct input_stream *s = container_of(agent, struct input_stream, agent);
    s->agent_open = false;
    if (s->call != NULL)
        input_stream_pump(s);
    else
        input_stream_maybe_free(s);
}

static const struct agent_call_handler input_stream_handler = {
    .frame = input_stream_frame, .failed = input_stream_failed, .closed = input_stream_closed};

static int input_stream_start(struct input_stream *s, const json *start, struct error *err)
{
    int rv = e2b_which(start, &s->which, err);
    if (rv == 0 && s->which.tag != NULL)
        s->which.tag = arena_strndup(&s->call->req->arena, s->which.tag, strlen(s->which.tag));
    s->named = rv == 0;
    return rv;
}

static int input_stream_send(struct input_stream *s, const json *data, struct error *err)
{
    cleanup_buf struct buf bytes = {0};
    struct buf request = {0};
    if (!s->named)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The first message names no process");
    int rv = e2b_input(data, &bytes, err);
    if (rv < 0)
        return rv;
    wire_request_process_input(&request, &s->which, 0, bytes.data, bytes.len);
    rv = agent_call_start(&s->agent, &s->call->sandbox->target, &input_stream_handler, &request, 0);
    s->agent_open = rv == 0;
    return rv < 0 ? error_set(err, ERROR_INTERNAL, "Out of memory") : 0;
}

/* A message that is neither is a sign of life. */
static int input_stream_message(struct input_stream *s, struct span text, struct error *err)
{
    cleanup_json json *message = json_parse_object(text.data, text.len, err);
    const json *start = NULL, *data = NULL;
    if (message == NULL)
        return -EINVAL;
    int rv = json_get_object(message, "start", &start, err);
    if (rv == 0)
        rv = json_get_object(message, "data", &data, err);
    if (rv == 0 && start != NULL)
        rv = input_stream_start(s, start, err);
    if (rv == 0 && data != NULL)
        rv = input_stream_send(s, data, err);
    return rv;
}

static void input_stream_over(struct input_stream *s)
{
    struct buf body = {0};
    size_t start = connect_begin(&body);
    (void)buf_append_str(&body, "{}");
    connect_end(&body, start);
    connect_end_stream(&body, NULL);
    http_reply_buf(input_stream_detach(s)->req, 200, "application/connect+json", &body);
}

static void input_stream_pump(struct input_stream *s)
{
    struct error err;
    struct span text;
    int rv = 0;
    while (rv == 0 && !s->agent_open) {
        ssize_t n = connect_message(s->held.data, s->held.len, E2B_MAX_FRAME, &text);
        if (n == 0)
            break;
        rv = n < 0 ? error_set(&err, ERROR_INVALID_REQUEST, "The body has a broken message")
                   : input_stream_message(s, text, &err);
        buf_consume(&s->held, n > 0 ? (size_t)n : 0);
    }
    if (rv == 0 && s->complete && !s->agent_open && s->held.len > 0)
        rv = error_set(&err, ERROR_INVALID_REQUEST, "The body ends in the middle of a message");
    if (rv < 0)
        api_fail(input_stream_detach(s), &err);
    else if (s->agent_open)
        http_body_pause(s->call->req);
    else if (s->complete)
        input_stream_over(s);
    else
        http_body_resume(s->call->req);
}

void e2b_input_stream(struct api_call *call)
{
    struct input_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    s->call = call;
    call->state = s;
    call->cancel = input_stream_cancel;
}

void e2b_input_stream_data(struct api_call *call, const uint8_t *data, size_t len)
{
    struct input_stream *s = call->state;
    if (s != NULL && buf_append(&s->held, data, len) == 0)
        input_stream_pump(s);
}

void e2b_input_stream_end(struct api_call *call)
{
    struct input_stream *s = call->state;
    if (s == NULL)
        return;
    s->complete = true;
    input_stream_pump(s);
}
