/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/own.h"

#include <netinet/in.h>
#include <string.h>

bool own_address(const struct address *a)
{
    struct sockaddr_storage to, from;
    socklen_t len = address_sockaddr(a, 9, &to), from_len = sizeof(from);
    memset(&from, 0, sizeof(from));
    cleanup_close int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Without a socket nothing is known, and what is not known is not allowed. */
    if (fd < 0)
        return true;
    if (connect(fd, (struct sockaddr *)&to, len) < 0)
        return false; /* no route: the connection will fail in the same way */
    if (getsockname(fd, (struct sockaddr *)&from, &from_len) < 0)
        return true;
    const void *bytes = a->v6 ? (const void *)&((struct sockaddr_in6 *)&from)->sin6_addr
                              : (const void *)&((struct sockaddr_in *)&from)->sin_addr;
    struct address source = address_from_bytes(a->v6, bytes);
    return address_equal(a, &source);
}
