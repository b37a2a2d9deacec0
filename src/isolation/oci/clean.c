/* SPDX-License-Identifier: Apache-2.0 */
/* clean.c - ends one container and removes what is left of it. Every step tolerates that its object
 * is not there, and a failed step does not keep the next from running. */
#include "isolation/oci/exec.h"
#include "isolation/rmtree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DELETE_TIMEOUT_MS 10000
#define CGROUP_TIMEOUT_MS 5000

static int oci_clean_runtime(const struct oci_spec *spec, struct error *err)
{
    char state[PATH_MAX];
    if (snprintf(state, sizeof(state), "%s/%s", spec->root, spec->id) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (access(state, F_OK) < 0)
        return 0;
    char *argv[] = {spec->runtime, "--root", spec->root, "delete", "--force", spec->id, NULL};
    int status = oci_exec_runtime(argv, NULL, 0, DELETE_TIMEOUT_MS);
    /* A runtime that was killed half-way does not know its own directory any more. */
    int r = rmtree(state);
    if (r < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, r, "%s delete (status %d)", spec->runtime,
                               status);
    return 0;
}

int oci_clean(const struct oci_spec *spec, const struct cgroups *cg, struct error *err)
{
    /* First, because a runtime that kills a container itself waits for it in long steps. */
    (void)cgroup_kill(cg, spec->id, CGROUP_TIMEOUT_MS);
    int r = oci_clean_runtime(spec, err);
    int r2 = cgroup_destroy(cg, spec->id, CGROUP_TIMEOUT_MS);
    if (r2 < 0 && r == 0)
        r = error_set_errno(err, ERROR_SANDBOX_FAILED, r2, "control group");
    r2 = rmtree(spec->dir);
    if (r2 < 0 && r == 0)
        r = error_set_errno(err, ERROR_SANDBOX_FAILED, r2, "%s", spec->dir);
    return r;
}

int oci_clean_main(char **args)
{
    struct oci_spec spec = {0};
    struct cgroups cg = {0};
    struct error err = {0};
    int r = oci_spec_from_argv(&spec, args, &err);
    if (r == 0 && (r = cgroups_load(&cg)) < 0)
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, r, "control groups");
    if (r == 0)
        r = oci_clean(&spec, &cg, &err);
    if (r == 0)
        (void)dprintf(STDOUT_FILENO, "ok\n");
    else
        (void)dprintf(STDOUT_FILENO, "error %s\n", err.message);
    cgroups_done(&cg);
    oci_spec_done(&spec);
    return r == 0 ? 0 : 1;
}
