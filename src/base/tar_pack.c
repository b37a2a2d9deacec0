/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tar_pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/tar.h"

#define PACK_CHUNK 65536u

static int pack_directory(struct tar_pack *p, int fd, size_t len, unsigned int depth);

static int pack_skip(struct tar_pack *p, int errnum)
{
    p->skipped++;
    if (p->left_out != NULL)
        p->left_out(p, p->path, errnum);
    return 0;
}

static int pack_header(struct tar_pack *p, enum tar_type type, const struct stat *st,
                       const char *target)
{
    const struct tar_entry e = {
        .type = type,
        .path = p->path[0] != '\0' ? p->path : ".",
        .target = target,
        .mode = st->st_mode & 07777,
        .mtime_s = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .size = (uint64_t)st->st_size,
    };
    buf_reset(&p->header);
    int rv = tar_put_header(&p->header, &e);
    p->entries++;
    return rv < 0 ? rv : p->put(p, p->header.data, p->header.len);
}

static int pack_zeros(struct tar_pack *p, uint64_t left)
{
    static const uint8_t zeros[PACK_CHUNK];
    int rv = 0;
    for (size_t n = 0; left > 0 && rv == 0; left -= n) {
        n = (size_t)MIN(left, (uint64_t)sizeof(zeros));
        rv = p->put(p, zeros, n);
    }
    return rv;
}

/* Exactly `size` bytes: what the file lacks by now, or cannot be read, are zeros. */
static int pack_contents(struct tar_pack *p, int fd, uint64_t size)
{
    static uint8_t chunk[PACK_CHUNK];
    uint64_t left = size;
    while (left > 0) {
        ssize_t n = read(fd, chunk, (size_t)MIN(left, (uint64_t)sizeof(chunk)));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        int rv = p->put(p, chunk, (size_t)n);
        if (rv < 0)
            return rv;
        left -= (uint64_t)n;
    }
    p->bytes += size;
    return pack_zeros(p, left + tar_padding(size));
}

static int pack_file(struct tar_pack *p, int dir, const char *name)
{
    struct stat st;
    cleanup_close int fd = openat(dir, name,
                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return pack_skip(p, errno);
    if (!S_ISREG(st.st_mode))
        return pack_skip(p, 0);
    int rv = pack_header(p, TAR_FILE, &st, NULL);
    return rv < 0 ? rv : pack_contents(p, fd, (uint64_t)st.st_size);
}

static int pack_link(struct tar_pack *p, int dir, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof(target));
    if (n < 0 || n == (ssize_t)sizeof(target))
        return pack_skip(p, n < 0 ? errno : ENAMETOOLONG);
    target[n] = '\0';
    return pack_header(p, TAR_SYMLINK, st, target);
}

static int pack_below(struct tar_pack *p, int dir, const char *name, const struct stat *st,
                      size_t len, unsigned int depth)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || depth == TAR_DEPTH)
        return pack_skip(p, fd < 0 ? errno : ELOOP);
    int rv = pack_header(p, TAR_DIRECTORY, st, NULL);
    return rv < 0 ? rv : pack_directory(p, fd, len, depth + 1);
}

/* `len`: of the directory's own path in p->path. */
static int pack_entry(struct tar_pack *p, int dir, const char *name, size_t len, unsigned int depth)
{
    struct stat st;
    size_t n = strlen(name), at = len > 0 ? len + 1 : 0;
    if (at + n + 2 >= sizeof(p->path))
        return pack_skip(p, ENAMETOOLONG);
    if (len > 0)
        p->path[len] = '/';
    memcpy(p->path + at, name, n + 1);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : pack_skip(p, errno);
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return pack_file(p, dir, name);
    case S_IFDIR:
        return pack_below(p, dir, name, &st, at + n, depth);
    case S_IFLNK:
        return pack_link(p, dir, name, &st);
    default:
        return pack_skip(p, 0);
    }
}

static int pack_directory(struct tar_pack *p, int fd, size_t len, unsigned int depth)
{
    int rv = 0, own = dup(fd);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        rv = -errno;
        base_close_p(&own);
        return rv;
    }
    for (struct dirent *e = readdir(dir); e != NULL && rv == 0; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rv = pack_entry(p, fd, e->d_name, len, depth);
        p->path[len] = '\0';
    }
    (void)closedir(dir);
    return rv;
}

static int pack_end(struct tar_pack *p, int rv)
{
    buf_reset(&p->header);
    if (rv == 0)
        rv = tar_put_end(&p->header);
    if (rv == 0)
        rv = p->put(p, p->header.data, p->header.len);
    buf_done(&p->header);
    return rv;
}

int tar_pack_file(struct tar_pack *p, int fd, const char *path)
{
    struct stat st;
    int rv = fstat(fd, &st) < 0 ? -errno : 0;
    (void)snprintf(p->path, sizeof(p->path), "%s", path);
    if (rv == 0)
        rv = S_ISREG(st.st_mode) ? pack_header(p, TAR_FILE, &st, NULL) : -EINVAL;
    if (rv == 0)
        rv = pack_contents(p, fd, (uint64_t)st.st_size);
    return pack_end(p, rv);
}

int tar_pack_directory(struct tar_pack *p, int fd)
{
    struct stat st;
    p->path[0] = '\0';
    int rv = fstat(fd, &st) < 0 ? -errno : pack_header(p, TAR_DIRECTORY, &st, NULL);
    if (rv == 0)
        rv = pack_directory(p, fd, 0, 0);
    return pack_end(p, rv);
}
