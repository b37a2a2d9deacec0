/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - from the fork to the end of a process.
 *
 * The happy path is: fork, end of file on the status pipe, output as it comes, the main process is
 * reaped, what it wrote is read to the last byte, ENDED.
 * Possible failure modes are: the program cannot be executed (it ends with 127 or 126 and a shell's
 * words on its standard error); the working directory cannot be entered (FAILED); the time-out
 * passes (the tree is killed).
 */
#include "agent/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "agent/process/table.h"
#include "agent/process/terminal.h"
#include "agent/spawn.h"
#include "base/log.h"

#define PROCESS_PIPE_SIZE (256 * 1024)
#define PROCESS_SHELL_OOM 137 /* a shell's exit code after a SIGKILL of its command */

static struct loop *process_loop(struct process *p)
{
    return p->table->loop;
}

/* A pipe of which the agent keeps the end `mine` (0 or 1), non-blocking. */
static int process_open_pipe(int mine, struct source *ret_mine, int *ret_child)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(fds[mine], F_SETFL, O_NONBLOCK);
    /* Fewer switches between the process and the agent. The call may fail: then the pipe stays
     * small. */
    (void)fcntl(fds[0], F_SETPIPE_SZ, PROCESS_PIPE_SIZE);
    ret_mine->fd = fds[mine];
    *ret_child = fds[1 - mine];
    return 0;
}

static const char *process_find_shell(void)
{
    static const char *const shells[] = {"/bin/bash", "/usr/bin/bash"};
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (access(shells[i], X_OK) == 0)
            return shells[i];
    }
    return "/bin/sh";
}

/* The child's ends, closed when the fork is done. */
struct process_ends {
    int in, out, err;
};

static void process_ends_done(const struct process_ends *e)
{
    base_close_p(&e->in);
    base_close_p(&e->out);
    base_close_p(&e->err);
}

static int process_open_ends(struct process *p, const struct process_options *o,
                             struct process_ends *e)
{
    p->columns = o->columns != 0 ? o->columns : TERMINAL_COLUMNS;
    p->rows = o->rows != 0 ? o->rows : TERMINAL_ROWS;
    if (o->flags & WIRE_PROCESS_PTY)
        return terminal_open(o->account, o->columns, o->rows, &p->out[0].source.fd, &p->in.fd,
                             &e->in);
    int rv = process_open_pipe(0, &p->out[0].source, &e->out);
    if (rv == 0)
        rv = process_open_pipe(0, &p->out[1].source, &e->err);
    if (rv == 0 && (o->flags & WIRE_EXEC_STDIN))
        rv = process_open_pipe(1, &p->in, &e->in);
    return rv;
}

int process_spawn(struct process *p, const struct process_options *o)
{
    __attribute__((cleanup(process_ends_done))) struct process_ends ends = {-1, -1, -1};
    int rv = process_open_ends(p, o, &ends);
    if (rv < 0)
        return rv;
    const char *shell = process_find_shell();
    char *shell_argv[] = {(char *)(uintptr_t)(strrchr(shell, '/') + 1), (char *)(uintptr_t) "-c",
                          p->argv[0], NULL};
    bool by_shell = (o->flags & WIRE_EXEC_SHELL) != 0;
    bool tty = (o->flags & WIRE_PROCESS_PTY) != 0;
    tree_prepare(&p->tree, p->id);
    struct spawn s = {
        .account = o->account,
        .argv = by_shell ? shell_argv : p->argv,
        .program = by_shell ? shell : NULL,
        .env = o->env,
        .cwd = p->cwd,
        .stdin_fd = ends.in,
        .stdout_fd = tty ? ends.in : ends.out,
        .stderr_fd = tty ? ends.in : ends.err,
        .extra_fd = -1,
        .terminal = tty,
        .tree = &p->tree,
    };
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(p->name, sizeof(p->name), "%s", s.argv[0]);
    p->started_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    p->started_at = loop_now();
    rv = spawn_start(&s, &p->pid, &p->status.fd);
    if (rv < 0)
        return rv;
    p->tree.leader = p->pid;
    p->alive = true;
    return loop_watch(process_loop(p), &p->status, EPOLLIN);
}

/* Closes the terminal or the pipes; a pipe that a background process still holds is read to
 * nowhere. */
static void process_close_output(struct process *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->out); i++) {
        struct source *s = &p->out[i].source;
        if (s->fd < 0)
            continue;
        if (p->state != PROCESS_ENDED || (p->flags & WIRE_PROCESS_PTY)) {
            loop_close(process_loop(p), s);
            continue;
        }
        (void)loop_watch(process_loop(p), s, 0);
        sinks_add(p->table->sinks, TAKE_FD(s->fd));
    }
}

static void process_release_sources(struct process *p)
{
    timer_stop(&p->timer);
    loop_close(process_loop(p), &p->status);
    process_close_output(p);
    process_input_close(p, -ESRCH);
    tree_done(&p->tree);
}

void process_close(struct process *p)
{
    /* Nobody is there to hear of its end: the whole tree goes. */
    if (p->alive)
        tree_kill(&p->tree);
    process_release_sources(p);
}

static void process_fail(struct process *p, int errnum, const char *what)
{
    p->state = PROCESS_FAILED;
    p->failure.errnum = errnum;
    p->failure.what = what;
    process_close(p);
    process_notify(p);
    if (list_empty(&p->readers))
        processes_forget(p);
}

/* Why it ended, as far as the agent can see. A shell that ends with 137 speaks of its command. */
static enum wire_cause process_find_cause(const struct process *p)
{
    if (p->cause != WIRE_CAUSE_ITSELF)
        return p->cause;
    if ((p->exit_signal == SIGKILL || p->exit_code == PROCESS_SHELL_OOM) &&
        tree_had_oom_kill(&p->tree))
        return WIRE_CAUSE_MEMORY;
    return p->exit_signal != 0 && p->exit_signal == p->asked_signal ? WIRE_CAUSE_KILLED
                                                                    : WIRE_CAUSE_ITSELF;
}

static void process_end(struct process *p)
{
    p->exit_code = WEXITSTATUS(p->wait_status);
    if (WIFSIGNALED(p->wait_status)) {
        p->exit_signal = WTERMSIG(p->wait_status);
        p->exit_code = 128 + p->exit_signal;
    }
    p->cause = process_find_cause(p);
    p->state = PROCESS_ENDED;
    process_release_sources(p);
    process_notify(p);
    processes_ended(p);
}

/* Ends as a shell does for a command it cannot run. */
static void process_not_executed(struct process *p, int errnum)
{
    char text[PROCESS_NAME_MAX + 128];
    bool missing = errnum == ENOENT || errnum == ENOTDIR;
    const char *why = errnum == ENOENT && strchr(p->name, '/') == NULL ? "command not found"
                                                                       : strerror(errnum);
    int n = snprintf(text, sizeof(text), "bash: %s: %s\n", p->name, why);
    process_record(p, (p->flags & WIRE_PROCESS_PTY) ? WIRE_STREAM_PTY : WIRE_STREAM_STDERR, text,
                   (size_t)n);
    p->duration = loop_now() - p->started_at;
    p->wait_status = W_EXITCODE(missing ? 127 : 126, 0);
    process_end(p);
}

void process_handle_status(struct source *s)
{
    struct process *p = container_of(s, struct process, status);
    struct spawn_failure failure;
    ssize_t n = read(s->fd, &failure, sizeof(failure));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    loop_close(process_loop(p), s);
    if (n == (ssize_t)sizeof(failure) && failure.stage != SPAWN_EXEC) {
        p->failure.directory = failure.stage == SPAWN_DIRECTORY;
        process_fail(p, -failure.errnum,
                     p->failure.directory ? "working directory" : "cannot start");
        return;
    }
    p->state = PROCESS_RUNNING;
    if (!p->limited)
        timer_stop(&p->timer);
    if (n == (ssize_t)sizeof(failure)) {
        process_not_executed(p, failure.errnum);
        return;
    }
    process_update(p);
    process_notify(p);
}

void process_kill(struct process *p, enum wire_cause cause)
{
    if (!p->alive || process_is_over(p))
        return;
    if (p->cause == WIRE_CAUSE_ITSELF)
        p->cause = cause;
    tree_kill(&p->tree);
    p->limited = true;
    loop_timer_start(process_loop(p), &p->timer, PROCESS_KILL_US);
}

static bool process_has_owner(const struct process *p)
{
    list_for_each (it, &p->readers) {
        if (list_entry(it, struct process_reader, node)->own)
            return true;
    }
    return false;
}

static void process_timer(struct timer *t)
{
    struct process *p = container_of(t, struct process, timer);
    if (p->state == PROCESS_GRACE) {
        /* The tail of a terminal may be behind an owner that does not read. */
        if ((p->flags & WIRE_PROCESS_PTY) && process_has_owner(p) && p->out[0].source.events == 0)
            loop_timer_start(process_loop(p), t, PROCESS_HANGUP_US);
        else
            process_end(p);
    } else if (p->cause != WIRE_CAUSE_ITSELF) {
        log_warn("a process cannot be killed", "pid=%d", p->pid);
        process_fail(p, 0, "the command cannot be killed");
    } else if (!p->limited) {
        process_fail(p, 0, "the program did not start in time");
    } else {
        process_kill(p, WIRE_CAUSE_TIMED_OUT);
    }
}

static void process_begin_drain(struct process *p)
{
    timer_stop(&p->timer);
    p->state = PROCESS_DRAINING;
    for (size_t i = 0; i < ARRAY_SIZE(p->out); i++) {
        int bytes = 0;
        struct process_output *o = &p->out[i];
        /* Counted now, so that the output of a background process does not delay the end. What is
         * on its way through a terminal is in no count: there the hang-up is the end. */
        if (o->source.fd >= 0 && ioctl(o->source.fd, FIONREAD, &bytes) == 0 && bytes > 0)
            o->owed = (p->flags & WIRE_PROCESS_PTY) ? 0 : (size_t)bytes;
        process_read_output(o);
    }
    process_resume(p);
}

void process_reaped(struct process *p, int wait_status)
{
    p->alive = false;
    p->wait_status = wait_status;
    p->duration = loop_now() - p->started_at;
    /* SIGCHLD may come before the event of the status pipe, which has the reason of a failed
     * exec. */
    if (p->state == PROCESS_SPAWNING)
        process_handle_status(&p->status);
    if (!process_is_over(p))
        process_begin_drain(p);
}

/* After reading: watches for more. Once the main process has ended, finds out whether that was
 * all. */
void process_resume(struct process *p)
{
    if (process_is_over(p))
        return;
    process_update(p);
    if (p->state < PROCESS_DRAINING)
        return;
    bool tty = (p->flags & WIRE_PROCESS_PTY) != 0;
    if (p->out[0].source.fd < 0 && p->out[1].source.fd < 0) {
        process_end(p);
    } else if (p->state == PROCESS_DRAINING && p->out[0].owed == 0 && p->out[1].owed == 0) {
        p->state = PROCESS_GRACE;
        loop_timer_start(process_loop(p), &p->timer, tty ? PROCESS_HANGUP_US : PROCESS_GRACE_US);
    } else if (p->state == PROCESS_GRACE && tty) {
        loop_timer_start(process_loop(p), &p->timer, PROCESS_HANGUP_US);
    }
}

void process_init(struct process *p, struct processes *table)
{
    p->table = table;
    list_init(&p->node);
    list_init(&p->ended_node);
    list_init(&p->readers);
    list_init(&p->inputs);
    timer_init(&p->timer, process_timer);
    source_init(&p->status, SOURCE_PROCESS_STATUS, -1);
    source_init(&p->in, SOURCE_PROCESS_STDIN, -1);
    p->tree = TREE_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(p->out); i++) {
        p->out[i].process = p;
        p->out[i].stream = i == 0 ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR;
        source_init(&p->out[i].source, SOURCE_PROCESS_OUTPUT, -1);
    }
}

int process_signal(struct process *p, int sig, enum wire_scope scope)
{
    pid_t group = p->pid;
    if (!p->alive)
        return -ESRCH;
    p->asked_signal = sig;
    if (scope == WIRE_SCOPE_TREE) {
        tree_signal(&p->tree, sig);
        return 0;
    }
    if (scope == WIRE_SCOPE_PROCESS)
        return kill(p->pid, sig) < 0 ? -errno : 0;
    /* Of a terminal the group that a key would reach. */
    if ((p->flags & WIRE_PROCESS_PTY) && ioctl(p->out[0].source.fd, TIOCGPGRP, &group) < 0)
        group = p->pid;
    if (group <= 0)
        group = p->pid;
    if (kill(-group, sig) < 0 && kill(p->pid, sig) < 0)
        return -errno;
    return 0;
}

int process_resize(struct process *p, uint16_t columns, uint16_t rows)
{
    if (!p->alive || p->out[0].source.fd < 0)
        return -ESRCH;
    if ((p->flags & WIRE_PROCESS_PTY) == 0)
        return -EINVAL;
    int rv = terminal_resize(p->out[0].source.fd, columns, rows);
    if (rv == 0) {
        p->columns = columns != 0 ? columns : TERMINAL_COLUMNS;
        p->rows = rows != 0 ? rows : TERMINAL_ROWS;
    }
    return rv;
}
