/* SPDX-License-Identifier: Apache-2.0 */
/* stat.c - STAT_PATH and MKDIR. Both are one step and answer at once. */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define MKDIR_DEFAULT_MODE 0755

static void stat_start(struct conn *c, struct request *req)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv;
    {
        /* The rights are for the resolution only: the answer comes from the open file. */
        cleanup_fs bool as_user = fs_enter(conn_account(c));
        rv = fs_resolve(conn_account(c), req->path, &n);
    }
    if (rv < 0) {
        conn_errno(c, rv, req->path);
        return;
    }
    const char *name = strrchr(n.path, '/') + 1;
    fs_put_stat(&c->out, WIRE_STAT, name[0] != '\0' ? name : "/", n.path, &n.st);
    conn_finish(c);
}

static int mkdir_one(const struct account *a, const char *path, mode_t mode)
{
    char name[NAME_MAX + 1];
    cleanup_fs_node struct fs_node parent = {.fd = -1};
    int rv = fs_resolve_parent(a, path, &parent, name);
    if (rv == -EINVAL) /* "/" or "a/..": it exists when it can be resolved at all */
        return (rv = fs_resolve(a, path, &parent)) < 0 ? rv : -EEXIST;
    if (rv < 0)
        return rv;
    /* Below the resolved parent: mkdirat() does not follow a link in the last part. */
    return mkdirat(parent.fd, name, mode) < 0 ? -errno : 0;
}

static int mkdir_as_user(const struct account *a, const struct request *req)
{
    mode_t mode = req->mode != 0 ? req->mode : MKDIR_DEFAULT_MODE;
    cleanup_fs bool as_user = fs_enter(a);
    return (req->flags & WIRE_MKDIR_PARENTS) ? fs_make_directories(a, req->path, mode)
                                             : mkdir_one(a, req->path, mode);
}

static void mkdir_start(struct conn *c, struct request *req)
{
    int rv = mkdir_as_user(conn_account(c), req);
    if (rv < 0) {
        conn_errno(c, rv, req->path);
        return;
    }
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

const struct op op_stat_path = {.type = WIRE_STAT_PATH, .start = stat_start};
const struct op op_mkdir = {.type = WIRE_MKDIR, .start = mkdir_start};
