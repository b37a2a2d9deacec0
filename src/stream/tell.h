/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell.h - what a process says, and what changes in a directory and what code
 * shows, as clients of E2B read it.
 */
#ifndef CORRAL_STREAM_TELL_H
#define CORRAL_STREAM_TELL_H

#include "base/jsonw.h"
#include "stream/event.h"

extern const struct event_writer tell_process, tell_watch, tell_code;

struct tell_change {
    struct span name;
    enum wire_change what;
};

/* What clients see of a change: none, one or two. A name that moved is told at its old place, and
 * as created at the new one. The agent writes a file under a name of its own and then moves it into
 * place: to clients it is created and written there. */
unsigned int tell_changes(const struct wire_changed *change, struct tell_change ret[2]);
/* Writes one of them as an object. */
void tell_change_write(struct jsonw *w, const struct tell_change *change);

#endif
