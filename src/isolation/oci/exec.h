/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - the launcher, the cleaner and the copier of a container. Their work blocks, so each runs
 * in a process of its own and prints one line to standard output, `ok ...` or `error <reason>`. */
#ifndef CORRAL_ISOLATION_OCI_EXEC_H
#define CORRAL_ISOLATION_OCI_EXEC_H

#include "isolation/cgroup.h"
#include "isolation/oci/spec.h"

#define OCI_VERB_LAUNCH "oci-launch"
#define OCI_VERB_CLEAN  "oci-clean"
#define OCI_VERB_COPY   "oci-copy"

/* Makes and starts one container: `ok <pid> <start time>`. `args` are the key=value arguments. */
int oci_launch_main(char **args);
/* Kills what is left of one sandbox and removes every trace of it: `ok`. */
int oci_clean_main(char **args);
/* Copies the disk of one that stands still meanwhile to the directory `snapshot` (copy.h): `ok`. */
int oci_copy_main(char **args);

/* The work of oci_clean_main, which the sweep needs, too. */
int oci_clean(const struct oci_spec *spec, const struct cgroups *cg, struct error *err);

/* Runs the runtime with `argv` to its end: no terminal, output to /dev/null, dies with its parent.
 * The `n_fds` descriptors become its descriptors 3 and up. Returns its exit status (128 + signal),
 * or a negative errno; after `timeout_ms` (0: never) it is killed and -ETIMEDOUT returned. */
int oci_exec_runtime(char *const argv[], const int *fds, size_t n_fds, unsigned int timeout_ms);

/* The last error in the runtime's log (JSON lines) at `path` below `dirfd`, into err->message. */
void oci_exec_log_error(int dirfd, const char *path, struct error *err);

#endif
