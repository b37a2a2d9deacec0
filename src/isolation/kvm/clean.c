/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean.c - ends and removes one microVM.
 *
 * In a control group the VMM is found without its pid, even when the server that started it has
 * crashed. Without groups it is found by its command line, which names the directory. A step that
 * fails does not keep the next from running, and the first failure is the one that is reported.
 */
#include "isolation/kvm/clean.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "isolation/helper.h"
#include "isolation/proc.h"
#include "isolation/rmtree.h"

#define CLEAN_TIMEOUT_MS 5000

/* For a VMM that is in no control group and whose pid may be noted nowhere. */
static void kvm_clean_processes(const char *dir)
{
    char args[PATH_MAX];
    int len = snprintf(args, sizeof(args), "--dir%c%s", '\0', dir);
    if (len < (int)sizeof(args))
        (void)proc_kill_called(args, (size_t)len + 1, CLEAN_TIMEOUT_MS);
}

int kvm_clean(const char *id, const char *dir, const struct cgroups *cg, struct error *err)
{
    int rv = 0;
    if (cg->n > 0)
        (void)cgroup_kill(cg, id, CLEAN_TIMEOUT_MS);
    else
        kvm_clean_processes(dir);
    if (cg->n > 0 && (rv = cgroup_destroy(cg, id, CLEAN_TIMEOUT_MS)) < 0)
        (void)error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "control group");
    int rv2 = rmtree(dir);
    if (rv2 < 0 && rv == 0)
        rv = error_set_errno(err, ERROR_SANDBOX_FAILED, rv2, "%s", dir);
    return rv;
}

char **kvm_clean_argv(const char *id, const char *dir)
{
    const char *const args[] = {HELPER_PROGRAM, KVM_VERB_CLEAN, id, dir};
    char **argv = calloc(ARRAY_SIZE(args) + 1, sizeof(*argv));
    for (size_t i = 0; argv != NULL && i < ARRAY_SIZE(args); i++) {
        argv[i] = strdup(args[i]);
        if (argv[i] == NULL) {
            helper_argv_free(argv);
            argv = NULL;
        }
    }
    return argv;
}

int kvm_clean_main(char **args)
{
    struct cgroups cg = {0};
    struct error err = {0};
    int rv = 0;
    if (args[0] == NULL || args[1] == NULL || args[2] != NULL || !driver_id_valid(args[0]))
        rv = error_set(&err, ERROR_INTERNAL, "an id and a directory are needed");
    if (rv == 0 && geteuid() == 0)
        (void)cgroups_load(&cg);
    if (rv == 0)
        rv = kvm_clean(args[0], args[1], &cg, &err);
    if (rv == 0)
        (void)dprintf(STDOUT_FILENO, "ok\n");
    else
        (void)dprintf(STDOUT_FILENO, "error %s\n", err.message);
    cgroups_done(&cg);
    return rv == 0 ? 0 : 1;
}
