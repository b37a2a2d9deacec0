/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - from NEW to RUNNING: the upper half of the picture in instance.c, which also says what
 * bounds each state. Every failure here goes to kvm_instance_fail. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "isolation/kvm/internal.h"
#include "isolation/proc.h"
#include "isolation/reaper.h"

/* Far more than a real machine needs: an emulated one is 25 times slower. */
#define LAUNCH_TIMEOUT_MS  60000
#define BOOT_TIMEOUT_MS    180000
#define RESTORE_TIMEOUT_MS 60000
#define RESUME_TIMEOUT_MS  10000

/* In time order. */
static void start_work(uv_work_t *work);
static void start_on_prepared(uv_work_t *work, int status);
static void start_on_launched(struct helper *run);
static void start_on_adopt(uv_timer_t *timer);
static void start_watch(struct kvm_instance *o, int pidfd);
static void start_on_hello(struct kvm_ctl *c, enum ctl_state state);
static void start_on_agent(struct await_agent *a, int status);
static void start_on_ctl_closed(struct kvm_ctl *c);
static void start_on_agent_closed(struct await_agent *a);

static const struct kvm_ctl_events start_ctl_events = {
    .hello = start_on_hello,
    .exited = kvm_instance_on_exited,
    .lost = kvm_instance_on_lost,
    .closed = start_on_ctl_closed,
};

int kvm_instance_start(struct instance *instance)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    struct kvm_driver *d = kvm_instance_driver(o);
    assert(o->state == KVM_NEW);
    /* A cleaner of the one before would end this one as well. */
    if (o->launch.stored && reaper_owes(d->base.reaper, o->launch.id))
        return -EBUSY;
    o->launch.uid = kvm_driver_take_uid(d);
    if (d->uids && o->launch.uid == 0)
        return -EAGAIN;
    o->state = KVM_WAITING;
    kvm_driver_wait_turn(d, o);
    return 0;
}

void kvm_instance_prepare(struct kvm_instance *o)
{
    o->state = KVM_PREPARING;
    o->work.data = o;
    ending_ref(&o->ending);
    (void)uv_queue_work(o->base.driver->loop, &o->work, start_work, start_on_prepared);
}

static void start_work(uv_work_t *work)
{
    struct kvm_instance *o = work->data;
    o->err = (struct error){0};
    (void)kvm_launch_prepare(&o->launch, &o->err);
}

static void start_launch(struct kvm_instance *o)
{
    struct error err = {0};
    int pair[2];
    base_close_p(&o->handover_fd); /* of a start before, which was refused */
    o->handover_fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, -errno, "a socket for corral-vmm");
        kvm_instance_fail(o, &err);
        return;
    }
    const struct instance_memory *m = o->launch.memory;
    const struct helper_files files = {.in_fd = pair[1],
                                       .fds = m != NULL ? m->fds : NULL,
                                       .n_fds = m != NULL ? INSTANCE_MEMORY_FDS : 0};
    o->handover_fd = pair[0];
    o->state = KVM_LAUNCHING;
    helper_start_with_files(&o->launcher, &kvm_instance_driver(o)->launches,
                            TAKE_PTR(o->launch.argv), &files, LAUNCH_TIMEOUT_MS, start_on_launched);
}

static void start_on_prepared(uv_work_t *work, int status)
{
    struct kvm_instance *o = work->data;
    ending_unref(&o->ending);
    if (o->state == KVM_STOPPING) {
        kvm_instance_end(o);
    } else if (status < 0 || o->err.code != ERROR_NONE) {
        kvm_instance_fail(o, &o->err);
    } else {
        start_launch(o);
    }
}

/*
 * The pidfd that corral-vmm has sent, or -1. It is the strongest of the proofs that there are, and
 * the only one that is the same for root and for an ordinary user. The process that sends it is the
 * parent of the VM's, has not waited for it, and has never run a guest; the VM's process does not
 * have the socket. A number in a text could be another process's by now, or a lie. Control groups
 * are root's only. The parent leaves, so that nobody can be asked whose child the VM's process is.
 */
static int start_receive_pidfd(int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } ctl;
    char byte;
    int pidfd = -1;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl.space)};
    if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
        return -1;
    const struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
    if (m == NULL || m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS ||
        m->cmsg_len != CMSG_LEN(sizeof(pidfd)))
        return -1;
    memcpy(&pidfd, CMSG_DATA(m), sizeof(pidfd));
    /* Another kind of file cannot be killed, or watched. -ESRCH is fine: its end will be noticed.
     */
    if (proc_pid(pidfd) == -EBADF) {
        (void)close(pidfd);
        return -1;
    }
    return pidfd;
}

/* A pidfd of the VM's process, or a negative errno with `err`. */
static int start_result(const struct helper *run, int handover_fd, struct error *err)
{
    const char *text = run->text;
    switch (run->end) {
    case HELPER_EXITED: {
        int pidfd = run->status == 0 ? start_receive_pidfd(handover_fd) : -1;
        if (pidfd >= 0)
            return pidfd;
        if (strncmp(text, "error ", 6) == 0)
            return error_set(err, ERROR_SANDBOX_FAILED, "%.*s", (int)strcspn(text + 6, "\n"),
                             text + 6);
        return error_set(err, ERROR_SANDBOX_FAILED, "corral-vmm ended with status %d", run->status);
    }
    case HELPER_TIMED_OUT:
        return error_set(err, ERROR_SANDBOX_FAILED, "corral-vmm was not ready within %d s",
                         LAUNCH_TIMEOUT_MS / 1000);
    case HELPER_CANCELLED:
    case HELPER_FAILED:
        break;
    }
    (void)error_set_errno(err, ERROR_SANDBOX_FAILED, run->status, "corral-vmm");
    return -EIO; /* the status of one that was cancelled is 0 */
}

static void start_on_launched(struct helper *run)
{
    struct kvm_instance *o = container_of(run, struct kvm_instance, launcher);
    struct error err = {0};
    char quoted[300];
    int pidfd = start_result(run, o->handover_fd, &err);
    base_close_p(&o->handover_fd);
    o->handover_fd = -1;
    instance_memory_put(&o->launch.memory); /* the VM has it, or there is none */
    if (o->state == KVM_STOPPING) {
        if (pidfd >= 0)
            (void)ending_watch(&o->ending, pidfd); /* to be killed as any other */
        kvm_instance_end(o);
        return;
    }
    /* corral-vmm looks at the snapshot before it leaves, so that an unfit one (made on another CPU,
     * damaged) costs one more launch and not the sandbox. One that the caller has named is not
     * replaced by a boot. */
    if (pidfd < 0 && o->launch.restored && !kvm_launch_must_restore(&o->launch) &&
        run->end == HELPER_EXITED) {
        log_warn("the snapshot cannot be used, booting", "sandbox=%s reason=%s", o->launch.id,
                 log_quote(quoted, sizeof(quoted), err.message));
        o->launch.cold = true;
        kvm_instance_prepare(o);
        if (o->base.driver->refused != NULL)
            o->base.driver->refused(o->base.driver->refused_ctx, o->launch.template_dir);
        return;
    }
    if (pidfd < 0) {
        if (kvm_launch_must_restore(&o->launch) && run->end == HELPER_EXITED)
            err.code = ERROR_SNAPSHOT_UNUSABLE;
        kvm_instance_fail(o, &err);
        return;
    }
    /* The number is for a later server, which compares the start time with it. */
    o->base.handle.pid = proc_pid(pidfd);
    if (o->base.handle.pid > 0)
        (void)proc_start_time(o->base.handle.pid, &o->base.handle.start_time);
    start_watch(o, pidfd);
}

int kvm_instance_adopt(struct instance *instance, const struct instance_handle *handle)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    assert(o->state == KVM_NEW);
    o->base.handle = *handle;
    o->adopted = true;
    o->state = KVM_ADOPTING;
    return uv_timer_start(&o->timer, start_on_adopt, 0, 0);
}

static void start_on_adopt(uv_timer_t *timer)
{
    struct kvm_instance *o = timer->data;
    struct stat st;
    /* Only the group of the directory tells which id the VM has (launch_directory). */
    if (stat(o->launch.dir, &st) == 0 && kvm_instance_driver(o)->uids) {
        o->launch.uid = st.st_gid;
        kvm_driver_keep_uid(kvm_instance_driver(o), st.st_gid);
    }
    start_watch(o, proc_open_same(o->base.handle.pid, o->base.handle.start_time));
}

/* Watches the process and connects to it. */
static void start_watch(struct kvm_instance *o, int pidfd)
{
    struct error err = {0};
    uv_loop_t *loop = o->base.driver->loop;
    int rv = ending_watch(&o->ending, pidfd);
    if (rv == 0)
        rv = kvm_ctl_open(&o->ctl, loop, o->launch.dir, &start_ctl_events);
    if (rv < 0) {
        if (rv == -ESRCH)
            (void)error_set(&err, ERROR_SANDBOX_FAILED, "the VM ended while no server watched it");
        else
            (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, rv, "the VMM's process");
        kvm_instance_fail(o, &err);
        return;
    }
    ending_ref(&o->ending);
    o->state = KVM_CONNECTING;
}

/* The disk is asked at once, so that the first question about usage has an answer. */
static void start_run(struct kvm_instance *o)
{
    o->state = KVM_RUNNING;
    o->base.warm = o->launch.restored;
    kvm_driver_end_turn(kvm_instance_driver(o), o);
    kvm_instance_ask_disk(o);
    o->base.events->started(o->base.ctx, 0, NULL);
}

static void start_on_resumed(struct kvm_ctl *c, const struct kvm_ctl_msg *m,
                             const struct error *err)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    char quoted[300];
    if (m == NULL && !c->lost)
        log_warn("microVM not resumed", "sandbox=%s error=%s", o->launch.id,
                 log_quote(quoted, sizeof(quoted), err->message));
}

static void start_on_hello(struct kvm_ctl *c, enum ctl_state state)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    if (o->state != KVM_CONNECTING || state == CTL_STATE_EXITED)
        return;
    if (o->adopted) {
        /* The earlier server may have died between pause and resume. */
        if (state == CTL_STATE_PAUSED)
            (void)kvm_ctl_request(c, CTL_RESUME, NULL, 0, RESUME_TIMEOUT_MS, start_on_resumed);
        start_run(o);
        kvm_instance_forget_stored(&o->base);
        return;
    }
    /* The VM runs. A sandbox is of use only when its agent listens, which takes a boot or, after a
     * restore, a moment. */
    o->state = KVM_AGENT;
    o->agent.done = start_on_agent;
    o->agent.closed = start_on_agent_closed;
    ending_ref(&o->ending);
    await_agent_start(&o->agent, o->base.driver->loop, o->launch.dir,
                      o->launch.restored ? RESTORE_TIMEOUT_MS : BOOT_TIMEOUT_MS);
}

static void start_on_agent(struct await_agent *a, int status)
{
    struct kvm_instance *o = container_of(a, struct kvm_instance, agent);
    struct error err = {0};
    if (o->state != KVM_AGENT)
        return;
    if (status == 0) {
        start_run(o);
        return;
    }
    (void)error_set(&err, ERROR_SANDBOX_FAILED, "the guest's agent does not listen");
    kvm_instance_fail(o, &err);
}

int kvm_instance_take_agent(struct instance *instance)
{
    return await_agent_take(&container_of(instance, struct kvm_instance, base)->agent);
}

static void start_on_ctl_closed(struct kvm_ctl *c)
{
    ending_unref(&container_of(c, struct kvm_instance, ctl)->ending);
}

static void start_on_agent_closed(struct await_agent *a)
{
    ending_unref(&container_of(a, struct kvm_instance, agent)->ending);
}
