/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws_key.h - the keys that sign tokens: P-256 key pairs. Table SIGNKEYS, key: the id.
 */
#ifndef CORRAL_AUTH_JWS_KEY_H
#define CORRAL_AUTH_JWS_KEY_H

#include "store/store.h"

#define JWS_KEY_ID_LEN   8
#define JWS_KEY_PEM_SIZE 512 /* with its NUL */

struct jws_key {
    char id[JWS_KEY_ID_LEN + 1];
    int64_t created_ms; /* wall clock */
    char private_pem[JWS_KEY_PEM_SIZE];
    char public_pem[JWS_KEY_PEM_SIZE];
};

/* A new pair; some milliseconds. 0 or -EIO. */
int jws_key_make(struct jws_key *key);
/* Collects the change; the caller commits. */
int jws_key_put(struct store *store, const struct jws_key *key);
int jws_key_del(struct store *store, const struct jws_key *key);
/* The newest `max` keys, newest first; returns how many there are (at most `max`), or a negative
 * errno. Older ones are deleted from the store. */
int jws_key_load(struct store *store, struct jws_key *keys, int max);

#endif
