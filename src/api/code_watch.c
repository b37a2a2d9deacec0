/* SPDX-License-Identifier: Apache-2.0 */
#include "api/code_watch.h"

#include "wire/request.h"

static void watch_on_timer(uv_timer_t *timer);
static void watch_on_frame(struct agent_call *call, const struct wire_frame *frame);
static void watch_on_failed(struct agent_call *call, const struct error *err);
static void watch_on_probe_closed(struct agent_call *call);

static const struct agent_call_handler watch_handler = {
    .frame = watch_on_frame,
    .failed = watch_on_failed,
    .closed = watch_on_probe_closed,
};

void code_watch_start(struct code_watch *w, struct sandbox *sb, uint64_t timeout_ms,
                      void (*silent)(struct code_watch *w), void (*closed)(struct code_watch *w))
{
    *w = (struct code_watch){.sandbox = sb, .silent = silent, .closed = closed};
    (void)uv_timer_init(sb->target.loop, &w->timer); /* never fails */
    (void)uv_timer_start(&w->timer, watch_on_timer, timeout_ms, 0);
}

static void watch_ask(struct code_watch *w)
{
    struct buf request = {0};
    uint64_t patience = w->sandbox->bridge_heard ? CODE_SILENT_MS : SANDBOX_WARMUP_MS;
    wire_request_context_get(&request, "-");
    w->probe_open = agent_call_start(&w->probe, &w->sandbox->target, &watch_handler, &request, 0) ==
                    0;
    w->asking = true;
    (void)uv_timer_start(&w->timer, watch_on_timer, patience, 0);
}

/* The time for a question or for its answer. */
static void watch_on_timer(uv_timer_t *timer)
{
    struct code_watch *w = container_of(timer, struct code_watch, timer);
    if (w->closing)
        return;
    if (w->asking) {
        w->sandbox->bridge_silent = true;
        w->silent(w);
    } else if (!w->probe_open) {
        watch_ask(w);
    }
}

/* Any answer will do: there is no such context. */
static void watch_on_frame(struct agent_call *call, const struct wire_frame *frame)
{
    struct code_watch *w = container_of(call, struct code_watch, probe);
    w->asking = false;
    sandbox_heard_bridge(w->sandbox);
    (void)uv_timer_start(&w->timer, watch_on_timer, CODE_WATCH_MS, 0);
    agent_call_close(call);
}

/* The timer decides: an agent that cannot be reached may be back in time. */
static void watch_on_failed(struct agent_call *call, const struct error *err)
{
    agent_call_close(call);
}

static void watch_maybe_closed(struct code_watch *w)
{
    if (w->closing && w->timer_closed && !w->probe_open)
        w->closed(w);
}

static void watch_on_probe_closed(struct agent_call *call)
{
    struct code_watch *w = container_of(call, struct code_watch, probe);
    w->probe_open = false;
    watch_maybe_closed(w);
}

static void watch_on_timer_closed(uv_handle_t *handle)
{
    struct code_watch *w = container_of((uv_timer_t *)handle, struct code_watch, timer);
    w->timer_closed = true;
    watch_maybe_closed(w);
}

void code_watch_close(struct code_watch *w)
{
    if (w->closing)
        return;
    w->closing = true;
    if (w->probe_open)
        agent_call_close(&w->probe);
    uv_close((uv_handle_t *)&w->timer, watch_on_timer_closed);
}
