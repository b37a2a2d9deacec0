/* SPDX-License-Identifier: Apache-2.0 */
/* signature.h - signed URLs of files: the holder of one may read or write one path, until a time.
 * Pure. */
#ifndef CORRAL_E2B_SIGNATURE_H
#define CORRAL_E2B_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

/* What a URL says; NULL where it does not. */
struct signed_url {
    const char *path, *username, *signature, *expiration;
    bool write;
};

#define SIGNATURE_SIZE 48 /* "v1_", 43 characters and the NUL */

/* The signature that the sandbox with `token` would give it. -ENOMEM. */
int signature_make(const struct signed_url *url, const char *token, char out[SIGNATURE_SIZE]);
/* Whether it has that signature; takes the same time wherever it differs. */
bool signature_matches(const struct signed_url *url, const char *token);
/* Whether its time is over, or is none. */
bool signature_expired(const struct signed_url *url, int64_t now_s);

#endif
