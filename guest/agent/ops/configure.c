/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure.c - CONFIGURE gives a sandbox its clock, entropy, identity and variables, at its
 * creation and after each restore from a snapshot. CLOCK sets the clock alone.
 *
 * A clone becomes another machine. A sandbox that wakes up (KEEP) goes on as the one it was: what
 * its programs know of it stays, and nobody else has drawn its random numbers. One that begins with
 * the files of another alone (AFRESH) is a clone whose processes end before anything else.
 *
 * A step that the agent has no right to is skipped: in a container the runtime sets the clock and
 * the host name. The order matters. The jump of the clock makes generators that watch the time
 * (OpenSSL's) ask the kernel for a new seed, and every number that the kernel gives after it got
 * the entropy belongs to this clone alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/bridge.h"
#include "agent/identity.h"
#include "agent/net/net.h"
#include "agent/ops/ops.h"
#include "base/log.h"

/* False when the clock was not set. An agent that is not process 1 shares the clock of its machine
 * and leaves it alone. */
static bool configure_clock(uint64_t wall_ns)
{
    const struct timespec ts = {.tv_sec = (time_t)(wall_ns / 1000000000u),
                                .tv_nsec = (long)(wall_ns % 1000000000u)};
    if (wall_ns == 0 || getpid() != 1)
        return false;
    if (clock_settime(CLOCK_REALTIME, &ts) == 0)
        return true;
    if (errno != EPERM)
        log_warn("cannot set the clock, ignoring", "error=\"%s\"", strerror(errno));
    return false;
}

/* Everyone may mix bytes in. To count them as entropy and to reseed the generator at once takes the
 * right to do so. */
static void configure_entropy(struct span entropy)
{
    /* struct rand_pool_info: bits, bytes, data. */
    uint32_t pool[2 + REQUEST_ENTROPY_MAX / 4] = {(uint32_t)entropy.len * 8, (uint32_t)entropy.len};
    cleanup_close int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    memcpy(&pool[2], entropy.data, entropy.len);
    if (ioctl(fd, RNDADDENTROPY, pool) < 0 && write(fd, entropy.data, entropy.len) < 0)
        log_warn("cannot add entropy, ignoring", "error=\"%s\"", strerror(errno));
    (void)ioctl(fd, RNDRESEEDCRNG);
    explicit_bzero(pool, sizeof(pool));
}

struct configure {
    struct conn *conn;
    struct bridge_waiter waiter; /* the answer waits for the next bridge */
    uint64_t clock_set_at;       /* us, monotonic; 0: it was not set */
};

static void configure_done(struct conn *c)
{
    const struct configure *k = c->op_state;
    size_t start = wire_begin(&c->out, WIRE_CONFIGURED);
    (void)buf_u64(&c->out, k->clock_set_at != 0 ? loop_now() - k->clock_set_at + 1 : 0);
    wire_end(&c->out, start);
    conn_finish(c);
}

static void configure_begun(struct bridge_waiter *w)
{
    configure_done(container_of(w, struct configure, waiter)->conn);
}

/* All at once: a fork that is under way fails for the signal. Only process 1 can be sure that all
 * of them are the sandbox's. */
static int configure_end_all(struct agent *a)
{
    struct process *p = NULL;
    if (getpid() != 1)
        return -EOPNOTSUPP;
    if (kill(-1, SIGKILL) < 0 && errno != ESRCH)
        return -errno;
    while ((p = processes_next(&a->processes, 0)) != NULL)
        processes_forget(p);
    return 0;
}

/* Requests for code must not find the bridge that is about to end. The next one starts by itself,
 * and with the new variables. */
static void configure_await_bridge(struct conn *c)
{
    struct configure *k = c->op_state;
    struct bridge *b = c->agent->bridge;
    if (b->state == BRIDGE_RUNNING)
        bridge_wait(b, &k->waiter);
    else
        configure_done(c);
}

/* What a clone does not share with its origin. */
static void configure_clone(struct agent *a, struct request *req)
{
    if (req->entropy.len > 0)
        identity_renew();
    free(a->env);
    a->env = TAKE_PTR(req->env);
}

static void configure_start(struct conn *c, struct request *req)
{
    struct agent *a = c->agent;
    bool keep = (req->flags & WIRE_CONFIGURE_KEEP) != 0;
    bool reseed = !keep || (req->flags & WIRE_CONFIGURE_RESEED) != 0;
    bool afresh = !keep && (req->flags & WIRE_CONFIGURE_AFRESH) != 0;
    struct configure *k = calloc(1, sizeof(*k));
    int rv = k == NULL ? -ENOMEM : afresh ? configure_end_all(a) : 0;
    if (rv < 0) {
        free(k);
        conn_errno(c, rv, "cannot configure");
        return;
    }
    k->conn = c;
    k->waiter.wake = configure_begun;
    list_init(&k->waiter.node);
    c->op_state = k;
    if (configure_clock(req->wall_ns))
        k->clock_set_at = loop_now();
    if (req->entropy.len > 0)
        configure_entropy(req->entropy);
    if (!keep)
        configure_clone(a, req);
    if (req->hostname[0] != '\0')
        identity_set_name(req->hostname);
    if ((req->flags & WIRE_CONFIGURE_OFFLINE) != 0)
        net_stop();
    if (reseed)
        rv = bridge_changed(a->bridge, req->entropy.len > 0);
    if (rv < 0)
        conn_errno(c, rv, "no random seed");
    else if (afresh)
        configure_await_bridge(c);
    else
        configure_done(c);
}

static void configure_stop(struct conn *c)
{
    struct configure *k = c->op_state;
    if (k == NULL)
        return;
    bridge_wait_cancel(&k->waiter);
}

const struct op op_configure = {
    .type = WIRE_CONFIGURE, .start = configure_start, .stop = configure_stop};

/* A delay on the way makes the server's time late, never early. So of several times the latest is
 * the best, and the clock is never set back. */
static void clock_start(struct conn *c, struct request *req)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec < req->wall_ns)
        (void)configure_clock(req->wall_ns);
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

const struct op op_clock = {.type = WIRE_CLOCK, .start = clock_start};
