/* SPDX-License-Identifier: Apache-2.0 */
/* size.c - how large a client may make a sandbox. Less than the template says is always allowed
 * down to what starts at all; more, up to the server's options. A disk does not get smaller than
 * the image that it begins as. What begins with a snapshot has its disk, and with the memory of a
 * microVM its processors and its memory. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "snapshot/set.h"

#define SIZE_MIN_MEMORY_MB 256
#define SIZE_VM_CPUS       8 /* as many as corral-vmm can start */
#define SIZE_MEBI          (1 << 20)

static int64_t size_host_cpus(void)
{
    return MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
}

static int64_t size_host_memory_mb(void)
{
    int64_t pages = MAX(sysconf(_SC_PHYS_PAGES), 0L), page = sysconf(_SC_PAGESIZE);
    return pages * page / SIZE_MEBI;
}

/* A field between two numbers, 0 when it is absent. */
static int size_take(struct api_call *call, const char *field, int64_t min, int64_t max,
                     const char *option, unsigned int *ret, struct error *err)
{
    int64_t n = 0;
    int rv = json_get_int(call->body, field, 0, 0, UINT32_MAX, &n, err);
    bool given = rv == 0 && json_need(call->body, field, NULL) == 0;
    if (given && (n < min || n > max))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' must be between %" PRId64 " and %" PRId64
                         " here (the server's option --%s)",
                         field, min, max, option);
    *ret = (unsigned int)n;
    return rv;
}

/* What is not given, or cannot be another, is as the snapshot has it. */
static int size_keep(unsigned int *n, unsigned int of_snapshot, bool fixed, const char *field,
                     struct error *err)
{
    if (fixed && *n != 0 && *n != of_snapshot)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' must be %u, which is what the snapshot has", field,
                         of_snapshot);
    *n = *n != 0 ? *n : of_snapshot;
    return 0;
}

static int size_of_snapshot(const struct snapshot *sn, struct sandbox_params *p, struct error *err)
{
    bool memory = sn->kind == SNAPSHOT_MEMORY;
    int rv = size_keep(&p->vcpus, sn->vcpus, memory, "cpu_count", err);
    if (rv == 0)
        rv = size_keep(&p->memory_mb, sn->memory_mb, memory, "memory_mb", err);
    return rv == 0 ? size_keep(&p->disk_mb, sn->disk_mb, true, "disk_mb", err) : rv;
}

int api_sandbox_size(struct api_call *call, const struct template *t, struct sandbox_params *p,
                     struct error *err)
{
    const struct config *c = call->api->config;
    int64_t cpus = c->max_cpus != 0 ? c->max_cpus : size_host_cpus();
    if (strcmp(call->api->isolation, "kvm") == 0)
        cpus = MIN(cpus, (int64_t)SIZE_VM_CPUS);
    int64_t memory = c->max_sandbox_memory != 0 ? c->max_sandbox_memory / SIZE_MEBI
                                                : size_host_memory_mb() / 2;
    int64_t disk = c->max_sandbox_disk / SIZE_MEBI;
    int rv = size_take(call, "cpu_count", 1, MAX(cpus, (int64_t)t->vcpus), "max-cpus", &p->vcpus,
                       err);
    if (rv == 0)
        rv = size_take(call, "memory_mb", MIN(SIZE_MIN_MEMORY_MB, (int64_t)t->memory_mb),
                       MAX(memory, (int64_t)t->memory_mb), "max-sandbox-memory", &p->memory_mb,
                       err);
    if (rv == 0)
        rv = size_take(call, "disk_mb", t->disk_mb, MAX(disk, (int64_t)t->disk_mb),
                       "max-sandbox-disk", &p->disk_mb, err);
    return rv == 0 && p->snapshot != NULL ? size_of_snapshot(p->snapshot, p, err) : rv;
}
