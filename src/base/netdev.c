/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev.c - makes the interface, with the ioctls that every kernel has.
 *
 * Theory of operation. IFF_VNET_HDR puts a struct virtio_net_hdr before each packet, and
 * TUNSETOFFLOAD says that the reader accepts partial checksums and TCP segments larger than the
 * MTU. Both ways the kernel then moves 64 KiB a packet and sums nothing.
 *
 * IPv6 is off on the interface before it comes up: otherwise the kernel solicits routers, and an
 * IPv6 literal would get a route. Without one connect() fails at once with ENETUNREACH.
 */
#include "base/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/base.h"

#define TUN_NODE       "/dev/net/tun"
#define TUN_MAJOR      10
#define TUN_MINOR      200
#define TUN_QUEUE      1000 /* packets */
#define LISTEN_BACKLOG 1024
#define LISTEN_RCVBUF  (128 * 1024) /* the kernel doubles both */
#define LISTEN_SNDBUF  (128 * 1024)

static int open_node(void)
{
    int fd = open(TUN_NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    (void)mkdir("/dev/net", 0755);
    if (mknod(TUN_NODE, S_IFCHR | 0600, makedev(TUN_MAJOR, TUN_MINOR)) < 0)
        return -errno;
    fd = open(TUN_NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int name_ifreq(struct ifreq *ifr, const char *name)
{
    memset(ifr, 0, sizeof(*ifr));
    if (name[0] == '\0' || strlen(name) >= sizeof(ifr->ifr_name))
        return -EINVAL;
    strcpy(ifr->ifr_name, name);
    return 0;
}

static int attach(int fd, const char *name)
{
    struct ifreq ifr;
    int rv = name_ifreq(&ifr, name);
    if (rv < 0)
        return rv;
    ifr.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
        return -errno;
    return 0;
}

/* A kernel without IPv6 has nothing to disable. */
static int disable_ipv6(const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    return write(fd, "1", 1) == 1 ? 0 : -errno;
}

static void set_inet(struct sockaddr *ret, uint32_t address)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    memcpy(ret, &sin, sizeof(sin));
}

static int set_up(int sock, const char *name)
{
    struct ifreq ifr;
    int rv = name_ifreq(&ifr, name);
    if (rv < 0)
        return rv;
    if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
        return -errno;
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
    return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int set_address(int sock, const char *name)
{
    struct ifreq ifr;
    int rv = name_ifreq(&ifr, name);
    if (rv < 0)
        return rv;
    ifr.ifr_mtu = NETDEV_MTU;
    if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
        return -errno;
    ifr.ifr_qlen = TUN_QUEUE;
    if (ioctl(sock, SIOCSIFTXQLEN, &ifr) < 0)
        return -errno;
    set_inet(&ifr.ifr_addr, NETDEV_ADDRESS);
    if (ioctl(sock, SIOCSIFADDR, &ifr) < 0)
        return -errno;
    set_inet(&ifr.ifr_netmask, NETDEV_MASK);
    return ioctl(sock, SIOCSIFNETMASK, &ifr) < 0 ? -errno : 0;
}

static int set_default_route(int sock, const char *name)
{
    char device[IFNAMSIZ];
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = device};
    (void)snprintf(device, sizeof(device), "%s", name);
    set_inet(&route.rt_dst, INADDR_ANY);
    set_inet(&route.rt_genmask, INADDR_ANY);
    set_inet(&route.rt_gateway, NETDEV_GATEWAY);
    return ioctl(sock, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

int netdev_open(const char *name)
{
    cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    cleanup_close int fd = open_node();
    int rv = fd < 0 ? fd : attach(fd, name);
    if (rv == 0)
        rv = disable_ipv6(name);
    if (rv == 0)
        rv = set_up(sock, "lo");
    if (rv == 0)
        rv = set_address(sock, name);
    if (rv == 0)
        rv = set_up(sock, name);
    if (rv == 0)
        rv = set_default_route(sock, name);
    return rv < 0 ? rv : TAKE_FD(fd);
}

/* Accepted sockets inherit the sizes. They are fixed before the handshake, which agrees on the
 * scale of the window. Bound to the interface, the listener is out of reach of the loopback. */
int netdev_listen(void)
{
    const int receive = LISTEN_RCVBUF, transmit = LISTEN_SNDBUF;
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(NETDEV_ADDRESS)};
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &transmit, sizeof(transmit)) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}
