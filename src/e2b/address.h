/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - which sandbox and port a request is for, as its Host or its headers have it. Pure. */
#ifndef CORRAL_E2B_ADDRESS_H
#define CORRAL_E2B_ADDRESS_H

#include <stdbool.h>

#include "core/id.h"

struct e2b_address {
    char id[ID_SIZE];
    uint16_t port;
};

/* "<port>-<id>.<domain>", which clients of E2B build, or this server's own "<id>-<port>.<domain>".
 * A port and a dot at the end of the name are allowed. */
bool e2b_address_of_host(const char *host, const char *domain, struct e2b_address *ret);
/* The values of the two routing headers; an id that cannot be one leaves `ret->id` empty. False
 * when one is missing, or the port is none. */
bool e2b_address_of_headers(const char *id, const char *port, struct e2b_address *ret);

#endif
