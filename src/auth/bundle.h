/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h - named lists that an account keeps and ties to its sandboxes: network policies, whose
 * entries are destinations, and providers, whose entries are variables with values that nobody
 * reads back.
 *
 * All are in memory, and each change is put into the store at once, which the caller commits. A
 * value is encrypted at rest by the key of secrets, and bound to its entry.
 */
#ifndef CORRAL_AUTH_BUNDLE_H
#define CORRAL_AUTH_BUNDLE_H

#include "auth/secret.h"
#include "base/list.h"
#include "core/id.h"

#define BUNDLE_MAX             64   /* of one kind and account */
#define BUNDLE_MAX_ENTRIES     64   /* of one bundle */
#define BUNDLE_MAX_NAME        128  /* bytes, as is a variable's name */
#define BUNDLE_MAX_DESTINATION 255  /* bytes */
#define BUNDLE_MAX_DESCRIPTION 1024 /* bytes */

/* Stored: only append. */
enum bundle_kind { BUNDLE_POLICY = 1, BUNDLE_PROVIDER = 2 };
/* Of a policy, in the order of strictness. Stored: only append. */
enum bundle_mode { BUNDLE_ALLOW_ALL, BUNDLE_DENYLIST, BUNDLE_ALLOWLIST, BUNDLE_DENY_ALL };
enum bundle_protocol { BUNDLE_TCP, BUNDLE_UDP, BUNDLE_ANY };

struct bundle_entry {
    char id[ID_SIZE];
    char *name;        /* owned: a destination, or a variable's name */
    char *description; /* owned; NULL: none */
    struct buf value;  /* owned, encrypted; empty: none */
    uint16_t port;     /* 0: any */
    uint8_t protocol;  /* enum bundle_protocol */
    int64_t created_ms, updated_ms;
};

struct bundle {
    struct list link; /* newest last */
    char id[ID_SIZE];
    enum bundle_kind kind;
    char account[PRINCIPAL_NAME_SIZE];
    char *name;        /* owned */
    char *description; /* owned; NULL: none */
    uint8_t mode;      /* enum bundle_mode */
    bool is_default;   /* new sandboxes are tied to it; one of a kind and account at most */
    bool is_active;    /* otherwise it is as if it were tied to nothing */
    int64_t created_ms, updated_ms;
    struct bundle_entry *entries; /* owned */
    size_t count;
};

/* What a client sets. Strings are copied. */
struct bundle_fields {
    const char *name, *description; /* NULL: no description */
    uint8_t mode;
    bool is_default, is_active;
};

struct bundle_entry_fields {
    const char *name, *description; /* NULL: no description */
    const char *value;              /* NULL: as it was */
    uint16_t port;
    uint8_t protocol;
};

struct bundles;

/* Blocking; start-up only. Both must outlive it. */
int bundles_open(struct bundles **ret, struct store *store, struct secrets *secrets,
                 struct error *err);
void bundles_free(struct bundles *s); /* NULL is fine */

/* NULL: the account has none with that id. */
struct bundle *bundle_find(struct bundles *s, enum bundle_kind kind, const char *account,
                           const char *id);
/* The one that is_default and is_active; NULL: none. */
struct bundle *bundle_default(struct bundles *s, enum bundle_kind kind, const char *account);
/* Visits the newest first those whose name holds `search` (NULL: all), in any case: `limit` of them
 * behind the first `offset`. Returns how many there are. */
unsigned int bundles_each(struct bundles *s, enum bundle_kind kind, const char *account,
                          const char *search, unsigned int offset, unsigned int limit,
                          void (*visit)(void *ctx, const struct bundle *b), void *ctx);
struct bundle_entry *bundle_entry_find(struct bundle *b, const char *id);

/* Changes. 0, or a negative errno with `err` filled, and nothing has changed. */
int bundle_create(struct bundles *s, enum bundle_kind kind, const char *account,
                  const struct bundle_fields *f, struct bundle **ret, struct error *err);
int bundle_update(struct bundles *s, struct bundle *b, const struct bundle_fields *f,
                  struct error *err);
int bundle_delete(struct bundles *s, struct bundle *b, struct error *err);
/* `e` is an entry to change, or NULL for a new one; *ret, which may be NULL, is that entry, valid
 * until the next change. */
int bundle_set_entry(struct bundles *s, struct bundle *b, struct bundle_entry *e,
                     const struct bundle_entry_fields *f, struct bundle_entry **ret,
                     struct error *err);
int bundle_drop_entry(struct bundles *s, struct bundle *b, struct bundle_entry *e,
                      struct error *err);

/* Appends the value of an entry; the caller wipes the buffer (secret_wipe). */
int bundle_value(struct bundles *s, const struct bundle *b, const struct bundle_entry *e,
                 struct buf *out);

/* Records; bundle_record.c. `b` is zeroed, and holds what was read also after -EPROTO. */
void bundle_encode(struct buf *out, const struct bundle *b);
int bundle_decode(struct bundle *b, const void *data, size_t len);
/* Releases what it owns. */
void bundle_done(struct bundle *b);
void bundle_entry_done(struct bundle_entry *e);

#endif
