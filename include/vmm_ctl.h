/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_ctl.h - the control protocol of corral-vmm(8): binary frames on the unix socket `ctl.sock` in
 * the sandbox's directory.
 *
 * Framing and field types are those of wire.h: u32 payload length, u16 type, u16 zero, payload,
 * little-endian. A request is answered by exactly one reply, in order. A client that connects first
 * receives one HELLO event; EXITED is sent to every client and ends the connection.
 */
#ifndef CORRAL_VMM_CTL_H
#define CORRAL_VMM_CTL_H

#include <stdint.h>

#define CTL_VERSION     1u
#define CTL_MAX_PAYLOAD 65536u
#define CTL_MAX_CLIENTS 4u
#define CTL_MAX_FDS     2u

/* Files of a sandbox's directory and of a snapshot's. */
#define CTL_SOCKET_NAME       "ctl.sock"
#define CTL_VSOCK_NAME        "vsock.sock"
#define CTL_STATE_NAME        "state"
#define CTL_MEMORY_NAME       "memory"
#define CTL_OVERLAY_NAME      "overlay"      /* of the disk, where the VM had one */
#define CTL_WORKSET_NAME      "workset"      /* from the restore on */
#define CTL_WORKSET_CODE_NAME "workset-code" /* from CTL_PREFETCH on */

enum ctl_type {
    /* Requests. */
    CTL_START = 0x01,    /* -  runs the guest; -EALREADY once it has run            -> OK | ERROR */
    CTL_PAUSE = 0x02,    /* -  answers when no vCPU runs any more                   -> OK | ERROR */
    CTL_RESUME = 0x03,   /* -                                                       -> OK | ERROR */
    CTL_SNAPSHOT = 0x04, /* -  with two writable, empty, regular files attached (SCM_RIGHTS): state,
                            memory. Pauses for the time it takes. The disk is flushed; to copy its
                            overlay, pause before and resume after.     -> OK | ERROR */
    CTL_STOP = 0x05,     /* -  ends the VM                                 -> OK, then EXITED */
    CTL_STATS = 0x06,    /* -                                                     -> STATS_REPLY */
    CTL_LOG = 0x07,      /* -  the serial port's last output                       -> LOG_REPLY */
    CTL_BALLOON =
        0x08, /* u64 bytes that the guest is to give up                       -> OK | ERROR */
    CTL_WORKSET = 0x09, /* -  with one writable file attached: writes the list of guest pages
                           touched so far, for one of the CTL_WORKSET names        -> OK | ERROR */
    CTL_PREFETCH =
        0x0a, /* -  prepares the pages that a first run of code needs      -> OK | ERROR */

    /* Replies. */
    CTL_OK = 0x80,
    CTL_ERROR = 0x81,       /* u32 errno, str message */
    CTL_STATS_REPLY = 0x82, /* u64 each: vCPU exits to user space, disk bytes read, written, disk
                               requests, vsock bytes to the guest, to the host, memory given back,
                               serial bytes, vsock connections; then later additions */
    CTL_LOG_REPLY = 0x83,   /* raw */

    /* Events. */
    CTL_HELLO = 0xc0,  /* u32 CTL_VERSION, u32 state (enum ctl_state) */
    CTL_EXITED = 0xc1, /* u32 reason (enum ctl_exit), str text */
};

enum ctl_state {
    CTL_STATE_READY = 0, /* built or restored, has not run */
    CTL_STATE_RUNNING = 1,
    CTL_STATE_PAUSED = 2,
    CTL_STATE_EXITED = 3,
};

/* Also the exit status of the process, plus CTL_EXIT_STATUS. */
enum ctl_exit {
    CTL_EXIT_NONE = 0,
    CTL_EXIT_STOPPED = 1,  /* asked to */
    CTL_EXIT_POWEROFF = 2, /* by the guest */
    CTL_EXIT_RESET = 3,    /* by the guest: a reboot */
    CTL_EXIT_PANIC = 4,    /* of the guest's kernel; the text is its message */
    CTL_EXIT_ERROR = 5,    /* the kernel could not run the guest */
};
#define CTL_EXIT_STATUS 16

#endif
