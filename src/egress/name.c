/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/name.h"

#include <errno.h>
#include <string.h>

static bool name_has(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Whether inet_aton could take it for a part of an address: decimal, octal or hexadecimal. */
static bool name_is_number(const char *label)
{
    if (label[0] == '0' && label[1] == 'x')
        return label[2 + strspn(label + 2, "0123456789abcdef")] == '\0';
    return label[strspn(label, "0123456789")] == '\0';
}

int name_read(const char *text, size_t len, char ret[NAME_SIZE])
{
    size_t label = 0; /* where the current label begins */
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len > FLOW_MAX_NAME)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        ret[i] = c;
        if (c == '.') {
            if (i == label)
                return -EINVAL;
            label = i + 1;
        } else if (!name_has(c) || i - label >= NAME_MAX_LABEL) {
            return -EINVAL;
        }
    }
    ret[len] = '\0';
    return label == len || name_is_number(ret + label) ? -EINVAL : 0;
}

bool name_below(const char *name, const char *parent)
{
    size_t whole = strlen(name), tail = strlen(parent);
    return whole > tail + 1 && name[whole - tail - 1] == '.' &&
           strcmp(name + whole - tail, parent) == 0;
}
