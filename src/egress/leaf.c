/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/leaf.h"

#include <mbedtls/oid.h>
#include <mbedtls/version.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/list.h"
#include "egress/name.h"
#include "egress/random.h"

#define LEAF_DER    2048 /* bytes of a certificate at most */
#define LEAF_SERIAL 16
#define LEAF_DATE   15 /* YYYYMMDDhhmmss and a NUL */

struct leaf {
    struct list node; /* in the set, the one used last first; empty once it has left */
    unsigned int refs;
    char name[NAME_SIZE];
    time_t until;
    mbedtls_x509_crt cert;
};

struct leaf_set {
    mbedtls_x509_crt ca;
    mbedtls_pk_context ca_key, key;
    char issuer[512];
    struct list leaves;
    size_t count;
};

/* --- what differs between the two versions of mbedtls --- */

#if MBEDTLS_VERSION_MAJOR >= 3

static int leaf_parse_key(mbedtls_pk_context *key, const char *pem)
{
    return mbedtls_pk_parse_key(key, (const uint8_t *)pem, strlen(pem) + 1, NULL, 0, random_get,
                                NULL);
}

static int leaf_check_pair(struct leaf_set *s)
{
    return mbedtls_pk_check_pair(&s->ca.pk, &s->ca_key, random_get, NULL);
}

static int leaf_set_serial(mbedtls_x509write_cert *w, uint8_t *serial)
{
    return mbedtls_x509write_crt_set_serial_raw(w, serial, LEAF_SERIAL);
}

#else

static int leaf_parse_key(mbedtls_pk_context *key, const char *pem)
{
    return mbedtls_pk_parse_key(key, (const uint8_t *)pem, strlen(pem) + 1, NULL, 0);
}

static int leaf_check_pair(struct leaf_set *s)
{
    return mbedtls_pk_check_pair(&s->ca.pk, &s->ca_key);
}

static int leaf_set_serial(mbedtls_x509write_cert *w, uint8_t *serial)
{
    mbedtls_mpi n;
    mbedtls_mpi_init(&n);
    int rv = mbedtls_mpi_read_binary(&n, serial, LEAF_SERIAL);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_serial(w, &n);
    mbedtls_mpi_free(&n);
    return rv;
}

#endif

int leaf_set_new(struct leaf_set **ret, const char *ca_cert, const char *ca_key, struct error *err)
{
    struct leaf_set *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "the CA");
    list_init(&s->leaves);
    mbedtls_x509_crt_init(&s->ca);
    mbedtls_pk_init(&s->ca_key);
    mbedtls_pk_init(&s->key);
    int rv = mbedtls_x509_crt_parse(&s->ca, (const uint8_t *)ca_cert, strlen(ca_cert) + 1);
    if (rv == 0)
        rv = leaf_parse_key(&s->ca_key, ca_key);
    if (rv == 0)
        rv = leaf_check_pair(s);
    if (rv == 0)
        rv = mbedtls_x509_dn_gets(s->issuer, sizeof(s->issuer), &s->ca.subject) < 0 ? -1 : 0;
    if (rv == 0)
        rv = mbedtls_pk_setup(&s->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (rv == 0)
        rv = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(s->key), random_get, NULL);
    if (rv != 0) {
        leaf_set_free(s);
        return error_set(err, ERROR_INTERNAL, "the CA for interception cannot be used");
    }
    *ret = s;
    return 0;
}

static void leaf_leave(struct leaf_set *s, struct leaf *l)
{
    list_del(&l->node);
    s->count--;
    leaf_unref(l);
}

void leaf_set_free(struct leaf_set *s)
{
    if (s == NULL)
        return;
    while (!list_empty(&s->leaves))
        leaf_leave(s, list_first(&s->leaves, struct leaf, node));
    mbedtls_x509_crt_free(&s->ca);
    mbedtls_pk_free(&s->ca_key);
    mbedtls_pk_free(&s->key);
    free(s);
}

void leaf_unref(struct leaf *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    mbedtls_x509_crt_free(&l->cert);
    free(l);
}

mbedtls_x509_crt *leaf_cert(struct leaf *l)
{
    return &l->cert;
}

mbedtls_pk_context *leaf_key(struct leaf_set *s)
{
    return &s->key;
}

static void leaf_date(time_t when, char ret[LEAF_DATE])
{
    struct tm tm;
    (void)gmtime_r(&when, &tm);
    (void)strftime(ret, LEAF_DATE, "%Y%m%d%H%M%S", &tm);
}

/* SubjectAltName with one dNSName, as DER: mbedtls 2.28 writes none. */
static int leaf_write_name(mbedtls_x509write_cert *w, const char *name)
{
    uint8_t der[NAME_SIZE + 8];
    size_t len = strlen(name), at = 0;
    /* Both lengths take two bytes more from 128 on; 253 stays below 256 with its own header. */
    bool inner_long = len > 127, outer_long = len + (inner_long ? 3 : 2) > 127;
    size_t inner = len + (inner_long ? 3 : 2);
    der[at++] = 0x30;
    if (inner > 255) {
        der[at++] = 0x82;
        der[at++] = (uint8_t)(inner >> 8);
    } else if (outer_long) {
        der[at++] = 0x81;
    }
    der[at++] = (uint8_t)inner;
    der[at++] = 0x82;
    if (inner_long)
        der[at++] = 0x81;
    der[at++] = (uint8_t)len;
    memcpy(der + at, name, len);
    return mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                               der, at + len);
}

static int leaf_write_usage(mbedtls_x509write_cert *w)
{
    static const uint8_t server[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06,
                                     0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
    int rv = mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                                 MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE),
                                                 0, server, sizeof(server));
    return rv;
}

static int leaf_write(struct leaf_set *s, mbedtls_x509write_cert *w, const struct leaf *l)
{
    uint8_t serial[LEAF_SERIAL];
    char from[LEAF_DATE], until[LEAF_DATE];
    leaf_date(time(NULL) - LEAF_EARLY, from);
    leaf_date(l->until, until);
    mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(w, &s->key);
    mbedtls_x509write_crt_set_issuer_key(w, &s->ca_key);
    int rv = random_get(NULL, serial, sizeof(serial));
    serial[0] = (serial[0] & 0x3f) | 0x40; /* positive, and of one length */
    if (rv == 0)
        rv = leaf_set_serial(w, serial);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_issuer_name(w, s->issuer);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_subject_name(w, "O=Corral,CN=Corral egress");
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_validity(w, from, until);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_basic_constraints(w, 0, -1);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_subject_key_identifier(w);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_authority_key_identifier(w);
    if (rv == 0)
        rv = leaf_write_usage(w);
    return rv == 0 ? leaf_write_name(w, l->name) : rv;
}

static struct leaf *leaf_make(struct leaf_set *s, const char *name)
{
    mbedtls_x509write_cert w;
    uint8_t der[LEAF_DER];
    struct leaf *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->refs = 1;
    l->until = time(NULL) + LEAF_LIFE_S;
    memcpy(l->name, name, strlen(name) + 1);
    mbedtls_x509_crt_init(&l->cert);
    mbedtls_x509write_crt_init(&w);
    int rv = leaf_write(s, &w, l);
    if (rv == 0)
        rv = mbedtls_x509write_crt_der(&w, der, sizeof(der), random_get, NULL);
    if (rv > 0)
        rv = mbedtls_x509_crt_parse_der(&l->cert, der + sizeof(der) - rv, (size_t)rv);
    mbedtls_x509write_crt_free(&w);
    if (rv != 0) {
        leaf_unref(l);
        return NULL;
    }
    return l;
}

struct leaf *leaf_get(struct leaf_set *s, const char *name)
{
    struct leaf *l = NULL;
    list_for_each_safe (it, &s->leaves) {
        l = list_entry(it, struct leaf, node);
        if (strcmp(l->name, name) == 0)
            break;
        l = NULL;
    }
    if (l != NULL && l->until - time(NULL) < LEAF_LIFE_S / 2) {
        leaf_leave(s, l);
        l = NULL;
    }
    if (l != NULL) {
        list_del(&l->node);
    } else {
        l = leaf_make(s, name);
        if (l == NULL)
            return NULL;
        if (s->count == LEAF_MAX)
            leaf_leave(s, list_entry(s->leaves.prev, struct leaf, node));
        s->count++;
    }
    list_add_head(&s->leaves, &l->node);
    l->refs++;
    return l;
}
