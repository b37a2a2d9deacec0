/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - records of the state as bytes: a version byte, then fields without padding.
 *
 * Writing appends to a `struct buf`; one check of `failed` at the end. Reading uses a cursor; one
 * check, record_end. Entities keep their own encode and decode functions with their structs:
 *
 *   record_begin(b, 2);                      int version = record_open(&c, data, len, 2);
 *   record_str(b, t->name);                  t->name = record_get_str(&c);
 *   buf_u64(b, t->size);                     t->size = cursor_u64(&c);
 *   if (version >= 2) ...                    return record_end(&c);
 *
 * A newer version than the reader knows is -EPROTO: never guess at bytes.
 */
#ifndef CORRAL_STORE_RECORD_H
#define CORRAL_STORE_RECORD_H

#include <stdbool.h>

#include "base/buf.h"

void record_begin(struct buf *b, uint8_t version);
void record_bool(struct buf *b, bool v);
void record_i64(struct buf *b, int64_t v);
/* NULL is kept apart from "". */
void record_str(struct buf *b, const char *s);
void record_bytes(struct buf *b, const void *data, size_t len); /* fixed size, without length */
/* NULL-terminated; NULL is the empty list. */
void record_list(struct buf *b, const char *const *items);

/* The version (1 to max_version), or -EPROTO. */
int record_open(struct cursor *c, const void *data, size_t len, uint8_t max_version);
bool record_get_bool(struct cursor *c);
int64_t record_get_i64(struct cursor *c);
/* Owned by the caller; NULL for a stored NULL. Strings with a NUL inside make the cursor bad. */
char *record_get_str(struct cursor *c);
/* Into a buffer of `size` bytes, terminated; too long a string makes the cursor bad. */
void record_get_text(struct cursor *c, char *out, size_t size);
void record_get_bytes(struct cursor *c, void *out, size_t len);
/* A NULL-terminated vector in one allocation, owned by the caller. */
char **record_get_list(struct cursor *c);
/* 0, or -EPROTO when a field was missing or malformed or bytes are left. */
int record_end(const struct cursor *c);

#endif
