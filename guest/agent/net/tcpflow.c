/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpflow.c - the life of a flow, but for its bytes.
 *
 * The happy path is: flow_start connects and sends OPEN, OPENED admits the SYN to the listener,
 * the program's kernel shakes hands with it, flow_accepted, bytes, FIN both ways, flow_close.
 *
 * Possible failure modes are: the host refuses or cannot be reached (the program's connect fails
 * with the matching error), the program gives up (the host's connection is closed, which it takes
 * for RST), the host's connection breaks (the program reads ECONNRESET), the program resets (so
 * does the agent). After a restore from a snapshot every vsock connection is broken, and all flows
 * end that way by themselves.
 */
#include "agent/net/tcpflow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/netdev.h"
#include "flow.h"

static void flow_handle_timer(struct poll_timer *t);

void flows_init(struct flows *all)
{
    list_init(&all->free);
    list_init(&all->used);
    for (size_t i = 0; i < ARRAY_SIZE(all->slots); i++) {
        struct flow *f = &all->slots[i];
        *f = (struct flow){.all = all};
        poll_source_init(&f->app, flow_handle_app);
        poll_source_init(&f->host, flow_handle_host);
        poll_timer_init(&f->timer, flow_handle_timer);
        list_add_tail(&all->free, &f->node);
    }
}

void flows_done(struct flows *all)
{
    while (!list_empty(&all->used)) {
        struct flow *f = list_first(&all->used, struct flow, node);
        flow_abort_socket(all->poll, &f->app);
        flow_close(f);
    }
}

void flow_close(struct flow *f)
{
    struct flows *all = f->all;
    poll_close(all->poll, &f->app);
    poll_close(all->poll, &f->host);
    poll_timer_stop(&f->timer);
    buf_done(&f->to_host);
    buf_done(&f->to_app);
    nat_close(all->nat, f->entry, poll_now());
    f->entry = NULL;
    f->state = FLOW_S_FREE;
    list_del(&f->node);
    list_add_head(&all->free, &f->node);
}

void flow_abort_socket(struct poll *poll, struct poll_source *s)
{
    const struct linger now = {.l_onoff = 1};
    if (s->fd >= 0)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    poll_close(poll, s);
}

/* What the program sees. Silence would be an answer to a time-out as well, but the kernel would ask
 * again, and again wait for the host.
 *
 * Linux (6.12) puts an ICMP answer to a SYN on the socket's error queue, which wakes a poll, before
 * it sets the socket's error. A program that asks for SO_ERROR in between, as Python's connect with
 * a time-out does, hears 0 and takes that for a connection; its next call fails with the error, and
 * getpeername says that there is no peer. With two vCPUs that share one processor about one of
 * 1,000 refusals is told like that. Nothing has passed then. */
static void show_refusal(struct tun *tun, const struct packet *syn, uint32_t reason)
{
    switch (reason) {
    case FLOW_R_REFUSED:
        tun_answer_rst(tun, syn);
        break;
    case FLOW_R_NET:
        tun_answer_icmp(tun, syn, NETDEV_GATEWAY, PACKET_NO_NET);
        break;
    case FLOW_R_DENIED:
        tun_answer_icmp(tun, syn, NETDEV_GATEWAY, PACKET_PROHIBITED);
        break;
    default:
        tun_answer_icmp(tun, syn, NETDEV_GATEWAY, PACKET_NO_HOST);
        break;
    }
}

void flow_refuse(struct flow *f, uint32_t reason)
{
    struct packet syn;
    struct nat_entry *entry = f->entry;
    if (packet_parse(&syn, f->syn, f->syn_len, false) == 0)
        show_refusal(f->all->tun, &syn, reason);
    flow_close(f);
    nat_forget(f->all->nat, entry);
}

/* The name that the address stands for, or the address itself. False for an address of the pool
 * that has no name (any more). */
static bool find_destination(struct flows *all, uint32_t dst, char out[NAMES_LEN + 1])
{
    if (names_is_pool(dst)) {
        const struct name *name = names_at(all->names, dst, poll_now());
        if (name == NULL)
            return false;
        (void)snprintf(out, NAMES_LEN + 1, "%s", name->text);
        return true;
    }
    (void)snprintf(out, NAMES_LEN + 1, "%u.%u.%u.%u", dst >> 24, dst >> 16 & 0xff, dst >> 8 & 0xff,
                   dst & 0xff);
    return true;
}

static int put_open(struct flow *f, const char *host)
{
    uint8_t header[FRAMES_HEADER];
    size_t len = strlen(host);
    frames_header(header, FLOW_OPEN, 4 + len + 2);
    (void)buf_append(&f->to_host, header, sizeof(header));
    (void)buf_u32(&f->to_host, (uint32_t)len);
    (void)buf_append(&f->to_host, host, len);
    (void)buf_u16(&f->to_host, f->entry->dport);
    return f->to_host.failed ? -ENOMEM : 0;
}

static void keep_syn(struct flow *f, struct packet *syn)
{
    if (syn->partial)
        packet_complete(syn);
    memcpy(f->syn, syn->ip, syn->len);
    f->syn_len = syn->len;
}

static void connect_host(struct flow *f)
{
    struct flows *all = f->all;
    int rv = host_connect(all->host, f->host.fd);
    if (rv == -EAGAIN) {
        f->waited_ms += HOST_RETRY_MS;
        if (f->waited_ms > HOST_CONNECT_MS)
            flow_refuse(f, FLOW_R_UNAVAILABLE);
        else
            poll_timer_start(all->poll, &f->timer, HOST_RETRY_MS);
        return;
    }
    if (rv < 0 && rv != -EINPROGRESS) {
        flow_refuse(f, FLOW_R_UNAVAILABLE);
        return;
    }
    poll_timer_start(all->poll, &f->timer, rv == 0 ? FLOW_HOLD_MS : HOST_CONNECT_MS);
    if (rv == 0)
        f->state = FLOW_S_HELD;
    if (poll_watch(all->poll, &f->host, EPOLLIN | EPOLLOUT) < 0)
        flow_refuse(f, FLOW_R_UNAVAILABLE);
}

static struct flow *new_flow(struct flows *all, struct nat_entry *entry)
{
    struct flow *f = list_first(&all->free, struct flow, node);
    list_del(&f->node);
    list_add_tail(&all->used, &f->node);
    f->state = FLOW_S_CONNECTING;
    f->entry = entry;
    f->frames = (struct frames){0};
    f->app_ended = f->host_ended = false;
    f->waited_ms = 0;
    entry->owner = f;
    return f;
}

void flow_start(struct flows *all, struct nat_entry *entry, struct packet *syn)
{
    char host[NAMES_LEN + 1];
    if (list_empty(&all->free) || !find_destination(all, entry->dst, host)) {
        tun_answer_icmp(all->tun, syn, NETDEV_GATEWAY, PACKET_NO_HOST);
        nat_forget(all->nat, entry);
        return;
    }
    struct flow *f = new_flow(all, entry);
    keep_syn(f, syn);
    f->host.fd = host_socket(all->host);
    if (f->host.fd < 0 || put_open(f, host) < 0)
        flow_refuse(f, FLOW_R_UNAVAILABLE);
    else
        connect_host(f);
}

void flow_opened(struct flow *f)
{
    struct packet syn;
    struct flows *all = f->all;
    f->state = FLOW_S_ADMITTED;
    poll_timer_start(all->poll, &f->timer, FLOW_ACCEPT_MS);
    if (packet_parse(&syn, f->syn, f->syn_len, false) < 0)
        return;
    nat_admit(f->entry);
    nat_to_listener(all->nat, f->entry, &syn);
    tun_write(all->tun, syn.ip, syn.len);
}

void flow_accepted(struct flow *f, int fd)
{
    const int on = 1;
    poll_timer_stop(&f->timer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    f->app.fd = fd;
    f->state = FLOW_S_RELAYING;
    flow_move(f);
}

void flow_given_up(struct flow *f)
{
    struct nat_entry *entry = f->entry;
    bool held = entry->state == NAT_SYN_HELD;
    flow_close(f);
    if (held)
        nat_forget(f->all->nat, entry);
}

/* A socket that is closed while it connects says nothing. But the kernel repeats the SYN of one
 * that is not, each time after twice the time at most. */
static bool is_abandoned(const struct nat_entry *e, uint64_t now)
{
    return e->state == NAT_SYN_HELD &&
           now - e->used_at > e->used_at - e->opened_at + 2 * FLOW_SYN_MS;
}

unsigned int flows_drop_abandoned(struct flows *all)
{
    unsigned int count = 0;
    uint64_t now = poll_now();
    list_for_each_safe (it, &all->used) {
        struct flow *f = list_entry(it, struct flow, node);
        if (!is_abandoned(f->entry, now))
            continue;
        flow_given_up(f);
        count++;
    }
    return count;
}

void flow_reset_host(struct flow *f)
{
    uint8_t rst[FRAMES_HEADER];
    frames_header(rst, FLOW_RST, 0);
    /* In the midst of a frame the end alone must do: it means the same. */
    if (f->to_host.len == 0)
        (void)!send(f->host.fd, rst, sizeof(rst), MSG_NOSIGNAL);
    flow_abort_socket(f->all->poll, &f->app);
    flow_close(f);
}

static bool is_drained(const struct flow *f)
{
    int left = 0;
    return ioctl(f->app.fd, SIOCOUTQ, &left) < 0 || left == 0;
}

/* A reset overtakes what the kernel has not sent yet: data that the program can take comes first.
 */
static void drain(struct flow *f)
{
    if (is_drained(f) || f->waited_ms >= FLOW_DRAIN_MS) {
        flow_abort_socket(f->all->poll, &f->app);
        flow_close(f);
        return;
    }
    f->waited_ms += FLOW_STEP_MS;
    poll_timer_start(f->all->poll, &f->timer, FLOW_STEP_MS);
}

void flow_reset_app(struct flow *f)
{
    switch (f->state) {
    case FLOW_S_CONNECTING:
    case FLOW_S_HELD:
        flow_refuse(f, FLOW_R_UNAVAILABLE);
        return;
    case FLOW_S_RELAYING:
        poll_close(f->all->poll, &f->host);
        poll_unwatch(f->all->poll, &f->app);
        f->state = FLOW_S_DRAINING;
        f->waited_ms = 0;
        drain(f);
        return;
    default:
        /* Not accepted yet: accepting finds an entry without owner, and resets. */
        flow_close(f);
        return;
    }
}

static void flow_handle_timer(struct poll_timer *t)
{
    struct flow *f = container_of(t, struct flow, timer);
    switch (f->state) {
    case FLOW_S_CONNECTING:
        if (f->host.watched)
            flow_refuse(f, FLOW_R_UNAVAILABLE);
        else
            connect_host(f);
        break;
    case FLOW_S_HELD:
        flow_refuse(f, FLOW_R_TIMED_OUT);
        break;
    case FLOW_S_DRAINING:
        drain(f);
        break;
    default:
        flow_given_up(f);
        break;
    }
}
