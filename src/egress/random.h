/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - random bytes from the kernel, in the form that mbedtls wants. */
#ifndef CORRAL_EGRESS_RANDOM_H
#define CORRAL_EGRESS_RANDOM_H

#include <stddef.h>

/* 0; it never fails, because the kernel's generator is ready once the system has started. */
int random_get(void *ctx, unsigned char *data, size_t len);

#endif
