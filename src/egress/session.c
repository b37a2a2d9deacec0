/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/session.h"

#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/tls_rules.h"
#include "egress/random.h"

#define SESSION_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

struct session_set {
    mbedtls_ssl_config server, client;
    mbedtls_x509_crt roots;
    struct leaf_set *leaves; /* owned; NULL until the CA comes */
};

struct session {
    struct session_io io;
    struct session_set *set;
    enum session_kind kind;
    const char *name;
    struct leaf *leaf; /* a reference */
    bool open, named, ended_well;
    int pulled;              /* the last error of `pull` */
    mbedtls_ssl_context ssl; /* not for PLAIN */
};

static bool session_is_over(const struct session *s)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)&s->ssl) == 1;
#else
    return s->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER;
#endif
}

/* Gives the certificate of the name asked for to a client that names it. */
static int session_on_name(void *ctx, mbedtls_ssl_context *ssl, const unsigned char *name,
                           size_t len)
{
    struct session_set *set = ctx;
    struct session *s = container_of(ssl, struct session, ssl);
    if (len != strlen(s->name) || strncasecmp((const char *)name, s->name, len) != 0)
        return -1;
    if (s->leaf == NULL)
        s->leaf = leaf_get(set->leaves, s->name);
    if (s->leaf == NULL)
        return -1;
    s->named = true;
    return mbedtls_ssl_set_hs_own_cert(ssl, leaf_cert(s->leaf), leaf_key(set->leaves));
}

static int session_config(mbedtls_ssl_config *c, int endpoint)
{
    int rv = tls_rules_apply(c, endpoint);
    mbedtls_ssl_conf_rng(c, random_get, NULL);
    return rv;
}

static void session_believe(struct session_set *s, const char *file)
{
    if (mbedtls_x509_crt_parse_file(&s->roots, file) < 0)
        log_warn("certificate authorities cannot be read", "file=%s", file);
}

int session_set_new(struct session_set **ret, const char *more)
{
    struct session_set *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    mbedtls_ssl_config_init(&s->server);
    mbedtls_ssl_config_init(&s->client);
    mbedtls_x509_crt_init(&s->roots);
    int rv = tls_rules_start();
    if (rv == 0)
        rv = session_config(&s->server, MBEDTLS_SSL_IS_SERVER);
    if (rv == 0)
        rv = session_config(&s->client, MBEDTLS_SSL_IS_CLIENT);
    if (rv != 0) {
        free(s);
        return -ENOMEM;
    }
    session_believe(s, SESSION_BUNDLE);
    if (more != NULL)
        session_believe(s, more);
    mbedtls_ssl_conf_authmode(&s->client, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&s->client, &s->roots, NULL);
    mbedtls_ssl_conf_session_tickets(&s->client, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_sni(&s->server, session_on_name, s);
    *ret = s;
    return 0;
}

int session_set_sign(struct session_set *s, const char *ca_cert, const char *ca_key,
                     struct error *err)
{
    return leaf_set_new(&s->leaves, ca_cert, ca_key, err);
}

bool session_set_signs(const struct session_set *s)
{
    return s->leaves != NULL;
}

static int session_on_push(void *ctx, const unsigned char *data, size_t len)
{
    struct session *s = ctx;
    return s->io.push(s->io.ctx, data, len) < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)len;
}

static int session_on_pull(void *ctx, unsigned char *data, size_t len)
{
    struct session *s = ctx;
    ssize_t n = s->io.pull(s->io.ctx, data, len);
    s->pulled = n < 0 ? (int)n : 0;
    if (n == -EAGAIN)
        return MBEDTLS_ERR_SSL_WANT_READ;
    return n < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)n;
}

struct session *session_new(struct session_set *set, enum session_kind kind, const char *name,
                            const struct session_io *io)
{
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->io = *io;
    s->set = set;
    s->kind = kind;
    s->name = name;
    s->open = kind == SESSION_PLAIN;
    if (kind == SESSION_PLAIN)
        return s;
    mbedtls_ssl_init(&s->ssl);
    int rv = mbedtls_ssl_setup(&s->ssl, kind == SESSION_SERVER ? &set->server : &set->client);
    if (rv == 0 && kind == SESSION_CLIENT)
        rv = mbedtls_ssl_set_hostname(&s->ssl, name);
    mbedtls_ssl_set_bio(&s->ssl, s, session_on_push, session_on_pull, NULL);
    if (rv != 0) {
        session_free(s);
        return NULL;
    }
    return s;
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    if (s->kind != SESSION_PLAIN)
        mbedtls_ssl_free(&s->ssl);
    leaf_unref(s->leaf);
    free(s);
}

int session_shake(struct session *s)
{
    if (s->open)
        return 1;
    int rv = mbedtls_ssl_handshake_step(&s->ssl);
    if (rv == MBEDTLS_ERR_SSL_WANT_READ)
        return -EAGAIN;
    if (rv != 0)
        return -EPROTO;
    s->open = session_is_over(s);
    return s->open ? 1 : 0;
}

bool session_is_open(const struct session *s)
{
    return s->open;
}

bool session_is_named(const struct session *s)
{
    return s->named;
}

ssize_t session_read(struct session *s, uint8_t *data, size_t len)
{
    if (s->kind == SESSION_PLAIN) {
        ssize_t n = s->io.pull(s->io.ctx, data, len);
        s->ended_well = n == 0;
        return n;
    }
    for (;;) {
        int rv = mbedtls_ssl_read(&s->ssl, data, len);
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
        if (rv == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            continue; /* sessions are not resumed */
#endif
        if (rv > 0)
            return rv;
        if (rv == MBEDTLS_ERR_SSL_WANT_READ)
            return -EAGAIN;
        s->ended_well = rv == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
        if (s->ended_well || rv == 0 || rv == MBEDTLS_ERR_SSL_CONN_EOF)
            return 0;
        return s->pulled < 0 ? s->pulled : -EPROTO;
    }
}

bool session_ended_well(const struct session *s)
{
    return s->ended_well;
}

int session_write(struct session *s, const uint8_t *data, size_t len)
{
    if (s->kind == SESSION_PLAIN)
        return len > 0 ? s->io.push(s->io.ctx, data, len) : 0;
    while (len > 0) {
        int rv = mbedtls_ssl_write(&s->ssl, data, len);
        if (rv <= 0)
            return -EPIPE;
        data += rv;
        len -= (size_t)rv;
    }
    return 0;
}

void session_bye(struct session *s)
{
    if (s->kind != SESSION_PLAIN && s->open)
        (void)mbedtls_ssl_close_notify(&s->ssl);
}
