/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/secret.h"

#include <mbedtls/gcm.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/file.h"
#include "store/record.h"

#define SECRET_VERSION 1
#define SECRET_KEY     32
#define SECRET_NONCE   12
#define SECRET_TAG     16
#define SECRET_PLACE   (2 * PRINCIPAL_NAME_SIZE) /* account, NUL, name */
#define SECRET_BEGIN   "${secret:"

struct secrets {
    struct store *store; /* not owned */
    uint8_t key[SECRET_KEY];
    void (*changed)(void *ctx, const char *account, const char *name);
    void *ctx;
};

struct secret_record {
    int64_t set_at; /* wall clock ms */
    uint8_t nonce[SECRET_NONCE], tag[SECRET_TAG];
    size_t len;
    uint8_t bytes[SECRET_MAX_VALUE];
};

struct secret_place {
    char bytes[SECRET_PLACE];
    size_t len;
};

/* Names were checked, or are part of one that was. */
static struct secret_place secret_place(const char *account, const char *name)
{
    struct secret_place p;
    size_t first = strlen(account) + 1, second = strlen(name);
    memcpy(p.bytes, account, first);
    memcpy(p.bytes + first, name, second);
    p.len = first + second;
    return p;
}

static int secret_key_make(struct secrets *s, const char *path)
{
    if (getrandom(s->key, sizeof(s->key), 0) != (ssize_t)sizeof(s->key))
        return -EIO;
    int rv = file_replace(path, s->key, sizeof(s->key), 0600);
    if (rv == 0)
        log_info("key of secrets made", "file=%s", path);
    return rv;
}

static int secret_key_load(struct secrets *s, const char *path)
{
    struct buf b = {0};
    int rv = file_read(path, SECRET_KEY, &b);
    if (rv == 0 && b.len != SECRET_KEY)
        rv = -EINVAL;
    if (rv == 0)
        memcpy(s->key, b.data, SECRET_KEY);
    secret_wipe(&b);
    return rv == -ENOENT ? secret_key_make(s, path) : rv;
}

int secrets_open(struct secrets **ret, struct store *store, const char *state_dir,
                 struct error *err)
{
    char path[PATH_MAX];
    struct secrets *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot open the secrets");
    s->store = store;
    int n = snprintf(path, sizeof(path), "%s/secret.key", state_dir);
    int rv = n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : secret_key_load(s, path);
    if (rv < 0) {
        secrets_free(s);
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot load the key of secrets");
    }
    *ret = s;
    return 0;
}

void secrets_free(struct secrets *s)
{
    if (s == NULL)
        return;
    explicit_bzero(s->key, sizeof(s->key));
    free(s);
}

void secrets_watch(struct secrets *s,
                   void (*changed)(void *ctx, const char *account, const char *name), void *ctx)
{
    s->changed = changed;
    s->ctx = ctx;
}

void secrets_changed(struct secrets *s, const char *account, const char *name)
{
    if (s->changed != NULL)
        s->changed(s->ctx, account, name);
}

void secret_wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_done(b);
}

/* --- records --- */

static int secret_seal(const struct secrets *s, const struct secret_place *place, const char *value,
                       struct secret_record *r)
{
    mbedtls_gcm_context gcm;
    r->len = strlen(value);
    r->set_at = time_now_ms();
    if (getrandom(r->nonce, sizeof(r->nonce), 0) != (ssize_t)sizeof(r->nonce))
        return -EIO;
    mbedtls_gcm_init(&gcm);
    int rv = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, s->key, SECRET_KEY * 8);
    if (rv == 0)
        rv = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, r->len, r->nonce, SECRET_NONCE,
                                       (const uint8_t *)place->bytes, place->len,
                                       (const uint8_t *)value, r->bytes, SECRET_TAG, r->tag);
    mbedtls_gcm_free(&gcm);
    return rv == 0 ? 0 : -EIO;
}

/* Into the record's own bytes. -EBADMSG when the record is not what was put there. */
static int secret_unseal(const struct secrets *s, const struct secret_place *place,
                         struct secret_record *r)
{
    mbedtls_gcm_context gcm;
    uint8_t plain[SECRET_MAX_VALUE] = {0};
    mbedtls_gcm_init(&gcm);
    int rv = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, s->key, SECRET_KEY * 8);
    if (rv == 0)
        rv = mbedtls_gcm_auth_decrypt(&gcm, r->len, r->nonce, SECRET_NONCE,
                                      (const uint8_t *)place->bytes, place->len, r->tag, SECRET_TAG,
                                      r->bytes, plain);
    mbedtls_gcm_free(&gcm);
    memcpy(r->bytes, plain, sizeof(plain));
    explicit_bzero(plain, sizeof(plain));
    return rv == 0 ? 0 : -EBADMSG;
}

static void secret_encode(struct buf *b, const struct secret_record *r)
{
    record_begin(b, SECRET_VERSION);
    record_i64(b, r->set_at);
    record_bytes(b, r->nonce, sizeof(r->nonce));
    record_bytes(b, r->tag, sizeof(r->tag));
    (void)buf_u32(b, (uint32_t)r->len);
    record_bytes(b, r->bytes, r->len);
}

static int secret_decode(struct secret_record *r, const void *data, size_t len)
{
    struct cursor c;
    *r = (struct secret_record){.len = 0};
    if (record_open(&c, data, len, SECRET_VERSION) < 0)
        return -EPROTO;
    r->set_at = record_get_i64(&c);
    record_get_bytes(&c, r->nonce, sizeof(r->nonce));
    record_get_bytes(&c, r->tag, sizeof(r->tag));
    r->len = cursor_u32(&c);
    if (r->len > SECRET_MAX_VALUE)
        return -EPROTO;
    record_get_bytes(&c, r->bytes, r->len);
    return record_end(&c);
}

static int secret_get(struct secrets *s, const struct secret_place *place, struct secret_record *r)
{
    cleanup_buf struct buf b = {0};
    int rv = store_get(s->store, STORE_SECRETS, place->bytes, place->len, &b);
    return rv == 0 ? secret_decode(r, b.data, b.len) : rv;
}

/* --- the account's view --- */

struct secret_walk {
    const char *account;
    size_t count;
    void (*visit)(void *ctx, const char *name, int64_t set_at);
    void *ctx;
};

static int secret_visit(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct secret_walk *w = ctx;
    struct secret_record r;
    char name[PRINCIPAL_NAME_SIZE];
    size_t skip = strlen(w->account) + 1;
    if (keylen <= skip || keylen - skip >= sizeof(name) || memcmp(key, w->account, skip) != 0)
        return 0;
    memcpy(name, (const char *)key + skip, keylen - skip);
    name[keylen - skip] = '\0';
    w->count++;
    if (w->visit != NULL && secret_decode(&r, val, vallen) == 0)
        w->visit(w->ctx, name, r.set_at);
    return 0;
}

int secrets_each(struct secrets *s, const char *account,
                 void (*visit)(void *ctx, const char *name, int64_t set_at), void *ctx)
{
    struct secret_walk w = {.account = account, .visit = visit, .ctx = ctx};
    return store_each(s->store, STORE_SECRETS, secret_visit, &w);
}

static int secret_check(struct secrets *s, const struct secret_place *place, const char *account,
                        const char *value, struct error *err)
{
    struct secret_walk w = {.account = account};
    struct secret_record r;
    size_t len = strlen(value);
    if (len == 0 || len > SECRET_MAX_VALUE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'value' must have 1 to %d bytes",
                         SECRET_MAX_VALUE);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return error_set(err, ERROR_INVALID_ARGUMENT,
                             "Field 'value' must not hold control characters");
    (void)store_each(s->store, STORE_SECRETS, secret_visit, &w);
    if (w.count >= SECRET_MAX && secret_get(s, place, &r) == -ENOENT)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "There are %d secrets already", SECRET_MAX);
    return 0;
}

int secret_set(struct secrets *s, const char *account, const char *name, const char *value,
               struct error *err)
{
    cleanup_buf struct buf b = {0};
    struct secret_record r;
    if (principal_check_name("name", name, err) < 0)
        return -EINVAL;
    struct secret_place place = secret_place(account, name);
    if (secret_check(s, &place, account, value, err) < 0)
        return -EINVAL;
    int rv = secret_seal(s, &place, value, &r);
    if (rv == 0) {
        secret_encode(&b, &r);
        rv = b.failed ? -ENOMEM
                      : store_put(s->store, STORE_SECRETS, place.bytes, place.len, b.data, b.len);
    }
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot keep the secret") : 0;
}

static int secret_missing(struct error *err, const char *name)
{
    return error_set(err, ERROR_SECRET_NOT_FOUND, "There is no secret '%s'", name);
}

int secret_del(struct secrets *s, const char *account, const char *name, struct error *err)
{
    struct secret_record r;
    if (principal_check_name("name", name, NULL) < 0)
        return error_set(err, ERROR_SECRET_NOT_FOUND, "There is no such secret");
    struct secret_place place = secret_place(account, name);
    int rv = secret_get(s, &place, &r);
    if (rv == -ENOENT)
        return secret_missing(err, name);
    rv = store_del(s->store, STORE_SECRETS, place.bytes, place.len);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot remove the secret") : 0;
}

/* --- filling in --- */

/* The name in a reference at the start of the text, and the text behind it; NULL when none is
 * there. */
static const char *secret_reference(const char *text, char name[PRINCIPAL_NAME_SIZE])
{
    const char *from = text + strlen(SECRET_BEGIN);
    if (strncmp(text, SECRET_BEGIN, strlen(SECRET_BEGIN)) != 0)
        return NULL;
    const char *end = strchr(from, '}');
    if (end == NULL || end - from >= PRINCIPAL_NAME_SIZE)
        return NULL;
    memcpy(name, from, (size_t)(end - from));
    name[end - from] = '\0';
    return principal_check_name("name", name, NULL) == 0 ? end + 1 : NULL;
}

static int secret_append(struct secrets *s, const char *account, const char *name, struct buf *out,
                         struct error *err)
{
    struct secret_record r;
    struct secret_place place = secret_place(account, name);
    int rv = secret_get(s, &place, &r);
    if (rv == -ENOENT)
        return secret_missing(err, name);
    if (rv == 0)
        rv = secret_unseal(s, &place, &r);
    if (rv == 0)
        rv = buf_append(out, r.bytes, r.len);
    explicit_bzero(&r, sizeof(r));
    return rv < 0
               ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the secret '%s'", name)
               : 0;
}

size_t secret_room(const char *text)
{
    size_t room = strlen(text) + 1;
    for (const char *at = strstr(text, SECRET_BEGIN); at != NULL; at = strstr(at + 1, SECRET_BEGIN))
        room += SECRET_MAX_VALUE;
    return room;
}

int secret_fill(struct secrets *s, const char *account, const char *text, struct buf *out,
                struct error *err)
{
    char name[PRINCIPAL_NAME_SIZE];
    size_t before = out->len;
    /* A buffer that grew on the way would leave copies behind. */
    int rv = buf_reserve(out, secret_room(text));
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "Cannot fill in secrets");
    while (*text != '\0' && rv == 0) {
        const char *behind = secret_reference(text, name);
        rv = behind != NULL ? secret_append(s, account, name, out, err) : buf_append(out, text, 1);
        text = behind != NULL ? behind : text + 1;
    }
    if (rv < 0) {
        explicit_bzero(out->data + before, out->len - before);
        out->len = before;
    }
    return rv;
}

int secret_lock(struct secrets *s, const char *whose, const char *name, const char *value,
                struct buf *out)
{
    struct secret_record r = {.len = 0};
    if (strlen(whose) >= PRINCIPAL_NAME_SIZE || strlen(name) >= PRINCIPAL_NAME_SIZE ||
        strlen(value) > SECRET_MAX_VALUE)
        return -EINVAL;
    struct secret_place place = secret_place(whose, name);
    int rv = secret_seal(s, &place, value, &r);
    if (rv == 0)
        secret_encode(out, &r);
    return rv == 0 && out->failed ? -ENOMEM : rv;
}

int secret_unlock(struct secrets *s, const char *whose, const char *name, const void *locked,
                  size_t len, struct buf *out)
{
    struct secret_record r;
    if (strlen(whose) >= PRINCIPAL_NAME_SIZE || strlen(name) >= PRINCIPAL_NAME_SIZE)
        return -EINVAL;
    struct secret_place place = secret_place(whose, name);
    int rv = secret_decode(&r, locked, len);
    if (rv == 0)
        rv = secret_unseal(s, &place, &r);
    if (rv == 0)
        rv = buf_append(out, r.bytes, r.len);
    explicit_bzero(&r, sizeof(r));
    return rv;
}

bool secret_is_in(const char *text, const char *name)
{
    char found[PRINCIPAL_NAME_SIZE];
    for (const char *at = strstr(text, SECRET_BEGIN); at != NULL; at = strstr(at + 1, SECRET_BEGIN))
        if (secret_reference(at, found) != NULL && strcmp(found, name) == 0)
            return true;
    return false;
}
