/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h - removes what is left of sandboxes, however often it takes. Each driver has one.
 *
 * It learns of leftovers in two ways: from an ending whose cleaner failed, and from its own look at
 * the state directory, once a minute, for ids that no instance has. Each leftover gets a cleaner of
 * the driver, again and again, with a pause that doubles up to a minute, until one succeeds.
 */
#ifndef CORRAL_ISOLATION_REAPER_H
#define CORRAL_ISOLATION_REAPER_H

#include "isolation/driver.h"
#include "isolation/helper.h"

/* NULL when memory ran out. */
struct reaper *reaper_new(struct isolation_driver *driver, const char *state_dir);

/* No other call may follow. The reaper needs the driver no more: it is freed once its cleaners have
 * been killed and its handles have closed. NULL is fine. */
void reaper_free(struct reaper *r);

/* From now on the state directory is looked at. For a server: a program beside it would take the
 * server's sandboxes for leftovers. */
void reaper_watch(struct reaper *r);

/* Looks at once. */
void reaper_look(struct reaper *r);

/* Whether what is left of this id is still to be cleaned. */
bool reaper_owes(const struct reaper *r, const char *id);

/* An instance of this id exists, and is left alone until reaper_forget. `link` is embedded in the
 * instance, `id` belongs to it. */
struct reaper_member {
    struct list link;
    const char *id;
};
void reaper_know(struct reaper *r, struct reaper_member *m, const char *id);
void reaper_forget(struct reaper_member *m);

/* Takes ownership of `argv`, the call of a cleaner; NULL: memory ran out, and the id is found again
 * by the next look. The instance's member is to be forgotten in the same turn of the loop. */
void reaper_take(struct reaper *r, const char *id, char **argv);

#endif
