/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of workflows: what is accepted has sound steps and no cycle, what is not has faults.
 */
#include <stddef.h>
#include <string.h>

#include "workflow/def.h"

static void lookup(void *ctx, unsigned int step, const char *field, struct buf *out)
{
    const struct wf_def *d = ctx;
    if (step >= d->n_steps || field == NULL)
        abort();
    (void)buf_append_str(out, field);
}

static void check(struct wf_def *d)
{
    for (unsigned int i = 0; i < d->n_steps; i++) {
        const struct wf_step_def *s = &d->steps[i];
        if (s->name == NULL || (s->type == WF_CODE ? s->code == NULL : s->command == NULL) ||
            s->timeout_s == 0 || wf_bit(s->behind, i))
            abort();
        for (unsigned int k = 0; k < s->n_vars; k++) {
            cleanup_buf struct buf out = {0};
            wf_expand(&out, s->vars[k].value, lookup, d, d);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wf_def d;
    struct wf_faults faults = {0};
    json *root = json_parse(data, size, NULL);
    if (root == NULL)
        return 0;
    if (wf_def_parse(&d, root, &faults) == 0)
        check(&d);
    else if (faults.count == 0)
        abort();
    wf_faults_done(&faults);
    wf_def_done(&d);
    return 0;
}
