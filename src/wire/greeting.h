/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greeting.h - what the host's end of a connection says before the first frame, and the answer to
 * it (wire.h). The line picks a port of the guest; the number in the answer means nothing to us.
 */
#ifndef CORRAL_WIRE_GREETING_H
#define CORRAL_WIRE_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_GREETING_SIZE 24 /* "CONNECT 4294967295\n" and its end */

/* The answer as far as it has come. Zero before its first byte. */
struct wire_greeting {
    unsigned int len; /* bytes accepted */
    bool done;
};

/* Prints the line for `port`; returns its length. */
size_t wire_greeting_print(char out[WIRE_GREETING_SIZE], uint32_t port);
/* Takes the next bytes of "OK <n>\n". Returns how many of them belong to it: all, until `done` is
 * set, and what follows is the connection's. -EPROTO as soon as it cannot be that line any more. */
ssize_t wire_greeting_feed(struct wire_greeting *g, const void *data, size_t len);

#endif
