/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs.c - resolves paths with the user's rights.
 *
 * A path is resolved once, by open() with O_PATH. Everything after that uses the descriptor:
 * /proc/self/fd gives its real path and opens the file itself. A link that changes in between has
 * no effect.
 */
#include "agent/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/xattr.h>

#include "base/log.h"

#define ATTRIBUTE_SPACE "user." /* what these names begin with; others are not told */

/* They stay when the rights are given back, as they mean nothing to root. */
static void take_groups(const struct account *a)
{
    static char whose[ACCOUNT_NAME_MAX];
    if (strcmp(whose, a->name) == 0)
        return;
    if (setgroups(a->group_count, a->groups) < 0)
        log_warn("cannot take the user's groups, ignoring", "error=\"%s\"", strerror(errno));
    strcpy(whose, a->name);
}

bool fs_enter(const struct account *a)
{
    if (geteuid() != 0 || a->uid == 0)
        return false;
    take_groups(a);
    /* With the new fsuid the agent loses the capabilities that override file modes. */
    (void)setfsgid(a->gid);
    (void)setfsuid(a->uid);
    return true;
}

void fs_leave_p(const bool *entered)
{
    if (!*entered)
        return;
    (void)setfsuid(geteuid());
    (void)setfsgid(getegid());
}

/* The path from the root. */
static int make_absolute(const struct account *a, const char *path, char out[PATH_MAX])
{
    int n = path[0] == '/' ? snprintf(out, PATH_MAX, "%s", path)
                           : snprintf(out, PATH_MAX, "%s/%s", a->home, path);
    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool is_own_proc(const char *path)
{
    char own[32];
    int n = snprintf(own, sizeof(own), "/proc/%d/", getpid());
    return strncmp(path, own, (size_t)n) == 0;
}

static int path_of_fd(int fd, char out[PATH_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX);
    if (n < 0)
        return -errno;
    if (n == PATH_MAX)
        return -ENAMETOOLONG;
    out[n] = '\0';
    return 0;
}

static int resolve_absolute(const char *path, struct fs_node *ret)
{
    cleanup_fs_node struct fs_node n = {.fd = open(path, O_PATH | O_CLOEXEC)};
    if (n.fd < 0)
        return -errno;
    if (fstat(n.fd, &n.st) < 0)
        return -errno;
    int rv = path_of_fd(n.fd, n.path);
    if (rv < 0)
        return rv;
    if (is_own_proc(n.path))
        return -EACCES;
    *ret = n;
    n.fd = -1;
    return 0;
}

int fs_resolve(const struct account *a, const char *path, struct fs_node *ret)
{
    char absolute[PATH_MAX];
    int rv = make_absolute(a, path, absolute);
    return rv < 0 ? rv : resolve_absolute(absolute, ret);
}

/* Cuts the last part off `path`: "/a/b//" becomes "/a" and "b". */
static int split_last(char *path, char name[NAME_MAX + 1])
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    path[end] = '\0';
    char *slash = strrchr(path, '/');
    const char *last = slash + 1;
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return -EINVAL;
    if (strlen(last) > NAME_MAX)
        return -ENAMETOOLONG;
    strcpy(name, last);
    slash[slash == path ? 1 : 0] = '\0';
    return 0;
}

int fs_resolve_parent(const struct account *a, const char *path, struct fs_node *ret,
                      char ret_name[NAME_MAX + 1])
{
    char absolute[PATH_MAX];
    int rv = make_absolute(a, path, absolute);
    if (rv == 0)
        rv = split_last(absolute, ret_name);
    if (rv == 0)
        rv = resolve_absolute(absolute, ret);
    if (rv < 0)
        return rv;
    if (S_ISDIR(ret->st.st_mode))
        return 0;
    fs_node_done(ret);
    return -ENOTDIR;
}

int fs_reopen(const struct fs_node *n, int flags)
{
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", n->fd);
    /* O_NONBLOCK: opening a pipe must not block the agent. O_NOCTTY: no terminal may become the
     * agent's. */
    int fd = open(link, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* Every directory on the way to `path`, itself included. */
static int make_all(char *path, mode_t mode)
{
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        int rv = mkdir(path, saved == '\0' ? mode : 0755) < 0 ? -errno : 0;
        /* mkdir() of an existing directory fails with another error than EEXIST when its parent is
         * not writable. So it counts whether the directory exists, not the error. */
        if (rv < 0 && rv != -EEXIST && access(path, F_OK) < 0)
            return rv;
        *p = saved;
        if (saved == '\0')
            return 0;
    }
}

int fs_make_directories(const struct account *a, const char *path, mode_t mode)
{
    char absolute[PATH_MAX];
    cleanup_fs_node struct fs_node n = {.fd = -1};
    int rv = make_absolute(a, path, absolute);
    if (rv == 0)
        rv = make_all(absolute, mode);
    if (rv == 0)
        rv = resolve_absolute(absolute, &n);
    if (rv < 0)
        return rv;
    return S_ISDIR(n.st.st_mode) ? 0 : -EEXIST;
}

int fs_make_parents(const struct account *a, const char *path)
{
    char absolute[PATH_MAX], name[NAME_MAX + 1];
    int rv = make_absolute(a, path, absolute);
    if (rv == 0)
        rv = split_last(absolute, name);
    return rv < 0 ? rv : make_all(absolute, 0755);
}

int fs_resolve_link(const struct account *a, const char *path, struct fs_node *ret)
{
    char name[NAME_MAX + 1];
    int rv = fs_resolve_parent(a, path, ret, name);
    if (rv == -EINVAL) /* "/" and "a/.." are no links */
        return fs_resolve(a, path, ret);
    if (rv < 0)
        return rv;
    size_t len = strlen(ret->path);
    if (len + strlen(name) + 2 > sizeof(ret->path))
        return -ENAMETOOLONG;
    (void)sprintf(ret->path + len, "%s%s", len == 1 ? "" : "/", name);
    if (fstatat(ret->fd, name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return is_own_proc(ret->path) ? -EACCES : 0;
}

static enum wire_kind kind_of(mode_t mode)
{
    return S_ISREG(mode)   ? WIRE_KIND_FILE
           : S_ISDIR(mode) ? WIRE_KIND_DIRECTORY
           : S_ISLNK(mode) ? WIRE_KIND_SYMLINK
                           : WIRE_KIND_OTHER;
}

static void put_stat_fields(struct buf *out, const char *name, const char *path,
                            const struct stat *st)
{
    int64_t mtime_ns;
    if (__builtin_mul_overflow((int64_t)st->st_mtim.tv_sec, 1000000000, &mtime_ns) ||
        __builtin_add_overflow(mtime_ns, st->st_mtim.tv_nsec, &mtime_ns))
        mtime_ns = st->st_mtim.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    wire_put_str(out, name);
    wire_put_str(out, path);
    (void)buf_u64(out, (uint64_t)st->st_size);
    (void)buf_u32(out, (uint32_t)kind_of(st->st_mode));
    (void)buf_u32(out, st->st_mode & 07777);
    (void)buf_u64(out, (uint64_t)mtime_ns);
}

void fs_put_stat(struct buf *out, enum wire_type type, const char *name, const char *path,
                 const struct stat *st)
{
    size_t start = wire_begin(out, type);
    put_stat_fields(out, name, path, st);
    wire_end(out, start);
}

/* What a link leads to; its own text when that is nothing. */
static void put_target(struct buf *out, const char *path, const struct stat *st)
{
    char target[PATH_MAX] = "";
    struct stat to;
    enum wire_kind kind = 0;
    if (S_ISLNK(st->st_mode)) {
        cleanup_free char *real = realpath(path, NULL);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (real != NULL && stat(real, &to) == 0) {
            (void)snprintf(target, sizeof(target), "%s", real);
            kind = kind_of(to.st_mode);
        }
    }
    (void)buf_u32(out, (uint32_t)kind);
    wire_put_str(out, target);
}

int fs_set_attribute(int fd, const char *attribute)
{
    char name[XATTR_NAME_MAX + 1];
    const char *value = strchr(attribute, '=');
    if (value == NULL || value == attribute)
        return -EINVAL;
    int n = snprintf(name, sizeof(name), ATTRIBUTE_SPACE "%.*s", (int)(value - attribute),
                     attribute);
    if (n < 0 || (size_t)n >= sizeof(name))
        return -ENAMETOOLONG;
    return fsetxattr(fd, name, value + 1, strlen(value + 1), 0) < 0 ? -errno : 0;
}

/* Appends one as an element of a list; false for one that is none of the user's, that cannot be
 * told, or for which there is no room. */
static bool put_attribute(struct buf *out, const char *path, const char *name, size_t room)
{
    char text[WIRE_MAX_ATTRIBUTES];
    const char *own = name + strlen(ATTRIBUTE_SPACE);
    if (strncmp(name, ATTRIBUTE_SPACE, strlen(ATTRIBUTE_SPACE)) != 0 || strchr(own, '=') != NULL ||
        strlen(own) + 2 > room)
        return false;
    size_t head = (size_t)sprintf(text, "%s=", own);
    ssize_t n = lgetxattr(path, name, text + head, MIN(room, sizeof(text) - 1) - head);
    if (n < 0 || memchr(text + head, '\0', (size_t)n) != NULL)
        return false;
    text[head + (size_t)n] = '\0';
    wire_put_str(out, text);
    return true;
}

static void put_attributes(struct buf *out, const char *path)
{
    char names[XATTR_LIST_MAX];
    ssize_t len = llistxattr(path, names, sizeof(names));
    size_t start = out->len;
    uint32_t count = 0;
    (void)buf_u32(out, 0);
    for (const char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
        size_t used = out->len - start;
        if (count < WIRE_MAX_LIST && used < WIRE_MAX_ATTRIBUTES)
            count += put_attribute(out, path, name, WIRE_MAX_ATTRIBUTES - used);
    }
    if (count == 0)
        out->len = out->failed ? out->len : start;
    for (unsigned int i = 0; i < 4 && count > 0 && !out->failed; i++)
        out->data[start + i] = (uint8_t)(count >> (8 * i));
}

int fs_put_info(struct buf *out, const char *path)
{
    struct stat st;
    char owner[ACCOUNT_NAME_MAX], group[ACCOUNT_NAME_MAX];
    if (lstat(path, &st) < 0)
        return -errno;
    const char *name = strrchr(path, '/') + 1;
    account_name_of(st.st_uid, owner);
    account_group_name_of(st.st_gid, group);
    size_t start = wire_begin(out, WIRE_INFO);
    put_stat_fields(out, name[0] != '\0' ? name : "/", path, &st);
    (void)buf_u32(out, st.st_uid);
    (void)buf_u32(out, st.st_gid);
    wire_put_str(out, owner);
    wire_put_str(out, group);
    put_target(out, path, &st);
    put_attributes(out, path);
    wire_end(out, start);
    return 0;
}
