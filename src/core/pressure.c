/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"

/* Some task has waited 150 ms within 2 s: what a person begins to feel. The kernel takes windows of
 * whole 2 s alone from those who are not root. */
#define PRESSURE_TRIGGER "some 150000 2000000"

int pressure_open(const char *path)
{
    cleanup_close int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* The kernel takes the NUL as the end of the trigger. */
    if (write(fd, PRESSURE_TRIGGER, sizeof(PRESSURE_TRIGGER)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void pressure_on_news(uv_poll_t *poll, int status, int events)
{
    struct pressure *p = container_of(poll, struct pressure, poll);
    if (status < 0) { /* the kernel has taken the trigger away: it would be ready for ever */
        log_warn("memory pressure is not watched any more", "status=%d", status);
        (void)uv_poll_stop(poll);
    } else if ((events & UV_PRIORITIZED) != 0) {
        p->felt(p->ctx);
    }
}

int pressure_watch(struct pressure *p, uv_loop_t *loop, int fd, void (*felt)(void *ctx), void *ctx)
{
    p->felt = felt;
    p->ctx = ctx;
    int rv = uv_poll_init(loop, &p->poll, fd);
    if (rv < 0) {
        (void)close(fd);
        return rv;
    }
    uv_unref((uv_handle_t *)&p->poll);
    return uv_poll_start(&p->poll, UV_PRIORITIZED, pressure_on_news);
}
