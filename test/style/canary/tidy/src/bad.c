/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

char *bad_copy(const char *s);

char *bad_copy(const char *s)
{
    char *copy = malloc(sizeof(s));
    if (strcmp(s, "x"))
        return NULL;
    return copy;
}
