/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.c - PORT: a connection to a TCP port on the sandbox's loopback, then raw bytes.
 *
 * state      waits for                                          at most
 * CONNECTING 127.0.0.1, then ::1 when that refuses              PORT_CONNECT_US in all
 * RELAYING   bytes, as relay.h says                             while both sides are open
 *
 * Until the connect succeeds the input is paused: what the client has sent waits in the socket.
 * Possible failure modes are: nothing listens on either address (ERROR says so, which the server
 * turns into its answer to the API client); the time-out (relay.c answers ERROR).
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/ops/ops.h"
#include "agent/relay.h"

#define PORT_CONNECT_US (5 * 1000000ull)

struct port {
    struct relay relay; /* first */
    uint16_t port;
    bool second_try;
};

static void port_connect(struct port *p);
static void port_connected(struct relay *r);

static void port_start(struct conn *c, struct request *req)
{
    struct port *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        conn_errno(c, -ENOMEM, "cannot connect");
        return;
    }
    c->op_state = p;
    relay_init(&p->relay, c, false);
    p->relay.connected = port_connected;
    p->port = req->port;
    conn_pause_input(c, true);
    loop_timer_start(&c->agent->loop, &p->relay.timer, PORT_CONNECT_US);
    port_connect(p);
}

static int port_open(struct port *p)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(p->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const int one = 1;
    int fd = socket(p->second_try ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    0);
    if (fd < 0)
        return -errno;
    p->relay.far.fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int rv = p->second_try ? connect(fd, (struct sockaddr *)&v6, sizeof(v6))
                           : connect(fd, (struct sockaddr *)&v4, sizeof(v4));
    return rv < 0 ? -errno : 0;
}

static void port_failed(struct port *p, int errnum)
{
    struct conn *c = p->relay.conn;
    loop_close(&c->agent->loop, &p->relay.far);
    if (!p->second_try) {
        p->second_try = true;
        port_connect(p);
        return;
    }
    if (errnum == -ECONNREFUSED || errnum == -EADDRNOTAVAIL || errnum == -EAFNOSUPPORT ||
        errnum == -ENETUNREACH)
        conn_error(c, WIRE_E_UNAVAILABLE, "nothing listens on port %u", p->port);
    else
        conn_errno(c, errnum, "cannot connect");
}

static void port_connect(struct port *p)
{
    struct conn *c = p->relay.conn;
    int rv = port_open(p);
    if (rv == 0 || rv == -EINPROGRESS)
        rv = loop_watch(&c->agent->loop, &p->relay.far, EPOLLOUT);
    if (rv < 0)
        port_failed(p, rv);
}

static void port_connected(struct relay *r)
{
    struct port *p = container_of(r, struct port, relay);
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(r->far.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err != 0) {
        port_failed(p, -err);
        return;
    }
    timer_stop(&r->timer);
    (void)wire_put_frame(&r->conn->out, WIRE_OK, NULL, 0);
    relay_start(r);
}

static void port_raw_event(struct conn *c, uint32_t events)
{
    struct port *p = c->op_state;
    relay_handle_near(&p->relay, events);
}

static void port_stop(struct conn *c)
{
    struct port *p = c->op_state;
    if (p != NULL)
        relay_done(&p->relay);
}

const struct op op_port = {
    .type = WIRE_PORT, .start = port_start, .raw_event = port_raw_event, .stop = port_stop};
