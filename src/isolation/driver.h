/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - the isolation driver: what starts, watches and ends the process tree (oci) or the
 * microVM (kvm) of one sandbox. Nothing above this interface knows which driver runs.
 *
 * A driver places the agent's socket at `<dir>/vsock.sock` with the greeting of wire.h. All calls
 * are asynchronous on the server's loop; blocking work happens in helper processes or on the pool.
 *
 * Life of an instance: iso_new, then iso_start or iso_adopt. `started` follows exactly once. After
 * a successful start `exited` is called at most once, when the sandbox ends by itself. iso_stop
 * ends it whatever its state, also one that was never started; from then on only `stopped` comes,
 * exactly once, when no process, mount, cgroup or socket of it and no file of `dir` is left, and
 * the instance is freed after it returns. No callback comes from inside a call; every call may be
 * made from inside a callback.
 */
#ifndef CORRAL_ISOLATION_DRIVER_H
#define CORRAL_ISOLATION_DRIVER_H

#include <errno.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"

/* What to start. Strings are copied by iso_new. */
struct iso_spec {
    const char *id;        /* sandbox id, [0-9a-f-]{36} */
    const char *dir;       /* STATE/sandboxes/<id>; made by the start (mode 0700), removed with
                              all its contents by the stop */
    const char *rootfs;    /* template root file system, absolute, never written */
    const char *guest_dir; /* agent and bridge, absolute; read-only at /opt/corral in the sandbox */
    unsigned int vcpus;
    unsigned int memory_mb;
    unsigned int disk_mb;
    unsigned int pids_max;

    /* For the kvm driver alone, which needs neither rootfs nor guest_dir. */
    const char *template_dir; /* STATE/templates/NAME, absolute: disk, kernel and snapshot are in
                                 its kvm/. NULL only for an adoption */
    const char *snapshot_dir; /* restore this one, whatever is asked above; NULL: the template's
                                 when it fits, otherwise a cold boot */
    bool cold;                /* boot, whatever snapshot there is */
    bool record;              /* iso_workset will be asked for */
};

/* What a restart of the server must remember to find the instance again; stored in its record. */
struct iso_handle {
    int32_t pid;         /* of the process to watch */
    uint64_t start_time; /* its field 22 of /proc/<pid>/stat, against pid reuse */
};

/* All counters since the start of the sandbox. */
struct iso_stats {
    uint64_t cpu_ns;
    uint64_t memory_bytes;
    uint64_t disk_read, disk_write; /* bytes */
};

struct iso;

struct iso_events {
    /* status 0: the agent's socket accepts connections and `handle` of struct iso is valid.
     * Otherwise `err` has the reason and only iso_stop may follow. */
    void (*started)(void *ctx, int status, const struct error *err);
    /* The sandbox ended by itself; `reason` is a short sentence for the log and the record. */
    void (*exited)(void *ctx, const char *reason);
    void (*stopped)(void *ctx);
};

/* The end of an operation: 0, or a negative errno with `err` filled. `ctx` is the instance's. */
typedef void (*iso_done)(void *ctx, int status, const struct error *err);

struct isolation_driver;

struct isolation_ops {
    const char *name; /* "oci", "kvm" */
    struct iso *(*create)(struct isolation_driver *d, const struct iso_spec *spec,
                          const struct iso_events *events, void *ctx);
    int (*start)(struct iso *iso);
    int (*adopt)(struct iso *iso, const struct iso_handle *handle);
    void (*stop)(struct iso *iso);
    /* Synchronous and cheap: a few reads of cgroup files. */
    int (*stats)(struct iso *iso, struct iso_stats *ret);
    /* NULL where the driver cannot. See iso_pause. */
    int (*pause)(struct iso *iso, iso_done done);
    int (*resume)(struct iso *iso, iso_done done);
    int (*snapshot)(struct iso *iso, const char *dir, iso_done done);
    int (*workset)(struct iso *iso, const char *path, iso_done done);
    void (*expect_code)(struct iso *iso);
    /* Removes what instances of an earlier server left behind and nobody adopts: every id in the
     * driver's own registry or in STATE/sandboxes for which `keep` is false. Blocking; called once
     * at start, before the first iso_start. */
    void (*sweep)(struct isolation_driver *d, bool (*keep)(void *ctx, const char *id), void *ctx);
    void (*free)(struct isolation_driver *d);
};

/* First member of every driver's own struct. */
struct isolation_driver {
    const struct isolation_ops *ops;
    uv_loop_t *loop;
    /* Set by the owner; may be NULL. The snapshot of this template was found unfit for the machine,
     * and a sandbox boots instead. From the loop. */
    void (*refused)(void *ctx, const char *template_dir);
    void *refused_ctx;
};

/* First member of every driver's instance struct. */
struct iso {
    struct isolation_driver *driver;
    const struct iso_events *events;
    void *ctx; /* handed to the events */
    struct iso_handle handle;
};

/* NULL, with `err` filled, when the machine cannot run it (no runc, not root, ...). `state_dir` is
 * the server's; `runtime` is the OCI runtime's name or path ("runc"). */
struct isolation_driver *oci_driver_new(uv_loop_t *loop, const char *state_dir, const char *runtime,
                                        struct error *err);

/* NULL, with `err` filled, when the machine cannot run it. `vmm` is the path of corral-vmm. Whether
 * /dev/kvm is any good is asked by kvm_probe, not here. */
struct isolation_driver *kvm_driver_new(uv_loop_t *loop, const char *state_dir, const char *vmm,
                                        struct error *err);

/* The drivers' blocking work is done by this very program, started again with a verb of theirs. To
 * be called first in main: true when this process is one of those, which is then done and has to
 * exit with *ret_status. */
bool driver_helper_main(int argc, char **argv, int *ret_status);

/* Only what passes here is ever made part of a path: 36 characters of [0-9a-f-]. */
#define DRIVER_ID_LEN 36
bool driver_id_valid(const char *id);
/* For drivers' sweeps: calls `sweep` for every id in STATE/<name> that `keep` does not claim. */
void driver_sweep_dir(const char *state_dir, const char *name,
                      bool (*keep)(void *ctx, const char *id), void *keep_ctx,
                      void (*sweep)(void *ctx, const char *name, const char *id), void *sweep_ctx);

/* NULL when memory ran out, or when id and dir are not as struct iso_spec says. */
static inline struct iso *iso_new(struct isolation_driver *d, const struct iso_spec *spec,
                                  const struct iso_events *events, void *ctx)
{
    return d->ops->create(d, spec, events, ctx);
}

/* 0, or a negative errno and no callback will come. */
static inline int iso_start(struct iso *iso)
{
    return iso->driver->ops->start(iso);
}

/* Takes over an instance that an earlier server started. `started` tells whether it is still the
 * same living process. */
static inline int iso_adopt(struct iso *iso, const struct iso_handle *handle)
{
    return iso->driver->ops->adopt(iso, handle);
}

static inline void iso_stop(struct iso *iso)
{
    iso->driver->ops->stop(iso);
}

/* 0, or a negative errno when there is nothing to read. */
static inline int iso_stats(struct iso *iso, struct iso_stats *ret)
{
    return iso->driver->ops->stats(iso, ret);
}

/* Operations on a started instance, one at a time: 0, or a negative errno and `done` will not come
 * (-EBUSY: another one is under way, -EOPNOTSUPP: the driver cannot, -EINVAL: not started). `done`
 * comes once, unless the instance is stopped before. */
static inline int iso_pause(struct iso *iso, iso_done done)
{
    const struct isolation_ops *ops = iso->driver->ops;
    return ops->pause != NULL ? ops->pause(iso, done) : -EOPNOTSUPP;
}

static inline int iso_resume(struct iso *iso, iso_done done)
{
    const struct isolation_ops *ops = iso->driver->ops;
    return ops->resume != NULL ? ops->resume(iso, done) : -EOPNOTSUPP;
}

/* Makes the directory `dir` (absolute; its parent exists, it does not) with the files state, memory
 * and overlay, all of one moment. The guest runs on afterwards. A failure leaves no directory. */
static inline int iso_snapshot(struct iso *iso, const char *dir, iso_done done)
{
    const struct isolation_ops *ops = iso->driver->ops;
    return ops->snapshot != NULL ? ops->snapshot(iso, dir, done) : -EOPNOTSUPP;
}

/* Writes the pages that the guest has touched since its restore to the file at `path`, which must
 * not exist. For an instance with `record`. */
static inline int iso_workset(struct iso *iso, const char *path, iso_done done)
{
    const struct isolation_ops *ops = iso->driver->ops;
    return ops->workset != NULL ? ops->workset(iso, path, done) : -EOPNOTSUPP;
}

/* A first run of code is about to come: whatever makes it faster may be done now. */
static inline void iso_expect_code(struct iso *iso)
{
    if (iso->driver->ops->expect_code != NULL)
        iso->driver->ops->expect_code(iso);
}

static inline void iso_sweep(struct isolation_driver *d, bool (*keep)(void *ctx, const char *id),
                             void *ctx)
{
    d->ops->sweep(d, keep, ctx);
}

/* After the last instance has stopped. */
static inline void iso_driver_free(struct isolation_driver *d)
{
    d->ops->free(d);
}

#endif
