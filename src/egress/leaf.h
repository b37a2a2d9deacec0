/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaf.h - certificates for the hosts that are intercepted, made when a sandbox first asks.
 *
 * All have one P-256 key, made when the CA comes, and are valid for LEAF_LIFE_S. The LEAF_MAX used
 * last are kept. The CA's key never leaves this process.
 */
#ifndef CORRAL_EGRESS_LEAF_H
#define CORRAL_EGRESS_LEAF_H

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "base/error.h"

#define LEAF_MAX    256u
#define LEAF_LIFE_S (7 * 86400)
#define LEAF_EARLY  86400 /* s before now that a certificate begins: clocks of guests differ */

struct leaf_set;

/* Both PEM, with their terminators. */
int leaf_set_new(struct leaf_set **ret, const char *ca_cert, const char *ca_key, struct error *err);
void leaf_set_free(struct leaf_set *s); /* NULL is fine */

/* The certificate for the name, followed by nothing. Counted: leaf_unref when the session that uses
 * it is over. NULL when it cannot be made. */
struct leaf *leaf_get(struct leaf_set *s, const char *name);
void leaf_unref(struct leaf *l); /* NULL is fine */
mbedtls_x509_crt *leaf_cert(struct leaf *l);
mbedtls_pk_context *leaf_key(struct leaf_set *s);

#endif
