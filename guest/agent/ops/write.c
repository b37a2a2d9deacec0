/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c - WRITE: a file that is either the old one or all of the new one.
 *
 * The happy path is: a hidden file beside the target takes the DATA frames, END gives it its mode
 * and renames it over the target, WRITTEN. When END names another target, the hidden file first
 * moves beside that one; on another file system it is copied there, a slice a turn. ATTRIBUTES go
 * to the hidden file, so the file has them from its first moment and none of the old one's. With
 * APPEND and a target that exists, the hidden file is copied behind it once all has come. Possible
 * failure modes are: the target cannot be one (a directory, a device, no right to it); no space;
 * the server goes or sends nothing for CONN_STALL_US. The hidden file is removed in all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define WRITE_DEFAULT_MODE 0644
#define WRITE_TEMP_MAX     40
#define WRITE_COPY_CHUNK   (1u << 20)

struct write {
    struct conn *conn;
    struct task task; /* copies a slice */
    struct fs_node dir;
    int fd;
    int old_fd; /* the hidden file beside the first target, while it is copied */
    char name[NAME_MAX + 1];
    char temp[WRITE_TEMP_MAX]; /* "": there is no hidden file */
    mode_t mode;
    uint32_t flags;
    uint64_t bytes;
    bool exists;     /* the target, before */
    bool attributes; /* the hidden file has some */
};

static void write_copy_slice(struct task *t);
static void write_append(struct conn *c, struct write *w);

/* The existing file that `path` leads to, links resolved: the rename must replace the file and not
 * the link. -ENOENT: there is none yet. */
static int write_find_existing(const struct account *a, const char *path, struct write *w,
                               char real[PATH_MAX])
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv = fs_resolve(a, path, &n);
    if (rv < 0)
        return rv;
    if (!S_ISREG(n.st.st_mode))
        return S_ISDIR(n.st.st_mode) ? -EISDIR : -EINVAL;
    /* The directory decides who may replace a file. Refuse what open() for writing would refuse. */
    cleanup_close int probe = fs_reopen(&n, O_WRONLY);
    if (probe < 0 && probe != -ETXTBSY)
        return probe;
    w->mode = n.st.st_mode & 07777;
    w->exists = true;
    memcpy(real, n.path, sizeof(n.path));
    return 0;
}

/* The name is random, so that writers of the same file do not meet. The mode is 0600 until END, so
 * that nobody reads half a file. */
static int write_open_temp(struct write *w)
{
    uint64_t random[2];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(w->temp, sizeof(w->temp), ".%016llx%016llx", (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    w->fd = openat(w->dir.fd, w->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd >= 0)
        return 0;
    w->temp[0] = '\0';
    return -errno;
}

static int write_open(const struct account *a, const char *path, uint32_t flags, struct write *w)
{
    char real[PATH_MAX];
    cleanup_fs bool as_user = fs_enter(a);
    int rv = write_find_existing(a, path, w, real);
    if (rv == 0)
        path = real;
    else if (rv != -ENOENT)
        return rv;
    else if (path[strlen(path) - 1] == '/')
        return -EISDIR;
    else if (flags & WIRE_WRITE_PARENTS)
        rv = fs_make_parents(a, path);
    else
        rv = 0;
    if (rv == 0)
        rv = fs_resolve_parent(a, path, &w->dir, w->name);
    return rv < 0 ? rv : write_open_temp(w);
}

static void write_start(struct conn *c, struct request *req)
{
    struct write *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        conn_errno(c, -ENOMEM, "cannot write");
        return;
    }
    w->conn = c;
    w->fd = w->old_fd = w->dir.fd = -1;
    w->flags = req->flags;
    w->mode = req->mode != 0 ? req->mode : WRITE_DEFAULT_MODE;
    task_init(&w->task, write_copy_slice);
    c->op_state = w;
    int rv = write_open(conn_account(c), req->path, w->flags, w);
    if (rv < 0)
        conn_errno(c, rv, req->path);
    else
        conn_limit_stall(c);
}

static int write_all(struct write *w, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(w->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
        w->bytes += (uint64_t)n;
    }
    return 0;
}

/* Some file systems report the lack of space only on close. */
static int write_commit(const struct account *a, struct write *w)
{
    cleanup_fs bool as_user = fs_enter(a);
    if (fchmod(w->fd, w->mode) < 0 || close(TAKE_FD(w->fd)) < 0)
        return -errno;
    if (renameat(w->dir.fd, w->temp, w->dir.fd, w->name) < 0)
        return -errno;
    w->temp[0] = '\0';
    return 0;
}

static void write_answer(struct conn *c, struct write *w)
{
    char path[PATH_MAX + NAME_MAX + 2];
    (void)snprintf(path, sizeof(path), "%s/%s", strcmp(w->dir.path, "/") == 0 ? "" : w->dir.path,
                   w->name);
    size_t start = wire_begin(&c->out, WIRE_WRITTEN);
    wire_put_str(&c->out, path);
    (void)buf_u64(&c->out, w->bytes);
    wire_end(&c->out, start);
    conn_finish(c);
}

static void write_end(struct conn *c, struct write *w)
{
    if ((w->flags & WIRE_WRITE_APPEND) && w->exists) {
        write_append(c, w);
        return;
    }
    int rv = write_commit(conn_account(c), w);
    if (rv < 0)
        conn_errno(c, rv, "write");
    else
        write_answer(c, w);
}

static void write_remove_temp(struct conn *c, struct write *w)
{
    cleanup_fs bool as_user = fs_enter(conn_account(c));
    if (w->temp[0] != '\0')
        (void)unlinkat(w->dir.fd, w->temp, 0);
    w->temp[0] = '\0';
}

/* Makes `path` the target. 1 when the bytes must be copied there first. */
static int write_retarget(struct conn *c, struct write *w, const char *path)
{
    struct write to = {.fd = -1, .dir.fd = -1, .mode = w->mode};
    const struct account *a = conn_account(c);
    int rv = write_open(a, path, w->flags, &to);
    if (rv == 0) {
        cleanup_fs bool as_user = fs_enter(a);
        rv = renameat(w->dir.fd, w->temp, to.dir.fd, to.temp) == 0 ? 0 : -errno;
    }
    if (rv == 0) {
        (void)close(to.fd); /* the file that the rename replaced */
        to.fd = TAKE_FD(w->fd);
        w->temp[0] = '\0';
    } else if (rv == -EXDEV) {
        w->old_fd = TAKE_FD(w->fd);
        rv = 1;
    } else {
        write_remove_temp(c, &to);
        base_close_p(&to.fd);
        fs_node_done(&to.dir);
        return rv;
    }
    write_remove_temp(c, w);
    fs_node_done(&w->dir);
    w->fd = to.fd;
    w->dir = to.dir;
    w->mode = to.mode;
    memcpy(w->name, to.name, sizeof(w->name));
    memcpy(w->temp, to.temp, sizeof(w->temp));
    return rv;
}

/* One piece from the hidden file to the end of the target. The bytes, 0 at the end, or a negative
 * errno. */
static ssize_t write_append_piece(struct write *w)
{
    static char chunk[WIRE_CHUNK];
    ssize_t n = read(w->old_fd, chunk, sizeof(chunk));
    for (ssize_t at = 0; at < n;) {
        ssize_t put = write(w->fd, chunk + at, (size_t)(n - at));
        if (put < 0)
            return -errno;
        at += put;
    }
    return n < 0 ? -errno : n;
}

static void write_append_slice(struct task *t)
{
    struct write *w = container_of(t, struct write, task);
    uint64_t until = loop_now() + FS_SLICE_US;
    ssize_t n = 1;
    while (n > 0 && loop_now() < until)
        n = write_append_piece(w);
    if (n < 0)
        conn_errno(w->conn, (int)n, "write");
    else if (n == 0)
        write_answer(w->conn, w);
    else
        loop_task_add(&w->conn->agent->loop, t);
}

/* All bytes have come: nothing is appended of a request that is cut short. */
static void write_append(struct conn *c, struct write *w)
{
    int rv;
    w->old_fd = TAKE_FD(w->fd);
    {
        cleanup_fs bool as_user = fs_enter(conn_account(c));
        w->fd = openat(w->dir.fd, w->name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        rv = w->fd < 0 || lseek(w->old_fd, 0, SEEK_SET) < 0 ? -errno : 0;
    }
    if (rv < 0) {
        conn_errno(c, rv, "write");
        return;
    }
    conn_pause_input(c, true);
    task_init(&w->task, write_append_slice);
    loop_task_add(&c->agent->loop, &w->task);
}

static void write_copy_slice(struct task *t)
{
    struct write *w = container_of(t, struct write, task);
    uint64_t until = loop_now() + FS_SLICE_US;
    ssize_t n = 1;
    while (n > 0 && loop_now() < until)
        n = sendfile(w->fd, w->old_fd, NULL, WRITE_COPY_CHUNK);
    if (n < 0)
        conn_errno(w->conn, -errno, "write");
    else if (n == 0)
        write_end(w->conn, w);
    else
        loop_task_add(&w->conn->agent->loop, t);
}

static void write_end_at(struct conn *c, struct write *w, const struct wire_frame *f)
{
    struct cursor cur = cursor_on(f->payload, f->len);
    cleanup_free char *path = wire_get_str(&cur);
    if (!cursor_end(&cur) || path[0] == '\0' || strlen(path) >= PATH_MAX ||
        (w->flags & WIRE_WRITE_APPEND) || w->attributes) {
        conn_error(c, WIRE_E_INVALID, "bad path");
        return;
    }
    int rv = write_retarget(c, w, path);
    if (rv < 0) {
        conn_errno(c, rv, path);
    } else if (rv == 0) {
        write_end(c, w);
    } else {
        conn_pause_input(c, true);
        if (lseek(w->old_fd, 0, SEEK_SET) < 0)
            conn_errno(c, -errno, "write");
        else
            loop_task_add(&c->agent->loop, &w->task);
    }
}

/* The file is open, so it takes no rights of the user to change it. */
static void write_attributes(struct conn *c, struct write *w, const struct wire_frame *f)
{
    struct cursor cur = cursor_on(f->payload, f->len);
    char **list = wire_get_list(&cur);
    int rv = cursor_end(&cur) && !(w->flags & WIRE_WRITE_APPEND) ? 0 : -EINVAL;
    for (size_t i = 0; rv == 0 && list != NULL && list[i] != NULL; i++)
        rv = fs_set_attribute(w->fd, list[i]);
    w->attributes = true;
    free(list);
    if (rv < 0)
        conn_errno(c, rv, "attributes");
}

static void write_frame(struct conn *c, const struct wire_frame *f)
{
    struct write *w = c->op_state;
    if (f->type == WIRE_DATA) {
        int rv = write_all(w, f->payload, f->len);
        if (rv < 0)
            conn_errno(c, rv, "write");
    } else if (f->type == WIRE_ATTRIBUTES) {
        write_attributes(c, w, f);
    } else if (f->type == WIRE_END && f->len == 0) {
        write_end(c, w);
    } else if (f->type == WIRE_END) {
        write_end_at(c, w, f);
    } else {
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here", (unsigned)f->type);
    }
}

static void write_stop(struct conn *c)
{
    struct write *w = c->op_state;
    if (w == NULL)
        return;
    task_cancel(&w->task);
    base_close_p(&w->fd);
    base_close_p(&w->old_fd);
    w->fd = w->old_fd = -1;
    write_remove_temp(c, w);
    fs_node_done(&w->dir);
}

const struct op op_write = {
    .type = WIRE_WRITE, .start = write_start, .frame = write_frame, .stop = write_stop};
