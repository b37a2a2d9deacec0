/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - reads frames from a connection, sends what the operation appends, and ends it.
 *
 * Input: one read per event goes to the frame reader, then frames are handed out until the
 * operation pauses or takes the raw socket. Epoll is level-triggered, so the rest comes with the
 * next turn and no connection holds up the others.
 *
 * Output: an operation appends to c->out and calls conn_kick. Above CONN_OUT_HIGH unsent bytes
 * conn_writable tells it to stop; op->writable calls it again below CONN_OUT_LOW. So the server's
 * pace limits the memory of an operation. Parts of files go from the page cache to the socket,
 * behind what was appended before (conn_put_file).
 *
 * End: every call into an operation and every send may close the connection. Its memory stays until
 * the end of the turn (loop_defer), so callers look at c->state, c->op or c->raw afterwards.
 */
#include "agent/conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/log.h"

static void conn_timed_out(struct timer *t);
static void conn_read(struct conn *c);
static void conn_greet(struct conn *c, const uint8_t *data, size_t len);
static void conn_take_input(struct conn *c);
static void conn_flush(struct conn *c);
static void conn_update(struct conn *c);
static void conn_release(struct deferred *d);

int conn_new(struct agent *agent, int fd, bool greeted)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    source_init(&c->source, SOURCE_CONN, fd);
    c->agent = agent;
    c->state = greeted ? CONN_REQUEST : CONN_GREETING;
    c->reader.max_payload = WIRE_MAX_REQUEST;
    timer_init(&c->timer, conn_timed_out);
    loop_timer_start(&agent->loop, &c->timer, CONN_REQUEST_US);
    list_add_tail(&agent->conns, &c->node);
    agent->conn_count++;
    conn_update(c);
    return 0;
}

void conn_handle_event(struct conn *c, uint32_t events)
{
    if (c->raw) {
        c->op->raw_event(c, events);
        return;
    }
    /* When the server has closed, its operation is cancelled at once, even with input unread. */
    if ((events & (EPOLLHUP | EPOLLERR)) || ((events & EPOLLRDHUP) && c->state >= CONN_OPERATION)) {
        conn_close(c);
        return;
    }
    if (events & EPOLLOUT)
        conn_flush(c);
    if ((events & (EPOLLIN | EPOLLRDHUP)) && c->state != CONN_CLOSED && !c->raw)
        conn_read(c);
}

/* There is no answer: a server that lets a connection time out would not read one. */
static void conn_timed_out(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    if (c->state < CONN_LINGER)
        log_debug("connection timed out", "state=%d unsent=%zu", c->state, conn_unsent(c));
    conn_close(c);
}

static void conn_read(struct conn *c)
{
    /* One buffer for all connections: it is empty again before the next read. */
    static uint8_t chunk[WIRE_CHUNK];
    ssize_t n = recv(c->source.fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    /* The answer is complete: whatever the server still sends is dropped. */
    if (c->state == CONN_FLUSH || c->state == CONN_LINGER)
        return;
    if (c->state == CONN_GREETING) {
        conn_greet(c, chunk, (size_t)n);
        return;
    }
    if (wire_reader_feed(&c->reader, chunk, (size_t)n) < 0) {
        conn_close(c);
        return;
    }
    if (c->stall_limited)
        loop_timer_start(&c->agent->loop, &c->timer, CONN_STALL_US);
    conn_take_input(c);
}

/* The VMM answers the same greeting on its vsock socket. So the server speaks to a container and to
 * a microVM alike. */
static void conn_greet(struct conn *c, const uint8_t *data, size_t len)
{
    size_t used = 0;
    while (used < len && c->greeting_len < CONN_GREETING_MAX) {
        c->greeting[c->greeting_len++] = (char)data[used++];
        if (data[used - 1] == '\n')
            break;
    }
    if (c->greeting[c->greeting_len - 1] != '\n') {
        if (c->greeting_len == CONN_GREETING_MAX)
            conn_close(c);
        return;
    }
    char expected[CONN_GREETING_MAX];
    int n = snprintf(expected, sizeof(expected), "CONNECT %u\n", WIRE_AGENT_PORT);
    if ((size_t)n != c->greeting_len || memcmp(expected, c->greeting, (size_t)n) != 0) {
        conn_close(c);
        return;
    }
    (void)buf_printf(&c->out, "OK %u\n", ++c->agent->greeting_count);
    c->state = CONN_REQUEST;
    if (wire_reader_feed(&c->reader, data + used, len - used) < 0) {
        conn_close(c);
        return;
    }
    conn_kick(c);
    conn_take_input(c);
}

/* Whether the input begins with the header of a code request. An invalid header is left to the
 * frame reader, which refuses it. */
static bool conn_has_code_header(const struct conn *c)
{
    struct span s = wire_reader_rest(&c->reader);
    struct cursor cur = cursor_on(s.data, s.len);
    uint32_t len = cursor_u32(&cur);
    uint16_t type = cursor_u16(&cur);
    uint16_t reserved = cursor_u16(&cur);
    return cursor_ok(&cur) && reserved == 0 && len <= WIRE_MAX_PAYLOAD && type >= WIRE_CODE_FIRST &&
           type <= WIRE_CODE_LAST;
}

static void conn_take_input(struct conn *c)
{
    struct wire_frame f;
    while ((c->state == CONN_REQUEST || c->state == CONN_OPERATION) && !c->input_paused &&
           !c->raw) {
        if (c->state == CONN_REQUEST && conn_has_code_header(c)) {
            c->agent->dispatch->code_request(c);
            return;
        }
        int rv = wire_reader_next(&c->reader, &f);
        if (rv == 0)
            break;
        if (rv < 0)
            conn_error(c, WIRE_E_PROTOCOL, "the frame header is not valid");
        else if (c->state == CONN_REQUEST)
            c->agent->dispatch->request(c, &f);
        else if (c->op->frame == NULL)
            conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here", (unsigned)f.type);
        else
            c->op->frame(c, &f);
    }
    conn_update(c);
}

void conn_start(struct conn *c, const struct op *op, struct request *req)
{
    timer_stop(&c->timer);
    c->state = CONN_OPERATION;
    c->op = op;
    op->start(c, req);
}

/* Sends of `out` what the socket takes. 0 or a negative errno. */
static int conn_send_out(struct conn *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->source.fd, c->out.data + c->out_sent, c->out.len - c->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EINTR)
            return -errno;
        c->out_sent += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The pages of the file go to the socket as they are. */
static int conn_send_file(struct conn *c)
{
    while (c->file.left > 0) {
        off_t at = c->file.offset;
        ssize_t n = sendfile(c->source.fd, c->file.fd, &at, c->file.left);
        if (n == 0)
            return -EPIPE; /* it has shrunk */
        if (n < 0 && errno != EINTR)
            return -errno;
        c->file.offset += MAX(n, 0);
        c->file.left -= (size_t)MAX(n, 0);
    }
    return 0;
}

/* Sends as much as the socket takes. False when the connection was closed. */
static bool conn_send(struct conn *c)
{
    size_t before = conn_unsent(c);
    int rv = conn_send_out(c);
    if (rv == 0)
        rv = conn_send_file(c);
    if (rv < 0 && rv != -EAGAIN) {
        conn_close(c);
        return false;
    }
    if (c->out_sent == c->out.len) {
        buf_reset(&c->out);
        c->out_sent = 0;
    } else if (c->out_sent > CONN_OUT_HIGH) { /* not at each send: it moves all that is left */
        buf_consume(&c->out, c->out_sent);
        c->out_sent = 0;
    }
    if ((c->state == CONN_FLUSH || c->stall_limited) && conn_unsent(c) < before)
        loop_timer_start(&c->agent->loop, &c->timer, CONN_STALL_US);
    return true;
}

const struct account *conn_account(const struct conn *c)
{
    return c->as != NULL ? c->as : &c->agent->account;
}

void conn_kick(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->out.failed) {
        conn_close(c);
        return;
    }
    if (!conn_send(c))
        return;
    if (c->state == CONN_FLUSH && conn_unsent(c) == 0) {
        /* Closing with input unread resets the connection and may lose the last frames, so the
         * server closes first. */
        c->state = CONN_LINGER;
        (void)shutdown(c->source.fd, SHUT_WR);
        loop_timer_start(&c->agent->loop, &c->timer, CONN_LINGER_US);
    }
    conn_update(c);
}

static void conn_flush(struct conn *c)
{
    conn_kick(c);
    if (c->state == CONN_OPERATION && c->output_full && c->file.left == 0 &&
        conn_unsent(c) < CONN_OUT_LOW) {
        c->output_full = false;
        if (c->op->writable != NULL)
            c->op->writable(c);
    }
}

static void conn_update(struct conn *c)
{
    if (c->state == CONN_CLOSED || c->raw)
        return;
    /* The end of the server must be noticed even while the input is paused. */
    uint32_t events = EPOLLRDHUP;
    if (!c->input_paused)
        events |= EPOLLIN;
    if (conn_unsent(c) > 0)
        events |= EPOLLOUT;
    if (loop_watch(&c->agent->loop, &c->source, events) < 0)
        conn_close(c);
}

bool conn_writable(struct conn *c)
{
    if (c->file.left == 0 && conn_unsent(c) < CONN_OUT_HIGH)
        return true;
    c->output_full = true;
    return false;
}

/* c->op is NULL before op->stop runs: whatever that calls finds the operation over. */
static void conn_stop_op(struct conn *c)
{
    const struct op *op = c->op;
    c->op = NULL;
    c->raw = false;
    if (op != NULL && op->stop != NULL)
        op->stop(c);
}

void conn_finish(struct conn *c)
{
    if (c->state >= CONN_FLUSH)
        return;
    c->state = CONN_FLUSH;
    c->stall_limited = false;
    conn_stop_op(c);
    c->input_paused = false;
    loop_timer_start(&c->agent->loop, &c->timer, CONN_STALL_US);
    conn_kick(c);
}

void conn_error(struct conn *c, enum wire_error code, const char *fmt, ...)
{
    char message[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    (void)wire_put_error(&c->out, code, message);
    conn_finish(c);
}

struct errno_code {
    int errnum;
    enum wire_error code;
};

/* An errno that is not here is WIRE_E_INTERNAL: the request is not its cause. */
static const struct errno_code errno_codes[] = {
    {ENOENT, WIRE_E_NOT_FOUND},
    {EACCES, WIRE_E_PERMISSION},
    {EPERM, WIRE_E_PERMISSION},
    {EROFS, WIRE_E_PERMISSION},
    {EISDIR, WIRE_E_IS_DIRECTORY},
    {ENOTDIR, WIRE_E_NOT_DIRECTORY},
    {EEXIST, WIRE_E_EXISTS},
    {ENOTEMPTY, WIRE_E_EXISTS},
    {ENOSPC, WIRE_E_NO_SPACE},
    {EDQUOT, WIRE_E_NO_SPACE},
    {EFBIG, WIRE_E_TOO_LARGE},
    {EINVAL, WIRE_E_INVALID},
    {ENAMETOOLONG, WIRE_E_INVALID},
    {ELOOP, WIRE_E_INVALID},
    {EMFILE, WIRE_E_BUSY},
    {ENFILE, WIRE_E_BUSY},
    {EAGAIN, WIRE_E_BUSY},
    {EBUSY, WIRE_E_BUSY},
    {ECONNREFUSED, WIRE_E_UNAVAILABLE},
    {ETIMEDOUT, WIRE_E_UNAVAILABLE},
};

enum wire_error conn_error_code(int errnum)
{
    for (size_t i = 0; i < ARRAY_SIZE(errno_codes); i++) {
        if (errno_codes[i].errnum == -errnum)
            return errno_codes[i].code;
    }
    return WIRE_E_INTERNAL;
}

void conn_errno(struct conn *c, int errnum, const char *what)
{
    conn_error(c, conn_error_code(errnum), "%s: %s", what, strerror(-errnum));
}

void conn_pause_input(struct conn *c, bool paused)
{
    if (c->input_paused == paused || c->state != CONN_OPERATION)
        return;
    c->input_paused = paused;
    if (paused)
        conn_update(c);
    else
        conn_take_input(c); /* the reader may hold frames, for which no event comes */
}

void conn_limit_stall(struct conn *c)
{
    c->stall_limited = true;
    loop_timer_start(&c->agent->loop, &c->timer, CONN_STALL_US);
}

void conn_go_raw(struct conn *c)
{
    c->raw = true;
}

ssize_t conn_put_from_fd(struct conn *c, enum wire_type type, int fd, size_t max, int64_t offset)
{
    size_t want = MIN(max, (size_t)WIRE_CHUNK);
    size_t start = wire_begin(&c->out, type);
    /* Straight into the output: file contents and command output are not copied once more. */
    if (buf_reserve(&c->out, want) < 0) {
        return -ENOMEM;
    }
    uint8_t *at = c->out.data + c->out.len;
    ssize_t n = offset >= 0 ? pread(fd, at, want, offset) : read(fd, at, want);
    int err = errno;
    if (n <= 0) {
        c->out.len = start;
        return n < 0 ? -err : 0;
    }
    c->out.len += (size_t)n;
    wire_end(&c->out, start);
    return n;
}

void conn_put_file(struct conn *c, enum wire_type type, int fd, int64_t offset, size_t len)
{
    size_t start = wire_begin(&c->out, type);
    wire_end_with(&c->out, start, len);
    c->file = (struct conn_file){.fd = fd, .offset = offset, .left = len};
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    conn_stop_op(c);
    timer_stop(&c->timer);
    loop_close(&c->agent->loop, &c->source);
    list_del(&c->node);
    c->agent->conn_count--;
    loop_defer(&c->agent->loop, &c->deferred, conn_release);
    c->agent->dispatch->closed(c->agent);
}

static void conn_release(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, deferred);
    wire_reader_done(&c->reader);
    buf_done(&c->out);
    free(c->op_state);
    free(c->as);
    free(c);
}
