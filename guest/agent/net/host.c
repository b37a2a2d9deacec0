/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - a unix socket whose backlog is full says EAGAIN and never becomes writable, which is why
 * there are two ways to wait. */
#include "agent/net/host.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

#define HOST_SNDBUF (256 << 10) /* the kernel doubles it */

int host_parse(struct host *h, const char *spec)
{
    memset(h, 0, sizeof(*h));
    if (strncmp(spec, "unix:", 5) == 0) {
        if (spec[5] == '\0' || strlen(spec + 5) >= sizeof(h->address.un.sun_path))
            return -EINVAL;
        h->address.un.sun_family = AF_UNIX;
        strcpy(h->address.un.sun_path, spec + 5);
        h->len = sizeof(h->address.un);
        return 0;
    }
    int64_t port;
    if (strncmp(spec, "vsock:", 6) != 0 || num_parse(spec + 6, 1, UINT32_MAX - 1, &port) < 0)
        return -EINVAL;
    h->address.vm.svm_family = AF_VSOCK;
    h->address.vm.svm_cid = VMADDR_CID_HOST;
    h->address.vm.svm_port = (unsigned int)port;
    h->len = sizeof(h->address.vm);
    return 0;
}

int host_socket(const struct host *h)
{
    int family = h->address.any.sa_family, bytes = HOST_SNDBUF;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* As much as the system lets have: what a send does not take is copied and sent again. */
    if (fd >= 0 && family == AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return fd < 0 ? -errno : fd;
}

int host_connect(const struct host *h, int fd)
{
    if (connect(fd, &h->address.any, h->len) == 0 || errno == EISCONN)
        return 0;
    return errno == EALREADY || errno == EINTR ? -EINPROGRESS : -errno;
}

int host_connected(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}
