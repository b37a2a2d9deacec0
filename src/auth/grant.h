/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grant.h - tokens that are not kept: each is the HMAC of what it is for, under a key of the server
 * that its state holds.
 */
#ifndef CORRAL_AUTH_GRANT_H
#define CORRAL_AUTH_GRANT_H

#include <stdbool.h>

#include "store/store.h"

#define GRANT_KEY_SIZE   32
#define GRANT_TOKEN_SIZE 65 /* hexadecimal digits, with the NUL */

struct grant_key {
    uint8_t bytes[GRANT_KEY_SIZE];
};

/* Reads it, or makes one and puts it into the store, which the caller commits. */
int grant_key_load(struct grant_key *s, struct store *store);
/* The token for `purpose` (a fixed word) about `subject`. */
void grant_token(const struct grant_key *s, const char *purpose, const char *subject,
                 char out[GRANT_TOKEN_SIZE]);
/* Whether `text` is that token; takes the same time wherever it differs. */
bool grant_check(const struct grant_key *s, const char *purpose, const char *subject,
                 const char *text);

#endif
