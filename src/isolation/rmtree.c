/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rmtree.c - depth is taken out of the tree instead of being walked: a directory found inside a
 * directory is moved up to the top before its parent is removed. Each directory moves at most once,
 * so the work is linear, and the longest path ever used has two names.
 */
#include "isolation/rmtree.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct rmtree {
    int top;
    dev_t dev;
    uint64_t moved; /* gives moved directories their names */
    bool progress;  /* something went in this pass */
    bool left;      /* something may still be there */
    int error;      /* of an entry that would not go */
};

static void rmtree_entry(struct rmtree *t, int dirfd, const char *name, bool at_top);

static bool rmtree_is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Calls rmtree_entry for each entry of `fd`, which is closed. */
static int rmtree_each(struct rmtree *t, int fd, bool at_top)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (!rmtree_is_dots(e->d_name))
            rmtree_entry(t, dirfd(d), e->d_name, at_top);
    }
    (void)closedir(d);
    return 0;
}

static int rmtree_open(const struct rmtree *t, int dirfd, const char *name)
{
    cleanup_close int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return st.st_dev == t->dev ? TAKE_FD(fd) : -EXDEV;
}

static int rmtree_move_to_top(struct rmtree *t, int dirfd, const char *name)
{
    char target[32];
    for (;;) {
        (void)snprintf(target, sizeof(target), "moved-%llu", (unsigned long long)t->moved++);
        if (renameat2(dirfd, name, t->top, target, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
}

static void rmtree_entry(struct rmtree *t, int dirfd, const char *name, bool at_top)
{
    int r = 0;
    if (unlinkat(dirfd, name, 0) == 0 || unlinkat(dirfd, name, AT_REMOVEDIR) == 0) {
        t->progress = true;
        return;
    }
    if (errno == ENOENT)
        return;
    t->left = true;
    if (errno != ENOTEMPTY && errno != EEXIST) {
        r = -errno;
    } else if (!at_top) {
        r = rmtree_move_to_top(t, dirfd, name);
        t->progress = t->progress || r == 0;
    } else {
        int fd = rmtree_open(t, dirfd, name);
        r = fd < 0 ? fd : rmtree_each(t, fd, false);
    }
    if (r < 0)
        t->error = r;
}

int rmtree(const char *path)
{
    struct rmtree t = {0};
    cleanup_close int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (top < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(top, &st) < 0)
        return -errno;
    t.top = top;
    t.dev = st.st_dev;
    do {
        t.progress = t.left = false;
        t.error = 0;
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        int r = rmtree_each(&t, fd, true);
        if (r < 0)
            return r;
    } while (t.left && t.progress);
    if (t.left)
        return t.error < 0 ? t.error : -ENOTEMPTY;
    return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}
