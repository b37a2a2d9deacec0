/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - COPY and MOVE, as jobs of a worker.
 *
 * The destination appears at once and whole: a move is one rename, a copy is made beside the
 * destination under a hidden name and renamed. Between two file systems a move is a copy, then the
 * source is removed. Possible failure modes are: the destination exists; a file cannot be read, or
 * there is no space (the hidden copy is removed); the worker is killed (the hidden copy stays).
 *
 * A copy has the modes and times of its source, belongs to the user, and has its links as links.
 * Sockets, pipes and devices are left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"
#include "agent/worker.h"

#define COPY_FDS   32
#define COPY_CHUNK (8u << 20)

struct copy {
    struct fs_node from, dir; /* the source; the directory of the destination */
    char to[PATH_MAX + NAME_MAX + 2];
    char temp[PATH_MAX + NAME_MAX + 2]; /* the hidden copy */
    int error;
};

static struct copy copy; /* one job a process; nftw() has no context */

static int copy_bytes(int from, int to)
{
    ssize_t n;
    while ((n = sendfile(to, from, NULL, COPY_CHUNK)) != 0) {
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    return 0;
}

static int copy_file(const char *from, const char *to, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    cleanup_close int in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return -errno;
    cleanup_close int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return -errno;
    int rv = copy_bytes(in, out);
    if (rv == 0 && (fchmod(out, st->st_mode & 07777) < 0 || futimens(out, times) < 0))
        rv = -errno;
    return rv;
}

static int copy_link(const char *from, const char *to)
{
    char text[PATH_MAX];
    ssize_t n = readlink(from, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return symlink(text, to) < 0 ? -errno : 0;
}

static int copy_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char to[2 * PATH_MAX + NAME_MAX];
    int rv = 0;
    (void)snprintf(to, sizeof(to), "%s%s", copy.temp, path + strlen(copy.from.path));
    if (type == FTW_DNR || type == FTW_NS)
        rv = -EACCES;
    else if (S_ISDIR(st->st_mode)) /* the user must get in to fill it */
        rv = mkdir(to, (st->st_mode & 07777) | 0700) < 0 ? -errno : 0;
    else if (S_ISREG(st->st_mode))
        rv = copy_file(path, to, st);
    else if (S_ISLNK(st->st_mode))
        rv = copy_link(path, to);
    copy.error = rv;
    return rv < 0 ? FTW_STOP : FTW_CONTINUE;
}

static int copy_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    if (remove(path) < 0 && errno != ENOENT && copy.error == 0)
        copy.error = -errno;
    return 0;
}

static int copy_remove(const char *path)
{
    copy.error = 0;
    if (nftw(path, copy_remove_one, COPY_FDS, FTW_PHYS | FTW_DEPTH) < 0 && copy.error == 0)
        copy.error = -errno;
    return copy.error;
}

/* Puts what is at `from` at the destination. */
static int copy_place(const char *from, uint32_t flags)
{
    struct stat st, there;
    if (!(flags & WIRE_TO_OVERWRITE))
        return renameat2(AT_FDCWD, from, AT_FDCWD, copy.to, RENAME_NOREPLACE) < 0 ? -errno : 0;
    /* rename() would replace an empty directory without a word. */
    if (lstat(copy.to, &there) == 0 && S_ISDIR(there.st_mode))
        return lstat(from, &st) == 0 && S_ISDIR(st.st_mode) ? -EEXIST : -EISDIR;
    if (lstat(from, &st) == 0 && S_ISDIR(st.st_mode) && unlink(copy.to) < 0 && errno != ENOENT)
        return -errno;
    return rename(from, copy.to) < 0 ? -errno : 0;
}

static int copy_make(uint32_t flags)
{
    struct stat there;
    uint64_t random;
    if (!(flags & WIRE_TO_OVERWRITE) && lstat(copy.to, &there) == 0)
        return -EEXIST;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(copy.temp, sizeof(copy.temp), "%s/.%016llx.copy",
                   strcmp(copy.dir.path, "/") == 0 ? "" : copy.dir.path,
                   (unsigned long long)random);
    copy.error = 0;
    int rv = nftw(copy.from.path, copy_one, COPY_FDS, FTW_PHYS | FTW_ACTIONRETVAL);
    rv = rv == -1 ? -errno : copy.error;
    if (rv == 0)
        rv = copy_place(copy.temp, flags);
    if (rv < 0)
        (void)copy_remove(copy.temp);
    return rv;
}

/* A tree cannot go into itself: the copy would never end. */
static bool copy_is_inside(const char *path, const char *tree)
{
    size_t len = strlen(tree);
    return strncmp(path, tree, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int copy_resolve(struct worker *w)
{
    char name[NAME_MAX + 1];
    const struct request *req = w->req;
    int rv = fs_resolve_link(w->account, req->path, &copy.from);
    if (rv == 0 && (req->flags & WIRE_TO_PARENTS))
        rv = fs_make_parents(w->account, req->to);
    if (rv == 0)
        rv = fs_resolve_parent(w->account, req->to, &copy.dir, name);
    if (rv < 0)
        return rv;
    (void)snprintf(copy.to, sizeof(copy.to), "%s/%s",
                   strcmp(copy.dir.path, "/") == 0 ? "" : copy.dir.path, name);
    if (strlen(copy.to) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (strcmp(copy.to, copy.from.path) == 0)
        return -EEXIST;
    return S_ISDIR(copy.from.st.st_mode) && copy_is_inside(copy.to, copy.from.path) ? -EINVAL : 0;
}

static int copy_run(struct worker *w)
{
    int rv = copy_resolve(w);
    if (rv == 0 && S_ISDIR(copy.from.st.st_mode) && !(w->req->flags & WIRE_TO_RECURSIVE))
        rv = -EISDIR;
    if (rv == 0 && !S_ISDIR(copy.from.st.st_mode) && !S_ISREG(copy.from.st.st_mode) &&
        !S_ISLNK(copy.from.st.st_mode))
        rv = -EINVAL;
    if (rv == 0)
        rv = copy_make(w->req->flags);
    return rv < 0 ? rv : fs_put_info(&w->out, copy.to);
}

static int move_run(struct worker *w)
{
    int rv = copy_resolve(w);
    if (rv == 0)
        rv = copy_place(copy.from.path, w->req->flags);
    if (rv == -EXDEV) {
        rv = copy_make(w->req->flags);
        if (rv == 0)
            rv = copy_remove(copy.from.path);
    }
    return rv < 0 ? rv : fs_put_info(&w->out, copy.to);
}

static void copy_start(struct conn *c, struct request *req)
{
    static const struct worker_job copying = {copy_run}, moving = {move_run};
    worker_start(c, req, req->type == WIRE_COPY ? &copying : &moving);
}

const struct op op_copy = {
    .type = WIRE_COPY, .start = copy_start, .writable = worker_writable, .stop = worker_stop};
const struct op op_move = {
    .type = WIRE_MOVE, .start = copy_start, .writable = worker_writable, .stop = worker_stop};
