/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - people: name, account, role, password. Table USERS, key: the name.
 *
 * Users are read from the store each time, never kept in memory, so that `corrald user` changes
 * them beside a running server. A changed or deleted user's tokens stop working: each carries the
 * user's `generation`, which a new password changes.
 */
#ifndef CORRAL_AUTH_USER_H
#define CORRAL_AUTH_USER_H

#include "auth/password.h"
#include "auth/principal.h"
#include "store/store.h"

struct user {
    char name[PRINCIPAL_NAME_SIZE];
    char account[PRINCIPAL_NAME_SIZE];
    enum role role;
    uint64_t generation;
    int64_t created_ms, changed_ms; /* wall clock */
    struct password password;
};

/* 0, -ENOENT, or another negative errno. */
int user_get(struct store *store, const char *name, struct user *ret);
/* Collects the change; the caller commits. */
int user_put(struct store *store, const struct user *u);
int user_del(struct store *store, const char *name);
/* In the order of names; a non-zero return of `visit` ends it. */
int user_each(struct store *store, int (*visit)(void *ctx, const struct user *u), void *ctx);

/* Sets a new password (blocking) and with it a new generation. ERROR_INVALID_ARGUMENT for one that
 * is too short or too long. */
int user_set_password(struct user *u, const char *text, struct error *err);

/* Stands in for a user who does not exist: no password matches it, and the check takes as long. */
void user_nobody(struct user *ret);

#endif
