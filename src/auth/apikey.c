/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/apikey.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "auth/sha256.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "core/file.h"
#include "core/id.h"
#include "store/record.h"

#define APIKEY_PREFIX     "e2b_"
#define APIKEY_OLD_PREFIX "crl_"
#define APIKEY_OLD_LEN    (4 + APIKEY_ID_LEN + 1 + 32)
#define APIKEY_PREFIX_LEN 4  /* of both */
#define APIKEY_VERSION    2  /* of the record */
#define APIKEY_BUCKETS    64 /* at first; doubles with the number of keys */

_Static_assert(APIKEY_HASH_SIZE == SHA256_SIZE, "keys are kept as SHA-256");

struct apikeys {
    struct store *store; /* not owned */
    struct apikey **buckets;
    size_t n_buckets; /* a power of two */
    size_t count;
};

/* FNV-1a. Ids are random and only ours enter the table, so nobody can fill one bucket. */
static size_t apikey_bucket(size_t n_buckets, const char *id)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < APIKEY_ID_LEN; i++)
        h = (h ^ (uint8_t)id[i]) * 0x100000001b3u;
    return (size_t)h & (n_buckets - 1);
}

static struct apikey **apikey_slot(const struct apikeys *t, const char *id)
{
    struct apikey **slot = &t->buckets[apikey_bucket(t->n_buckets, id)];
    while (*slot != NULL && memcmp((*slot)->id, id, APIKEY_ID_LEN) != 0)
        slot = &(*slot)->next;
    return slot;
}

/* Keeps chains short. When memory runs out the table stays as it is and gets slower. */
static void apikeys_grow(struct apikeys *t)
{
    if (t->count <= t->n_buckets)
        return;
    size_t n = t->n_buckets * 2;
    struct apikey **buckets = calloc(n, sizeof(*buckets));
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < t->n_buckets; i++) {
        while (t->buckets[i] != NULL) {
            struct apikey *k = t->buckets[i];
            struct apikey **to = &buckets[apikey_bucket(n, k->id)];
            t->buckets[i] = k->next;
            k->next = *to;
            *to = k;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->n_buckets = n;
}

static void apikeys_insert(struct apikeys *t, struct apikey *k)
{
    struct apikey **slot = &t->buckets[apikey_bucket(t->n_buckets, k->id)];
    k->next = *slot;
    *slot = k;
    t->count++;
    apikeys_grow(t);
}

static int apikey_encode(struct buf *b, const struct apikey *k)
{
    record_begin(b, APIKEY_VERSION);
    record_bytes(b, k->hash, sizeof(k->hash));
    (void)buf_u8(b, (uint8_t)k->role);
    record_i64(b, k->created_at);
    record_str(b, k->account);
    record_str(b, k->name);
    record_bool(b, k->has_rate);
    record_bool(b, k->rate.enabled);
    (void)buf_u32(b, k->rate.per_minute);
    (void)buf_u32(b, k->rate.per_second);
    return b->failed ? -ENOMEM : 0;
}

static int apikey_decode(struct apikey *k, const void *key, size_t keylen, const void *data,
                         size_t len)
{
    struct cursor c;
    int version = record_open(&c, data, len, APIKEY_VERSION);
    if (version < 0 || keylen != APIKEY_ID_LEN)
        return -EPROTO;
    memcpy(k->id, key, APIKEY_ID_LEN);
    record_get_bytes(&c, k->hash, sizeof(k->hash));
    uint8_t role = cursor_u8(&c);
    k->role = (enum role)role;
    k->created_at = record_get_i64(&c);
    record_get_text(&c, k->account, sizeof(k->account));
    record_get_text(&c, k->name, sizeof(k->name));
    if (version >= 2) {
        k->has_rate = record_get_bool(&c);
        k->rate.enabled = record_get_bool(&c);
        k->rate.per_minute = cursor_u32(&c);
        k->rate.per_second = cursor_u32(&c);
    }
    return role < ROLE_COUNT ? record_end(&c) : -EPROTO;
}

static int apikeys_load_one(void *ctx, const void *key, size_t keylen, const void *val,
                            size_t vallen)
{
    struct apikeys *t = ctx;
    cleanup_free struct apikey *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return -ENOMEM;
    int rv = apikey_decode(k, key, keylen, val, vallen);
    if (rv == 0)
        apikeys_insert(t, TAKE_PTR(k));
    return rv;
}

int apikeys_load(struct apikeys **ret, struct store *store, struct error *err)
{
    struct apikeys *t = calloc(1, sizeof(*t));
    if (t != NULL)
        t->buckets = calloc(APIKEY_BUCKETS, sizeof(*t->buckets));
    if (t == NULL || t->buckets == NULL) {
        free(t);
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot load the API keys");
    }
    t->n_buckets = APIKEY_BUCKETS;
    t->store = store;
    int rv = store_each(store, STORE_APIKEYS, apikeys_load_one, t);
    if (rv < 0) {
        apikeys_free(t);
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot load the API keys");
    }
    *ret = t;
    return 0;
}

void apikeys_free(struct apikeys *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_buckets; i++) {
        while (t->buckets[i] != NULL) {
            struct apikey *k = t->buckets[i];
            t->buckets[i] = k->next;
            free(k);
        }
    }
    free(t->buckets);
    free(t);
}

static size_t apikeys_count_admins(const struct apikeys *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (const struct apikey *k = t->buckets[i]; k != NULL; k = k->next)
            n += k->role == ROLE_ADMIN;
    }
    return n;
}

static int apikeys_first_admin(struct apikeys *t, const char *path, struct error *err)
{
    char line[APIKEY_TEXT_SIZE + 1];
    const struct apikey *k = NULL;
    const struct apikey_params params = {.name = "first start", .role = ROLE_ADMIN};
    int rv = apikey_create(t, &params, line, &k, err);
    if (rv != 0)
        return rv;
    char id[APIKEY_ID_LEN + 1];
    memcpy(id, k->id, sizeof(id));
    size_t len = strlen(line);
    line[len] = '\n';
    /* The file is written before the record. A crash in between leaves a file that the next start
     * replaces; the other order would leave a key that nobody has. */
    rv = file_replace(path, line, len + 1, 0600);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot write %.150s", path);
    rv = store_commit(t->store);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the admin key");
    log_info("admin key made", "key=%s file=%s", id, path);
    return 0;
}

int apikeys_ensure_admin(struct apikeys *t, const char *state_dir, struct error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/admin.key", state_dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return error_set_errno(err, ERROR_STORAGE_FAILED, -ENAMETOOLONG, "State directory");
    if (apikeys_count_admins(t) == 0)
        return apikeys_first_admin(t, path, err);
    if (access(path, F_OK) < 0)
        log_warn("the file with the admin key is missing", "file=%s", path);
    return 0;
}

static int apikey_check(const struct apikeys *t, const char *name, const char *account,
                        struct error *err)
{
    if (t->count >= APIKEY_MAX)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "There are %d API keys already", APIKEY_MAX);
    size_t len = strlen(name);
    if (len >= APIKEY_NAME_SIZE || !utf8_valid((const uint8_t *)name, len))
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'name' must be at most %d bytes",
                         APIKEY_NAME_SIZE - 1);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return error_set(err, ERROR_INVALID_ARGUMENT,
                             "Field 'name' must not hold control characters");
    }
    return principal_check_name("account", account, err);
}

static int apikey_save(struct apikeys *t, const struct apikey *k)
{
    cleanup_buf struct buf b = {0};
    int rv = apikey_encode(&b, k);
    if (rv == 0)
        rv = store_put(t->store, STORE_APIKEYS, k->id, APIKEY_ID_LEN, b.data, b.len);
    return rv;
}

/* `len` random hexadecimal digits and a NUL. */
static void apikey_digits(char *out, size_t len)
{
    uint8_t bytes[APIKEY_SECRET_LEN / 2];
    id_random(bytes, len / 2);
    for (size_t i = 0; i < len / 2; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

int apikey_create(struct apikeys *t, const struct apikey_params *p, char text[APIKEY_TEXT_SIZE],
                  const struct apikey **ret_key, struct error *err)
{
    char secret[APIKEY_SECRET_LEN + 1];
    struct rate_limits rate = {0};
    const char *name = p->name != NULL ? p->name : "";
    const char *account = p->account != NULL ? p->account : "default";
    int rv = apikey_check(t, name, account, err);
    if (rv == 0 && p->rate != NULL && ratelimit_parse(p->rate, &rate) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT,
                       "The rate limit must read like 100/min,10/s, or off");
    if (rv < 0)
        return rv;
    cleanup_free struct apikey *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot make a key");
    do
        apikey_digits(k->id, APIKEY_ID_LEN);
    while (*apikey_slot(t, k->id) != NULL);
    apikey_digits(secret, APIKEY_SECRET_LEN);
    (void)snprintf(text, APIKEY_TEXT_SIZE, APIKEY_PREFIX "%s%s", k->id, secret);
    sha256(text, APIKEY_TEXT_SIZE - 1, k->hash);
    memcpy(k->name, name, strlen(name));
    memcpy(k->account, account, strlen(account));
    k->role = p->role;
    k->has_rate = p->rate != NULL;
    k->rate = rate;
    k->created_at = time_now_ms();
    rv = apikey_save(t, k);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the key");
    if (ret_key != NULL)
        *ret_key = k;
    apikeys_insert(t, TAKE_PTR(k));
    return 0;
}

int apikey_revoke(struct apikeys *t, const char *id, struct error *err)
{
    struct apikey **slot = strlen(id) == APIKEY_ID_LEN ? apikey_slot(t, id) : NULL;
    if (slot == NULL || *slot == NULL) {
        (void)error_set(err, ERROR_KEY_NOT_FOUND, "There is no such API key");
        return -ENOENT;
    }
    struct apikey *k = *slot;
    if (k->role == ROLE_ADMIN && apikeys_count_admins(t) == 1) {
        (void)error_set(err, ERROR_CONFLICT,
                        "The last admin key cannot be revoked, make another "
                        "one first");
        return -EBUSY;
    }
    int rv = store_del(t->store, STORE_APIKEYS, k->id, APIKEY_ID_LEN);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot revoke the key");
    *slot = k->next;
    t->count--;
    free(k);
    return 0;
}

const struct apikey *apikey_verify(const struct apikeys *t, const char *text, size_t len)
{
    static const struct apikey nobody; /* compared with when the id is unknown */
    uint8_t hash[SHA256_SIZE];
    bool known = len == APIKEY_TEXT_SIZE - 1 && memcmp(text, APIKEY_PREFIX, APIKEY_PREFIX_LEN) == 0;
    bool old = len == APIKEY_OLD_LEN && memcmp(text, APIKEY_OLD_PREFIX, APIKEY_PREFIX_LEN) == 0;
    if (!known && !old)
        return NULL;
    const struct apikey *k = *apikey_slot(t, text + APIKEY_PREFIX_LEN);
    sha256(text, len, hash);
    bool equal = id_equal(hash, k != NULL ? k->hash : nobody.hash, sizeof(hash));
    return k != NULL && equal ? k : NULL;
}

static int apikey_by_age(const void *a, const void *b)
{
    const struct apikey *x = *(const struct apikey *const *)a;
    const struct apikey *y = *(const struct apikey *const *)b;
    if (x->created_at != y->created_at)
        return x->created_at < y->created_at ? -1 : 1;
    return memcmp(x->id, y->id, APIKEY_ID_LEN);
}

const struct apikey **apikey_list(const struct apikeys *t, size_t *ret_n)
{
    const struct apikey **list = calloc(t->count + 1, sizeof(*list));
    size_t n = 0;
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (const struct apikey *k = t->buckets[i]; k != NULL; k = k->next)
            list[n++] = k;
    }
    qsort(list, n, sizeof(*list), apikey_by_age);
    *ret_n = n;
    return list;
}
