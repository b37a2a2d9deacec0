/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - one client connection: reads requests one after the other, hands them to the app,
 * and sends the answers in order. Internal to src/http.
 *
 * Everything happens in http_conn_tick, which runs when bytes arrive, when the timer fires,
 * and from the server's deferred list when the app has called a function of http.h. So the app is
 * never called from inside its own call.
 */
#ifndef CORRAL_HTTP_CONN_H
#define CORRAL_HTTP_CONN_H

#include "base/list.h"
#include "http/parser.h"
#include "net/stream.h"

#define HTTP_LINGER_MS     5000 /* reading off after the last answer */
#define HTTP_LINGER_BYTES  (128u * 1024 * 1024)
#define HTTP_DISCARD_BYTES 65536 /* an unread body up to this size does not end the connection */

struct http_server;

enum http_conn_state {
    CONN_IDLE,    /* waits for a request's first byte; idle time-out; may be closed by a stop.
                     Under TLS first for the handshake; head time-out */
    CONN_HEAD,    /* waits for the rest of a head; head time-out -> 408 */
    CONN_BODY,    /* the app has the head; waits for body bytes; body time-out -> 408 */
    CONN_HANDLE,  /* the body is complete; waits for the app, which has its own time-outs */
    CONN_DISCARD, /* answered early; waits for the rest of a small body; body time-out */
    CONN_RAW,     /* left HTTP; waits for bytes and for the app, which has its own time-outs */
    CONN_LINGER,  /* answered for the last time; waits for the client to close; linger time-out */
    CONN_CLOSING, /* waits for libuv's close callbacks */
};

enum http_answer_state { ANSWER_NONE, ANSWER_STARTED, ANSWER_DONE };

struct http_answer {
    enum http_answer_state state;
    bool chunked;
    bool bodyless; /* HEAD, 204, 304: pieces are dropped */
    bool keep;     /* the connection may serve another request */
    int64_t left;  /* bytes of a declared length not yet written; -1 when none was declared */
};

/* What the timer waits for; conn_wait_ms has the limits. */
enum http_wait {
    WAIT_NONE,
    WAIT_HANDSHAKE,
    WAIT_IDLE,
    WAIT_HEAD,
    WAIT_BODY,
    WAIT_WRITE,
    WAIT_LINGER
};

struct http_conn {
    struct stream stream;
    uv_timer_t timer;
    unsigned int handles; /* stream and timer not yet closed; freed at 0 */
    struct http_server *server;
    struct list link;            /* in server->conns */
    struct list deferred;        /* in server->deferred, or alone */
    struct tally_entry *address; /* of the client; NULL: unknown */
    enum http_conn_state state;
    bool in_tick;
    bool broken;        /* reading or writing failed, or the app aborted: close, say no more */
    bool ended;         /* the client has closed its side */
    bool timed_out;     /* what `wait` says took too long */
    bool refused;       /* the server itself answers: the last answer of this connection */
    bool body_done;     /* nothing of the body is left to be parsed */
    bool body_paused;   /* by the app */
    bool owes_continue; /* the client waits for 100 Continue */
    bool owes_ready;    /* the app waits for `ready` */
    bool owes_writable; /* the app was told to stop producing */
    bool owes_ended;    /* CONN_RAW: the app has not heard that the client closed its side */
    bool owes_gone;     /* the app has seen a head and not its `gone` */
    enum http_wait wait;
    uint64_t since;     /* loop ms at which the wait began */
    uint64_t body_due;  /* loop ms for the whole body; 0: none */
    uint64_t deadline;  /* loop ms; meaningful unless WAIT_NONE */
    uint64_t timer_due; /* loop ms at which the timer fires; 0: not running */
    uint64_t progress;  /* bytes that had passed, either way, when the wait began */
    uint64_t lingered;  /* bytes read off */
    size_t buffered;    /* this request's share of server->buffered */
    const uint8_t *in;  /* bytes to be parsed, valid inside a tick */
    size_t in_len;
    struct buf ahead; /* owned: bytes kept for a later tick */
    struct http_answer answer;
    const struct http_raw *raw; /* with CONN_RAW */
    struct http_parser parser;
    struct http_request req;
};

/* Takes over the socket. The connection frees itself and tells http_server_conn_closed. */
int http_conn_open(struct http_server *server, int fd);
/* Runs the state machine until it has to wait. Never from inside a call of the app. */
void http_conn_tick(struct http_conn *c);
/* Asks for a tick: from the deferred list, or none when one is running. For what the app did, and
 * for a server that stops (an idle connection then closes, others close after their answer). */
void http_conn_kick(struct http_conn *c);
/* Closes now; a request in the app's hands is aborted. From the loop only. */
void http_conn_abort(struct http_conn *c);
/* Since when (loop ms) it waits for bytes of its client alone; 0: it does not. */
uint64_t http_conn_waits_since(const struct http_conn *c);
/* Sends bytes of an answer; a failure breaks the connection at the next tick. `last` may be NULL:
 * a buffer that the call takes over. */
void http_conn_send(struct http_conn *c, const uv_buf_t *bufs, unsigned int n, struct buf *last);

#endif
