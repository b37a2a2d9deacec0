/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/tls_rules.h"
#include "core/file.h"

#define TLS_MAX_FILE    (1u << 20)
#define TLS_CONTENT     22    /* the first byte of every handshake record */
#define TLS_MAX_ANSWERS 65536 /* bytes that one tls_receive may make, far above any handshake's */

struct tls_context {
    unsigned int refs;
    mbedtls_ssl_config config;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    struct buf plain_answer; /* owned */
};

struct tls {
    mbedtls_ssl_context ssl;
    struct tls_context *context; /* a reference */
    const uint8_t *in;           /* inside tls_receive: what is left of its bytes */
    size_t in_len;
    struct buf *out; /* inside a call: where records go */
    bool started;    /* a first byte has come */
    bool open;
    bool said_bye;
};

/* --- what differs between the two versions of mbedtls --- */

#if MBEDTLS_VERSION_MAJOR >= 3

static int tls_parse_key(struct tls_context *c, const uint8_t *pem, size_t len)
{
    return mbedtls_pk_parse_key(&c->key, pem, len, NULL, 0, mbedtls_ctr_drbg_random, &c->rng);
}

static bool tls_key_fits(struct tls_context *c)
{
    return mbedtls_pk_check_pair(&c->cert.pk, &c->key, mbedtls_ctr_drbg_random, &c->rng) == 0;
}

#else

static int tls_parse_key(struct tls_context *c, const uint8_t *pem, size_t len)
{
    return mbedtls_pk_parse_key(&c->key, pem, len, NULL, 0);
}

static bool tls_key_fits(struct tls_context *c)
{
    return mbedtls_pk_check_pair(&c->cert.pk, &c->key) == 0;
}

#endif

/* --- certificate and key --- */

static int tls_fail(struct error *err, const char *what, const char *path, int code)
{
    char text[120];
    mbedtls_strerror(code, text, sizeof(text));
    return error_set(err, ERROR_INVALID_ARGUMENT, "%.100s: %s: %s", path, what, text);
}

/* The text of a PEM file with its terminator, as mbedtls wants it. */
static int tls_read(const char *path, struct buf *pem, struct error *err)
{
    int rv = file_read(path, TLS_MAX_FILE, pem);
    if (rv == 0)
        rv = buf_u8(pem, 0);
    return rv < 0 ? error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "Cannot read %.150s", path)
                  : 0;
}

static int tls_load_cert(struct tls_context *c, const char *path, struct error *err)
{
    cleanup_buf struct buf pem = {0};
    char quoted[200];
    if (tls_read(path, &pem, err) < 0)
        return -EINVAL;
    int rv = mbedtls_x509_crt_parse(&c->cert, pem.data, pem.len);
    if (rv < 0)
        return tls_fail(err, "not a PEM certificate", path, rv);
    if (rv > 0) /* so many of the chain could not be read */
        return error_set(err, ERROR_INVALID_ARGUMENT, "%.150s: %d of its certificates are broken",
                         path, rv);
    /* Only a warning: clients decide which certificates they accept, and a server that does not
     * start helps none of them. */
    if (mbedtls_x509_time_is_past(&c->cert.valid_to))
        log_warn("the certificate has expired", "file=%s", log_quote(quoted, sizeof(quoted), path));
    else if (mbedtls_x509_time_is_future(&c->cert.valid_from))
        log_warn("the certificate is not valid yet", "file=%s",
                 log_quote(quoted, sizeof(quoted), path));
    return 0;
}

static int tls_load_key(struct tls_context *c, const char *path, struct error *err)
{
    cleanup_buf struct buf pem = {0};
    if (tls_read(path, &pem, err) < 0)
        return -EINVAL;
    int rv = tls_parse_key(c, pem.data, pem.len);
    explicit_bzero(pem.data, pem.len);
    if (rv == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || rv == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "%.150s: the key is encrypted; the server has nobody to ask", path);
    return rv != 0 ? tls_fail(err, "not a PEM private key", path, rv) : 0;
}

static int tls_context_load(struct tls_context *c, const char *cert_path, const char *key_path,
                            struct error *err)
{
    int rv = tls_rules_start();
    if (rv == 0)
        rv = mbedtls_ctr_drbg_seed(&c->rng, mbedtls_entropy_func, &c->entropy, NULL, 0);
    if (rv != 0)
        return error_set(err, ERROR_INTERNAL, "The random generator cannot be seeded");
    if (tls_load_cert(c, cert_path, err) < 0 || tls_load_key(c, key_path, err) < 0)
        return -EINVAL;
    if (!tls_key_fits(c))
        return error_set(err, ERROR_INVALID_ARGUMENT, "%.110s is not the key of %.110s", key_path,
                         cert_path);
    rv = tls_rules_apply(&c->config, MBEDTLS_SSL_IS_SERVER);
    if (rv == 0)
        rv = mbedtls_ssl_conf_own_cert(&c->config, &c->cert, &c->key);
    if (rv != 0)
        return tls_fail(err, "cannot be used", cert_path, rv);
    mbedtls_ssl_conf_rng(&c->config, mbedtls_ctr_drbg_random, &c->rng);
    return 0;
}

int tls_context_new(struct tls_context **ret, const char *cert_path, const char *key_path,
                    struct error *err)
{
    struct tls_context *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "TLS");
    c->refs = 1;
    mbedtls_ssl_config_init(&c->config);
    mbedtls_x509_crt_init(&c->cert);
    mbedtls_pk_init(&c->key);
    mbedtls_entropy_init(&c->entropy);
    mbedtls_ctr_drbg_init(&c->rng);
    int rv = tls_context_load(c, cert_path, key_path, err);
    if (rv < 0)
        tls_context_unref(c);
    else
        *ret = c;
    return rv;
}

static struct tls_context *tls_context_ref(struct tls_context *c)
{
    c->refs++;
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (c == NULL || --c->refs > 0)
        return;
    mbedtls_ssl_config_free(&c->config);
    mbedtls_x509_crt_free(&c->cert);
    mbedtls_pk_free(&c->key);
    mbedtls_ctr_drbg_free(&c->rng);
    mbedtls_entropy_free(&c->entropy);
    buf_done(&c->plain_answer);
    free(c);
}

void tls_context_set_plain_answer(struct tls_context *c, struct buf *answer)
{
    buf_done(&c->plain_answer);
    c->plain_answer = *answer;
    *answer = (struct buf){0};
}

/* --- sessions --- */

static int tls_on_send(void *ctx, const unsigned char *data, size_t len)
{
    struct tls *t = ctx;
    /* A peer that causes answers without reading them gets no memory for them. */
    if (t->in != NULL && t->out->len > TLS_MAX_ANSWERS)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    return buf_append(t->out, data, len) < 0 ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)len;
}

static int tls_on_recv(void *ctx, unsigned char *data, size_t len)
{
    struct tls *t = ctx;
    size_t n = MIN(len, t->in_len);
    if (n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(data, t->in, n);
    t->in += n;
    t->in_len -= n;
    return (int)n;
}

int tls_new(struct tls **ret, struct tls_context *c)
{
    struct tls *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    mbedtls_ssl_init(&t->ssl);
    t->context = tls_context_ref(c);
    if (mbedtls_ssl_setup(&t->ssl, &c->config) != 0) {
        tls_free(t);
        return -ENOMEM;
    }
    mbedtls_ssl_set_bio(&t->ssl, t, tls_on_send, tls_on_recv, NULL);
    *ret = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    mbedtls_ssl_free(&t->ssl);
    tls_context_unref(t->context);
    free(t);
}

static int tls_error(int code)
{
    return code == MBEDTLS_ERR_SSL_ALLOC_FAILED ? -ENOMEM : -EPROTO;
}

/* A first byte that cannot begin a handshake ends the session. A text protocol gets an answer in
 * text. */
static int tls_first_byte(struct tls *t, uint8_t first)
{
    const struct buf *answer = &t->context->plain_answer;
    t->started = true;
    if (first == TLS_CONTENT)
        return 0;
    if (first >= 'A' && first <= 'Z' && answer->len > 0)
        (void)buf_append(t->out, answer->data, answer->len);
    return -EPROTO;
}

static int tls_read_records(struct tls *t, uint8_t *plain, size_t cap, size_t *ret_len)
{
    while (*ret_len < cap) {
        int rv = mbedtls_ssl_read(&t->ssl, plain + *ret_len, cap - *ret_len);
        if (rv == MBEDTLS_ERR_SSL_WANT_READ)
            return 0;
        if (rv == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            return TLS_END;
        if (rv <= 0)
            return tls_error(rv);
        *ret_len += (size_t)rv;
    }
    return 0;
}

int tls_receive(struct tls *t, const uint8_t *in, size_t len, uint8_t *plain, size_t *ret_len,
                struct buf *out)
{
    *ret_len = 0;
    t->in = in;
    t->in_len = len;
    t->out = out;
    int rv = t->started || len == 0 ? 0 : tls_first_byte(t, in[0]);
    if (rv == 0 && !t->open) {
        int done = mbedtls_ssl_handshake(&t->ssl);
        t->open = done == 0;
        if (done != 0 && done != MBEDTLS_ERR_SSL_WANT_READ)
            rv = tls_error(done);
    }
    if (rv == 0 && t->open)
        rv = tls_read_records(t, plain, len + TLS_RECORD, ret_len);
    t->in = NULL;
    t->in_len = 0;
    t->out = NULL;
    return rv;
}

bool tls_is_open(const struct tls *t)
{
    return t->open;
}

int tls_send(struct tls *t, const void *data, size_t len, struct buf *out)
{
    const uint8_t *at = data;
    if (!t->open)
        return -ENOTCONN;
    t->out = out;
    int rv = 0;
    while (len > 0 && rv >= 0) {
        rv = mbedtls_ssl_write(&t->ssl, at, len);
        if (rv > 0) {
            at += rv;
            len -= (size_t)rv;
        }
    }
    t->out = NULL;
    return rv < 0 ? tls_error(rv) : 0;
}

void tls_bye(struct tls *t, struct buf *out)
{
    if (!t->open || t->said_bye)
        return;
    t->said_bye = true;
    t->out = out;
    (void)mbedtls_ssl_close_notify(&t->ssl);
    t->out = NULL;
}
