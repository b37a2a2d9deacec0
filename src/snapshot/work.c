/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c - what blocks: the files of a snapshot go to the disk, or away.
 *
 * To be kept, each file is synced, then the directory, then it gets its name and its parent is
 * synced. A directory within it (the files of a container without a disk of its own) may have any
 * number of files, and the whole file system is synced instead.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "core/file.h"
#include "isolation/rmtree.h"
#include "snapshot/internal.h"

#define WORK_SUFFIX ".new"
#define WORK_DEPTH  32 /* of a tree, in descriptors; deeper ones are walked with fewer */

static __thread uint64_t work_sum; /* nftw has no argument for its caller */

static int work_add(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    if (type != FTW_NS)
        work_sum += (uint64_t)st->st_blocks * 512;
    return 0;
}

static int work_sync_entry(int dir, const char *name)
{
    struct stat st;
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP ? 0 : -errno; /* a link, which has no contents */
    if (fstat(fd, &st) < 0)
        return -errno;
    return (S_ISDIR(st.st_mode) ? syncfs(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static int work_sync(const char *path)
{
    int r = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    for (struct dirent *e = readdir(dir); e != NULL && r == 0; e = readdir(dir)) {
        if (e->d_name[0] != '.')
            r = work_sync_entry(dirfd(dir), e->d_name);
    }
    (void)closedir(dir);
    return r < 0 ? r : file_sync_dir(path);
}

static int work_keep(struct snapshot *sn)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s", sn->dir);
    if (n >= PATH_MAX || n <= (int)strlen(WORK_SUFFIX))
        return -ENAMETOOLONG;
    path[n - (int)strlen(WORK_SUFFIX)] = '\0';
    int r = work_sync(sn->dir);
    if (r < 0)
        return r;
    if (rename(sn->dir, path) < 0)
        return -errno;
    sn->dir[n - (int)strlen(WORK_SUFFIX)] = '\0';
    work_sum = 0;
    (void)nftw(path, work_add, 16, FTW_PHYS | FTW_MOUNT);
    sn->bytes = work_sum;
    return file_sync_dir(sn->set->dir);
}

/* --- links to another one's files --- */

static __thread struct {
    const char *to;
    size_t from_len;
    int status;
} work_linking; /* as for work_sum */

/* What an overlay notes on a directory is part of it. */
static int work_copy_notes(const char *from, const char *to)
{
    char names[4096], value[4096];
    ssize_t len = llistxattr(from, names, sizeof(names));
    if (len < 0)
        return errno == ENOTSUP ? 0 : -errno;
    for (const char *name = names; name < names + len; name += strlen(name) + 1) {
        ssize_t n = lgetxattr(from, name, value, sizeof(value));
        if (n < 0 || lsetxattr(to, name, value, (size_t)n, 0) < 0)
            return -errno;
    }
    return 0;
}

static int work_link_directory(const char *from, const struct stat *st, const char *to)
{
    if (mkdir(to, 0700) < 0 || lchown(to, st->st_uid, st->st_gid) < 0 ||
        chmod(to, st->st_mode & 07777) < 0)
        return -errno;
    return work_copy_notes(from, to);
}

static int work_link_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char to[PATH_MAX];
    int n = snprintf(to, sizeof(to), "%s%s", work_linking.to, path + work_linking.from_len);
    int r = 0;
    (void)at;
    if (n >= PATH_MAX)
        r = -ENAMETOOLONG;
    else if (type == FTW_NS || type == FTW_DNR)
        r = -EIO;
    else if (type == FTW_D)
        r = work_link_directory(path, st, to);
    else if (link(path, to) < 0) /* of a symbolic link it is one to the link itself */
        r = -errno;
    work_linking.status = r;
    return r < 0 ? 1 : 0;
}

/* Times of directories become those of now: nothing reads them but programs in sandboxes. */
static int work_link(struct snapshot *sn)
{
    work_linking.to = sn->dir;
    work_linking.from_len = strlen(sn->link_dir);
    work_linking.status = 0;
    if (nftw(sn->link_dir, work_link_entry, WORK_DEPTH, FTW_PHYS | FTW_MOUNT) < 0 &&
        work_linking.status == 0)
        work_linking.status = -errno;
    return work_linking.status == 0 ? work_keep(sn) : work_linking.status;
}

static void work_run(uv_work_t *work)
{
    struct snapshot *sn = container_of(work, struct snapshots, work)->working;
    if (sn->task == SNAPSHOT_TASK_REMOVE)
        sn->status = rmtree(sn->dir);
    else
        sn->status = sn->task == SNAPSHOT_TASK_LINK ? work_link(sn) : work_keep(sn);
}

static void work_next(struct snapshots *s);

static void work_on_run(uv_work_t *work, int status)
{
    struct snapshots *s = container_of(work, struct snapshots, work);
    struct snapshot *sn = s->working;
    enum snapshot_task task = sn->task;
    if (status < 0)
        sn->status = status;
    s->working = NULL;
    sn->task = SNAPSHOT_TASK_NONE;
    snapshot_worked(sn, task);
    work_next(s);
}

static void work_next(struct snapshots *s)
{
    if (s->working != NULL || list_empty(&s->queue))
        return;
    s->working = list_first(&s->queue, struct snapshot, queued);
    list_del(&s->working->queued);
    (void)uv_queue_work(s->loop, &s->work, work_run, work_on_run); /* never fails */
}

void snapshot_queue(struct snapshot *sn, enum snapshot_task task)
{
    sn->task = task;
    list_add_tail(&sn->set->queue, &sn->queued);
    work_next(sn->set);
}

void snapshots_sweep(const struct snapshots *s,
                     bool (*known)(const struct snapshots *s, const char *name))
{
    char path[PATH_MAX];
    DIR *dir = opendir(s->dir);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.' || known(s, e->d_name) ||
            snprintf(path, sizeof(path), "%s/%s", s->dir, e->d_name) >= PATH_MAX)
            continue;
        int r = rmtree(path);
        log_info("left-over snapshot removed", "name=%s status=%d", e->d_name, r);
    }
    if (dir != NULL)
        (void)closedir(dir);
}
