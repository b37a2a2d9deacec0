/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - what the layers above see of the HTTP/1.1 server: requests in, answers out.
 *
 * One `struct http_request` lives from the end of its head to the end of its answer (or the loss
 * of the connection). The server calls the owner of the routes, `struct http_app`:
 *
 *   head   the head has arrived. The app either answers now, or sets `body_mode` and, for
 *          HTTP_BODY_BUFFER, `body_limit`. The default is a buffered body of at most 0 bytes.
 *   body   HTTP_BODY_STREAM only: the next piece; http_body_pause/resume give back-pressure.
 *   ready  the body is complete (in `req->body` when buffered). The app answers now or later.
 *   gone   the request is over: answered in full (aborted = false), or its client went away or
 *          broke the protocol (aborted = true). The app drops its pointer; nothing may be called on
 *          the request afterwards. Called exactly once for every head, never from inside a call the
 *          app makes on the request.
 *
 * The server itself answers what never reaches the app: malformed heads (400), 408, 414, 431, 417,
 * 501, 505. It also ends requests whose body is malformed (400), comes too slowly (408) or exceeds
 * the limit of a buffered body (413): `gone` then has aborted = true, and `req->status` holds the
 * status. Its error bodies come from `http_app.error_body`, so that all errors of the program look
 * alike.
 *
 * Requests with `Expect: 100-continue` get their 100 after `head` has returned without answering
 * (a paused streamed body: at the first http_body_resume). An answer given before the body has been
 * read in full closes the connection after a bounded read-off of what the client still sends,
 * unless the rest of the body is known to be small.
 *
 * A client that half-closes its side while its request is being answered counts as gone. It is not
 * noticed while the app holds back a streamed body or HTTP_MAX_PIPELINE bytes are read ahead.
 */
#ifndef CORRAL_HTTP_HTTP_H
#define CORRAL_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define HTTP_MAX_TARGET   8192  /* bytes of the request target: 414 */
#define HTTP_MAX_HEADERS  100   /* fields: 431 */
#define HTTP_MAX_HEAD     32768 /* bytes of all fields: 431 */
#define HTTP_MAX_PIPELINE 65536 /* bytes read ahead while a request is being answered */

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_COUNT,
};

const char *http_method_str(enum http_method m);

/* A view into the request's arena; data is also NUL-terminated. */
struct http_str {
    const char *data;
    size_t len;
};

struct http_header {
    struct http_str name; /* as received */
    struct http_str value;
};

enum http_body_mode { HTTP_BODY_BUFFER, HTTP_BODY_STREAM };

struct http_conn;

struct http_request {
    struct arena arena; /* lives as long as the request; handlers allocate here */
    enum http_method method;
    struct http_str target; /* as received */
    struct http_str path;   /* up to '?', percent-encoding untouched */
    struct http_str query;  /* after '?', or empty */
    struct http_header headers[HTTP_MAX_HEADERS];
    unsigned int n_headers;
    int64_t content_length; /* -1: none or chunked */
    bool keep_alive;        /* the client's wish */
    bool secure;            /* arrived over TLS */
    uint64_t id;            /* unique in this process, for logs (X-Request-Id) */
    uint64_t started_ns;    /* uv_hrtime() at the head */

    enum http_body_mode body_mode; /* set in `head` */
    size_t body_limit;             /* set in `head`, HTTP_BODY_BUFFER */
    struct buf body;               /* the whole body, in `ready` */

    void *ctx;                                  /* http_app.ctx, set before `head` */
    void *app;                                  /* the app's own pointer for this request */
    void (*writable)(struct http_request *req); /* set by the app: more may be written again */

    int status;               /* of the answer, 0 before */
    struct http_conn *conn;   /* owner */
    struct buf extra_headers; /* http_add_header's bytes */
};

struct http_app {
    void *ctx; /* the app's own; every request carries it */
    void (*head)(struct http_request *req);
    void (*body)(struct http_request *req, const uint8_t *data, size_t len);
    void (*ready)(struct http_request *req);
    void (*gone)(struct http_request *req, bool aborted);
    /* May be NULL. The server answers with an error before `head`: the time for headers. */
    void (*refused)(struct http_request *req);
    /* Appends the JSON body of an error to `out`. */
    void (*error_body)(struct buf *out, const struct error *err);
};

/* The client's address as text, without its port; "" when it is gone. In the arena. */
const char *http_peer(struct http_request *req);
/* First value of a header (name compared without case); NULL when absent. */
const struct http_str *http_header(const struct http_request *req, const char *name);
/* Value of a query parameter, percent-decoded, '+' left alone (published clients
 * send paths unescaped); in the arena. NULL when absent. */
const char *http_query(struct http_request *req, const char *name);
/* The same of a query as forms write it: "+" is a space. */
const char *http_form_query(struct http_request *req, const char *name);
/* Walks through a query: takes the next parameter off `rest`, undecoded. False at its end. */
bool http_query_next(struct http_str *rest, struct http_str *name, struct http_str *value);
/* Percent-decodes into the arena; NULL for a broken escape or an encoded NUL. */
const char *http_unescape(struct http_request *req, const char *data, size_t len);

/* Adds a header to the answer that has not been started. Line breaks in `value` are refused
 * (-EINVAL). */
int http_add_header(struct http_request *req, const char *name, const char *value);

/* A whole answer. Copies `body`. HEAD requests get the header section only. */
void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t len);
/* The same for a body in `b`, whose memory is taken over. */
void http_reply_buf(struct http_request *req, int status, const char *content_type, struct buf *b);
/* Status and body from the error. Adds `Connection: close` where the protocol needs it. */
void http_reply_error(struct http_request *req, const struct error *err);

/* An answer in pieces. `length` -1: chunked (or until close for HTTP/1.0). */
void http_reply_start(struct http_request *req, int status, const char *content_type,
                      int64_t length);
void http_reply_write(struct http_request *req, const void *data, size_t len);
void http_reply_end(struct http_request *req);
/* The answer cannot be completed: closes the connection so that the client notices. */
void http_reply_abort(struct http_request *req);
/* False: stop producing until req->writable is called. */
bool http_reply_writable(const struct http_request *req);

/* Leaves HTTP: bytes pass unchanged both ways from now on (WebSocket, other upgrades). Allowed when
 * `ready` has been called and nothing answered; otherwise -EINVAL and nothing has changed. The app
 * writes the answer's head itself, as raw bytes. http_body_pause and _resume, http_reply_writable
 * and `req->writable`, and http_reply_abort work as before; `gone` (aborted = false) follows
 * http_raw_end. */
struct http_raw {
    void (*data)(struct http_request *req, const uint8_t *data, size_t len);
    void (*ended)(struct http_request *req); /* once: the client has closed its side */
};
int http_upgrade(struct http_request *req, const struct http_raw *raw);
void http_raw_write(struct http_request *req, const void *data, size_t len);
/* Closes the connection after everything written has left. */
void http_raw_end(struct http_request *req);

/* Back-pressure on a streamed body: no `body` and no `ready` is called in between, and the socket
 * is not read. */
void http_body_pause(struct http_request *req);
void http_body_resume(struct http_request *req);

#endif
