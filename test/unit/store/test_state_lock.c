/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a state directory, and what a server that dies leaves of it for a moment. */
#include "store/state_lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t.h"

static char dir[] = "/tmp/corral-test-XXXXXX";

static void one_at_a_time(void)
{
    int first, second;
    struct error err;
    T_TRUE(t_mkdtemp(dir));
    T_EQ(state_lock(dir, &first, &err), 0);
    T_EQ(state_lock_owner(dir), getpid());
    T_EQ(state_lock(dir, &second, &err), -EBUSY);
    T_TRUE(strstr(err.message, "Another corrald (pid ") != NULL);
    (void)close(first);
    T_EQ(state_lock(dir, &second, &err), 0);
    (void)close(second);
}

/* A server that dies between fork and exec of a child, which then has its lock. */
static pid_t dead_server(int until)
{
    int fd;
    struct error err;
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        if (state_lock(dir, &fd, &err) < 0)
            _exit(1);
        if (fork() == 0)
            _exit(read(until, &byte, 1) == 0 ? 0 : 1);
        _exit(0);
    }
    return pid;
}

static void *take(void *result)
{
    int fd;
    struct error err;
    *(int *)result = state_lock(dir, &fd, &err);
    if (*(int *)result == 0)
        (void)close(fd);
    return NULL;
}

static void a_child_of_a_dead_server(void)
{
    int end[2], status, result = -1;
    pthread_t thread;
    T_EQ(pipe(end), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(end[1]);
        pid_t server = dead_server(end[0]);
        _exit(waitpid(server, &status, 0) == server && status == 0 ? 0 : 1);
    }
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
    (void)close(end[0]);
    T_EQ(pthread_create(&thread, NULL, take, &result), 0);
    (void)usleep(200000); /* the longer the child lives, the more this says */
    (void)close(end[1]);
    T_EQ(pthread_join(thread, NULL), 0);
    T_EQ(result, 0);
}

T_MAIN(T_CASE(one_at_a_time), T_CASE(a_child_of_a_dead_server))
