/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.h - the addresses that no sandbox reaches, whatever its policy says. Only the operator
 * lifts parts of the floor (policy.h).
 *
 * The table in floor.c follows IANA's registries of special-purpose addresses and adds what clouds
 * serve metadata on. The host's own addresses belong to the floor too; they are not in a table, the
 * caller tells of each address whether it is one.
 */
#ifndef CORRAL_EGRESS_FLOOR_H
#define CORRAL_EGRESS_FLOOR_H

#include "egress/address.h"

enum floor_kind {
    FLOOR_NONE,     /* a public address */
    FLOOR_SPECIAL,  /* an operator's entry that matches lifts it */
    FLOOR_LOOPBACK, /* only an operator's entry for this very host and port lifts it */
};

/* Looks at what the address hides as well (address_unwrap). */
enum floor_kind floor_of(const struct address *a);

#endif
