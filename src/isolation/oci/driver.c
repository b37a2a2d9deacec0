/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - the driver object and its type: checks of the machine, the sweep, the table of
 * operations. */
#include "isolation/oci/driver.h"
#include "isolation/oci/exec.h"
#include "isolation/oci/internal.h"
#include "isolation/oci/probe.h"

#include "base/log.h"
#include "isolation/proc.h"
#include "isolation/reaper.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SANDBOXES_DIR "sandboxes"
#define REGISTRY_DIR  "oci"
#define IMAGES_DIR    "disks"
/* Starting is a matter of processor time: more at once only makes all of them late. */
#define LAUNCHES_MIN  4
#define CLEANINGS_MAX 4
#define COPIES_MAX    2 /* each uses all that the disk has */
/* How long and how often the sweep waits for launches that a crashed server had under way. */
#define LAUNCH_END_MS     5000
#define LAUNCH_END_ROUNDS 10

static void oci_sweep(struct isolation_driver *d, bool (*keep)(void *ctx, const char *id),
                      void *ctx);
static void oci_free(struct isolation_driver *d);
static char **oci_cleaner(struct isolation_driver *base, const char *place, const char *id);

/* STATE/oci names what the runtime knows of, STATE/sandboxes what the launcher has begun. A crash
 * leaves an id in either or in both. */
static const char *const oci_places[] = {REGISTRY_DIR, SANDBOXES_DIR, NULL};

static const struct isolation_ops oci_ops = {
    .name = "oci",
    .egress = OCI_NET_DIR "/" OCI_NET_SOCKET,
    .abilities = ISOLATION_FREEZES | ISOLATION_KEEPS_DISKS,
    .create = oci_instance_create,
    .start = oci_instance_start,
    .adopt = oci_instance_adopt,
    .stop = oci_instance_stop,
    .stats = oci_instance_stats,
    .oom_kills = oci_instance_oom_kills,
    .pause = oci_instance_pause,
    .resume = oci_instance_resume,
    .snapshot = oci_instance_snapshot,
    .sweep = oci_sweep,
    .places = oci_places,
    .cleaner = oci_cleaner,
    .free = oci_free,
};

/* The full path of `name` as the shell would find it; NULL when there is none. */
static char *oci_find_program(const char *name)
{
    if (strchr(name, '/') != NULL)
        return access(name, X_OK) == 0 ? realpath(name, NULL) : NULL;
    /* A service's PATH often lacks the directories of the system's own programs. */
    const char *env = getenv("PATH");
    cleanup_free char *dirs = NULL;
    if (asprintf(&dirs, "%s:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                 env != NULL ? env : "") < 0) {
        dirs = NULL;
        return NULL;
    }
    char *save = NULL;
    for (char *dir = strtok_r(dirs, ":", &save); dir != NULL; dir = strtok_r(NULL, ":", &save)) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/%s", dir, name) < PATH_MAX && access(path, X_OK) == 0)
            return strdup(path);
    }
    return NULL;
}

static int oci_check_machine(struct oci_driver *d, const char *state_dir, const char *runtime,
                             struct error *err)
{
    const size_t socket_path = strlen(state_dir) + strlen("/" SANDBOXES_DIR "/") + DRIVER_ID_LEN +
                               strlen("/" OCI_SOCKET);
    if (geteuid() != 0)
        return error_set(err, ERROR_UNAVAILABLE, "the oci driver must run as root");
    if (state_dir[0] != '/')
        return error_set(err, ERROR_UNAVAILABLE, "the state directory is not an absolute path");
    if (socket_path >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return error_set(err, ERROR_UNAVAILABLE,
                         "the path of the state directory is too long for unix sockets");
    d->runtime = oci_find_program(runtime);
    /* The agent's listening socket reaches a sandbox as an inherited descriptor, which gVisor's
     * runtime does not pass on. */
    if (d->runtime != NULL && strcmp(basename(d->runtime), "runsc") == 0)
        return error_set(err, ERROR_UNAVAILABLE,
                         "runsc cannot be used: it does not hand a socket on to the sandbox; use "
                         "runc or crun");
    if (d->runtime == NULL)
        return error_set(err, ERROR_UNAVAILABLE, "the OCI runtime %s is not installed", runtime);
    int r = cgroups_load(&d->cgroups);
    if (r < 0)
        return error_set(err, ERROR_UNAVAILABLE,
                         "no control groups with a memory controller are mounted");
    r = cgroups_prepare(&d->cgroups);
    return r < 0 ? error_set_errno(err, ERROR_UNAVAILABLE, r, "control groups") : 0;
}

static int oci_make_dir(const char *parent, const char *name, char **ret, struct error *err)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/%s", parent, name) < 0) {
        path = NULL;
        return error_set_errno(err, ERROR_UNAVAILABLE, -ENOMEM, "%s", name);
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "%s", path);
    if (ret != NULL)
        *ret = TAKE_PTR(path);
    return 0;
}

/* With other runtimes it is not known whether they open the sources of mounts outside. */
static int oci_probe_ids(struct oci_driver *d, const struct oci_probe *probe, struct error *err)
{
    if (strcmp(basename(d->runtime), "runc") != 0)
        return error_set(err, ERROR_UNAVAILABLE, "the runtime is not runc");
    return oci_probe_users(probe, err);
}

/* A container without a wall that this machine cannot build is still of use. */
static void oci_probe_walls(struct oci_driver *d)
{
    struct error err = {0};
    char quoted[256], templates[PATH_MAX];
    struct oci_probe probe = {.images = d->images, .templates = templates};
    (void)snprintf(templates, sizeof(templates), "%s/templates", d->state_dir);
    d->disks = oci_probe_disk(&probe, &err) == 0;
    if (!d->disks)
        log_warn("containers have no disks of their own: nothing limits what they write",
                 "reason=%s", log_quote(quoted, sizeof(quoted), err.message));
    probe.uid = uids_take(&d->uids);
    d->users = probe.uid != 0 && oci_probe_ids(d, &probe, &err) == 0;
    uids_drop(&d->uids, probe.uid);
    if (!d->users)
        log_warn("containers have no user ids of their own: root in one is root of the host",
                 "reason=%s", log_quote(quoted, sizeof(quoted), err.message));
}

struct isolation_driver *oci_driver_new(uv_loop_t *loop, const char *state_dir, const char *runtime,
                                        struct error *err)
{
    struct oci_driver *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        (void)error_set_errno(err, ERROR_UNAVAILABLE, -ENOMEM, "oci driver");
        return NULL;
    }
    d->base = (struct isolation_driver){.ops = &oci_ops, .loop = loop};
    helper_runner_init(&d->launches, loop, MAX(LAUNCHES_MIN, uv_available_parallelism()));
    helper_runner_init(&d->cleanings, loop, CLEANINGS_MAX);
    helper_runner_init(&d->copies, loop, COPIES_MAX);
    d->uids.fd = -1;
    d->state_dir = strdup(state_dir);
    d->base.reaper = reaper_new(&d->base, state_dir);
    if (d->state_dir == NULL || d->base.reaper == NULL ||
        oci_check_machine(d, state_dir, runtime, err) < 0 ||
        oci_make_dir(state_dir, SANDBOXES_DIR, NULL, err) < 0 ||
        oci_make_dir(state_dir, REGISTRY_DIR, &d->root, err) < 0 ||
        oci_make_dir(state_dir, IMAGES_DIR, &d->images, err) < 0) {
        oci_free(&d->base);
        return NULL;
    }
    uids_open(&d->uids, state_dir, UIDS_CONTAINER);
    oci_probe_walls(d);
    return &d->base;
}

static struct isolation_driver *oci_open(uv_loop_t *loop, const struct config *config,
                                         struct error *err)
{
    struct isolation_driver *base = oci_driver_new(loop, config->state_dir, config->oci_runtime,
                                                   err);
    if (base == NULL)
        return NULL;
    struct oci_driver *d = container_of(base, struct oci_driver, base);
    d->disk_bps = (unsigned int)config->disk_bps;
    d->disk_iops = (unsigned int)config->disk_iops;
    return base;
}

static const struct isolation_verb oci_verbs[] = {
    {OCI_VERB_LAUNCH, oci_launch_main},
    {OCI_VERB_CLEAN, oci_clean_main},
    {OCI_VERB_COPY, oci_copy_main},
    {0},
};

const struct isolation_type oci_isolation = {
    .ops = &oci_ops,
    .plural = "containers",
    .weak = true,
    .open = oci_open,
    .verbs = oci_verbs,
};

int oci_spec_init(struct oci_spec *ret, const struct oci_driver *d, const char *id)
{
    struct oci_spec s = {.parent = (unsigned int)getpid()};
    s.id = strdup(id);
    s.root = strdup(d->root);
    s.runtime = strdup(d->runtime);
    s.images = strdup(d->images);
    if (asprintf(&s.dir, "%s/" SANDBOXES_DIR "/%s", d->state_dir, id) < 0)
        s.dir = NULL;
    s.rootfs = strdup("");
    s.snapshot = strdup("");
    s.guest_dir = strdup("");
    *ret = s;
    bool whole = s.id && s.root && s.runtime && s.images && s.dir && s.rootfs && s.snapshot &&
                 s.guest_dir;
    return whole ? 0 : -ENOMEM;
}

static void oci_sweep_one(void *ctx, const char *parent, const char *id)
{
    const struct oci_driver *d = ctx;
    (void)parent; /* oci_clean removes the id from the registry and from the directory */
    struct oci_spec spec = {0};
    struct error err = {0};
    char quoted[256];
    int r = oci_spec_init(&spec, d, id);
    if (r == 0)
        r = oci_clean(&spec, &d->cgroups, &err);
    if (r < 0)
        log_warn("left-over sandbox not fully removed", "sandbox=%s error=%s", id,
                 log_quote(quoted, sizeof(quoted), err.message));
    else
        log_info("left-over sandbox removed", "sandbox=%s", id);
    oci_spec_done(&spec);
}

/* A launcher dies with its server and a runtime with its launcher, but not in the same instant: on
 * a busy machine they may still make something behind the sweep. A process between fork and exec
 * has the command line of its parent, so this is repeated until none is found. */
static void oci_end_launches(const struct oci_driver *d)
{
    char launcher[PATH_MAX], runtime[PATH_MAX];
    int launcher_len = snprintf(launcher, sizeof(launcher), "root=%s", d->root);
    int runtime_len = snprintf(runtime, sizeof(runtime), "--root%c%s", '\0', d->root);
    unsigned int found = 1;
    for (int i = 0; found > 0 && i < LAUNCH_END_ROUNDS; i++) {
        found = proc_kill_called(launcher, (size_t)launcher_len + 1, LAUNCH_END_MS);
        found += proc_kill_called(runtime, (size_t)runtime_len + 1, LAUNCH_END_MS);
    }
}

static char **oci_cleaner(struct isolation_driver *base, const char *place, const char *id)
{
    const struct oci_driver *d = container_of(base, struct oci_driver, base);
    struct oci_spec spec = {0};
    char **argv = NULL;
    (void)place; /* oci_clean removes the id from both */
    if (oci_spec_init(&spec, d, id) == 0)
        argv = oci_spec_to_argv(&spec, HELPER_PROGRAM, OCI_VERB_CLEAN);
    oci_spec_done(&spec);
    return argv;
}

static void oci_sweep(struct isolation_driver *base, bool (*keep)(void *ctx, const char *id),
                      void *ctx)
{
    struct oci_driver *d = container_of(base, struct oci_driver, base);
    oci_end_launches(d);
    for (size_t i = 0; oci_places[i] != NULL; i++)
        driver_sweep_dir(d->state_dir, oci_places[i], keep, ctx, oci_sweep_one, d);
    reaper_watch(d->base.reaper);
}

static void oci_free(struct isolation_driver *base)
{
    struct oci_driver *d = container_of(base, struct oci_driver, base);
    assert(d->instances == 0);
    reaper_free(d->base.reaper);
    cgroups_done(&d->cgroups);
    free(d->state_dir);
    free(d->root);
    free(d->runtime);
    free(d->images);
    uids_close(&d->uids);
    free(d);
}
