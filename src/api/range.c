/* SPDX-License-Identifier: Apache-2.0 */
/* range.c - see range.h. */
#include "api/range.h"

#include <string.h>

#include "base/num.h"

/* Reads one number and moves *p behind it. */
static bool range_number(const char **p, uint64_t *ret)
{
    char digits[20];
    size_t n = strspn(*p, "0123456789");
    int64_t value;
    if (n == 0 || n >= sizeof(digits))
        return false;
    memcpy(digits, *p, n);
    digits[n] = '\0';
    *p += n;
    if (num_parse(digits, 0, INT64_MAX, &value) < 0)
        return false;
    *ret = (uint64_t)value;
    return true;
}

struct range range_parse(const char *header)
{
    struct range none = {.last = UINT64_MAX}, r = {.wanted = true, .last = UINT64_MAX};
    if (header == NULL || strncmp(header, "bytes=", 6) != 0)
        return none;
    const char *p = header + 6;
    if (*p == '-') {
        p++;
        r.suffix = true;
        return range_number(&p, &r.first) && *p == '\0' ? r : none;
    }
    if (!range_number(&p, &r.first) || *p++ != '-')
        return none;
    if (*p != '\0' && (!range_number(&p, &r.last) || *p != '\0' || r.last < r.first))
        return none;
    return r;
}

bool range_fit(struct range *r, uint64_t size)
{
    if (r->suffix) {
        if (r->first == 0 || size == 0)
            return false;
        r->first = size - MIN(r->first, size);
    }
    if (r->first >= size)
        return !r->wanted;
    r->last = MIN(r->last, size - 1);
    return true;
}
