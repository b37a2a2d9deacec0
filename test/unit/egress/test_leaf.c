/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for intercepted hosts verify against the server's own authority, for their name
 * only. */
#include "egress/leaf.h"

#include <string.h>

#include "auth/ca.h"
#include "egress/name.h"
#include "t.h"

static struct ca ca;
static mbedtls_x509_crt root;

static uint32_t verify(mbedtls_x509_crt *cert, const char *name)
{
    uint32_t flags = 0;
    (void)mbedtls_x509_crt_verify(cert, &root, NULL, name, &flags, NULL, NULL);
    return flags;
}

static struct leaf_set *set(void)
{
    char dir[] = "/tmp/corral-leaf-XXXXXX";
    struct leaf_set *s = NULL;
    T_TRUE(t_mkdtemp(dir));
    T_EQ(ca_load(&ca, dir, NULL), 0);
    mbedtls_x509_crt_init(&root);
    T_EQ(mbedtls_x509_crt_parse(&root, (const uint8_t *)ca.cert, strlen(ca.cert) + 1), 0);
    T_EQ(leaf_set_new(&s, ca.cert, ca.key, NULL), 0);
    return s;
}

static void done(struct leaf_set *s)
{
    leaf_set_free(s);
    mbedtls_x509_crt_free(&root);
    ca_done(&ca);
}

static void names_of_every_length_verify(void)
{
    struct leaf_set *s = set();
    char name[NAME_SIZE];
    for (size_t len = 3; len<NAME_SIZE; len += len> 100 && len < 135 ? 1 : 7) {
        for (size_t i = 0; i < len; i++)
            name[i] = i % 50 == 49 && i + 1 < len ? '.' : 'a';
        name[len] = '\0';
        struct leaf *l = leaf_get(s, name);
        T_TRUE(l != NULL);
        if (l != NULL && verify(leaf_cert(l), name) != 0)
            T_FAIL("a name of %zu bytes: %x", len, verify(leaf_cert(l), name));
        T_TRUE(verify(leaf_cert(l), "other.example") != 0);
        leaf_unref(l);
    }
    done(s);
}

static void certificates_are_kept_and_bounded(void)
{
    struct leaf_set *s = set();
    char name[32];
    struct leaf *first = leaf_get(s, "first.example");
    struct leaf *again = leaf_get(s, "first.example");
    T_TRUE(first == again);
    leaf_unref(again);
    for (unsigned int i = 0; i < LEAF_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%u.example", i);
        leaf_unref(leaf_get(s, name));
    }
    again = leaf_get(s, "first.example");
    T_TRUE(first != again);
    T_EQ(verify(leaf_cert(first), "first.example"), 0); /* still held by this test */
    leaf_unref(first);
    leaf_unref(again);
    done(s);
}

static void a_key_of_another_authority_is_refused(void)
{
    struct leaf_set *s = set(), *other = NULL;
    char *key = strdup(ca.key);
    done(s);
    s = set();
    T_TRUE(leaf_set_new(&other, ca.cert, key, NULL) < 0);
    free(key);
    done(s);
}

T_MAIN(T_CASE(names_of_every_length_verify), T_CASE(certificates_are_kept_and_bounded),
       T_CASE(a_key_of_another_authority_is_refused))
