/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - one microVM after the other, in the order of maker_steps.
 *
 * The happy path is: maker_next starts each row of the table, from the first to the last; then the
 * directory is sealed and put in place.
 * Possible failure modes are: a step fails or takes too long, the VM ends by itself, SIGINT or
 * SIGTERM arrives. Each of them leads to maker_fail, which stops the VM. The half-made directory is
 * removed and the old snapshot stays.
 */
#include "template/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/timefmt.h"
#include "core/file.h"
#include "core/id.h"
#include "isolation/kvm/driver.h"
#include "isolation/rmtree.h"
#include "template/images.h"
#include "template/recordings.h"
#include "template/snapshot_call.h"
#include "vmm_ctl.h"
#include "wire/request.h"

#define MAKER_PATH_SIZE  4096
#define MAKER_RECORDINGS 3 /* clones; what only some of them wrote is no other's need */
#define MAKER_DAY_NS     (86400ull * 1000000000u)
/* An emulated machine is 25 times slower than a real one. */
#define MAKER_START_MS 240000
#define MAKER_CALL_MS  120000
#define MAKER_WARM_MS  600000
#define MAKER_SAVE_MS  300000

/* For a small memory file: what is cached of files that nobody has mapped is dropped, what is left
 * is compacted, and the balloon reports the free pages, which become holes. Of python-base-v1's
 * 2048 MiB the file then holds 325 MiB (340 without this), and 308 MiB of them are in use:
 * init_on_free=1 could save the 17 MiB of free pages too small to be reported, at the price of
 * clearing every page that is ever freed. */
#define MAKER_SETTLE                                                                               \
    "sync; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory; sleep 3"

struct maker {
    const struct template_progress *progress;
    const char *dir; /* of the template */
    struct template_kvm_shape shape;
    uv_loop_t loop;
    struct isolation_driver *driver;
    struct instance *instance; /* NULL when no VM is there */
    struct agent_target target;
    struct snapshot_call call;
    bool calling;
    uv_timer_t timer;
    uv_signal_t sigint, sigterm;
    size_t step, recording; /* the next one; the first of a recording */
    unsigned int recorded;
    int phase;
    bool stopping; /* the VM is about to end */
    bool over;     /* no further step is started */
    int status;
    int lock;
    struct error err;
    char id[ID_SIZE];
    char vm_root[MAKER_PATH_SIZE]; /* STATE/templates/.build */
    char vm_dir[MAKER_PATH_SIZE];  /* the VM's own, in it */
    char socket[MAKER_PATH_SIZE];  /* of the agent */
    char partial[MAKER_PATH_SIZE]; /* the new snapshot */
    char place[MAKER_PATH_SIZE];   /* where it goes */
};

static void maker_next(struct maker *m);
static void maker_on_result(void *ctx, int status, const struct error *err);
static void maker_on_exited(void *ctx, const char *reason);
static void maker_on_stopped(void *ctx);
static void maker_on_call_done(struct snapshot_call *sc, int status, const struct error *err);
static void maker_on_timer(uv_timer_t *timer);
static void maker_on_signal(uv_signal_t *handle, int signum);

static const struct instance_events maker_instance_events = {
    .started = maker_on_result,
    .exited = maker_on_exited,
    .stopped = maker_on_stopped,
};

/* Steps. Each returns 0 and calls back later, or a negative errno. */

static int maker_boot(struct maker *m, bool clone)
{
    const struct instance_spec spec = {
        .id = m->id,
        .dir = m->vm_dir,
        .vcpus = m->shape.vcpus,
        .memory_mb = m->shape.memory_mb,
        .disk_mb = m->shape.disk_mb,
        .template_dir = m->dir,
        .snapshot_dir = clone ? m->partial : NULL,
        .cold = !clone,
        .record = clone,
    };
    if (mkdir(m->vm_dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    m->instance = instance_new(m->driver, &spec, &maker_instance_events, m);
    return m->instance != NULL ? instance_start(m->instance) : -EINVAL;
}

static int maker_step_boot(struct maker *m)
{
    return maker_boot(m, false);
}

/* The template has the disk; a copy of the template shall not have it twice. */
static void maker_drop_disk(const struct maker *m)
{
    char path[MAKER_PATH_SIZE + 16];
    (void)snprintf(path, sizeof(path), "%s/" CTL_DISK_NAME, m->partial);
    (void)unlink(path);
}

static int maker_step_restore(struct maker *m)
{
    maker_drop_disk(m);
    m->recording = m->step - 1;
    return maker_boot(m, true);
}

static int maker_call(struct maker *m, struct buf *request, uint64_t timeout_ms)
{
    int rv = snapshot_call_start(&m->call, &m->target, request, timeout_ms);
    m->calling = rv == 0;
    return rv;
}

static int maker_configure(struct maker *m, uint64_t ago_ns)
{
    struct buf request = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    snapshot_put_configure(&request, wall_ns - ago_ns, "template");
    return maker_call(m, &request, MAKER_CALL_MS);
}

/* The warm-up lives a day in the past: when a clone's clock then jumps to the present, the random
 * generators of OpenSSL (Python's ssl, Node's crypto) have passed the time after which they seed
 * themselves again from the kernel. */
static int maker_step_configure_past(struct maker *m)
{
    return maker_configure(m, MAKER_DAY_NS);
}

static int maker_step_configure_now(struct maker *m)
{
    return maker_configure(m, 0);
}

static int maker_step_warm(struct maker *m)
{
    struct buf request = {0};
    wire_request_code_ready(&request);
    return maker_call(m, &request, MAKER_WARM_MS);
}

static int maker_step_settle(struct maker *m)
{
    struct buf request = {0};
    snapshot_put_command(&request, MAKER_SETTLE);
    return maker_call(m, &request, MAKER_CALL_MS);
}

static int maker_step_snapshot(struct maker *m)
{
    return instance_snapshot(m->instance, m->partial, maker_on_result);
}

static int maker_step_first_code(struct maker *m)
{
    struct buf request = {0};
    if (!snapshot_put_first_code(&request, m->shape.language))
        wire_request_ping(&request);
    return maker_call(m, &request, MAKER_WARM_MS);
}

static int maker_workset(struct maker *m, const char *name)
{
    char path[MAKER_PATH_SIZE + 16];
    (void)snprintf(path, sizeof(path), "%s/%s.%u", m->partial, name, m->recorded);
    return instance_workset(m->instance, path, maker_on_result);
}

static int maker_step_workset(struct maker *m)
{
    return maker_workset(m, CTL_WORKSET_NAME);
}

static int maker_step_workset_code(struct maker *m)
{
    return maker_workset(m, CTL_WORKSET_CODE_NAME);
}

static int maker_step_stop(struct maker *m)
{
    if (!m->stopping)
        instance_stop(m->instance);
    m->stopping = true;
    return 0;
}

static int maker_join(const struct maker *m)
{
    int rv = template_recordings_join(m->partial, CTL_WORKSET_NAME, MAKER_RECORDINGS);
    return rv < 0 ? rv
                  : template_recordings_join(m->partial, CTL_WORKSET_CODE_NAME, MAKER_RECORDINGS);
}

/* Another clone, or the end. The lists have names that no clone looks for until then: what it
 * copied because of them it would seem to need. */
static int maker_step_again(struct maker *m)
{
    bool last = ++m->recorded == MAKER_RECORDINGS;
    int rv = last ? maker_join(m) : 0;
    if (!last)
        m->step = m->recording;
    if (rv == 0)
        maker_next(m);
    return rv;
}

static const struct {
    const char *phase; /* NULL: belongs to the one before */
    int (*start)(struct maker *m);
    uint64_t timeout_ms;
} maker_steps[] = {
    {"first boot", maker_step_boot, MAKER_START_MS},
    {"warming up", maker_step_configure_past, MAKER_CALL_MS},
    {NULL, maker_step_warm, MAKER_WARM_MS},
    {"settling", maker_step_settle, MAKER_CALL_MS},
    {"taking the snapshot", maker_step_snapshot, MAKER_SAVE_MS},
    {NULL, maker_step_stop, MAKER_CALL_MS},
    {"recording what first requests touch", maker_step_restore, MAKER_START_MS},
    {NULL, maker_step_configure_now, MAKER_CALL_MS},
    {NULL, maker_step_workset, MAKER_SAVE_MS},
    {NULL, maker_step_first_code, MAKER_WARM_MS},
    {NULL, maker_step_workset_code, MAKER_SAVE_MS},
    {NULL, maker_step_stop, MAKER_CALL_MS},
    {NULL, maker_step_again, MAKER_SAVE_MS},
};

static void maker_phase(struct maker *m, const char *text)
{
    const struct template_progress *p = m->progress;
    m->phase++;
    fprintf(stderr, "phase %d/%d %s (%lld s)\n", p->done + m->phase, p->total, text,
            (long long)(time_now_ms() - p->started_ms) / 1000);
}

static void maker_end_if_idle(struct maker *m)
{
    if (m->over && m->instance == NULL && !m->calling)
        uv_stop(&m->loop);
}

static void maker_fail(struct maker *m, int status, const struct error *err)
{
    if (m->over)
        return;
    m->over = true;
    m->status = status;
    m->err = *err;
    uv_timer_stop(&m->timer);
    if (m->calling)
        agent_target_fail(&m->target, err);
    if (m->instance != NULL)
        (void)maker_step_stop(m);
    maker_end_if_idle(m);
}

static void maker_next(struct maker *m)
{
    struct error err;
    if (m->over)
        return;
    if (m->step == ARRAY_SIZE(maker_steps)) {
        m->over = true; /* maker_on_stopped, the caller, ends the loop */
        uv_timer_stop(&m->timer);
        return;
    }
    size_t i = m->step++;
    if (maker_steps[i].phase != NULL && m->recorded == 0)
        maker_phase(m, maker_steps[i].phase);
    uv_timer_start(&m->timer, maker_on_timer, maker_steps[i].timeout_ms, 0);
    int rv = maker_steps[i].start(m);
    if (rv < 0) {
        error_set_errno(&err, ERROR_SANDBOX_FAILED, rv, "The next step cannot be started");
        maker_fail(m, rv, &err);
    }
}

static void maker_result(struct maker *m, int status, const struct error *err)
{
    if (status < 0)
        maker_fail(m, status, err);
    else
        maker_next(m);
}

static void maker_on_result(void *ctx, int status, const struct error *err)
{
    maker_result(ctx, status, err);
}

static void maker_on_exited(void *ctx, const char *reason)
{
    struct error err;
    error_set(&err, ERROR_SANDBOX_FAILED, "The microVM ended: %s", reason);
    maker_fail(ctx, -ESRCH, &err);
}

static void maker_on_call_done(struct snapshot_call *sc, int status, const struct error *err)
{
    struct maker *m = container_of(sc, struct maker, call);
    m->calling = false;
    maker_result(m, status, err);
    maker_end_if_idle(m);
}

static void maker_on_stopped(void *ctx)
{
    struct maker *m = ctx;
    m->instance = NULL;
    m->stopping = false;
    maker_next(m);
    maker_end_if_idle(m);
}

static void maker_on_timer(uv_timer_t *timer)
{
    struct maker *m = container_of(timer, struct maker, timer);
    struct error err;
    error_set(&err, ERROR_TIMEOUT, "The microVM takes too long");
    maker_fail(m, -ETIMEDOUT, &err);
}

static void maker_on_signal(uv_signal_t *handle, int signum)
{
    struct maker *m = handle->data;
    struct error err;
    error_set(&err, ERROR_INTERNAL, "Interrupted by signal %d", signum);
    maker_fail(m, -EINTR, &err);
}

static void maker_watch(struct maker *m, uv_signal_t *handle, int signum)
{
    uv_signal_init(&m->loop, handle);
    handle->data = m;
    uv_signal_start(handle, maker_on_signal, signum);
    uv_unref((uv_handle_t *)handle);
}

static int maker_init(struct maker *m, const struct config *config, struct error *err)
{
    int rv = template_kvm_shape(m->dir, &m->shape, err);
    if (rv == 0)
        rv = m->lock = template_kvm_lock(m->dir, err);
    if (rv < 0)
        return rv;
    id_new(m->id);
    (void)snprintf(m->vm_root, sizeof(m->vm_root), "%s/templates/.build", config->state_dir);
    (void)snprintf(m->vm_dir, sizeof(m->vm_dir), "%s/templates/.build/%s", config->state_dir,
                   m->id);
    (void)snprintf(m->socket, sizeof(m->socket), "%s/templates/.build/%s/vsock.sock",
                   config->state_dir, m->id);
    (void)snprintf(m->partial, sizeof(m->partial), "%s/kvm/snapshot.partial", m->dir);
    (void)snprintf(m->place, sizeof(m->place), "%s/kvm/snapshot", m->dir);
    rv = file_make_dirs(m->vm_root, 0700);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "%s", m->vm_root);
    (void)signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&m->loop);
    uv_timer_init(&m->loop, &m->timer);
    maker_watch(m, &m->sigint, SIGINT);
    maker_watch(m, &m->sigterm, SIGTERM);
    agent_target_init(&m->target, &m->loop, m->socket);
    m->call.done = maker_on_call_done;
    m->driver = kvm_driver_new(&m->loop, config->state_dir, config->vmm, err);
    return m->driver != NULL ? 0 : -EINVAL;
}

static void maker_done(struct maker *m)
{
    (void)rmtree(m->partial);
    (void)rmdir(m->vm_dir);
    (void)rmdir(m->vm_root);
    if (m->lock >= 0)
        (void)close(m->lock);
    /* The process ends soon, and the loop and the driver with it. */
}

static int64_t maker_file_mib(const struct maker *m, const char *name)
{
    char path[MAKER_PATH_SIZE + 16];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/%s", m->place, name);
    return stat(path, &st) < 0 ? -1 : (int64_t)st.st_blocks * 512 >> 20;
}

int template_snapshot_make(const struct config *config, const char *dir,
                           const struct template_progress *progress, struct error *err)
{
    struct maker *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    m->progress = progress;
    m->dir = dir;
    m->lock = -1;
    int rv = maker_init(m, config, err);
    if (rv < 0)
        return rv;
    (void)rmtree(m->partial);
    maker_next(m);
    uv_run(&m->loop, UV_RUN_DEFAULT);
    if (m->status < 0)
        *err = m->err;
    rv = m->status < 0 ? m->status : template_kvm_place(m->dir, m->partial, err);
    if (rv == 0)
        fprintf(stderr, "snapshot of %u MiB in %lld s: memory %lld MiB, disk %lld MiB\n",
                m->shape.memory_mb, (long long)(time_now_ms() - progress->started_ms) / 1000,
                (long long)maker_file_mib(m, "memory"), (long long)maker_file_mib(m, "overlay"));
    maker_done(m);
    free(m);
    return rv;
}
