/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the command line of corral-vmm(8): one table for parsing, limits and --help.
 *
 * Strings point into argv and live as long as it does.
 */
#ifndef CORRAL_VMM_OPTIONS_H
#define CORRAL_VMM_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

struct options {
    const char *dir, *kernel, *initrd, *cmdline, *restore, *disk, *overlay;
    char *cgroup; /* directories with colons between them; strsep takes it apart */
    int64_t memory_mb, vcpus, disk_mb, disk_bps, disk_iops, uid, gid, share_after_s;
    bool paused, no_jail, no_cgroup, handover, console, detach, record, handed;
    bool help;  /* print the usage and do nothing else */
    bool extra; /* there are words after the options: print the usage and fail */
};

/* Fills in `o`, with defaults for what is not given. When `help` or `extra` is set, nothing else
 * has been checked. */
int options_parse(struct options *o, int argc, char **argv, struct error *err);
void options_usage(FILE *f);

#endif
