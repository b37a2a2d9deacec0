/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c - the agent's one loop. It alone knows all parts: it accepts connections, finds the
 * operation for the request of each, and hands every event to the part that owns its source.
 *
 * The happy path is: serve_init opens the listener, serve_run takes a batch of events per turn, a
 * connection reads its request and asks serve_dispatch for the operation, a signal ends the loop,
 * serve_done stops what still runs.
 * Possible failure modes are: the listener cannot be opened (the program ends); all connections are
 * taken (the listener is not watched until one closes: the rest wait in its queue); there is no
 * memory for a connection (it is closed, the others live on).
 *
 * Calls go downwards only: serve -> operations -> kept, bridge, relay -> conn -> loop. What must go
 * upwards is a function pointer that the upper part has set: conn_dispatch, struct op, the `fire`
 * of a timer. So a new operation is a new file and a line in serve_ops.
 */
#include "agent/serve.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "agent/bridge.h"
#include "agent/conn.h"
#include "agent/kept.h"
#include "agent/ops/ops.h"
#include "agent/ops/watch.h"
#include "agent/relay.h"
#include "agent/worker.h"
#include "base/log.h"

#define SERVE_ACCEPTS_PER_TURN 32

static const struct op *const serve_ops[] = {
    &op_ping,           &op_configure,     &op_clock,          &op_exec,
    &op_read,           &op_write,         &op_list,           &op_remove,
    &op_mkdir,          &op_stat_path,     &op_port,           &op_keep,
    &op_attach,         &op_forget,        &op_process_start,  &op_process_list,
    &op_process_attach, &op_process_input, &op_process_signal, &op_process_resize,
    &op_process_forget, &op_info_path,     &op_list_tree,      &op_move,
    &op_copy,           &op_chmod,         &op_chown,          &op_find,
    &op_replace,        &op_watch,         &op_trust,          &op_pack,
    &op_unpack,
};

static const struct op *serve_find_op(enum wire_type type)
{
    for (size_t i = 0; i < ARRAY_SIZE(serve_ops); i++) {
        if (serve_ops[i]->type == type)
            return serve_ops[i];
    }
    return NULL;
}

/* AS: the request itself is the next frame. */
static void serve_as(struct conn *c, const char *user)
{
    struct account *as = calloc(1, sizeof(*as));
    bool found = as != NULL && account_find_any(user, as) == 0;
    bool permitted = found && (geteuid() == 0 || as->uid == geteuid());
    c->as = as;
    if (as == NULL)
        conn_errno(c, -ENOMEM, user);
    else if (!found)
        conn_error(c, WIRE_E_USER, "there is no user '%s'", user);
    else if (!permitted)
        conn_error(c, WIRE_E_PERMISSION, "the agent may not act as '%s'", user);
}

static void serve_request(struct conn *c, const struct wire_frame *f)
{
    cleanup_request struct request req = {0};
    const char *why = NULL;
    const struct op *op = serve_find_op(f->type);
    bool as = f->type == WIRE_AS && c->as == NULL;
    bool fits = c->as == NULL || (f->type >= WIRE_READ && f->type < WIRE_AS);
    int rv = (op == NULL && !as) || !fits ? -EPROTO : request_parse(f, &req, &why);
    if (rv == -EPROTO) {
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not a valid request", (unsigned)f->type);
        return;
    }
    if (rv < 0) {
        conn_error(c, WIRE_E_INVALID, "%s", why);
        return;
    }
    if (as) {
        serve_as(c, req.user);
        return;
    }
    c->reader.max_payload = WIRE_CHUNK;
    conn_start(c, op, &req);
}

/* The bridge reads code requests, not the agent: they pass through as they arrive. */
static void serve_code_request(struct conn *c)
{
    struct request none = {0};
    conn_start(c, &op_code, &none);
}

static void serve_conn_closed(struct agent *a)
{
    if (!a->stopping)
        (void)loop_watch(&a->loop, &a->listener.source, EPOLLIN);
}

static const struct conn_dispatch serve_dispatch = {
    .request = serve_request,
    .code_request = serve_code_request,
    .closed = serve_conn_closed,
};

/* Signals are events like any other, so a child is never reaped in the middle of an operation. */
static int serve_open_signals(struct agent *a)
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

static void serve_load_account(struct agent *a, const char *user)
{
    if (account_find(user, &a->account) < 0 || (geteuid() != 0 && a->account.uid != geteuid()))
        account_self(&a->account);
}

int serve_init(struct agent *a, const struct serve_options *options)
{
    static struct bridge bridge; /* one of each: an agent is a process */
    static struct kepts kepts;
    *a = (struct agent){.loop.epoll_fd = -1,
                        .dispatch = &serve_dispatch,
                        .kepts = &kepts,
                        .bridge = &bridge,
                        .started_at = loop_now()};
    source_init(&a->signals, SOURCE_SIGNAL, -1);
    source_init(&a->listener.source, SOURCE_LISTENER, -1);
    list_init(&a->conns);
    kepts_init(a->kepts, a);
    int rv = loop_init(&a->loop);
    sinks_init(&a->sinks, &a->loop);
    processes_init(&a->processes, &a->loop, &a->sinks);
    if (rv == 0)
        rv = serve_open_signals(a);
    if (rv < 0) {
        log_error("cannot start the loop", "error=\"%s\"", strerror(-rv));
        return rv;
    }
    serve_load_account(a, options->user);
    rv = listener_open(&a->listener, options->listen);
    if (rv == 0)
        rv = loop_watch(&a->loop, &a->listener.source, EPOLLIN);
    if (rv < 0) {
        log_error("cannot listen", "on=%s error=\"%s\"", options->listen, strerror(-rv));
        return rv;
    }
    bridge_init(a->bridge, a, options->bridge, options->run_dir);
    return 0;
}

static void serve_accept(struct agent *a)
{
    for (int i = 0; i < SERVE_ACCEPTS_PER_TURN; i++) {
        /* The queue of the listener is the place to wait: a refused connection would be an error in
         * the server. */
        if (a->conn_count >= SERVE_MAX_CONNS) {
            (void)loop_watch(&a->loop, &a->listener.source, 0);
            return;
        }
        int fd = listener_accept(&a->listener);
        if (fd < 0 || conn_new(a, fd, a->listener.vsock) < 0)
            return;
    }
}

static void serve_reap(struct agent *a)
{
    int status;
    pid_t pid;
    /* One SIGCHLD may stand for several children. The rest are adopted orphans. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        (void)(processes_reaped(&a->processes, pid, status) ||
               bridge_reaped(a->bridge, pid, status));
}

static void serve_take_signals(struct agent *a)
{
    struct signalfd_siginfo info;
    while (read(a->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            serve_reap(a);
        else
            a->stopping = true;
    }
}

static void serve_event(struct agent *a, struct source *s, uint32_t events)
{
    switch (s->kind) {
    case SOURCE_SIGNAL:
        serve_take_signals(a);
        break;
    case SOURCE_LISTENER:
        serve_accept(a);
        break;
    case SOURCE_CONN:
        conn_handle_event(container_of(s, struct conn, source), events);
        break;
    case SOURCE_PROCESS_STATUS:
        process_handle_status(s);
        break;
    case SOURCE_PROCESS_STDIN:
        process_handle_stdin(s, events);
        break;
    case SOURCE_PROCESS_OUTPUT:
        process_handle_output(s);
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
    case SOURCE_WATCH:
        watch_handle_event(s);
        break;
    case SOURCE_WORKER:
        worker_handle_event(s);
        break;
    }
}

int serve_run(struct agent *a)
{
    struct epoll_event events[LOOP_BATCH];
    while (!a->stopping) {
        int n = loop_wait(&a->loop, events);
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            struct source *s = events[i].data.ptr;
            /* An earlier event of the batch may have closed it or stopped to watch it. */
            if (s->fd >= 0 && s->events != 0)
                serve_event(a, s, events[i].events);
        }
        loop_end_turn(&a->loop);
    }
    return 0;
}

void serve_done(struct agent *a)
{
    a->stopping = true;
    listener_done(&a->listener, &a->loop);
    /* Connections go first: to stop their operations takes the tables below. */
    while (!list_empty(&a->conns))
        conn_close(list_first(&a->conns, struct conn, node));
    kepts_done(a->kepts);
    processes_done(&a->processes);
    bridge_done(a->bridge);
    sinks_done(&a->sinks);
    loop_close(&a->loop, &a->signals);
    loop_done(&a->loop);
    free(a->env);
    a->env = NULL;
}
