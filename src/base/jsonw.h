/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonw.h - writing JSON text straight into a buffer: answers are made without a tree.
 *
 *   struct jsonw w = {.out = &b};
 *   jsonw_object(&w);
 *   jsonw_key_str(&w, "id", id);
 *   jsonw_object_end(&w);
 *
 * The writer places commas; the caller balances the brackets. Memory failure is remembered by the
 * buffer.
 */
#ifndef CORRAL_BASE_JSONW_H
#define CORRAL_BASE_JSONW_H

#include <stdbool.h>

#include "base/buf.h"

struct jsonw {
    struct buf *out;
    bool comma; /* a comma comes before the next value */
};

void jsonw_object(struct jsonw *w);
void jsonw_object_end(struct jsonw *w);
void jsonw_array(struct jsonw *w);
void jsonw_array_end(struct jsonw *w);
void jsonw_key(struct jsonw *w, const char *key);
void jsonw_keyn(struct jsonw *w, const char *key, size_t len);

void jsonw_str(struct jsonw *w, const char *s);
void jsonw_strn(struct jsonw *w, const char *s, size_t len);
void jsonw_int(struct jsonw *w, int64_t v);
void jsonw_fixed(struct jsonw *w, double v); /* two decimals */
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_null(struct jsonw *w);
void jsonw_time(struct jsonw *w, int64_t ms);                  /* RFC 3339; null for 0 */
void jsonw_raw(struct jsonw *w, const char *text, size_t len); /* ready-made JSON */

void jsonw_key_str(struct jsonw *w, const char *key, const char *s);
void jsonw_key_int(struct jsonw *w, const char *key, int64_t v);
void jsonw_key_bool(struct jsonw *w, const char *key, bool v);
void jsonw_key_time(struct jsonw *w, const char *key, int64_t ms);

/* Writes a UTF-16 code unit as \u and four digits: six bytes. Returns their end. */
uint8_t *jsonw_put_unit(uint8_t *out, uint32_t unit);
/* Appends `s` as a quoted JSON string; each byte that is not UTF-8 becomes U+FFFD. */
void jsonw_quote(struct buf *out, const char *s, size_t len);

#endif
