/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - tokens that are not kept: each is the HMAC of what it is for, under a secret of the
 * server that its state holds.
 */
#ifndef CORRAL_AUTH_SECRET_H
#define CORRAL_AUTH_SECRET_H

#include <stdbool.h>

#include "store/store.h"

#define SECRET_SIZE       32
#define SECRET_TOKEN_SIZE 65 /* hexadecimal digits, with the NUL */

struct secret {
    uint8_t bytes[SECRET_SIZE];
};

/* Reads it, or makes one and puts it into the store, which the caller commits. */
int secret_load(struct secret *s, struct store *store);
/* The token for `purpose` (a fixed word) about `subject`. */
void secret_token(const struct secret *s, const char *purpose, const char *subject,
                  char out[SECRET_TOKEN_SIZE]);
/* Whether `text` is that token; takes the same time wherever it differs. */
bool secret_check(const struct secret *s, const char *purpose, const char *subject,
                  const char *text);

#endif
