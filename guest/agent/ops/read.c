/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c - READ: a regular file from an offset, some chunks per turn while the server reads.
 *
 * It waits only for the server, at most CONN_STALL_US without progress. A file that shrinks or
 * grows during the read ends where it ends then: nothing is promised but the bytes that were there.
 * Large files go from the page cache to the socket, a frame at a time; only a file that shrinks
 * below a frame that has begun cuts the connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define READ_TURN     (256u << 10) /* bytes after which others get their turn */
#define READ_SEND_MIN (256u << 10) /* bytes that are left; below this a copy is cheaper */

struct read {
    struct conn *conn;
    struct task task;
    int fd;
    int64_t offset;
    int64_t sendable; /* where the part ends that may be sent without reading it */
    uint64_t left;
};

static void read_slice(struct task *t);

static int read_open(struct conn *c, const char *path, struct fs_node *n)
{
    cleanup_fs bool as_user = fs_enter(conn_account(c));
    int rv = fs_resolve(conn_account(c), path, n);
    if (rv < 0)
        return rv;
    if (S_ISDIR(n->st.st_mode))
        return -EISDIR;
    /* A read of a pipe or of a device may wait for ever. */
    return S_ISREG(n->st.st_mode) ? fs_reopen(n, O_RDONLY) : -EINVAL;
}

/* File systems that keep contents in the page cache. Others make them up as they are read (/proc),
 * and a size there promises nothing. */
static bool read_is_paged(int fd)
{
    static const uint32_t paged[] = {EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
                                     XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC};
    struct statfs fs;
    bool found = false;
    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(paged); i++)
        found = found || (uint32_t)fs.f_type == paged[i];
    return found;
}

static void read_start(struct conn *c, struct request *req)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    struct read *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        conn_errno(c, -ENOMEM, "cannot read");
        return;
    }
    *r = (struct read){.conn = c, .offset = (int64_t)req->offset, .left = req->length};
    c->op_state = r;
    task_init(&r->task, read_slice);
    r->fd = read_open(c, req->path, &n);
    if (r->fd < 0) {
        conn_errno(c, r->fd, req->path);
        return;
    }
    if ((req->offset & WIRE_READ_LAST) != 0)
        r->offset = n.st.st_size -
                    (int64_t)MIN((uint64_t)n.st.st_size, req->offset - WIRE_READ_LAST);
    r->sendable = read_is_paged(r->fd) ? n.st.st_size : 0;
    const char *slash = strrchr(n.path, '/');
    fs_put_stat(&c->out, WIRE_STAT, slash + 1, n.path, &n.st);
    conn_limit_stall(c);
    read_slice(&r->task);
}

/* How much of what is left may be sent without reading it. */
static uint64_t read_sendable(const struct read *r)
{
    return r->offset < r->sendable ? MIN(r->left, (uint64_t)(r->sendable - r->offset)) : 0;
}

/* The next chunk, by one of two ways: the bytes, 0 at the end, a negative errno. */
static ssize_t read_chunk(struct read *r)
{
    uint64_t sendable = read_sendable(r);
    if (sendable < READ_SEND_MIN) {
        size_t want = (size_t)MIN(r->left, (uint64_t)WIRE_CHUNK);
        return want == 0 ? 0 : conn_put_from_fd(r->conn, WIRE_DATA, r->fd, want, r->offset);
    }
    size_t len = (size_t)MIN(sendable, (uint64_t)WIRE_READ_CHUNK);
    conn_put_file(r->conn, WIRE_DATA, r->fd, r->offset, len);
    conn_kick(r->conn);
    return (ssize_t)len;
}

/* The file is open, so reading it takes no rights of the user. */
static void read_slice(struct task *t)
{
    struct read *r = container_of(t, struct read, task);
    struct conn *c = r->conn;
    for (size_t done = 0; done < READ_TURN;) {
        if (c->op != &op_read || !conn_writable(c))
            break;
        ssize_t n = read_chunk(r);
        if (n < 0) {
            conn_errno(c, (int)n, "read");
            return;
        }
        if (n == 0) {
            (void)wire_put_frame(&c->out, WIRE_END, NULL, 0);
            conn_finish(c);
            return;
        }
        done += (size_t)n;
        r->offset += n;
        r->left -= (uint64_t)n;
    }
    conn_kick(c);
    if (c->op == &op_read && conn_writable(c))
        loop_task_add(&c->agent->loop, &r->task);
}

static void read_writable(struct conn *c)
{
    struct read *r = c->op_state;
    loop_task_add(&c->agent->loop, &r->task);
}

static void read_stop(struct conn *c)
{
    struct read *r = c->op_state;
    if (r == NULL)
        return;
    task_cancel(&r->task);
    base_close_p(&r->fd);
    r->fd = -1;
}

const struct op op_read = {
    .type = WIRE_READ, .start = read_start, .writable = read_writable, .stop = read_stop};
