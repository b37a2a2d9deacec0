/* SPDX-License-Identifier: Apache-2.0 */
/* range.h - the header Range: one range of bytes (RFC 9110, section 14.1.2). Pure. */
#ifndef CORRAL_API_RANGE_H
#define CORRAL_API_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct range {
    bool wanted, suffix;
    uint64_t first, last; /* last: UINT64_MAX for "to the end"; suffix: first is the count */
};

/* The value of the header; NULL: there is none. One that asks for several ranges or is malformed is
 * ignored, as the RFC allows: the whole file is sent. */
struct range range_parse(const char *header);
/* Fits the range to a file of `size` bytes; false when it lies outside. */
bool range_fit(struct range *r, uint64_t size);

#endif
