/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell.h - what a process says, and what changes in a directory and what code
 * shows, as clients of E2B read it.
 */
#ifndef CORRAL_E2B_TELL_H
#define CORRAL_E2B_TELL_H

#include "base/jsonw.h"
#include "stream/event.h"

extern const struct event_writer tell_process, tell_watch, tell_code;

/* Writes a change as one object. A name that moved is told at its old place, and where it came to
 * as created there: that is for the caller. */
void tell_change(struct jsonw *w, struct span name, enum wire_change what);

#endif
