/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - UTF-8 as RFC 3629 defines it (no overlong forms, no surrogates, up to U+10FFFF). */
#ifndef CORRAL_BASE_UTF8_H
#define CORRAL_BASE_UTF8_H

#include <stdbool.h>

#include "base/buf.h"

/* Length in bytes of the character at `s` (1 to 4), or 0 when the bytes are not UTF-8. With
 * `truncated` set to true the bytes are the start of a character that needs more. */
size_t utf8_char(const uint8_t *s, size_t len, bool *truncated);
/* How many bytes at the end are the start of a character that needs more (0 to 3). */
size_t utf8_tail(const uint8_t *s, size_t len);
bool utf8_valid(const uint8_t *s, size_t len);

#endif
