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
#define CTL_OVERLAY_NAME      "overlay" /* of the disk, where the VM had one */
#define CTL_BASE_NAME         "base"    /* the memory file that `memory` is a difference to */
#define CTL_DISK_NAME         "disk"    /* below the overlay; for who starts a VM, see --disk */
#define CTL_WORKSET_NAME      "workset" /* from the restore on */
#define CTL_WORKSET_CODE_NAME "workset-code" /* from CTL_PREFETCH on */
/* Bytes that either begins with; pairs of u32 page and u32 pages that a clone wrote follow. */
#define CTL_WORKSET_HEAD 80u

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
        0x0a,        /* -  prepares the pages that a first run of code needs      -> OK | ERROR */
    CTL_DIFF = 0x0b, /* -  as CTL_SNAPSHOT, but of the memory only what differs from the file that
                        the VM was restored from (below)                    -> SAVED | ERROR */
    CTL_FORK = 0x0c, /* -  as CTL_DIFF, into two memfds, for children that run at once (below). Once
                        it has SAVED the VM is paused, until CTL_RESUME
                                                                            -> SAVED | ERROR */

    /* Replies. */
    CTL_OK = 0x80,
    CTL_ERROR = 0x81,       /* u32 errno, str message */
    CTL_STATS_REPLY = 0x82, /* u64 each: vCPU exits to user space, disk bytes read, written, disk
                               requests, vsock bytes to the guest, to the host, memory given back,
                               serial bytes, vsock connections, microseconds of the last pause,
                               bytes that are shared again; then later additions */
    CTL_LOG_REPLY = 0x83,   /* raw */
    CTL_SAVED = 0x84,       /* u64 microseconds that the guest stood still for this request, u64
                               bytes of guest memory written, u32 1: it is a difference, 0: it is
                               complete; u64 length of the memory file; then later additions */

    /* Events. */
    CTL_HELLO = 0xc0,  /* u32 CTL_VERSION, u32 state (enum ctl_state) */
    CTL_EXITED = 0xc1, /* u32 reason (enum ctl_exit), str text */
};

/*
 * What a restore finds in its directory (--restore DIR): `state` and `memory`; `overlay`, where the
 * VM had one; perhaps working sets; and `base`, when SAVED said that `memory` is a difference.
 *
 * A VM that was restored has a base: the complete memory file below it, that of a template as a
 * rule. A difference is always one to a complete file: that of a VM restored from a difference is
 * again one to the same base. So `base` is
 *
 *   DIR/base     where the VM was itself restored from a directory DIR that has one
 *   DIR/memory   otherwise
 *
 * and whoever takes the snapshot makes it, as a hard link: then the base lives as long as anything
 * needs it, and a template may be built again meanwhile. A symbolic link will do as well. A copy
 * must keep its modification time. A VM that was booted has no base: it answers with 0, and
 * `memory` is complete.
 *
 * CTL_FORK takes two memfds of the caller's that allow seals. The caller then seals them against
 * writing, any change of size and further seals (fcntl(2), "File Sealing"): this VM
 * may have kept them. Each child starts with --handed and has the two as descriptors 3 and 4 in
 * place of `state` and `memory`; all else comes from the directory of --restore. Children share
 * what they do not write. A child's mappings keep what it needs of the memfds: nobody else has to
 * hold them once it has started. The memfds count in the control group of this VM, which needs as
 * much room for the time as the guest has memory; SAVED has what they really take. The disk is not
 * waited for: its overlay is good to be copied until RESUME, but is not on the disk. A VM that ran
 * is paused by the request itself, and only when the memfd has most of the pages that it needs;
 * after an ERROR it runs on. The memfd may be longer than SAVED says: the rest is room that was
 * not needed, and goes with ftruncate(2) before the seals.
 */
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
