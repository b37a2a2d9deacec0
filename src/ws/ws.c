/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - see ws.h. wslay asks for bytes, so that what was fed is handed out piece by piece until it
 * is used up; what is to be sent is given away at once and never waits in its queue. */
#include "ws/ws.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/base64.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct ws {
    wslay_event_context_ptr event;
    const struct ws_handler *handler;
    void *ctx;
    const uint8_t *in; /* fed and not taken yet */
    size_t in_len;
};

static ssize_t ws_on_recv(wslay_event_context_ptr event, uint8_t *buf, size_t len, int flags,
                          void *user)
{
    struct ws *ws = user;
    (void)flags;
    if (ws->in_len == 0) {
        wslay_event_set_error(event, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = MIN(len, ws->in_len);
    memcpy(buf, ws->in, n);
    ws->in += n;
    ws->in_len -= n;
    return (ssize_t)n;
}

static ssize_t ws_on_send(wslay_event_context_ptr event, const uint8_t *data, size_t len, int flags,
                          void *user)
{
    struct ws *ws = user;
    (void)event;
    (void)flags;
    ws->handler->send(ws->ctx, data, len);
    return (ssize_t)len;
}

static int ws_on_mask(wslay_event_context_ptr event, uint8_t *buf, size_t len, void *user)
{
    struct ws *ws = user;
    (void)event;
    ws->handler->random(ws->ctx, buf, len);
    return 0;
}

static void ws_on_message(wslay_event_context_ptr event,
                          const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct ws *ws = user;
    (void)event;
    if (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME)
        ws->handler->message(ws->ctx, arg->opcode == WSLAY_TEXT_FRAME, arg->msg, arg->msg_length);
}

struct ws *ws_new(bool is_client, const struct ws_handler *handler, void *ctx)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = ws_on_recv,
                                                           .send_callback = ws_on_send,
                                                           .genmask_callback = ws_on_mask,
                                                           .on_msg_recv_callback = ws_on_message};
    struct ws *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        return NULL;
    ws->handler = handler;
    ws->ctx = ctx;
    int rv = is_client ? wslay_event_context_client_init(&ws->event, &callbacks, ws)
                       : wslay_event_context_server_init(&ws->event, &callbacks, ws);
    if (rv != 0) {
        free(ws);
        return NULL;
    }
    wslay_event_config_set_max_recv_msg_length(ws->event, WS_MAX_MESSAGE);
    return ws;
}

void ws_free(struct ws *ws)
{
    if (ws != NULL)
        wslay_event_context_free(ws->event);
    free(ws);
}

int ws_feed(struct ws *ws, const uint8_t *data, size_t len)
{
    ws->in = data;
    ws->in_len = len;
    int rv = wslay_event_recv(ws->event);
    ws->in_len = 0;
    if (wslay_event_send(ws->event) != 0)
        rv = -1;
    return rv == 0 && wslay_event_want_read(ws->event) ? 0 : -EPIPE;
}

static int ws_queue(struct ws *ws, uint8_t opcode, const void *data, size_t len)
{
    const struct wslay_event_msg message = {.opcode = opcode, .msg = data, .msg_length = len};
    int rv = wslay_event_queue_msg(ws->event, &message);
    if (rv != 0)
        return rv == WSLAY_ERR_NOMEM ? -ENOMEM : -EPIPE;
    return wslay_event_send(ws->event) == 0 ? 0 : -EPIPE;
}

int ws_send(struct ws *ws, bool is_text, const void *data, size_t len)
{
    return ws_queue(ws, is_text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data, len);
}

int ws_ping(struct ws *ws)
{
    return ws_queue(ws, WSLAY_PING, NULL, 0);
}

void ws_close(struct ws *ws, uint16_t code, const char *reason)
{
    size_t len = MIN(strlen(reason), (size_t)123); /* what a control frame holds */
    if (wslay_event_queue_close(ws->event, code, (const uint8_t *)reason, len) == 0)
        (void)wslay_event_send(ws->event);
}

uint16_t ws_closed_with(const struct ws *ws)
{
    if (!wslay_event_get_close_received(ws->event))
        return 0;
    uint16_t code = wslay_event_get_status_code_received(ws->event);
    return code == WSLAY_CODE_NO_STATUS_RCVD ? 0 : code;
}

void ws_accept(const char *key, char out[WS_ACCEPT_SIZE])
{
    unsigned char hash[20];
    cleanup_buf struct buf text = {0};
    const mbedtls_md_info_t *sha1 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA1);
    out[0] = '\0';
    (void)buf_append_str(&text, key);
    (void)buf_append_str(&text, WS_GUID);
    if (text.failed || sha1 == NULL || mbedtls_md(sha1, text.data, text.len, hash) != 0)
        return;
    buf_reset(&text);
    if (base64_encode(&text, hash, sizeof(hash)) == 0 && buf_cstr(&text) != NULL)
        memcpy(out, text.data, WS_ACCEPT_SIZE);
}
