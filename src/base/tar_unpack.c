/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_unpack.c - see tar_unpack.h.
 *
 * Every name is one part of a path below a directory that was opened part by part without following
 * links, so what a link's text means is never asked. New things are made under a random name and
 * renamed, which replaces a link rather than what it leads to.
 */
#include "base/tar_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static int unpack_entry(struct tar_reader *r, const struct tar_entry *e);
static int unpack_data(struct tar_reader *r, const uint8_t *data, size_t len);
static int unpack_finish(struct tar_reader *r);

static const struct tar_handler unpack_handler = {unpack_entry, unpack_data, unpack_finish};

void tar_unpack_init(struct tar_unpack *u, int dir)
{
    *u = (struct tar_unpack){.dir = dir, .parent = -1, .fd = -1};
    tar_reader_init(&u->reader, &unpack_handler);
}

static int unpack_fail(struct tar_unpack *u, int errnum, const char *path)
{
    (void)snprintf(u->reader.why, sizeof(u->reader.why), "%.120s: %s", path,
                   errnum == -ENOTDIR || errnum == -ELOOP ? "A part of the path is a link or a file"
                                                          : strerror(-errnum));
    return errnum;
}

/* Opens the directory `path` below the tree, and makes what is missing. */
static int unpack_open_dir(const struct tar_unpack *u, const char *path)
{
    char name[NAME_MAX + 1];
    int fd = openat(u->dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *p = path; fd >= 0 && *p != '\0';) {
        size_t n = strcspn(p, "/");
        memcpy(name, p, n);
        name[n] = '\0';
        int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno == ENOENT && (mkdirat(fd, name, 0755) == 0 || errno == EEXIST))
            next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int failed = errno;
        (void)close(fd);
        errno = failed;
        fd = next;
        p += n + (p[n] == '/');
    }
    return fd < 0 ? -errno : fd;
}

/* Splits a clean path; the directory stays open for the next entry in it. */
static int unpack_place(struct tar_unpack *u, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    (void)snprintf(u->name, sizeof(u->name), "%s", slash != NULL ? slash + 1 : path);
    if (u->parent >= 0 && strlen(u->parent_path) == len && memcmp(u->parent_path, path, len) == 0)
        return 0;
    base_close_p(&u->parent);
    memcpy(u->parent_path, path, len);
    u->parent_path[len] = '\0';
    u->parent = unpack_open_dir(u, u->parent_path);
    return MIN(u->parent, 0);
}

static int unpack_new_name(struct tar_unpack *u)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(u->temp, sizeof(u->temp), ".corral-%016llx", (unsigned long long)random);
    return 0;
}

/* The new thing takes the place of the old one. */
static int unpack_rename(struct tar_unpack *u)
{
    if (renameat(u->parent, u->temp, u->parent, u->name) < 0)
        return -errno;
    (void)unlinkat(u->parent, u->temp, 0); /* still there when both were one file */
    u->temp[0] = '\0';
    return 0;
}

static int unpack_directory(struct tar_unpack *u, const struct tar_entry *e)
{
    struct stat st;
    if (strcmp(e->path, ".") == 0)
        return 0;
    if (mkdirat(u->parent, u->name, 0700) == 0)
        return fchmodat(u->parent, u->name, (e->mode & 01777) | 0700, 0) < 0 ? -errno : 0;
    if (errno != EEXIST)
        return -errno;
    if (fstatat(u->parent, u->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int unpack_symlink(struct tar_unpack *u, const struct tar_entry *e)
{
    int rv = unpack_new_name(u);
    if (rv == 0 && symlinkat(e->target, u->parent, u->temp) < 0)
        rv = -errno;
    return rv < 0 ? rv : unpack_rename(u);
}

/* Of a file alone: a second name of a link would lead elsewhere than the first. */
static int unpack_hardlink(struct tar_unpack *u, const struct tar_entry *e)
{
    struct stat st;
    const char *slash = strrchr(e->target, '/'), *name = slash != NULL ? slash + 1 : e->target;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.*s", slash != NULL ? (int)(slash - e->target) : 0,
                   e->target);
    cleanup_close int from = unpack_open_dir(u, path);
    if (from < 0)
        return from;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    int rv = S_ISREG(st.st_mode) ? unpack_new_name(u) : -EINVAL;
    if (rv == 0 && linkat(from, name, u->parent, u->temp, 0) < 0)
        rv = -errno;
    return rv < 0 ? rv : unpack_rename(u);
}

static int unpack_file(struct tar_unpack *u, const struct tar_entry *e)
{
    int rv = unpack_new_name(u);
    if (rv < 0)
        return rv;
    u->mode = e->mode & 01777;
    u->mtime = (struct timespec){.tv_sec = e->mtime_s, .tv_nsec = (long)e->mtime_ns};
    u->fd = openat(u->parent, u->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (u->fd >= 0)
        return 0;
    rv = -errno;
    u->temp[0] = '\0';
    return rv;
}

static int unpack_entry(struct tar_reader *r, const struct tar_entry *e)
{
    static int (*const make[])(struct tar_unpack * u, const struct tar_entry *e) = {
        [TAR_FILE] = unpack_file,
        [TAR_DIRECTORY] = unpack_directory,
        [TAR_SYMLINK] = unpack_symlink,
        [TAR_HARDLINK] = unpack_hardlink,
    };
    struct tar_unpack *u = container_of(r, struct tar_unpack, reader);
    int rv = strcmp(e->path, ".") == 0 ? 0 : unpack_place(u, e->path);
    if (rv == 0)
        rv = make[e->type](u, e);
    u->entries++;
    return rv < 0 ? unpack_fail(u, rv, e->path) : 0;
}

static int unpack_data(struct tar_reader *r, const uint8_t *data, size_t len)
{
    struct tar_unpack *u = container_of(r, struct tar_unpack, reader);
    while (len > 0) {
        ssize_t n = write(u->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return unpack_fail(u, -errno, u->name);
        data += n;
        len -= (size_t)n;
        u->bytes += (uint64_t)n;
    }
    return 0;
}

/* Some file systems report the lack of space only on close. */
static int unpack_finish(struct tar_reader *r)
{
    struct tar_unpack *u = container_of(r, struct tar_unpack, reader);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, u->mtime};
    if (u->fd < 0)
        return 0;
    (void)futimens(u->fd, times); /* a time that the file system has no room for */
    int rv = fchmod(u->fd, u->mode) < 0 ? -errno : 0;
    if (close(TAKE_FD(u->fd)) < 0 && rv == 0)
        rv = -errno;
    if (rv == 0)
        rv = unpack_rename(u);
    return rv < 0 ? unpack_fail(u, rv, u->name) : 0;
}

int tar_unpack_feed(struct tar_unpack *u, const uint8_t *data, size_t len)
{
    return tar_feed(&u->reader, data, len);
}

int tar_unpack_end(struct tar_unpack *u)
{
    if (tar_is_complete(&u->reader))
        return 0;
    (void)snprintf(u->reader.why, sizeof(u->reader.why), "The archive ends before its end");
    return -EPROTO;
}

void tar_unpack_done(struct tar_unpack *u)
{
    if (u->temp[0] != '\0' && u->parent >= 0)
        (void)unlinkat(u->parent, u->temp, 0);
    u->temp[0] = '\0';
    base_close_p(&u->fd);
    base_close_p(&u->parent);
    u->fd = u->parent = -1;
    tar_reader_done(&u->reader);
}
