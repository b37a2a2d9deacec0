/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove.c - REMOVE: a file, or with RECURSIVE a whole tree, in slices.
 *
 * One directory is open at a time, whatever the depth: going down remembers the name and the
 * identity of the directory left, going up opens ".." and compares. Each directory is read from
 * its start again until it is empty, because removing entries moves the others. In all it may take
 * REMOVE_US. Possible failure modes are: a right is missing; a directory was moved away meanwhile
 * (BUSY).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define REMOVE_US        (600 * 1000000ull)
#define REMOVE_MAX_DEPTH 16384u
#define REMOVE_READ      16384 /* bytes of entries read at once */

struct remove_level {
    dev_t dev;
    ino_t ino;      /* of the directory itself */
    size_t name_at; /* its name in its parent: offset in `names` */
};

struct remove {
    struct conn *conn;
    struct task task;
    struct fs_node parent; /* holds what is removed */
    int dir_fd;            /* the directory worked on; -1: none */
    struct remove_level *levels;
    size_t depth, cap;
    struct buf names;
};

static void remove_slice(struct task *t);

static int remove_level_push(struct remove *r, int fd, const char *name)
{
    struct stat st;
    if (r->depth == REMOVE_MAX_DEPTH)
        return -ELOOP;
    if (r->depth == r->cap) {
        size_t cap = r->cap == 0 ? 16 : r->cap * 2;
        struct remove_level *levels = reallocarray(r->levels, cap, sizeof(*levels));
        if (levels == NULL)
            return -ENOMEM;
        r->levels = levels;
        r->cap = cap;
    }
    if (fstat(fd, &st) < 0)
        return -errno;
    r->levels[r->depth] = (struct remove_level){
        .dev = st.st_dev, .ino = st.st_ino, .name_at = r->names.len};
    if (buf_append(&r->names, name, strlen(name) + 1) < 0)
        return -ENOMEM;
    r->depth++;
    return 0;
}

static int remove_descend(struct remove *r, int from, const char *name)
{
    cleanup_close int fd = openat(from, name,
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int rv = remove_level_push(r, fd, name);
    if (rv < 0)
        return rv;
    base_close_p(&r->dir_fd);
    r->dir_fd = TAKE_FD(fd);
    return 0;
}

/* Opens the directory above the current one, which must still be the one we came from. */
static int remove_open_above(struct remove *r)
{
    struct stat st;
    if (r->depth == 1)
        return fcntl(r->parent.fd, F_DUPFD_CLOEXEC, 3);
    const struct remove_level *above = &r->levels[r->depth - 2];
    cleanup_close int fd = openat(r->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_dev != above->dev || st.st_ino != above->ino)
        return -EBUSY;
    return TAKE_FD(fd);
}

static int remove_ascend(struct remove *r)
{
    int fd = remove_open_above(r);
    if (fd < 0)
        return fd;
    size_t name_at = r->levels[r->depth - 1].name_at;
    const char *name = (const char *)r->names.data + name_at;
    base_close_p(&r->dir_fd);
    r->dir_fd = fd;
    r->depth--;
    r->names.len = name_at;
    /* Somebody has filled the directory in the meantime. Below the top the next pass over its
     * parent finds it again; at the top it is an error. */
    if (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT &&
        (errno != ENOTEMPTY || r->depth == 0))
        return -errno;
    return 0;
}

/* Removes one entry. 1 when it has gone down into a directory instead. */
static int remove_entry(struct remove *r, const char *name)
{
    if (unlinkat(r->dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    int err = errno;
    if (err != EISDIR && err != EPERM) /* a directory is EISDIR on Linux and EPERM in POSIX */
        return -err;
    int rv = remove_descend(r, r->dir_fd, name);
    if (rv == -EACCES && unlinkat(r->dir_fd, name, AT_REMOVEDIR) == 0)
        return 0; /* empty: it need not be read */
    return rv == 0 ? 1 : rv == -ENOTDIR ? -err : rv;
}

/* One read of the current directory. */
static int remove_pass(struct remove *r, uint64_t until)
{
    static _Alignas(struct dirent64) char entries[REMOVE_READ];
    bool seen = false;
    if (lseek(r->dir_fd, 0, SEEK_SET) < 0)
        return -errno;
    for (;;) {
        long n = syscall(SYS_getdents64, r->dir_fd, entries, sizeof(entries));
        if (n < 0)
            return -errno;
        if (n == 0)
            return seen ? 0 : remove_ascend(r);
        for (long at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(entries + at);
            at += e->d_reclen;
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            seen = true;
            int rv = remove_entry(r, e->d_name);
            if (rv != 0)
                return rv < 0 ? rv : 0;
            if (loop_now() > until)
                return 0;
        }
    }
}

static int remove_first(const struct account *a, const struct request *req, struct remove *r)
{
    char name[NAME_MAX + 1];
    cleanup_fs bool as_user = fs_enter(a);
    int rv = fs_resolve_parent(a, req->path, &r->parent, name);
    if (rv < 0)
        return rv;
    if (unlinkat(r->parent.fd, name, 0) == 0)
        return 0;
    if (errno != EISDIR)
        return -errno;
    if (unlinkat(r->parent.fd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY || !(req->flags & WIRE_REMOVE_RECURSIVE))
        return -errno;
    return remove_descend(r, r->parent.fd, name);
}

static void remove_done(struct conn *c, int rv, const char *what)
{
    if (rv < 0) {
        conn_errno(c, rv, what);
        return;
    }
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

static void remove_start(struct conn *c, struct request *req)
{
    struct remove *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        conn_errno(c, -ENOMEM, "cannot remove");
        return;
    }
    r->conn = c;
    r->parent.fd = r->dir_fd = -1;
    c->op_state = r;
    task_init(&r->task, remove_slice);
    int rv = remove_first(conn_account(c), req, r);
    if (rv < 0 || r->depth == 0) {
        remove_done(c, rv, req->path);
        return;
    }
    loop_timer_start(&c->agent->loop, &c->timer, REMOVE_US);
    loop_task_add(&c->agent->loop, &r->task);
}

static int remove_work(struct remove *r)
{
    cleanup_fs bool as_user = fs_enter(conn_account(r->conn));
    uint64_t until = loop_now() + FS_SLICE_US;
    int rv = 0;
    while (rv == 0 && r->depth > 0 && loop_now() < until)
        rv = remove_pass(r, until);
    return rv;
}

static void remove_slice(struct task *t)
{
    struct remove *r = container_of(t, struct remove, task);
    int rv = remove_work(r);
    if (rv < 0 || r->depth == 0)
        remove_done(r->conn, rv, "remove");
    else
        loop_task_add(&r->conn->agent->loop, &r->task);
}

static void remove_stop(struct conn *c)
{
    struct remove *r = c->op_state;
    if (r == NULL)
        return;
    task_cancel(&r->task);
    base_close_p(&r->dir_fd);
    r->dir_fd = -1;
    fs_node_done(&r->parent);
    free(r->levels);
    r->levels = NULL;
    buf_done(&r->names);
}

const struct op op_remove = {.type = WIRE_REMOVE, .start = remove_start, .stop = remove_stop};
