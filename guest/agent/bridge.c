/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.c - starts the code bridge, starts it again when it ends, and keeps what it must be told.
 *
 * The happy path is: bridge_connect finds the bridge IDLE, bridge_start makes the listening socket
 * and the process, the caller's connection waits in the queue with CODE_ENV and the request, and
 * the bridge takes both when it is up.
 *
 * Possible failure modes are: the bridge ends (those who connect meanwhile wait, and it starts
 * again after a pause); it ends quickly time and again (FAILED: only a request starts it, so that a
 * broken template does not use up the processor); it does not take the variables in time, or closes
 * the connection first (it is killed, and then the first case holds).
 */
#include "agent/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/agent.h"
#include "agent/env.h"
#include "agent/spawn.h"
#include "base/log.h"
#include "base/wire_codec.h"

#define BRIDGE_BACKLOG   256
#define BRIDGE_LOG_BYTES 16384 /* of its stderr, per start; the rest is dropped */

static void bridge_start(struct bridge *b);
static void bridge_timer(struct timer *t);
static void bridge_ended(struct bridge *b);

/* A template without a bridge is found out here, and not by a start that fails again and again. */
static bool bridge_is_there(const struct bridge *b)
{
    const char *script = b->command[0] != NULL ? b->command[1] : NULL;
    return b->command[0] != NULL && spawn_can_run(b->command[0], ENV_PATH) &&
           (script == NULL || script[0] != '/' || access(script, R_OK) == 0);
}

/* Only the agent may enter the directory, also when it existed before. */
static int bridge_make_run_dir(const char *dir)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || chmod(dir, 0700) < 0)
        return -EPERM;
    return 0;
}

void bridge_init(struct bridge *b, struct agent *agent, const char *const *command,
                 const char *run_dir)
{
    *b = (struct bridge){.agent = agent, .command = command, .listen_fd = -1, .tree = TREE_NONE};
    timer_init(&b->timer, bridge_timer);
    list_init(&b->waiting);
    int n = snprintf(b->socket_path, sizeof(b->socket_path), "%s/bridge.sock", run_dir);
    if (!bridge_is_there(b)) {
        log_info("no code bridge in this template", "command=%s", command[0]);
        return;
    }
    int rv = n >= (int)sizeof(b->socket_path) ? -ENAMETOOLONG : bridge_make_run_dir(run_dir);
    if (rv < 0) {
        log_error("cannot make the bridge's directory", "dir=%s error=\"%s\"", run_dir,
                  strerror(-rv));
        return;
    }
    b->state = BRIDGE_IDLE;
}

static int bridge_listen(struct bridge *b)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, b->socket_path, sizeof(addr.sun_path));
    (void)unlink(b->socket_path);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(fd, BRIDGE_BACKLOG) < 0)
        return -errno;
    b->listen_fd = TAKE_FD(fd);
    return 0;
}

static int bridge_spawn(struct bridge *b)
{
    int log[2];
    struct sinks *sinks = &b->agent->sinks;
    cleanup_free char **env = env_merge(&b->agent->account, NULL, NULL);
    if (env == NULL)
        return -ENOMEM;
    if (pipe2(log, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int log_writer = log[1];
    (void)fcntl(log[0], F_SETFL, O_NONBLOCK);
    sinks_add_logged(sinks, log[0], BRIDGE_LOG_BYTES);
    struct spawn s = {
        .account = &b->agent->account,
        .argv = (char *const *)(uintptr_t)b->command,
        .env = env,
        .cwd = "",
        .stdin_fd = -1,
        .stdout_fd = log_writer,
        .stderr_fd = log_writer,
        .extra_fd = b->listen_fd,
        .die_with_agent = true,
        .tree = &b->tree,
    };
    /* Nobody reads the status: a bridge that cannot be executed ends like one that crashes. */
    cleanup_close int status = -1;
    int rv = spawn_start(&s, &b->pid, &status);
    b->tree.leader = rv == 0 ? b->pid : 0;
    return rv;
}

/* A waiter may start to wait again while it is called. It is not called twice. */
static void bridge_wake_waiters(struct bridge *b)
{
    struct list now = LIST_INIT(now);
    while (!list_empty(&b->waiting)) {
        struct list *n = b->waiting.next;
        list_del(n);
        list_add_tail(&now, n);
    }
    while (!list_empty(&now)) {
        struct bridge_waiter *w = list_first(&now, struct bridge_waiter, node);
        list_del(&w->node);
        w->wake(w);
    }
}

static void bridge_start(struct bridge *b)
{
    b->state = BRIDGE_RUNNING;
    b->started_at = loop_now();
    /* The socket is there before the process, so nobody has to wait until the bridge is up. */
    int rv = bridge_listen(b);
    if (rv == 0)
        rv = bridge_spawn(b);
    if (rv < 0) {
        log_error("cannot start the code bridge", "error=\"%s\"", strerror(-rv));
        b->pid = 0;
        bridge_ended(b);
        return;
    }
    /* The bridge and its kernels start with fresh generators, and without the variables. */
    b->seed[0] = '\0';
    b->version++;
    bridge_wake_waiters(b);
}

static void bridge_timer(struct timer *t)
{
    bridge_start(container_of(t, struct bridge, timer));
}

bool bridge_reaped(struct bridge *b, pid_t pid, int wait_status)
{
    if (b->pid == 0 || pid != b->pid)
        return false;
    log_warn("code bridge ended", "pid=%d exit=%d signal=%d", pid,
             WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
             WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0);
    b->pid = 0;
    bridge_ended(b);
    return true;
}

static void bridge_ended(struct bridge *b)
{
    uint64_t now = loop_now();
    b->failures = now - b->started_at < BRIDGE_QUICK_US ? b->failures + 1 : 0;
    b->ended_at = now;
    /* Closing the socket resets the connections in its queue: the next bridge needs other leads. */
    if (b->listen_fd >= 0)
        (void)close(b->listen_fd);
    b->listen_fd = -1;
    if (b->failures >= BRIDGE_MAX_FAILURES) {
        log_error("code bridge keeps failing, giving up until it is asked for", "failures=%u",
                  b->failures);
        b->state = BRIDGE_FAILED;
        b->failures--; /* after the next request, one more quick end is enough */
        bridge_wake_waiters(b);
        return;
    }
    b->state = BRIDGE_BACKOFF;
    uint64_t delay = BRIDGE_BACKOFF_MIN << b->failures;
    loop_timer_start(&b->agent->loop, &b->timer, MIN(delay, BRIDGE_BACKOFF_MAX));
}

int bridge_connect(struct bridge *b)
{
    /* After a failure the pause keeps a series of requests from starting it each time. */
    if (b->state == BRIDGE_IDLE ||
        (b->state == BRIDGE_FAILED && loop_now() - b->ended_at > BRIDGE_BACKOFF_MAX))
        bridge_start(b);
    if (b->state == BRIDGE_ABSENT || b->state == BRIDGE_FAILED)
        return -ENOENT;
    if (b->state == BRIDGE_BACKOFF)
        return -ENOTCONN;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, b->socket_path, sizeof(addr.sun_path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

void bridge_wait(struct bridge *b, struct bridge_waiter *w)
{
    list_add_tail(&b->waiting, &w->node);
}

void bridge_wait_cancel(struct bridge_waiter *w)
{
    list_del(&w->node);
}

/* As hexadecimal digits, because a str of the wire cannot hold a NUL. */
static int bridge_new_seed(struct bridge *b)
{
    unsigned char seed[BRIDGE_SEED_LEN / 2];
    if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -errno;
    for (size_t i = 0; i < sizeof(seed); i++)
        (void)snprintf(b->seed + 2 * i, 3, "%02x", seed[i]);
    return 0;
}

int bridge_changed(struct bridge *b, bool reseed)
{
    b->version++;
    return reseed && b->state == BRIDGE_RUNNING ? bridge_new_seed(b) : 0;
}

uint64_t bridge_put_lead(const struct bridge *b, struct buf *out)
{
    if (b->taken == b->version)
        return 0;
    size_t start = wire_begin(out, WIRE_CODE_ENV);
    wire_put_list(out, (const char *const *)b->agent->env);
    wire_put_str(out, b->seed);
    wire_end(out, start);
    return b->version;
}

void bridge_took(struct bridge *b, uint64_t version)
{
    b->taken = MAX(b->taken, version);
}

void bridge_refused(struct bridge *b, uint64_t version)
{
    /* It may have been another bridge, or too early to know. */
    if (version != b->version)
        return;
    log_warn("code bridge did not take the variables, ending it", "pid=%d", b->pid);
    if (b->pid > 0)
        tree_kill(&b->tree);
}

void bridge_done(struct bridge *b)
{
    if (b->agent == NULL)
        return;
    timer_stop(&b->timer);
    if (b->pid > 0)
        tree_kill(&b->tree);
    if (b->listen_fd >= 0) {
        (void)close(b->listen_fd);
        (void)unlink(b->socket_path);
    }
    b->listen_fd = -1;
    b->state = BRIDGE_ABSENT;
}
