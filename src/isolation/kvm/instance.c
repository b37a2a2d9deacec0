/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.c - the life of one microVM.
 *
 *         turn             prepared             VMM detached              HELLO             OK
 *     NEW ----> WAITING ----> PREPARING ----> LAUNCHING ----> CONNECTING ----> AGENT ----> RUNNING
 *      | adopt                    ^ snapshot refused |          ^   | HELLO, when adopted    ^  |
 *      |                          +------------------+          |   +------------------------+  |
 *      +------------------------> ADOPTING ---------------------+      EXITED, pidfd, or lost   |
 *                                                                           ENDED <-------------+
 *     any state, stop:   -> STOPPING -> ENDING -> freed
 *
 * state        waits for                                    bounded by
 * WAITING      a place among those that start               the starts before it
 * PREPARING    directory and control groups (pool)          -
 * LAUNCHING    corral-vmm to hand the process over           LAUNCH_TIMEOUT_MS
 * ADOPTING     the next turn of the loop
 * CONNECTING   HELLO on ctl.sock                            ctl.c
 * AGENT        the agent to listen                          BOOT_TIMEOUT_MS, RESTORE_TIMEOUT_MS
 * STOPPING     PREPARING or LAUNCHING to end                as there
 * ENDING       the process, the cleaner, the handles        ending.c
 *
 * Every failure before RUNNING goes to ENDED. A VM ends with two signs: its process dies, and its
 * control socket says why and closes. The server reports the end when it has both, or
 * EXIT_GRACE_MS after the first of them. A stop kills the process at once, without a STOP request:
 * nothing in a sandbox outlives it, so there is nothing that the VMM would have to save.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "isolation/kvm/clean.h"
#include "isolation/kvm/internal.h"

#define EXIT_GRACE_MS 300

/* In time order. */
static void kvm_instance_sign(struct kvm_instance *o);
static void kvm_instance_on_grace(uv_timer_t *timer);
static void kvm_instance_died(struct ending *e);
static char **kvm_instance_cleaner(const struct ending *e);
static void kvm_instance_close(struct ending *e);
static void kvm_instance_on_close(uv_handle_t *h);
static void kvm_instance_gone(struct ending *e);

static const struct ending_ops kvm_ending_ops = {
    .died = kvm_instance_died,
    .cleaner = kvm_instance_cleaner,
    .close = kvm_instance_close,
    .gone = kvm_instance_gone,
};

/* The last component of the directory is the id: it names the VM's files and control groups. */
static bool kvm_instance_spec_valid(const struct instance_spec *spec)
{
    const char *slash = strrchr(spec->dir, '/');
    return driver_id_valid(spec->id) && spec->dir[0] == '/' && strcmp(slash + 1, spec->id) == 0 &&
           strlen(spec->dir) + strlen("/" CTL_VSOCK_NAME) <
               sizeof(((struct sockaddr_un *)0)->sun_path);
}

struct instance *kvm_instance_create(struct isolation_driver *base,
                                     const struct instance_spec *spec,
                                     const struct instance_events *events, void *ctx)
{
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    struct kvm_instance *o = kvm_instance_spec_valid(spec) ? calloc(1, sizeof(*o)) : NULL;
    if (o == NULL)
        return NULL;
    if (kvm_launch_init(&o->launch, spec) < 0) {
        kvm_launch_done(&o->launch);
        free(o);
        return NULL;
    }
    o->handover_fd = -1;
    o->launch.vmm = d->vmm;
    o->launch.lock = !kvm_driver_adopts(d, o->launch.dir);
    o->launch.disk_bps = d->disk_bps;
    o->launch.disk_iops = d->disk_iops;
    o->launch.share_after_s = d->share_after_s;
    o->launch.cgroups = d->cgroups.n > 0 ? &d->cgroups : NULL;
    o->base = (struct instance){.driver = base, .events = events, .ctx = ctx};
    ending_init(&o->ending, &kvm_ending_ops, &o->base, o->launch.id, &d->cleanings);
    list_init(&o->waiting);
    (void)uv_timer_init(base->loop, &o->timer);
    o->timer.data = o;
    ending_ref(&o->ending);
    d->instances++;
    return &o->base;
}

void kvm_instance_fail(struct kvm_instance *o, const struct error *err)
{
    o->state = KVM_ENDED;
    kvm_driver_end_turn(kvm_instance_driver(o), o);
    o->base.events->started(o->base.ctx, -EIO, err);
}

void kvm_instance_on_exited(struct kvm_ctl *c, const struct kvm_ctl_msg *m)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    (void)kvm_ctl_msg_reason(m, o->reason, sizeof(o->reason));
    o->ctl_over = true;
    kvm_instance_sign(o);
}

void kvm_instance_on_lost(struct kvm_ctl *c, const struct error *err)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    o->lost = *err;
    o->ctl_over = true;
    kvm_instance_sign(o);
}

static void kvm_instance_died(struct ending *e)
{
    kvm_instance_sign(container_of(e, struct kvm_instance, ending));
}

static void kvm_instance_tell_end(struct kvm_instance *o)
{
    struct error err = {0};
    bool oom = o->launch.cgroups != NULL && cgroup_oom(o->launch.cgroups, o->launch.id);
    const char *reason = oom ? "out of memory" : o->reason;
    if (reason[0] == '\0')
        reason = o->ending.died ? "the VMM was killed" : o->lost.message;
    (void)uv_timer_stop(&o->timer);
    if (o->state == KVM_RUNNING) {
        o->state = KVM_ENDED;
        o->base.events->exited(o->base.ctx, reason);
        return;
    }
    (void)error_set(&err, ERROR_SANDBOX_FAILED, "%s", reason);
    kvm_instance_fail(o, &err);
}

/* The process has died, or its control socket has fallen silent. */
static void kvm_instance_sign(struct kvm_instance *o)
{
    if (o->state != KVM_CONNECTING && o->state != KVM_AGENT && o->state != KVM_RUNNING)
        return;
    if (o->ending.died && o->ctl_over)
        kvm_instance_tell_end(o);
    else if (!uv_is_active((uv_handle_t *)&o->timer)) /* counted from the first sign */
        (void)uv_timer_start(&o->timer, kvm_instance_on_grace, EXIT_GRACE_MS, 0);
}

/* The VMM may live without a control connection. Nothing can be done with it any more. */
static void kvm_instance_on_grace(uv_timer_t *timer)
{
    struct kvm_instance *o = timer->data;
    ending_kill(&o->ending);
    kvm_instance_tell_end(o);
}

void kvm_instance_stop(struct instance *instance)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    kvm_op_cancel(o);
    switch (o->state) {
    case KVM_PREPARING:
        o->state = KVM_STOPPING;
        break;
    case KVM_LAUNCHING:
        o->state = KVM_STOPPING;
        helper_cancel(&o->launcher);
        break;
    case KVM_NEW:
    case KVM_WAITING:
    case KVM_ADOPTING: /* its process is not watched yet; the cleaner finds and ends it */
    case KVM_CONNECTING:
    case KVM_AGENT:
    case KVM_RUNNING:
    case KVM_ENDED:
        (void)uv_timer_stop(&o->timer);
        kvm_instance_end(o);
        break;
    case KVM_STOPPING:
    case KVM_ENDING:
        break;
    }
}

void kvm_instance_put_away(struct instance *instance)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    o->keep = true;
    kvm_instance_stop(instance);
}

void kvm_instance_end(struct kvm_instance *o)
{
    o->state = KVM_ENDING;
    kvm_driver_end_turn(kvm_instance_driver(o), o);
    ending_begin(&o->ending);
}

static char **kvm_instance_cleaner(const struct ending *e)
{
    const struct kvm_instance *o = container_of(e, struct kvm_instance, ending);
    return kvm_clean_argv(o->launch.id, o->launch.dir, o->keep);
}

static void kvm_instance_close(struct ending *e)
{
    struct kvm_instance *o = container_of(e, struct kvm_instance, ending);
    (void)kvm_ctl_close(&o->ctl);
    (void)await_agent_close(&o->agent);
    uv_close((uv_handle_t *)&o->timer, kvm_instance_on_close);
}

static void kvm_instance_on_close(uv_handle_t *h)
{
    struct kvm_instance *o = h->data;
    ending_unref(&o->ending);
}

static void kvm_instance_gone(struct ending *e)
{
    struct kvm_instance *o = container_of(e, struct kvm_instance, ending);
    struct kvm_driver *d = kvm_instance_driver(o);
    d->instances--;
    kvm_driver_drop_uid(d, o->launch.uid);
    o->base.events->stopped(o->base.ctx);
    kvm_op_free(o);
    base_close_p(&o->handover_fd);
    kvm_launch_done(&o->launch);
    free(o);
}
