/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.h - SHA-256 of bytes in memory. */
#ifndef CORRAL_AUTH_SHA256_H
#define CORRAL_AUTH_SHA256_H

#include "base/base.h"

#define SHA256_SIZE 32

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE]);

#endif
