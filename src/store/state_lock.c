/* SPDX-License-Identifier: Apache-2.0 */
#include "store/state_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/num.h"

#define STATE_LOCK_PAUSE 10000 /* microseconds */
#define STATE_LOCK_TRIES 5     /* while its holder lives */
#define STATE_LOCK_GONE  1000  /* while it does not */

/* The id written by the holder; 0 when it cannot be read. */
static int64_t state_lock_holder(int fd)
{
    char text[32];
    int64_t pid = 0;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return num_parse(text, 1, INT32_MAX, &pid) == 0 ? pid : 0;
}

static int state_lock_busy(const char *state_dir, int fd, struct error *err)
{
    char holder[32] = "";
    int64_t pid = state_lock_holder(fd);
    if (pid > 0)
        (void)snprintf(holder, sizeof(holder), " (pid %d)", (int)pid);
    (void)error_set(err, ERROR_CONFLICT, "Another corrald%s uses the state directory %.120s",
                    holder, state_dir);
    return -EBUSY;
}

static bool state_lock_is_held(int fd)
{
    int64_t pid = state_lock_holder(fd);
    return pid == 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* state_lock_owner() of another process holds a shared lock for a moment: a second try tells it
 * from a server. And a server that is killed may have been about to start a program: its child has
 * the lock until it calls exec or dies of its parent's end, which on a busy machine takes a while.
 */
static int state_lock_take(int fd)
{
    for (int tries = 0;; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return -errno;
        if (tries >= (state_lock_is_held(fd) ? STATE_LOCK_TRIES : STATE_LOCK_GONE))
            return -EWOULDBLOCK;
        (void)usleep(STATE_LOCK_PAUSE);
    }
}

int state_lock(const char *state_dir, int *ret_fd, struct error *err)
{
    char path[PATH_MAX];
    char pid[32];
    int n = snprintf(path, sizeof(path), "%s/lock", state_dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return error_set_errno(err, ERROR_STORAGE_FAILED, -ENAMETOOLONG, "State directory");
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, -errno, "Cannot open %.150s", path);
    int rv = state_lock_take(fd);
    if (rv == -EWOULDBLOCK)
        return state_lock_busy(state_dir, fd, err);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot lock %.150s", path);
    n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    /* In this order a full disk is no obstacle: the file keeps the block that it has. */
    if (pwrite(fd, pid, (size_t)n, 0) != n || ftruncate(fd, n) < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, errno ? -errno : -EIO,
                               "Cannot write %.150s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

pid_t state_lock_owner(const char *state_dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/lock", state_dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return 0;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return (pid_t)state_lock_holder(fd);
}
