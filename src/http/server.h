/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - listens, keeps the connections, and stops gracefully.
 *
 * The happy path is: http_server_init (bound), http_server_start, requests reach the app,
 * http_server_stop, stopped. Possible failure modes are: the address cannot be bound (init tells
 * why); too many connections are open (the one that has waited for its client the longest makes
 * room; when none waits, clients of that address are refused, or all wait in the kernel's backlog);
 * requests outlive the grace period of the stop (they are aborted: gone with aborted = true).
 *
 * An idle server has no timer running: nothing wakes it up.
 */
#ifndef CORRAL_HTTP_SERVER_H
#define CORRAL_HTTP_SERVER_H

#include "base/list.h"
#include "core/tally.h"
#include "http/http.h"
#include "net/tcp_listener.h"
#include "net/tls.h"

/* Milliseconds. */
struct http_limits {
    unsigned int head_ms; /* from the first byte of a head to its last; a TLS handshake */
    unsigned int body_ms; /* of a body, for each `min_rate * body_ms / 1000` bytes */
    unsigned int buffered_total_ms, streamed_total_ms; /* of a whole body; 0: no limit */
    unsigned int min_rate; /* bytes a second, of bodies and of answers; 0: a byte in time will do */
    unsigned int idle_ms;  /* between two requests, and before the first */
    unsigned int write_ms; /* without the client taking a byte of an answer */
    unsigned int max_connections;
    unsigned int max_address; /* connections of one address; 0: half, and any of this host */
    size_t max_buffered;      /* bytes of buffered bodies in the whole server; 0: no limit */
};

#define HTTP_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        .head_ms = 15000, .body_ms = 30000, .buffered_total_ms = 600000,                           \
        .streamed_total_ms = 21600000, .min_rate = 1024, .idle_ms = 75000, .write_ms = 60000,      \
        .max_connections = 16384                                                                   \
    }

/* Embedded in its owner; the fields are server.c's and conn.c's. */
struct http_server {
    uv_loop_t *loop;
    const struct http_app *app; /* outlives the server */
    struct http_limits limits;
    struct tls_context *tls; /* a reference; NULL: plain HTTP */
    struct tcp_listener listener;
    uv_check_t check; /* these two run the deferred list; active only while it is not empty */
    uv_idle_t idle;
    uv_timer_t grace;
    unsigned int handles; /* not yet closed, the listener counted as one */
    struct list conns;
    unsigned int n_conns;
    struct tally addresses;
    size_t buffered; /* bytes that buffered bodies take */
    struct list deferred;
    bool stopping;
    bool closed; /* every handle was told to close */
    void (*stopped)(struct http_server *s);
    uint64_t next_id;
    struct buf scratch; /* owned: an answer's head while it is made */
    int64_t date_s;     /* of `date` */
    char date[32];      /* IMF-fixdate */
};

/* On failure (negative errno, `err` filled) nothing is left open. */
int http_server_init(struct http_server *s, uv_loop_t *loop, const char *address,
                     const struct http_app *app, const struct http_limits *limits,
                     struct error *err);
/* Connections from now on speak HTTPS with this certificate; the reference is taken over. */
void http_server_set_tls(struct http_server *s, struct tls_context *tls);
void http_server_start(struct http_server *s);
/* As bound: "127.0.0.1:8000". */
const char *http_server_address(const struct http_server *s);
unsigned int http_server_connections(const struct http_server *s);
/* Stops listening at once; `stopped` is called when the last connection has closed, at most about
 * `grace_ms` later. The memory may be released in it. A second call only shortens the grace. */
void http_server_stop(struct http_server *s, unsigned int grace_ms,
                      void (*stopped)(struct http_server *s));

/* For conn.c. */
void http_server_defer(struct http_server *s, struct list *entry);
/* The connection was accepted: makes room for it. False: it is one too many. */
bool http_server_admit(struct http_server *s, const struct http_conn *c);
void http_server_conn_opened(struct http_server *s, struct list *entry);
void http_server_conn_closed(struct http_server *s, struct list *entry);

#endif
