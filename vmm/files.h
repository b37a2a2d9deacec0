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

/* With --record: the page map of the calling process. So the process that runs the VM calls this,
 * while it still has a /proc. */
int files_open_pagemap(const struct options *o, struct vm_config *c, struct error *err);

#endif
