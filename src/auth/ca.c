/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/ca.h"

#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/file.h"

#define CA_PEM    4096 /* bytes of a file at most */
#define CA_SERIAL 16
#define CA_DATE   15 /* YYYYMMDDhhmmss and a NUL */

static int ca_random(void *ctx, unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(data, len, 0);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int ca_set_serial(mbedtls_x509write_cert *w)
{
    uint8_t serial[CA_SERIAL];
    if (ca_random(NULL, serial, sizeof(serial)) < 0)
        return -EIO;
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and of one length */
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof(serial));
#else
    mbedtls_mpi n;
    mbedtls_mpi_init(&n);
    int rv = mbedtls_mpi_read_binary(&n, serial, sizeof(serial));
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_serial(w, &n);
    mbedtls_mpi_free(&n);
    return rv;
#endif
}

static void ca_date(time_t when, char ret[CA_DATE])
{
    struct tm tm;
    (void)gmtime_r(&when, &tm);
    (void)strftime(ret, CA_DATE, "%Y%m%d%H%M%S", &tm);
}

static int ca_write(mbedtls_x509write_cert *w, mbedtls_pk_context *key, char *pem)
{
    char from[CA_DATE], until[CA_DATE], name[64], tag[9];
    uint8_t random[4] = {0};
    /* Two servers' authorities must not look like one to a sandbox that knows both. */
    (void)ca_random(NULL, random, sizeof(random));
    (void)snprintf(tag, sizeof(tag), "%02x%02x%02x%02x", random[0], random[1], random[2],
                   random[3]);
    (void)snprintf(name, sizeof(name), "O=Corral,CN=Corral egress CA %s", tag);
    ca_date(time(NULL) - 86400, from);
    ca_date(time(NULL) + (time_t)CA_LIFE_S, until);
    mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(w, key);
    mbedtls_x509write_crt_set_issuer_key(w, key);
    int rv = ca_set_serial(w);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_issuer_name(w, name);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_subject_name(w, name);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_validity(w, from, until);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_basic_constraints(w, 1, 0);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                        MBEDTLS_X509_KU_CRL_SIGN);
    if (rv == 0)
        rv = mbedtls_x509write_crt_set_subject_key_identifier(w);
    if (rv == 0)
        rv = mbedtls_x509write_crt_pem(w, (uint8_t *)pem, CA_PEM, ca_random, NULL);
    return rv;
}

static int ca_make(char cert[CA_PEM], char key[CA_PEM])
{
    mbedtls_pk_context pk;
    mbedtls_x509write_cert w;
    mbedtls_pk_init(&pk);
    mbedtls_x509write_crt_init(&w);
    int rv = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (rv == 0)
        rv = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), ca_random, NULL);
    if (rv == 0)
        rv = ca_write(&w, &pk, cert);
    if (rv == 0)
        rv = mbedtls_pk_write_key_pem(&pk, (uint8_t *)key, CA_PEM);
    mbedtls_x509write_crt_free(&w);
    mbedtls_pk_free(&pk);
    return rv == 0 ? 0 : -EIO;
}

/* The key first: a certificate in place means that both are. */
static int ca_create(const char *cert_path, const char *key_path)
{
    char cert[CA_PEM] = "", key[CA_PEM] = "";
    int rv = ca_make(cert, key);
    if (rv == 0)
        rv = file_replace(key_path, key, strlen(key), 0600);
    if (rv == 0)
        rv = file_replace(cert_path, cert, strlen(cert), 0600);
    explicit_bzero(key, sizeof(key));
    if (rv == 0)
        log_info("egress CA made", "file=%s", cert_path);
    return rv;
}

static int ca_read(const char *path, char **ret)
{
    struct buf b = {0};
    int rv = file_read(path, CA_PEM, &b);
    *ret = rv == 0 ? buf_cstr(&b) : NULL;
    if (rv == 0 && *ret == NULL)
        rv = -ENOMEM;
    if (rv < 0)
        buf_done(&b);
    return rv;
}

int ca_load(struct ca *ret, const char *state_dir, struct error *err)
{
    char cert[PATH_MAX], key[PATH_MAX];
    *ret = (struct ca){.cert = NULL};
    int n = snprintf(cert, sizeof(cert), "%s/egress-ca.crt", state_dir);
    (void)snprintf(key, sizeof(key), "%s/egress-ca.key", state_dir);
    int rv = n < 0 || (size_t)n >= sizeof(cert) ? -ENAMETOOLONG : 0;
    if (rv == 0 && access(cert, F_OK) < 0)
        rv = ca_create(cert, key);
    if (rv == 0)
        rv = ca_read(cert, &ret->cert);
    if (rv == 0)
        rv = ca_read(key, &ret->key);
    if (rv == 0)
        return 0;
    ca_done(ret);
    return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot load the egress CA");
}

void ca_done(struct ca *c)
{
    free(c->cert);
    if (c->key != NULL)
        explicit_bzero(c->key, strlen(c->key));
    free(c->key);
    *c = (struct ca){.cert = NULL};
}
