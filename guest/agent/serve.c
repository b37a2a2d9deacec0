/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/conn.h"
#include "agent/ops/exec.h"
#include "agent/relay.h"
#include "agent/spawn.h"
#include "base/log.h"

#define AGENT_ACCEPTS_PER_TURN 32

static int agent_open_signals(struct agent *a)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    (void)signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    source_init(&a->signals, SOURCE_SIGNAL, fd);
    return loop_watch(&a->loop, &a->signals, EPOLLIN);
}

static void agent_load_account(struct agent *a, const char *user)
{
    if (account_find(user, &a->account) < 0 || (geteuid() != 0 && a->account.uid != geteuid()))
        account_self(&a->account);
    /* For file operations, which take the user's rights by fsuid and fsgid only. */
    if (geteuid() == 0 && setgroups(a->account.group_count, a->account.groups) < 0)
        log_warn("cannot take the user's groups, ignoring", "error=\"%s\"", strerror(errno));
}

int agent_init(struct agent *a, const struct agent_options *options)
{
    *a = (struct agent){.loop.epoll_fd = -1, .started_at = loop_now()};
    source_init(&a->signals, SOURCE_SIGNAL, -1);
    source_init(&a->listener.source, SOURCE_LISTENER, -1);
    list_init(&a->conns);
    list_init(&a->execs);
    kepts_init(&a->kepts, a);
    int rv = loop_init(&a->loop);
    sinks_init(&a->sinks, &a->loop);
    if (rv == 0)
        rv = agent_open_signals(a);
    if (rv < 0) {
        log_error("cannot start the loop", "error=\"%s\"", strerror(-rv));
        return rv;
    }
    agent_load_account(a, options->user);
    rv = listener_open(&a->listener, options->listen);
    if (rv == 0)
        rv = loop_watch(&a->loop, &a->listener.source, EPOLLIN);
    if (rv < 0) {
        log_error("cannot listen", "on=%s error=\"%s\"", options->listen, strerror(-rv));
        return rv;
    }
    bridge_init(&a->bridge, a, options->bridge, options->run_dir);
    return 0;
}

static void agent_accept(struct agent *a)
{
    for (int i = 0; i < AGENT_ACCEPTS_PER_TURN; i++) {
        if (a->conn_count >= AGENT_MAX_CONNS) {
            (void)loop_watch(&a->loop, &a->listener.source, 0);
            return;
        }
        int fd = listener_accept(&a->listener);
        if (fd < 0 || conn_new(a, fd, a->listener.vsock) < 0)
            return;
    }
}

void agent_conn_closed(struct agent *a)
{
    if (!a->stopping)
        (void)loop_watch(&a->loop, &a->listener.source, EPOLLIN);
}

static void agent_reap(struct agent *a)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        (void)(exec_reaped(a, pid, status) || bridge_reaped(&a->bridge, pid, status));
}

static void agent_take_signals(struct agent *a)
{
    struct signalfd_siginfo info;
    while (read(a->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            agent_reap(a);
        else
            a->stopping = true;
    }
}

static void agent_dispatch(struct agent *a, struct source *s, uint32_t events)
{
    switch (s->kind) {
    case SOURCE_SIGNAL:
        agent_take_signals(a);
        break;
    case SOURCE_LISTENER:
        agent_accept(a);
        break;
    case SOURCE_CONN:
        conn_handle_event(container_of(s, struct conn, source), events);
        break;
    case SOURCE_EXEC_STATUS:
        exec_handle_status(s);
        break;
    case SOURCE_EXEC_STDIN:
        exec_handle_stdin(s, events);
        break;
    case SOURCE_EXEC_OUTPUT:
        exec_handle_output(s);
        break;
    case SOURCE_SINK:
        sink_handle_event(&a->sinks, s);
        break;
    case SOURCE_RELAY:
        relay_handle_far(s, events);
        break;
    case SOURCE_KEPT:
        kept_handle_event(s, events);
        break;
    case SOURCE_BRIDGE_CALL:
        bridge_call_handle_event(s, events);
        break;
    }
}

int agent_run(struct agent *a)
{
    struct epoll_event events[LOOP_BATCH];
    while (!a->stopping) {
        int n = loop_wait(&a->loop, events);
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            struct source *s = events[i].data.ptr;
            if (s->fd >= 0 && s->events != 0)
                agent_dispatch(a, s, events[i].events);
        }
        loop_end_turn(&a->loop);
    }
    return 0;
}

void agent_done(struct agent *a)
{
    a->stopping = true;
    listener_done(&a->listener, &a->loop);
    while (!list_empty(&a->conns))
        conn_close(list_first(&a->conns, struct conn, node));
    kepts_done(&a->kepts);
    bridge_done(&a->bridge);
    sinks_done(&a->sinks);
    loop_close(&a->loop, &a->signals);
    loop_done(&a->loop);
    free(a->env);
    a->env = NULL;
}
