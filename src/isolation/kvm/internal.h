/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - shared by the files of the kvm driver only. */
#ifndef CORRAL_ISOLATION_KVM_INTERNAL_H
#define CORRAL_ISOLATION_KVM_INTERNAL_H

#include "base/list.h"
#include "isolation/cgroup.h"
#include "isolation/driver.h"
#include "isolation/ending.h"
#include "isolation/helper.h"
#include "isolation/kvm/await_agent.h"
#include "isolation/kvm/ctl.h"
#include "isolation/kvm/launch.h"
#include "isolation/uids.h"

#define KVM_EGRESS "vsock.sock_1025" /* FLOW_PORT of flow.h */

struct kvm_driver {
    struct isolation_driver base;
    char *state_dir;
    char *vmm;
    struct cgroups cgroups; /* none: an ordinary user's server, or a machine without them */
    bool uids;              /* VMs get ids of their own */
    unsigned int disk_bps, disk_iops; /* of each VM; 0: no limit */
    unsigned int share_after_s;       /* likewise; 0: never */
    struct uids uid_pool;
    struct helper_runner launches, cleanings;
    struct list waiting;   /* struct kvm_instance, for a place to start in */
    unsigned int starting; /* from the first step to the agent's first answer */
    unsigned int starting_max;
    unsigned int instances;
    unsigned int forks; /* under way */
    uint64_t fork_room; /* bytes that they may take */
};

enum kvm_state {
    KVM_NEW,
    KVM_WAITING,
    KVM_PREPARING,
    KVM_LAUNCHING,
    KVM_ADOPTING,
    KVM_CONNECTING,
    KVM_AGENT,
    KVM_RUNNING,
    KVM_ENDED, /* by itself, or it never ran */
    KVM_STOPPING,
    KVM_ENDING,
};

/* One operation of driver.h: pause, resume, snapshot, fork, workset. */
struct kvm_op {
    const struct kvm_op_step *step; /* NULL: none is under way */
    instance_done done;             /* NULL: it was cancelled */
    uv_work_t work;
    char *path;                     /* owned: the snapshot's directory, or the file; NULL */
    bool made;                      /* and it is there */
    int fds[CTL_MAX_FDS + 1];       /* owned: those of requests, then the overlay's copy; -1 */
    bool paused;                    /* and has to be resumed */
    bool store;                     /* no snapshot without all that a start needs */
    bool difference;                /* the snapshot needs its base */
    uint64_t bytes, pause_us;       /* of memory that was written, of a standstill: the VMM says */
    uint64_t length;                /* of the memory file, which may have more; 0: it has not */
    struct instance_memory *memory; /* a reference of its own; of a fork */
    uint64_t room;                  /* a share of the driver's fork_room */
    int status;
    struct error err;
};

struct kvm_instance {
    struct instance base;
    enum kvm_state state;
    struct kvm_launch launch;
    uv_work_t work;      /* preparing */
    struct error err;    /* of that */
    struct list waiting; /* for a place to start in */
    bool starting;       /* has one */
    bool adopted;
    bool keep;       /* its end leaves the snapshot that it was put away into */
    bool forgetting; /* the snapshot, on the pool */
    uv_work_t forget;
    struct helper launcher;
    int handover_fd;      /* owned; corral-vmm sends a pidfd of the VM's process here; -1: none */
    struct ending ending; /* counts all handles and pool work of the instance */
    uv_timer_t timer;     /* adopting; waiting for the other sign of the end */
    struct kvm_ctl ctl;
    struct await_agent agent;
    bool ctl_over;                  /* nothing more comes from its control socket */
    char reason[KVM_CTL_TEXT + 64]; /* why it ended; "" when it did not say */
    struct error lost;              /* why the socket is of no use any more */
    struct kvm_op op;
    uint64_t disk_read, disk_write; /* as last told */
    uint64_t disk_asked;            /* uv_now of the last question; 0: never */
    bool disk_asking;               /* which is not answered yet */
};

static inline struct kvm_driver *kvm_instance_driver(const struct kvm_instance *o)
{
    return container_of(o->base.driver, struct kvm_driver, base);
}

/* start.c */
int kvm_instance_start(struct instance *instance);
int kvm_instance_adopt(struct instance *instance, const struct instance_handle *handle);
int kvm_instance_take_agent(struct instance *instance);
/* Its turn to start has come. */
void kvm_instance_prepare(struct kvm_instance *o);

/* instance.c */
struct instance *kvm_instance_create(struct isolation_driver *d, const struct instance_spec *spec,
                                     const struct instance_events *events, void *ctx);
void kvm_instance_stop(struct instance *instance);
void kvm_instance_put_away(struct instance *instance);
/* It does not run, and `started` says why. */
void kvm_instance_fail(struct kvm_instance *o, const struct error *err);
/* Nothing but its process is at work for it: the rest is done by ending.c. */
void kvm_instance_end(struct kvm_instance *o);
/* Its control socket has something to say. */
void kvm_instance_on_exited(struct kvm_ctl *c, const struct kvm_ctl_msg *m);
void kvm_instance_on_lost(struct kvm_ctl *c, const struct error *err);

/* ops.c */
int kvm_op_pause(struct instance *instance, instance_done done);
int kvm_op_resume(struct instance *instance, instance_done done);
int kvm_op_snapshot(struct instance *instance, const char *dir, instance_done done);
int kvm_op_fork(struct instance *instance, const char *dir, struct instance_memory *memory,
                instance_done done);
int kvm_op_store(struct instance *instance, instance_done done);
int kvm_op_workset(struct instance *instance, const char *path, instance_done done);
void kvm_op_expect_code(struct instance *instance);
/* The instance is being stopped: `done` does not come any more. */
void kvm_op_cancel(struct kvm_instance *o);
void kvm_op_free(struct kvm_instance *o);

/* fork.c */
/* Whether there is room for a fork; 0 and a share of it, until kvm_fork_over, or -EAGAIN, -EDQUOT.
 */
int kvm_fork_admit(struct kvm_instance *o, uint64_t *ret_room);
/* Gives up share and reference of the operation. */
void kvm_fork_over(struct kvm_instance *o);
/* On the pool: the memfds, and room for them in the control group; then their seals, and they
 * become the operation's memory. After a failure the second one only takes the room back. 0, or a
 * negative errno with the operation's error. */
int kvm_fork_open(struct kvm_instance *o);
int kvm_fork_take(struct kvm_instance *o);

/* stored.c */
/* On the pool: room for a new snapshot, whose path comes back. 0 or a negative errno. */
int kvm_stored_begin(const struct kvm_instance *o);
/* Puts the new snapshot in the place of the stored one, for good, and counts its bytes. Of
 * its files those that were written here are on the disk already. */
int kvm_stored_place(struct kvm_instance *o);
void kvm_instance_forget_stored(struct instance *instance);
/* On the pool: see isolation_snapshot_stored. */
int kvm_stored_snapshot(const char *dir, const char *to, struct error *err);

/* stats.c */
/* Asks the VMM for the disk's counters; the next kvm_instance_stats has them. */
void kvm_instance_ask_disk(struct kvm_instance *o);
int kvm_instance_stats(struct instance *instance, struct instance_stats *ret);
int kvm_instance_oom_kills(struct instance *instance, uint64_t *ret);

/* driver.c */
void kvm_driver_wait_turn(struct kvm_driver *d, struct kvm_instance *o);
void kvm_driver_end_turn(struct kvm_driver *d, struct kvm_instance *o);
/* Whether a later server may adopt an instance in `dir`. One of a template build ends with the
 * build. */
bool kvm_driver_adopts(const struct kvm_driver *d, const char *dir);
/* 0 when all are taken, or when the driver uses none. */
uint32_t kvm_driver_take_uid(struct kvm_driver *d);
void kvm_driver_keep_uid(struct kvm_driver *d, uint32_t uid);
void kvm_driver_drop_uid(struct kvm_driver *d, uint32_t uid);

#endif
