/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - EXEC: a command, its output, its end.
 *
 * The happy path is: fork, end of file on the status pipe, STARTED, output as it comes, the main
 * process is reaped, what it wrote is read to the last byte, EXIT.
 * Possible failure modes are: the program cannot be executed (EXIT 127 or 126 with a shell's words
 * on STDERR); the working directory cannot be entered (ERROR); the time-out passes (the session is
 * killed, EXIT says so); the server closes (the session is killed, there is no answer).
 *
 * state      waits for                          at most
 * SPAWNING   the status pipe                    the request's time-out, or EXEC_SPAWN_US
 * RUNNING    the main process to end            the request's time-out, then, killed, EXEC_KILL_US;
 *                                               without one, as long as the server is connected
 * DRAINING   the pipes: all that was in them    the connection's own limit (a server that does not
 *            when the main process ended        read is the only reason to wait)
 * GRACE      end of file on the pipes, which a  EXEC_GRACE_US
 *            background process may hold
 *
 * The size of the pipes (EXEC_PIPE_SIZE) and the limit of the connection's output bound the memory
 * of a command. A command that writes faster than the server reads is stopped by its full pipe.
 *
 * Caveat: background processes live on after EXIT; their pipes go to sink.c.
 */
#include "agent/ops/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "agent/agent.h"
#include "agent/env.h"
#include "agent/ops/ops.h"
#include "agent/spawn.h"

#define EXEC_SPAWN_US   (30 * 1000000ull)
#define EXEC_KILL_US    (10 * 1000000ull)
#define EXEC_GRACE_US   (100 * 1000ull)
#define EXEC_PIPE_SIZE  (256 * 1024)
#define EXEC_TURN_BYTES (256u * 1024) /* read from one pipe per turn */
#define EXEC_SIGNAL_MAX 64
#define EXEC_NAME_MAX   256

enum exec_state { EXEC_SPAWNING, EXEC_RUNNING, EXEC_DRAINING, EXEC_GRACE };

struct exec;

struct exec_output {
    struct source source; /* first */
    struct exec *exec;
    enum wire_type type; /* STDOUT or STDERR */
    size_t owed; /* bytes that were in the pipe when the main process ended and are not read yet */
};

struct exec {
    struct conn *conn;
    enum exec_state state;
    struct list node; /* in agent->execs until reaped */
    pid_t pid;
    bool alive; /* not reaped */
    bool has_stdin, stdin_ended;
    bool limited; /* the request has a time-out */
    bool killed;  /* it has passed */
    int wait_status;
    uint64_t started_at, duration; /* us */
    struct source status;
    struct source in;
    struct buf in_pending; /* at most one frame */
    struct exec_output out[2];
    struct timer timer;
    char name[EXEC_NAME_MAX];
};

static void exec_start(struct conn *c, struct request *req);
static void exec_timer(struct timer *t);
static void exec_failed(struct exec *e, const struct spawn_failure *failure);
static void exec_frame(struct conn *c, const struct wire_frame *f);
static void exec_writable(struct conn *c);
static void exec_begin_drain(struct exec *e);
static void exec_finish(struct exec *e);
static void exec_stop(struct conn *c);

const struct op op_exec = {
    .type = WIRE_EXEC,
    .start = exec_start,
    .frame = exec_frame,
    .writable = exec_writable,
    .stop = exec_stop,
};

static struct loop *exec_loop(struct exec *e)
{
    return &e->conn->agent->loop;
}

static struct exec *exec_new(struct conn *c)
{
    struct exec *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->conn = c;
    list_init(&e->node);
    source_init(&e->status, SOURCE_EXEC_STATUS, -1);
    source_init(&e->in, SOURCE_EXEC_STDIN, -1);
    for (size_t i = 0; i < 2; i++) {
        e->out[i].exec = e;
        e->out[i].type = i == 0 ? WIRE_STDOUT : WIRE_STDERR;
        source_init(&e->out[i].source, SOURCE_EXEC_OUTPUT, -1);
    }
    timer_init(&e->timer, exec_timer);
    c->op_state = e;
    return e;
}

/* A pipe of which the agent keeps the end `mine` (0 or 1), non-blocking. */
static int exec_open_pipe(int mine, struct source *ret_mine, int *ret_child)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(fds[mine], F_SETFL, O_NONBLOCK);
    /* Fewer switches between the command and the agent. The call may fail: then the pipe stays
     * small. */
    (void)fcntl(fds[0], F_SETPIPE_SZ, EXEC_PIPE_SIZE);
    ret_mine->fd = fds[mine];
    *ret_child = fds[1 - mine];
    return 0;
}

static const char *exec_find_shell(void)
{
    static const char *const shells[] = {"/bin/bash", "/usr/bin/bash"};
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (access(shells[i], X_OK) == 0)
            return shells[i];
    }
    return "/bin/sh";
}

/* Makes the pipes and starts the process; `status` says what became of it. 0 or a negative errno.
 */
static int exec_spawn(struct exec *e, const struct request *req, const struct account *account)
{
    cleanup_free char **env = env_merge(account, e->conn->agent->env, req->env);
    if (env == NULL)
        return -ENOMEM;
    cleanup_close int in = -1, out = -1, err = -1;
    int rv = exec_open_pipe(0, &e->out[0].source, &out);
    if (rv == 0)
        rv = exec_open_pipe(0, &e->out[1].source, &err);
    if (rv == 0 && e->has_stdin)
        rv = exec_open_pipe(1, &e->in, &in);
    if (rv < 0)
        return rv;
    const char *shell = exec_find_shell();
    char *shell_argv[] = {(char *)(uintptr_t)(strrchr(shell, '/') + 1), (char *)(uintptr_t) "-c",
                          req->argv[0], NULL};
    bool by_shell = (req->flags & WIRE_EXEC_SHELL) != 0;
    struct spawn s = {
        .account = account,
        .argv = by_shell ? shell_argv : req->argv,
        .program = by_shell ? shell : NULL,
        .env = env,
        .cwd = req->cwd,
        .stdin_fd = in,
        .stdout_fd = out,
        .stderr_fd = err,
        .extra_fd = -1,
    };
    (void)snprintf(e->name, sizeof(e->name), "%s", s.argv[0]);
    e->started_at = loop_now();
    return spawn_start(&s, &e->pid, &e->status.fd);
}

static void exec_start(struct conn *c, struct request *req)
{
    struct account other;
    const struct account *account = &c->agent->account;
    struct exec *e = exec_new(c);
    if (e == NULL) {
        conn_errno(c, -ENOMEM, "cannot start the command");
        return;
    }
    if (req->user[0] != '\0' && strcmp(req->user, account->name) != 0) {
        if (account_find(req->user, &other) < 0) {
            conn_error(c, WIRE_E_INVALID, "there is no user \"%.64s\"", req->user);
            return;
        }
        account = &other;
    }
    if (geteuid() != 0 && account->uid != geteuid()) {
        conn_error(c, WIRE_E_PERMISSION, "the agent cannot become \"%s\"", account->name);
        return;
    }
    e->has_stdin = (req->flags & WIRE_EXEC_STDIN) != 0;
    int rv = exec_spawn(e, req, account);
    if (rv < 0) {
        conn_errno(c, rv, "cannot start the command");
        return;
    }
    e->alive = true;
    list_add_tail(&c->agent->execs, &e->node);
    loop_timer_start(exec_loop(e), &e->timer,
                     req->timeout_ms > 0 ? req->timeout_ms * 1000ull : EXEC_SPAWN_US);
    e->limited = req->timeout_ms > 0;
    if (loop_watch(exec_loop(e), &e->status, EPOLLIN) < 0)
        conn_errno(c, -ENOMEM, "cannot watch the command");
}

static void exec_timer(struct timer *t)
{
    struct exec *e = container_of(t, struct exec, timer);
    if (e->state == EXEC_GRACE) {
        exec_finish(e);
    } else if (!e->limited) {
        conn_error(e->conn, WIRE_E_INTERNAL, "the program did not start in time");
    } else if (e->killed) {
        conn_error(e->conn, WIRE_E_INTERNAL, "the command cannot be killed");
    } else {
        e->killed = true;
        spawn_kill(e->pid);
        loop_timer_start(exec_loop(e), &e->timer, EXEC_KILL_US);
    }
}

static bool exec_over(const struct exec *e)
{
    return e->conn->op != &op_exec;
}

static void exec_update_output(struct exec *e, struct exec_output *o)
{
    bool wanted = e->state != EXEC_SPAWNING && conn_writable(e->conn);
    if (loop_watch(exec_loop(e), &o->source, wanted ? EPOLLIN : 0) < 0)
        loop_close(exec_loop(e), &o->source);
}

void exec_handle_status(struct source *s)
{
    struct exec *e = container_of(s, struct exec, status);
    struct conn *c = e->conn;
    struct spawn_failure failure;
    ssize_t n = read(s->fd, &failure, sizeof(failure));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    loop_close(exec_loop(e), s);
    if (n == (ssize_t)sizeof(failure) && failure.stage != SPAWN_EXEC) {
        conn_errno(c, -failure.errnum,
                   failure.stage == SPAWN_DIRECTORY ? "working directory" : "cannot start");
        return;
    }
    size_t start = wire_begin(&c->out, WIRE_STARTED);
    (void)buf_u32(&c->out, (uint32_t)e->pid);
    wire_end(&c->out, start);
    e->state = EXEC_RUNNING;
    if (!e->limited)
        timer_stop(&e->timer);
    if (n == (ssize_t)sizeof(failure)) {
        exec_failed(e, &failure);
        return;
    }
    conn_kick(c);
    for (size_t i = 0; i < 2 && !exec_over(e); i++)
        exec_update_output(e, &e->out[i]);
}

static void exec_put_exit(struct exec *e, int code, int sig)
{
    struct buf *out = &e->conn->out;
    size_t start = wire_begin(out, WIRE_EXIT);
    (void)buf_u32(out, (uint32_t)code);
    (void)buf_u32(out, (uint32_t)sig);
    (void)buf_u32(out, e->killed);
    (void)buf_u64(out, e->duration);
    wire_end(out, start);
}

/* Answers as a shell does for a command it cannot run. */
static void exec_failed(struct exec *e, const struct spawn_failure *failure)
{
    char text[EXEC_NAME_MAX + 128];
    bool missing = failure->errnum == ENOENT || failure->errnum == ENOTDIR;
    const char *why = failure->errnum == ENOENT && strchr(e->name, '/') == NULL
                          ? "command not found"
                          : strerror(failure->errnum);
    int n = snprintf(text, sizeof(text), "bash: %s: %s\n", e->name, why);
    (void)wire_put_frame(&e->conn->out, WIRE_STDERR, text, (size_t)n);
    e->duration = loop_now() - e->started_at;
    exec_put_exit(e, missing ? 127 : 126, 0);
    conn_finish(e->conn);
}

/* Reads one pipe until it is empty or at its end, or for EXEC_TURN_BYTES. While the command runs, a
 * short read ends the loop: the pipe is most likely empty. */
static void exec_read(struct exec *e, struct exec_output *o)
{
    size_t total = 0;
    ssize_t n = -EAGAIN;
    while (o->source.fd >= 0 && conn_writable(e->conn) && total < EXEC_TURN_BYTES) {
        n = conn_put_from_fd(e->conn, o->type, o->source.fd, WIRE_CHUNK, -1);
        if (n <= 0)
            break;
        total += (size_t)n;
        o->owed -= MIN(o->owed, (size_t)n);
        if ((size_t)n < WIRE_CHUNK && e->state == EXEC_RUNNING)
            break;
    }
    if (o->source.fd >= 0 && (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))) {
        loop_close(exec_loop(e), &o->source);
        o->owed = 0;
    }
}

/* After reading: sends. Once the main process has ended, finds out whether that was all. */
static void exec_advance(struct exec *e)
{
    conn_kick(e->conn);
    if (exec_over(e))
        return;
    for (size_t i = 0; i < 2; i++)
        exec_update_output(e, &e->out[i]);
    if (e->state < EXEC_DRAINING)
        return;
    if (e->out[0].source.fd < 0 && e->out[1].source.fd < 0) {
        exec_finish(e);
    } else if (e->state == EXEC_DRAINING && e->out[0].owed == 0 && e->out[1].owed == 0) {
        e->state = EXEC_GRACE;
        loop_timer_start(exec_loop(e), &e->timer, EXEC_GRACE_US);
    }
}

void exec_handle_output(struct source *s)
{
    struct exec_output *o = container_of(s, struct exec_output, source);
    exec_read(o->exec, o);
    exec_advance(o->exec);
}

static void exec_writable(struct conn *c)
{
    struct exec *e = c->op_state;
    for (size_t i = 0; i < 2; i++)
        exec_update_output(e, &e->out[i]);
}

bool exec_reaped(struct agent *a, pid_t pid, int wait_status)
{
    list_for_each (it, &a->execs) {
        struct exec *e = list_entry(it, struct exec, node);
        if (e->pid != pid)
            continue;
        list_del(&e->node);
        e->alive = false;
        e->wait_status = wait_status;
        e->duration = loop_now() - e->started_at;
        /* SIGCHLD may come before the event of the status pipe, which has the reason of a failed
         * exec. */
        if (e->state == EXEC_SPAWNING)
            exec_handle_status(&e->status);
        if (!exec_over(e))
            exec_begin_drain(e);
        return true;
    }
    return false;
}

static void exec_begin_drain(struct exec *e)
{
    timer_stop(&e->timer);
    e->state = EXEC_DRAINING;
    for (size_t i = 0; i < 2; i++) {
        int bytes = 0;
        struct exec_output *o = &e->out[i];
        /* Counted now, so that the output of a background process does not delay EXIT. */
        if (o->source.fd >= 0 && ioctl(o->source.fd, FIONREAD, &bytes) == 0 && bytes > 0)
            o->owed = (size_t)bytes;
        exec_read(e, o);
    }
    exec_advance(e);
}

static void exec_finish(struct exec *e)
{
    int code = WEXITSTATUS(e->wait_status), sig = 0;
    if (WIFSIGNALED(e->wait_status)) {
        sig = WTERMSIG(e->wait_status);
        code = 128 + sig;
    }
    exec_put_exit(e, code, sig);
    for (size_t i = 0; i < 2; i++) {
        struct source *s = &e->out[i].source;
        if (s->fd < 0)
            continue;
        (void)loop_watch(exec_loop(e), s, 0);
        sinks_add(&e->conn->agent->sinks, TAKE_FD(s->fd));
    }
    conn_finish(e->conn);
}

static void exec_feed(struct exec *e)
{
    while (e->in.fd >= 0 && e->in_pending.len > 0) {
        ssize_t n = write(e->in.fd, e->in_pending.data, e->in_pending.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) /* the command has closed its standard input */
            loop_close(exec_loop(e), &e->in);
        else
            buf_consume(&e->in_pending, (size_t)n);
    }
    bool waiting = e->in.fd >= 0 && e->in_pending.len > 0;
    if (!waiting) {
        buf_reset(&e->in_pending);
        if (e->stdin_ended)
            loop_close(exec_loop(e), &e->in);
    }
    if (loop_watch(exec_loop(e), &e->in, waiting ? EPOLLOUT : 0) < 0)
        loop_close(exec_loop(e), &e->in);
    /* One frame waits at most: a command that does not read its input stops the server and does
     * not fill the agent's memory. */
    conn_pause_input(e->conn, waiting);
}

void exec_handle_stdin(struct source *s, uint32_t events)
{
    struct exec *e = container_of(s, struct exec, in);
    if (events & EPOLLERR)
        loop_close(exec_loop(e), s);
    exec_feed(e);
}

static void exec_signal(struct exec *e, const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    uint32_t sig = cursor_u32(&c);
    if (!cursor_end(&c) || sig == 0 || sig > EXEC_SIGNAL_MAX)
        conn_error(e->conn, WIRE_E_PROTOCOL, "not a signal");
    else if (e->alive && kill(-e->pid, (int)sig) < 0)
        (void)kill(e->pid, (int)sig);
}

static void exec_frame(struct conn *c, const struct wire_frame *f)
{
    struct exec *e = c->op_state;
    if (f->type == WIRE_SIGNAL) {
        exec_signal(e, f);
    } else if (f->type == WIRE_STDIN && e->has_stdin && !e->stdin_ended) {
        if (e->in.fd >= 0 && buf_append(&e->in_pending, f->payload, f->len) < 0)
            conn_close(c);
        else
            exec_feed(e);
    } else if (f->type == WIRE_STDIN_EOF && f->len == 0 && e->has_stdin) {
        e->stdin_ended = true;
        exec_feed(e);
    } else {
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here", (unsigned)f->type);
    }
}

static void exec_stop(struct conn *c)
{
    struct exec *e = c->op_state;
    if (e == NULL)
        return;
    /* Nobody is there to read more output: the whole session goes. */
    if (e->alive)
        spawn_kill(e->pid);
    list_del(&e->node);
    timer_stop(&e->timer);
    loop_close(exec_loop(e), &e->status);
    loop_close(exec_loop(e), &e->in);
    for (size_t i = 0; i < 2; i++)
        loop_close(exec_loop(e), &e->out[i].source);
    buf_done(&e->in_pending);
}
