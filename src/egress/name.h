/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.h - host names as sandboxes and rules spell them.
 *
 * A name has one spelling here: lower case, no trailing dot, labels of 1 to 63 bytes of [a-z0-9_-],
 * 253 bytes at most. Everything else is refused before it is compared with a rule or sent to a name
 * server, so that no rule can be passed by another spelling. Text that inet_aton accepts is an
 * address; text that merely ends in a number ("1.2.3.4.5", "4294967296") is nothing at all, because
 * no top-level domain is a number and other programs may still read an address in it.
 */
#ifndef CORRAL_EGRESS_NAME_H
#define CORRAL_EGRESS_NAME_H

#include <stdbool.h>

#include "flow.h"

#include "base/base.h"

#define NAME_SIZE      (FLOW_MAX_NAME + 1)
#define NAME_MAX_LABEL 63u

/* Writes the one spelling of the name. 0, or -EINVAL when the text is no name. */
int name_read(const char *text, size_t len, char ret[NAME_SIZE]);
/* Whether `name` lies below `parent`: any depth, whole labels, never `parent` itself. */
bool name_below(const char *name, const char *parent);

#endif
