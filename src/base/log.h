/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per event, logfmt, to stderr:
 *
 *   ts=2026-01-02T03:04:05.678Z level=info msg="sandbox started" sandbox=... ms=63
 *
 * Callers write the message and, after it, ready-made `key=value` pairs:
 *   log_info("sandbox started", "sandbox=%s ms=%u", id, ms);
 * Values from outside go through log_quote, which makes them safe in one line.
 */
#ifndef CORRAL_BASE_LOG_H
#define CORRAL_BASE_LOG_H

#include <time.h>

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped. The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* The field that a line begins with, for a time after 1970; returns its length. */
size_t log_time(char *out, size_t size, const struct timespec *t);

void log_line(enum log_level level, const char *msg, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_debug(msg, ...) log_line(LOG_DEBUG, msg, "" __VA_ARGS__)
#define log_info(msg, ...)  log_line(LOG_INFO, msg, "" __VA_ARGS__)
#define log_warn(msg, ...)  log_line(LOG_WARN, msg, "" __VA_ARGS__)
#define log_error(msg, ...) log_line(LOG_ERROR, msg, "" __VA_ARGS__)

/* Quotes `s` for a logfmt value into `out` (at most `cap` bytes, always terminated); control
 * characters and bytes that are not UTF-8 become \xNN, long values end in "...". A `cap` below 6
 * leaves room for the terminator only. Returns `out`. */
const char *log_quote(char *out, size_t cap, const char *s);

#endif
