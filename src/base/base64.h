/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - base64 as RFC 4648, section 4, defines it, with padding. */
#ifndef CORRAL_BASE_BASE64_H
#define CORRAL_BASE_BASE64_H

#include "base/buf.h"

int base64_encode(struct buf *out, const void *data, size_t len);
/* Appends the bytes. -EINVAL for text that is not base64; white space is refused, missing padding
 * is too. */
int base64_decode(struct buf *out, const char *text, size_t len);

#endif
