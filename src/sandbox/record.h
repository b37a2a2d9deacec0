/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - a sandbox as bytes in the store (table SANDBOXES, key: the id). */
#ifndef CORRAL_SANDBOX_RECORD_H
#define CORRAL_SANDBOX_RECORD_H

#include "sandbox/sandbox.h"

/* Appends the record; check `out->failed`. */
void sandbox_record_encode(struct buf *out, const struct sandbox *sb);
/* Fills the stored fields of an empty sandbox. 0, -EPROTO or -ENOMEM; strings already read stay in
 * `sb`, which sandbox_free releases. */
int sandbox_record_decode(struct sandbox *sb, const void *key, size_t keylen, const void *val,
                          size_t vallen);

#endif
