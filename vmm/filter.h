/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - what each kind of thread may ask of the kernel; anything else ends the process. */
#ifndef CORRAL_VMM_FILTER_H
#define CORRAL_VMM_FILTER_H

enum filter_kind {
    FILTER_BUILD, /* reads kernel, snapshot and overlay, and makes the machine and its threads */
    FILTER_LOOP,  /* devices, control socket, snapshots */
    FILTER_DISK,  /* reads and writes the disk */
    FILTER_VCPU,  /* runs guest code */
};

/* Installs the filter of this kind on the calling thread, for good. 0 or a negative errno. */
int filter_install(enum filter_kind kind);

#endif
