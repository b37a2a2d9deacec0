/* SPDX-License-Identifier: Apache-2.0 */
/*
 * await_agent.c - one try after the other, each a connection with a greeting.
 *
 * The happy path is: the VMM listens already, the guest's agent answers OK to the first or second
 * greeting, the handles of the try close. Its connection is the first request's (await_agent_take),
 * or closes with them.
 * Possible failure modes of a try are: no connection, a refusal because the agent does not listen
 * yet, and no answer within AWAIT_AGENT_TRY_MS: a guest may lose what it was sent while it booted.
 * The next try follows after a pause that doubles from AWAIT_AGENT_PAUSE_MS to
 * AWAIT_AGENT_PAUSE_MAX_MS: a clone that answers in milliseconds is not kept waiting, and a guest
 * that boots for a minute is not disturbed. The whole has a deadline.
 */
#include "isolation/kvm/await_agent.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"
#include "vmm_ctl.h"
#include "wire.h"

#define AWAIT_AGENT_PAUSE_MS     10u
#define AWAIT_AGENT_PAUSE_MAX_MS 320u
#define AWAIT_AGENT_TRY_MS       10000u

/* In time order. */
static void await_agent_on_timer(uv_timer_t *timer);
static int await_agent_try(struct await_agent *a);
static void await_agent_on_readable(uv_poll_t *poll, int status, int events);
static void await_agent_on_poll_close(uv_handle_t *h);
static void await_agent_on_close(uv_handle_t *h);

void await_agent_start(struct await_agent *a, uv_loop_t *loop, const char *dir,
                       unsigned int timeout_ms)
{
    a->loop = loop;
    a->dir = dir;
    a->fd = -1;
    a->wait_ms = AWAIT_AGENT_PAUSE_MS;
    a->deadline = uv_now(loop) + timeout_ms;
    a->open = true;
    (void)uv_timer_init(loop, &a->timer);
    a->timer.data = a;
    (void)uv_timer_start(&a->timer, await_agent_on_timer, 0, 0);
}

/* How long a step of at most `ms` may take. */
static uint64_t await_agent_bound(const struct await_agent *a, uint64_t ms)
{
    uint64_t now = uv_now(a->loop);
    return MIN(ms, a->deadline > now ? a->deadline - now : 0);
}

static void await_agent_end_try(struct await_agent *a)
{
    if (a->polling && !uv_is_closing((uv_handle_t *)&a->poll))
        uv_close((uv_handle_t *)&a->poll, await_agent_on_poll_close);
}

static void await_agent_done(struct await_agent *a, int status)
{
    a->over = true;
    (void)uv_timer_stop(&a->timer);
    await_agent_end_try(a);
    a->done(a, status);
}

/* The time of a try is over, or that between two. */
static void await_agent_on_timer(uv_timer_t *timer)
{
    struct await_agent *a = timer->data;
    if (await_agent_bound(a, 1) == 0) {
        await_agent_done(a, -ETIMEDOUT);
        return;
    }
    if (a->polling) {
        await_agent_end_try(a); /* the next follows when the handle has closed */
        return;
    }
    uint64_t wait = await_agent_try(a) == 0 ? AWAIT_AGENT_TRY_MS : a->wait_ms;
    (void)uv_timer_start(timer, await_agent_on_timer, await_agent_bound(a, wait), 0);
}

static int await_agent_try(struct await_agent *a)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char greeting[WIRE_GREETING_SIZE];
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" CTL_VSOCK_NAME, a->dir);
    if (n >= (int)sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    size_t len = wire_greeting_print(greeting, WIRE_AGENT_PORT);
    if (send(fd, greeting, len, MSG_NOSIGNAL) != (ssize_t)len)
        return -EIO;
    int rv = uv_poll_init(a->loop, &a->poll, fd);
    if (rv < 0)
        return rv;
    a->poll.data = a;
    a->polling = true;
    a->fd = TAKE_FD(fd);
    a->answer = (struct wire_greeting){0};
    return uv_poll_start(&a->poll, UV_READABLE, await_agent_on_readable);
}

static void await_agent_on_readable(uv_poll_t *poll, int status, int events)
{
    struct await_agent *a = poll->data;
    (void)events;
    char bytes[WIRE_GREETING_SIZE];
    ssize_t n = status < 0 ? status : recv(a->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && status == 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* An agent says nothing more before it is asked. */
    if (n <= 0 || wire_greeting_feed(&a->answer, bytes, (size_t)n) != n)
        await_agent_end_try(a);
    else if (a->answer.done)
        await_agent_done(a, 0);
}

int await_agent_take(struct await_agent *a)
{
    int fd = a->over && a->answer.done ? a->fd : -1;
    if (fd >= 0)
        a->fd = -1; /* uv_close has stopped the poll: nobody but the caller watches it now */
    return fd;
}

static void await_agent_on_poll_close(uv_handle_t *h)
{
    struct await_agent *a = h->data;
    base_close_p(&a->fd);
    a->fd = -1;
    a->polling = false;
    if (a->closing) {
        uv_close((uv_handle_t *)&a->timer, await_agent_on_close);
    } else if (!a->over) {
        (void)uv_timer_start(&a->timer, await_agent_on_timer, await_agent_bound(a, a->wait_ms), 0);
        a->wait_ms = MIN(a->wait_ms * 2, (uint64_t)AWAIT_AGENT_PAUSE_MAX_MS);
    }
}

bool await_agent_close(struct await_agent *a)
{
    if (!a->open || a->closing)
        return false;
    a->closing = true;
    (void)uv_timer_stop(&a->timer);
    if (a->polling)
        await_agent_end_try(a);
    else
        uv_close((uv_handle_t *)&a->timer, await_agent_on_close);
    return true;
}

static void await_agent_on_close(uv_handle_t *h)
{
    struct await_agent *a = h->data;
    a->open = false;
    a->closed(a);
}
