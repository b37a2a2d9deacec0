/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean.c - ends and removes one microVM.
 *
 * In a control group the VMM is found without its pid, even when the server that started it has
 * crashed. Without groups it is found by its command line, which names the directory. A step that
 * fails does not keep the next from running, and the first failure is the one that is reported.
 */
#include "isolation/kvm/clean.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "isolation/helper.h"
#include "isolation/kvm/launch.h"
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

/* All of it but the snapshot. What is not a directory goes by its name alone. */
static int kvm_clean_but_stored(const char *dir)
{
    char path[PATH_MAX];
    int rv = 0;
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strcmp(e->d_name, KVM_STORED_NAME) == 0 || unlinkat(dirfd(d), e->d_name, 0) == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        int rv2 = rmtree(path);
        rv = rv == 0 ? rv2 : rv;
    }
    (void)closedir(d);
    return rv;
}

int kvm_clean(const char *id, const char *dir, const struct cgroups *cg, bool keep,
              struct error *err)
{
    int rv = 0;
    if (cg->n > 0)
        (void)cgroup_kill(cg, id, CLEAN_TIMEOUT_MS);
    else
        kvm_clean_processes(dir);
    if (cg->n > 0 && (rv = cgroup_destroy(cg, id, CLEAN_TIMEOUT_MS)) < 0)
        (void)error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "control group");
    int rv2 = keep ? kvm_clean_but_stored(dir) : rmtree(dir);
    if (rv2 < 0 && rv == 0)
        rv = error_set_errno(err, ERROR_SANDBOX_FAILED, rv2, "%s", dir);
    return rv;
}

char **kvm_clean_argv(const char *id, const char *dir, bool keep)
{
    const char *const args[] = {HELPER_PROGRAM, KVM_VERB_CLEAN, id, dir, KVM_CLEAN_KEEP};
    size_t n = ARRAY_SIZE(args) - !keep;
    char **argv = calloc(n + 1, sizeof(*argv));
    for (size_t i = 0; argv != NULL && i < n; i++) {
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
    bool keep = args[0] != NULL && args[1] != NULL && args[2] != NULL &&
                strcmp(args[2], KVM_CLEAN_KEEP) == 0;
    if (args[0] == NULL || args[1] == NULL || args[keep ? 3 : 2] != NULL ||
        !driver_id_valid(args[0]))
        rv = error_set(&err, ERROR_INTERNAL, "an id and a directory are needed");
    if (rv == 0 && geteuid() == 0)
        (void)cgroups_load(&cg);
    if (rv == 0)
        rv = kvm_clean(args[0], args[1], &cg, keep, &err);
    if (rv == 0)
        (void)dprintf(STDOUT_FILENO, "ok\n");
    else
        (void)dprintf(STDOUT_FILENO, "error %s\n", err.message);
    cgroups_done(&cg);
    return rv == 0 ? 0 : 1;
}
