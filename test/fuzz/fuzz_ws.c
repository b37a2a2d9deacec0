/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer of a WebSocket sends, fed to a server and to a client in pieces whose size the
 * first byte chooses. */
#include "ws/ws.h"

#include <string.h>

static size_t seen;

static void on_message(void *ctx, bool is_text, const uint8_t *data, size_t len)
{
    (void)ctx;
    (void)is_text;
    if (len > WS_MAX_MESSAGE)
        abort();
    for (size_t i = 0; i < len; i++)
        seen += data[i];
}

static void on_send(void *ctx, const uint8_t *data, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        seen += data[i];
}

static void on_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    memset(out, 0, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ws_handler handler = {
        .message = on_message, .send = on_send, .random = on_random};
    if (size == 0)
        return 0;
    size_t step = (data[0] & 0x7fu) + 1u;
    struct ws *ws = ws_new((data[0] & 0x80) != 0, &handler, NULL);
    if (ws == NULL)
        return 0;
    for (size_t at = 1; at < size; at += step) {
        if (ws_feed(ws, data + at, MIN(step, size - at)) < 0)
            break;
    }
    (void)ws_send(ws, true, "x", 1);
    ws_close(ws, WS_CLOSE_NORMAL, "");
    (void)ws_closed_with(ws);
    ws_free(ws);
    return 0;
}
