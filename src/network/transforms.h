/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transforms.h - what is set in the requests of a sandbox, as clients write it.
 *
 *   {"host": ENTRY, "methods": [METHOD...], "paths": [PATTERN...], "headers": {NAME: VALUE...}}
 *
 * egress/transform.h says what the parts mean. A value may refer to secrets of the account as
 * ${secret:NAME}; it is kept and printed with the references, which are filled in for corral-egress
 * alone. An empty value takes the field out of the request.
 */
#ifndef CORRAL_NETWORK_TRANSFORMS_H
#define CORRAL_NETWORK_TRANSFORMS_H

#include "auth/secret.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "network/rules.h"

struct network_transform {
    char *host; /* owned */
    struct network_rules methods, paths;
    struct network_rules headers; /* names and values in turn */
};

/* Zeroed: none. */
struct network_transforms {
    struct network_transform *items; /* owned */
    size_t count;
};

/* From the field "transforms" of a policy. 0, or a negative errno with an `err` that names the
 * entry, never a value. `ret` is to be released in every case. */
int network_transforms_read(const json *policy, struct network_transforms *ret, struct error *err);
void network_transforms_print(struct jsonw *w, const struct network_transforms *t);
void network_transforms_done(struct network_transforms *t);

/* Whether a value refers to the secret. */
bool network_transforms_use(const struct network_transforms *t, const char *secret);
/* Whether the account has all secrets that the values refer to: 0, or ERROR_SECRET_NOT_FOUND. */
int network_transforms_check(const struct network_transforms *t, struct secrets *secrets,
                             const char *account, struct error *err);
/* Appends what EGRESS_POLICY has of transforms, with secrets filled in, and the values as they are
 * for NULL. A value that lacks a secret is empty. The caller wipes the buffer. */
void network_transforms_put(struct buf *b, const struct network_transforms *t,
                            struct secrets *secrets, const char *account);
/* Bytes that network_transforms_put appends at most. */
size_t network_transforms_room(const struct network_transforms *t);

#endif
