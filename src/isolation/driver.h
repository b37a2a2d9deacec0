/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - an isolation driver starts, watches and ends instances. An instance is what a sandbox
 * runs in: a process tree behind walls of the kernel, or a microVM. Nothing above this interface
 * depends on which driver runs. Each driver is a folder beside this file (type.h).
 *
 * A driver places the agent's socket at `<dir>/vsock.sock` with the greeting of wire.h. All calls
 * are asynchronous on the server's loop; blocking work happens in helper processes or on the pool.
 *
 * Life of an instance: instance_new, then instance_start or instance_adopt. `started` follows
 * exactly once. After a successful start `exited` is called at most once, when the sandbox ends by
 * itself. instance_stop ends it in any state, even one that was never started. From then on only
 * `stopped` comes, exactly once, when no process, mount, cgroup or socket of it and no file of
 * `dir` is left; the instance is freed after that call returns. No callback comes from inside a
 * call; every call may be made from inside a callback.
 */
#ifndef CORRAL_ISOLATION_DRIVER_H
#define CORRAL_ISOLATION_DRIVER_H

#include <errno.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "isolation/memory.h"

/* What to start. Strings are copied by instance_new. */
struct instance_spec {
    const char *id;        /* sandbox id, [0-9a-f-]{36} */
    const char *dir;       /* STATE/sandboxes/<id>; made by the start (mode 0700), removed with
                              all its contents by the stop */
    const char *rootfs;    /* template root file system, absolute, never written */
    const char *guest_dir; /* agent and bridge, absolute; read-only at /opt/corral in the sandbox */
    unsigned int vcpus;
    unsigned int memory_mb;
    unsigned int disk_mb;
    unsigned int pids_max;
    const char *snapshot_dir; /* begins as this one, as instance_snapshot has made it. A microVM
                                 then has its sizes, whatever those above are. It must stay until
                                 `started`. NULL: as the template says, which for a microVM is a
                                 snapshot, too, when that fits, otherwise a cold boot */

    /* As instance_fork has made it together with snapshot_dir; the instance has a reference of its
     * own until `started`. NULL: all of it is in the directory. */
    struct instance_memory *memory;

    /* For microVMs alone, which need neither rootfs nor guest_dir. */
    const char *template_dir; /* STATE/templates/NAME, absolute: disk, kernel and snapshot are in
                                 its kvm/. Not needed for an adoption, nor by one that starts from
                                 a snapshot with a disk of its own */
    bool stored;              /* what instance_store has left in `dir` is there and stays: the start
                                 is from it, unless there is a snapshot_dir */
    bool cold;                /* boot, whatever snapshot there is */
    bool record;              /* instance_workset will be called */
    bool network;             /* its flows go to the socket `egress` of the driver */
};

/* With this a restarted server finds the instance again; it is part of the sandbox's record. */
struct instance_handle {
    int32_t pid;         /* of the process to watch */
    uint64_t start_time; /* its field 22 of /proc/<pid>/stat, against pid reuse */
    bool paused;         /* it was left paused, and stays so; any other goes on when adopted */
};

/* All counters since the start of the sandbox. */
struct instance_stats {
    uint64_t cpu_ns;
    uint64_t memory_bytes;
    uint64_t disk_read, disk_write; /* bytes */
};

struct instance;

struct instance_events {
    /* status 0: the agent's socket accepts connections and `handle` of struct instance is valid.
     * Otherwise `err` has the reason and only instance_stop may follow. */
    void (*started)(void *ctx, int status, const struct error *err);
    /* The sandbox ended by itself; `reason` is a short sentence for the log and the record. */
    void (*exited)(void *ctx, const char *reason);
    void (*stopped)(void *ctx);
};

/* An operation is over: 0, or a negative errno with `err` filled. `ctx` is that of instance_new. */
typedef void (*instance_done)(void *ctx, int status, const struct error *err);

struct isolation_driver;

/* What a driver's instances can do beyond living and dying. */
enum isolation_ability {
    /* pause and resume cost little: an instance may be paused while it waits for its client. */
    ISOLATION_RESTS = 1,
    /* pause keeps processes and memory as they are, without processor time, for as long as the
     * host runs. A paused instance is adopted like any other. */
    ISOLATION_FREEZES = 2,
    /* An instance can be put away: files are left of it, no process and no memory, and another
     * instance goes on from them, also after a restart of the host. See instance_store. */
    ISOLATION_STORES = 4,
    /* A snapshot is the disk alone, or all of a moment: the disk, and memory with its processes. */
    ISOLATION_KEEPS_DISKS = 8,
    ISOLATION_KEEPS_MEMORY = 16,
    /* Others can start from one that runs while their memory is nowhere but in memory. See
     * instance_fork. */
    ISOLATION_FORKS = 32,
};

struct isolation_ops {
    const char *name;       /* as --isolation has it */
    bool images;            /* instances start from the images and the snapshot of a template */
    unsigned int abilities; /* enum isolation_ability */
    /* The socket that the agent's flows arrive at (flow.h), below an instance's `dir`. Who listens
     * there may come late, and come again: until then flows are refused. */
    const char *egress;
    struct instance *(*create)(struct isolation_driver *d, const struct instance_spec *spec,
                               const struct instance_events *events, void *ctx);
    int (*start)(struct instance *instance);
    int (*adopt)(struct instance *instance, const struct instance_handle *handle);
    void (*stop)(struct instance *instance);
    /* Synchronous and cheap: a few small files are read. */
    int (*stats)(struct instance *instance, struct instance_stats *ret);
    /* NULL where the driver has none. See instance_take_agent. */
    int (*take_agent)(struct instance *instance);
    int (*oom_kills)(struct instance *instance, uint64_t *ret);
    /* NULL where the driver cannot. See instance_pause. */
    int (*pause)(struct instance *instance, instance_done done);
    int (*resume)(struct instance *instance, instance_done done);
    int (*snapshot)(struct instance *instance, const char *dir, instance_done done);
    int (*fork)(struct instance *instance, const char *dir, struct instance_memory *memory,
                instance_done done);
    int (*store)(struct instance *instance, instance_done done);
    int (*snapshot_stored)(const char *dir, const char *to, struct error *err);
    void (*put_away)(struct instance *instance);
    void (*forget_stored)(struct instance *instance);
    int (*workset)(struct instance *instance, const char *path, instance_done done);
    void (*expect_code)(struct instance *instance);
    /* Removes what instances of an earlier server left behind and nobody adopts: every id in the
     * driver's own registry or in STATE/sandboxes for which `keep` is false. Blocking; called once
     * at start, before the first instance_start. */
    void (*sweep)(struct isolation_driver *d, bool (*keep)(void *ctx, const char *id), void *ctx);
    /* For reaper.h: directories below STATE that have an entry for each id, NULL at the end, and
     * the call of the helper that removes what is left of an id found in one of them. That is NULL
     * when the id belongs to another program, or when memory ran out. */
    const char *const *places;
    char **(*cleaner)(struct isolation_driver *d, const char *place, const char *id);
    void (*free)(struct isolation_driver *d);
};

/* First member of every driver's own struct. */
struct isolation_driver {
    const struct isolation_ops *ops;
    uv_loop_t *loop;
    struct reaper *reaper;
    /* Set by the owner; may be NULL. A snapshot of the template in `template_dir` does not fit this
     * machine, and a sandbox boots instead. Called from the loop. */
    void (*refused)(void *ctx, const char *template_dir);
    void *refused_ctx;
};

/* First member of every driver's instance struct. */
struct instance {
    struct isolation_driver *driver;
    const struct instance_events *events;
    void *ctx; /* handed to the events */
    struct instance_handle handle;
    bool warm; /* set with `started`: it goes on from a snapshot, in which its kernels were up */
    uint64_t stored_bytes; /* on the disk: what instance_store has written */
};

/* A driver does blocking work in a process of its own: this program, started again with one of the
 * driver's verbs. To be called first in main. True when this process is such a helper: its work is
 * done, and it has to exit with *ret_status. */
bool driver_helper_main(int argc, char **argv, int *ret_status);

/* 36 characters of [0-9a-f-]. Nothing else becomes part of a path. */
#define DRIVER_ID_LEN 36
bool driver_id_valid(const char *id);
/* For drivers' sweeps: calls `sweep` for every id in STATE/<name> that `keep` does not claim. */
void driver_sweep_dir(const char *state_dir, const char *name,
                      bool (*keep)(void *ctx, const char *id), void *keep_ctx,
                      void (*sweep)(void *ctx, const char *name, const char *id), void *sweep_ctx);

/* NULL when memory ran out, or when id and dir are not as struct instance_spec says. */
static inline struct instance *instance_new(struct isolation_driver *d,
                                            const struct instance_spec *spec,
                                            const struct instance_events *events, void *ctx)
{
    return d->ops->create(d, spec, events, ctx);
}

/* 0, or a negative errno and no callback will come. */
static inline int instance_start(struct instance *instance)
{
    return instance->driver->ops->start(instance);
}

/* Takes over an instance that an earlier server started. `started` fails when its process has ended
 * or its pid belongs to another process. */
static inline int instance_adopt(struct instance *instance, const struct instance_handle *handle)
{
    return instance->driver->ops->adopt(instance, handle);
}

static inline void instance_stop(struct instance *instance)
{
    instance->driver->ops->stop(instance);
}

/* Inside `started`: the connection on which the agent has answered the greeting, if the driver had
 * to wait for that; it becomes the caller's. -1: there is none. */
static inline int instance_take_agent(struct instance *instance)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->take_agent != NULL ? ops->take_agent(instance) : -1;
}

/* 0, or a negative errno when there is nothing to read. */
static inline int instance_stats(struct instance *instance, struct instance_stats *ret)
{
    return instance->driver->ops->stats(instance, ret);
}

/* How many processes the kernel has killed because the instance's limit on memory was reached. In a
 * microVM the guest's kernel kills, and only the agent knows of that. 0, or a negative errno. */
static inline int instance_oom_kills(struct instance *instance, uint64_t *ret)
{
    return instance->driver->ops->oom_kills(instance, ret);
}

/* Operations on a started instance, one at a time: 0, or a negative errno and `done` will not come
 * (-EBUSY: another one is under way, -EOPNOTSUPP: the driver cannot, -EINVAL: not started). `done`
 * comes once, unless the instance is stopped before. After a pause that failed it runs. */
static inline int instance_pause(struct instance *instance, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->pause != NULL ? ops->pause(instance, done) : -EOPNOTSUPP;
}

static inline int instance_resume(struct instance *instance, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->resume != NULL ? ops->resume(instance, done) : -EOPNOTSUPP;
}

/* Makes the directory `dir` (absolute; its parent exists, it does not) for `snapshot_dir`. Of a
 * container it has the disk. Of a microVM it has the files state, memory and overlay, all of one
 * moment, and base, when memory is a difference to it (vmm_ctl.h). Beside them are disk, below the
 * overlay, and the template's working sets. So the directory is all that a new instance needs,
 * whatever becomes of the template: base and disk are hard links, where the file system allows.
 * The instance stands still meanwhile and runs on afterwards; a container that is paused stays so.
 * A failure leaves no directory, but for one of a process that was killed. */
static inline int instance_snapshot(struct instance *instance, const char *dir, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->snapshot != NULL ? ops->snapshot(instance, dir, done) : -EOPNOTSUPP;
}

/* With ISOLATION_FORKS: instance_snapshot, but state and memory are put into `memory`, an empty
 * one, and the directory has all else that a start needs; nothing is waited for to be on the disk.
 * The instance stands still only while its disk's map, its state and its private pages are copied.
 * What `memory` takes counts as the instance's, which is given that much more for it. -EDQUOT: the
 * host's memory would run out; -EAGAIN: too many are under way. */
static inline int instance_fork(struct instance *instance, const char *dir,
                                struct instance_memory *memory, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->fork != NULL ? ops->fork(instance, dir, memory, done) : -EOPNOTSUPP;
}

/* With ISOLATION_STORES: writes the instance to files below its `dir`. When `done` comes with 0
 * they are on the disk, and the instance stands still. Either it is put away then, or
 * instance_resume makes it run on, and the files are worth nothing any more
 * (instance_forget_stored). A failure leaves it running, and no files. */
static inline int instance_store(struct instance *instance, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->store != NULL ? ops->store(instance, done) : -EOPNOTSUPP;
}

/* With ISOLATION_STORES: instance_snapshot of an instance that was put away and has left its files
 * in `dir`; they only get other names. Blocking: for the pool. They must not be forgotten, nor
 * removed, before it returns. 0, or a negative errno with `err` filled, and `to` is not there. */
static inline int isolation_snapshot_stored(const struct isolation_driver *d, const char *dir,
                                            const char *to, struct error *err)
{
    return d->ops->snapshot_stored(dir, to, err);
}

/* instance_stop, but what instance_store has written stays. In any state, even of an instance that
 * was never started: then it removes what an earlier server has left beside the files. */
static inline void instance_put_away(struct instance *instance)
{
    instance->driver->ops->put_away(instance);
}

/* Of one that runs: what it was started from, or stored into, is not needed any more. */
static inline void instance_forget_stored(struct instance *instance)
{
    if (instance->driver->ops->forget_stored != NULL)
        instance->driver->ops->forget_stored(instance);
}

/* Writes the pages that the guest has touched since its restore to the file at `path`, which must
 * not exist. For an instance with `record`. */
static inline int instance_workset(struct instance *instance, const char *path, instance_done done)
{
    const struct isolation_ops *ops = instance->driver->ops;
    return ops->workset != NULL ? ops->workset(instance, path, done) : -EOPNOTSUPP;
}

/* A run of code is about to come, the first or the first after a rest. The driver may prepare. */
static inline void instance_expect_code(struct instance *instance)
{
    if (instance->driver->ops->expect_code != NULL)
        instance->driver->ops->expect_code(instance);
}

static inline void isolation_sweep(struct isolation_driver *d,
                                   bool (*keep)(void *ctx, const char *id), void *ctx)
{
    d->ops->sweep(d, keep, ctx);
}

/* After the last instance has stopped. */
static inline void isolation_driver_free(struct isolation_driver *d)
{
    d->ops->free(d);
}

#endif
