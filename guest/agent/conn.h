/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - one connection from the server: greeting, one request, one operation, end.
 *
 *   GREETING --> REQUEST --> OPERATION --> FLUSH --> LINGER
 *       |           |            |           |          |
 *       +-----------+------------+-----------+----------+--> CLOSED
 *
 * state      waits for                                      at most          then
 * GREETING   "CONNECT <port>\n" (not on vsock)              CONN_REQUEST_US  REQUEST, CLOSED
 * REQUEST    a request frame, or the header of a code one   CONN_REQUEST_US  OPERATION, FLUSH
 * OPERATION  what the operation says (its own table)        its own timers   FLUSH
 * FLUSH      the server to read what is queued              CONN_STALL_US    LINGER
 *                                                           without progress
 * LINGER     the server to close; reads and drops the rest  CONN_LINGER_US   CLOSED
 * CLOSED     the end of the turn                            -                freed
 *
 * In OPERATION the operation `op` owns the connection. It may append frames to the output at any
 * time, and leaves the state with conn_finish or conn_error only.
 * Caveats: an error on the socket, or its end, closes the connection in every state, which stops
 * the operation (op->stop). After conn_finish, conn_error or conn_close an operation must not touch
 * its own state any more.
 */
#ifndef CORRAL_AGENT_CONN_H
#define CORRAL_AGENT_CONN_H

#include "agent/loop.h"
#include "agent/request.h"

#define CONN_REQUEST_US   (30 * 1000000ull)
#define CONN_STALL_US     (60 * 1000000ull)
#define CONN_LINGER_US    (2 * 1000000ull)
#define CONN_GREETING_MAX 32u           /* bytes, newline included */
#define CONN_OUT_HIGH     (256u * 1024) /* unsent bytes above which conn_writable is false */
#define CONN_OUT_LOW      (128u * 1024) /* unsent bytes below which op->writable is called */

struct account;
struct agent;
struct conn;

/* What an operation does at each event. All but start may be NULL. */
struct op {
    enum wire_type type;
    /* The request has arrived. Fields of `req` may be taken (set them NULL). c->op_state is what
     * the operation allocates for itself; it is freed with the connection. */
    void (*start)(struct conn *c, struct request *req);
    /* A later frame. NULL: every later frame is a protocol error. */
    void (*frame)(struct conn *c, const struct wire_frame *f);
    /* The output has drained below CONN_OUT_LOW after it was full. */
    void (*writable)(struct conn *c);
    /* The connection carries raw bytes: all its events go here. */
    void (*raw_event)(struct conn *c, uint32_t events);
    /* The operation ends, whatever the reason: release everything but op_state. Called once. */
    void (*stop)(struct conn *c);
};

/* What serve.c does for connections. conn.c itself knows no operation. */
struct conn_dispatch {
    /* The first frame. Calls conn_start or conn_error. */
    void (*request)(struct conn *c, const struct wire_frame *f);
    /* The same for a code request, of which only the header has arrived; c->reader has it. */
    void (*code_request)(struct conn *c);
    /* There is room for one more connection. */
    void (*closed)(struct agent *a);
};

enum conn_state {
    CONN_GREETING,
    CONN_REQUEST,
    CONN_OPERATION,
    CONN_FLUSH,
    CONN_LINGER,
    CONN_CLOSED,
};

/* Bytes of a file that follow those of conn->out, see conn_put_file. */
struct conn_file {
    int fd; /* not owned */
    int64_t offset;
    size_t left;
};

struct conn {
    struct source source; /* first */
    enum conn_state state;
    struct agent *agent;
    struct list node; /* in agent->conns */
    struct timer timer;
    struct deferred deferred;
    const struct op *op; /* NULL outside OPERATION */
    void *op_state;      /* owned */
    struct account *as;  /* owned: whose rights a file operation has; NULL: the default user's */
    struct wire_reader reader;
    struct buf out;  /* unsent bytes from out_sent on */
    size_t out_sent; /* bytes of `out` the kernel has taken */
    struct conn_file file;
    bool input_paused; /* the operation takes no frames now */
    bool output_full;  /* op->writable is owed */
    bool stall_limited;
    bool raw; /* events go to op->raw_event */
    char greeting[CONN_GREETING_MAX];
    size_t greeting_len;
};

/* Takes ownership of `fd`, also on failure. */
int conn_new(struct agent *agent, int fd, bool greeted);
void conn_handle_event(struct conn *c, uint32_t events);
void conn_close(struct conn *c); /* idempotent; freed at the end of the turn */

/* From REQUEST to OPERATION, by op->start. */
void conn_start(struct conn *c, const struct op *op, struct request *req);

/* For operations. */
const struct account *conn_account(const struct conn *c); /* whose rights it has for files */
void conn_kick(struct conn *c);     /* sends what was appended to c->out; may close */
bool conn_writable(struct conn *c); /* false: append no more, op->writable will be called */
void conn_finish(struct conn *c);   /* the last frame is appended: the operation ends */
void conn_error(struct conn *c, enum wire_error code, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum wire_error conn_error_code(int errnum); /* of a negative errno */
/* conn_error for a negative errno: "<what>: <reason>". */
void conn_errno(struct conn *c, int errnum, const char *what);
/* While paused, the connection is not read; its end is still noticed. */
void conn_pause_input(struct conn *c, bool paused);
/* From now on the connection ends when CONN_STALL_US pass without a byte in or out. */
void conn_limit_stall(struct conn *c);
/* Hands the socket to op->raw_event. What was received and sent so far stays in c->reader and
 * c->out for the operation to move on. */
void conn_go_raw(struct conn *c);
/* Reads once from `fd` into a frame of `type` at the end of c->out, at most WIRE_CHUNK and `max`
 * bytes. The bytes read, 0 at the end, or a negative errno; no frame unless > 0. With `offset` not
 * negative as pread. */
ssize_t conn_put_from_fd(struct conn *c, enum wire_type type, int fd, size_t max, int64_t offset);

/* Appends a frame of `type` whose payload, `len` bytes, is sent from the file `fd` without being
 * read. Until conn_writable is true again nothing else may be appended, and the file stays open. A
 * file that turns out to be shorter ends the connection: the length was promised. */
void conn_put_file(struct conn *c, enum wire_type type, int fd, int64_t offset, size_t len);

static inline size_t conn_unsent(const struct conn *c)
{
    return c->out.len - c->out_sent + c->file.left;
}

#endif
