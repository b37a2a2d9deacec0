/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.c - starts the code bridge, starts it again when it ends, and tells it the variables.
 *
 * The happy path is: bridge_connect finds the bridge IDLE, bridge_start makes the listening socket
 * and the process, the agent's own call (CODE_ENV) is the first connection in the queue, the
 * caller's is the second, and the bridge takes both when it is up.
 *
 * Possible failure modes are: the bridge ends (its calls are answered BRIDGE_GONE, those who
 * connect meanwhile wait, and it starts again after a pause); it ends quickly time and again
 * (FAILED: only a request starts it, so that a broken template does not use up the processor); it
 * does not answer a call in time, or closes the connection first (it is killed, and then the first
 * case holds).
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

#define BRIDGE_BACKLOG    256
#define BRIDGE_LOG_BYTES  16384 /* of its stderr, per start; the rest is dropped */
#define BRIDGE_SEED_BYTES 32

struct bridge_call {
    struct source source; /* first */
    struct bridge *bridge;
    struct list node;
    struct timer timer;
    struct deferred deferred;
    struct buf out;
    struct wire_reader reader;
    void (*answered)(void *ctx, enum bridge_answer answer); /* NULL: nobody waits */
    void *ctx;
};

static void bridge_start(struct bridge *b);
static void bridge_timer(struct timer *t);
static void bridge_ended(struct bridge *b);
static void bridge_calls_fail(struct bridge *b);
static void bridge_call_timed_out(struct timer *t);
static void bridge_call_give_up(struct bridge_call *call);
static void bridge_call_answer(struct bridge_call *call, enum bridge_answer answer);
static void bridge_call_release(struct deferred *d);

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
    list_init(&b->calls);
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
    b->up = false;
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
    /* No seed: the bridge and its kernels start with fresh generators. */
    (void)bridge_call_env(b, b->agent->env, false, NULL, NULL, NULL);
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
    b->up = false;
    /* Closing the socket resets the connections in its queue. They must not reach the next bridge
     * before CODE_ENV does. */
    if (b->listen_fd >= 0)
        (void)close(b->listen_fd);
    b->listen_fd = -1;
    bridge_calls_fail(b);
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

bool bridge_is_up(const struct bridge *b)
{
    return b->state == BRIDGE_RUNNING && b->up;
}

/* As hexadecimal digits, because a str of the wire cannot hold a NUL. */
static int bridge_put_seed(struct buf *b, bool reseed)
{
    unsigned char seed[BRIDGE_SEED_BYTES];
    char hex[2 * BRIDGE_SEED_BYTES + 1] = "";
    if (reseed && getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -errno;
    for (size_t i = 0; reseed && i < sizeof(seed); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", seed[i]);
    wire_put_str(b, hex);
    return 0;
}

static int bridge_put_env(struct buf *b, char *const *env, bool reseed)
{
    size_t start = wire_begin(b, WIRE_CODE_ENV);
    wire_put_list(b, (const char *const *)env);
    int rv = bridge_put_seed(b, reseed);
    wire_end(b, start);
    return rv < 0 ? rv : b->failed ? -ENOMEM : 0;
}

static int bridge_call_send(struct bridge_call *call)
{
    return loop_send(&call->bridge->agent->loop, &call->source, &call->out);
}

int bridge_call_env(struct bridge *b, char *const *env, bool reseed,
                    void (*answered)(void *ctx, enum bridge_answer answer), void *ctx,
                    struct bridge_call **ret)
{
    if (b->state != BRIDGE_RUNNING)
        return 0;
    if (b->call_count >= BRIDGE_CALLS_MAX)
        return -EAGAIN;
    struct bridge_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    *call = (struct bridge_call){.bridge = b, .answered = answered, .ctx = ctx};
    call->reader.max_payload = WIRE_CHUNK;
    source_init(&call->source, SOURCE_BRIDGE_CALL, bridge_connect(b));
    int rv = call->source.fd < 0 ? call->source.fd : bridge_put_env(&call->out, env, reseed);
    if (rv == 0)
        rv = bridge_call_send(call);
    if (rv < 0) {
        if (call->source.fd >= 0)
            loop_close(&b->agent->loop, &call->source);
        bridge_call_release(&call->deferred);
        return rv;
    }
    timer_init(&call->timer, bridge_call_timed_out);
    loop_timer_start(&b->agent->loop, &call->timer, b->up ? BRIDGE_CALL_US : BRIDGE_FIRST_CALL_US);
    list_add_tail(&b->calls, &call->node);
    b->call_count++;
    if (ret != NULL)
        *ret = call;
    return 0;
}

void bridge_call_handle_event(struct source *s, uint32_t events)
{
    struct bridge_call *call = container_of(s, struct bridge_call, source);
    struct wire_frame f;
    uint8_t chunk[1024];
    if ((events & EPOLLOUT) && bridge_call_send(call) < 0) {
        bridge_call_give_up(call);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        bridge_call_give_up(call);
        return;
    }
    if (wire_reader_feed(&call->reader, chunk, (size_t)n) < 0) {
        bridge_call_answer(call, BRIDGE_REFUSED);
        return;
    }
    int rv = wire_reader_next(&call->reader, &f);
    if (rv > 0) /* any answer will do, even an ERROR */
        call->bridge->up = true;
    if (rv != 0)
        bridge_call_answer(call, rv > 0 && f.type == WIRE_OK ? BRIDGE_AGREED : BRIDGE_REFUSED);
}

static void bridge_call_timed_out(struct timer *t)
{
    bridge_call_give_up(container_of(t, struct bridge_call, timer));
}

/* The bridge hangs, or has closed the connection without an answer. The next one starts with the
 * variables. */
static void bridge_call_give_up(struct bridge_call *call)
{
    log_warn("code bridge did not answer, ending it", "pid=%d", call->bridge->pid);
    if (call->bridge->pid > 0)
        tree_kill(&call->bridge->tree);
    bridge_call_answer(call, BRIDGE_GONE);
}

static void bridge_call_answer(struct bridge_call *call, enum bridge_answer answer)
{
    struct bridge *b = call->bridge;
    struct loop *loop = &b->agent->loop;
    void (*answered)(void *, enum bridge_answer) = TAKE_PTR(call->answered);
    if (answer == BRIDGE_REFUSED)
        log_warn("code bridge did not take the variables");
    timer_stop(&call->timer);
    loop_close(loop, &call->source);
    list_del(&call->node);
    b->call_count--;
    loop_defer(loop, &call->deferred, bridge_call_release);
    if (answered != NULL)
        answered(call->ctx, answer);
}

void bridge_call_forget(struct bridge_call *call)
{
    call->answered = NULL;
}

static void bridge_calls_fail(struct bridge *b)
{
    while (!list_empty(&b->calls))
        bridge_call_answer(list_first(&b->calls, struct bridge_call, node), BRIDGE_GONE);
}

static void bridge_call_release(struct deferred *d)
{
    struct bridge_call *call = container_of(d, struct bridge_call, deferred);
    buf_done(&call->out);
    wire_reader_done(&call->reader);
    free(call);
}

void bridge_done(struct bridge *b)
{
    if (b->agent == NULL)
        return;
    timer_stop(&b->timer);
    bridge_calls_fail(b);
    if (b->pid > 0)
        tree_kill(&b->tree);
    if (b->listen_fd >= 0) {
        (void)close(b->listen_fd);
        (void)unlink(b->socket_path);
    }
    b->listen_fd = -1;
    b->state = BRIDGE_ABSENT;
}
