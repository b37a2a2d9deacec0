/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_rules.h - what TLS the programs of this tree speak: 1.2 and, where mbedtls has it, 1.3, with
 * forward secrecy and authenticated encryption only, and http/1.1 above it.
 *
 * The caller adds what is its own: a source of random numbers, certificates, whom it believes.
 */
#ifndef CORRAL_BASE_TLS_RULES_H
#define CORRAL_BASE_TLS_RULES_H

#include <mbedtls/ssl.h>

/* Once, before anything else of mbedtls that may be asked for TLS 1.3. 0 or -EIO. */
int tls_rules_start(void);
/* `config` is initialised; `endpoint` is MBEDTLS_SSL_IS_SERVER or MBEDTLS_SSL_IS_CLIENT. 0 or an
 * error of mbedtls. */
int tls_rules_apply(mbedtls_ssl_config *config, int endpoint);

#endif
