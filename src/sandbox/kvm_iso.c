/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_iso.c - the life of one microVM.
 *
 *         turn             prepared             VMM detached              HELLO             OK
 *     NEW ----> WAITING ----> PREPARING ----> LAUNCHING ----> CONNECTING ----> AGENT ----> RUNNING
 *      | adopt                    ^ snapshot refused |          ^   | HELLO, when adopted    ^  |
 *      |                          +------------------+          |   +------------------------+  |
 *      +------------------------> ADOPTING ---------------------+      EXITED, pidfd, or lost   |
 *                                                                           ENDED <-------------+
 *     any state, stop:   -> STOPPING -> KILLING -> CLEANING -> CLOSING -> freed
 *
 * state        waits for                                    bounded by
 * WAITING      a place among those that start               the starts before it
 * PREPARING    directory and control groups (pool)          -
 * LAUNCHING    corral-vmm to print the pid and leave        LAUNCH_TIMEOUT_MS
 * ADOPTING     the next turn of the loop
 * CONNECTING   HELLO on ctl.sock                            kvm_ctl.c
 * AGENT        the agent to listen                          BOOT_TIMEOUT_MS, RESTORE_TIMEOUT_MS
 * STOPPING     PREPARING or LAUNCHING to end                as there
 * KILLING      the process to end                           KILL_TIMEOUT_MS
 * CLEANING     the cleaner, a helper process                CLEAN_TIMEOUT_MS per try
 *
 * Every failure before RUNNING goes to ENDED. A VM is told as ended when both its process is dead
 * and its control socket has said all it had to say; EXIT_GRACE_MS after the first of the two the
 * other is not waited for any more. Nothing in a sandbox outlives it, so a stop kills the process
 * at once: there is nothing a STOP request could do better.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "kvm_clean.h"
#include "kvm_internal.h"
#include "log.h"
#include "proc.h"

#define LAUNCH_TIMEOUT_MS  60000
#define BOOT_TIMEOUT_MS    180000
#define RESTORE_TIMEOUT_MS 60000
#define EXIT_GRACE_MS      300
#define KILL_TIMEOUT_MS    10000
#define RESUME_TIMEOUT_MS  10000
#define CLEAN_TIMEOUT_MS   60000
#define CLEAN_TRIES        3

/* In time order. */
static void iso_work(uv_work_t *work);
static void iso_on_prepared(uv_work_t *work, int status);
static void iso_on_launched(struct helper *run);
static void iso_on_adopt(uv_timer_t *timer);
static void iso_watch(struct kvm_iso *o, int pidfd);
static void iso_on_hello(struct kvm_ctl *c, enum ctl_state state);
static void iso_on_agent(struct kvm_agent *a, int status);
static void iso_on_exited(struct kvm_ctl *c, const struct kvm_ctl_msg *m);
static void iso_on_lost(struct kvm_ctl *c, const struct error *err);
static void iso_on_dead(uv_poll_t *poll, int status, int events);
static void iso_ending(struct kvm_iso *o);
static void iso_on_grace(uv_timer_t *timer);
static void iso_on_kill_timeout(uv_timer_t *timer);
static void iso_clean(struct kvm_iso *o);
static void iso_on_cleaned(struct helper *run);
static void iso_on_close(uv_handle_t *h);
static void iso_on_ctl_closed(struct kvm_ctl *c);
static void iso_on_agent_closed(struct kvm_agent *a);

static const struct kvm_ctl_events iso_ctl_events = {
    .hello = iso_on_hello,
    .exited = iso_on_exited,
    .lost = iso_on_lost,
    .closed = iso_on_ctl_closed,
};

/* The last component of the directory is the id: it names the VM's files and control groups. */
static bool spec_valid(const struct iso_spec *spec)
{
    const char *slash = strrchr(spec->dir, '/');
    return driver_id_valid(spec->id) && spec->dir[0] == '/' && strcmp(slash + 1, spec->id) == 0 &&
           strlen(spec->dir) + strlen("/" CTL_VSOCK_NAME) <
               sizeof(((struct sockaddr_un *)0)->sun_path);
}

struct iso *kvm_iso_create(struct isolation_driver *base, const struct iso_spec *spec,
                           const struct iso_events *events, void *ctx)
{
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    struct kvm_iso *o = calloc(1, sizeof(*o));
    if (o == NULL || !spec_valid(spec) || kvm_launch_init(&o->launch, spec) < 0) {
        if (o != NULL)
            kvm_launch_done(&o->launch);
        free(o);
        return NULL;
    }
    o->launch.vmm = d->vmm;
    o->launch.cgroups = d->cgroups.n > 0 ? &d->cgroups : NULL;
    o->iso = (struct iso){.driver = base, .events = events, .ctx = ctx};
    o->pidfd = -1;
    o->agent.done = iso_on_agent;
    o->agent.closed = iso_on_agent_closed;
    list_init(&o->waiting);
    (void)uv_timer_init(base->loop, &o->timer);
    o->timer.data = o;
    o->open = 1;
    d->instances++;
    return &o->iso;
}

static void iso_fail(struct kvm_iso *o, const struct error *err)
{
    o->state = KVM_ENDED;
    kvm_driver_end_turn(kvm_iso_driver(o), o);
    o->iso.events->started(o->iso.ctx, -EIO, err);
}

int kvm_iso_start(struct iso *iso)
{
    struct kvm_iso *o = container_of(iso, struct kvm_iso, iso);
    struct kvm_driver *d = kvm_iso_driver(o);
    assert(o->state == KVM_NEW);
    o->launch.uid = kvm_driver_take_uid(d);
    if (d->uids && o->launch.uid == 0)
        return -EAGAIN;
    o->state = KVM_WAITING;
    kvm_driver_wait_turn(d, o);
    return 0;
}

void kvm_iso_prepare(struct kvm_iso *o)
{
    o->state = KVM_PREPARING;
    o->work.data = o;
    o->open++;
    (void)uv_queue_work(o->iso.driver->loop, &o->work, iso_work, iso_on_prepared);
}

static void iso_work(uv_work_t *work)
{
    struct kvm_iso *o = work->data;
    o->err = (struct error){0};
    (void)kvm_launch_prepare(&o->launch, &o->err);
}

static void iso_on_prepared(uv_work_t *work, int status)
{
    struct kvm_iso *o = work->data;
    o->open--;
    if (o->state == KVM_STOPPING) {
        iso_clean(o);
    } else if (status < 0 || o->err.code != ERROR_NONE) {
        iso_fail(o, &o->err);
    } else {
        o->state = KVM_LAUNCHING;
        helper_start(&o->run, &kvm_iso_driver(o)->launches, TAKE_PTR(o->launch.argv),
                     LAUNCH_TIMEOUT_MS, iso_on_launched);
    }
}

/* The pid of the VM, or a negative errno with `err`. */
static int launch_result(const struct helper *run, struct error *err)
{
    int pid = 0;
    const char *text = run->text;
    switch (run->end) {
    case HELPER_EXITED:
        if (run->status == 0 && sscanf(text, "%d", &pid) == 1 && pid > 1)
            return pid;
        if (strncmp(text, "error ", 6) == 0)
            return error_set(err, ERROR_SANDBOX_FAILED, "%.*s", (int)strcspn(text + 6, "\n"),
                             text + 6);
        return error_set(err, ERROR_SANDBOX_FAILED, "corral-vmm ended with status %d", run->status);
    case HELPER_TIMED_OUT:
        return error_set(err, ERROR_SANDBOX_FAILED, "corral-vmm was not ready within %d s",
                         LAUNCH_TIMEOUT_MS / 1000);
    case HELPER_CANCELLED:
    case HELPER_FAILED:
        break;
    }
    return error_set_errno(err, ERROR_SANDBOX_FAILED, run->status, "corral-vmm");
}

static void iso_on_launched(struct helper *run)
{
    struct kvm_iso *o = container_of(run, struct kvm_iso, run);
    struct error err = {0};
    char quoted[300];
    int pid = launch_result(run, &err);
    if (o->state == KVM_STOPPING) {
        iso_clean(o);
        return;
    }
    if (pid < 0 && o->launch.restored && o->launch.snapshot_dir == NULL &&
        run->end == HELPER_EXITED) {
        log_warn("the snapshot cannot be used, booting", "sandbox=%s reason=%s", o->launch.id,
                 log_quote(quoted, sizeof(quoted), err.message));
        o->launch.cold = true;
        kvm_iso_prepare(o);
        if (o->iso.driver->refused != NULL)
            o->iso.driver->refused(o->iso.driver->refused_ctx, o->launch.template_dir);
        return;
    }
    if (pid < 0) {
        iso_fail(o, &err);
        return;
    }
    int pidfd = proc_open(pid);
    o->iso.handle.pid = pid;
    if (pidfd >= 0)
        (void)proc_start_time(pid, &o->iso.handle.start_time);
    iso_watch(o, pidfd);
}

int kvm_iso_adopt(struct iso *iso, const struct iso_handle *handle)
{
    struct kvm_iso *o = container_of(iso, struct kvm_iso, iso);
    assert(o->state == KVM_NEW);
    o->iso.handle = *handle;
    o->adopted = true;
    o->state = KVM_ADOPTING;
    return uv_timer_start(&o->timer, iso_on_adopt, 0, 0);
}

static void iso_on_adopt(uv_timer_t *timer)
{
    struct kvm_iso *o = timer->data;
    struct stat st;
    if (stat(o->launch.dir, &st) == 0 && kvm_iso_driver(o)->uids) {
        o->launch.uid = st.st_gid;
        kvm_driver_keep_uid(kvm_iso_driver(o), st.st_gid);
    }
    iso_watch(o, proc_open_same(o->iso.handle.pid, o->iso.handle.start_time));
}

/* Watches the process and connects to it. */
static void iso_watch(struct kvm_iso *o, int pidfd)
{
    struct error err = {0};
    uv_loop_t *loop = o->iso.driver->loop;
    o->pidfd = pidfd;
    int rv = pidfd < 0 ? pidfd : uv_poll_init(loop, &o->poll, pidfd);
    if (rv == 0) {
        o->has_poll = true;
        o->open++;
        o->poll.data = o;
        rv = uv_poll_start(&o->poll, UV_READABLE, iso_on_dead);
    }
    if (rv == 0)
        rv = kvm_ctl_open(&o->ctl, loop, o->launch.dir, &iso_ctl_events);
    if (rv < 0) {
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, rv, "the VMM's process");
        iso_fail(o, &err);
        return;
    }
    o->open++;
    o->state = KVM_CONNECTING;
}

static void iso_run(struct kvm_iso *o)
{
    o->state = KVM_RUNNING;
    kvm_driver_end_turn(kvm_iso_driver(o), o);
    o->iso.events->started(o->iso.ctx, 0, NULL);
}

static void iso_on_resumed(struct kvm_ctl *c, const struct kvm_ctl_msg *m, const struct error *err)
{
    struct kvm_iso *o = container_of(c, struct kvm_iso, ctl);
    if (m == NULL && !c->lost)
        log_warn("microVM not resumed", "sandbox=%s error=\"%s\"", o->launch.id, err->message);
}

static void iso_on_hello(struct kvm_ctl *c, enum ctl_state state)
{
    struct kvm_iso *o = container_of(c, struct kvm_iso, ctl);
    if (o->state != KVM_CONNECTING || state == CTL_STATE_EXITED)
        return;
    if (o->adopted) {
        /* The server before may have died between pause and resume. */
        if (state == CTL_STATE_PAUSED)
            (void)kvm_ctl_request(c, CTL_RESUME, NULL, 0, RESUME_TIMEOUT_MS, iso_on_resumed);
        iso_run(o);
        return;
    }
    o->state = KVM_AGENT;
    o->open++;
    kvm_agent_wait(&o->agent, o->iso.driver->loop, o->launch.dir,
                   o->launch.restored ? RESTORE_TIMEOUT_MS : BOOT_TIMEOUT_MS);
}

static void iso_on_agent(struct kvm_agent *a, int status)
{
    struct kvm_iso *o = container_of(a, struct kvm_iso, agent);
    struct error err = {0};
    if (o->state != KVM_AGENT)
        return;
    if (status == 0) {
        iso_run(o);
        return;
    }
    (void)error_set(&err, ERROR_SANDBOX_FAILED, "the guest's agent does not listen");
    iso_fail(o, &err);
}

static void iso_on_exited(struct kvm_ctl *c, const struct kvm_ctl_msg *m)
{
    struct kvm_iso *o = container_of(c, struct kvm_iso, ctl);
    (void)kvm_ctl_msg_reason(m, o->reason, sizeof(o->reason));
    o->ctl_over = true;
    iso_ending(o);
}

static void iso_on_lost(struct kvm_ctl *c, const struct error *err)
{
    struct kvm_iso *o = container_of(c, struct kvm_iso, ctl);
    o->lost = *err;
    o->ctl_over = true;
    iso_ending(o);
}

static void iso_on_dead(uv_poll_t *poll, int status, int events)
{
    struct kvm_iso *o = poll->data;
    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    proc_reap(o->pidfd);
    o->dead = true;
    iso_ending(o);
}

static void iso_tell_end(struct kvm_iso *o)
{
    struct error err = {0};
    bool oom = o->launch.cgroups != NULL && cgroup_oom(o->launch.cgroups, o->launch.id);
    const char *reason = oom ? "out of memory" : o->reason;
    if (reason[0] == '\0')
        reason = o->dead ? "the VMM was killed" : o->lost.message;
    (void)uv_timer_stop(&o->timer);
    if (o->state == KVM_RUNNING) {
        o->state = KVM_ENDED;
        o->iso.events->exited(o->iso.ctx, reason);
        return;
    }
    (void)error_set(&err, ERROR_SANDBOX_FAILED, "%s", reason);
    iso_fail(o, &err);
}

/* The process has died, or its control socket has fallen silent. */
static void iso_ending(struct kvm_iso *o)
{
    if (o->state == KVM_KILLING && o->dead) {
        (void)uv_timer_stop(&o->timer);
        iso_clean(o);
    }
    if (o->state != KVM_CONNECTING && o->state != KVM_AGENT && o->state != KVM_RUNNING)
        return;
    if (o->dead && o->ctl_over)
        iso_tell_end(o);
    else
        (void)uv_timer_start(&o->timer, iso_on_grace, EXIT_GRACE_MS, 0);
}

/* It lives without a control connection: nothing could be done with it any more. */
static void iso_on_grace(uv_timer_t *timer)
{
    struct kvm_iso *o = timer->data;
    if (!o->dead)
        (void)proc_kill(o->pidfd, SIGKILL);
    iso_tell_end(o);
}

void kvm_iso_stop(struct iso *iso)
{
    struct kvm_iso *o = container_of(iso, struct kvm_iso, iso);
    kvm_op_cancel(o);
    switch (o->state) {
    case KVM_PREPARING:
        o->state = KVM_STOPPING;
        break;
    case KVM_LAUNCHING:
        o->state = KVM_STOPPING;
        helper_cancel(&o->run);
        break;
    case KVM_CONNECTING:
    case KVM_AGENT:
    case KVM_RUNNING:
    case KVM_ENDED:
        (void)uv_timer_stop(&o->timer);
        if (o->has_poll && !o->dead) {
            o->state = KVM_KILLING;
            (void)proc_kill(o->pidfd, SIGKILL);
            (void)uv_timer_start(&o->timer, iso_on_kill_timeout, KILL_TIMEOUT_MS, 0);
            break;
        }
        iso_clean(o);
        break;
    case KVM_NEW:
    case KVM_WAITING:
    case KVM_ADOPTING: /* not watched yet; the cleaner ends it */
        (void)uv_timer_stop(&o->timer);
        iso_clean(o);
        break;
    case KVM_STOPPING:
    case KVM_KILLING:
    case KVM_CLEANING:
    case KVM_CLOSING:
        break;
    }
}

static void iso_on_kill_timeout(uv_timer_t *timer)
{
    struct kvm_iso *o = timer->data;
    log_warn("sandbox process does not end", "sandbox=%s pid=%d", o->launch.id, o->iso.handle.pid);
    iso_clean(o);
}

static void iso_clean(struct kvm_iso *o)
{
    char *args[] = {"/proc/self/exe", KVM_VERB_CLEAN, o->launch.id, o->launch.dir};
    char **argv = calloc(ARRAY_SIZE(args) + 1, sizeof(*argv));
    for (size_t i = 0; argv != NULL && i < ARRAY_SIZE(args); i++) {
        argv[i] = strdup(args[i]);
        if (argv[i] == NULL) {
            helper_argv_free(argv);
            argv = NULL;
        }
    }
    o->state = KVM_CLEANING;
    o->tries++;
    kvm_driver_end_turn(kvm_iso_driver(o), o);
    helper_start(&o->run, &kvm_iso_driver(o)->cleanings, argv, CLEAN_TIMEOUT_MS, iso_on_cleaned);
}

static void iso_close(struct kvm_iso *o)
{
    o->state = KVM_CLOSING;
    if (o->has_poll)
        uv_close((uv_handle_t *)&o->poll, iso_on_close);
    (void)kvm_ctl_close(&o->ctl);
    (void)kvm_agent_close(&o->agent);
    uv_close((uv_handle_t *)&o->timer, iso_on_close);
}

static void iso_on_cleaned(struct helper *run)
{
    struct kvm_iso *o = container_of(run, struct kvm_iso, run);
    char quoted[256];
    bool done = run->end == HELPER_EXITED && run->status == 0;
    if (!done && o->tries < CLEAN_TRIES && run->end != HELPER_TIMED_OUT) {
        iso_clean(o);
        return;
    }
    if (!done)
        log_error("sandbox not fully removed", "sandbox=%s status=%d error=%s", o->launch.id,
                  run->status, log_quote(quoted, sizeof(quoted), run->text));
    iso_close(o);
}

static void iso_on_close(uv_handle_t *h)
{
    kvm_iso_unref(h->data);
}

static void iso_on_ctl_closed(struct kvm_ctl *c)
{
    kvm_iso_unref(container_of(c, struct kvm_iso, ctl));
}

static void iso_on_agent_closed(struct kvm_agent *a)
{
    kvm_iso_unref(container_of(a, struct kvm_iso, agent));
}

void kvm_iso_unref(struct kvm_iso *o)
{
    if (--o->open > 0)
        return;
    struct kvm_driver *d = kvm_iso_driver(o);
    d->instances--;
    kvm_driver_drop_uid(d, o->launch.uid);
    o->iso.events->stopped(o->iso.ctx);
    base_close_p(&o->pidfd);
    kvm_op_free(o);
    kvm_launch_done(&o->launch);
    free(o);
}
