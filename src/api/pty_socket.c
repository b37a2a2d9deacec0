/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pty_socket.c - a terminal over a WebSocket: binary messages are its bytes both ways, and a text
 * message {"resize":{"cols":80,"rows":24}} gives it another size.
 *
 * The happy path is: the handshake's head is checked, PROCESS_ATTACH, PROCESS (now the connection
 * leaves HTTP), OUTPUT to the client and its messages to the process, PROCESS_EXIT: a text message
 * {"exit_code":0} and a close. Possible failure modes are: no such process, or one without a
 * terminal (an error with its status, before the handshake); the client breaks the protocol, is
 * silent for too long or goes away (the connection closes, the process lives on); the sandbox
 * ends (close code 1011); either side reads slowly (the other is paused).
 */
#include <string.h>
#include <strings.h>

#include "api/op.h"
#include "api/process.h"
#include "base/num.h"
#include "wire/reply.h"
#include "ws/ws.h"

#define SOCKET_PING_MS 30000
#define SOCKET_SILENCE 3 /* pings without any byte of the client: it is gone */

struct pty_socket {
    struct api_op op;
    uv_timer_t timer;
    struct ws *ws; /* owned, NULL before the handshake */
    char accept[WS_ACCEPT_SIZE];
    bool protocol;        /* the client named ours */
    unsigned int silence; /* pings since the client was heard */
};

static void socket_frame(struct api_op *op, const struct wire_frame *frame);
static void socket_failed(struct api_op *op, const struct error *err);
static void socket_drained(struct api_op *op);
static void socket_release(struct api_op *op);
static void socket_on_message(void *ctx, bool is_text, const uint8_t *data, size_t len);
static void socket_on_send(void *ctx, const uint8_t *data, size_t len);
static void socket_on_data(struct http_request *req, const uint8_t *data, size_t len);
static void socket_on_ended(struct http_request *req);
static void socket_on_writable(struct http_request *req);
static void socket_on_timer(uv_timer_t *timer);

static const struct api_op_ops socket_ops = {.frame = socket_frame,
                                             .drained = socket_drained,
                                             .failed = socket_failed,
                                             .release = socket_release};
static const struct ws_handler socket_messages = {.message = socket_on_message,
                                                  .send = socket_on_send};
static const struct http_raw socket_client = {.data = socket_on_data, .ended = socket_on_ended};

static bool socket_header_is(struct http_request *req, const char *name, const char *value)
{
    const struct http_str *h = http_header(req, name);
    return h != NULL && strcasecmp(h->data, value) == 0;
}

/* NULL: the request has its answer. */
static const char *socket_key(struct api_call *call)
{
    const struct http_str *key = http_header(call->req, "Sec-WebSocket-Key");
    if (socket_header_is(call->req, "Upgrade", "websocket") &&
        socket_header_is(call->req, "Sec-WebSocket-Version", "13") && key != NULL &&
        key->len == WS_KEY_SIZE - 1)
        return key->data;
    (void)http_add_header(call->req, "Upgrade", "websocket");
    (void)http_add_header(call->req, "Sec-WebSocket-Version", "13");
    api_fail_code(call, ERROR_UPGRADE_REQUIRED, "This route speaks WebSocket version 13");
    return NULL;
}

void api_pty_socket(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    uint64_t first;
    struct buf request = {0};
    const char *key = socket_key(call);
    if (key == NULL || !process_which(call, &which))
        return;
    if (process_parse_after(call, &first, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    struct pty_socket *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    ws_accept(key, s->accept);
    s->protocol = api_socket_protocol(call->req) != NULL;
    s->op.not_found = ERROR_PROCESS_NOT_FOUND;
    (void)uv_timer_init(call->api->loop, &s->timer); /* never fails */
    if (first != 0 && first != WIRE_SEQ_NOW)
        first++;
    wire_request_process_attach(&request, &which, first, 0);
    api_op_start(&s->op, call, &socket_ops, &request, 0);
}

/* --- to the client --- */

static void socket_open(struct pty_socket *s)
{
    struct http_request *req = s->op.call->req;
    cleanup_buf struct buf head = {0};
    s->ws = ws_new(false, &socket_messages, s);
    if (s->ws == NULL || http_upgrade(req, &socket_client) < 0) {
        http_reply_abort(req);
        return;
    }
    (void)buf_printf(&head,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
                     s->accept,
                     s->protocol ? "Sec-WebSocket-Protocol: " API_SOCKET_PROTOCOL "\r\n" : "");
    http_raw_write(req, head.data, head.len);
    req->status = 101;
    req->writable = socket_on_writable;
    (void)uv_timer_start(&s->timer, socket_on_timer, SOCKET_PING_MS, SOCKET_PING_MS);
}

static void socket_on_send(void *ctx, const uint8_t *data, size_t len)
{
    struct pty_socket *s = ctx;
    if (s->op.call != NULL)
        http_raw_write(s->op.call->req, data, len);
}

static void socket_throttle(struct pty_socket *s)
{
    if (!http_reply_writable(s->op.call->req))
        agent_call_pause(&s->op.agent);
}

/* Closes both sides; the process lives on. */
static void socket_close(struct pty_socket *s, uint16_t code, const char *reason)
{
    ws_close(s->ws, code, reason);
    uv_timer_stop(&s->timer);
    struct api_call *call = api_op_close(&s->op);
    if (call == NULL)
        return;
    call->req->writable = NULL;
    http_raw_end(call->req);
}

static void socket_exit(struct pty_socket *s, const struct wire_exit *how)
{
    cleanup_buf struct buf text = {0};
    (void)buf_printf(&text, "{\"exit_code\":%d}", how->code);
    (void)ws_send(s->ws, true, text.data, text.len);
    socket_close(s, WS_CLOSE_NORMAL, "The process has ended");
}

static void socket_attached(struct pty_socket *s, const struct wire_process *process)
{
    if ((process->flags & WIRE_PROCESS_PTY) != 0)
        socket_open(s);
    else
        api_fail_code(api_op_close(&s->op), ERROR_INVALID_STATE, "The process has no terminal");
}

static void socket_frame(struct api_op *op, const struct wire_frame *frame)
{
    static const char gap[] = "{\"gap\":true}";
    struct pty_socket *s = container_of(op, struct pty_socket, op);
    struct wire_process process;
    struct wire_output output;
    struct wire_exit how;
    uint64_t next;
    if (s->ws == NULL && wire_reply_process(frame, &process)) {
        socket_attached(s, &process);
    } else if (s->ws == NULL) {
        api_op_bad_frame(op);
    } else if (wire_reply_output(frame, &output)) {
        (void)ws_send(s->ws, false, output.bytes.data, output.bytes.len);
        socket_throttle(s);
    } else if (wire_reply_gap(frame, &next)) {
        (void)ws_send(s->ws, true, gap, sizeof(gap) - 1);
    } else if (wire_reply_process_exit(frame, &how)) {
        socket_exit(s, &how);
    } else {
        api_op_bad_frame(op);
    }
}

static void socket_failed(struct api_op *op, const struct error *err)
{
    struct pty_socket *s = container_of(op, struct pty_socket, op);
    if (s->ws == NULL)
        api_fail(api_op_close(op), err);
    else
        socket_close(s, WS_CLOSE_FAILED, err->message);
}

static void socket_on_writable(struct http_request *req)
{
    struct api_call *call = req->app;
    struct api_op *op = call->state;
    if (op != NULL)
        agent_call_resume(&op->agent);
}

/* --- from the client --- */

static void socket_input(struct pty_socket *s, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n = MIN(len, (size_t)WIRE_CHUNK);
        (void)agent_call_send(&s->op.agent, WIRE_STDIN, data, n); /* a failure comes as `failed` */
        data += n;
        len -= n;
    }
    if (!agent_call_writable(&s->op.agent))
        http_body_pause(s->op.call->req);
}

static void socket_drained(struct api_op *op)
{
    if (op->call != NULL)
        http_body_resume(op->call->req);
}

/* Text that makes no sense is ignored: later clients may say more. */
static void socket_control(struct pty_socket *s, const uint8_t *data, size_t len)
{
    struct error err;
    const json *size = NULL;
    uint32_t columns, rows;
    cleanup_json json *body = json_parse_object(data, len, &err);
    if (body == NULL || json_get_object(body, "resize", &size, &err) < 0 || size == NULL ||
        process_parse_size(size, &columns, &rows, &err) < 0)
        return;
    struct buf frame = {0};
    wire_request_resize(&frame, columns, rows);
    (void)agent_call_send_buf(&s->op.agent, &frame);
}

static void socket_on_message(void *ctx, bool is_text, const uint8_t *data, size_t len)
{
    struct pty_socket *s = ctx;
    if (s->op.call == NULL)
        return;
    if (is_text)
        socket_control(s, data, len);
    else
        socket_input(s, data, len);
}

static void socket_on_data(struct http_request *req, const uint8_t *data, size_t len)
{
    struct api_call *call = req->app;
    struct pty_socket *s = call->state;
    if (s == NULL)
        return;
    s->silence = 0;
    if (ws_feed(s->ws, data, len) < 0)
        socket_close(s, WS_CLOSE_NORMAL, "");
}

static void socket_on_ended(struct http_request *req)
{
    struct api_call *call = req->app;
    struct pty_socket *s = call->state;
    if (s != NULL)
        socket_close(s, WS_CLOSE_AWAY, "");
}

static void socket_on_timer(uv_timer_t *timer)
{
    struct pty_socket *s = container_of(timer, struct pty_socket, timer);
    if (s->op.call == NULL)
        return;
    if (s->silence == SOCKET_SILENCE) {
        socket_close(s, WS_CLOSE_AWAY, "No answer to pings");
        return;
    }
    s->silence++;
    (void)ws_ping(s->ws);
}

static void socket_on_timer_closed(uv_handle_t *handle)
{
    struct pty_socket *s = container_of((uv_timer_t *)handle, struct pty_socket, timer);
    ws_free(s->ws);
    free(s);
}

static void socket_release(struct api_op *op)
{
    struct pty_socket *s = container_of(op, struct pty_socket, op);
    uv_close((uv_handle_t *)&s->timer, socket_on_timer_closed);
}
