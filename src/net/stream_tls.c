/* SPDX-License-Identifier: Apache-2.0 */
/* stream_tls.c - a stream whose bytes pass through a TLS session. What one read of the socket
 * brings is handed on in one call, so nothing waits inside for a stream that is not read. */
#include <errno.h>
#include <string.h>

#include "net/stream_internal.h"
#include "net/tls.h"

int stream_start_tls(struct stream *s, struct tls_context *context)
{
    if (s->state != STREAM_OPEN || s->tls != NULL)
        return -ECANCELED;
    return tls_new(&s->tls, context);
}

bool stream_is_secure(const struct stream *s)
{
    return s->tls != NULL;
}

bool stream_is_shaking_hands(const struct stream *s)
{
    return s->tls != NULL && !tls_is_open(s->tls);
}

/* Sends what the session has made. */
static int stream_tls_flush(struct stream *s, struct buf *out)
{
    int rv = 0;
    if (out->len > 0 && s->state == STREAM_OPEN && s->write_error == 0)
        rv = stream_push(s, NULL, 0, out);
    buf_done(out);
    return rv;
}

void stream_tls_read(struct stream *s, const uint8_t *data, size_t len)
{
    /* One for all streams, as the buffer that `data` is in. */
    static uint8_t plain[STREAM_READ_SIZE + TLS_RECORD];
    struct buf out = {0};
    size_t n;
    bool was_open = tls_is_open(s->tls);
    int rv = tls_receive(s->tls, data, len, plain, &n, &out);
    /* The peer's messages caused these bytes, so only the peer can stop them: the owner cannot. */
    if (out.len > 0 && !stream_writable(s))
        rv = -EPROTO;
    if (stream_tls_flush(s, &out) < 0)
        return; /* `ended` follows */
    if (!was_open && tls_is_open(s->tls) && s->handler->opened != NULL)
        s->handler->opened(s, 0);
    if (n > 0 && s->state == STREAM_OPEN)
        s->handler->data(s, plain, n);
    if (rv != 0)
        stream_end(s, rv == TLS_END ? 0 : rv);
}

/* Small pieces share a record: each costs 22 to 29 bytes and an authentication. */
struct stream_record {
    uint8_t data[TLS_RECORD];
    size_t used;
};

static int stream_tls_piece(struct stream *s, struct stream_record *r, const void *data, size_t len,
                            struct buf *out)
{
    const uint8_t *at = data;
    int rv = 0;
    while (len > 0 && rv == 0) {
        size_t take = MIN(len, sizeof(r->data) - r->used);
        memcpy(r->data + r->used, at, take);
        r->used += take;
        at += take;
        len -= take;
        if (r->used < sizeof(r->data))
            break;
        rv = tls_send(s->tls, r->data, r->used, out);
        r->used = 0;
    }
    return rv;
}

int stream_tls_push(struct stream *s, const uv_buf_t *bufs, unsigned int n, const struct buf *last)
{
    static struct stream_record record;
    struct buf out = {0};
    int rv = 0;
    record.used = 0;
    for (unsigned int i = 0; i < n && rv == 0; i++)
        rv = stream_tls_piece(s, &record, bufs[i].base, bufs[i].len, &out);
    if (rv == 0 && last != NULL)
        rv = stream_tls_piece(s, &record, last->data, last->len, &out);
    if (rv == 0 && record.used > 0)
        rv = tls_send(s->tls, record.data, record.used, &out);
    if (rv == 0)
        rv = stream_push(s, NULL, 0, &out);
    buf_done(&out);
    return rv;
}

void stream_tls_bye(struct stream *s)
{
    struct buf out = {0};
    if (s->tls == NULL || s->state != STREAM_OPEN)
        return;
    tls_bye(s->tls, &out);
    (void)stream_tls_flush(s, &out);
}
