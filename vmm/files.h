/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - opens everything that an option names by path: kernel, initramfs, snapshot, disk,
 * overlay, /dev/kvm, sockets. Behind the walls (isolate.h) there are no paths.
 */
#ifndef CORRAL_VMM_FILES_H
#define CORRAL_VMM_FILES_H

#include "build.h"
#include "options.h"

/* Fills in `c` and binds both sockets. The working directory is the sandbox's afterwards, so that
 * socket names stay short. Nothing is closed on failure: the process ends then. */
int files_open(const struct options *o, struct vm_config *c, int *ret_ctl_fd, struct error *err);

/* For --record and for differences: /proc, while there is one, and then, after the change of
 * identity, the page map of the calling process, which is the one that runs the VM. What it tells
 * depends on the rights of the process that opened it: an ordinary one learns which pages there
 * are, and not where in the host's memory. files_open_pagemap closes `proc_fd`; -1 is none, and
 * fine. */
int files_open_proc(const struct options *o, int *ret_proc_fd, struct error *err);
int files_open_pagemap(int proc_fd, struct vm_config *c, struct error *err);

/* Bytes: no file that is open for writing, or will be handed over, has to be larger. */
uint64_t files_largest(const struct vm_config *c);

#endif
