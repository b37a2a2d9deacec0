/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - how the agent reaches corral-egress: over vsock, or by a unix socket. */
#ifndef CORRAL_AGENT_NET_HOST_H
#define CORRAL_AGENT_NET_HOST_H

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HOST_CONNECT_MS 5000u
#define HOST_RETRY_MS   20u /* until a full backlog is asked again */

struct host {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_vm vm;
        struct sockaddr_un un;
    } address;
};

/* "vsock:PORT" or "unix:PATH". 0 or -EINVAL. */
int host_parse(struct host *h, const char *spec);
/* A new non-blocking socket or a negative errno. */
int host_socket(const struct host *h);
/* 0: connected; -EINPROGRESS: writable will tell; -EAGAIN: ask again in HOST_RETRY_MS; else failed.
 */
int host_connect(const struct host *h, int fd);
/* What became of -EINPROGRESS. */
int host_connected(int fd);

#endif
