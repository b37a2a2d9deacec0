/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls.h - certificates made by openssl in a directory of this process, and a TLS client over a
 * socket, for the tests of TLS. */
#ifndef CORRAL_TEST_TLS_H
#define CORRAL_TEST_TLS_H

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t.h"

static char tt_dir[64];

static inline const char *tt_path(const char *name)
{
    static char paths[4][128];
    static unsigned int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", tt_dir, name);
    return path;
}

static inline void tt_write(const char *name, const char *text)
{
    FILE *f = fopen(tt_path(name), "w");
    T_TRUE(f != NULL);
    T_TRUE(fputs(text, f) >= 0);
    T_EQ(fclose(f), 0);
}

/* NAME.crt and NAME.key, of the options of `openssl req -newkey`. */
static inline void tt_make(const char *name, const char *newkey)
{
    char command[512];
    if (tt_dir[0] == '\0') {
        strcpy(tt_dir, "/tmp/t_tls.XXXXXX");
        T_TRUE(t_mkdtemp(tt_dir));
    }
    (void)snprintf(command, sizeof(command),
                   "exec 2>%s/log; command -v openssl >/dev/null || exit 77; "
                   "openssl req -x509 -newkey %s -keyout %s/%s.key -out %s/%s.crt -days 2 "
                   "-subj /CN=localhost",
                   tt_dir, newkey, tt_dir, name, tt_dir, name);
    int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        T_SKIP("openssl is not installed");
    T_EQ(status, 0);
}

#define TT_EC  "ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
#define TT_RSA "rsa:2048 -nodes"

/* A client on a non-blocking socket; each function does what can be done now. */
struct tt_client {
    int fd;
    size_t chunk; /* bytes of one send or recv at most */
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
};

static inline int tt_on_send(void *ctx, const unsigned char *data, size_t len)
{
    const struct tt_client *c = ctx;
    ssize_t n = send(c->fd, data, len < c->chunk ? len : c->chunk, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : -1;
    return (int)n;
}

static inline int tt_on_recv(void *ctx, unsigned char *data, size_t len)
{
    const struct tt_client *c = ctx;
    ssize_t n = recv(c->fd, data, len < c->chunk ? len : c->chunk, 0);
    if (n < 0)
        return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : -1;
    return (int)n;
}

static inline void tt_client_open(struct tt_client *c, int fd)
{
    static const char *protocols[] = {"h2", "http/1.1", NULL};
    *c = (struct tt_client){.fd = fd, .chunk = SIZE_MAX};
#if MBEDTLS_VERSION_MAJOR >= 3
    T_EQ(psa_crypto_init(), 0);
#endif
    mbedtls_ssl_init(&c->ssl);
    mbedtls_ssl_config_init(&c->config);
    mbedtls_entropy_init(&c->entropy);
    mbedtls_ctr_drbg_init(&c->rng);
    T_EQ(mbedtls_ctr_drbg_seed(&c->rng, mbedtls_entropy_func, &c->entropy, NULL, 0), 0);
    T_EQ(mbedtls_ssl_config_defaults(&c->config, MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
         0);
    mbedtls_ssl_conf_authmode(&c->config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&c->config, mbedtls_ctr_drbg_random, &c->rng);
    T_EQ(mbedtls_ssl_conf_alpn_protocols(&c->config, protocols), 0);
    T_EQ(mbedtls_ssl_setup(&c->ssl, &c->config), 0);
    T_EQ(mbedtls_ssl_set_hostname(&c->ssl, "localhost"), 0);
    mbedtls_ssl_set_bio(&c->ssl, c, tt_on_send, tt_on_recv, NULL);
}

static inline void tt_client_close(struct tt_client *c)
{
    mbedtls_ssl_free(&c->ssl);
    mbedtls_ssl_config_free(&c->config);
    mbedtls_ctr_drbg_free(&c->rng);
    mbedtls_entropy_free(&c->entropy);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static inline int tt_again(int rv)
{
    return rv == MBEDTLS_ERR_SSL_WANT_READ || rv == MBEDTLS_ERR_SSL_WANT_WRITE;
}

#endif
