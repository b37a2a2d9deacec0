/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - serves the control protocol (vmm_ctl.h) on a listening unix socket. */
#ifndef CORRAL_VMM_CONTROL_H
#define CORRAL_VMM_CONTROL_H

#include "base/wire_codec.h"
#include "vm.h"

struct control;

struct control_client {
    struct control *control;
    struct loop_source socket; /* owned fd; -1: free */
    struct wire_reader reader;
    int fds[CTL_MAX_FDS]; /* owned; files that came with the frame being read */
    size_t fd_count;
};

struct control {
    struct vm *vm;
    struct loop_source listener; /* owned fd */
    struct control_client client[CTL_MAX_CLIENTS];
};

/* Takes ownership of `fd` on success. */
int control_init(struct control *c, struct vm *vm, int fd);
/* Greets a client that has connected. Takes ownership of `fd` on success; -EBUSY: there are
 * CTL_MAX_CLIENTS already. */
int control_add_client(struct control *c, int fd);
/* Tells every client that the VM has ended. */
void control_exited(struct control *c);

#endif
