/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define LOG_LINE_MAX  1024
#define LOG_QUOTE_MIN 6 /* two quotes, "..." and the NUL */

static enum log_level log_threshold = LOG_INFO;
static const char *const log_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    log_threshold = level;
}

/* The C library would look for the time zone's file, which a filter of system calls may forbid. */
size_t log_time(char *out, size_t size, const struct timespec *t)
{
    /* Years begin in March here and come in eras of 400: the leap day is the last of its year. */
    int64_t days = t->tv_sec / 86400 + 719468, second = t->tv_sec % 86400;
    int64_t era = days / 146097, of_era = days % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * month + 2) / 5 + 1;
    int n = snprintf(out, size, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                     (int)(era * 400 + year + (month >= 10)), (int)(month + (month < 10 ? 3 : -9)),
                     (int)day, (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60),
                     (int)(t->tv_nsec / 1000000));
    return n > 0 ? (size_t)n : 0;
}

void log_line(enum log_level level, const char *msg, const char *fmt, ...)
{
    if (level < log_threshold)
        return;
    struct timespec now;
    char line[LOG_LINE_MAX];
    clock_gettime(CLOCK_REALTIME, &now);
    size_t n = log_time(line, sizeof(line), &now);
    n += (size_t)snprintf(line + n, sizeof(line) - n, " level=%s msg=\"%.200s\"", log_names[level],
                          msg);
    if (fmt[0] != '\0') {
        line[n++] = ' ';
        va_list ap;
        va_start(ap, fmt);
        int more = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
        va_end(ap);
        if (more > 0)
            n = MIN(n + (size_t)more, sizeof(line) - 2);
    }
    line[n++] = '\n';
    /* One write: lines of several processes on one terminal do not mix. A full or closed stderr
     * must not stop the server. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

/* Length of the character at `s` that may stand as it is, or 0. */
static size_t log_plain(const char *s, size_t len)
{
    bool truncated;
    const uint8_t *p = (const uint8_t *)s;
    size_t n = utf8_char(p, MIN(len, (size_t)4), &truncated);
    bool control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && n == 2 && p[1] < 0xa0);
    return control || *p == '"' || *p == '\\' ? 0 : n;
}

const char *log_quote(char *out, size_t cap, const char *s)
{
    size_t n = 0;
    size_t left = strlen(s);
    if (cap < LOG_QUOTE_MIN) {
        if (cap > 0)
            out[0] = '\0';
        return out;
    }
    out[n++] = '"';
    while (left > 0) {
        size_t plain = log_plain(s, left);
        size_t used = MAX(plain, (size_t)1);
        if (n + 9 > cap) { /* room for the longest escape, "..." and the closing quote */
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (plain > 0) {
            memcpy(out + n, s, plain);
            n += plain;
        } else if (*s == '"' || *s == '\\') {
            out[n++] = '\\';
            out[n++] = *s;
        } else {
            n += (size_t)snprintf(out + n, 5, "\\x%02x", (unsigned char)*s);
        }
        s += used;
        left -= used;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}
