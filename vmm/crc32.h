/* SPDX-License-Identifier: Apache-2.0 */
/* crc32.h - CRC-32 (IEEE 802.3), against damage, not against malice. */
#ifndef CORRAL_VMM_CRC32_H
#define CORRAL_VMM_CRC32_H

#include "base/base.h"

/* Start with 0; pass the result back in to continue. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t len);

#endif
