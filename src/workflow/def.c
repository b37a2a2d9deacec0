/* SPDX-License-Identifier: Apache-2.0 */
/*
 * def.c - see def.h.
 *
 * The parser does not stop at a fault: whoever writes a definition wants to see all of them. It
 * takes three passes, each of which needs the one before it: the steps with their fields, then the
 * names in `depends_on` (a step may name a later one), then what holds between steps: their order,
 * and the references in their variables. A step that is wrong in one pass still counts in the next
 * ones, with what could be read of it.
 */
#include "workflow/def.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonw.h"
#include "sandbox/environment_id.h"
#include "workflow/ref.h"

/* Where the parser is: the definition, its faults, and the path of the object at hand. */
struct def_parser {
    struct wf_def *def;
    struct wf_faults *faults;
    char path[96];
};

static const char *const wf_type_names[] = {
    [WF_CODE] = "code_execution",
    [WF_COMMAND] = "command",
};

/* Fields that may be there; everything else is a fault. */
static const char *const root_fields[] = {"name",    "description",  "steps", "template",
                                          "timeout", "max_parallel", NULL};
static const char *const step_fields[] = {
    "name",    "type",        "config",      "timeout",           "depends_on",
    "retries", "retry_delay", "environment", "continue_on_error", NULL};
static const char *const code_fields[] = {"code",           "language", "template",
                                          "environment_id", "timeout",  NULL};
static const char *const command_fields[] = {"command",        "args",    "working_dir", "template",
                                             "environment_id", "timeout", NULL};

const char *wf_type_name(enum wf_type type)
{
    return wf_type_names[type];
}

/* Notes a fault; `field` is appended to the path: "name", "[2]" or "". */
PRINTF_LIKE(3, 4)
static void def_fault(struct def_parser *c, const char *field, const char *fmt, ...)
{
    struct jsonw w = {.out = &c->faults->json, .comma = c->faults->count > 0};
    char message[160], path[256];
    va_list args;
    if (c->faults->count++ >= WF_MAX_FAULTS)
        return;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    (void)snprintf(path, sizeof(path), "%s%s%.100s", c->path,
                   field[0] != '\0' && field[0] != '[' ? "." : "", field);
    jsonw_object(&w);
    jsonw_key_str(&w, "path", path);
    jsonw_key_str(&w, "message", message);
    jsonw_object_end(&w);
}

/* The step of that name, or -1. */
static int def_step_index(const struct wf_def *d, const char *name, size_t len)
{
    for (unsigned int i = 0; i < d->n_steps; i++) {
        const char *n = d->steps[i].name;
        if (n != NULL && strlen(n) == len && memcmp(n, name, len) == 0)
            return (int)i;
    }
    return -1;
}

static void check_fields(struct def_parser *c, const json *obj, const char *const *known)
{
    const json *item;
    cJSON_ArrayForEach(item, obj)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], item->string) != 0)
            i++;
        if (known[i] == NULL)
            def_fault(c, item->string, "is not a known field");
        else if (cJSON_GetObjectItemCaseSensitive(obj, item->string) != item)
            def_fault(c, item->string, "is there twice");
    }
}

static const json *get(const json *obj, const char *field)
{
    const json *item = cJSON_GetObjectItemCaseSensitive(obj, field);
    return item != NULL && !cJSON_IsNull(item) ? item : NULL;
}

/* A string of 1 to `max` bytes; NULL when it is absent or at fault. */
static const char *get_text(struct def_parser *c, const json *obj, const char *field, bool required,
                            size_t max)
{
    const json *item = get(obj, field);
    if (item == NULL) {
        if (required)
            def_fault(c, field, "is required");
        return NULL;
    }
    if (!cJSON_IsString(item)) {
        def_fault(c, field, "must be a string");
        return NULL;
    }
    size_t len = strlen(item->valuestring);
    if (len == 0 || len > max) {
        def_fault(c, field, "must have 1 to %zu bytes", max);
        return NULL;
    }
    return item->valuestring;
}

static unsigned int get_number(struct def_parser *c, const json *obj, const char *field,
                               unsigned int fallback, unsigned int min, unsigned int max)
{
    const json *item = get(obj, field);
    if (item == NULL)
        return fallback;
    double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(v >= min && v <= max) || v != (double)(unsigned int)v) {
        def_fault(c, field, "must be a whole number from %u to %u", min, max);
        return fallback;
    }
    return (unsigned int)v;
}

static bool plain_text(const char *s)
{
    for (; *s != '\0'; s++) {
        if (iscntrl((unsigned char)*s))
            return false;
    }
    return true;
}

static bool is_step_name(const char *s)
{
    size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && s[len] == '\0';
}

static void parse_args(struct def_parser *c, const json *config, struct wf_step_def *s)
{
    const json *args = get(config, "args"), *item;
    if (args == NULL)
        return;
    if (!cJSON_IsArray(args) || cJSON_GetArraySize(args) > WF_MAX_ARGS) {
        def_fault(c, "args", "must be a list of at most %d strings", WF_MAX_ARGS);
        return;
    }
    cJSON_ArrayForEach(item, args)
    {
        if (!cJSON_IsString(item)) {
            def_fault(c, "args", "must hold strings only");
            return;
        }
    }
    if (json_get_str_list(config, "args", &s->args, NULL) < 0)
        def_fault(c, "args", "does not fit into memory");
}

static void parse_config(struct def_parser *c, const json *step, struct wf_step_def *s)
{
    const json *config = get(step, "config");
    if (!cJSON_IsObject(config)) {
        def_fault(c, "config", "must be an object");
        return;
    }
    size_t len = strlen(c->path);
    (void)snprintf(c->path + len, sizeof(c->path) - len, ".config");
    check_fields(c, config, s->type == WF_CODE ? code_fields : command_fields);
    if (s->type == WF_CODE) {
        s->code = get_text(c, config, "code", true, WF_MAX_CODE);
        s->language = get_text(c, config, "language", false, 64);
        s->language = s->language != NULL ? s->language : "python";
    } else {
        s->command = get_text(c, config, "command", true, WF_MAX_CODE);
        s->cwd = get_text(c, config, "working_dir", false, 4096);
        parse_args(c, config, s);
    }
    s->template = get_text(c, config, "template", false, 128);
    const char *environment = get_text(c, config, "environment_id", false, 64);
    if (environment != NULL && environment_parse(s->sandbox, environment) < 0)
        def_fault(c, "environment_id", "is not the id of an environment");
    if (environment != NULL && s->template != NULL)
        def_fault(c, "environment_id", "cannot be given together with template");
    s->timeout_s = get_number(c, config, "timeout", 0, 1, WF_MAX_TIMEOUT_S);
    c->path[len] = '\0';
}

static void parse_variables(struct def_parser *c, const json *step, struct wf_step_def *s)
{
    const json *vars = get(step, "environment"), *item;
    if (vars == NULL)
        return;
    if (!cJSON_IsObject(vars) || cJSON_GetArraySize(vars) > WF_MAX_VARS) {
        def_fault(c, "environment", "must be an object of at most %d strings", WF_MAX_VARS);
        return;
    }
    s->vars = calloc((size_t)cJSON_GetArraySize(vars) + 1, sizeof(*s->vars));
    if (s->vars == NULL) {
        def_fault(c, "environment", "does not fit into memory");
        return;
    }
    size_t len = strlen(c->path);
    (void)snprintf(c->path + len, sizeof(c->path) - len, ".environment");
    cJSON_ArrayForEach(item, vars)
    {
        if (item->string[0] == '\0' || strchr(item->string, '=') != NULL ||
            strlen(item->string) > 256)
            def_fault(c, item->string, "is not the name of a variable");
        else if (!cJSON_IsString(item) || strlen(item->valuestring) > WF_MAX_VALUE)
            def_fault(c, item->string, "must be a string of at most %d bytes", WF_MAX_VALUE);
        else
            s->vars[s->n_vars++] = (struct wf_var){item->string, item->valuestring};
    }
    c->path[len] = '\0';
}

static void parse_type(struct def_parser *c, const json *step, struct wf_step_def *s)
{
    const char *type = get_text(c, step, "type", true, 64);
    if (type == NULL)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(wf_type_names); i++) {
        if (strcmp(type, wf_type_names[i]) == 0) {
            s->type = (enum wf_type)i;
            parse_config(c, step, s);
            return;
        }
    }
    def_fault(c, "type",
              strcmp(type, "http_request") == 0
                  ? "http_request needs a network, which sandboxes do not have"
                  : "must be code_execution or command");
}

static void parse_step(struct def_parser *c, const json *step, unsigned int i)
{
    struct wf_step_def *s = &c->def->steps[i];
    if (!cJSON_IsObject(step)) {
        def_fault(c, "", "must be an object");
        return;
    }
    check_fields(c, step, step_fields);
    const char *name = get_text(c, step, "name", true, WF_MAX_STEP_NAME);
    if (name != NULL && !is_step_name(name)) {
        def_fault(c, "name", "must have letters, digits, '_' and '-' only");
    } else if (name != NULL) {
        int other = def_step_index(c->def, name, strlen(name));
        if (other >= 0)
            def_fault(c, "name", "is the name of step %d, too", other);
        else
            s->name = name;
    }
    parse_type(c, step, s);
    unsigned int timeout = get_number(c, step, "timeout", 0, 1, WF_MAX_TIMEOUT_S);
    if (timeout != 0)
        s->timeout_s = timeout;
    if (s->timeout_s == 0)
        s->timeout_s = WF_STEP_TIMEOUT_S;
    s->retries = get_number(c, step, "retries", 0, 0, WF_MAX_RETRIES);
    s->retry_delay_s = get_number(c, step, "retry_delay", WF_RETRY_DELAY_S, 0, WF_MAX_DELAY_S);
    const json *flag = get(step, "continue_on_error");
    if (flag != NULL && !cJSON_IsBool(flag))
        def_fault(c, "continue_on_error", "must be true or false");
    s->continue_on_error = cJSON_IsTrue(flag);
    parse_variables(c, step, s);
}

static void parse_needs(struct def_parser *c, const json *step, struct wf_step_def *s)
{
    const json *needs = cJSON_IsObject(step) ? get(step, "depends_on") : NULL, *item;
    char field[48];
    unsigned int n = 0;
    if (needs == NULL)
        return;
    if (!cJSON_IsArray(needs)) {
        def_fault(c, "depends_on", "must be a list of names of steps");
        return;
    }
    cJSON_ArrayForEach(item, needs)
    {
        (void)snprintf(field, sizeof(field), "depends_on[%u]", n++);
        if (n > WF_MAX_STEPS) {
            def_fault(c, "depends_on", "is too long");
            return;
        }
        int i = cJSON_IsString(item)
                    ? def_step_index(c->def, item->valuestring, strlen(item->valuestring))
                    : -1;
        if (i < 0)
            def_fault(c, field, "is not the name of a step");
        else
            s->needs[i / 64] |= 1ull << (i % 64);
    }
}

static void parse_root(struct def_parser *c)
{
    struct wf_def *d = c->def;
    check_fields(c, d->root, root_fields);
    d->name = get_text(c, d->root, "name", true, WF_MAX_NAME);
    if (d->name != NULL && !plain_text(d->name))
        def_fault(c, "name", "must not hold control characters");
    (void)get_text(c, d->root, "description", false, 4096);
    d->template = get_text(c, d->root, "template", false, 128);
    d->timeout_s = get_number(c, d->root, "timeout", 0, 1, WF_MAX_TIMEOUT_S);
    d->max_parallel = get_number(c, d->root, "max_parallel", WF_PARALLEL, 1, WF_MAX_PARALLEL);
}

static bool needs_ready(const struct wf_step_def *s, const uint64_t *ordered)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->needs); i++) {
        if ((s->needs[i] & ~ordered[i]) != 0)
            return false;
    }
    return true;
}

/* Orders the steps and with it fills `behind`; a step on a cycle is a fault. */
static void check_cycles(struct def_parser *c)
{
    struct wf_def *d = c->def;
    uint64_t ordered[WF_MAX_STEPS / 64] = {0};
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned int i = 0; i < d->n_steps; i++) {
            struct wf_step_def *s = &d->steps[i];
            if (wf_bit(ordered, i) || !needs_ready(s, ordered))
                continue;
            for (unsigned int k = 0; k < d->n_steps; k++) {
                if (!wf_bit(s->needs, k))
                    continue;
                for (size_t b = 0; b < ARRAY_SIZE(s->behind); b++)
                    s->behind[b] |= d->steps[k].behind[b] | s->needs[b];
            }
            ordered[i / 64] |= 1ull << (i % 64);
            moved = true;
        }
    }
    for (unsigned int i = 0; i < d->n_steps; i++) {
        if (wf_bit(ordered, i))
            continue;
        (void)snprintf(c->path, sizeof(c->path), "$.steps[%u]", i);
        def_fault(c, "depends_on", "is part of a cycle or depends on one");
    }
}

/* Variables refer only to steps that come before; the path is the step's. */
static void check_references(struct def_parser *c, const struct wf_step_def *s)
{
    size_t len = strlen(c->path);
    (void)snprintf(c->path + len, sizeof(c->path) - len, ".environment");
    for (unsigned int i = 0; i < s->n_vars; i++) {
        const char *p = s->vars[i].value;
        struct wf_ref ref;
        while (wf_ref_next(p, &ref)) {
            p = ref.end;
            if (ref.literal)
                continue;
            int step = ref.field != NULL ? def_step_index(c->def, ref.name, ref.name_len) : -1;
            if (ref.field == NULL)
                def_fault(c, s->vars[i].name,
                          "has a reference that is not ${steps.NAME.stdout|result|exit_code}");
            else if (step < 0 || !wf_bit(s->behind, (unsigned int)step))
                def_fault(c, s->vars[i].name,
                          "refers to '%.*s', which this step does not depend on",
                          (int)MIN(ref.name_len, 64u), ref.name);
        }
    }
    c->path[len] = '\0';
}

static void parse_steps(struct def_parser *c)
{
    struct wf_def *d = c->def;
    const json *steps = get(d->root, "steps"), *step;
    int n = cJSON_IsArray(steps) ? cJSON_GetArraySize(steps) : 0;
    if (n < 1 || n > WF_MAX_STEPS) {
        def_fault(c, "steps", "must be a list of 1 to %d steps", WF_MAX_STEPS);
        return;
    }
    d->steps = calloc((size_t)n, sizeof(*d->steps));
    if (d->steps == NULL) {
        def_fault(c, "steps", "does not fit into memory");
        return;
    }
    cJSON_ArrayForEach(step, steps)
    {
        (void)snprintf(c->path, sizeof(c->path), "$.steps[%u]", d->n_steps);
        parse_step(c, step, d->n_steps++);
    }
    unsigned int i = 0;
    cJSON_ArrayForEach(step, steps)
    {
        (void)snprintf(c->path, sizeof(c->path), "$.steps[%u]", i);
        parse_needs(c, step, &d->steps[i++]);
    }
    check_cycles(c);
    for (i = 0; i < d->n_steps; i++) {
        (void)snprintf(c->path, sizeof(c->path), "$.steps[%u]", i);
        check_references(c, &d->steps[i]);
    }
}

int wf_def_parse(struct wf_def *ret, json *root, struct wf_faults *faults)
{
    struct def_parser c = {.def = ret, .faults = faults, .path = "$"};
    *ret = (struct wf_def){.root = root};
    if (!cJSON_IsObject(root)) {
        def_fault(&c, "", "must be an object");
        return -EINVAL;
    }
    parse_root(&c);
    parse_steps(&c);
    return faults->count > 0 ? -EINVAL : 0;
}

void wf_def_done(struct wf_def *d)
{
    for (unsigned int i = 0; i < d->n_steps; i++) {
        free(d->steps[i].args);
        free(d->steps[i].vars);
    }
    free(d->steps);
    json_free_p(&d->root);
    *d = (struct wf_def){0};
}

void wf_faults_done(struct wf_faults *f)
{
    buf_done(&f->json);
}

void wf_expand(struct buf *out, const char *text,
               void (*lookup)(void *ctx, unsigned int step, const char *field, struct buf *out),
               const struct wf_def *d, void *ctx)
{
    struct wf_ref ref;
    while (wf_ref_next(text, &ref)) {
        (void)buf_append(out, text, (size_t)(ref.start - text));
        int step = ref.field != NULL ? def_step_index(d, ref.name, ref.name_len) : -1;
        if (ref.literal)
            (void)buf_append_str(out, "${");
        else if (step >= 0)
            lookup(ctx, (unsigned int)step, ref.field, out);
        text = ref.end;
    }
    (void)buf_append_str(out, text);
}
