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
#define GRANT_PASS_SIZE  (GRANT_TOKEN_SIZE + 21)

/* What tokens are for: each word has one meaning. */
#define GRANT_ENVD    "envd"    /* about a sandbox: files and processes of it */
#define GRANT_TRAFFIC "traffic" /* about a sandbox: its ports */
#define GRANT_PORT    "port"    /* about "<sandbox>-<port>": that port; these end */
#define GRANT_SERVICE "service" /* about "<sandbox>-<port>-<mark>": api/service.h; these end */

struct grant_key {
    uint8_t bytes[GRANT_KEY_SIZE];
};

/* Reads it, or makes one and puts it into the store, which the caller commits. */
int grant_key_load(struct grant_key *s, struct store *store);
/* The token for `purpose`, one of the words above, about `subject` of at most 200 bytes. */
void grant_token(const struct grant_key *s, const char *purpose, const char *subject,
                 char out[GRANT_TOKEN_SIZE]);
/* Whether `text` is that token; takes the same time wherever it differs. */
bool grant_check(const struct grant_key *s, const char *purpose, const char *subject,
                 const char *text);

/* A token that ends: "<end>.<token>", with the end in seconds since 1970. */
void grant_pass(const struct grant_key *s, const char *purpose, const char *subject, int64_t end_s,
                char out[GRANT_PASS_SIZE]);
/* Whether the text is such a token and `now_s` is before its end, which *ret_end_s is then. */
bool grant_pass_check(const struct grant_key *s, const char *purpose, const char *subject,
                      const char *text, size_t len, int64_t now_s, int64_t *ret_end_s);

#endif
