/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apikey.h - API keys: text shown once, SHA-256 kept.
 *
 * A key reads e2b_<id><secret>, id 12 and secret 28 hexadecimal digits: clients of E2B check that
 * form. Keys of earlier servers read crl_<id>_<secret>, id 12 and secret 32 characters of base62,
 * and are as good. All keys are in memory; changes are put into the store, and the caller flushes
 * it before it answers. When that fails it takes the change back (apikey_revoke after a failed
 * create).
 */
#ifndef CORRAL_AUTH_APIKEY_H
#define CORRAL_AUTH_APIKEY_H

#include "auth/principal.h"
#include "store/store.h"

#define APIKEY_ID_LEN     12
#define APIKEY_SECRET_LEN 28
#define APIKEY_TEXT_SIZE  (4 + APIKEY_ID_LEN + APIKEY_SECRET_LEN + 1) /* with its NUL */
#define APIKEY_NAME_SIZE  129                                         /* with its NUL */
#define APIKEY_MAX        100000                                      /* keys of one server */
#define APIKEY_HASH_SIZE  32

struct apikey {
    char id[APIKEY_ID_LEN + 1];
    char name[APIKEY_NAME_SIZE]; /* what the owner calls it, UTF-8 without control characters */
    char account[PRINCIPAL_NAME_SIZE];
    enum role role;
    int64_t created_at; /* wall clock ms */
    bool has_rate;      /* its own limit of requests, instead of the server's */
    struct rate_limits rate;
    uint8_t hash[APIKEY_HASH_SIZE];
    struct apikey *next; /* in its hash bucket */
};

struct apikeys;

/* Reads all keys. The store must outlive the table. */
int apikeys_load(struct apikeys **ret, struct store *store, struct error *err);
void apikeys_free(struct apikeys *t); /* NULL is fine */

/* When no admin key exists (the first start): makes one for the account "default", writes its text
 * to STATE/admin.key (mode 0600) and commits it. Otherwise warns when the file is missing.
 * Blocking; start-up only. */
int apikeys_ensure_admin(struct apikeys *t, const char *state_dir, struct error *err);

/* What is asked of a new key. Strings may be NULL: "" as the name, "default", no limit of its own.
 */
struct apikey_params {
    const char *name, *account;
    const char *rate; /* "100/min,10/s" or "off" */
    enum role role;
};

/* Makes a key; `text` gets what the owner must keep. `*ret_key` (may be NULL) is owned by the
 * table. Errors are ERROR_INVALID_ARGUMENT, ERROR_QUOTA_EXCEEDED, ERROR_STORAGE_FAILED. */
int apikey_create(struct apikeys *t, const struct apikey_params *p, char text[APIKEY_TEXT_SIZE],
                  const struct apikey **ret_key, struct error *err);
/* The key stops working at once. ERROR_KEY_NOT_FOUND; ERROR_CONFLICT for the last admin key. */
int apikey_revoke(struct apikeys *t, const char *id, struct error *err);

/* The key whose whole text this is, or NULL. Takes the same time for an unknown id as for a wrong
 * secret. */
const struct apikey *apikey_verify(const struct apikeys *t, const char *text, size_t len);

/* All keys, oldest first: a malloc'ed array of *ret_n pointers owned by the table. */
const struct apikey **apikey_list(const struct apikeys *t, size_t *ret_n);

#endif
