/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - runs the OCI runtime and reads the reason of a failure.
 *
 * The runtime's output goes to /dev/null. Its reasons are in its log instead, where each line is an
 * object of JSON, and the last error is the one that ended it.
 */
#include "isolation/oci/exec.h"

#include "base/json.h"
#include "isolation/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LOG_TAIL     4096
#define EXEC_MAX_FDS 8

/* A runtime must not outlive its launcher: it would go on making a container that nobody knows. */
static void exec_child(char *const argv[], const int *fds, size_t n, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        _exit(126);
    /* First out of the way of each other. */
    int moved[EXEC_MAX_FDS];
    for (size_t i = 0; i < n; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + EXEC_MAX_FDS);
        if (moved[i] < 0)
            _exit(126);
    }
    for (size_t i = 0; i < n; i++) {
        if (dup2(moved[i], (int)(3 + i)) < 0)
            _exit(126);
    }
    (void)execvp(argv[0], argv);
    _exit(127);
}

int oci_exec_runtime(char *const argv[], const int *fds, size_t n_fds, unsigned int timeout_ms)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        exec_child(argv, fds, MIN(n_fds, (size_t)EXEC_MAX_FDS), parent);

    cleanup_close int pidfd = proc_open(pid);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int n = pidfd < 0 ? 1 : poll(&p, 1, timeout_ms == 0 ? -1 : (int)timeout_ms);
    if (n == 0)
        (void)kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    if (n == 0)
        return -ETIMEDOUT;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* `line` is one JSON object of the log. */
static bool log_take(const char *line, size_t len, struct error *err)
{
    cleanup_json json *j = json_parse_object(line, len, NULL);
    const char *level = NULL, *msg = NULL;
    if (j == NULL || json_need_str(j, "msg", &msg, NULL) < 0 ||
        json_get_str(j, "level", "error", &level, NULL) < 0 ||
        (strcmp(level, "error") != 0 && strcmp(level, "fatal") != 0))
        return false;
    (void)error_set(err, ERROR_SANDBOX_FAILED, "%s", msg);
    return true;
}

void oci_exec_log_error(int dirfd, const char *path, struct error *err)
{
    char text[LOG_TAIL + 1];
    struct stat st;
    cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    ssize_t n = pread(fd, text, LOG_TAIL, st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0);
    if (n <= 0)
        return;
    text[n] = '\0';
    for (char *line = text, *end = NULL; *line != '\0'; line = end + 1) {
        end = strchrnul(line, '\n');
        (void)log_take(line, (size_t)(end - line), err);
        if (*end == '\0')
            break;
    }
}
