/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "net/stream_internal.h"
#include "net/tls.h"

/*
 *                 open
 *        NEW -------------> OPEN
 *         | connect        ^ | |
 *         +-> CONNECTING --+ | | data, ended, drained
 *         |       |          |
 *         +-------+----------+--> CLOSING --> CLOSED
 *                close             last ref
 */
static const unsigned int stream_moves[] = {
    [STREAM_NEW] = 1u << STREAM_CONNECTING | 1u << STREAM_OPEN | 1u << STREAM_CLOSING,
    [STREAM_CONNECTING] = 1u << STREAM_OPEN | 1u << STREAM_CLOSING,
    [STREAM_OPEN] = 1u << STREAM_CLOSING,
    [STREAM_CLOSING] = 1u << STREAM_CLOSED,
    [STREAM_CLOSED] = 0,
};

/* Bytes the kernel did not take at once: a copy behind the struct, then `own`. */
struct stream_write_req {
    uv_write_t req;
    struct stream *stream;
    struct buf own; /* owned */
    uint8_t copy[];
};

static void stream_on_connect(uv_connect_t *req, int status);
static void stream_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret);
static void stream_on_read(uv_stream_t *handle, ssize_t nread, const uv_buf_t *buf);
static void stream_on_write(uv_write_t *req, int status);
static void stream_on_failed(uv_write_t *req, int status);
static void stream_on_shutdown(uv_shutdown_t *req, int status);
static void stream_on_close(uv_handle_t *handle);

static void stream_move(struct stream *s, enum stream_state to)
{
    assert(stream_moves[s->state] & 1u << to);
    s->state = to;
}

static void stream_init(struct stream *s, const struct stream_handler *handler)
{
    s->uv.handle.data = s;
    s->handler = handler;
    s->refs = 1;
}

int stream_init_tcp(struct stream *s, uv_loop_t *loop, const struct stream_handler *handler)
{
    memset(s, 0, sizeof(*s));
    int rv = uv_tcp_init(loop, &s->uv.tcp);
    if (rv == 0)
        stream_init(s, handler);
    return rv;
}

int stream_init_pipe(struct stream *s, uv_loop_t *loop, const struct stream_handler *handler)
{
    memset(s, 0, sizeof(*s));
    int rv = uv_pipe_init(loop, &s->uv.pipe, 0);
    if (rv == 0)
        stream_init(s, handler);
    return rv;
}

static void stream_update_reading(struct stream *s)
{
    if (s->state != STREAM_OPEN)
        return;
    if (s->reading && !s->ended) {
        int rv = uv_read_start(&s->uv.stream, stream_on_alloc, stream_on_read);
        /* This fails only for handles that are closing or not open. */
        assert(rv == 0 || rv == UV_EALREADY);
        (void)rv;
    } else {
        (void)uv_read_stop(&s->uv.stream);
    }
}

static void stream_opened(struct stream *s)
{
    stream_move(s, STREAM_OPEN);
    stream_update_reading(s);
}

int stream_open(struct stream *s, int fd)
{
    int rv = -ECANCELED;
    if (s->state == STREAM_NEW)
        rv = s->uv.handle.type == UV_TCP ? uv_tcp_open(&s->uv.tcp, fd)
                                         : uv_pipe_open(&s->uv.pipe, fd);
    if (rv == 0)
        stream_opened(s);
    else
        (void)close(fd);
    return rv;
}

int stream_connect_pipe(struct stream *s, const char *path)
{
    /* libuv would cut a longer path and connect to another socket. */
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return -ENAMETOOLONG;
    if (s->state != STREAM_NEW)
        return -ECANCELED;
    uv_pipe_connect(&s->connect_req, &s->uv.pipe, path, stream_on_connect);
    s->refs++;
    stream_move(s, STREAM_CONNECTING);
    return 0;
}

static void stream_unref(struct stream *s)
{
    if (--s->refs > 0)
        return;
    stream_move(s, STREAM_CLOSED);
    tls_free(TAKE_PTR(s->tls));
    if (s->handler->closed != NULL)
        s->handler->closed(s);
}

static void stream_on_connect(uv_connect_t *req, int status)
{
    struct stream *s = container_of(req, struct stream, connect_req);
    if (s->state == STREAM_CONNECTING) {
        if (status == 0)
            stream_opened(s);
        if (s->handler->opened != NULL)
            s->handler->opened(s, status);
    }
    stream_unref(s);
}

void stream_read_start(struct stream *s)
{
    if (s->reading)
        return;
    s->reading = true;
    stream_update_reading(s);
}

void stream_read_stop(struct stream *s)
{
    if (!s->reading)
        return;
    s->reading = false;
    stream_update_reading(s);
}

static void stream_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    /* One for all streams: libuv reads into it and calls stream_on_read without a turn between. */
    static uint8_t shared[STREAM_READ_PIPE];
    const struct stream *s = handle->data;
    bool small = handle->type == UV_TCP || s->tls != NULL;
    (void)suggested;
    *ret = uv_buf_init((char *)shared, small ? STREAM_READ_SIZE : sizeof(shared));
    if (s->burst >= STREAM_BURST)
        ret->len = 0; /* libuv says UV_ENOBUFS to that, and comes again in its next turn */
}

void stream_end(struct stream *s, int status)
{
    if (s->ended || s->state != STREAM_OPEN)
        return;
    s->ended = true;
    stream_update_reading(s);
    s->handler->ended(s, status);
}

static void stream_on_read(uv_stream_t *handle, ssize_t nread, const uv_buf_t *buf)
{
    struct stream *s = handle->data;
    /* libuv reads 32 times in a row while each read fills its buffer. */
    bool whole = nread > 0 && (size_t)nread == buf->len;
    s->burst = whole ? s->burst + (uint32_t)nread : 0;
    if (nread > 0) {
        s->bytes_in += (uint64_t)nread;
        (s->tls != NULL ? stream_tls_read : s->handler->data)(s, (const uint8_t *)buf->base,
                                                              (size_t)nread);
    } else if (nread < 0 && (nread != UV_ENOBUFS || buf->len > 0)) {
        /* Under TLS the end is a message. Without it an attacker may have cut off the rest. */
        int eof = s->tls != NULL ? -ECONNRESET : 0;
        stream_end(s, nread == UV_EOF ? eof : (int)nread);
    }
}

/* Queues what is left of the pieces and of `last` after their first `sent` bytes. */
static int stream_queue(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last,
                        size_t sent)
{
    size_t skip = sent;
    size_t copy_len = 0;
    for (unsigned int i = 0; i < n; i++)
        copy_len += bufs[i].len;
    copy_len -= MIN(skip, copy_len);

    struct stream_write_req *w = malloc(sizeof(*w) + copy_len);
    if (w == NULL)
        return -ENOMEM;
    w->stream = s;
    w->own = (struct buf){0};
    uint8_t *end = w->copy;
    for (unsigned int i = 0; i < n; i++) {
        size_t drop = MIN(skip, bufs[i].len);
        skip -= drop;
        memcpy(end, bufs[i].base + drop, bufs[i].len - drop);
        end += bufs[i].len - drop;
    }
    uv_buf_t out[2];
    unsigned int n_out = 0;
    if (copy_len > 0)
        out[n_out++] = (uv_buf_t){.base = (char *)w->copy, .len = copy_len};
    if (last != NULL && last->len > skip) {
        w->own = *last;
        *last = (struct buf){0};
        out[n_out++] = (uv_buf_t){.base = (char *)w->own.data + skip, .len = w->own.len - skip};
    }
    int rv = uv_write(&w->req, &s->uv.stream, out, n_out, stream_on_write);
    if (rv < 0) {
        buf_done(&w->own);
        free(w);
        return rv;
    }
    s->refs++;
    if (stream_unsent(s) > STREAM_HIGH_WATER)
        s->above_high = true;
    return 0;
}

/* The caller's callbacks may not run now, so an empty write reports the failure from the loop. */
static int stream_write_failed(struct stream *s, int status)
{
    uv_buf_t nothing = uv_buf_init(NULL, 0);
    s->write_error = status;
    if (uv_write(&s->failed_req, &s->uv.stream, &nothing, 1, stream_on_failed) == 0)
        s->refs++;
    return status;
}

int stream_push(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last)
{
    uv_buf_t all[STREAM_MAX_PIECES + 1];
    size_t total = 0;
    unsigned int n_all = 0;

    assert(n <= STREAM_MAX_PIECES);
    for (unsigned int i = 0; i < n; i++) {
        if (bufs[i].len == 0)
            continue;
        all[n_all++] = bufs[i];
        total += bufs[i].len;
    }
    unsigned int n_bufs = n_all;
    if (last != NULL && last->len > 0) {
        all[n_all++] = (uv_buf_t){.base = (char *)last->data, .len = last->len};
        total += last->len;
    }
    if (total == 0)
        return 0;
    int rv = uv_try_write(&s->uv.stream, all, n_all);
    size_t sent = rv > 0 ? (size_t)rv : 0;
    if (rv == UV_EAGAIN)
        rv = 0;
    if (rv >= 0 && sent < total)
        rv = stream_queue(s, all, n_bufs, last, sent);
    if (rv < 0)
        return stream_write_failed(s, rv);
    s->bytes_out += total;
    return 0;
}

static int stream_send(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last)
{
    if (stream_is_closing(s))
        return -ECANCELED;
    if (s->state != STREAM_OPEN || stream_is_shaking_hands(s))
        return -ENOTCONN;
    if (s->write_error < 0)
        return s->write_error;
    if (s->tls == NULL)
        return stream_push(s, bufs, n, last);
    int rv = stream_tls_push(s, bufs, n, last);
    return rv < 0 && s->write_error == 0 ? stream_write_failed(s, rv) : rv;
}

int stream_write(struct stream *s, const void *data, size_t len)
{
    uv_buf_t b = {.base = (char *)data, .len = len};
    return stream_send(s, &b, 1, NULL);
}

int stream_write_buf(struct stream *s, struct buf *b)
{
    return stream_writev(s, NULL, 0, b);
}

int stream_writev(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last)
{
    int rv = stream_send(s, bufs, n, last);
    if (last != NULL)
        buf_done(last);
    return rv;
}

static void stream_check_drained(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->above_high || stream_unsent(s) > STREAM_LOW_WATER)
        return;
    s->above_high = false;
    if (s->handler->drained != NULL)
        s->handler->drained(s);
}

static void stream_on_write(uv_write_t *req, int status)
{
    struct stream_write_req *w = container_of(req, struct stream_write_req, req);
    struct stream *s = w->stream;
    buf_done(&w->own);
    free(w);
    if (status < 0) {
        if (s->write_error == 0)
            s->write_error = status;
        stream_end(s, status);
    } else {
        stream_check_drained(s);
    }
    stream_unref(s);
}

static void stream_on_failed(uv_write_t *req, int status)
{
    struct stream *s = container_of(req, struct stream, failed_req);
    (void)status;
    stream_end(s, s->write_error);
    stream_unref(s);
}

void stream_shutdown(struct stream *s)
{
    if (s->state != STREAM_OPEN || s->shut)
        return;
    s->shut = true;
    stream_tls_bye(s);
    /* This fails when the peer has gone, which reading or writing reports as well. */
    if (uv_shutdown(&s->shutdown_req, &s->uv.stream, stream_on_shutdown) == 0)
        s->refs++;
}

static void stream_on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream *s = container_of(req, struct stream, shutdown_req);
    (void)status;
    if (s->state == STREAM_OPEN && s->handler->drained != NULL)
        s->handler->drained(s);
    stream_unref(s);
}

void stream_close(struct stream *s)
{
    if (stream_is_closing(s))
        return;
    stream_tls_bye(s);
    stream_move(s, STREAM_CLOSING);
    uv_close(&s->uv.handle, stream_on_close);
}

static void stream_on_close(uv_handle_t *handle)
{
    stream_unref(handle->data);
}

bool stream_writable(const struct stream *s)
{
    return !s->above_high;
}

size_t stream_unsent(const struct stream *s)
{
    return uv_stream_get_write_queue_size(&s->uv.stream);
}

bool stream_is_closing(const struct stream *s)
{
    return s->state >= STREAM_CLOSING;
}
