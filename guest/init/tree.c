/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - copies a tree of files, and empties a directory.
 *
 * Every step is relative to an open directory and follows no link. The depth is bounded
 * (TREE_DEPTH), because each level costs a descriptor and a stack frame; the trees of an initramfs
 * are flat.
 */
#include "init/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/base.h"

#define TREE_DEPTH 16
#define TREE_CHUNK (1 << 20)

static int copy_dir(int from, int to, int depth);

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int copy_bytes(int in, int out)
{
    ssize_t n;
    do
        n = sendfile(out, in, NULL, TREE_CHUNK);
    while (n > 0);
    return n < 0 ? -errno : 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    cleanup_close int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_close int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rv = in < 0 || out < 0 ? -errno : copy_bytes(in, out);
    if (rv == 0 && (fchmod(out, st->st_mode & 0777) < 0 || futimens(out, times) < 0))
        rv = -errno;
    return rv;
}

static int copy_subdir(int from, int to, const char *name, const struct stat *st, int depth)
{
    if (mkdirat(to, name, 0700) < 0 || fchmodat(to, name, st->st_mode & 0777, 0) < 0)
        return -errno;
    cleanup_close int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_close int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return in < 0 || out < 0 ? -errno : copy_dir(TAKE_FD(in), out, depth + 1);
}

/* Takes `from` over. */
static int copy_dir(int from, int to, int depth)
{
    int rv = depth > TREE_DEPTH ? -ELOOP : 0;
    DIR *dir = fdopendir(from);
    if (dir == NULL) {
        rv = -errno;
        (void)close(from);
        return rv;
    }
    for (struct dirent *e; rv == 0 && (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (is_dots(e->d_name))
            continue;
        if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            rv = -errno;
        else if (S_ISDIR(st.st_mode))
            rv = copy_subdir(from, to, e->d_name, &st, depth);
        else if (S_ISREG(st.st_mode))
            rv = copy_file(from, to, e->d_name, &st);
        else
            rv = -EINVAL;
    }
    (void)closedir(dir);
    return rv;
}

int tree_copy(const char *from, const char *to)
{
    cleanup_close int in = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return in < 0 || out < 0 ? -errno : copy_dir(TAKE_FD(in), out, 0);
}

/* Takes `fd` over. */
static void remove_below(int fd, dev_t device, int depth)
{
    DIR *dir = depth > TREE_DEPTH ? NULL : fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (is_dots(e->d_name) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_dev != device)
            continue;
        bool is_dir = S_ISDIR(st.st_mode);
        int sub = is_dir ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                         : -1;
        if (sub >= 0)
            remove_below(sub, device, depth + 1);
        (void)unlinkat(fd, e->d_name, is_dir ? AT_REMOVEDIR : 0);
    }
    (void)closedir(dir);
}

void tree_remove_contents(const char *path)
{
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0)
        remove_below(TAKE_FD(fd), st.st_dev, 0);
}
