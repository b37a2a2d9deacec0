/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - CRC-32C (Castagnoli), for what there is much of: every processor that can do
 * virtualization well has an instruction for it. Against damage, not against malice. */
#ifndef CORRAL_VMM_CRC32C_H
#define CORRAL_VMM_CRC32C_H

#include "base/base.h"

/* Start with 0; pass the result back in to continue. */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t len);
/* The same without the instruction: for processors that lack it, and to compare with. */
uint32_t crc32c_slow(uint32_t crc, const void *data, size_t len);

#endif
