/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev.h - the sandbox's one network interface: a TUN with an address, a default route and a
 * listening socket beside it.
 *
 * It is made in the network namespace of the caller: by the agent of a microVM, or by the host's
 * helper of a container, which hands both descriptors over. It needs CAP_NET_ADMIN, src/base and
 * nothing else of the agent.
 *
 * The addresses come from 198.18.0.0/15, the range for benchmarks that no network routes. All
 * sandboxes have the same ones: they mean nothing outside.
 */
#ifndef CORRAL_BASE_NETDEV_H
#define CORRAL_BASE_NETDEV_H

#include <stdint.h>

#define NETDEV_NET        0xc6120000u /* 198.18.0.0/24 */
#define NETDEV_MASK       0xffffff00u
#define NETDEV_ADDRESS    0xc6120001u /* 198.18.0.1, the interface's own */
#define NETDEV_GATEWAY    0xc6120002u /* 198.18.0.2, also what translated flows come from */
#define NETDEV_RESOLVER   0xc6120035u /* 198.18.0.53 */
#define NETDEV_POOL_FIRST 0xc6120100u /* 198.18.1.0, the first that a name may get */
#define NETDEV_POOL_LAST  0xc613fffeu /* 198.19.255.254 */

/* A whole TUN packet is one segment of TCP. With a small MTU the kernel would cut it up there: the
 * offloads join 64 KiB of small segments only while round trips are fast, and the receiver
 * acknowledges each packet instead of every other one. */
#define NETDEV_MTU 65520

/* The TUN, with the interface up. A descriptor (non-blocking) or a negative errno. */
int netdev_open(const char *name);
/* The socket that translated flows are given to, once there is the interface. A descriptor
 * (non-blocking) or a negative errno. */
int netdev_listen(void);

#endif
