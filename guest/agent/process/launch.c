/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/process/launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/conn.h"
#include "agent/env.h"

#define LAUNCH_TERM "TERM=xterm-256color" /* what terminals of today understand */

/* The default user, or the one that the request names, in `other`. NULL: *ret_error. */
static const struct account *launch_account(const struct agent *a, const char *user,
                                            struct account *other, struct launch_error *ret_error)
{
    const struct account *account = &a->account;
    if (user[0] != '\0' && strcmp(user, account->name) != 0) {
        if (account_find_any(user, other) < 0) {
            ret_error->code = WIRE_E_USER;
            (void)snprintf(ret_error->message, sizeof(ret_error->message),
                           "there is no user \"%.64s\"", user);
            return NULL;
        }
        account = other;
    }
    if (geteuid() == 0 || account->uid == geteuid())
        return account;
    ret_error->code = WIRE_E_PERMISSION;
    (void)snprintf(ret_error->message, sizeof(ret_error->message), "the agent cannot become \"%s\"",
                   account->name);
    return NULL;
}

/* The variables of the sandbox. With a terminal TERM is the first of them, so that both the sandbox
 * and the request may say another. A vector in one block; the strings are borrowed. */
static char **launch_configured(const struct agent *a, bool terminal)
{
    size_t n = 0, at = 0;
    while (a->env != NULL && a->env[n] != NULL)
        n++;
    char **env = calloc(n + 2, sizeof(char *));
    if (env == NULL)
        return NULL;
    if (terminal)
        env[at++] = (char *)(uintptr_t)LAUNCH_TERM;
    for (size_t i = 0; i < n; i++)
        env[at++] = a->env[i];
    return env;
}

static int launch_start(struct agent *a, struct request *req, struct process_options *o,
                        struct process **ret)
{
    cleanup_free char **configured = launch_configured(a, (req->flags & WIRE_PROCESS_PTY) != 0);
    cleanup_free char **env = configured != NULL ? env_merge(o->account, configured, req->env)
                                                 : NULL;
    if (env == NULL)
        return -ENOMEM;
    o->env = env;
    o->argv = TAKE_PTR(req->argv);
    o->cwd = TAKE_PTR(req->cwd);
    return processes_start(&a->processes, o, ret);
}

struct process *launch_process(struct agent *a, struct request *req, const char *tag, size_t ring,
                               struct launch_error *ret_error)
{
    struct account other;
    struct process *p = NULL;
    struct process_options o = {
        .account = launch_account(a, req->user, &other, ret_error),
        .flags = req->flags,
        .timeout_ms = req->timeout_ms,
        .tag = tag,
        .columns = (uint16_t)req->columns,
        .rows = (uint16_t)req->rows,
        .ring = ring,
    };
    if (o.account == NULL)
        return NULL;
    int rv = launch_start(a, req, &o, &p);
    if (rv < 0) {
        ret_error->code = conn_error_code(rv);
        (void)snprintf(ret_error->message, sizeof(ret_error->message),
                       "cannot start the command: %s", strerror(-rv));
    }
    return p;
}
