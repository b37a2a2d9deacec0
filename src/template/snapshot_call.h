/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_call.h - the few operations of the agent that the making of a snapshot needs. Each runs
 * to its end and has one verdict.
 */
#ifndef CORRAL_TEMPLATE_SNAPSHOT_CALL_H
#define CORRAL_TEMPLATE_SNAPSHOT_CALL_H

#include "wire/call.h"

/* Embedded in its owner. */
struct snapshot_call {
    struct agent_call call;
    /* Exactly once, never from inside a start; the object may be used again from then on. */
    void (*done)(struct snapshot_call *sc, int status, const struct error *err);
    struct buf output; /* the tail of what a command or code wrote, for its error */
    struct error err;
    int status;
};

/* `request` as for agent_call_start. `done` is set by the caller before. */
int snapshot_call_start(struct snapshot_call *sc, struct agent_target *target, struct buf *request,
                        uint64_t timeout_ms);

/* Sets clock (nanoseconds since 1970) and host name, and mixes fresh entropy in. */
void snapshot_put_configure(struct buf *b, uint64_t wall_ns, const char *hostname);
/* A shell command of the superuser. */
void snapshot_put_command(struct buf *b, const char *command);
/* Typical first code in a language; false when none is known. */
bool snapshot_put_first_code(struct buf *b, const char *language);

#endif
