/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ending.h - how an instance ends, the same for every driver. It watches the instance's process,
 * kills it, has a helper process remove what is left, and waits until every handle has closed.
 *
 *     ending_init, ending_watch?  ...  ending_begin -> ops->close -> ops->gone
 *
 * A driver embeds one in its instance. It counts each handle of its own, and each piece of work
 * that is under way elsewhere, with ending_ref, and gives it back with ending_unref.
 */
#ifndef CORRAL_ISOLATION_ENDING_H
#define CORRAL_ISOLATION_ENDING_H

#include "isolation/driver.h"
#include "isolation/helper.h"
#include "isolation/reaper.h"

struct ending;

/* All of them come from the loop, `close` and `gone` once. */
struct ending_ops {
    /* The watched process has ended and ending_begin was not called yet. */
    void (*died)(struct ending *e);
    /* The call of the helper that removes whatever is left of the instance, for helper_start. It
     * may be asked for more than once, as a failed helper is started again. */
    char **(*cleaner)(const struct ending *e);
    /* Nothing is left, or the reaper has it. The driver closes the handles that it has counted. */
    void (*close)(struct ending *e);
    /* Every handle has closed. The driver tells `stopped` and frees the instance. */
    void (*gone)(struct ending *e);
};

enum ending_state {
    ENDING_NOT_BEGUN,
    ENDING_KILLING,
    ENDING_CLEANING,
    ENDING_CLOSING,
};

struct ending {
    const struct ending_ops *ops;
    struct instance *instance;
    const char *id; /* of the sandbox, for the log; the driver's */
    struct helper_runner *cleanings;
    enum ending_state state;
    int pidfd;    /* of the watched process; -1: none */
    bool watched; /* its end will be noticed */
    bool died;    /* and was */
    bool has_poll;
    uv_poll_t poll;              /* on pidfd */
    uv_timer_t timer;            /* bounds KILLING; the pause before the next try of CLEANING */
    struct reaper_member member; /* of the driver's reaper */
    struct helper cleaner;
    unsigned int tries; /* of the cleaner */
    unsigned int open;  /* what ending_ref counts, and the handles here */
};

/* `instance` has its driver set, and the driver its reaper. `id` and `cleanings` must outlive the
 * instance. */
void ending_init(struct ending *e, const struct ending_ops *ops, struct instance *instance,
                 const char *id, struct helper_runner *cleanings);

/* Takes `pidfd`, of the process with which the instance lives and dies; a negative errno in its
 * place is returned. 0, or a negative errno and the process is not watched. */
int ending_watch(struct ending *e, int pidfd);

/* Kills the process when it is watched and lives; `died` follows. For a driver that has lost hold
 * of it in another way. */
void ending_kill(const struct ending *e);

/* Ends the instance. Whatever the driver had under way to start it is over: it could make again
 * what the cleaner has removed. */
void ending_begin(struct ending *e);

void ending_ref(struct ending *e);
void ending_unref(struct ending *e);

#endif
