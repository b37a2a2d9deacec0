/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walls.h - what corral-egress gives up before the first byte of a sandbox reaches it.
 *
 * In this order: limits, its user and group, capabilities, the right to gain new ones, and the
 * system calls that it does not need. What is left can make TCP connections and UDP questions, read
 * files that everybody may read, and end. It cannot start a process, write or create a file,
 * listen, look at other processes or load code. A forbidden call ends the process; the server
 * starts it again.
 */
#ifndef CORRAL_EGRESS_WALLS_H
#define CORRAL_EGRESS_WALLS_H

#include "base/base.h"

#define WALLS_MAX_FDS 65536u

/* Before the loop is made. libuv of Debian 13 tells the kernel of descriptors through io_uring
 * where it can. A ring would go around the filter, which ends a process that enters one. Without a
 * ring libuv uses epoll_ctl(). 0 or a negative errno. */
int walls_no_rings(void);

/* Raises the number of descriptors as far as allowed; the number in *ret. 0 or a negative errno. */
int walls_limits(size_t *ret);
/* -1: stays. */
int walls_identity(int64_t uid, int64_t gid);
int walls_filter(void);

#endif
