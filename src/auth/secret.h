/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - values that accounts leave with the server, for header fields that corral-egress sets.
 *
 * A value is encrypted at rest with AES-256-GCM. The key is made at the first start and kept in
 * STATE/secret.key, mode 0600; account and name are authenticated with the value, so that a value
 * cannot be moved to another place in the state. A value leaves the server in a policy for
 * corral-egress and nowhere else. (Values that others keep with this key, below, are theirs.)
 *
 * What is put counts once the store has committed it: the caller flushes, then calls
 * secrets_changed.
 */
#ifndef CORRAL_AUTH_SECRET_H
#define CORRAL_AUTH_SECRET_H

#include "auth/principal.h"
#include "store/store.h"

#define SECRET_MAX_VALUE 4096 /* bytes */
#define SECRET_MAX       256  /* of one account */

struct secrets;

/* Blocking; start-up only. The store must outlive it. */
int secrets_open(struct secrets **ret, struct store *store, const char *state_dir,
                 struct error *err);
void secrets_free(struct secrets *s); /* NULL is fine */

/* Who wants to know of changes: policies that use the secret are to be sent again. */
void secrets_watch(struct secrets *s,
                   void (*changed)(void *ctx, const char *account, const char *name), void *ctx);
void secrets_changed(struct secrets *s, const char *account, const char *name);

/* Names are those of principal_check_name; a value has no control characters, since it becomes part
 * of a header field. */
int secret_set(struct secrets *s, const char *account, const char *name, const char *value,
               struct error *err);
/* ERROR_SECRET_NOT_FOUND when there is none. */
int secret_del(struct secrets *s, const char *account, const char *name, struct error *err);
/* In the order of names. */
int secrets_each(struct secrets *s, const char *account,
                 void (*visit)(void *ctx, const char *name, int64_t set_at), void *ctx);

/* Appends the text with each ${secret:NAME} replaced. The caller wipes what it got, with
 * secret_wipe. ERROR_SECRET_NOT_FOUND names the secret that is missing; nothing is appended then.
 */
int secret_fill(struct secrets *s, const char *account, const char *text, struct buf *out,
                struct error *err);
void secret_wipe(struct buf *b);
/* Bytes that secret_fill asks the buffer for, whatever the secrets are. */
size_t secret_room(const char *text);
/* Whether the text refers to the secret. */
bool secret_is_in(const char *text, const char *name);

/* A value that somebody else keeps, encrypted by the same key and bound to two names of at most 64
 * bytes; it may hold any bytes but NUL. 0 or a negative errno, and nothing is appended then. */
int secret_lock(struct secrets *s, const char *whose, const char *name, const char *value,
                struct buf *out);
int secret_unlock(struct secrets *s, const char *whose, const char *name, const void *locked,
                  size_t len, struct buf *out);

#endif
