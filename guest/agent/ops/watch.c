/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - WATCH: changes below a directory, as inotify tells them.
 *
 * state     waits for                               at most
 * SCANNING  slices of a walk through the tree,      -
 *           which sets a watch on each directory
 * WATCHING  events; the server to close             as long as it likes
 *
 * A directory that appears gets a watch, and what it holds by then is told as created. The queue
 * is the kernel's: when the server does not read, the kernel drops events and says so (OVERFLOW).
 * Beyond WATCH_MAX directories nothing more is watched, which is told as an OVERFLOW, too.
 *
 * Possible failure modes are: the watched directory itself goes (its REMOVE is the last change).
 */
#include "agent/ops/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"

#define WATCH_MAX 16384
#define WATCH_MASK                                                                                 \
    (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |                 \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

struct watched {
    int wd;
    char *path; /* below the top; "" for the top itself; owned */
};

struct watch {
    struct source source; /* first: inotify */
    struct conn *conn;
    struct task task;
    char top[PATH_MAX];
    bool recursive, answered, overflow;
    struct watched *dirs;
    size_t count, cap, scanned; /* directories before `scanned` have their children watched */
    bool quiet;                 /* the first scan: what is there is not new */
    uint32_t moved_cookie;      /* of a MOVED_FROM whose MOVED_TO may follow; 0: none */
    enum wire_kind moved_kind;
    char moved[PATH_MAX];
};

static void watch_put(struct watch *w, enum wire_change what, enum wire_kind kind, const char *path,
                      const char *to)
{
    struct buf *out = &w->conn->out;
    size_t start = wire_begin(out, WIRE_CHANGE);
    (void)buf_u32(out, (uint32_t)what);
    (void)buf_u32(out, (uint32_t)kind);
    wire_put_str(out, path);
    wire_put_str(out, to);
    wire_end(out, start);
}

/* Watches the directory `path` below the top. 0 or a negative errno. */
static int watch_add(struct watch *w, const char *path)
{
    char whole[2 * PATH_MAX];
    if (w->count == WATCH_MAX)
        return -ENOSPC;
    if (w->count == w->cap) {
        size_t cap = w->cap == 0 ? 16 : w->cap * 2;
        struct watched *dirs = reallocarray(w->dirs, cap, sizeof(*dirs));
        if (dirs == NULL)
            return -ENOMEM;
        w->dirs = dirs;
        w->cap = cap;
    }
    (void)snprintf(whole, sizeof(whole), "%s%s%s", w->top, path[0] != '\0' ? "/" : "", path);
    int wd = inotify_add_watch(w->source.fd, whole, WATCH_MASK);
    if (wd < 0)
        return -errno;
    for (size_t i = 0; i < w->count; i++) {
        if (w->dirs[i].wd == wd) /* it was moved, or the scan and an event both found it */
            return 0;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    w->dirs[w->count++] = (struct watched){.wd = wd, .path = copy};
    return 0;
}

static void watch_found(struct watch *w, const char *dir, const struct dirent *e)
{
    char path[PATH_MAX + NAME_MAX + 2];
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
        return;
    (void)snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] != '\0' ? "/" : "", e->d_name);
    if (!w->quiet)
        watch_put(w, WIRE_CHANGE_CREATE, e->d_type == DT_DIR ? WIRE_KIND_DIRECTORY : WIRE_KIND_FILE,
                  path, "");
    if (e->d_type != DT_DIR || strlen(path) >= PATH_MAX)
        return;
    int rv = watch_add(w, path);
    if ((rv == -ENOSPC || rv == -ENOMEM) && !w->overflow) {
        w->overflow = true;
        watch_put(w, WIRE_CHANGE_OVERFLOW, 0, path, "");
    }
}

/* Looks into the next directory for those below it. */
static void watch_scan_one(struct watch *w)
{
    char whole[2 * PATH_MAX], dir[PATH_MAX];
    (void)snprintf(dir, sizeof(dir), "%s", w->dirs[w->scanned++].path);
    (void)snprintf(whole, sizeof(whole), "%s/%s", w->top, dir);
    DIR *d = opendir(whole);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        watch_found(w, dir, e);
    (void)closedir(d);
}

static void watch_scan(struct task *t)
{
    struct watch *w = container_of(t, struct watch, task);
    struct conn *c = w->conn;
    uint64_t until = loop_now() + FS_SLICE_US;
    {
        cleanup_fs bool as_user = fs_enter(conn_account(c));
        while (w->recursive && w->scanned < w->count && loop_now() < until)
            watch_scan_one(w);
    }
    if (w->recursive && w->scanned < w->count) {
        loop_task_add(&c->agent->loop, t);
    } else if (!w->answered) {
        w->answered = true;
        w->quiet = false;
        (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
        (void)loop_watch(&c->agent->loop, &w->source, EPOLLIN);
    }
    conn_kick(c);
}

static int watch_open(struct conn *c, struct watch *w, const char *path)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    cleanup_fs bool as_user = fs_enter(conn_account(c));
    int rv = fs_resolve(conn_account(c), path, &n);
    if (rv < 0)
        return rv;
    memcpy(w->top, n.path, sizeof(w->top));
    w->recursive = w->recursive && S_ISDIR(n.st.st_mode);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return -errno;
    w->source.fd = fd;
    return watch_add(w, "");
}

static void watch_start(struct conn *c, struct request *req)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        conn_errno(c, -ENOMEM, "cannot watch");
        return;
    }
    w->conn = c;
    w->quiet = true;
    w->recursive = (req->flags & WIRE_TREE_RECURSIVE) != 0;
    source_init(&w->source, SOURCE_WATCH, -1);
    task_init(&w->task, watch_scan);
    c->op_state = w;
    int rv = watch_open(c, w, req->path);
    if (rv < 0)
        conn_errno(c, rv, req->path);
    else
        watch_scan(&w->task);
}

static struct watched *watch_find(struct watch *w, int wd)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->dirs[i].wd == wd)
            return &w->dirs[i];
    }
    return NULL;
}

/* A rename whose new name did not follow: it left the tree. */
static void watch_flush_moved(struct watch *w)
{
    if (w->moved_cookie != 0)
        watch_put(w, WIRE_CHANGE_RENAME, w->moved_kind, w->moved, "");
    w->moved_cookie = 0;
}

/* Directories below a renamed one keep their watches and have new paths. */
static void watch_rename_dirs(struct watch *w, const char *from, const char *to)
{
    size_t len = strlen(from);
    for (size_t i = 0; i < w->count; i++) {
        char path[2 * PATH_MAX];
        char *old = w->dirs[i].path;
        if (strncmp(old, from, len) != 0 || (old[len] != '/' && old[len] != '\0'))
            continue;
        (void)snprintf(path, sizeof(path), "%s%s", to, old + len);
        char *copy = strdup(path);
        if (copy == NULL)
            continue;
        free(old);
        w->dirs[i].path = copy;
    }
}

static void watch_appeared(struct watch *w, const struct inotify_event *e, enum wire_kind kind,
                           const char *path)
{
    bool renamed = (e->mask & IN_MOVED_TO) && e->cookie == w->moved_cookie;
    if (renamed) {
        w->moved_cookie = 0;
        watch_put(w, WIRE_CHANGE_RENAME, kind, w->moved, path);
        if (kind == WIRE_KIND_DIRECTORY)
            watch_rename_dirs(w, w->moved, path);
        return;
    }
    watch_put(w, WIRE_CHANGE_CREATE, kind, path, "");
    if (kind == WIRE_KIND_DIRECTORY && w->recursive) {
        cleanup_fs bool as_user = fs_enter(conn_account(w->conn));
        (void)watch_add(w, path);
        loop_task_add(&w->conn->agent->loop, &w->task);
    }
}

static void watch_take(struct watch *w, const struct inotify_event *e)
{
    char path[PATH_MAX + NAME_MAX + 2];
    struct watched *dir = watch_find(w, e->wd);
    if (e->mask & IN_Q_OVERFLOW)
        watch_put(w, WIRE_CHANGE_OVERFLOW, 0, "", "");
    if (dir == NULL)
        return;
    if (w->moved_cookie != 0 && !((e->mask & IN_MOVED_TO) && e->cookie == w->moved_cookie))
        watch_flush_moved(w);
    enum wire_kind kind = (e->mask & IN_ISDIR) ? WIRE_KIND_DIRECTORY : WIRE_KIND_FILE;
    const char *name = e->len > 0 ? e->name : "";
    (void)snprintf(path, sizeof(path), "%s%s%s", dir->path,
                   dir->path[0] != '\0' && name[0] != '\0' ? "/" : "", name);
    if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        watch_appeared(w, e, kind, path);
    } else if (e->mask & IN_MODIFY) {
        watch_put(w, WIRE_CHANGE_WRITE, kind, path, "");
    } else if (e->mask & IN_DELETE) {
        watch_put(w, WIRE_CHANGE_REMOVE, kind, path, "");
    } else if (e->mask & IN_MOVED_FROM) {
        w->moved_cookie = e->cookie;
        w->moved_kind = kind;
        (void)snprintf(w->moved, sizeof(w->moved), "%s", path);
    } else if ((e->mask & IN_ATTRIB) && (name[0] != '\0' || dir->path[0] == '\0')) {
        watch_put(w, WIRE_CHANGE_CHMOD, kind, path, ""); /* a directory tells of itself, too */
    } else if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) && dir->path[0] == '\0') {
        watch_put(w, WIRE_CHANGE_REMOVE, 0, "", "");
    }
    if (e->mask & IN_IGNORED)
        dir->wd = -1;
}

void watch_handle_event(struct source *s)
{
    static _Alignas(struct inotify_event) char events[16384];
    struct watch *w = container_of(s, struct watch, source);
    ssize_t n = read(s->fd, events, sizeof(events));
    if (n <= 0)
        return;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(events + at);
        watch_take(w, e);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    watch_flush_moved(w);
    conn_kick(w->conn);
    if (s->fd >= 0 && !conn_writable(w->conn))
        (void)loop_watch(&w->conn->agent->loop, s, 0);
}

static void watch_writable(struct conn *c)
{
    struct watch *w = c->op_state;
    if (w->answered)
        (void)loop_watch(&c->agent->loop, &w->source, EPOLLIN);
}

static void watch_stop(struct conn *c)
{
    struct watch *w = c->op_state;
    if (w == NULL)
        return;
    task_cancel(&w->task);
    loop_close(&c->agent->loop, &w->source);
    for (size_t i = 0; i < w->count; i++)
        free(w->dirs[i].path);
    free(w->dirs);
    w->dirs = NULL;
    w->count = 0;
}

const struct op op_watch = {
    .type = WIRE_WATCH, .start = watch_start, .writable = watch_writable, .stop = watch_stop};
