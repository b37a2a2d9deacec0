/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own.h - is an address one of this host's?
 *
 * The kernel is asked each time: it sends from the very address that it would send to only if that
 * address is local. A connected datagram socket shows this and sends nothing. A list of interfaces
 * would be old in between, and it would not know of addresses that only a route makes local.
 */
#ifndef CORRAL_EGRESS_OWN_H
#define CORRAL_EGRESS_OWN_H

#include "egress/address.h"

bool own_address(const struct address *a);

#endif
