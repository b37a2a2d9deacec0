/* SPDX-License-Identifier: Apache-2.0 */
/* space.h - whether the file systems below some directories still have room. */
#ifndef CORRAL_CORE_SPACE_H
#define CORRAL_CORE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#define SPACE_DIRS   2
#define SPACE_INODES 1024 /* free ones, below which a file system counts as full */

struct space {
    const char *dirs[SPACE_DIRS]; /* not owned; NULL: none */
    uint64_t reserve;             /* bytes that have to stay free; 0: any file system has room */
};

/* True when one of them has less than the reserve: then its free bytes are in `*ret_free`. A
 * directory that cannot be asked has room, and so has NULL. Two system calls. */
bool space_is_low(const struct space *s, uint64_t *ret_free);

#endif
