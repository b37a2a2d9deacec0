/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - control groups, marks, and the walk through /proc.
 *
 * The happy path is: trees_init makes TREE_ROOT below the cgroup2 mount, tree_prepare a group in it
 * for each tree, the child enters it before it drops its rights, tree_kill writes to cgroup.kill,
 * tree_done removes the group.
 * Possible failure modes are: no right to make groups (the walk does it); a kernel without
 * cgroup.kill (every process in cgroup.procs is killed, in rounds); processes of a tree live on
 * after its end (its group stays, and later ends try again to remove it).
 *
 * The walk first stops what it finds and then kills it. A tree that forks as fast as the walk reads
 * cannot outrun it: a stopped process does not fork, so the rounds end when one finds nothing new.
 */
#include "agent/process/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define TREE_MOUNT        "/sys/fs/cgroup"
#define TREE_ROOT         TREE_MOUNT "/corral"
#define TREE_ROUNDS       64
#define TREE_MARK         (1ull << 62) /* added to the id: far above any limit that somebody sets */
#define TREE_MARK_ID      UINT32_MAX   /* the bits of a mark that are the id's */
#define TREE_LEFT_MAX     64
#define TREE_OOM_SCORE    500 /* above the agent, and above whatever the user has not raised */
#define TREE_PIDS_PERCENT 75  /* of all tasks of the machine, for one tree */

static bool trees_have_cgroups;
/* This agent's part of a mark. Agents that share a /proc, as those of two tests do, number their
 * trees alike, and none may kill the other's processes. */
static uint64_t trees_salt;
static uint64_t
    trees_left[TREE_LEFT_MAX]; /* ids of groups that could not be removed yet; 0: none */

static int tree_write_at(int dir, const char *name, const char *text)
{
    cleanup_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static ssize_t tree_read_at(int dir, const char *name, char *text, size_t cap)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, cap - 1);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

void trees_init(void)
{
    struct statfs fs;
    uint32_t salt = 0;
    trees_have_cgroups = false;
    if (getrandom(&salt, sizeof(salt), GRND_NONBLOCK) < 0)
        salt = (uint32_t)getpid();
    trees_salt = (uint64_t)(salt >> 3) << 32; /* below TREE_MARK */
    /* Any other agent shares the hierarchy with its machine. */
    if (getpid() != 1 || statfs(TREE_MOUNT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
        return;
    if (mkdir(TREE_ROOT, 0755) < 0 && errno != EEXIST)
        return;
    trees_have_cgroups = true;
    /* A controller that the kernel lacks costs its figure, not the group. */
    static const char *const controllers[] = {"+memory", "+pids"};
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        (void)tree_write_at(AT_FDCWD, TREE_MOUNT "/cgroup.subtree_control", controllers[i]);
        (void)tree_write_at(AT_FDCWD, TREE_ROOT "/cgroup.subtree_control", controllers[i]);
    }
}

static void tree_cgroup_path(uint64_t id, char path[64])
{
    (void)snprintf(path, 64, TREE_ROOT "/%llu", (unsigned long long)id);
}

/* Background processes that outlived their command may have ended by now. */
static void trees_remove_left(void)
{
    char path[64];
    for (size_t i = 0; i < TREE_LEFT_MAX; i++) {
        tree_cgroup_path(trees_left[i], path);
        if (trees_left[i] != 0 && (rmdir(path) == 0 || errno != EBUSY))
            trees_left[i] = 0;
    }
}

/* A tree that takes all tasks of the machine would leave none for the next command. */
static void tree_limit_tasks(int dir)
{
    char text[32];
    unsigned long all = tree_read_at(AT_FDCWD, "/proc/sys/kernel/threads-max", text, sizeof(text)) >
                                0
                            ? strtoul(text, NULL, 10)
                            : 0;
    unsigned long numbers = tree_read_at(AT_FDCWD, "/proc/sys/kernel/pid_max", text, sizeof(text)) >
                                    0
                                ? strtoul(text, NULL, 10)
                                : 0;
    if (all == 0 || numbers == 0)
        return;
    (void)snprintf(text, sizeof(text), "%lu", MIN(all, numbers) / 100 * TREE_PIDS_PERCENT);
    (void)tree_write_at(dir, "pids.max", text);
}

static uint64_t tree_count_oom_kills(int dir, const char *name)
{
    char text[512];
    const char *at = tree_read_at(dir, name, text, sizeof(text)) > 0 ? strstr(text, "oom_kill ")
                                                                     : NULL;
    return at != NULL ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

void tree_prepare(struct tree *t, uint64_t id)
{
    char path[64];
    *t = (struct tree){.mark = id, .cgroup_fd = -1};
    if (!trees_have_cgroups) {
        t->oom_kills = tree_count_oom_kills(AT_FDCWD, TREE_MOUNT "/memory.events");
        return;
    }
    trees_remove_left();
    tree_cgroup_path(id, path);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return;
    t->cgroup_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->cgroup_fd >= 0)
        tree_limit_tasks(t->cgroup_fd);
}

/* The kernel kills the highest score first: a process of the user's before the agent, without which
 * nobody could end the others. A score may be raised without any right. */
static void tree_raise_oom_score(void)
{
    char text[32];
    long own = tree_read_at(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof(text)) > 0
                   ? strtol(text, NULL, 10)
                   : 0;
    (void)snprintf(text, sizeof(text), "%ld", MIN(MAX(own, 0) + TREE_OOM_SCORE, 1000));
    (void)tree_write_at(AT_FDCWD, "/proc/self/oom_score_adj", text);
}

static uint64_t tree_mark(const struct tree *t)
{
    return TREE_MARK + trees_salt + (t->mark & TREE_MARK_ID);
}

void tree_enter(const struct tree *t)
{
    const rlim_t mark = tree_mark(t);
    tree_raise_oom_score();
    if (t->cgroup_fd >= 0)
        (void)tree_write_at(t->cgroup_fd, "cgroup.procs", "0");
    if (t->mark != 0)
        (void)setrlimit(RLIMIT_RTTIME, &(struct rlimit){mark, mark});
}

/* Field 6 of /proc/<pid>/stat. The name in field 2 may hold any character, so the last ')' ends it.
 * False for a zombie. */
static bool tree_read_stat(int proc, const char *pid, int *session, bool *stopped)
{
    char path[64], stat[512], state;
    (void)snprintf(path, sizeof(path), "%.20s/stat", pid);
    if (tree_read_at(proc, path, stat, sizeof(stat)) <= 0)
        return false;
    const char *end = strrchr(stat, ')');
    if (end == NULL || sscanf(end + 1, " %c %*d %*d %d", &state, session) != 2)
        return false;
    *stopped = state == 'T';
    return state != 'Z' && state != 'X';
}

static bool tree_has_mark(int proc, const char *pid, const struct tree *t)
{
    char path[64], limits[2048];
    (void)snprintf(path, sizeof(path), "%.20s/limits", pid);
    if (t->mark == 0 || tree_read_at(proc, path, limits, sizeof(limits)) <= 0)
        return false;
    const char *at = strstr(limits, "Max realtime timeout");
    return at != NULL && strtoull(at + strlen("Max realtime timeout"), NULL, 10) == tree_mark(t);
}

/* Sends the signal to every process of the tree. With `moving` only to those that are not stopped.
 * The number of processes that got it. */
static unsigned int tree_walk(const struct tree *t, int sig, bool moving)
{
    unsigned int count = 0;
    DIR *d = opendir("/proc");
    if (d == NULL)
        return 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        int session;
        bool stopped;
        if (!isdigit((unsigned char)e->d_name[0]) ||
            !tree_read_stat(dirfd(d), e->d_name, &session, &stopped) || (moving && stopped))
            continue;
        if (session != t->leader && !tree_has_mark(dirfd(d), e->d_name, t))
            continue;
        count += kill((pid_t)strtol(e->d_name, NULL, 10), sig) == 0;
    }
    (void)closedir(d);
    return count;
}

/* Kills the processes of the group one by one. False when there is none. */
static bool tree_kill_members(const struct tree *t)
{
    char text[8192];
    if (tree_read_at(t->cgroup_fd, "cgroup.procs", text, sizeof(text)) <= 0)
        return false;
    char *rest = text;
    for (char *p = strsep(&rest, "\n"); p != NULL; p = strsep(&rest, "\n")) {
        /* The last line may be cut short by the end of the buffer. */
        if (rest != NULL && *p != '\0')
            (void)kill((pid_t)strtol(p, NULL, 10), SIGKILL);
    }
    return true;
}

void tree_kill(const struct tree *t)
{
    if (t->leader <= 0)
        return;
    /* Before its setsid the child has no group of its own. */
    if (kill(-t->leader, SIGKILL) < 0)
        (void)kill(t->leader, SIGKILL);
    if (t->cgroup_fd >= 0) {
        if (tree_write_at(t->cgroup_fd, "cgroup.kill", "1") == 0)
            return;
        for (int i = 0; i < TREE_ROUNDS && tree_kill_members(t); i++)
            ;
        return;
    }
    for (int i = 0; i < TREE_ROUNDS && tree_walk(t, SIGSTOP, true) > 0; i++)
        ;
    (void)tree_walk(t, SIGKILL, false);
}

void tree_signal(const struct tree *t, int sig)
{
    char text[8192];
    if (sig == SIGKILL) {
        tree_kill(t);
    } else if (t->cgroup_fd < 0) {
        (void)tree_walk(t, sig, false);
    } else if (tree_read_at(t->cgroup_fd, "cgroup.procs", text, sizeof(text)) > 0) {
        char *rest = text;
        for (char *p = strsep(&rest, "\n"); rest != NULL; p = strsep(&rest, "\n"))
            (void)kill((pid_t)strtol(p, NULL, 10), sig);
    }
}

bool tree_had_oom_kill(const struct tree *t)
{
    if (t->cgroup_fd >= 0)
        return tree_count_oom_kills(t->cgroup_fd, "memory.events") > 0;
    return tree_count_oom_kills(AT_FDCWD, TREE_MOUNT "/memory.events") > t->oom_kills;
}

void tree_done(struct tree *t)
{
    char path[64];
    if (t->cgroup_fd < 0)
        return;
    base_close_p(&t->cgroup_fd);
    t->cgroup_fd = -1;
    tree_cgroup_path(t->mark, path);
    if (rmdir(path) == 0)
        return;
    for (size_t i = 0; i < TREE_LEFT_MAX; i++) {
        if (trees_left[i] == 0) {
            trees_left[i] = t->mark;
            return;
        }
    }
}
