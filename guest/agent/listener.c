/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c - opens the socket that the server connects to, and accepts from it.
 *
 * In a container the server passes a listening socket (fd:N), so that it can connect before the
 * agent runs. In a microVM the agent listens on vsock. Tests use a unix socket.
 */
#include "agent/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/num.h"

#define LISTENER_BACKLOG 512

static int listener_open_fd(struct listener *l, const char *arg)
{
    int64_t fd;
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (num_parse(arg, 3, INT32_MAX, &fd) < 0)
        return -EINVAL;
    if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        return -errno;
    /* A mistake in the caller's command line must not become a busy loop of failing accepts. */
    if (!listening)
        return -EINVAL;
    int flags = fcntl((int)fd, F_GETFL);
    if (flags < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return (int)fd;
}

static int listener_bind(int family, const void *addr, socklen_t len)
{
    cleanup_close int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, addr, len) < 0 || listen(fd, LISTENER_BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int listener_open_unix(struct listener *l, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof(addr.sun_path))
        return -EINVAL;
    strcpy(addr.sun_path, path);
    int fd = listener_bind(AF_UNIX, &addr, sizeof(addr));
    if (fd >= 0)
        l->path = path;
    return fd;
}

static int listener_open_vsock(struct listener *l, const char *arg)
{
    int64_t port;
    if (num_parse(arg, 1, UINT32_MAX - 1, &port) < 0)
        return -EINVAL;
    struct sockaddr_vm addr = {
        .svm_family = AF_VSOCK, .svm_port = (unsigned int)port, .svm_cid = VMADDR_CID_ANY};
    l->vsock = true;
    return listener_bind(AF_VSOCK, &addr, sizeof(addr));
}

static const struct {
    const char *prefix;
    int (*open)(struct listener *l, const char *arg);
} listener_kinds[] = {
    {"fd:", listener_open_fd}, {"unix:", listener_open_unix}, {"vsock:", listener_open_vsock}};

int listener_open(struct listener *l, const char *spec)
{
    *l = (struct listener){0};
    source_init(&l->source, SOURCE_LISTENER, -1);
    for (size_t i = 0; i < ARRAY_SIZE(listener_kinds); i++) {
        size_t len = strlen(listener_kinds[i].prefix);
        if (strncmp(spec, listener_kinds[i].prefix, len) != 0)
            continue;
        int fd = listener_kinds[i].open(l, spec + len);
        if (fd < 0)
            return fd;
        l->source.fd = fd;
        return 0;
    }
    return -EINVAL;
}

void listener_done(struct listener *l, struct loop *loop)
{
    loop_close(loop, &l->source);
    if (l->path != NULL)
        (void)unlink(l->path);
    l->path = NULL;
}

int listener_accept(struct listener *l)
{
    for (;;) {
        struct sockaddr_vm peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(l->source.fd, l->vsock ? (struct sockaddr *)&peer : NULL,
                         l->vsock ? &len : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return -errno;
        /* vsock has a loopback: without this check processes of the sandbox could command the
         * agent. */
        if (!l->vsock || peer.svm_cid == VMADDR_CID_HOST)
            return fd;
        (void)close(fd);
    }
}
