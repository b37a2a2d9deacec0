/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - see address.h. Both orders of the label are told apart by the length of the first
 * number: an id begins with eight hexadecimal digits, a port has at most five. */
#include "e2b/address.h"

#include <stdio.h>
#include <string.h>

#include "api/port_host.h"

/* Reads a port and moves behind it. */
static bool address_port(const char **p, uint16_t *ret)
{
    unsigned int port = 0;
    size_t digits = strspn(*p, "0123456789");
    if (digits == 0 || digits > 5 || (*p)[0] == '0')
        return false;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (unsigned int)((*p)[i] - '0');
    *p += digits;
    *ret = (uint16_t)port;
    return port <= 65535;
}

bool e2b_address_of_host(const char *host, const char *domain, struct e2b_address *ret)
{
    char turned[ID_SIZE + 8 + 512];
    const size_t id_len = ID_SIZE - 1;
    uint16_t port;
    const char *p = host;
    if (port_host_parse(host, domain, ret->id, &ret->port))
        return true;
    if (!address_port(&p, &port) || *p++ != '-' || strlen(p) < id_len || strlen(p) > 512)
        return false;
    int n = snprintf(turned, sizeof(turned), "%.*s-%u%s", (int)id_len, p, port, p + id_len);
    return n > 0 && (size_t)n < sizeof(turned) &&
           port_host_parse(turned, domain, ret->id, &ret->port);
}

bool e2b_address_of_headers(const char *id, const char *port, struct e2b_address *ret)
{
    if (id == NULL || port == NULL || !address_port(&port, &ret->port) || *port != '\0')
        return false;
    if (id_parse(ret->id, id) < 0)
        ret->id[0] = '\0';
    return true;
}
