/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/sha256.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "core/id.h"
#include "store/record.h"

#define TOKEN_RECORD 1
#define TOKEN_PREFIX "crr_"
#define TOKEN_CACHE  256 /* verified tokens remembered; a power of two */

struct session {
    char id[TOKEN_SESSION_LEN + 1];
    char user[PRINCIPAL_NAME_SIZE];
    uint64_t generation; /* of the user, when the session began */
    int64_t created_ms, expires_ms;
    uint8_t secret[SHA256_SIZE]; /* of the refresh token's text */
};

/* A signature costs a millisecond to check: each token's is checked once. */
struct token_seen {
    uint8_t hash[SHA256_SIZE];
    bool used;
    struct jws_claims claims;
};

struct tokens {
    struct store *store; /* not owned */
    struct jws_key keys[TOKEN_KEYS];
    int n_keys;
    size_t sessions; /* about: what other processes do is seen at the next count */
    struct token_seen *seen;
};

static void token_session_encode(struct buf *b, const struct session *s)
{
    record_begin(b, TOKEN_RECORD);
    record_str(b, s->user);
    (void)buf_u64(b, s->generation);
    record_i64(b, s->created_ms);
    record_i64(b, s->expires_ms);
    record_bytes(b, s->secret, sizeof(s->secret));
}

static int token_session_decode(struct session *s, const void *key, size_t keylen, const void *val,
                                size_t len)
{
    struct cursor c;
    *s = (struct session){0};
    if (keylen != TOKEN_SESSION_LEN || record_open(&c, val, len, TOKEN_RECORD) < 0)
        return -EPROTO;
    memcpy(s->id, key, keylen);
    record_get_text(&c, s->user, sizeof(s->user));
    s->generation = cursor_u64(&c);
    s->created_ms = record_get_i64(&c);
    s->expires_ms = record_get_i64(&c);
    record_get_bytes(&c, s->secret, sizeof(s->secret));
    return record_end(&c);
}

static int token_session_put(struct tokens *t, const struct session *s)
{
    cleanup_buf struct buf b = {0};
    token_session_encode(&b, s);
    if (b.failed)
        return -ENOMEM;
    return store_put(t->store, STORE_TOKENS, s->id, TOKEN_SESSION_LEN, b.data, b.len);
}

static int token_session_end(struct tokens *t, const struct session *s)
{
    if (t->sessions > 0)
        t->sessions--;
    return store_del(t->store, STORE_TOKENS, s->id, TOKEN_SESSION_LEN);
}

/* The session with that id and its user, both still valid. 0 or -ENOENT. */
static int token_session_get(struct tokens *t, const char *id, struct session *s, struct user *u)
{
    cleanup_buf struct buf b = {0};
    if (store_get(t->store, STORE_TOKENS, id, TOKEN_SESSION_LEN, &b) < 0 ||
        token_session_decode(s, id, TOKEN_SESSION_LEN, b.data, b.len) < 0 ||
        s->expires_ms <= time_now_ms() || user_get(t->store, s->user, u) < 0 ||
        u->generation != s->generation)
        return -ENOENT;
    return 0;
}

static int token_session_sweep(void *ctx, const void *key, size_t keylen, const void *val,
                               size_t vallen)
{
    struct tokens *t = ctx;
    struct session s;
    if (token_session_decode(&s, key, keylen, val, vallen) < 0 || s.expires_ms <= time_now_ms())
        return store_del(t->store, STORE_TOKENS, key, keylen);
    t->sessions++;
    return 0;
}

static int tokens_sweep(struct tokens *t)
{
    t->sessions = 0;
    return store_each(t->store, STORE_TOKENS, token_session_sweep, t);
}

int tokens_load(struct tokens **ret, struct store *store, struct error *err)
{
    struct tokens *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot load the tokens");
    t->store = store;
    t->n_keys = jws_key_load(store, t->keys, TOKEN_KEYS);
    int rv = t->n_keys < 0 ? t->n_keys : tokens_sweep(t);
    if (rv == 0 && t->n_keys == 0)
        rv = token_rotate(t);
    if (rv < 0) {
        free(t);
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot load the tokens");
    }
    *ret = t;
    return 0;
}

int token_rotate(struct tokens *t)
{
    struct jws_key key;
    int rv = jws_key_make(&key);
    if (rv == 0)
        rv = jws_key_put(t->store, &key);
    if (rv < 0)
        return rv;
    if (t->n_keys == TOKEN_KEYS)
        (void)jws_key_del(t->store, &t->keys[--t->n_keys]);
    memmove(&t->keys[1], &t->keys[0], (size_t)t->n_keys * sizeof(key));
    t->keys[0] = key;
    t->n_keys++;
    free(t->seen);
    t->seen = NULL;
    log_info("signing key made", "kid=%s accepted=%d", key.id, t->n_keys);
    return 0;
}

const char *token_key_id(const struct tokens *t)
{
    return t->keys[0].id;
}

/* The two tokens of a session; its record then has the new refresh token. */
static int token_make(struct tokens *t, struct session *s, const struct user *u,
                      struct token_pair *ret, struct error *err)
{
    struct jws_claims claims = {.role = u->role, .issued = time_now_ms() / 1000};
    char secret[TOKEN_SECRET_LEN + 1], nonce[9];
    int rv = 0;
    if (time_now_ms() - t->keys[0].created_ms > TOKEN_KEY_LIFE_MS)
        rv = token_rotate(t);
    claims.not_before = claims.issued;
    claims.expiry = claims.issued + TOKEN_ACCESS_S;
    memcpy(claims.subject, u->name, sizeof(claims.subject));
    memcpy(claims.account, u->account, sizeof(claims.account));
    id_token(nonce, 8);
    (void)snprintf(claims.id, sizeof(claims.id), "%s.%s", s->id, nonce);
    id_token(secret, TOKEN_SECRET_LEN);
    (void)snprintf(ret->refresh, sizeof(ret->refresh), TOKEN_PREFIX "%s_%s", s->id, secret);
    sha256(ret->refresh, strlen(ret->refresh), s->secret);
    s->expires_ms = time_now_ms() + (int64_t)TOKEN_REFRESH_S * 1000;
    if (rv == 0)
        rv = token_session_put(t, s);
    if (rv == 0)
        rv = jws_sign(&t->keys[0], &claims, &ret->access);
    return rv < 0 ? error_set_errno(err, ERROR_INTERNAL, rv, "Cannot make a token") : 0;
}

int token_issue(struct tokens *t, const struct user *u, struct token_pair *ret, struct error *err)
{
    struct session s = {.generation = u->generation, .created_ms = time_now_ms()};
    if (t->sessions >= TOKEN_MAX_SESSIONS)
        (void)tokens_sweep(t);
    if (t->sessions >= TOKEN_MAX_SESSIONS)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "There are %d sessions already",
                         TOKEN_MAX_SESSIONS);
    id_token(s.id, TOKEN_SESSION_LEN);
    memcpy(s.user, u->name, sizeof(s.user));
    int rv = token_make(t, &s, u, ret, err);
    if (rv == 0)
        t->sessions++;
    return rv;
}

static int token_refuse(struct error *err, const char *message)
{
    (void)error_set(err, ERROR_UNAUTHORIZED, "%s", message);
    return -EACCES;
}

static bool token_is_refresh(const char *text, size_t len)
{
    size_t prefix = strlen(TOKEN_PREFIX);
    return len == TOKEN_REFRESH_SIZE - 1 && memcmp(text, TOKEN_PREFIX, prefix) == 0 &&
           text[prefix + TOKEN_SESSION_LEN] == '_';
}

/* The session of a refresh token. -EACCES: the session is there, the token is not its own. */
static int token_session(struct tokens *t, const char *text, size_t len, struct session *s,
                         struct user *u)
{
    uint8_t hash[SHA256_SIZE];
    if (!token_is_refresh(text, len) || token_session_get(t, text + strlen(TOKEN_PREFIX), s, u) < 0)
        return -ENOENT;
    sha256(text, len, hash);
    return id_equal(hash, s->secret, sizeof(hash)) ? 0 : -EACCES;
}

int token_refresh(struct tokens *t, const char *text, size_t len, struct token_pair *ret,
                  struct error *err)
{
    struct session s;
    struct user u;
    int rv = token_session(t, text, len, &s, &u);
    if (rv == -EACCES) {
        log_warn("a refresh token was used twice, session ended", "user=%s", s.user);
        (void)token_session_end(t, &s);
    }
    if (rv < 0)
        return token_refuse(err, "The refresh token is not valid");
    return token_make(t, &s, &u, ret, err);
}

static const struct jws_key *token_key(const struct tokens *t, const char *kid)
{
    for (int i = 0; i < t->n_keys; i++) {
        if (strcmp(t->keys[i].id, kid) == 0)
            return &t->keys[i];
    }
    return NULL;
}

static struct token_seen *token_slot(struct tokens *t, const uint8_t *hash)
{
    if (t->seen == NULL)
        t->seen = calloc(TOKEN_CACHE, sizeof(*t->seen));
    return t->seen != NULL ? &t->seen[(hash[0] | hash[1] << 8) & (TOKEN_CACHE - 1)] : NULL;
}

/* The claims of a token whose signature is right. The caller still checks session and user. */
static int token_verify(struct tokens *t, const char *text, size_t len, struct jws_claims *ret)
{
    uint8_t hash[SHA256_SIZE];
    struct session s;
    struct user u;
    sha256(text, len, hash);
    struct token_seen *seen = token_slot(t, hash);
    if (seen != NULL && seen->used && id_equal(seen->hash, hash, sizeof(hash))) {
        *ret = seen->claims;
        return 0;
    }
    if (jws_read(text, len, ret) < 0)
        return -EACCES;
    /* Cheap checks come first, so that a stranger cannot make the server verify signatures. */
    const struct jws_key *key = token_key(t, ret->kid);
    if (key == NULL || strlen(ret->id) <= TOKEN_SESSION_LEN ||
        token_session_get(t, ret->id, &s, &u) < 0)
        return -EACCES;
    if (jws_verify(key, text, len, ret) < 0)
        return -EACCES;
    if (seen != NULL) {
        *seen = (struct token_seen){.used = true, .claims = *ret};
        memcpy(seen->hash, hash, sizeof(hash));
    }
    return 0;
}

int token_check(struct tokens *t, const char *text, size_t len, struct principal *ret,
                struct error *err)
{
    struct jws_claims claims;
    struct session s;
    struct user u;
    int64_t now = time_now_ms() / 1000;
    if (len > JWS_MAX_TOKEN || token_verify(t, text, len, &claims) < 0)
        return token_refuse(err, "The token is not valid");
    if (claims.expiry <= now || claims.not_before > now)
        return token_refuse(err, "The token has expired");
    if (strlen(claims.id) <= TOKEN_SESSION_LEN || token_session_get(t, claims.id, &s, &u) < 0 ||
        strcmp(s.user, claims.subject) != 0)
        return token_refuse(err, "The token is not valid any more");
    *ret = (struct principal){.role = u.role, .scopes = role_scopes(u.role)};
    memcpy(ret->account, u.account, sizeof(ret->account));
    (void)snprintf(ret->key_id, sizeof(ret->key_id), "user:%s", u.name);
    return 0;
}

int token_revoke(struct tokens *t, const char *text, size_t len)
{
    struct jws_claims claims;
    struct session s;
    struct user u;
    if (token_session(t, text, len, &s, &u) == 0)
        return token_session_end(t, &s);
    if (len > JWS_MAX_TOKEN || token_verify(t, text, len, &claims) < 0 ||
        strlen(claims.id) <= TOKEN_SESSION_LEN || token_session_get(t, claims.id, &s, &u) < 0)
        return 0;
    return token_session_end(t, &s);
}
