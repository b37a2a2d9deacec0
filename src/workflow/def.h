/* SPDX-License-Identifier: Apache-2.0 */
/*
 * def.h - the definition of a workflow: parses and checks its JSON. Pure.
 *
 * A definition that is accepted can be run: names are unique, dependencies exist and have no cycle,
 * and references name steps that come before. Every fault is reported with its JSON path.
 *
 * A reference is ${steps.NAME.FIELD} in the value of a variable, FIELD one of stdout, result and
 * exit_code; $${ stands for ${. References stand in variables only, never in code or a command:
 * what a step printed must not become part of what another runs.
 */
#ifndef CORRAL_WORKFLOW_DEF_H
#define CORRAL_WORKFLOW_DEF_H

#include <stdbool.h>

#include "base/json.h"
#include "core/id.h"

#define WF_MAX_TEXT       (4u << 20) /* bytes of a definition */
#define WF_MAX_NAME       256        /* bytes of a workflow's name */
#define WF_MAX_STEPS      256
#define WF_MAX_STEP_NAME  64      /* bytes: letters, digits, '_' and '-' */
#define WF_MAX_CODE       1048576 /* bytes of code or of a command */
#define WF_MAX_VARS       64      /* variables of a step */
#define WF_MAX_VALUE      32768   /* bytes of a variable's value */
#define WF_MAX_ARGS       256
#define WF_MAX_RETRIES    10
#define WF_MAX_DELAY_S    300
#define WF_MAX_PARALLEL   16
#define WF_MAX_TIMEOUT_S  86400
#define WF_MAX_FAULTS     50 /* reported at most */
#define WF_PARALLEL       4  /* steps side by side when the definition does not say */
#define WF_STEP_TIMEOUT_S 300
#define WF_RETRY_DELAY_S  1

enum wf_type { WF_CODE, WF_COMMAND };

const char *wf_type_name(enum wf_type type);

struct wf_var {
    const char *name, *value;
};

/* Strings point into the definition's JSON. */
struct wf_step_def {
    const char *name;
    enum wf_type type;
    const char *code, *language; /* WF_CODE */
    const char *command, *cwd;   /* WF_COMMAND */
    char **args;                 /* WF_COMMAND; owned, NULL-terminated */
    const char *template;        /* NULL: the workflow's */
    char sandbox[ID_SIZE];       /* of config.environment_id; "": one of the run's own */
    unsigned int timeout_s, retries, retry_delay_s;
    bool continue_on_error;
    struct wf_var *vars; /* owned */
    unsigned int n_vars;
    uint64_t needs[WF_MAX_STEPS / 64];  /* bits of the steps it depends on */
    uint64_t behind[WF_MAX_STEPS / 64]; /* of these and of all that they depend on */
};

struct wf_def {
    json *root; /* owned */
    const char *name;
    const char *template;   /* NULL: the server's default */
    unsigned int timeout_s; /* of the run's sandboxes; 0: the server's longest */
    unsigned int max_parallel;
    unsigned int n_steps;
    struct wf_step_def *steps; /* owned */
};

/* JSON text of the list of faults, without brackets. */
struct wf_faults {
    struct buf json;
    unsigned int count;
};

/* Takes over `root`. 0, or -EINVAL with at least one fault; *ret must then be released, too. */
int wf_def_parse(struct wf_def *ret, json *root, struct wf_faults *faults);
void wf_def_done(struct wf_def *d);
void wf_faults_done(struct wf_faults *f);

static inline bool wf_bit(const uint64_t *bits, unsigned int i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Appends `text` with its references replaced by what `lookup` appends for them. */
void wf_expand(struct buf *out, const char *text,
               void (*lookup)(void *ctx, unsigned int step, const char *field, struct buf *out),
               const struct wf_def *d, void *ctx);

#endif
