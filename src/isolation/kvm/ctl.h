/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - the client of a VMM's control socket (vmm_ctl.h).
 *
 *   kvm_ctl_open -> hello -> requests ... -> exited? -> lost -> kvm_ctl_close -> closed
 *
 * Requests that are open when the connection is lost are answered with the reason, and then `lost`
 * is called. Only `closed` comes after it. All callbacks come from the loop, never from inside a
 * call.
 */
#ifndef CORRAL_ISOLATION_KVM_CTL_H
#define CORRAL_ISOLATION_KVM_CTL_H

#include <uv.h>

#include "base/error.h"
#include "isolation/kvm/ctl_msg.h"

#define KVM_CTL_PENDING 4

struct kvm_ctl;

struct kvm_ctl_events {
    void (*hello)(struct kvm_ctl *c, enum ctl_state state);
    void (*exited)(struct kvm_ctl *c, const struct kvm_ctl_msg *m);
    /* The connection has ended, could not be made, or the VMM broke the protocol. */
    void (*lost)(struct kvm_ctl *c, const struct error *err);
    void (*closed)(struct kvm_ctl *c);
};

/* `m` is the reply, or NULL with `err` filled. */
typedef void (*kvm_ctl_reply)(struct kvm_ctl *c, const struct kvm_ctl_msg *m,
                              const struct error *err);

struct kvm_ctl {
    const struct kvm_ctl_events *events;
    uv_poll_t poll;
    uv_timer_t timer; /* for the greeting, or for the reply to the oldest request */
    int fd;
    bool open; /* the handles exist */
    bool polling;
    bool greeted;
    bool exited; /* it has said so, once and for all */
    bool lost;
    int failed; /* to connect: a negative errno, told from the timer */
    unsigned int closing;
    struct wire_reader reader;
    struct {
        enum ctl_type type;
        unsigned int timeout_ms;
        kvm_ctl_reply reply;
    } pending[KVM_CTL_PENDING];
    unsigned int n_pending;
};

/* Connects to ctl.sock in `dir`. 0, and `hello` or `lost` follows; or a negative errno, and it is
 * as if this had not been called. A zeroed client may be closed. */
int kvm_ctl_open(struct kvm_ctl *c, uv_loop_t *loop, const char *dir,
                 const struct kvm_ctl_events *events);

/* Sends a request without fields, with up to CTL_MAX_FDS files, which stay the caller's. The time
 * of the oldest request that has a time-out counts; a `timeout_ms` of 0 is none: the reply may come
 * as late as it likes. -EBUSY when too many are open, -ENOTCONN before the greeting and after the
 * loss. */
int kvm_ctl_request(struct kvm_ctl *c, enum ctl_type type, const int *fds, unsigned int n_fds,
                    unsigned int timeout_ms, kvm_ctl_reply reply);

/* False when it was never opened or is closing: `closed` will not come. Replies are dropped. */
bool kvm_ctl_close(struct kvm_ctl *c);

#endif
