/* SPDX-License-Identifier: Apache-2.0 */
/* exec_spawn.c - a command's pipes and its process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/env.h"
#include "agent/exec_internal.h"
#include "agent/spawn.h"

#define EXEC_PIPE_SIZE (256 * 1024)

/* A pipe of which the agent keeps the end `mine` (0 or 1), non-blocking. */
static int open_pipe(int mine, struct source *ret_mine, int *ret_child)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(fds[mine], F_SETFL, O_NONBLOCK);
    (void)fcntl(fds[0], F_SETPIPE_SZ, EXEC_PIPE_SIZE);
    ret_mine->fd = fds[mine];
    *ret_child = fds[1 - mine];
    return 0;
}

static const char *find_shell(void)
{
    static const char *const shells[] = {"/bin/bash", "/usr/bin/bash"};
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (access(shells[i], X_OK) == 0)
            return shells[i];
    }
    return "/bin/sh";
}

int exec_spawn(struct exec *e, const struct request *req, const struct account *account)
{
    cleanup_free char **env = env_merge(account, e->conn->agent->env, req->env);
    if (env == NULL)
        return -ENOMEM;
    cleanup_close int in = -1, out = -1, err = -1;
    int rv = open_pipe(0, &e->out[0].source, &out);
    if (rv == 0)
        rv = open_pipe(0, &e->out[1].source, &err);
    if (rv == 0 && e->has_stdin)
        rv = open_pipe(1, &e->in, &in);
    if (rv < 0)
        return rv;
    const char *shell = find_shell();
    char *shell_argv[] = {(char *)(uintptr_t)(strrchr(shell, '/') + 1), (char *)(uintptr_t) "-c",
                          req->argv[0], NULL};
    bool by_shell = (req->flags & WIRE_EXEC_SHELL) != 0;
    struct spawn s = {
        .account = account,
        .argv = by_shell ? shell_argv : req->argv,
        .program = by_shell ? shell : NULL,
        .env = env,
        .cwd = req->cwd,
        .stdin_fd = in,
        .stdout_fd = out,
        .stderr_fd = err,
        .extra_fd = -1,
    };
    (void)snprintf(e->name, sizeof(e->name), "%s", s.argv[0]);
    e->started_at = loop_now();
    return spawn_start(&s, &e->pid, &e->status.fd);
}
