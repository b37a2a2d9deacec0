/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - every table of the state and the layout of its keys, in one place.
 *
 * X(NAME, "name in the file", "key"). Values are records (record.h) whose encoding lives with the
 * entity's owner. New tables are appended; a table that is no longer used keeps its line.
 */
#ifndef CORRAL_STORE_KEYS_H
#define CORRAL_STORE_KEYS_H

#define STORE_TABLES(X)                                                                            \
    X(META, "meta", "a name below, text")                                                          \
    X(SANDBOXES, "sandboxes", "sandbox id, 36 characters")                                         \
    X(TEMPLATES, "templates", "template id, 36 characters")                                        \
    X(APIKEYS, "apikeys", "key id, 12 characters")                                                 \
    X(USERS, "users", "user name, text")                                                           \
    X(TOKENS, "tokens", "session id, 16 characters")                                               \
    X(WORKFLOWS, "workflows", "workflow id, text")                                                 \
    X(RUNS, "runs", "workflow id, NUL, run id")                                                    \
    X(SIGNKEYS, "signkeys", "key id, 8 characters")                                                \
    X(STEPS, "steps", "run id, NUL, number of the step (u32)")                                     \
    X(SECRETS, "secrets", "account, NUL, name of the secret")                                      \
    X(BUNDLES, "bundles", "kind (u8), account, NUL, bundle id")                                    \
    X(SNAPSHOTS, "snapshots", "snapshot id, 36 characters")

enum store_table {
#define X(name, file, key) STORE_##name,
    STORE_TABLES(X)
#undef X
        STORE_TABLE_COUNT
};

#define STORE_MAX_KEY 511 /* bytes; LMDB's own limit */

/* Keys of the meta table. */
#define META_SCHEMA    "schema"    /* u32: version of all layouts */
#define META_TIME      "created"   /* i64: when the state was made, wall clock ms */
#define META_GRANT_KEY "grant-key" /* 32 bytes: of tokens that are not kept, see auth/grant.h */

/* Raised when an older corrald must not open the state. */
#define SCHEMA_VERSION 1u

#endif
