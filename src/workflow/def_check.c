/* SPDX-License-Identifier: Apache-2.0 */
/* def_check.c - what holds between the steps of a definition: order and references. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonw.h"
#include "workflow/def_internal.h"
#include "workflow/ref.h"

void wf_fault(struct wf_check *c, const char *field, const char *fmt, ...)
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

int wf_step_index(const struct wf_def *d, const char *name, size_t len)
{
    for (unsigned int i = 0; i < d->n_steps; i++) {
        const char *n = d->steps[i].name;
        if (n != NULL && strlen(n) == len && memcmp(n, name, len) == 0)
            return (int)i;
    }
    return -1;
}

static bool needs_ready(const struct wf_step_def *s, const uint64_t *ordered)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->needs); i++) {
        if ((s->needs[i] & ~ordered[i]) != 0)
            return false;
    }
    return true;
}

void wf_check_cycles(struct wf_check *c)
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
        wf_fault(c, "depends_on", "is part of a cycle or depends on one");
    }
}

void wf_check_references(struct wf_check *c, const struct wf_step_def *s)
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
            int step = ref.field != NULL ? wf_step_index(c->def, ref.name, ref.name_len) : -1;
            if (ref.field == NULL)
                wf_fault(c, s->vars[i].name,
                         "has a reference that is not ${steps.NAME.stdout|result|exit_code}");
            else if (step < 0 || !wf_bit(s->behind, (unsigned int)step))
                wf_fault(c, s->vars[i].name, "refers to '%.*s', which this step does not depend on",
                         (int)MIN(ref.name_len, 64u), ref.name);
        }
    }
    c->path[len] = '\0';
}

void wf_expand(struct buf *out, const char *text,
               void (*lookup)(void *ctx, unsigned int step, const char *field, struct buf *out),
               const struct wf_def *d, void *ctx)
{
    struct wf_ref ref;
    while (wf_ref_next(text, &ref)) {
        (void)buf_append(out, text, (size_t)(ref.start - text));
        int step = ref.field != NULL ? wf_step_index(d, ref.name, ref.name_len) : -1;
        if (ref.literal)
            (void)buf_append_str(out, "${");
        else if (step >= 0)
            lookup(ctx, (unsigned int)step, ref.field, out);
        text = ref.end;
    }
    (void)buf_append_str(out, text);
}
