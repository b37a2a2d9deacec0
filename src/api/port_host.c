/* SPDX-License-Identifier: Apache-2.0 */
/* port_host.c - see port_host.h. Anyone may send any Host header, so a name that does not match to
 * the last byte is not ours, and the request goes to the API like any other. */
#include "api/port_host.h"

#include <string.h>
#include <strings.h>

bool port_host_parse(const char *host, const char *domain, char ret_id[ID_SIZE], uint16_t *ret_port)
{
    const size_t id_len = ID_SIZE - 1;
    const size_t domain_len = strlen(domain);
    char id[ID_SIZE] = "";
    unsigned int port = 0;
    if (strlen(host) < id_len + 3 || host[id_len] != '-')
        return false;
    memcpy(id, host, id_len);
    if (id_parse(ret_id, id) < 0)
        return false;
    const char *p = host + id_len + 1;
    const size_t digits = strspn(p, "0123456789");
    if (digits == 0 || digits > 5 || p[0] == '0')
        return false;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (unsigned int)(p[i] - '0');
    p += digits;
    if (port > 65535 || *p++ != '.' || strncasecmp(p, domain, domain_len) != 0)
        return false;
    p += domain_len;
    if (*p == '.') /* a fully qualified name */
        p++;
    if (*p != '\0' && *p != ':')
        return false;
    *ret_port = (uint16_t)port;
    return true;
}
