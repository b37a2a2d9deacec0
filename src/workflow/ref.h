/* SPDX-License-Identifier: Apache-2.0 */
/* ref.h - finds references to outputs of steps in text. Pure. */
#ifndef CORRAL_WORKFLOW_REF_H
#define CORRAL_WORKFLOW_REF_H

#include <stdbool.h>

#include "base/base.h"

/* Views into the text. */
struct wf_ref {
    const char *start, *end; /* what the reference takes up */
    bool literal;            /* $${, which stands for ${ */
    const char *name;        /* of the step */
    size_t name_len;
    const char *field; /* one of the names in ref.c; NULL: malformed */
};

/* The first reference in `text`; false: there is none. */
bool wf_ref_next(const char *text, struct wf_ref *ret);

#endif
