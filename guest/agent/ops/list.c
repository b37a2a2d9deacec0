/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c - LIST: the entries of a directory, sorted by name.
 *
 * state     does                                          waits for
 * SCANNING  collects names, at most LIST_MAX_NAMES        -
 * SENDING   an ENTRY for each name that is still there    the server, at most CONN_STALL_US
 *                                                         without progress
 *
 * All names are read before the first answer, because they are sorted. LIST_MAX_NAMES bounds the
 * memory. Both states work in slices.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define LIST_MAX_NAMES 65536u
#define LIST_SCAN      512 /* names per slice */
#define LIST_SEND      64  /* entries per slice */

struct list_names {
    struct conn *conn;
    struct task task;
    DIR *dir;
    char path[PATH_MAX];
    char **names; /* owned, each too */
    size_t count, cap;
    size_t sent;
    bool sending;
};

static void list_slice(struct task *t);

static int list_open(struct conn *c, const char *path, struct list_names *l)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    cleanup_fs bool as_user = fs_enter(conn_account(c));
    int rv = fs_resolve(conn_account(c), path, &n);
    if (rv < 0)
        return rv;
    if (!S_ISDIR(n.st.st_mode))
        return -ENOTDIR;
    memcpy(l->path, n.path, sizeof(l->path));
    cleanup_close int fd = fs_reopen(&n, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    l->dir = fdopendir(fd);
    if (l->dir == NULL)
        return -errno;
    (void)TAKE_FD(fd);
    return 0;
}

static void list_start(struct conn *c, struct request *req)
{
    struct list_names *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        conn_errno(c, -ENOMEM, "cannot list");
        return;
    }
    l->conn = c;
    c->op_state = l;
    task_init(&l->task, list_slice);
    int rv = list_open(c, req->path, l);
    if (rv < 0) {
        conn_errno(c, rv, req->path);
        return;
    }
    conn_limit_stall(c);
    list_slice(&l->task);
}

static int list_add(struct list_names *l, const char *name)
{
    if (l->count == LIST_MAX_NAMES)
        return -EFBIG;
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        char **names = reallocarray(l->names, cap, sizeof(*names));
        if (names == NULL)
            return -ENOMEM;
        l->names = names;
        l->cap = cap;
    }
    l->names[l->count] = strdup(name);
    if (l->names[l->count] == NULL)
        return -ENOMEM;
    l->count++;
    return 0;
}

static int list_by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* 1 at the end of the directory, 0 when there is more. */
static int list_scan(struct list_names *l)
{
    for (int i = 0; i < LIST_SCAN; i++) {
        errno = 0;
        struct dirent *e = readdir(l->dir);
        if (e == NULL)
            return errno != 0 ? -errno : 1;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int rv = list_add(l, e->d_name);
        if (rv < 0)
            return rv;
    }
    return 0;
}

static void list_send_one(struct list_names *l, const char *name)
{
    char path[PATH_MAX + NAME_MAX + 2];
    struct stat st = {0};
    /* Without the right to search the directory there are names and nothing more. */
    if (fstatat(dirfd(l->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return;
    (void)snprintf(path, sizeof(path), "%s/%s", strcmp(l->path, "/") == 0 ? "" : l->path, name);
    fs_put_stat(&l->conn->out, WIRE_ENTRY, name, path, &st);
}

static void list_send(struct list_names *l)
{
    cleanup_fs bool as_user = fs_enter(conn_account(l->conn));
    for (int i = 0; i < LIST_SEND && l->sent < l->count; i++)
        list_send_one(l, l->names[l->sent++]);
}

static void list_slice(struct task *t)
{
    struct list_names *l = container_of(t, struct list_names, task);
    struct conn *c = l->conn;
    if (!l->sending) {
        int rv = list_scan(l);
        if (rv < 0) {
            conn_errno(c, rv, "list");
            return;
        }
        if (rv > 0) {
            if (l->count > 0)
                qsort(l->names, l->count, sizeof(*l->names), list_by_name);
            l->sending = true;
        }
    }
    if (l->sending && conn_writable(c))
        list_send(l);
    if (l->sending && l->sent == l->count) {
        (void)wire_put_frame(&c->out, WIRE_END, NULL, 0);
        conn_finish(c);
        return;
    }
    conn_kick(c);
    if (c->op == &op_list && conn_writable(c))
        loop_task_add(&c->agent->loop, &l->task);
}

static void list_writable(struct conn *c)
{
    struct list_names *l = c->op_state;
    loop_task_add(&c->agent->loop, &l->task);
}

static void list_stop(struct conn *c)
{
    struct list_names *l = c->op_state;
    if (l == NULL)
        return;
    task_cancel(&l->task);
    if (l->dir != NULL)
        (void)closedir(l->dir);
    l->dir = NULL;
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    l->names = NULL;
    l->count = 0;
}

const struct op op_list = {
    .type = WIRE_LIST, .start = list_start, .writable = list_writable, .stop = list_stop};
