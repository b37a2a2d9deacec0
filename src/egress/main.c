/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corral-egress - the way of sandboxes to the internet, by name and by policy (corral-egress(8)).
 *
 * Theory of operation. One process, one loop, no state on disk. The server passes the listening
 * sockets of sandboxes over descriptor 3 (ctl.c); each connection to one of them is a flow or a
 * resolver's (flow_conn.c, query.c). A flow names a host; the host is judged (policy.c), resolved
 * (resolve.c), each address is judged again, and the flow is connected to exactly one that passed
 * (flow_dial.c). Then bytes are relayed (relay.c) and counted (meter.c). Flows to the hosts of a
 * sandbox's transforms are intercepted instead (intercept.c).
 *
 * Everything from a sandbox, a name server and the network is hostile. All tables and queues are
 * bounded, per sandbox and in total. The process has a user of its own and may do little (walls.c);
 * when it ends, flows end and sandboxes go on.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "egress/egress.h"
#include "egress/flow_conn.h"
#include "egress/intercept.h"
#include "egress/tenant.h"
#include "egress/walls.h"

#define MAIN_SPARE_FDS 256u /* for name servers, listeners and the loop */

static struct egress egress;

struct main_options {
    const char *resolver, *ca_file;
    int64_t uid, gid, open_ms, connect_ms;
    bool no_walls;
};

enum {
    MAIN_RESOLVER = 1,
    MAIN_UID,
    MAIN_GID,
    MAIN_OPEN,
    MAIN_CONNECT,
    MAIN_NO_WALLS,
    MAIN_CA_FILE,
    MAIN_DEBUG
};

static const struct option main_table[] = {
    {"resolver", required_argument, NULL, MAIN_RESOLVER},
    {"uid", required_argument, NULL, MAIN_UID},
    {"gid", required_argument, NULL, MAIN_GID},
    {"open-timeout", required_argument, NULL, MAIN_OPEN},
    {"connect-timeout", required_argument, NULL, MAIN_CONNECT},
    {"no-walls", no_argument, NULL, MAIN_NO_WALLS},
    {"ca-file", required_argument, NULL, MAIN_CA_FILE},
    {"debug", no_argument, NULL, MAIN_DEBUG},
    {NULL, 0, NULL, 0},
};

static int main_number(const char *text, int64_t *ret)
{
    return num_parse(text, 1, UINT32_MAX - 1, ret);
}

static int main_parse(int argc, char **argv, struct main_options *o)
{
    int c, rv = 0;
    while (rv == 0 && (c = getopt_long(argc, argv, "", main_table, NULL)) != -1) {
        switch (c) {
        case MAIN_RESOLVER:
            o->resolver = optarg;
            break;
        case MAIN_UID:
            rv = main_number(optarg, &o->uid);
            break;
        case MAIN_GID:
            rv = main_number(optarg, &o->gid);
            break;
        case MAIN_OPEN:
            rv = main_number(optarg, &o->open_ms);
            break;
        case MAIN_CONNECT:
            rv = main_number(optarg, &o->connect_ms);
            break;
        case MAIN_NO_WALLS:
            o->no_walls = true;
            break;
        case MAIN_CA_FILE:
            o->ca_file = optarg;
            break;
        case MAIN_DEBUG:
            log_set_level(LOG_DEBUG);
            break;
        default:
            rv = -EINVAL;
        }
    }
    return optind < argc ? -EINVAL : rv;
}

static int main_timers(const struct main_options *o)
{
    struct egress *e = &egress;
    const struct {
        struct watch_deadlines *queue;
        uint64_t ms;
        void (*passed)(struct watch_deadline *d);
    } rows[] = {
        {&e->open, (uint64_t)o->open_ms, flow_on_deadline},
        {&e->resolve, EGRESS_RESOLVE_MS, flow_on_deadline},
        {&e->connect, (uint64_t)o->connect_ms, flow_on_deadline},
        {&e->shake, EGRESS_SHAKE_MS, flow_on_deadline},
        {&e->head, EGRESS_HEAD_MS, flow_on_deadline},
        {&e->idle, EGRESS_IDLE_MS, flow_on_deadline},
        {&e->answer, EGRESS_ANSWER_MS, flow_on_deadline},
        {&e->flush, EGRESS_FLUSH_MS, flow_on_deadline},
        {&e->retry, EGRESS_RETRY_MS, tenant_on_retry},
        {&e->park, EGRESS_PARK_MS, tenant_on_park},
    };
    int rv = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows) && rv == 0; i++)
        rv = watch_deadlines_init(rows[i].queue, &e->loop, rows[i].ms, rows[i].passed);
    return rv;
}

static int main_start(const struct main_options *o)
{
    struct egress *e = &egress;
    list_init(&e->tenants);
    list_init(&e->shaking);
    list_init(&e->shake_turn.node);
    e->shake_turn.run = intercept_on_turn;
    int rv = uv_loop_init(&e->loop);
    if (rv == 0)
        rv = watch_set_init(&e->watches, &e->loop);
    if (rv == 0)
        rv = main_timers(o);
    if (rv == 0)
        rv = resolver_init(&e->resolver, &e->loop, o->resolver);
    if (rv == 0)
        rv = session_set_new(&e->sessions, o->ca_file);
    if (rv == 0)
        rv = meter_init(e);
    if (rv == 0)
        rv = ctl_init(e);
    return rv;
}

static int main_enclose(const struct main_options *o)
{
    size_t fds;
    int rv = walls_limits(&fds);
    if (rv < 0)
        return rv;
    egress.fds_max = fds > 2 * MAIN_SPARE_FDS ? fds - MAIN_SPARE_FDS : fds / 2;
    if (o->no_walls)
        return 0;
    rv = walls_identity(o->uid, o->gid);
    return rv < 0 ? rv : walls_filter();
}

int main(int argc, char **argv)
{
    struct main_options o = {
        .uid = -1, .gid = -1, .open_ms = EGRESS_OPEN_MS, .connect_ms = EGRESS_CONNECT_MS};
    if (main_parse(argc, argv, &o) < 0) {
        fprintf(stderr, "usage: corral-egress [--uid N] [--gid N] [--debug] 3<>SOCKET\n"
                        "It is started by corrald; see corral-egress(8).\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int rv = walls_no_rings();
    if (rv == 0)
        rv = main_start(&o);
    if (rv == 0)
        rv = main_enclose(&o);
    if (rv < 0) {
        log_error("corral-egress does not start", "reason=\"%s\"", strerror(-rv));
        return 1;
    }
    (void)uv_run(&egress.loop, UV_RUN_DEFAULT);
    return egress.ctl.failed ? 1 : 0;
}
