/* SPDX-License-Identifier: Apache-2.0 */
/* exec_frame.c - what the agent says of a run, as text. */
#include <string.h>

#include "base/json.h"
#include "workflow/exec_internal.h"

static void exec_keep(struct wf_exec *x, struct buf *to, const void *data, size_t len)
{
    size_t take = MIN(len, x->limit - MIN(x->limit, to->len));
    (void)buf_append(to, data, take);
}

static void exec_timed_out(struct wf_exec *x)
{
    error_set(&x->r.err, ERROR_TIMEOUT, "The run took longer than its time-out");
    x->r.failed = true;
}

static bool code_done(struct wf_exec *x, struct cursor *c)
{
    uint32_t status = cursor_u32(c);
    (void)cursor_u32(c);
    if (!cursor_end(c) || status > WIRE_CODE_KERNEL_DIED)
        return false;
    if (status == WIRE_CODE_TIMED_OUT || status == WIRE_CODE_RESTARTED)
        exec_timed_out(x);
    if (status == WIRE_CODE_KERNEL_DIED) {
        buf_reset(&x->r.name);
        (void)buf_append_str(&x->r.name, "KernelDied");
        (void)buf_append_str(&x->r.value, "The kernel died during this run");
    }
    x->r.exit_code = status == WIRE_CODE_OK ? 0 : 1;
    x->r.duration_ms = (int64_t)((uv_hrtime() - x->run_ns) / 1000000);
    return true;
}

static bool command_done(struct wf_exec *x, struct cursor *c)
{
    int32_t code = (int32_t)cursor_u32(c);
    (void)cursor_u32(c);
    bool timed_out = cursor_u32(c) != 0;
    int64_t us = (int64_t)cursor_u64(c);
    if (!cursor_end(c))
        return false;
    if (timed_out)
        exec_timed_out(x);
    x->r.exit_code = code;
    x->r.duration_ms = us / 1000;
    return true;
}

/* The value's text. Its bytes come from the sandbox: what is not a JSON object has none. */
static void code_value(struct wf_exec *x, struct span bundle)
{
    const char *text = NULL;
    cleanup_json json *j = json_parse_object(bundle.data, bundle.len, NULL);
    if (j == NULL || json_get_str(j, "text/plain", NULL, &text, NULL) < 0 || text == NULL)
        return;
    buf_reset(&x->r.result);
    exec_keep(x, &x->r.result, text, strlen(text));
    x->r.has_result = true;
}

static void code_error(struct wf_exec *x, struct cursor *c)
{
    struct buf *to[] = {&x->r.name, &x->r.value, &x->r.traceback};
    for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
        struct span text = wire_get_span(c);
        buf_reset(to[i]);
        exec_keep(x, to[i], text.data, text.len);
    }
}

int wf_exec_frame(struct wf_exec *x, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    switch (frame->type) {
    case WIRE_STARTED:
        return x->code ? -1 : 0;
    case WIRE_STDOUT:
    case WIRE_STDERR:
        exec_keep(x, frame->type == WIRE_STDOUT ? &x->r.out : &x->r.err_out, frame->payload,
                  frame->len);
        return x->code ? -1 : 0;
    case WIRE_EXIT:
        return !x->code && command_done(x, &c) ? 1 : -1;
    case WIRE_CODE_STREAM: {
        bool is_out = cursor_u8(&c) == 1;
        (void)cursor_u64(&c);
        struct span text = wire_get_span(&c);
        exec_keep(x, is_out ? &x->r.out : &x->r.err_out, text.data, text.len);
        break;
    }
    case WIRE_CODE_RESULT:
        (void)cursor_u32(&c);
        code_value(x, wire_get_span(&c));
        break;
    case WIRE_CODE_DISPLAY:
        (void)wire_get_span(&c);
        break;
    case WIRE_CODE_ERROR:
        code_error(x, &c);
        break;
    case WIRE_CODE_DONE:
        return x->code && code_done(x, &c) ? 1 : -1;
    default:
        return -1;
    }
    return x->code && cursor_end(&c) ? 0 : -1;
}
