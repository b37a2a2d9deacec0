/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs.h - names in the sandbox's file system, with the rights of a user: of the default one, unless
 * the request names another.
 *
 * The agent stays root and takes the user's rights for single calls (fs_enter, fs_leave_p). So
 * whatever the user's processes move or link in the meantime, no path leads the agent further than
 * the user could go. Long operations are cut into slices, so that a large tree delays nobody.
 *
 * Paths are absolute, or relative to the user's home. Symbolic links and ".." are followed as the
 * kernel does, and answers report the path they lead to. The agent's own /proc directory is
 * refused, because its links open the agent's own files.
 */
#ifndef CORRAL_AGENT_FS_H
#define CORRAL_AGENT_FS_H

#include <limits.h>
#include <sys/stat.h>

#include "agent/account.h"
#include "base/wire_codec.h"

#define FS_SLICE_US 2000u /* how long an operation works before others have their turn */

struct fs_node {
    int fd; /* owned; O_PATH */
    struct stat st;
    char path[PATH_MAX]; /* absolute, links resolved */
};

#define cleanup_fs      __attribute__((cleanup(fs_leave_p), unused))
#define cleanup_fs_node __attribute__((cleanup(fs_node_done)))

/* `cleanup_fs bool as_user = fs_enter(account);`. True when the rights were changed. */
bool fs_enter(const struct account *a);
void fs_leave_p(const bool *entered);

static inline void fs_node_done(struct fs_node *n)
{
    base_close_p(&n->fd);
    n->fd = -1;
}

/* All of these are called with the user's rights and return 0 or a negative errno. */

/* What `path` leads to. */
int fs_resolve(const struct account *a, const char *path, struct fs_node *ret);
/* The directory that holds the last part of `path`, and that part, which need not exist. -EINVAL
 * when there is none, as in "/" or "a/..". */
int fs_resolve_parent(const struct account *a, const char *path, struct fs_node *ret,
                      char ret_name[NAME_MAX + 1]);
/* Opens the resolved file itself. A descriptor, owned by the caller, or a negative errno. */
int fs_reopen(const struct fs_node *n, int flags);
/* Creates the directory and what is missing above it. An existing directory is fine. */
int fs_make_directories(const struct account *a, const char *path, mode_t mode);
/* As fs_make_directories with 0755 for everything above the last part of `path`. */
int fs_make_parents(const struct account *a, const char *path);

/* Names `path` itself, a link is not followed. -ENOENT and so on. */
int fs_resolve_link(const struct account *a, const char *path, struct fs_node *ret);
/* Gives the open file one of the attributes of WIRE_ATTRIBUTES. */
int fs_set_attribute(int fd, const char *attribute);
/* An INFO frame of what is at `path`, which is absolute. 0 or a negative errno. */
int fs_put_info(struct buf *out, const char *path);
/* A STAT or ENTRY frame. */
void fs_put_stat(struct buf *out, enum wire_type type, const char *name, const char *path,
                 const struct stat *st);

#endif
