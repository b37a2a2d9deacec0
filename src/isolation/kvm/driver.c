/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - the driver object and its type: checks of the machine, turns and user ids of the
 * instances, the sweep, the table of operations. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "isolation/kvm/cgroup.h"
#include "isolation/kvm/clean.h"
#include "isolation/kvm/driver.h"
#include "isolation/kvm/internal.h"
#include "isolation/kvm/probe.h"
#include "isolation/oom.h"
#include "isolation/reaper.h"

#define SANDBOXES_DIR "sandboxes"
#define BUILDS_DIR    "templates/.build" /* of `corrald template snapshot` */
/* Starting is a matter of processor time: more at once only makes all of them late. */
#define STARTING_MIN  4u
#define CLEANINGS_MAX 4

static void kvm_sweep(struct isolation_driver *base, bool (*keep)(void *ctx, const char *id),
                      void *ctx);
static void kvm_free(struct isolation_driver *base);
static char **kvm_cleaner(struct isolation_driver *base, const char *place, const char *id);

static const char *const kvm_places[] = {SANDBOXES_DIR, BUILDS_DIR, NULL};

static const struct isolation_ops kvm_ops = {
    .name = "kvm",
    .egress = KVM_EGRESS,
    .images = true,
    .abilities = ISOLATION_RESTS | ISOLATION_STORES | ISOLATION_KEEPS_MEMORY | ISOLATION_FORKS,
    .create = kvm_instance_create,
    .start = kvm_instance_start,
    .adopt = kvm_instance_adopt,
    .stop = kvm_instance_stop,
    .stats = kvm_instance_stats,
    .take_agent = kvm_instance_take_agent,
    .oom_kills = kvm_instance_oom_kills,
    .pause = kvm_op_pause,
    .resume = kvm_op_resume,
    .snapshot = kvm_op_snapshot,
    .fork = kvm_op_fork,
    .store = kvm_op_store,
    .snapshot_stored = kvm_stored_snapshot,
    .put_away = kvm_instance_put_away,
    .forget_stored = kvm_instance_forget_stored,
    .workset = kvm_op_workset,
    .expect_code = kvm_op_expect_code,
    .sweep = kvm_sweep,
    .places = kvm_places,
    .cleaner = kvm_cleaner,
    .free = kvm_free,
};

static int kvm_check_machine(const char *state_dir, const char *vmm, struct error *err)
{
    const size_t socket_path = strlen(state_dir) + strlen("/" SANDBOXES_DIR "/") + DRIVER_ID_LEN +
                               strlen("/" CTL_VSOCK_NAME);
    if (state_dir[0] != '/')
        return error_set(err, ERROR_UNAVAILABLE, "the state directory is not an absolute path");
    if (socket_path >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return error_set(err, ERROR_UNAVAILABLE,
                         "the path of the state directory is too long for unix sockets");
    if (access(vmm, X_OK) < 0)
        return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "%s", vmm);
    return 0;
}

/* The microVM is the wall; groups keep one tenant from taking the others' share of the machine. */
static void kvm_find_cgroups(struct kvm_driver *d)
{
    int rv = cgroups_load(&d->cgroups);
    if (rv == 0 && (rv = kvm_cgroup_prepare(&d->cgroups)) < 0)
        cgroups_done(&d->cgroups);
    if (rv < 0)
        log_warn("microVMs run without control groups", "errno=%d", -rv);
}

static int kvm_make_sandboxes_dir(const char *state_dir, struct error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" SANDBOXES_DIR, state_dir);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "%s", path);
    return 0;
}

struct isolation_driver *kvm_driver_new(uv_loop_t *loop, const char *state_dir, const char *vmm,
                                        struct error *err)
{
    struct kvm_driver *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        (void)error_set_errno(err, ERROR_UNAVAILABLE, -ENOMEM, "kvm driver");
        return NULL;
    }
    d->base = (struct isolation_driver){.ops = &kvm_ops, .loop = loop};
    d->starting_max = MAX(STARTING_MIN, uv_available_parallelism());
    list_init(&d->waiting);
    helper_runner_init(&d->launches, loop, d->starting_max);
    d->launches.oom_score = OOM_SCORE_VM; /* the VM is a child of the launcher */
    helper_runner_init(&d->cleanings, loop, CLEANINGS_MAX);
    d->uid_pool.fd = -1;
    d->state_dir = strdup(state_dir);
    d->vmm = strdup(vmm);
    d->base.reaper = reaper_new(&d->base, state_dir);
    if (d->state_dir == NULL || d->vmm == NULL || d->base.reaper == NULL ||
        kvm_check_machine(state_dir, vmm, err) < 0 || kvm_make_sandboxes_dir(state_dir, err) < 0) {
        kvm_free(&d->base);
        return NULL;
    }
    d->uids = geteuid() == 0;
    if (d->uids) {
        uids_open(&d->uid_pool, state_dir, UIDS_VM);
        kvm_find_cgroups(d);
    }
    return &d->base;
}

static struct isolation_driver *kvm_open(uv_loop_t *loop, const struct config *config,
                                         struct error *err)
{
    struct kvm_probe_result probe;
    if (kvm_probe(&probe, err) < 0)
        return NULL;
    struct isolation_driver *base = kvm_driver_new(loop, config->state_dir, config->vmm, err);
    if (base == NULL)
        return NULL;
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    d->disk_bps = (unsigned int)config->disk_bps;
    d->disk_iops = (unsigned int)config->disk_iops;
    d->share_after_s = (unsigned int)config->share_after;
    return base;
}

static const struct isolation_verb kvm_verbs[] = {
    {KVM_VERB_CLEAN, kvm_clean_main},
    {0},
};

const struct isolation_type kvm_isolation = {
    .ops = &kvm_ops,
    .plural = "microVMs",
    .open = kvm_open,
    .verbs = kvm_verbs,
};

/* Turns. An instance has a place from its preparation until its agent answers, until it has failed,
 * or until its end begins. Places are given in the order of the starts: under load all of them are
 * equally late, and none waits for ever. */

static void kvm_driver_advance(struct kvm_driver *d)
{
    while (d->starting < d->starting_max && !list_empty(&d->waiting)) {
        struct kvm_instance *o = list_first(&d->waiting, struct kvm_instance, waiting);
        list_del(&o->waiting);
        o->starting = true;
        d->starting++;
        kvm_instance_prepare(o);
    }
}

void kvm_driver_wait_turn(struct kvm_driver *d, struct kvm_instance *o)
{
    list_add_tail(&d->waiting, &o->waiting);
    kvm_driver_advance(d);
}

void kvm_driver_end_turn(struct kvm_driver *d, struct kvm_instance *o)
{
    list_del(&o->waiting);
    if (!o->starting)
        return;
    o->starting = false;
    d->starting--;
    kvm_driver_advance(d);
}

/* User ids. A VMM that its guest has taken over can still signal processes and open files of its
 * own user, so no two VMs share one. */

uint32_t kvm_driver_take_uid(struct kvm_driver *d)
{
    return d->uids ? uids_take(&d->uid_pool) : 0;
}

void kvm_driver_keep_uid(struct kvm_driver *d, uint32_t uid)
{
    uids_keep(&d->uid_pool, uid);
}

void kvm_driver_drop_uid(struct kvm_driver *d, uint32_t uid)
{
    uids_drop(&d->uid_pool, uid);
}

/* The sweep looks for directories, not for processes: a directory is the first thing that a VM
 * gets, and its name leads kvm_clean to the rest. */

bool kvm_driver_adopts(const struct kvm_driver *d, const char *dir)
{
    size_t len = strlen(d->state_dir);
    return strncmp(dir, d->state_dir, len) == 0 &&
           strncmp(dir + len, "/" SANDBOXES_DIR "/", strlen("/" SANDBOXES_DIR "/")) == 0;
}

static void kvm_sweep_one(void *ctx, const char *parent, const char *id)
{
    const struct kvm_driver *d = ctx;
    struct error err = {0};
    char path[PATH_MAX], quoted[256];
    (void)snprintf(path, sizeof(path), "%s/%s/%s", d->state_dir, parent, id);
    if (kvm_clean(id, path, &d->cgroups, false, &err) < 0)
        log_warn("left-over sandbox not fully removed", "sandbox=%s error=%s", id,
                 log_quote(quoted, sizeof(quoted), err.message));
    else
        log_info("left-over sandbox removed", "sandbox=%s", id);
}

/* The build that started it holds a lock on its directory (launch.c). `ctx` is the driver. */
static bool kvm_is_being_built(void *ctx, const char *id)
{
    const struct kvm_driver *d = ctx;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" BUILDS_DIR "/%s", d->state_dir, id);
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static char **kvm_cleaner(struct isolation_driver *base, const char *place, const char *id)
{
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    char path[PATH_MAX];
    if (strcmp(place, BUILDS_DIR) == 0 && kvm_is_being_built(d, id))
        return NULL;
    /* No instance has one that is put away. Those of nobody are the sweep's. */
    (void)snprintf(path, sizeof(path), "%s/%s/%s/" KVM_STORED_NAME, d->state_dir, place, id);
    if (access(path, F_OK) == 0)
        return NULL;
    (void)snprintf(path, sizeof(path), "%s/%s/%s", d->state_dir, place, id);
    return kvm_clean_argv(id, path, false);
}

static void kvm_sweep(struct isolation_driver *base, bool (*keep)(void *ctx, const char *id),
                      void *ctx)
{
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    driver_sweep_dir(d->state_dir, SANDBOXES_DIR, keep, ctx, kvm_sweep_one, d);
    driver_sweep_dir(d->state_dir, BUILDS_DIR, kvm_is_being_built, d, kvm_sweep_one, d);
    reaper_watch(d->base.reaper);
}

static void kvm_free(struct isolation_driver *base)
{
    struct kvm_driver *d = container_of(base, struct kvm_driver, base);
    assert(d->instances == 0);
    reaper_free(d->base.reaper);
    cgroups_done(&d->cgroups);
    free(d->state_dir);
    free(d->vmm);
    uids_close(&d->uid_pool);
    free(d);
}
