/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - the machine while it lives: notifications and interrupts of its devices, run, pause,
 * resume, end. build.c has put it together.
 *
 * Who runs where. The loop's thread holds the VM's lock for the whole of each turn, except in
 * epoll_wait and while vm_pause waits; all devices run there. A vCPU thread takes the lock for one
 * access to a device (vm_io.c), and otherwise touches nothing but its own struct vcpu. So no device
 * needs a lock.
 *
 * From the guest: a write to a queue's notify register signals the slot's eventfd inside the
 * kernel, and the vCPU runs on (KVM_IOEVENTFD); the loop wakes and runs the queue. To the guest:
 * who gives the lock up writes the slot's other eventfd for a device that asked for it, and the
 * kernel raises an edge on its line (KVM_IRQFD). A state that is saved in between has the device's
 * interrupt status, from which virtio_resume makes the edge.
 * A device that asks for another turn while it runs on a vCPU thread wakes the loop through `wake`.
 *
 * The disk has a thread that does no more than transfers (disk_worker.h); it takes no part in the
 * lock.
 *
 * Pause: each vCPU gets a signal and parks; vm_pause waits for all of them, and for the disk. While
 * paused nothing may change guest memory: notifications are taken and ignored, and vm_resume looks
 * at every queue.
 *
 * End: vm_end may run on any thread. It only notes the reason and stops the vCPUs; the loop tells
 * the world at the end of its turn, once.
 */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "cpuid.h"
#include "filter.h"

#define VM_PAUSE_MS 10000u
#define VM_NOTIFY   0x50u /* offset of QueueNotify (virtio 1.2, 4.2.2) */
/* Of eventfds. Each write is an edge, also of one that was never read (epoll(7)): a read for every
 * notification would tell nothing new. */
#define VM_EVENTS (EPOLLIN | EPOLLET)

void vm_lock(struct vm *vm)
{
    (void)pthread_mutex_lock(&vm->lock);
}

void vm_unlock(struct vm *vm)
{
    uint64_t one = 1;
    uint32_t due = vm->irq_due;
    vm->irq_due = 0;
    (void)pthread_mutex_unlock(&vm->lock);
    for (size_t i = 0; due >> i != 0; i++) {
        if ((due >> i & 1) != 0)
            (void)!write(vm->slot[i].irq_fd, &one, sizeof(one));
    }
}

static void vm_enter(void *ctx)
{
    vm_lock(ctx);
}

static void vm_leave(void *ctx)
{
    vm_unlock(ctx);
}

/* The end of a turn: queues with work left over, traffic that there was, and the end of the VM. */
static bool vm_after(void *ctx)
{
    struct vm *vm = ctx;
    bool more = false;
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX && vm->state == CTL_STATE_RUNNING; i++) {
        if (vm->slot[i].dev->again == 0)
            continue;
        virtio_run_again(vm->slot[i].dev);
        more |= vm->slot[i].dev->again != 0;
    }
    reshare_turn(vm);
    if (vm->exit != CTL_EXIT_NONE && !vm->exit_told) {
        vm->exit_told = true;
        vm->state = CTL_STATE_EXITED;
        if (vm->exited != NULL)
            vm->exited(vm);
    }
    return more;
}

static void vm_kicked(struct loop_source *s, uint32_t events)
{
    struct vm_slot *slot = container_of(s, struct vm_slot, kick);
    (void)events;
    /* While paused nothing may change in guest memory; resuming looks at every queue. */
    if (slot->vm->state == CTL_STATE_RUNNING)
        virtio_kick_all(slot->dev);
}

static void vm_woken(struct loop_source *s, uint32_t events)
{
    (void)s;
    (void)events; /* the turn itself is what was asked for */
}

/* Requests that are done while the machine is paused wait for it, as notifications do. */
static void vm_disk_done(struct loop_source *s, uint32_t events)
{
    struct vm *vm = container_of(s, struct vm, disk_done);
    (void)events;
    if (vm->state == CTL_STATE_RUNNING)
        virtio_blk_resume(&vm->blk);
}

/* Making. */

static int vm_init_lock(struct vm *vm)
{
    pthread_condattr_t attr;
    int rv = pthread_mutex_init(&vm->lock, NULL);
    if (rv == 0)
        rv = pthread_condattr_init(&attr);
    if (rv != 0)
        return -rv;
    /* vm_pause waits against this clock: the date may be set while it does. */
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rv = pthread_cond_init(&vm->rest, &attr);
    (void)pthread_condattr_destroy(&attr);
    return -rv;
}

static int vm_init_loop(struct vm *vm)
{
    int rv = loop_init(&vm->loop);
    if (rv < 0)
        return rv;
    vm->loop.enter = vm_enter;
    vm->loop.leave = vm_leave;
    vm->loop.after = vm_after;
    vm->loop.ctx = vm;
    vm->wake = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                    .ready = vm_woken};
    if (vm->wake.fd < 0)
        return -errno;
    return loop_add(&vm->loop, &vm->wake, VM_EVENTS);
}

static void vm_init_empty(struct vm *vm)
{
    *vm = (struct vm){.mem.fd = -1, .kvm = {.fd = -1, .vm_fd = -1}, .wake.fd = -1, .loop.epfd = -1};
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm->slot[i].kick.fd = vm->slot[i].irq_fd = -1;
    for (size_t i = 0; i < LAYOUT_MAX_VCPUS; i++)
        vm->vcpu[i].fd = -1;
}

int vm_init(struct vm *vm)
{
    vm_init_empty(vm);
    vm->pause_ms = VM_PAUSE_MS;
    int rv = vm_init_lock(vm);
    return rv == 0 ? vm_init_loop(vm) : rv;
}

int vm_attach(struct vm *vm, unsigned int i, struct virtio_dev *dev)
{
    struct vm_slot *s = &vm->slot[i];
    s->vm = vm;
    s->dev = dev;
    s->mmio.dev = dev;
    s->kick = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                   .ready = vm_kicked};
    s->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->kick.fd < 0 || s->irq_fd < 0)
        return -errno;
    int rv = loop_add(&vm->loop, &s->kick, VM_EVENTS);
    if (rv == 0)
        rv = kvm_irqfd(&vm->kvm, s->irq_fd, LAYOUT_VIRTIO_GSI + i);
    if (rv == 0)
        rv = kvm_ioeventfd(&vm->kvm, s->kick.fd,
                           LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_STEP + VM_NOTIFY);
    return rv;
}

struct kvm_cpuid2 *vm_cpuid(const struct vm *vm, unsigned int i)
{
    struct kvm_cpuid2 *t = cpuid_new();
    if (t == NULL)
        return NULL;
    t->nent = vm->cpuid->nent;
    memcpy(t->entries, vm->cpuid->entries, t->nent * sizeof(t->entries[0]));
    cpuid_policy(t, i, vm->vcpus, vm->kvm.tsc_deadline);
    return t;
}

int vm_init_disk(struct vm *vm)
{
    int rv = disk_worker_init(&vm->disk_worker, vm->disk);
    if (rv < 0)
        return rv;
    vm->disk_done = (struct loop_source){.fd = vm->disk_worker.done_fd, .ready = vm_disk_done};
    return loop_add(&vm->loop, &vm->disk_done, VM_EVENTS);
}

static void vm_begin_disk_thread(void *ctx)
{
    const struct vm *vm = ctx;
    if (vm->seccomp && filter_install(FILTER_DISK) < 0)
        abort();
}

int vm_start_threads(struct vm *vm, struct error *err)
{
    int started = disk_worker_start(&vm->disk_worker, vm_begin_disk_thread, vm);
    if (started < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, started,
                               "the disk's thread cannot be made");
    for (unsigned int i = 0; i < vm->vcpus; i++) {
        int rv = vcpu_start(&vm->vcpu[i]);
        if (rv < 0)
            return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "a vCPU thread cannot be made");
    }
    return 0;
}

/* Life. */

int vm_resume(struct vm *vm)
{
    if (vm->state == CTL_STATE_RUNNING)
        return -EALREADY;
    if (vm->state == CTL_STATE_EXITED || vm->exit != CTL_EXIT_NONE)
        return -EINVAL;
    /* The guest's clock continues from where it stood: no timer of its fires early. */
    if (vm->state == CTL_STATE_PAUSED && vm->clock != 0)
        (void)kvm_set_clock(&vm->kvm, vm->clock);
    if (vm->state == CTL_STATE_PAUSED)
        vm->pause_ns = loop_now() - vm->paused_at;
    vm->state = CTL_STATE_RUNNING;
    /* Notifications that came while it was paused were ignored. */
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        virtio_resume(vm->slot[i].dev);
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_resume(&vm->vcpu[i]);
    return 0;
}

static bool vm_at_rest(const struct vm *vm)
{
    for (unsigned int i = 0; i < vm->vcpus; i++) {
        if (!vm->vcpu[i].parked)
            return false;
    }
    return true;
}

static struct timespec vm_deadline(uint64_t ms)
{
    struct timespec at;
    uint64_t ns = loop_now() + ms * 1000000u;
    at.tv_sec = (time_t)(ns / 1000000000u);
    at.tv_nsec = (long)(ns % 1000000000u);
    return at;
}

/* Gives the lock up while it waits: a vCPU may have to finish a device access first. */
static int vm_wait_for_rest(struct vm *vm, const struct timespec *until)
{
    while (!vm_at_rest(vm)) {
        if (pthread_cond_timedwait(&vm->rest, &vm->lock, until) == ETIMEDOUT)
            return -ETIMEDOUT;
    }
    return 0;
}

/* The pause has failed: the vCPUs that came to rest run on, and the machine is as it was. */
static void vm_pause_undo(struct vm *vm)
{
    if (vm->state != CTL_STATE_RUNNING || vm->exit != CTL_EXIT_NONE)
        return;
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_resume(&vm->vcpu[i]);
}

int vm_pause(struct vm *vm)
{
    return vm_pause_within(vm, vm->pause_ms);
}

int vm_pause_within(struct vm *vm, uint32_t ms)
{
    if (vm->state == CTL_STATE_EXITED)
        return -EINVAL;
    uint64_t now = loop_now();
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_kick(&vm->vcpu[i]);
    struct timespec until = vm_deadline(ms);
    int rv = vm_wait_for_rest(vm, &until);
    /* The disk comes to rest as well: a request that is under way writes to guest memory. */
    if (rv == 0 && vm->state == CTL_STATE_RUNNING)
        rv = disk_worker_wait(&vm->disk_worker, &until);
    if (rv < 0) {
        vm_pause_undo(vm);
        return rv;
    }
    if (vm->state == CTL_STATE_RUNNING) {
        virtio_blk_settle(&vm->blk);
        vm->state = CTL_STATE_PAUSED;
        vm->paused_at = now;
        if (kvm_get_clock(&vm->kvm, &vm->clock) < 0)
            vm->clock = 0;
    }
    return 0;
}

void vm_prefetch(struct vm *vm, struct workset *w)
{
    uint64_t gpa, len;
    (void)workset_copy(w, &vm->mem);
    /* After the copies: each copy would take its page out of these tables again. */
    for (size_t i = 0; workset_dense(w, &vm->mem, i, &gpa, &len); i++)
        vcpu_prefault(&vm->vcpu[0], gpa, len);
    workset_done(w);
}

void vm_end(struct vm *vm, enum ctl_exit exit, const char *text)
{
    uint64_t one = 1;
    if (vm->exit != CTL_EXIT_NONE)
        return;
    vm->exit = exit;
    (void)snprintf(vm->exit_text, sizeof(vm->exit_text), "%s", text);
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_kick(&vm->vcpu[i]);
    (void)!write(vm->wake.fd, &one, sizeof(one));
}
