/* SPDX-License-Identifier: Apache-2.0 */
/* exec_encode.c - the requests of a run. */
#include <string.h>

#include "workflow/exec_internal.h"

#define EXEC_CONTEXT_S 86400 /* lifetime of a kernel that nobody deletes */
#define EXEC_KEEP      16    /* times the text that is kept: a result is one form of many */

void wf_exec_put(struct buf *b, enum wire_type type, const char *text)
{
    size_t start = wire_begin(b, type);
    wire_put_str(b, text);
    wire_end(b, start);
}

void wf_exec_put_context(struct buf *b, const struct wf_exec *x)
{
    size_t start = wire_begin(b, WIRE_CONTEXT_CREATE);
    wire_put_str(b, x->context);
    wire_put_str(b, x->language);
    wire_put_str(b, "");
    (void)buf_u32(b, EXEC_CONTEXT_S);
    wire_end(b, start);
}

static void encode_keep(struct wf_exec *x, const struct wf_exec_params *p)
{
    size_t start = wire_begin(&x->request, WIRE_KEEP);
    wire_put_str(&x->request, x->key);
    (void)buf_u32(&x->request, (uint32_t)MIN(p->limit * EXEC_KEEP, (size_t)WIRE_MAX_KEEP));
    wire_end(&x->request, start);
}

static void encode_code(struct wf_exec *x, const struct wf_exec_params *p)
{
    size_t start = wire_begin(&x->request, WIRE_CODE_RUN);
    wire_put_str(&x->request, x->context);
    wire_put_str(&x->request, p->language);
    wire_put_str(&x->request, p->code);
    x->timeout_at = x->request.len;
    (void)buf_u32(&x->request, p->timeout_ms);
    wire_put_list(&x->request, (const char *const *)p->env);
    wire_end(&x->request, start);
}

static void encode_command(struct wf_exec *x, const struct wf_exec_params *p)
{
    uint32_t n = 0;
    while (p->args != NULL && p->args[n] != NULL)
        n++;
    size_t start = wire_begin(&x->request, WIRE_EXEC);
    (void)buf_u32(&x->request, n == 0 ? WIRE_EXEC_SHELL : 0);
    x->timeout_at = x->request.len;
    (void)buf_u32(&x->request, p->timeout_ms);
    wire_put_str(&x->request, p->cwd != NULL ? p->cwd : "");
    wire_put_str(&x->request, "");
    (void)buf_u32(&x->request, n + 1);
    wire_put_str(&x->request, p->command);
    for (uint32_t i = 0; i < n; i++)
        wire_put_str(&x->request, p->args[i]);
    wire_put_list(&x->request, (const char *const *)p->env);
    wire_end(&x->request, start);
}

int wf_exec_encode(struct wf_exec *x, const struct wf_exec_params *p, struct error *err)
{
    size_t max = x->code ? WIRE_MAX_PAYLOAD : WIRE_MAX_REQUEST;
    x->language = strdup(p->language != NULL ? p->language : "");
    if (x->key[0] != '\0')
        encode_keep(x, p);
    if (x->code)
        encode_code(x, p);
    else
        encode_command(x, p);
    if (x->request.failed || x->language == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    if (x->request.len > max)
        return error_set(err, ERROR_BODY_TOO_LARGE, "The code or command exceeds %zu bytes", max);
    return 0;
}
