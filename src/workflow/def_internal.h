/* SPDX-License-Identifier: Apache-2.0 */
/* def_internal.h - between the files that parse and check a definition. */
#ifndef CORRAL_WORKFLOW_DEF_INTERNAL_H
#define CORRAL_WORKFLOW_DEF_INTERNAL_H

#include "workflow/def.h"

/* Where the parser is: the definition, its faults, and the path of the object at hand. */
struct wf_check {
    struct wf_def *def;
    struct wf_faults *faults;
    char path[96];
};

/* Notes a fault; `field` is appended to the path: "name", "[2]" or "". */
void wf_fault(struct wf_check *c, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The step of that name, or -1. */
int wf_step_index(const struct wf_def *d, const char *name, size_t len);
/* Orders the steps and with it fills `behind`; a step on a cycle is a fault. */
void wf_check_cycles(struct wf_check *c);
/* Variables refer only to steps that come before; the path is the step's. */
void wf_check_references(struct wf_check *c, const struct wf_step_def *s);

#endif
