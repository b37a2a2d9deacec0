/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - an error as a person or a client reads it: a stable code and a message.
 *
 * Inside the program a failing function returns a negative errno. Where the reason must be read by
 * someone it also takes a `struct error *err` last, fills it on failure and leaves it untouched on
 * success. `err` may be NULL. Only the top of the stack logs or answers.
 */
#ifndef CORRAL_BASE_ERROR_H
#define CORRAL_BASE_ERROR_H

#include "base/base.h"
#include "base/error_codes.h"

enum error_code {
    ERROR_NONE = 0,
#define X(name, code, status, text) ERROR_##name,
    ERROR_CODES(X)
#undef X
        ERROR_COUNT
};

struct error {
    enum error_code code;
    char message[248]; /* a sentence without a final period */
};

/* Sets code and message. Returns -EINVAL so that callers can `return error_set(...)`. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: tell it that the result is negative. */
#define error_set(...) ((void)error_set(__VA_ARGS__), -1)
#endif

/* As error_set, with ": <strerror(-errnum)>" appended; returns `errnum` (a negative errno). */
int error_set_errno(struct error *err, enum error_code code, int errnum, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
#ifdef __clang_analyzer__
#define error_set_errno(...) ((void)error_set_errno(__VA_ARGS__), -1)
#endif

/* Puts "<context>: " before the message. */
void error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The code as clients see it, and its HTTP status. */
const char *error_name(enum error_code code);
int error_status(enum error_code code);
const char *error_text(enum error_code code);

#endif
