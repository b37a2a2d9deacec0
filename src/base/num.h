/* SPDX-License-Identifier: Apache-2.0 */
/* num.h - checked reading of numbers from text. */
#ifndef CORRAL_BASE_NUM_H
#define CORRAL_BASE_NUM_H

#include "base/base.h"

/* The whole of `s` as a decimal number within [min, max]. 0, -EINVAL (not a number) or -ERANGE. */
int num_parse(const char *s, int64_t min, int64_t max, int64_t *ret);

#endif
