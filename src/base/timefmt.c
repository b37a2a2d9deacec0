/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timefmt.h"

#include <stdio.h>
#include <time.h>

int64_t time_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t time_boot_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *timefmt_rfc3339(char out[TIMEFMT_SIZE], int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    int milli = (int)(ms % 1000);
    if (milli < 0) {
        milli += 1000;
        seconds -= 1;
    }
    struct tm tm;
    /* Beyond a year of four digits, which only a hostile guest would send. */
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099)
        return timefmt_rfc3339(out, 0);
    size_t n = (size_t)snprintf(out, TIMEFMT_SIZE, "%04d-", tm.tm_year + 1900);
    n += strftime(out + n, TIMEFMT_SIZE - n, "%m-%dT%H:%M:%S", &tm);
    if (milli != 0)
        n += (size_t)snprintf(out + n, TIMEFMT_SIZE - n, ".%03d", milli);
    (void)snprintf(out + n, TIMEFMT_SIZE - n, "Z");
    return out;
}
