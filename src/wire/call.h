/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - one operation of the agent in a sandbox, over its own connection (wire.h).
 *
 * The happy path is: agent_call_start, `frame` for each reply, and when the owner has seen the last
 * one it calls agent_call_close; `closed` releases the memory.
 * Possible failure modes are: no connection, a wrong greeting, a broken frame, the connection ends
 * before the owner closed it, the deadline passes, the sandbox ends (agent_target_fail). Each calls
 * `failed` once; the owner then calls agent_call_close.
 *
 * What comes out of a sandbox is hostile. This module checks the greeting, framing and sizes. The
 * owner decodes each frame (reply.h), checks that it is allowed at this point, and reports one that
 * is not with agent_call_bad_frame.
 *
 * `frame` and `failed` are never called from inside a start. After agent_call_close only
 * `closed` is called. Closing a running operation cancels it in the sandbox.
 */
#ifndef CORRAL_WIRE_CALL_H
#define CORRAL_WIRE_CALL_H

#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "base/wire_codec.h"
#include "net/stream.h"
#include "wire/greeting.h"

#define AGENT_CONNECT_TIMEOUT_MS 20000 /* connection and greeting; a guest may be slow */

/* A sandbox, as a destination of calls. Embedded in its owner. */
struct agent_target {
    uv_loop_t *loop;
    const char *socket_path;      /* owned by the owner of the target */
    struct list calls;            /* every call that is not closed */
    uint64_t bytes_in, bytes_out; /* of closed calls: from and to the sandbox */
    uint64_t used_ms;             /* uv_now when a call began or ended last */
};

struct agent_call;

struct agent_call_handler {
    void (*opened)(struct agent_call *call); /* the request is on its way; may be NULL */
    void (*frame)(struct agent_call *call, const struct wire_frame *frame);
    void (*failed)(struct agent_call *call, const struct error *err);
    void (*drained)(struct agent_call *call); /* more may be sent; may be NULL */
    void (*raw)(struct agent_call *call, const uint8_t *data, size_t len); /* after _raw() */
    void (*closed)(struct agent_call *call);                               /* may be NULL */
};

enum agent_call_state {
    AGENT_CALL_CONNECTING, /* waits for the socket; AGENT_CONNECT_TIMEOUT_MS */
    AGENT_CALL_GREETING,   /* waits for "OK <n>\n"; the same time-out */
    AGENT_CALL_OPEN,       /* frames flow; the caller's deadline, if any */
    AGENT_CALL_RAW,        /* bytes flow (PORT); the caller's deadline, if any */
    AGENT_CALL_FAILED,     /* `failed` was called; waits for agent_call_close */
    AGENT_CALL_CLOSING,    /* waits for libuv */
};

/* Embedded in its owner; the fields are call.c's alone. */
struct agent_call {
    struct stream stream;
    uv_timer_t timer;
    struct agent_target *target;
    struct list node; /* in target->calls */
    const struct agent_call_handler *handler;
    struct wire_reader reader;
    struct buf request; /* sent after the greeting */
    struct wire_greeting greeting;
    enum agent_call_state state;
    uint64_t deadline_ms; /* for the OPEN state, 0: none */
    bool stream_closed, timer_closed, paused, in_frames;
};

void agent_target_init(struct agent_target *t, uv_loop_t *loop, const char *socket_path);
/* Fails every call with `err`; owners see `failed` before this returns. Called from the sandbox's
 * own events, never from inside an owner's callback. */
void agent_target_fail(struct agent_target *t, const struct error *err);

/* Starts an operation. `request` holds its whole request (request.h), and its memory is
 * taken over. `timeout_ms` bounds the operation after the greeting; 0 for none. 0, or a
 * negative errno and nothing was started (and `closed` will not come). */
int agent_call_start(struct agent_call *call, struct agent_target *target,
                     const struct agent_call_handler *handler, struct buf *request,
                     uint64_t timeout_ms);
/* The same over a connection whose greeting is answered, and on which nothing else was said. `fd`
 * is taken over, whatever the result. `opened` comes from inside. */
int agent_call_start_on(struct agent_call *call, struct agent_target *target,
                        const struct agent_call_handler *handler, struct buf *request,
                        uint64_t timeout_ms, int fd);

/* Bounds what is left of an open operation; 0 for no bound. */
void agent_call_set_deadline(struct agent_call *call, uint64_t timeout_ms);
/* Sends a further frame whose payload is raw bytes or nothing (STDIN, DATA, END). */
int agent_call_send(struct agent_call *call, enum wire_type type, const void *payload, size_t len);
/* Sends further frames that request.h has made; takes over their memory, whatever the result. */
int agent_call_send_buf(struct agent_call *call, struct buf *frames);
/* From now on bytes come through `raw` and go out through agent_call_send_raw (PORT, after OK). To
 * be called inside `frame`. */
void agent_call_turn_raw(struct agent_call *call);
int agent_call_send_raw(struct agent_call *call, const void *data, size_t len);
/* Ends our direction of the raw bytes; the other direction stays open. */
void agent_call_shutdown(struct agent_call *call);
bool agent_call_writable(const struct agent_call *call);

/* Back-pressure on the sandbox. Frames that were already read are held back, too. */
void agent_call_pause(struct agent_call *call);
void agent_call_resume(struct agent_call *call);

/* Fails the call because the frame at hand is not allowed here. Inside `frame` only. */
void agent_call_bad_frame(struct agent_call *call);
void agent_call_close(struct agent_call *call);

#endif
