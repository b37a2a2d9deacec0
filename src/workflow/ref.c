/* SPDX-License-Identifier: Apache-2.0 */
/* ref.c - see ref.h. A lone $ is text: commands and prices have them. */
#include "workflow/ref.h"

#include <string.h>

#define REF_START "${steps."

static const char *const ref_fields[] = {"stdout", "result", "exit_code"};

/* NAME.FIELD} behind the start. A malformed one ends right there: what follows may hold another. */
static void ref_parse(const char *p, struct wf_ref *ret)
{
    size_t len = strcspn(p, ".}$");
    ret->name = p;
    ret->name_len = len;
    ret->end = p;
    if (len == 0 || p[len] != '.')
        return;
    p += len + 1;
    for (size_t i = 0; i < ARRAY_SIZE(ref_fields); i++) {
        size_t n = strlen(ref_fields[i]);
        if (strncmp(p, ref_fields[i], n) == 0 && p[n] == '}') {
            ret->field = ref_fields[i];
            ret->end = p + n + 1;
        }
    }
}

bool wf_ref_next(const char *text, struct wf_ref *ret)
{
    for (const char *p = strchr(text, '$'); p != NULL; p = strchr(p + 1, '$')) {
        *ret = (struct wf_ref){.start = p};
        if (strncmp(p, "$${", 3) == 0) {
            ret->literal = true;
            ret->end = p + 3;
            return true;
        }
        if (strncmp(p, REF_START, strlen(REF_START)) == 0) {
            ref_parse(p + strlen(REF_START), ret);
            return true;
        }
    }
    return false;
}
