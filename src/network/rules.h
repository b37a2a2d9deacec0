/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - lists of texts, as a policy has them. */
#ifndef CORRAL_NETWORK_RULES_H
#define CORRAL_NETWORK_RULES_H

#include <stddef.h>

#include "base/error.h"

/* Zeroed: none. */
struct network_rules {
    char **items; /* NULL-terminated, each owned; NULL: none */
    size_t count;
};

/* Appends a copy of `len` bytes. 0, -ENOMEM, or -E2BIG when `most` are there. */
int network_rules_add(struct network_rules *l, size_t most, const char *text, size_t len);
/* The entries of a list with commas between them, as options have it. */
int network_rules_split(const char *text, struct network_rules *ret, struct error *err);
void network_rules_done(struct network_rules *l);

#endif
