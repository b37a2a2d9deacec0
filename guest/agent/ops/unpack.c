/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.c - UNPACK: an archive into a directory, a DATA frame a turn.
 *
 * The happy path is: the directory is made and opened, each DATA frame is unpacked with the user's
 * rights, END answers UNPACKED. A frame holds at most some hundred small files, so a turn is short.
 * Possible failure modes are: the archive is malformed or would lead out of the directory; an entry
 * cannot be made; the server goes or sends nothing for CONN_STALL_US. What was unpacked before
 * stays, but no file that is not whole.
 */
#include <errno.h>
#include <fcntl.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"
#include "base/tar_unpack.h"

struct unpack {
    struct tar_unpack tar;
    int fd; /* the directory */
};

static int unpack_open(const struct account *a, const char *path)
{
    cleanup_fs bool as_user = fs_enter(a);
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv = fs_make_directories(a, path, 0755);
    if (rv == 0)
        rv = fs_resolve(a, path, &n);
    return rv == 0 ? fs_reopen(&n, O_RDONLY | O_DIRECTORY) : rv;
}

static void unpack_start(struct conn *c, struct request *req)
{
    struct unpack *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        conn_errno(c, -ENOMEM, "cannot unpack");
        return;
    }
    u->fd = unpack_open(&c->agent->account, req->path);
    tar_unpack_init(&u->tar, u->fd);
    c->op_state = u;
    if (u->fd < 0)
        conn_errno(c, u->fd, req->path);
    else
        conn_limit_stall(c);
}

/* -EPROTO and -EINVAL are the archive's faults, which it names itself. */
static void unpack_refuse(struct conn *c, const struct unpack *u, int rv)
{
    const char *why = u->tar.reader.why;
    conn_error(c, rv == -EPROTO || rv == -EINVAL ? WIRE_E_INVALID : conn_error_code(rv), "%s",
               why[0] != '\0' ? why : "the archive cannot be unpacked");
}

static void unpack_take(struct conn *c, struct unpack *u, const struct wire_frame *f)
{
    cleanup_fs bool as_user = fs_enter(&c->agent->account);
    int rv = tar_unpack_feed(&u->tar, f->payload, f->len);
    if (rv < 0)
        unpack_refuse(c, u, rv);
}

static void unpack_end(struct conn *c, struct unpack *u)
{
    int rv = tar_unpack_end(&u->tar);
    if (rv < 0) {
        unpack_refuse(c, u, rv);
        return;
    }
    size_t start = wire_begin(&c->out, WIRE_UNPACKED);
    (void)buf_u64(&c->out, u->tar.entries);
    (void)buf_u64(&c->out, u->tar.bytes);
    wire_end(&c->out, start);
    conn_finish(c);
}

static void unpack_frame(struct conn *c, const struct wire_frame *f)
{
    struct unpack *u = c->op_state;
    if (f->type == WIRE_DATA)
        unpack_take(c, u, f);
    else if (f->type == WIRE_END && f->len == 0)
        unpack_end(c, u);
    else
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here", (unsigned)f->type);
}

static void unpack_stop(struct conn *c)
{
    struct unpack *u = c->op_state;
    if (u == NULL)
        return;
    cleanup_fs bool as_user = fs_enter(&c->agent->account);
    tar_unpack_done(&u->tar);
    base_close_p(&u->fd);
    u->fd = -1;
}

const struct op op_unpack = {
    .type = WIRE_UNPACK, .start = unpack_start, .frame = unpack_frame, .stop = unpack_stop};
