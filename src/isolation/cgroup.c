/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - both versions of control groups behind one interface.
 *
 * Which files are read depends on the version alone. Killing and removing is done in every
 * hierarchy that is mounted: a runtime makes its groups in all of them, and one that is forgotten
 * stays until the machine restarts. Both are loops with a budget of time, because processes leave a
 * group some time after the signal, and a group may be busy for a moment after the last of them has
 * left.
 */
#include "isolation/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#define CGROUP_TOP       "/sys/fs/cgroup"
#define CGROUP_FILE_MAX  16384 /* memory.stat and io.stat are a few kilobytes */
#define CGROUP_WAIT_STEP 5     /* ms between two looks at a group that is emptying */

static int cgroup_file(char *path, const char *mount, const char *id, const char *file)
{
    int n = snprintf(path, PATH_MAX, "%s" CGROUP_PATH "%s%s", mount, id, file[0] ? "/" : "", file);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int cgroup_read(char *text, const char *mount, const char *id, const char *file)
{
    char path[PATH_MAX];
    text[0] = '\0';
    if (mount == NULL || cgroup_file(path, mount, id, file) < 0)
        return -ENOENT;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, CGROUP_FILE_MAX - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return 0;
}

/* The number after `key` at the start of a line or after a blank; 0 when it is not there. */
static uint64_t cgroup_number(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *p = text; (p = strstr(p, key)) != NULL; p += len) {
        bool starts = p == text || p[-1] == '\n' || p[-1] == ' ';
        if (starts && (p[len] == ' ' || p[len] == '='))
            return strtoull(p + len + 1, NULL, 10);
    }
    return 0;
}

/* As cgroup_number, summed over all lines: block I/O comes with one line per device. */
static uint64_t cgroup_sum(const char *text, const char *key)
{
    size_t len = strlen(key);
    uint64_t sum = 0;
    for (const char *p = text; (p = strstr(p, key)) != NULL; p += len) {
        if (p > text && p[-1] == ' ' && (p[len] == ' ' || p[len] == '='))
            sum += strtoull(p + len + 1, NULL, 10);
    }
    return sum;
}

static void cgroups_add(struct cgroups *cg, const struct mntent *m)
{
    char *dir = strdup(m->mnt_dir);
    if (dir == NULL)
        return;
    cg->mounts[cg->n++] = dir;
    if (cg->unified) {
        cg->cpuacct = cg->memory = cg->blkio = cg->freezer = dir;
    } else if (strcmp(m->mnt_type, "cgroup") == 0) {
        if (hasmntopt(m, "cpuacct") != NULL)
            cg->cpuacct = dir;
        if (hasmntopt(m, "memory") != NULL)
            cg->memory = dir;
        if (hasmntopt(m, "blkio") != NULL)
            cg->blkio = dir;
        if (hasmntopt(m, "freezer") != NULL)
            cg->freezer = dir;
    }
}

int cgroups_load(struct cgroups *ret)
{
    struct cgroups cg = {0};
    struct statfs fs;
    cg.unified = statfs(CGROUP_TOP, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
    FILE *f = setmntent("/proc/self/mounts", "re");
    if (f == NULL)
        return -errno;
    struct mntent m;
    char line[PATH_MAX];
    while (getmntent_r(f, &m, line, sizeof(line)) != NULL && cg.n < CGROUP_MOUNTS) {
        bool v2 = strcmp(m.mnt_type, "cgroup2") == 0;
        bool top = strcmp(m.mnt_dir, CGROUP_TOP) == 0;
        if (cg.unified ? v2 && top : v2 || strcmp(m.mnt_type, "cgroup") == 0)
            cgroups_add(&cg, &m);
    }
    (void)endmntent(f);
    if (cg.memory == NULL) {
        cgroups_done(&cg);
        return -ENOENT;
    }
    *ret = cg;
    return 0;
}

/* The only group that has no type is the root of the whole hierarchy. */
static bool cgroups_is_real_root(const char *mount)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/cgroup.type", mount);
    return access(path, F_OK) < 0;
}

/* The kernel takes one pid per write. */
static int cgroups_move_processes(const char *from, const char *to)
{
    FILE *in = fopen(from, "re");
    cleanup_close int out = open(to, O_WRONLY | O_CLOEXEC);
    int r = in == NULL || out < 0 ? -errno : 0;
    char pid[16];
    while (r == 0 && in != NULL && fgets(pid, sizeof(pid), in) != NULL) {
        /* ESRCH: it ended meanwhile. */
        if (write(out, pid, strlen(pid)) < 0 && errno != ESRCH)
            r = -errno;
    }
    if (in != NULL)
        (void)fclose(in);
    return r;
}

int cgroups_prepare(const struct cgroups *cg)
{
    char dir[PATH_MAX], from[PATH_MAX], to[PATH_MAX];
    if (!cg->unified || cgroups_is_real_root(cg->memory))
        return 0;
    if (snprintf(dir, sizeof(dir), "%s/corral-host", cg->memory) >= PATH_MAX ||
        snprintf(from, sizeof(from), "%s/cgroup.procs", cg->memory) >= PATH_MAX ||
        snprintf(to, sizeof(to), "%s/corral-host/cgroup.procs", cg->memory) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return -errno;
    return cgroups_move_processes(from, to);
}

bool cgroups_limit_swap(const struct cgroups *cg)
{
    char path[PATH_MAX];
    if (cg->unified)
        return true;
    int n = snprintf(path, sizeof(path), "%s/memory.memsw.limit_in_bytes", cg->memory);
    return n < PATH_MAX && access(path, F_OK) == 0;
}

void cgroups_done(struct cgroups *cg)
{
    for (size_t i = 0; i < cg->n; i++)
        free(cg->mounts[i]);
    *cg = (struct cgroups){0};
}

bool cgroup_exists(const struct cgroups *cg, const char *id)
{
    char path[PATH_MAX];
    return cgroup_file(path, cg->memory, id, "") == 0 && access(path, F_OK) == 0;
}

/* Page cache that can be dropped is not what the sandbox needs. */
static uint64_t cgroup_without_cache(uint64_t bytes, uint64_t inactive_file)
{
    return bytes > inactive_file ? bytes - inactive_file : 0;
}

static int cgroup_stats_v1(const struct cgroups *cg, const char *id, struct instance_stats *s)
{
    char text[CGROUP_FILE_MAX];
    int r = cgroup_read(text, cg->memory, id, "memory.usage_in_bytes");
    if (r < 0)
        return r;
    s->memory_bytes = strtoull(text, NULL, 10);
    if (cgroup_read(text, cg->memory, id, "memory.stat") == 0)
        s->memory_bytes = cgroup_without_cache(s->memory_bytes,
                                               cgroup_number(text, "total_inactive_file"));
    if (cgroup_read(text, cg->cpuacct, id, "cpuacct.usage") == 0)
        s->cpu_ns = strtoull(text, NULL, 10);
    if (cgroup_read(text, cg->blkio, id, "blkio.throttle.io_service_bytes") == 0) {
        s->disk_read = cgroup_sum(text, "Read");
        s->disk_write = cgroup_sum(text, "Write");
    }
    return 0;
}

static int cgroup_stats_v2(const struct cgroups *cg, const char *id, struct instance_stats *s)
{
    char text[CGROUP_FILE_MAX];
    int r = cgroup_read(text, cg->memory, id, "memory.current");
    if (r < 0)
        return r;
    s->memory_bytes = strtoull(text, NULL, 10);
    if (cgroup_read(text, cg->memory, id, "memory.stat") == 0)
        s->memory_bytes = cgroup_without_cache(s->memory_bytes,
                                               cgroup_number(text, "inactive_file"));
    if (cgroup_read(text, cg->cpuacct, id, "cpu.stat") == 0)
        s->cpu_ns = cgroup_number(text, "usage_usec") * 1000;
    if (cgroup_read(text, cg->blkio, id, "io.stat") == 0) {
        s->disk_read = cgroup_sum(text, "rbytes");
        s->disk_write = cgroup_sum(text, "wbytes");
    }
    return 0;
}

int cgroup_stats(const struct cgroups *cg, const char *id, struct instance_stats *ret)
{
    struct instance_stats s = {0};
    int r = cg->unified ? cgroup_stats_v2(cg, id, &s) : cgroup_stats_v1(cg, id, &s);
    if (r == 0)
        *ret = s;
    return r;
}

int cgroup_oom_kills(const struct cgroups *cg, const char *id, uint64_t *ret)
{
    char text[CGROUP_FILE_MAX];
    const char *file = cg->unified ? "memory.events" : "memory.oom_control";
    int r = cgroup_read(text, cg->memory, id, file);
    if (r == 0)
        *ret = cgroup_number(text, "oom_kill");
    return r;
}

bool cgroup_oom(const struct cgroups *cg, const char *id)
{
    uint64_t kills = 0;
    return cgroup_oom_kills(cg, id, &kills) == 0 && kills > 0;
}

/* Sleeps for one step out of the budget; false when it is used up. */
static bool cgroup_wait_step(unsigned int *budget_ms)
{
    if (*budget_ms < CGROUP_WAIT_STEP)
        return false;
    *budget_ms -= CGROUP_WAIT_STEP;
    (void)nanosleep(&(struct timespec){.tv_nsec = CGROUP_WAIT_STEP * 1000000L}, NULL);
    return true;
}

static int cgroup_write(const char *mount, const char *id, const char *file, const char *text)
{
    char path[PATH_MAX];
    if (mount == NULL || cgroup_file(path, mount, id, file) < 0)
        return -ENOENT;
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_shared_memory(const struct cgroups *cg, const char *id, uint64_t *ret)
{
    char text[CGROUP_FILE_MAX];
    int r = cgroup_read(text, cg->memory, id, "memory.stat");
    if (r == 0)
        *ret = cgroup_number(text, "shmem");
    return r;
}

/* In version 1 the limit with swap is never below the other: it is the first to rise and the last
 * to fall. */
int cgroup_limit_memory(const struct cgroups *cg, const char *id, uint64_t bytes)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
    if (cg->unified)
        return cgroup_write(cg->memory, id, "memory.max", text);
    (void)cgroup_write(cg->memory, id, "memory.memsw.limit_in_bytes", text);
    int r = cgroup_write(cg->memory, id, "memory.limit_in_bytes", text);
    (void)cgroup_write(cg->memory, id, "memory.memsw.limit_in_bytes", text);
    return r;
}

int cgroup_freeze(const struct cgroups *cg, const char *id)
{
    return cg->unified ? cgroup_write(cg->freezer, id, "cgroup.freeze", "1")
                       : cgroup_write(cg->freezer, id, "freezer.state", "FROZEN");
}

int cgroup_thaw(const struct cgroups *cg, const char *id)
{
    return cg->unified ? cgroup_write(cg->freezer, id, "cgroup.freeze", "0")
                       : cgroup_write(cg->freezer, id, "freezer.state", "THAWED");
}

/* A process that sleeps in the kernel and cannot be interrupted freezes when it wakes up. In
 * version 1 a group that is FREEZING then wants to be told once more. */
int cgroup_await_frozen(const struct cgroups *cg, const char *id, unsigned int timeout_ms)
{
    char text[CGROUP_FILE_MAX];
    const char *file = cg->unified ? "cgroup.events" : "freezer.state";
    for (;;) {
        int r = cgroup_read(text, cg->freezer, id, file);
        if (r < 0)
            return r;
        if (cg->unified ? cgroup_number(text, "frozen") == 1 : strncmp(text, "FROZEN", 6) == 0)
            return 0;
        if (!cgroup_wait_step(&timeout_ms))
            return -ETIMEDOUT;
        if (!cg->unified)
            (void)cgroup_freeze(cg, id);
    }
}

static bool cgroup_kill_all(const char *mount, const char *id)
{
    char path[PATH_MAX];
    if (cgroup_file(path, mount, id, "cgroup.kill") < 0)
        return false;
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "1", 1) == 1;
}

/* Returns how many processes are left. */
static int cgroup_kill_once(const char *mount, const char *id)
{
    char path[PATH_MAX];
    if (cgroup_file(path, mount, id, "cgroup.procs") < 0)
        return 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    /* Where the kernel has it (version 2, Linux 5.14), it kills all at once, and no number of a
     * process that ended is used. */
    bool killed = cgroup_kill_all(mount, id);
    int left = 0, pid = 0;
    while (fscanf(f, "%d", &pid) == 1) {
        left++;
        /* 0 is a process outside our pid namespace; -1 or 1 would hit everybody. */
        if (pid > 1 && !killed)
            (void)kill(pid, SIGKILL);
    }
    (void)fclose(f);
    return left;
}

/* Repeats until the groups are empty: a process that forks while the list is read is not in it. In
 * version 1 a frozen process dies when it thaws, so it is let go with the signal on it. */
int cgroup_kill(const struct cgroups *cg, const char *id, unsigned int timeout_ms)
{
    for (size_t i = 0; i < cg->n; i++) {
        while (cgroup_kill_once(cg->mounts[i], id) > 0) {
            (void)cgroup_thaw(cg, id);
            if (!cgroup_wait_step(&timeout_ms))
                return -ETIMEDOUT;
        }
    }
    return 0;
}

static int cgroup_destroy_one(const char *mount, const char *id, unsigned int *budget_ms)
{
    char path[PATH_MAX];
    if (cgroup_file(path, mount, id, "") < 0)
        return -ENAMETOOLONG;
    while (rmdir(path) < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        /* Busy also for a moment after the last process has gone. */
        (void)cgroup_kill_once(mount, id);
        if (!cgroup_wait_step(budget_ms))
            return -ETIMEDOUT;
    }
    return 0;
}

int cgroup_destroy(const struct cgroups *cg, const char *id, unsigned int timeout_ms)
{
    int result = 0;
    for (size_t i = 0; i < cg->n; i++) {
        int r = cgroup_destroy_one(cg->mounts[i], id, &timeout_ms);
        if (r < 0)
            result = r;
    }
    return result;
}
