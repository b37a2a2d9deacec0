/* SPDX-License-Identifier: Apache-2.0 */
/* A Host and the domain of a server, two lines: what is taken prints back to the same label, with
 * an id in its strict form and a port in range, and nothing but a full stop and a port follows the
 * domain. The input's texts end where their memory does, so a read behind them is seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/port_host.h"
#include "e2b/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

/* What stands between a label and the end of a name that is taken. */
static void check_rest(const char *rest, const char *domain)
{
    size_t len = strlen(domain);
    require(rest[0] == '.' && strncasecmp(rest + 1, domain, len) == 0);
    rest += 1 + len;
    if (*rest == '.')
        rest++;
    require(*rest == '\0' || *rest == ':');
}

static void check(const char *host, const char *domain, const char *id, uint16_t port)
{
    char label[ID_SIZE + 8], again[ID_SIZE];
    require(port != 0 && id_parse(again, id) == 0 && strcmp(again, id) == 0);
    int n = snprintf(label, sizeof(label), "%s-%u", id, port);
    require(n > 0 && strncasecmp(host, label, (size_t)n) == 0);
    check_rest(host + n, domain);
}

/* The other order of the label names the same sandbox and port. */
static void check_turned(const char *host, const char *id, uint16_t port, const char *domain)
{
    char turned[1024];
    struct e2b_address address;
    size_t label = strcspn(host, ".");
    if (strlen(host) > 512)
        return;
    (void)snprintf(turned, sizeof(turned), "%u-%s%s", port, id, host + label);
    require(e2b_address_of_host(turned, domain, &address));
    require(strcmp(address.id, id) == 0 && address.port == port);
}

/* Every name that the server writes is one that it takes. */
static void check_written(const char *id, uint16_t port, const char *domain)
{
    char name[1024], ret[ID_SIZE];
    uint16_t same;
    int n = snprintf(name, sizeof(name), "%s-%u.%s", id, port, domain);
    if (n < 0 || (size_t)n >= sizeof(name))
        return;
    require(port_host_parse(name, domain, ret, &same));
    require(strcmp(ret, id) == 0 && same == port);
}

static void run(const char *host, const char *domain)
{
    char id[ID_SIZE];
    uint16_t port = 0;
    struct e2b_address address;
    bool taken = port_host_parse(host, domain, id, &port);
    require(!taken || e2b_address_of_host(host, domain, &address));
    if (!taken)
        return;
    check(host, domain, id, port);
    check_turned(host, id, port, domain);
    check_written(id, port, domain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t len = line != NULL ? (size_t)(line - data) : size;
    char *host = strndup((const char *)data, len);
    char *domain = line != NULL ? strndup((const char *)line + 1, size - len - 1) : NULL;
    require(host != NULL);
    run(host, "localhost");
    if (domain != NULL && domain[0] != '\0')
        run(host, domain);
    free(domain);
    free(host);
    return 0;
}
