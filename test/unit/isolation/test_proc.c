/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/proc.h"

#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "t.h"

static pid_t sleeper(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_NAME, name);
        for (;;)
            (void)pause();
    }
    T_TRUE(pid > 0);
    return pid;
}

static void start_times(void)
{
    uint64_t own = 0, child = 0;
    T_EQ(proc_start_time(getpid(), &own), 0);
    T_TRUE(own > 0);
    /* A name made to look like the rest of the line. */
    pid_t pid = sleeper("a) R 1 2 (b 3 4");
    (void)usleep(20000);
    T_EQ(proc_start_time(pid, &child), 0);
    T_TRUE(child >= own && child < own + 100000);
    T_EQ(kill(pid, SIGKILL), 0);
    T_EQ(waitpid(pid, NULL, 0), pid);
    T_EQ(proc_start_time(pid, &child), -ESRCH);
}

static void opens_the_same_only(void)
{
    uint64_t start = 0;
    pid_t pid = sleeper("sleeper");
    T_EQ(proc_start_time(pid, &start), 0);
    T_EQ(proc_open_same(pid, start + 1), -ESRCH);
    T_EQ(proc_open_same(0, start), -ESRCH);
    T_EQ(proc_open_same(-1, start), -ESRCH);
    int fd = proc_open_same(pid, start);
    T_TRUE(fd >= 0);

    struct pollfd p = {.fd = fd, .events = POLLIN};
    T_EQ(poll(&p, 1, 0), 0);
    proc_reap(fd); /* nothing to take yet: returns at once */
    T_EQ(proc_kill(fd, SIGKILL), 0);
    T_EQ(poll(&p, 1, 5000), 1);
    proc_reap(fd);
    T_EQ(waitpid(pid, NULL, WNOHANG), -1);
    T_EQ(proc_kill(fd, SIGKILL), -ESRCH);
    T_EQ(proc_open_same(pid, start), -ESRCH);
    (void)close(fd);
}

T_MAIN(T_CASE(start_times), T_CASE(opens_the_same_only))
