/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - what a person gets for a password: sessions, each with short-lived access tokens
 * (jws.h) and one refresh token.
 *
 * A session is a record (table TOKENS, key: its id) with the SHA-256 of the refresh token that is
 * valid now. Every access token names its session, and works while that session and its user are
 * there: revoking ends the session and with it all its tokens. A refresh token works once; one that
 * was used already ends its session, since somebody has a copy.
 *
 * Two signing keys are accepted, the newer one signs; a key is replaced after TOKEN_KEY_LIFE_MS or
 * by token_rotate.
 *
 * Sessions are read from the store, never kept; changes are put into it and the caller flushes
 * before it answers.
 */
#ifndef CORRAL_AUTH_TOKEN_H
#define CORRAL_AUTH_TOKEN_H

#include "auth/jws.h"
#include "auth/user.h"

#define TOKEN_ACCESS_S     3600
#define TOKEN_REFRESH_S    (30 * 86400)
#define TOKEN_KEY_LIFE_MS  (30ll * 86400 * 1000)
#define TOKEN_KEYS         2
#define TOKEN_MAX_SESSIONS 100000 /* of one server */
#define TOKEN_SESSION_LEN  16
#define TOKEN_SECRET_LEN   32
#define TOKEN_REFRESH_SIZE (4 + TOKEN_SESSION_LEN + 1 + TOKEN_SECRET_LEN + 1) /* with its NUL */

struct tokens;

struct token_pair {
    char *access; /* malloc'ed, owned by the caller */
    char refresh[TOKEN_REFRESH_SIZE];
};

/* Reads the keys (and makes the first one), drops what has expired. Start-up; the caller commits.
 */
int tokens_load(struct tokens **ret, struct store *store, struct error *err);

/* A new session. */
int token_issue(struct tokens *t, const struct user *u, struct token_pair *ret, struct error *err);
/* Another access token and the next refresh token. -EACCES and ERROR_UNAUTHORIZED; then a session
 * may have been ended, so flush in that case, too. */
int token_refresh(struct tokens *t, const char *text, size_t len, struct token_pair *ret,
                  struct error *err);
/* The principal of an access token. -EACCES and ERROR_UNAUTHORIZED. */
int token_check(struct tokens *t, const char *text, size_t len, struct principal *ret,
                struct error *err);
/* Ends the session of an access or a refresh token. Ignores text that is not a valid token. */
int token_revoke(struct tokens *t, const char *text, size_t len);

/* A new signing key; the older of two before it stops being accepted. */
int token_rotate(struct tokens *t);
const char *token_key_id(const struct tokens *t);

#endif
