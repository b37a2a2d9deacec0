/* SPDX-License-Identifier: Apache-2.0 */
#include "network/link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "core/metrics.h"

#define LINK_BATCH 64u /* packets read before others have their turn */
/* Of the process, when the server is root. Those of microVMs begin at 1900000000. */
#define LINK_UID "1899999999"

static void link_start(uv_timer_t *timer);
static void link_on_exit(uv_process_t *process, int64_t status, int signal);
static void link_on_poll(uv_poll_t *poll, int status, int events);
static void link_on_close(uv_handle_t *handle);

int network_link_init(struct network_link *l, uv_loop_t *loop,
                      const struct network_program *program, const struct network_link_ops *ops)
{
    *l = (struct network_link){.loop = loop, .ops = ops, .program = *program, .fd = -1};
    l->input = malloc(EGRESS_MAX_FRAME);
    if (l->input == NULL)
        return -ENOMEM;
    (void)uv_timer_init(loop, &l->timer);
    l->timer.data = l->process.data = l->poll.data = l;
    return uv_timer_start(&l->timer, link_start, 0, 0);
}

static void link_pause(struct network_link *l)
{
    bool steady = uv_hrtime() - l->started_ns > (uint64_t)LINK_STEADY_MS * 1000000;
    l->pause_ms = steady || l->pause_ms == 0 ? LINK_PAUSE_MIN_MS
                                             : MIN(2 * l->pause_ms, LINK_PAUSE_MAX_MS);
    l->state = LINK_WAITING;
    metrics_add(METRIC_EGRESS_RESTARTS, 1);
    (void)uv_timer_start(&l->timer, link_start, l->pause_ms, 0);
}

static void link_close(struct network_link *l)
{
    l->state = LINK_LOST;
    (void)uv_timer_stop(&l->timer);
    if (l->open == 0) {
        link_pause(l);
        return;
    }
    uv_handle_t *handles[] = {(uv_handle_t *)&l->process, (uv_handle_t *)&l->poll};
    for (size_t i = 0; i < l->open && i < ARRAY_SIZE(handles); i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], link_on_close);
    }
}

static void link_lost(struct network_link *l, const char *why)
{
    if (l->state != LINK_STARTING && l->state != LINK_UP)
        return;
    l->state = LINK_LOST;
    if (!l->stopping)
        log_error("corral-egress is lost; flows of sandboxes are cut", "reason=\"%s\"", why);
    (void)uv_timer_stop(&l->timer);
    (void)uv_poll_stop(&l->poll);
    if (l->running)
        (void)uv_process_kill(&l->process, SIGKILL);
    else
        link_close(l);
}

void network_link_restart(struct network_link *l, const char *why)
{
    link_lost(l, why);
}

static int link_spawn(struct network_link *l, int fd)
{
    const char *argv[10] = {l->program.path};
    size_t n = 1;
    if (geteuid() == 0) {
        argv[n++] = "--uid";
        argv[n++] = LINK_UID;
        argv[n++] = "--gid";
        argv[n++] = LINK_UID;
    }
    if (l->program.ca_file[0] != '\0') {
        argv[n++] = "--ca-file";
        argv[n++] = l->program.ca_file;
    }
    if (l->program.debug)
        argv[n++] = "--debug";
    uv_stdio_container_t stdio[EGRESS_CTL_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = fd},
    };
    /* Detached: a signal of the terminal is for the server, which ends the process last. */
    uv_process_options_t options = {
        .exit_cb = link_on_exit,
        .file = l->program.path,
        .args = (char **)(uintptr_t)argv,
        .cwd = "/",
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = ARRAY_SIZE(stdio),
        .stdio = stdio,
    };
    return uv_spawn(l->loop, &l->process, &options);
}

static void link_late(uv_timer_t *timer)
{
    link_lost(timer->data, "it does not say that it is ready");
}

static void link_start(uv_timer_t *timer)
{
    struct network_link *l = timer->data;
    int pair[2] = {-1, -1};
    l->state = LINK_STARTING;
    l->started_ns = uv_hrtime();
    int rv = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
    rv = rv < 0 ? -errno : link_spawn(l, pair[1]);
    base_close_p(&pair[1]);
    l->fd = pair[0];
    l->open = l->fd >= 0 ? 1 : 0;
    l->running = rv == 0;
    if (rv == 0 && fcntl(l->fd, F_SETFL, O_NONBLOCK) == 0 &&
        (rv = uv_poll_init(l->loop, &l->poll, l->fd)) == 0)
        l->open = 2;
    if (rv == 0)
        rv = uv_poll_start(&l->poll, UV_READABLE, link_on_poll);
    if (rv < 0) {
        log_error("corral-egress cannot be started", "program=%s reason=\"%s\"", l->program.path,
                  strerror(-rv));
        if (l->running)
            link_lost(l, strerror(-rv));
        else
            link_close(l);
        return;
    }
    (void)uv_timer_start(&l->timer, link_late, LINK_READY_MS, 0);
    l->ops->started(l);
    l->ops->writable(l);
}

static void link_on_timer_closed(uv_handle_t *handle)
{
    struct network_link *l = handle->data;
    l->state = LINK_ENDED;
    free(TAKE_PTR(l->input));
    l->stopped(l);
}

static void link_on_close(uv_handle_t *handle)
{
    struct network_link *l = handle->data;
    if (--l->open > 0)
        return;
    base_close_p(&l->fd);
    l->fd = -1;
    metrics_set(METRIC_EGRESS_UP, 0);
    if (l->stopping)
        uv_close((uv_handle_t *)&l->timer, link_on_timer_closed);
    else
        link_pause(l);
}

static void link_on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct network_link *l = process->data;
    char why[64];
    l->running = false;
    (void)snprintf(why, sizeof(why), signal != 0 ? "signal %d" : "exit status %d",
                   signal != 0 ? signal : (int)status);
    if (l->state == LINK_LOST)
        link_close(l);
    else
        link_lost(l, why);
}

/* READY is the first packet, and comes once. */
static int link_take(struct network_link *l, size_t len)
{
    struct packet p;
    if (packet_read(l->input, len, &p) < 0)
        return -EPROTO;
    if ((p.type == EGRESS_READY) != (l->state == LINK_STARTING)) {
        packet_done(&p);
        return -EPROTO;
    }
    if (p.type == EGRESS_READY) {
        l->state = LINK_UP;
        metrics_set(METRIC_EGRESS_UP, 1);
        (void)uv_timer_stop(&l->timer);
        log_info("corral-egress is ready", "pid=%u", p.pid);
        return 0;
    }
    l->ops->packet(l, &p);
    packet_done(&p);
    return 0;
}

static void link_on_poll(uv_poll_t *poll, int status, int events)
{
    struct network_link *l = poll->data;
    if (status == 0 && (events & UV_WRITABLE) != 0) {
        (void)uv_poll_start(poll, UV_READABLE, link_on_poll);
        l->ops->writable(l);
    }
    for (unsigned int i = 0; i < LINK_BATCH && l->state != LINK_LOST; i++) {
        ssize_t n = recv(l->fd, l->input, EGRESS_MAX_FRAME, MSG_TRUNC | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            link_lost(l, n == 0 ? "its socket has ended" : strerror(errno));
        else if ((size_t)n > EGRESS_MAX_FRAME || link_take(l, (size_t)n) < 0)
            link_lost(l, "a packet that it must not send");
    }
}

int network_link_send(struct network_link *l, const struct buf *packet, int fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = packet->data, .iov_len = packet->len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
    }
    int rv = packet->failed ? -ENOMEM : 0;
    if (rv == 0 && sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        rv = -errno;
    if (rv == -EAGAIN)
        (void)uv_poll_start(&l->poll, UV_READABLE | UV_WRITABLE, link_on_poll);
    else if (rv < 0)
        link_lost(l, strerror(-rv));
    return rv;
}

static void link_overdue(uv_timer_t *timer)
{
    struct network_link *l = timer->data;
    if (l->running)
        (void)uv_process_kill(&l->process, SIGKILL);
}

/* The process ends when its socket does. */
void network_link_stop(struct network_link *l, void (*stopped)(struct network_link *l))
{
    l->stopping = true;
    l->stopped = stopped;
    if (l->state == LINK_NEW || l->state == LINK_WAITING) {
        uv_close((uv_handle_t *)&l->timer, link_on_timer_closed);
    } else if (l->state == LINK_STARTING || l->state == LINK_UP) {
        l->state = LINK_LOST;
        (void)uv_poll_stop(&l->poll);
        (void)shutdown(l->fd, SHUT_RDWR);
        (void)uv_timer_start(&l->timer, link_overdue, LINK_STOP_MS, 0);
    }
}
