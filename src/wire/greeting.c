/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/greeting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define GREETING_OK     "OK "
#define GREETING_OK_LEN 3
#define GREETING_DIGITS 10 /* of a number of 32 bits */

size_t wire_greeting_print(char out[WIRE_GREETING_SIZE], uint32_t port)
{
    return (size_t)snprintf(out, WIRE_GREETING_SIZE, "CONNECT %" PRIu32 "\n", port);
}

/* The answer comes from the sandbox's side and may be anything. Each byte is judged where it
 * stands, so nothing is kept and an answer without an end is refused at its first digit too many.
 */
static bool greeting_byte_fits(const struct wire_greeting *g, char byte)
{
    if (g->len < GREETING_OK_LEN)
        return byte == GREETING_OK[g->len];
    if (byte == '\n')
        return g->len > GREETING_OK_LEN;
    return byte >= '0' && byte <= '9' && g->len < GREETING_OK_LEN + GREETING_DIGITS;
}

ssize_t wire_greeting_feed(struct wire_greeting *g, const void *data, size_t len)
{
    const char *bytes = data;
    size_t used = 0;
    while (used < len && !g->done) {
        char byte = bytes[used++];
        if (!greeting_byte_fits(g, byte))
            return -EPROTO;
        g->len++;
        g->done = byte == '\n';
    }
    return (ssize_t)used;
}
