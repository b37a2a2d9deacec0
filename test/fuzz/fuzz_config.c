/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file: accepted or refused with a reason, and nothing out of range comes out. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct config *c = config_new();
    require(c != NULL);
    int rv = config_parse_file(c, "fuzz", (const char *)data, size, &err);
    require(rv == 0 || (err.code != ERROR_NONE && err.message[0] != '\0'));
    require(memchr(err.message, '\0', sizeof(err.message)) != NULL);
    require(c->listen.host[0] != '\0' && c->domain[0] != '\0' && c->oci_runtime[0] != '\0');
    require(c->pool_size >= 0 && c->pool_size <= 1000);
    require(c->max_body >= 65536 && c->timeout_max >= 0);
    require(c->isolation >= ISOLATION_AUTO && c->isolation <= 2);
    (void)config_is_loopback(&c->listen);
    config_free(c);
    return 0;
}
