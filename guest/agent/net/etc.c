/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etc.c - one name server, and hosts as Debian writes them.
 *
 * resolv.conf is replaced whatever it was: a name server of the place where the template was built
 * answers nothing here. A symbolic link in its place (systemd-resolved's) leads nowhere in a
 * sandbox, so it is replaced and not followed. hosts belongs to the template when it has one.
 */
#include "agent/net/etc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/log.h"

static const char resolv_conf[] = "nameserver 198.18.0.53\noptions timeout:5 attempts:2\n";
static const char hosts[] = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n";

static int write_file(const char *path, const char *text, int flags)
{
    size_t len = strlen(text);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return -errno;
    return write(fd, text, len) == (ssize_t)len ? 0 : -EIO;
}

/* In place where it can be: the file may be a mount. */
static int replace_file(const char *path, const char *text)
{
    int rv = write_file(path, text, O_TRUNC);
    if (rv == -ELOOP && unlink(path) == 0)
        rv = write_file(path, text, O_EXCL);
    return rv;
}

void etc_write(const char *root)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/etc/resolv.conf", root);
    int rv = replace_file(path, resolv_conf);
    if (rv < 0)
        log_warn("cannot write resolv.conf, ignoring", "error=\"%s\"", strerror(-rv));
    (void)snprintf(path, sizeof(path), "%s/etc/hosts", root);
    rv = write_file(path, hosts, O_EXCL);
    if (rv < 0 && rv != -EEXIST && rv != -ELOOP)
        log_warn("cannot write hosts, ignoring", "error=\"%s\"", strerror(-rv));
}
