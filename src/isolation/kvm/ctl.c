/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - one connection to a VMM, its greeting and its open requests.
 *
 * Replies come in the order of the requests, so a queue is all that has to be kept. One timer
 * bounds the wait: for the greeting first, then for the reply to the oldest request. Everything
 * that goes wrong (no connection, a time-out, a frame that is not of the protocol, the end of the
 * connection) goes to ctl_lose, which answers the open requests and then tells `lost`.
 */
#include "isolation/kvm/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CTL_HELLO_TIMEOUT_MS 10000

/* In time order. */
static int ctl_connect(const char *dir);
static void ctl_on_timer(uv_timer_t *timer);
static void ctl_on_readable(uv_poll_t *poll, int status, int events);
static void ctl_message(struct kvm_ctl *c, const struct kvm_ctl_msg *m);
static void ctl_reply(struct kvm_ctl *c, const struct kvm_ctl_msg *m);
static void ctl_lose(struct kvm_ctl *c, int status, const char *what);
static void ctl_on_close(uv_handle_t *h);

int kvm_ctl_open(struct kvm_ctl *c, uv_loop_t *loop, const char *dir,
                 const struct kvm_ctl_events *events)
{
    *c = (struct kvm_ctl){.events = events, .reader.max_payload = CTL_MAX_PAYLOAD};
    c->fd = ctl_connect(dir);
    c->failed = MIN(c->fd, 0);
    if (c->fd >= 0) {
        int rv = uv_poll_init(loop, &c->poll, c->fd);
        if (rv < 0) {
            base_close_p(&c->fd);
            return rv;
        }
        c->poll.data = c;
        c->polling = true;
        (void)uv_poll_start(&c->poll, UV_READABLE, ctl_on_readable);
    }
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->open = true;
    (void)uv_timer_start(&c->timer, ctl_on_timer, c->failed < 0 ? 0 : CTL_HELLO_TIMEOUT_MS, 0);
    return 0;
}

/* A connection to a unix socket is made at once or not at all. */
static int ctl_connect(const char *dir)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" CTL_SOCKET_NAME, dir);
    if (n >= (int)sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void ctl_on_timer(uv_timer_t *timer)
{
    struct kvm_ctl *c = timer->data;
    if (c->failed < 0)
        ctl_lose(c, c->failed, "the VMM's control socket");
    else
        ctl_lose(c, -ETIMEDOUT, "the VMM's control socket");
}

static void ctl_on_readable(uv_poll_t *poll, int status, int events)
{
    struct kvm_ctl *c = poll->data;
    uint8_t data[4096];
    struct wire_frame f;
    struct kvm_ctl_msg m;
    int more = 0;
    (void)events;
    ssize_t n = status < 0 ? status : recv(c->fd, data, sizeof(data), 0);
    if (n < 0 && status == 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        ctl_lose(c, n == 0 ? 0 : status < 0 ? status : -errno, "the VMM's control connection");
        return;
    }
    if (wire_reader_feed(&c->reader, data, (size_t)n) < 0) {
        ctl_lose(c, -ENOMEM, "the VMM's control connection");
        return;
    }
    while (!c->lost && c->closing == 0 && (more = wire_reader_next(&c->reader, &f)) > 0) {
        if (kvm_ctl_msg_decode(&f, &m) < 0)
            more = -EPROTO;
        else
            ctl_message(c, &m);
        if (more < 0)
            break;
    }
    if (more < 0 && !c->lost && c->closing == 0)
        ctl_lose(c, -EPROTO, "the VMM's control connection");
}

static void ctl_message(struct kvm_ctl *c, const struct kvm_ctl_msg *m)
{
    if (m->type == CTL_HELLO && !c->greeted) {
        c->greeted = true;
        (void)uv_timer_stop(&c->timer);
        c->events->hello(c, m->state);
    } else if (c->exited) {
        ctl_lose(c, -EPROTO, "the VMM's control connection"); /* it had said its last word */
    } else if (m->type == CTL_EXITED && c->greeted) {
        c->exited = true;
        c->events->exited(c, m);
    } else if (m->type != CTL_HELLO && m->type != CTL_EXITED && c->n_pending > 0) {
        ctl_reply(c, m);
    } else {
        ctl_lose(c, -EPROTO, "the VMM's control connection");
    }
}

/* The VMM works on one request at a time, so the time of a request begins when the one before is
 * answered. */
static void ctl_watch_oldest(struct kvm_ctl *c)
{
    unsigned int i = 0;
    while (i < c->n_pending && c->pending[i].timeout_ms == 0)
        i++;
    if (i < c->n_pending)
        (void)uv_timer_start(&c->timer, ctl_on_timer, c->pending[i].timeout_ms, 0);
    else
        (void)uv_timer_stop(&c->timer);
}

static kvm_ctl_reply ctl_take_oldest(struct kvm_ctl *c)
{
    kvm_ctl_reply reply = c->pending[0].reply;
    c->n_pending--;
    memmove(c->pending, c->pending + 1, c->n_pending * sizeof(c->pending[0]));
    return reply;
}

static enum ctl_type ctl_reply_type(enum ctl_type request)
{
    if (request == CTL_STATS)
        return CTL_STATS_REPLY;
    return request == CTL_DIFF || request == CTL_FORK ? CTL_SAVED : CTL_OK;
}

static void ctl_reply(struct kvm_ctl *c, const struct kvm_ctl_msg *m)
{
    struct error err = {0};
    enum ctl_type want = ctl_reply_type(c->pending[0].type);
    if (m->type != want && m->type != CTL_ERROR) {
        ctl_lose(c, -EPROTO, "the VMM's control connection");
        return;
    }
    kvm_ctl_reply reply = ctl_take_oldest(c);
    ctl_watch_oldest(c);
    if (m->type == CTL_ERROR)
        (void)error_set(&err, m->error == -ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, "%s",
                        m->text);
    reply(c, m->type == CTL_ERROR ? NULL : m, &err);
}

int kvm_ctl_request(struct kvm_ctl *c, enum ctl_type type, const int *fds, unsigned int n_fds,
                    unsigned int timeout_ms, kvm_ctl_reply reply)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CTL_MAX_FDS)];
    } ctl = {0};
    if (!c->greeted || c->lost || c->closing > 0)
        return -ENOTCONN;
    if (c->n_pending == KVM_CTL_PENDING || n_fds > CTL_MAX_FDS)
        return -EBUSY;
    cleanup_buf struct buf b = {0};
    (void)wire_put_frame(&b, (enum wire_type)type, NULL, 0);
    struct iovec iov = {b.data, b.len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        size_t size = n_fds * sizeof(int);
        ctl.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&ctl.header), fds, size);
        msg.msg_control = &ctl;
        msg.msg_controllen = CMSG_SPACE(size);
    }
    /* A few bytes: they fit, or the VMM has not read for long and is not going to. */
    ssize_t n = b.failed ? -1 : sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != (ssize_t)b.len)
        return n < 0 && !b.failed ? -errno : -EIO;
    c->pending[c->n_pending].type = type;
    c->pending[c->n_pending].timeout_ms = timeout_ms;
    c->pending[c->n_pending].reply = reply;
    c->n_pending++;
    if (!uv_is_active((uv_handle_t *)&c->timer))
        ctl_watch_oldest(c);
    return 0;
}

static void ctl_lose(struct kvm_ctl *c, int status, const char *what)
{
    struct error err = {0};
    if (status == 0)
        (void)error_set(&err, ERROR_SANDBOX_FAILED, "%s ended", what);
    else
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, status, "%s", what);
    c->lost = true;
    (void)uv_timer_stop(&c->timer);
    if (c->polling)
        (void)uv_poll_stop(&c->poll);
    /* A reply may close the client, which then wants to hear no other. */
    while (c->n_pending > 0 && c->closing == 0)
        ctl_take_oldest(c)(c, NULL, &err);
    if (c->closing == 0)
        c->events->lost(c, &err);
}

bool kvm_ctl_close(struct kvm_ctl *c)
{
    if (!c->open || c->closing > 0)
        return false;
    c->closing = 1 + c->polling;
    if (c->polling)
        uv_close((uv_handle_t *)&c->poll, ctl_on_close);
    uv_close((uv_handle_t *)&c->timer, ctl_on_close);
    return true;
}

static void ctl_on_close(uv_handle_t *h)
{
    struct kvm_ctl *c = h->data;
    if (--c->closing > 0)
        return;
    base_close_p(&c->fd);
    wire_reader_done(&c->reader);
    c->open = false;
    c->events->closed(c);
}
