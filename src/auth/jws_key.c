/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jws_key.h"

#include <errno.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <string.h>

#include "base/timefmt.h"
#include "core/id.h"
#include "store/record.h"

#define JWS_KEY_RECORD 1

static int jws_key_random(void *ctx, unsigned char *out, size_t len)
{
    id_random(out, len);
    return 0;
}

int jws_key_make(struct jws_key *key)
{
    mbedtls_pk_context pk;
    *key = (struct jws_key){.created_ms = time_now_ms()};
    id_token(key->id, JWS_KEY_ID_LEN);
    mbedtls_pk_init(&pk);
    int rv = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (rv == 0)
        rv = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), jws_key_random, NULL);
    if (rv == 0)
        rv = mbedtls_pk_write_key_pem(&pk, (unsigned char *)key->private_pem, JWS_KEY_PEM_SIZE);
    if (rv == 0)
        rv = mbedtls_pk_write_pubkey_pem(&pk, (unsigned char *)key->public_pem, JWS_KEY_PEM_SIZE);
    mbedtls_pk_free(&pk);
    return rv == 0 ? 0 : -EIO;
}

int jws_key_put(struct store *store, const struct jws_key *key)
{
    cleanup_buf struct buf b = {0};
    record_begin(&b, JWS_KEY_RECORD);
    record_i64(&b, key->created_ms);
    record_str(&b, key->private_pem);
    record_str(&b, key->public_pem);
    if (b.failed)
        return -ENOMEM;
    return store_put(store, STORE_SIGNKEYS, key->id, JWS_KEY_ID_LEN, b.data, b.len);
}

int jws_key_del(struct store *store, const struct jws_key *key)
{
    return store_del(store, STORE_SIGNKEYS, key->id, JWS_KEY_ID_LEN);
}

struct key_load {
    struct store *store;
    struct jws_key *keys;
    int max, n;
};

/* Keeps the newest in order; the one that falls off the end is deleted. */
static int jws_key_visit(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct key_load *l = ctx;
    struct cursor c;
    struct jws_key k = {0};
    if (keylen != JWS_KEY_ID_LEN || record_open(&c, val, vallen, JWS_KEY_RECORD) < 0)
        return -EPROTO;
    memcpy(k.id, key, keylen);
    k.created_ms = record_get_i64(&c);
    record_get_text(&c, k.private_pem, sizeof(k.private_pem));
    record_get_text(&c, k.public_pem, sizeof(k.public_pem));
    if (record_end(&c) < 0)
        return -EPROTO;
    int at = 0;
    while (at < l->n && l->keys[at].created_ms >= k.created_ms)
        at++;
    if (at == l->max)
        return jws_key_del(l->store, &k);
    if (l->n == l->max)
        (void)jws_key_del(l->store, &l->keys[--l->n]); /* tried again at the next start */
    memmove(&l->keys[at + 1], &l->keys[at], (size_t)(l->n - at) * sizeof(k));
    l->keys[at] = k;
    l->n++;
    return 0;
}

int jws_key_load(struct store *store, struct jws_key *keys, int max)
{
    struct key_load l = {.store = store, .keys = keys, .max = max};
    int rv = store_each(store, STORE_SIGNKEYS, jws_key_visit, &l);
    return rv < 0 ? rv : l.n;
}
