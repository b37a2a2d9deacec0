/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - INFO_PATH, and what is done to a file or a whole tree: LIST_TREE, CHMOD, CHOWN. All but
 * the first are jobs of a worker (worker.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"
#include "agent/worker.h"

#define FILES_FDS 32 /* directories that a walk has open at once, whatever the depth */

/* What nftw() hands to its function: one job a process, so one context. */
static struct worker *files_worker;
static uid_t files_uid = (uid_t)-1;
static gid_t files_gid = (gid_t)-1;

static void info_start(struct conn *c, struct request *req)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv;
    {
        cleanup_fs bool as_user = fs_enter(conn_account(c));
        rv = fs_resolve_link(conn_account(c), req->path, &n);
        if (rv == 0)
            rv = fs_put_info(&c->out, n.path);
    }
    if (rv < 0)
        conn_errno(c, rv, req->path);
    else
        conn_finish(c);
}

const struct op op_info_path = {.type = WIRE_INFO_PATH, .start = info_start};

static int files_list_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    uint32_t depth = MAX(files_worker->req->depth, 1u);
    if (at->level > 0 && type != FTW_NS)
        (void)fs_put_info(&files_worker->out, path);
    worker_flush(files_worker, false);
    return (uint32_t)at->level >= depth ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
}

/* nftw() ends with what the function returns, so its own end is 0 and an error is negative. */
static int files_walk(const char *path,
                      int (*one)(const char *, const struct stat *, int, struct FTW *))
{
    int rv = nftw(path, one, FILES_FDS, FTW_PHYS | FTW_ACTIONRETVAL);
    return rv == -1 ? -errno : 0;
}

static int files_list(struct worker *w)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv = fs_resolve(w->account, w->req->path, &n);
    if (rv < 0)
        return rv;
    if (!S_ISDIR(n.st.st_mode))
        return -ENOTDIR;
    files_worker = w;
    rv = files_walk(n.path, files_list_one);
    if (rv == 0)
        (void)wire_put_frame(&w->out, WIRE_END, NULL, 0);
    return rv;
}

static int files_error; /* the first one; the walk goes on to the end */

static void files_note(int rv)
{
    if (rv < 0 && files_error == 0)
        files_error = -errno;
}

static int files_chmod_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    if (!S_ISLNK(st->st_mode))
        files_note(fchmodat(AT_FDCWD, path, files_worker->req->mode, 0));
    return FTW_CONTINUE;
}

/* The user finds the file, by a path without links, and the agent changes whose it is. */
static int files_chown_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    const struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                 .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    cleanup_close int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    bool entered = geteuid() == 0;
    files_note(fd);
    if (fd < 0)
        return FTW_CONTINUE;
    fs_leave_p(&entered);
    files_note(fchownat(fd, "", files_uid, files_gid, AT_EMPTY_PATH));
    (void)fs_enter(files_worker->account);
    return FTW_CONTINUE;
}

static int files_change(struct worker *w,
                        int (*one)(const char *, const struct stat *, int, struct FTW *))
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    struct FTW top = {0};
    int rv = fs_resolve(w->account, w->req->path, &n);
    if (rv < 0)
        return rv;
    files_worker = w;
    if (!(w->req->flags & WIRE_TREE_RECURSIVE))
        (void)one(n.path, &n.st, 0, &top);
    else
        rv = files_walk(n.path, one);
    if (rv == 0)
        rv = files_error;
    if (rv == 0)
        worker_ok(w);
    return rv;
}

static int files_chmod(struct worker *w)
{
    return files_change(w, files_chmod_one);
}

static int files_chown(struct worker *w)
{
    struct account user;
    const struct request *req = w->req;
    bool known = req->user[0] == '\0' || account_find_any(req->user, &user) == 0;
    if (known && req->user[0] != '\0')
        files_uid = user.uid;
    if (!known || (req->group[0] != '\0' && account_find_group(req->group, &files_gid) < 0))
        return -EINVAL;
    return files_change(w, files_chown_one);
}

static void files_start(struct conn *c, struct request *req)
{
    static const struct worker_job list = {files_list}, mode = {files_chmod}, owner = {files_chown};
    worker_start(c, req,
                 req->type == WIRE_LIST_TREE ? &list
                 : req->type == WIRE_CHMOD   ? &mode
                                             : &owner);
}

const struct op op_list_tree = {
    .type = WIRE_LIST_TREE, .start = files_start, .writable = worker_writable, .stop = worker_stop};
const struct op op_chmod = {
    .type = WIRE_CHMOD, .start = files_start, .writable = worker_writable, .stop = worker_stop};
const struct op op_chown = {
    .type = WIRE_CHOWN, .start = files_start, .writable = worker_writable, .stop = worker_stop};
