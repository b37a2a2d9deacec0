/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_msg.h - what corral-vmm says on its control socket, as values. A VMM that its guest has taken
 * over may say anything: a frame that differs from vmm_ctl.h is refused, and text keeps printable
 * characters only.
 */
#ifndef CORRAL_ISOLATION_KVM_CTL_MSG_H
#define CORRAL_ISOLATION_KVM_CTL_MSG_H

#include "base/wire_codec.h"
#include "vmm_ctl.h"

#define KVM_CTL_TEXT 160 /* bytes kept of a text, with its NUL */

struct kvm_ctl_msg {
    enum ctl_type type;
    enum ctl_state state;           /* HELLO */
    enum ctl_exit exit;             /* EXITED */
    int error;                      /* ERROR: a negative errno */
    uint64_t disk_read, disk_write; /* STATS_REPLY: bytes */
    uint64_t pause_us, saved_bytes; /* SAVED; the first also STATS_REPLY: of the last pause */
    uint64_t saved_length;          /* SAVED: of the memory file; 0: as it is */
    bool difference;                /* SAVED: the snapshot needs its base */
    char text[KVM_CTL_TEXT];        /* ERROR, EXITED */
};

/* 0, or -EPROTO when the frame is not one that a VMM may send. */
int kvm_ctl_msg_decode(const struct wire_frame *f, struct kvm_ctl_msg *ret);

/* A sentence on why the VM ended, into `text` of `cap` bytes; returns it. */
const char *kvm_ctl_msg_reason(const struct kvm_ctl_msg *exited, char *text, size_t cap);

#endif
