/* SPDX-License-Identifier: Apache-2.0 */
/* state_lock.h - one server per state directory. */
#ifndef CORRAL_STORE_STATE_LOCK_H
#define CORRAL_STORE_STATE_LOCK_H

#include <sys/types.h>

#include "base/error.h"

/* Locks STATE/lock and writes this process's id into it. The lock lives as long as *ret_fd is open
 * (close-on-exec) and ends with the process, however it ends. -EBUSY names the holder in `err`. */
int state_lock(const char *state_dir, int *ret_fd, struct error *err);

/* The process that holds the lock now; 0 when none does or its id cannot be read. */
pid_t state_lock_owner(const char *state_dir);

#endif
