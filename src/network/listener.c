/* SPDX-License-Identifier: Apache-2.0 */
#include "network/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/base.h"

#define LISTEN_BACKLOG 1024 /* twice the flows of a sandbox */
#define LISTEN_MODE    0660

/* The group comes before the mode: until then nobody but the server can connect. */
static int listener_open_to(int dir, const char *file)
{
    struct stat st;
    if (fstat(dir, &st) < 0 || fchownat(dir, file, (uid_t)-1, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return fchmodat(dir, file, LISTEN_MODE, 0) < 0 ? -errno : 0;
}

static int listener_bind(int dir, const char *file)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Short, whatever the state directory's path is. */
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir, file);
    if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
        return -errno;
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    int rv = listener_open_to(dir, file);
    if (rv < 0)
        return rv;
    return listen(fd, LISTEN_BACKLOG) < 0 ? -errno : TAKE_FD(fd);
}

int network_listen(const char *dir, const char *name)
{
    char path[PATH_MAX];
    const char *slash = strrchr(name, '/');
    int n = slash == NULL ? snprintf(path, sizeof(path), "%s", dir)
                          : snprintf(path, sizeof(path), "%s/%.*s", dir, (int)(slash - name), name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return listener_bind(fd, slash == NULL ? name : slash + 1);
}
