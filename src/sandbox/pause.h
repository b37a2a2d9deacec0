/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - a sandbox is put away and woken up again. Quotas are the table's: clients come through
 * sandbox_table_pause and sandbox_table_resume. */
#ifndef CORRAL_SANDBOX_PAUSE_H
#define CORRAL_SANDBOX_PAUSE_H

#include "sandbox/sandbox.h"

/* Whether one that is put away costs neither memory nor a process. */
bool sandbox_can_store(const struct isolation_driver *driver);

/* Whether the driver has a way to pause. */
bool sandbox_can_pause(const struct isolation_driver *driver);

/* In RUNNING. `w`, which may be NULL, is called when it is paused and its record is on disk, or
 * when it runs on. 0, or a negative errno with `err` filled and nothing has happened. */
int sandbox_pause(struct sandbox *sb, struct sandbox_wait *w, struct error *err);

/* Of one that is paused, pauses or resumes; it waits for a snapshot that is being made. `w`, which
 * may be NULL, is called as after a claim.
 * Its time-out is `seconds` from then on; 0: as it was created with. */
void sandbox_resume(struct sandbox *sb, unsigned int seconds, struct sandbox_wait *w);

/* Of one that runs or is paused, with a driver that stores: it goes on from the snapshot in `dir`
 * (driver.h), which was once taken of it and stays until `w` is called, as after a claim. When it
 * cannot, it is as it was before. Its id, its owner and its time-out stay. 0, or a negative errno
 * with `err` filled and nothing has happened. */
int sandbox_rollback(struct sandbox *sb, const char *dir, struct sandbox_wait *w,
                     struct error *err);

/* Clients see it as paused: from the beginning of a pause until it runs again. */
bool sandbox_is_paused(const struct sandbox *sb);

#endif
