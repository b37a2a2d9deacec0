/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnstcp.c - one question at a time: while its answer is under way the connection is not read, so
 * both buffers hold one message. The resolver answers every question it takes; one that it drops
 * leaves the connection to its timer. A serial tells the uses of a slot apart.
 */
#include "agent/net/dnstcp.h"

#include <errno.h>
#include <string.h>

static void move_conn(struct dnstcp_conn *c);

static void close_conn(struct dnstcp_conn *c)
{
    poll_timer_stop(&c->timer);
    poll_close(c->all->poll, &c->source);
    c->serial++;
}

static void dnstcp_handle_conn(struct poll_source *s, uint32_t events)
{
    struct dnstcp_conn *c = container_of(s, struct dnstcp_conn, source);
    if (events & (EPOLLERR | EPOLLHUP))
        close_conn(c);
    else
        move_conn(c);
}

static void dnstcp_handle_timer(struct poll_timer *t)
{
    close_conn(container_of(t, struct dnstcp_conn, timer));
}

void dnstcp_init(struct dnstcp *d)
{
    for (size_t i = 0; i < DNSTCP_MAX; i++) {
        d->conns[i].all = d;
        poll_source_init(&d->conns[i].source, dnstcp_handle_conn);
        poll_timer_init(&d->conns[i].timer, dnstcp_handle_timer);
    }
}

void dnstcp_done(struct dnstcp *d)
{
    for (size_t i = 0; i < DNSTCP_MAX; i++)
        close_conn(&d->conns[i]);
}

/* 0: all is sent, 1: some is left, or a negative errno. */
static int dnstcp_send_answer(struct dnstcp_conn *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->source.fd, c->out + c->out_sent, c->out_len - c->out_sent,
                         MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 1 : -errno;
        c->out_sent += (size_t)n;
    }
    c->out_len = c->out_sent = 0;
    return 0;
}

/* 1: a question was asked, 0: more bytes are needed, or a negative errno. */
static int take_question(struct dnstcp_conn *c)
{
    size_t len = c->in_len < 2 ? 0 : (size_t)c->in[0] << 8 | c->in[1];
    if (len > DNSTCP_MESSAGE)
        return -EMSGSIZE;
    if (c->in_len < 2 || c->in_len < 2 + len)
        return 0;
    uint8_t message[DNSTCP_MESSAGE];
    memcpy(message, c->in + 2, len);
    c->in_len -= 2 + len;
    memmove(c->in, c->in + 2 + len, c->in_len);
    c->asked = true;
    resolver_ask(c->all->resolver, message, len,
                 &(struct resolver_origin){.conn = c, .serial = c->serial});
    return 1;
}

static int read_more(struct dnstcp_conn *c)
{
    ssize_t n = recv(c->source.fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    c->in_len += (size_t)n;
    return n == 0 ? -EPIPE : 1;
}

static void move_conn(struct dnstcp_conn *c)
{
    int rv = dnstcp_send_answer(c);
    if (rv == 0 && !c->asked) {
        rv = take_question(c); /* of what has come behind the last */
        if (rv == 0 && (rv = read_more(c)) > 0)
            rv = take_question(c);
    }
    uint32_t events = (c->out_len > 0 ? EPOLLOUT : 0u) | (c->asked ? 0u : EPOLLIN);
    if (rv < 0 || poll_watch(c->all->poll, &c->source, events) < 0)
        close_conn(c);
}

void dnstcp_accepted(struct dnstcp *d, int fd)
{
    for (size_t i = 0; i < DNSTCP_MAX; i++) {
        struct dnstcp_conn *c = &d->conns[i];
        if (c->source.fd >= 0)
            continue;
        c->source.fd = fd;
        c->asked = false;
        c->in_len = c->out_len = c->out_sent = 0;
        poll_timer_start(d->poll, &c->timer, DNSTCP_IDLE_MS);
        move_conn(c);
        return;
    }
    (void)close(fd);
}

void dnstcp_answer(struct dnstcp_conn *c, uint32_t serial, const uint8_t *message, size_t len)
{
    if (c->source.fd < 0 || c->serial != serial || !c->asked)
        return;
    c->out[0] = (uint8_t)(len >> 8);
    c->out[1] = (uint8_t)len;
    memcpy(c->out + 2, message, len);
    c->out_len = 2 + len;
    c->asked = false;
    poll_timer_start(c->all->poll, &c->timer, DNSTCP_IDLE_MS);
    /* What follows is for the event that this brings: the answer may come from within a question.
     */
    if (poll_watch(c->all->poll, &c->source, EPOLLOUT) < 0)
        close_conn(c);
}
