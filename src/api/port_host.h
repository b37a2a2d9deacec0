/* SPDX-License-Identifier: Apache-2.0 */
/* port_host.h - host names of port URLs: <sandbox id>-<port>.<domain>. Pure. */
#ifndef CORRAL_API_PORT_HOST_H
#define CORRAL_API_PORT_HOST_H

#include <stdbool.h>

#include "core/id.h"

/* Whether `host` (a Host header's value, with or without a port) is such a name under `domain`. */
bool port_host_parse(const char *host, const char *domain, char ret_id[ID_SIZE],
                     uint16_t *ret_port);

/* In front of such a name: that of a service (service.h). */
#define PORT_HOST_SERVICE "service-"

#endif
