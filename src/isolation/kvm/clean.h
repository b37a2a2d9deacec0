/* SPDX-License-Identifier: Apache-2.0 */
/* clean.h - ends one microVM and removes what is left of it, whatever its state. */
#ifndef CORRAL_ISOLATION_KVM_CLEAN_H
#define CORRAL_ISOLATION_KVM_CLEAN_H

#include <stdbool.h>

#include "isolation/cgroup.h"

#define KVM_VERB_CLEAN "kvm-clean"
#define KVM_CLEAN_KEEP "keep"

/* Blocking, for up to some seconds. `cg` may have no hierarchies. With `keep` the directory stays,
 * and of what is in it the snapshot that the VM was put away into. */
int kvm_clean(const char *id, const char *dir, const struct cgroups *cg, bool keep,
              struct error *err);

/* The call of the process below, owned by the caller; NULL when memory ran out. */
char **kvm_clean_argv(const char *id, const char *dir, bool keep);

/* The same as a process of its own: KVM_VERB_CLEAN ID DIR [KVM_CLEAN_KEEP]. Prints `ok` or `error
 * <reason>`. */
int kvm_clean_main(char **args);

#endif
