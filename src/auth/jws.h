/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws.h - access tokens as signed JSON (JWT, RFC 7519): making, reading, checking. The tree's only
 * user of libjwt.
 *
 * One algorithm, ES256: a token that names any other is refused whatever its signature, and so is
 * every spelling of a token but the one that was issued.
 */
#ifndef CORRAL_AUTH_JWS_H
#define CORRAL_AUTH_JWS_H

#include "auth/jws_key.h"
#include "auth/principal.h"

#define JWS_MAX_TOKEN 2048 /* bytes of a token that is looked at */
#define JWS_ISSUER    "corral"
#define JWS_AUDIENCE  "corral"
#define JWS_ID_SIZE   40

struct jws_claims {
    char kid[JWS_KEY_ID_LEN + 1]; /* of the header */
    char subject[PRINCIPAL_NAME_SIZE];
    char account[PRINCIPAL_NAME_SIZE];
    enum role role;
    char id[JWS_ID_SIZE];               /* jti */
    int64_t issued, not_before, expiry; /* s since 1970 */
};

/* *ret is malloc'ed. 0 or -ENOMEM. */
int jws_sign(const struct jws_key *key, const struct jws_claims *claims, char **ret);
/* Reads a token without checking its signature, to find the key. 0 or -EPROTO. */
int jws_read(const char *token, size_t len, struct jws_claims *ret);
/* Reads and checks form, algorithm, signature, issuer and audience; not the times. 0, -EPROTO or
 * -EACCES. */
int jws_verify(const struct jws_key *key, const char *token, size_t len, struct jws_claims *ret);

#endif
