/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's word cannot be had at will, so urgent data of a connection stands for it: to poll(2)
 * both are POLLPRI. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/pressure.h"
#include "t.h"

struct seen {
    uv_loop_t *loop;
    unsigned int count;
};

static void felt(void *ctx)
{
    struct seen *s = ctx;
    s->count++;
    uv_stop(s->loop);
}

static void pair(int ret[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    T_EQ(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
    T_EQ(listen(l, 1), 0);
    T_EQ(getsockname(l, (struct sockaddr *)&a, &len), 0);
    ret[1] = socket(AF_INET, SOCK_STREAM, 0);
    T_EQ(connect(ret[1], (struct sockaddr *)&a, sizeof(a)), 0);
    ret[0] = accept(l, NULL, NULL);
    T_TRUE(ret[0] >= 0);
    (void)close(l);
}

static void urgent_news_is_felt_and_other_is_not(void)
{
    int fds[2];
    uv_loop_t loop;
    struct seen s = {.loop = &loop};
    struct pressure p;
    T_EQ(uv_loop_init(&loop), 0);
    pair(fds);
    T_EQ(pressure_watch(&p, &loop, fds[0], felt, &s), 0);
    T_EQ(write(fds[1], "x", 1), 1);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    T_EQ(s.count, 0);
    T_EQ(send(fds[1], "!", 1, MSG_OOB), 1);
    uv_ref((uv_handle_t *)&p.poll); /* the watch alone keeps no loop alive */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(s.count, 1);
    uv_close((uv_handle_t *)&p.poll, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void a_kernel_without_it_says_so(void)
{
    T_EQ(pressure_open("/proc/no-such-file"), -ENOENT);
}

static void the_kernel_takes_the_trigger(void)
{
    int fd = pressure_open(PRESSURE_MEMORY);
    if (fd == -ENOENT || fd == -EOPNOTSUPP || fd == -EACCES || fd == -EPERM)
        return; /* booted without it, or not for this user */
    T_TRUE(fd >= 0);
    (void)close(fd);
}

T_MAIN(T_CASE(urgent_news_is_felt_and_other_is_not), T_CASE(a_kernel_without_it_says_so),
       T_CASE(the_kernel_takes_the_trigger))
