/* SPDX-License-Identifier: Apache-2.0 */
/* tls_rules.c - also the place for what differs between mbedtls 2.28 and 3. */
#include "base/tls_rules.h"

#include <mbedtls/version.h>

#include <errno.h>
#include <stddef.h>

/* ChaCha20 first: mbedtls takes AES-GCM one block at a time, which makes it a third slower even
 * where the processor knows AES. */
static const int tls_rules_suites[] = {
#ifdef MBEDTLS_TLS1_3_AES_128_GCM_SHA256
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0,
};

static const char *tls_rules_protocols[] = {"http/1.1", NULL};

#if MBEDTLS_VERSION_MAJOR >= 3

int tls_rules_start(void)
{
    return psa_crypto_init() == PSA_SUCCESS ? 0 : -EIO;
}

static void tls_rules_oldest(mbedtls_ssl_config *config)
{
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
}

static void tls_rules_groups(mbedtls_ssl_config *config)
{
    static const uint16_t groups[] = {
        MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
    mbedtls_ssl_conf_groups(config, groups);
}

#else

int tls_rules_start(void)
{
    return 0;
}

static void tls_rules_oldest(mbedtls_ssl_config *config)
{
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
}

static void tls_rules_groups(mbedtls_ssl_config *config)
{
    static const mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_CURVE25519,
                                                  MBEDTLS_ECP_DP_SECP256R1,
                                                  MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE};
    mbedtls_ssl_conf_curves(config, groups);
}

#endif

int tls_rules_apply(mbedtls_ssl_config *config, int endpoint)
{
    int rv = mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);
    if (rv == 0)
        rv = mbedtls_ssl_conf_alpn_protocols(config, tls_rules_protocols);
    mbedtls_ssl_conf_ciphersuites(config, tls_rules_suites);
    tls_rules_oldest(config);
    /* Not for clients: mbedtls 2.28 would also refuse certificates with keys on other curves. */
    if (endpoint == MBEDTLS_SSL_IS_SERVER)
        tls_rules_groups(config);
    return rv;
}
