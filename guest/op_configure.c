/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_configure.c - CONFIGURE: what makes this sandbox itself, at its creation and after each
 * restore from a snapshot: clock, entropy, host name, variables.
 *
 * Each step is done as far as the agent has the right to; in a container the clock and the host
 * name are the runtime's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "agent.h"
#include "env.h"
#include "log.h"
#include "ops.h"

static void set_clock(uint64_t wall_ns)
{
    const struct timespec ts = {.tv_sec = (time_t)(wall_ns / 1000000000u),
                                .tv_nsec = (long)(wall_ns % 1000000000u)};
    if (clock_settime(CLOCK_REALTIME, &ts) < 0 && errno != EPERM)
        log_warn("cannot set the clock, ignoring", "error=\"%s\"", strerror(errno));
}

/* Mixed in by everyone; counted as entropy, and the generator reseeded at once, only with the
 * right to. */
static void add_entropy(struct span entropy)
{
    struct {
        struct rand_pool_info info;
        unsigned char bytes[REQUEST_ENTROPY_MAX];
    } pool;
    cleanup_close int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    pool.info.entropy_count = (int)entropy.len * 8;
    pool.info.buf_size = (int)entropy.len;
    memcpy(pool.bytes, entropy.data, entropy.len);
    if (ioctl(fd, RNDADDENTROPY, &pool) < 0 && write(fd, entropy.data, entropy.len) < 0)
        log_warn("cannot add entropy, ignoring", "error=\"%s\"", strerror(errno));
    (void)ioctl(fd, RNDRESEEDCRNG);
    explicit_bzero(&pool, sizeof(pool));
}

static void configure_start(struct conn *c, struct request *req)
{
    struct agent *a = c->agent;
    if (req->wall_ns != 0)
        set_clock(req->wall_ns);
    if (req->entropy.len > 0)
        add_entropy(req->entropy);
    if (req->hostname[0] != '\0')
        (void)!sethostname(req->hostname, strlen(req->hostname));
    free(a->env);
    a->env = TAKE_PTR(req->env);
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

static void configure_stop(struct conn *c)
{
}

const struct op op_configure = {
    .type = WIRE_CONFIGURE, .start = configure_start, .stop = configure_stop};
