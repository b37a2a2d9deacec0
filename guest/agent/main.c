/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - corral-agent(8): options, the start order, the end. */
#include <errno.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/net/net.h"
#include "agent/pid1.h"
#include "agent/serve.h"
#include "agent/spawn.h"
#include "base/log.h"

static const char *const default_bridge[] = {"python3", "/opt/corral/bridge/bridge.py", NULL};

enum option_id {
    OPTION_LISTEN = 256,
    OPTION_BRIDGE,
    OPTION_USER,
    OPTION_RUN_DIR,
    OPTION_NET,
    OPTION_EGRESS,
};

static const struct option option_table[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"bridge", required_argument, NULL, OPTION_BRIDGE},
    {"user", required_argument, NULL, OPTION_USER},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"net", required_argument, NULL, OPTION_NET},
    {"egress", required_argument, NULL, OPTION_EGRESS},
    {NULL, 0, NULL, 0},
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: corral-agent --listen fd:N|unix:PATH|vsock:PORT [--user NAME] "
                          "[--run-dir DIR] [--net tun:NAME|fd:TUN,LISTENER "
                          "--egress vsock:PORT|unix:PATH] [--bridge COMMAND...]\n");
    return 2;
}

/* --bridge takes the rest of the line, because the bridge's own options are not the agent's. */
static int parse_options(int argc, char **argv, struct serve_options *ret, struct net_options *net)
{
    *net = (struct net_options){0};
    *ret = (struct serve_options){
        .user = "user", .run_dir = "/run/corral", .bridge = default_bridge};
    /* "+": the options end at the first word that is not one. */
    for (int id; (id = getopt_long(argc, argv, "+", option_table, NULL)) != -1;) {
        switch (id) {
        case OPTION_LISTEN:
            ret->listen = optarg;
            break;
        case OPTION_USER:
            ret->user = optarg;
            break;
        case OPTION_RUN_DIR:
            ret->run_dir = optarg;
            break;
        case OPTION_NET:
            net->tun = optarg;
            break;
        case OPTION_EGRESS:
            net->egress = optarg;
            break;
        case OPTION_BRIDGE:
            ret->bridge = (const char *const *)&argv[optind - 1];
            return ret->listen != NULL ? 0 : -EINVAL;
        default:
            return -EINVAL;
        }
    }
    return ret->listen != NULL && optind == argc ? 0 : -EINVAL;
}

/* Commands must not inherit what the agent inherited: other descriptors are closed on exec, ignored
 * signals (a shell ignores SIGINT for its background jobs) get their default action, the umask is
 * known. And no process of the user can trace the agent or read its memory. */
static void shed_inheritance(void)
{
    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)umask(0);
}

int main(int argc, char **argv)
{
    /* Not on the stack: its tables are large, and they start as zeros. */
    static struct agent agent;
    struct serve_options options;
    struct net_options net;
    if (parse_options(argc, argv, &options, &net) < 0 || net_check(&net) < 0)
        return usage();
    shed_inheritance();
    pid1_start();
    spawn_init();
    trees_init();
    int rv = serve_init(&agent, &options);
    if (rv == 0) {
        (void)net_start(&net);
        log_info("agent ready", "listen=%s user=%s", options.listen, agent.account.name);
        rv = serve_run(&agent);
    }
    net_stop();
    serve_done(&agent);
    pid1_stop();
    return rv < 0 ? 1 : 0;
}
