/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.c - fork, and the steps between fork and exec.
 *
 * The child's steps have an order: a session of its own, its tree (tree.h), the agent's limits and
 * signals undone, descriptors 0 to 3, the terminal, the account's rights, the working directory,
 * the program. The directory comes after the rights, so that the account needs access to it. A step
 * that fails sends its number and errno through the status pipe.
 *
 * The agent has one thread, so the child may allocate memory between fork and exec.
 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>

#include "agent/env.h"

#define SPAWN_STATUS_MIN_FD 10 /* place_fds must not overwrite it */

static struct rlimit spawn_nofile;

void spawn_init(void)
{
    struct rlimit own;
    if (getrlimit(RLIMIT_NOFILE, &spawn_nofile) < 0) {
        spawn_nofile = (struct rlimit){1024, 4096};
        return;
    }
    own = spawn_nofile;
    own.rlim_cur = MIN(own.rlim_max, (rlim_t)65536);
    (void)setrlimit(RLIMIT_NOFILE, &own);
}

static void reset_signals(void)
{
    sigset_t none;
    (void)signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int place_fd(int from, int to)
{
    if (from == to)
        return fcntl(from, F_SETFD, 0);
    return dup2(from, to);
}

static int place_fds(const struct spawn *s)
{
    const int from[] = {s->stdin_fd, s->stdout_fd, s->stderr_fd};
    for (int i = 0; i < 3; i++) {
        int fd = from[i] >= 0 ? from[i] : open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY));
        if (fd < 0 || place_fd(fd, i) < 0)
            return -1;
        if (from[i] < 0 && fd > 2)
            (void)close(fd);
    }
    return s->extra_fd >= 0 ? place_fd(s->extra_fd, 3) : 0;
}

static int become(const struct account *a)
{
    if (geteuid() != 0)
        return 0;
    if (setgroups(a->group_count, a->groups) < 0 && errno != EPERM)
        return -1;
    if (setresgid(a->gid, a->gid, a->gid) < 0)
        return -1;
    return setresuid(a->uid, a->uid, a->uid);
}

/* A script without "#!" is run by the shell, as with execvp(). */
static void exec_as_script(const char *path, char *const *argv, char *const *env)
{
    size_t n = 0;
    while (argv[n] != NULL)
        n++;
    char **with_shell = calloc(n + 2, sizeof(*with_shell));
    if (with_shell == NULL)
        return;
    with_shell[0] = (char *)(uintptr_t) "sh";
    with_shell[1] = (char *)(uintptr_t)path;
    for (size_t i = 1; i < n; i++)
        with_shell[i + 1] = argv[i];
    (void)execve("/bin/sh", with_shell, env);
    free(with_shell);
}

static void exec_path(const char *path, char *const *argv, char *const *env)
{
    (void)execve(path, argv, env);
    if (errno == ENOEXEC) {
        exec_as_script(path, argv, env);
        errno = ENOEXEC;
    }
}

/* The next candidate for `name` in the PATH at *rest. False at the end. */
static bool next_candidate(const char **rest, const char *name, char out[PATH_MAX])
{
    while (*rest != NULL) {
        const char *dir = *rest, *colon = strchr(dir, ':');
        size_t len = colon != NULL ? (size_t)(colon - dir) : strlen(dir);
        *rest = colon != NULL ? colon + 1 : NULL;
        int n = len == 0 ? snprintf(out, PATH_MAX, "./%s", name)
                         : snprintf(out, PATH_MAX, "%.*s/%s", (int)MIN(len, (size_t)PATH_MAX), dir,
                                    name);
        if (n > 0 && n < PATH_MAX)
            return true;
    }
    return false;
}

/* Returns only on failure; errno says why. The PATH is that of the command and not the agent's, so
 * execvpe() would not do. */
static void exec_search(const char *name, char *const *argv, char *const *env)
{
    char path[PATH_MAX];
    int err = ENOENT;
    if (strchr(name, '/') != NULL) {
        exec_path(name, argv, env);
        return;
    }
    const char *rest = env_get(env, "PATH");
    if (rest == NULL)
        rest = ENV_PATH;
    while (next_candidate(&rest, name, path)) {
        exec_path(path, argv, env);
        if (errno == EACCES)
            err = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return;
    }
    errno = err;
}

static bool enter_directory(const struct spawn *s)
{
    if (s->cwd[0] != '\0')
        return chdir(s->account->home) == 0 || s->cwd[0] == '/' ? chdir(s->cwd) == 0 : false;
    return chdir(s->account->home) == 0 || chdir("/") == 0;
}

static _Noreturn void run_child(const struct spawn *s, int status_fd)
{
    struct spawn_failure failure = {.stage = SPAWN_SETUP};
    (void)setsid();
    (void)umask(022);
    tree_enter(s->tree);
    (void)setrlimit(RLIMIT_NOFILE, &spawn_nofile);
    reset_signals();
    if (place_fds(s) < 0 || (s->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) ||
        become(s->account) < 0)
        goto fail;
    if (s->die_with_agent) /* after become(): a change of credentials clears it */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    failure.stage = SPAWN_DIRECTORY;
    if (!enter_directory(s))
        goto fail;
    failure.stage = SPAWN_EXEC;
    exec_search(s->program != NULL ? s->program : s->argv[0], s->argv, s->env);
fail:
    failure.errnum = errno;
    ssize_t ignored = write(status_fd, &failure, sizeof(failure));
    (void)ignored;
    _exit(127);
}

int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_status_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    cleanup_close int reader = fds[0];
    cleanup_close int low = fds[1];
    cleanup_close int writer = fcntl(low, F_DUPFD_CLOEXEC, SPAWN_STATUS_MIN_FD);
    if (writer < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(s, writer);
    *ret_pid = pid;
    *ret_status_fd = TAKE_FD(reader);
    return 0;
}

bool spawn_can_run(const char *name, const char *path)
{
    char candidate[PATH_MAX];
    if (strchr(name, '/') != NULL)
        return access(name, X_OK) == 0;
    while (next_candidate(&path, name, candidate)) {
        if (access(candidate, X_OK) == 0)
            return true;
    }
    return false;
}
