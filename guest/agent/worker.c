/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - the child, its pipe, and the frames on their way to the connection. */
#include "agent/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "agent/agent.h"
#include "agent/fs.h"

#define WORKER_BATCH (32u * 1024) /* bytes of frames that the child sends at once */

struct working {
    struct source source; /* first: the reading end of the pipe */
    struct conn *conn;
    int pidfd;
    struct wire_reader reader;
};

void worker_flush(struct worker *w, bool all)
{
    if (w->out.len < WORKER_BATCH && !all)
        return;
    for (size_t at = 0; at < w->out.len;) {
        ssize_t n = write(w->fd, w->out.data + at, w->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(1);
        at += (size_t)n;
    }
    buf_reset(&w->out);
}

void worker_ok(struct worker *w)
{
    (void)wire_put_frame(&w->out, WIRE_OK, NULL, 0);
}

/* Nothing of the agent's may stay open here: its connections must end when it closes them. */
static int worker_shed(int fd)
{
    const struct rlimit cpu = {WORKER_CPU_S, WORKER_CPU_S};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    tree_enter(&TREE_NONE);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is larger than any limit */
    (void)setrlimit(RLIMIT_AS, &(struct rlimit){WORKER_MEMORY, WORKER_MEMORY});
#endif
    (void)setrlimit(RLIMIT_CPU, &cpu);
    if (dup2(fd, 3) < 0)
        return -1;
    (void)fcntl(3, F_SETFL, 0);
    (void)syscall(SYS_close_range, 4u, ~0u, 0u);
    return 3;
}

static _Noreturn void worker_child(const struct account *a, const struct request *req, int fd,
                                   const struct worker_job *job)
{
    char message[REQUEST_PATH_MAX + 256];
    struct worker w = {.account = a, .req = req, .until = loop_now() + WORKER_SEARCH_US};
    w.fd = worker_shed(fd);
    (void)fs_enter(a);
    int rv = job->run(&w);
    if (rv < 0) {
        (void)snprintf(message, sizeof(message), "%s: %s", req->path, strerror(-rv));
        (void)wire_put_error(&w.out, conn_error_code(rv), message);
    }
    worker_flush(&w, true);
    _exit(0);
}

static int worker_fork(struct working *k, const struct request *req, const struct worker_job *job)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    k->source.fd = fds[0];
    cleanup_close int writer = fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        worker_child(conn_account(k->conn), req, writer, job);
    /* The child is reaped like an orphan. By this descriptor, and not by its number, it is ended.
     */
    k->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return loop_watch(&k->conn->agent->loop, &k->source, EPOLLIN);
}

void worker_start(struct conn *c, struct request *req, const struct worker_job *job)
{
    struct working *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        conn_errno(c, -ENOMEM, req->path);
        return;
    }
    k->conn = c;
    k->pidfd = -1;
    source_init(&k->source, SOURCE_WORKER, -1);
    c->op_state = k;
    loop_timer_start(&c->agent->loop, &c->timer, WORKER_US);
    int rv = worker_fork(k, req, job);
    if (rv < 0)
        conn_errno(c, rv, "cannot work on files");
}

static bool worker_is_last(enum wire_type type)
{
    return type == WIRE_OK || type == WIRE_ERROR || type == WIRE_END || type == WIRE_FOUND ||
           type == WIRE_INFO;
}

/* Passes whole frames on. The INFO of LIST_TREE is not its last frame. */
static void worker_pass(struct working *k)
{
    struct conn *c = k->conn;
    struct wire_frame f;
    while (wire_reader_next(&k->reader, &f) > 0) {
        (void)wire_put_frame(&c->out, f.type, f.payload, f.len);
        if (worker_is_last(f.type) && (f.type != WIRE_INFO || c->op->type != WIRE_LIST_TREE)) {
            conn_finish(c);
            return;
        }
    }
    conn_kick(c);
}

void worker_handle_event(struct source *s)
{
    static uint8_t chunk[WIRE_CHUNK];
    struct working *k = container_of(s, struct working, source);
    struct conn *c = k->conn;
    ssize_t n = read(s->fd, chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_error(c, WIRE_E_INTERNAL, "the operation took too much memory or time");
        return;
    }
    if (wire_reader_feed(&k->reader, chunk, (size_t)n) < 0) {
        conn_close(c);
        return;
    }
    worker_pass(k);
    if (s->fd < 0)
        return;
    bool room = conn_writable(c);
    /* Without room the server's pace counts, and not the child's. */
    loop_timer_start(&c->agent->loop, &c->timer, room ? WORKER_US : CONN_STALL_US);
    (void)loop_watch(&c->agent->loop, s, room ? EPOLLIN : 0);
}

void worker_writable(struct conn *c)
{
    struct working *k = c->op_state;
    loop_timer_start(&c->agent->loop, &c->timer, WORKER_US);
    (void)loop_watch(&c->agent->loop, &k->source, EPOLLIN);
}

void worker_stop(struct conn *c)
{
    struct working *k = c->op_state;
    if (k == NULL)
        return;
    if (k->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, k->pidfd, SIGKILL, NULL, 0);
        (void)close(TAKE_FD(k->pidfd));
    }
    loop_close(&c->agent->loop, &k->source);
    wire_reader_done(&k->reader);
}
