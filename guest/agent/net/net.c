/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - the thread, and what is done with each packet. */
#include "agent/net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "agent/net/dnstcp.h"
#include "agent/net/etc.h"
#include "agent/net/tcpflow.h"
#include "base/log.h"
#include "base/netdev.h"
#include "base/num.h"

#define DNS_PORT         53u
#define PACKETS_PER_TURN 64
#define ACCEPTS_PER_TURN 64
#define REST_MS          50u
#define STACK_SIZE       (256u * 1024u)

struct net {
    struct poll poll;
    struct host host;
    struct tun tun;
    struct nat nat;
    struct names names;
    struct flows flows;
    struct resolver resolver;
    struct dnstcp dnstcp;
    struct poll_source listener, stop;
    struct poll_timer rest; /* the listener's */
    bool stopping;
    bool started;
    pthread_t thread;
};

static struct net net;

static void take_udp(struct net *n, const struct packet *p)
{
    if (p->dport != DNS_PORT) {
        /* From the address that was asked, which is how the kernel finds the socket. */
        tun_answer_icmp(&n->tun, p, p->dst, PACKET_NO_PORT);
        return;
    }
    const struct resolver_origin from = {
        .src = p->src, .sport = p->sport, .dst = p->dst, .dport = p->dport};
    resolver_ask(&n->resolver, p->ip + p->payload, p->len - p->payload, &from);
}

static void send_answer(struct resolver *r, const struct resolver_origin *to,
                        const uint8_t *message, size_t len)
{
    struct net *n = container_of(r, struct net, resolver);
    uint8_t out[PACKET_REPLY];
    if (to->conn != NULL)
        dnstcp_answer(to->conn, to->serial, message, len);
    else
        tun_write(&n->tun, out,
                  packet_udp(to->dst, to->dport, to->src, to->sport, message, len, out));
}

/* To the resolver's TCP port: nothing is asked of the host. Without owner from the beginning, the
 * entry takes no place of a flow. */
static void admit_resolver(struct net *n, struct nat_entry *e, struct packet *p)
{
    nat_admit(e);
    nat_to_listener(&n->nat, e, p);
    tun_write_back(&n->tun, p);
    nat_close(&n->nat, e, poll_now());
}

static void take_tcp(struct net *n, struct packet *p)
{
    struct nat_entry *e;
    enum nat_verdict verdict = nat_input(&n->nat, p, poll_now(), &e);
    if (verdict == NAT_FULL && flows_drop_abandoned(&n->flows) > 0)
        verdict = nat_input(&n->nat, p, poll_now(), &e);
    switch (verdict) {
    case NAT_DROP:
        break;
    case NAT_WRITE:
        tun_write_back(&n->tun, p);
        break;
    case NAT_RESET:
        tun_answer_rst(&n->tun, p);
        break;
    case NAT_FULL:
        tun_answer_icmp(&n->tun, p, NETDEV_GATEWAY, PACKET_NO_HOST);
        break;
    case NAT_NEW:
        if (e->dst == NETDEV_RESOLVER)
            admit_resolver(n, e, p);
        else
            flow_start(&n->flows, e, p);
        break;
    case NAT_GAVE_UP:
        if (e->state == NAT_NATTED)
            tun_write_back(&n->tun, p);
        flow_given_up(e->owner);
        break;
    }
}

static void take_packet(struct net *n, struct packet *p)
{
    switch (p->protocol) {
    case PACKET_TCP:
        take_tcp(n, p);
        break;
    case PACKET_UDP:
        take_udp(n, p);
        break;
    case PACKET_ICMP:
        tun_answer_icmp(&n->tun, p, NETDEV_GATEWAY, PACKET_PROHIBITED);
        break;
    default:
        tun_answer_icmp(&n->tun, p, NETDEV_GATEWAY, PACKET_NO_PROTOCOL);
        break;
    }
}

/* Root in the sandbox may take the interface away. Then there is no network, and nothing else is
 * lost. */
static void handle_tun(struct poll_source *s, uint32_t events)
{
    struct net *n = container_of(container_of(s, struct tun, source), struct net, tun);
    int rv = 0;
    for (int i = 0; i < PACKETS_PER_TURN && rv >= 0; i++) {
        struct packet p;
        rv = tun_read(&n->tun, &p);
        if (rv > 0)
            take_packet(n, &p);
    }
    if (rv == -EAGAIN && !(events & EPOLLERR))
        return;
    if (rv < 0) {
        log_warn("the network interface is gone", "error=\"%s\"", strerror(-rv));
        poll_unwatch(&n->poll, s);
        flows_done(&n->flows);
    }
}

static void accepted(struct net *n, int fd, const struct sockaddr_in *peer)
{
    struct nat_entry *e = NULL;
    if (peer->sin_addr.s_addr == htonl(NETDEV_GATEWAY))
        e = nat_accept(&n->nat, ntohs(peer->sin_port));
    if (e != NULL && e->owner != NULL) {
        flow_accepted(e->owner, fd);
    } else if (e != NULL && e->dst == NETDEV_RESOLVER) {
        dnstcp_accepted(&n->dnstcp, fd);
    } else {
        struct poll_source stranger = {.fd = fd};
        flow_abort_socket(&n->poll, &stranger);
    }
}

/* Without descriptors or memory, a connection that waits would be reported without end. */
static void rest_listener(struct net *n)
{
    poll_unwatch(&n->poll, &n->listener);
    poll_timer_start(&n->poll, &n->rest, REST_MS);
}

static void handle_rest(struct poll_timer *t)
{
    struct net *n = container_of(t, struct net, rest);
    if (poll_watch(&n->poll, &n->listener, EPOLLIN) < 0)
        rest_listener(n);
}

static void handle_listener(struct poll_source *s, uint32_t events)
{
    struct net *n = container_of(s, struct net, listener);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(s->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                rest_listener(n);
            return;
        }
        accepted(n, fd, &peer);
    }
}

static void handle_stop(struct poll_source *s, uint32_t events)
{
    container_of(s, struct net, stop)->stopping = true;
}

static void *run(void *arg)
{
    struct net *n = arg;
    int rv = 0;
    while (rv == 0 && !n->stopping)
        rv = poll_turn(&n->poll);
    if (rv < 0)
        log_error("the network's loop has ended", "error=\"%s\"", strerror(-rv));
    flows_done(&n->flows);
    dnstcp_done(&n->dnstcp);
    resolver_done(&n->resolver);
    names_done(&n->names);
    return NULL;
}

/* runc hands descriptors over in blocking mode. */
static int adopt(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return fd;
}

static int parse_fds(const char *spec, int *tun, int *listener)
{
    char text[32];
    int64_t first, second;
    (void)snprintf(text, sizeof(text), "%s", spec);
    char *comma = strchr(text, ',');
    if (comma == NULL)
        return -EINVAL;
    *comma = '\0';
    if (num_parse(text, 3, INT32_MAX, &first) < 0 ||
        num_parse(comma + 1, 3, INT32_MAX, &second) < 0)
        return -EINVAL;
    *tun = (int)first;
    *listener = (int)second;
    return 0;
}

int net_check(const struct net_options *o)
{
    struct host host;
    int tun, listener;
    if (o->tun == NULL && o->egress == NULL)
        return 0;
    if (o->tun == NULL || o->egress == NULL || host_parse(&host, o->egress) < 0)
        return -EINVAL;
    if (strncmp(o->tun, "tun:", 4) == 0)
        return o->tun[4] != '\0' ? 0 : -EINVAL;
    return strncmp(o->tun, "fd:", 3) == 0 ? parse_fds(o->tun + 3, &tun, &listener) : -EINVAL;
}

static int open_device(struct net *n, const char *spec)
{
    int tun, listener;
    if (strncmp(spec, "tun:", 4) == 0) {
        tun = netdev_open(spec + 4);
        listener = tun < 0 ? tun : netdev_listen();
    } else {
        int rv = parse_fds(spec + 3, &tun, &listener);
        if (rv < 0)
            return rv;
        tun = adopt(tun);
        listener = adopt(listener);
    }
    n->tun.source.fd = tun;
    n->listener.fd = listener;
    return tun < 0 ? tun : MIN(listener, 0);
}

/* Seeds of hash tables, which a program of the sandbox should not know. */
static int start_tables(struct net *n)
{
    struct sockaddr_in at = {0};
    socklen_t len = sizeof(at);
    uint32_t seeds[2] = {0};
    if (getsockname(n->listener.fd, (struct sockaddr *)&at, &len) < 0 ||
        getrandom(seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds))
        return -errno;
    nat_init(&n->nat, ntohs(at.sin_port), seeds[0]);
    names_init(&n->names, seeds[1]);
    n->flows.poll = n->resolver.poll = n->dnstcp.poll = &n->poll;
    n->flows.tun = &n->tun;
    n->flows.nat = &n->nat;
    n->flows.names = n->resolver.names = &n->names;
    n->flows.host = n->resolver.host = &n->host;
    n->resolver.answer = send_answer;
    n->dnstcp.resolver = &n->resolver;
    flows_init(&n->flows);
    resolver_init(&n->resolver);
    dnstcp_init(&n->dnstcp);
    return 0;
}

static int start_poll(struct net *n)
{
    int rv = poll_init(&n->poll);
    if (rv == 0 && (n->stop.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
        rv = -errno;
    if (rv == 0)
        rv = poll_watch(&n->poll, &n->stop, EPOLLIN);
    if (rv == 0)
        rv = poll_watch(&n->poll, &n->listener, EPOLLIN);
    return rv < 0 ? rv : poll_watch(&n->poll, &n->tun.source, EPOLLIN);
}

/* With all signals blocked: they are the main thread's. */
static int start_thread(struct net *n)
{
    sigset_t all, before;
    pthread_attr_t attr;
    sigfillset(&all);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int rv = pthread_create(&n->thread, &attr, run, n);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    n->started = rv == 0;
    return -rv;
}

static void close_all(struct net *n)
{
    poll_close(&n->poll, &n->tun.source);
    poll_close(&n->poll, &n->listener);
    poll_close(&n->poll, &n->stop);
    poll_done(&n->poll);
}

int net_start(const struct net_options *o)
{
    struct net *n = &net;
    if (o->tun == NULL)
        return 0;
    n->poll.epoll_fd = -1;
    poll_source_init(&n->tun.source, handle_tun);
    poll_source_init(&n->listener, handle_listener);
    poll_source_init(&n->stop, handle_stop);
    poll_timer_init(&n->rest, handle_rest);
    int rv = host_parse(&n->host, o->egress);
    if (rv == 0)
        rv = open_device(n, o->tun);
    if (rv == 0)
        rv = start_tables(n);
    if (rv == 0)
        rv = start_poll(n);
    if (rv == 0)
        rv = start_thread(n);
    if (rv < 0) {
        log_error("there is no network", "error=\"%s\"", strerror(-rv));
        close_all(n);
    } else if (getpid() == 1) {
        etc_write("");
    }
    return rv;
}

void net_stop(void)
{
    const uint64_t one = 1;
    struct net *n = &net;
    if (!n->started)
        return;
    (void)!write(n->stop.fd, &one, sizeof(one));
    (void)pthread_join(n->thread, NULL);
    close_all(n);
    n->started = false;
}
