/* SPDX-License-Identifier: Apache-2.0 */
/* timefmt.h - wall-clock time: milliseconds since 1970-01-01 UTC, and RFC 3339 text. */
#ifndef CORRAL_BASE_TIMEFMT_H
#define CORRAL_BASE_TIMEFMT_H

#include "base/base.h"

#define TIMEFMT_SIZE 32

int64_t time_now_ms(void);
/* Since the host was started, sleep included: nobody sets this clock. */
int64_t time_boot_ms(void);
/* "2025-10-23T12:30:00Z", with ".123" before the Z when the milliseconds are not zero. */
const char *timefmt_rfc3339(char out[TIMEFMT_SIZE], int64_t ms);

#endif
