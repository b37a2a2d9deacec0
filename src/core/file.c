/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_READ_STEP 16384

int file_read(const char *path, size_t max, struct buf *out)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (size_t total = 0;;) {
        int rv = buf_reserve(out, FILE_READ_STEP);
        if (rv < 0)
            return rv;
        ssize_t n = read(fd, out->data + out->len, FILE_READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        total += (size_t)n;
        if (total > max)
            return -EFBIG;
        out->len += (size_t)n;
    }
}

static int file_write_all(int fd, const uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int file_parent(const char *path, char parent[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : MAX((size_t)(slash - path), (size_t)1);
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(parent, slash == NULL ? "." : path, len);
    parent[len] = '\0';
    return 0;
}

int file_sync_dir(const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int file_write_temporary(const char *tmp, const void *data, size_t len, mode_t mode)
{
    (void)unlink(tmp); /* left by a crash; O_EXCL then rules out a planted link */
    cleanup_close int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int rv = file_write_all(fd, data, len);
    if (rv == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        rv = -errno;
    return rv;
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
    char tmp[PATH_MAX];
    char parent[PATH_MAX];
    int n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof(tmp) || file_parent(path, parent) < 0)
        return -ENAMETOOLONG;
    int rv = file_write_temporary(tmp, data, len, mode);
    if (rv == 0 && rename(tmp, path) < 0)
        rv = -errno;
    if (rv < 0) {
        (void)unlink(tmp);
        return rv;
    }
    return file_sync_dir(parent);
}

int file_make_dirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    struct stat st;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part))
        return len == 0 ? -ENOENT : -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return -errno;
    if (stat(part, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
