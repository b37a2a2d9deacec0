/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "egress/egress.h"
#include "egress/frame.h"
#include "egress/tenant.h"

struct ctl_packet {
    struct list node;
    size_t len;
    uint8_t data[];
};

/* One packet and the descriptor that came with it. */
struct ctl_input {
    size_t len;
    int fd;
};

static void ctl_on_poll(uv_poll_t *poll, int status, int events);

int ctl_init(struct egress *e)
{
    struct ctl *c = &e->ctl;
    int type = 0;
    socklen_t len = sizeof(type);
    *c = (struct ctl){.set_up = false};
    list_init(&c->queue);
    if (getsockopt(EGRESS_CTL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (type != SOCK_SEQPACKET)
        return -EPROTOTYPE;
    c->packet = malloc(EGRESS_MAX_FRAME);
    if (c->packet == NULL)
        return -ENOMEM;
    int rv = uv_poll_init(&e->loop, &c->poll, EGRESS_CTL_FD);
    c->poll.data = e;
    return rv < 0 ? rv : uv_poll_start(&c->poll, UV_READABLE, ctl_on_poll);
}

static int ctl_write(const void *data, size_t len)
{
    ssize_t n = send(EGRESS_CTL_FD, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : 0;
}

static void ctl_await(struct ctl *c, bool writable)
{
    (void)uv_poll_start(&c->poll, UV_READABLE | (writable ? UV_WRITABLE : 0), ctl_on_poll);
}

int ctl_send(struct ctl *c, const struct buf *packet)
{
    if (packet->failed)
        return -ENOMEM;
    int rv = list_empty(&c->queue) ? ctl_write(packet->data, packet->len) : -EAGAIN;
    if (rv == -EAGAIN)
        ctl_await(c, true);
    return rv;
}

static void ctl_queue(struct ctl *c, const struct buf *packet)
{
    struct ctl_packet *p = c->queued < CTL_MAX_QUEUE ? malloc(sizeof(*p) + packet->len) : NULL;
    if (p == NULL) {
        c->dropped++;
        return;
    }
    p->len = packet->len;
    memcpy(p->data, packet->data, packet->len);
    list_add_tail(&c->queue, &p->node);
    c->queued++;
}

void ctl_event(struct egress *e, const struct ctl_event *event)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, (enum wire_type)EGRESS_EVENT);
    wire_put_str(&b, event->id);
    (void)buf_u32(&b, event->what);
    wire_put_str(&b, event->host);
    wire_put_str(&b, event->address);
    (void)buf_u16(&b, event->port);
    (void)buf_u32(&b, event->reason);
    wire_end(&b, start);
    if (ctl_send(&e->ctl, &b) == -EAGAIN)
        ctl_queue(&e->ctl, &b);
    buf_done(&b);
}

static void ctl_drain(struct egress *e)
{
    struct ctl *c = &e->ctl;
    while (!list_empty(&c->queue)) {
        struct ctl_packet *p = list_first(&c->queue, struct ctl_packet, node);
        if (ctl_write(p->data, p->len) == -EAGAIN)
            return;
        list_del(&p->node);
        free(p);
        c->queued--;
    }
    ctl_await(c, false);
    if (c->dropped > 0)
        log_warn("the server did not read events", "dropped=%llu", (unsigned long long)c->dropped);
    c->dropped = 0;
    meter_flush(e);
}

static void ctl_end(struct egress *e, const char *why)
{
    if (why != NULL) {
        log_error("the control socket broke", "reason=\"%s\"", why);
        e->ctl.failed = true;
    }
    (void)uv_poll_stop(&e->ctl.poll);
    uv_stop(&e->loop);
}

static int ctl_setup(struct egress *e, struct cursor *c)
{
    struct frame_setup s;
    struct error err;
    if (e->ctl.set_up || frame_setup_read(c, &s) < 0)
        return -EPROTO;
    int rv = policy_operator_read(&e->policy, (const char *const *)s.allow,
                                  (const char *const *)s.deny, &err);
    if (rv == 0 && s.ca_cert[0] != '\0' &&
        session_set_sign(e->sessions, s.ca_cert, s.ca_key, &err) < 0)
        log_error("no host can be intercepted", "reason=\"%s\"", err.message);
    frame_setup_done(&s);
    if (rv < 0) {
        log_error("the operator's lists cannot be read", "reason=\"%s\"", err.message);
        return rv;
    }
    e->ctl.set_up = true;
    struct buf b = {0};
    size_t start = wire_begin(&b, (enum wire_type)EGRESS_READY);
    (void)buf_u32(&b, (uint32_t)getpid());
    wire_end(&b, start);
    rv = ctl_send(&e->ctl, &b);
    buf_done(&b);
    return rv;
}

static int ctl_sandbox(struct egress *e, struct cursor *c, int *fd)
{
    cleanup_free char *id = frame_id_read(c);
    if (!cursor_end(c) || *fd < 0)
        return -EPROTO;
    return tenant_add(e, id, TAKE_FD(*fd));
}

static int ctl_transforms(const struct frame_policy *f, struct policy *p, struct error *err)
{
    struct transform_text texts[EGRESS_MAX_TRANSFORMS];
    for (uint32_t i = 0; i < f->n_transforms; i++) {
        const struct frame_transform *t = &f->transforms[i];
        texts[i] = (struct transform_text){.host = t->host,
                                           .methods = (const char *const *)t->methods,
                                           .paths = (const char *const *)t->paths,
                                           .headers = (const char *const *)t->headers};
    }
    return transform_list_read(texts, f->n_transforms, &p->arena, &p->transforms, err);
}

static int ctl_policy(struct egress *e, struct cursor *c)
{
    struct frame_policy f;
    struct policy p;
    struct error err;
    if (frame_policy_read(c, &f) < 0)
        return -EPROTO;
    struct tenant *t = tenant_find(e, f.id);
    int rv = policy_read(&p, (const char *const *)f.allow, (const char *const *)f.deny, &err);
    if (rv == 0) {
        rv = ctl_transforms(&f, &p, &err);
        if (rv < 0)
            policy_done(&p);
    }
    if (rv < 0) {
        log_error("a policy cannot be read", "sandbox=%s reason=\"%s\"", f.id, err.message);
    } else {
        p.otherwise = (enum egress_default)f.otherwise;
        p.log = (enum egress_log)f.log;
        p.limits = f.limits;
    }
    if (t != NULL)
        tenant_set_policy(t, &p);
    else
        policy_done(&p);
    frame_policy_done(&f);
    return 0;
}

static int ctl_drop(struct egress *e, struct cursor *c)
{
    cleanup_free char *id = frame_id_read(c);
    if (!cursor_end(c))
        return -EPROTO;
    struct tenant *t = tenant_find(e, id);
    if (t != NULL)
        tenant_drop(t);
    return 0;
}

static int ctl_carry_out(struct egress *e, struct ctl_input *in)
{
    struct span packet = {(const char *)e->ctl.packet, in->len};
    struct cursor c;
    uint16_t type;
    if (frame_type(packet, &type, &c) < 0 || (type != EGRESS_SETUP && !e->ctl.set_up))
        return -EPROTO;
    switch (type) {
    case EGRESS_SETUP:
        return ctl_setup(e, &c);
    case EGRESS_SANDBOX:
        return ctl_sandbox(e, &c, &in->fd);
    case EGRESS_POLICY:
        return ctl_policy(e, &c);
    case EGRESS_DROP:
        return ctl_drop(e, &c);
    default:
        return -EPROTO;
    }
}

/* 1 and a packet, 0 when there is none, -EPIPE at the end of the socket. */
static int ctl_receive(struct ctl *c, struct ctl_input *ret)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = c->packet, .iov_len = EGRESS_MAX_FRAME};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    *ret = (struct ctl_input){.fd = -1};
    ssize_t n = recvmsg(EGRESS_CTL_FD, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h != NULL && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&ret->fd, CMSG_DATA(h), sizeof(int));
    ret->len = (size_t)n;
    return (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? -EPROTO : 1;
}

static void ctl_on_poll(uv_poll_t *poll, int status, int events)
{
    struct egress *e = poll->data;
    if (status == 0 && (events & UV_WRITABLE) != 0)
        ctl_drain(e);
    for (unsigned int i = 0; i < CTL_BATCH; i++) {
        struct ctl_input in;
        int rv = ctl_receive(&e->ctl, &in);
        if (rv == 0)
            return;
        if (rv == 1)
            rv = ctl_carry_out(e, &in);
        explicit_bzero(e->ctl.packet, in.len); /* the CA's key, values of transforms */
        if (in.fd >= 0)
            (void)close(in.fd);
        if (rv < 0) {
            ctl_end(e, rv == -EPIPE || rv == -ECONNRESET ? NULL : strerror(-rv));
            return;
        }
    }
}
