/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jws.h"

#include <errno.h>
#include <jwt.h>
#include <stdio.h>
#include <string.h>

#define JWS_SIGNATURE_LEN 86 /* 64 bytes as base64url */

/* Three parts of base64url, the last a signature of our size. Its last character holds four bits
 * that mean nothing; another value of them would be a second text of the same token. */
static int jws_check_form(const char *token, size_t len)
{
    size_t dots = 0, part = 0;
    if (len == 0 || len > JWS_MAX_TOKEN)
        return -EPROTO;
    for (size_t i = 0; i < len; i++) {
        char c = token[i];
        if (c == '.') {
            if (part == 0 || ++dots > 2)
                return -EPROTO;
            part = 0;
            continue;
        }
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return -EPROTO;
        part++;
    }
    if (dots != 2 || part != JWS_SIGNATURE_LEN || strchr("AQgw", token[len - 1]) == NULL)
        return -EPROTO;
    return 0;
}

static bool jws_text(const char *from, char *to, size_t size)
{
    if (from == NULL || strlen(from) >= size)
        return false;
    memcpy(to, from, strlen(from) + 1);
    return true;
}

static bool jws_is(const char *value, const char *expected)
{
    return value != NULL && strcmp(value, expected) == 0;
}

static int jws_claims(jwt_t *jwt, struct jws_claims *ret)
{
    char role[16];
    *ret = (struct jws_claims){0};
    /* Not jwt_get_alg: the library forgets the algorithm of what it did not check. */
    if (!jws_is(jwt_get_header(jwt, "alg"), "ES256") ||
        !jws_text(jwt_get_header(jwt, "kid"), ret->kid, sizeof(ret->kid)) ||
        !jws_text(jwt_get_grant(jwt, "sub"), ret->subject, sizeof(ret->subject)) ||
        !jws_text(jwt_get_grant(jwt, "account"), ret->account, sizeof(ret->account)) ||
        !jws_text(jwt_get_grant(jwt, "role"), role, sizeof(role)) ||
        !jws_text(jwt_get_grant(jwt, "jti"), ret->id, sizeof(ret->id)) ||
        !jws_is(jwt_get_grant(jwt, "iss"), JWS_ISSUER) ||
        !jws_is(jwt_get_grant(jwt, "aud"), JWS_AUDIENCE) || role_parse(role, &ret->role) < 0)
        return -EPROTO;
    ret->issued = jwt_get_grant_int(jwt, "iat");
    ret->not_before = jwt_get_grant_int(jwt, "nbf");
    ret->expiry = jwt_get_grant_int(jwt, "exp");
    return 0;
}

/* With a key the signature is checked by the library, without one it is not. */
static int jws_decode(const char *token, size_t len, const char *pem, struct jws_claims *ret)
{
    char text[JWS_MAX_TOKEN + 1];
    jwt_t *jwt = NULL;
    int rv = jws_check_form(token, len);
    if (rv < 0)
        return rv;
    memcpy(text, token, len);
    text[len] = '\0';
    rv = jwt_decode(&jwt, text, (const unsigned char *)pem, pem != NULL ? (int)strlen(pem) : 0);
    if (rv != 0)
        return pem != NULL ? -EACCES : -EPROTO;
    rv = jws_claims(jwt, ret);
    jwt_free(jwt);
    return rv;
}

int jws_read(const char *token, size_t len, struct jws_claims *ret)
{
    return jws_decode(token, len, NULL, ret);
}

int jws_verify(const struct jws_key *key, const char *token, size_t len, struct jws_claims *ret)
{
    /* The algorithm is checked first: the library would take the public key as the secret of an
     * HS256 token.
     */
    int rv = jws_decode(token, len, NULL, ret);
    if (rv == 0 && strcmp(ret->kid, key->id) != 0)
        rv = -EACCES;
    return rv == 0 ? jws_decode(token, len, key->public_pem, ret) : rv;
}

static int jws_fill(jwt_t *jwt, const struct jws_key *key, const struct jws_claims *c)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"iss", JWS_ISSUER},     {"aud", JWS_AUDIENCE},        {"sub", c->subject},
        {"account", c->account}, {"role", role_name(c->role)}, {"jti", c->id},
    };
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"iat", c->issued}, {"nbf", c->not_before}, {"exp", c->expiry}};
    int rv = jwt_add_header(jwt, "kid", key->id);
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(texts); i++)
        rv = jwt_add_grant(jwt, texts[i].name, texts[i].value);
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(numbers); i++)
        rv = jwt_add_grant_int(jwt, numbers[i].name, (long)numbers[i].value);
    if (rv == 0)
        rv = jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)key->private_pem,
                         (int)strlen(key->private_pem));
    return rv;
}

int jws_sign(const struct jws_key *key, const struct jws_claims *claims, char **ret)
{
    jwt_t *jwt = NULL;
    *ret = NULL;
    if (jwt_new(&jwt) != 0)
        return -ENOMEM;
    if (jws_fill(jwt, key, claims) == 0)
        *ret = jwt_encode_str(jwt);
    jwt_free(jwt);
    return *ret != NULL ? 0 : -ENOMEM;
}
