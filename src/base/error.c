/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct error_info {
    const char *name;
    int status;
    const char *text;
};

static const struct error_info error_table[ERROR_COUNT] = {[ERROR_NONE] = {"none", 200, "No error"},
#define X(name, code, status, text) [ERROR_##name] = {code, status, text},
                                                           ERROR_CODES(X)
#undef X
};

static void error_vset(struct error *err, enum error_code code, const char *fmt, va_list ap)
{
    err->code = code;
    (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
}

#undef error_set
int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        error_vset(err, code, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

#undef error_set_errno
int error_set_errno(struct error *err, enum error_code code, int errnum, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        error_vset(err, code, fmt, ap);
        va_end(ap);
        size_t used = strlen(err->message);
        (void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(-errnum));
    }
    return errnum;
}

void error_wrap(struct error *err, const char *fmt, ...)
{
    if (err == NULL)
        return;
    char context[sizeof(err->message)];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    struct error inner = *err;
    size_t used = strlen(context);
    memcpy(err->message, context, used);
    (void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner.message);
}

const char *error_name(enum error_code code)
{
    return error_table[code < ERROR_COUNT ? code : ERROR_INTERNAL].name;
}

int error_status(enum error_code code)
{
    return error_table[code < ERROR_COUNT ? code : ERROR_INTERNAL].status;
}

const char *error_text(enum error_code code)
{
    return error_table[code < ERROR_COUNT ? code : ERROR_INTERNAL].text;
}
