/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - one byte stream over a libuv TCP or pipe handle: the reference for every
 * asynchronous object of this tree.
 *
 * The happy path is: stream_init_tcp or stream_init_pipe, then stream_open or stream_connect_pipe
 * (opened is called with status 0), stream_read_start (data, data, ..., ended with status 0),
 * writes at any time after opening, stream_close, closed. Possible failure modes are: the
 * connection cannot be made (opened with status < 0); reading fails (ended with status < 0); the
 * peer does not read (stream_writable turns false, drained tells when it is true again); a write
 * fails (ended with status < 0 unless it was called already, also when the call returned the
 * error). After a failed write no other succeeds: the owner closes the stream.
 *
 * stream_start_tls puts TLS between the owner and the socket: `opened` is called when the handshake
 * is complete, data and writes are plain text, stream_shutdown and stream_close say close_notify.
 * A peer that breaks the protocol, or goes away without close_notify, ends it with status < 0.
 *
 * Rules. No callback is called from inside a function of this file. After stream_close only
 * `closed` is called, once; the memory may be released in it. stream_close is idempotent. Every
 * function may be called on a closing stream and then does nothing (writes return -ECANCELED). The
 * program ignores SIGPIPE.
 */
#ifndef CORRAL_NET_STREAM_H
#define CORRAL_NET_STREAM_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"

#define STREAM_READ_SIZE  65536  /* bytes of one read; bounds what a client sends ahead */
#define STREAM_READ_PIPE  262144 /* of a pipe: what a unix socket holds, in one piece */
#define STREAM_BURST      262144 /* of reads before the loop turns: others have their turns, too */
#define STREAM_HIGH_WATER (256u * 1024) /* unsent bytes above which stream_writable is false */
#define STREAM_LOW_WATER  (64u * 1024)  /* and below which drained is called */
#define STREAM_MAX_PIECES 8             /* of one stream_writev */

struct stream;
struct tls;
struct tls_context;

/* `drained` is called when the bytes unsent have fallen below STREAM_LOW_WATER after having been
 * above STREAM_HIGH_WATER, and when stream_shutdown has done its work. */
struct stream_handler {
    void (*opened)(struct stream *s, int status);                    /* may be NULL */
    void (*data)(struct stream *s, const uint8_t *data, size_t len); /* valid in the call only */
    void (*ended)(struct stream *s, int status);                     /* once: 0 EOF, < 0 error */
    void (*drained)(struct stream *s);                               /* may be NULL, see below */
    void (*closed)(struct stream *s);                                /* may be NULL */
};

enum stream_state {
    STREAM_NEW,        /* initialised; waits for stream_open or stream_connect_pipe */
    STREAM_CONNECTING, /* waits for the connection; the owner's timer bounds it */
    STREAM_OPEN,       /* data flows; the owner's timers bound silence */
    STREAM_CLOSING,    /* waits for libuv's close and write callbacks, which come by themselves */
    STREAM_CLOSED,     /* `closed` has been called */
};

/* Embedded in its owner; fields are stream.c's alone. */
struct stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    const struct stream_handler *handler;
    enum stream_state state;
    struct tls *tls;   /* owned, or NULL */
    bool reading;      /* the owner wants data */
    bool ended;        /* `ended` was called */
    bool shut;         /* stream_shutdown was called */
    bool above_high;   /* unsent passed STREAM_HIGH_WATER; drained is owed */
    uint32_t burst;    /* bytes of the whole reads since the loop turned */
    int write_error;   /* of the first failed write, negative errno */
    unsigned int refs; /* live libuv handle and requests: CLOSED when it reaches 0 */
    uv_connect_t connect_req;
    uv_shutdown_t shutdown_req;
    uv_write_t failed_req;        /* brings a write that failed at once to the loop */
    uint64_t bytes_in, bytes_out; /* totals of the socket, for metrics */
};

/* On failure (negative errno) the stream is not initialised and needs no close. */
int stream_init_tcp(struct stream *s, uv_loop_t *loop, const struct stream_handler *handler);
int stream_init_pipe(struct stream *s, uv_loop_t *loop, const struct stream_handler *handler);

/* Takes over a connected socket, which a failure closes. The stream is open at once; `opened` is
 * not called. */
int stream_open(struct stream *s, int fd);
/* Speaks TLS, as the server, from now on. Allowed before the first byte is read or written. The
 * owner's timer bounds the handshake, in which writes fail with -ENOTCONN. 0, -ENOMEM or
 * -ECANCELED. */
int stream_start_tls(struct stream *s, struct tls_context *context);
bool stream_is_secure(const struct stream *s); /* TLS was started */
bool stream_is_shaking_hands(const struct stream *s);
/* Connects a pipe stream to a unix socket path; `opened` follows. -ENAMETOOLONG beyond sun_path. */
int stream_connect_pipe(struct stream *s, const char *path);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);

/* Sends `len` bytes: at once what the kernel takes, a copy of the rest later. 0, -ECANCELED when
 * closing, -ENOMEM, or the kernel's error. */
int stream_write(struct stream *s, const void *data, size_t len);
/* As stream_write for a buffer whose memory the stream takes over (`b` is empty afterwards,
 * whatever the result). For large data: nothing is copied. */
int stream_write_buf(struct stream *s, struct buf *b);
/* Several pieces in one system call, at most STREAM_MAX_PIECES. With `last` not NULL its memory is
 * taken over, too, and its bytes follow those of `bufs`. */
int stream_writev(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last);

bool stream_writable(const struct stream *s); /* the owner should stop producing when false */
size_t stream_unsent(const struct stream *s); /* bytes accepted and not yet given to the kernel */

/* Half-close after everything written has left. */
void stream_shutdown(struct stream *s);
void stream_close(struct stream *s);
bool stream_is_closing(const struct stream *s);

#endif
