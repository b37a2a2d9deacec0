/* SPDX-License-Identifier: Apache-2.0 */
/* id.h - ids and secrets: random UUIDs, random base62 text, comparison in constant time. */
#ifndef CORRAL_CORE_ID_H
#define CORRAL_CORE_ID_H

#include <stdbool.h>

#include "base/base.h"

#define ID_SIZE 37 /* a UUID as text, with its NUL */

/* Fills `out` from the kernel's generator. Cannot fail: a kernel without one ends the process. */
void id_random(void *out, size_t len);

/* A new random UUID (version 4), lower case. */
void id_new(char out[ID_SIZE]);

/* Checks the strict form: 36 characters, 8-4-4-4-12 hex digits, any version. `out` gets it in lower
 * case. 0 or -EINVAL. */
int id_parse(char out[ID_SIZE], const char *s);

/* `len` random characters of 0-9A-Za-z, each equally likely, and a NUL: `out` holds len + 1. */
void id_token(char *out, size_t len);

#define ID_HOST_NAME_SIZE 10

/* The host name of a sandbox: the first 8 digits of its id. Where none of them is a letter an `s`
 * stands before them: resolvers take a name of decimal digits for an address. */
void id_host_name(char out[ID_HOST_NAME_SIZE], const char *id);

/* Takes the same time wherever the bytes differ. */
bool id_equal(const void *a, const void *b, size_t len);

#endif
