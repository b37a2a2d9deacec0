/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isolate.h - the walls around this process, in named stages called in order from main:
 *
 *   isolate_early       no inherited files, no environment
 *   (main opens every file and socket the VM needs)
 *   isolate_cgroup      into the cgroup whose limits the starter has set
 *   isolate_namespaces  own user (where needed), mount, pid, net, ipc, uts and cgroup namespaces
 *   isolate_root        a file system with nothing but the sandbox's own directory
 *   isolate_limits      files and their size, core dumps, locked memory
 *   isolate_identity    uid and gid of its own, no capabilities, no new privileges
 *   (main builds the VM; each thread then installs its filter, see filter.h)
 */
#ifndef CORRAL_VMM_ISOLATE_H
#define CORRAL_VMM_ISOLATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Keeps the `inherited` descriptors from ISOLATE_INHERITED on, and no others but the standard
 * files. */
#define ISOLATE_INHERITED 3
int isolate_early(unsigned int inherited, struct error *err);
int isolate_cgroup(const char *dir, struct error *err);
/* Forks: the VM's process, the only one of its pid namespace, gets 0; the one outside gets the
 * child's pid and only waits or leaves. */
int isolate_namespaces(pid_t *ret_child, struct error *err);
/* Only the working directory stays visible. */
int isolate_root(struct error *err);
/* No file grows beyond `file_size` bytes: a write fails with EFBIG. */
int isolate_limits(uint64_t file_size, struct error *err);
/* `uid`, `gid`: only for root; 0 keeps what the process has. */
int isolate_identity(uid_t uid, gid_t gid, struct error *err);

#endif
