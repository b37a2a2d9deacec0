/* SPDX-License-Identifier: Apache-2.0 */
/* json_check.h - is it one JSON text as RFC 8259 defines it? For json.c: the parser behind it is
 * more lenient, and should only ever see what is sound. */
#ifndef CORRAL_JSON_CHECK_H
#define CORRAL_JSON_CHECK_H

#include <stdbool.h>

#include "base/base.h"

#define JSON_CHECK_MAX_DEPTH 64

/* NULL, or what is wrong, as a clause ("a string is not closed") with the offset in *ret_at. The
 * text must be UTF-8. An escaped NUL is refused unless `nul`: C strings would end at it. */
const char *json_check(const uint8_t *s, size_t len, bool nul, size_t *ret_at);

#endif
