/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - see run.h for what a killed server finds.
 *
 * wf_run_tick is the only place where a run advances, and everything that happens calls it: the end
 * of a step, a timer, a flush. It decides, then either acts or saves, never both: what is dirty is
 * saved first, and the flush calls it again. While a flush is under way it does nothing, so events
 * that come meanwhile are decided together.
 */
#include "workflow/run.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/step.h"
#include "workflow/engine.h"
#include "workflow/exec.h"

#define RUN_SAVE_RETRY_MS 1000

static void run_on_saved(struct store_wait *w, int status);
static void run_on_timer(uv_timer_t *timer);
static void run_on_timer_closed(uv_handle_t *handle);

struct wf_run *wf_run_new(struct wf_engine *e, struct workflow *wf, unsigned int n_steps)
{
    struct wf_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return NULL;
    run->steps = calloc(n_steps, sizeof(*run->steps));
    if (run->steps == NULL) {
        free(run);
        return NULL;
    }
    list_init(&run->node);
    run->engine = e;
    run->workflow = wf;
    run->n_steps = n_steps;
    for (unsigned int i = 0; i < n_steps; i++)
        run->steps[i].run = run;
    run->created_ms = time_now_ms();
    return run;
}

void wf_run_free(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++) {
        free(run->steps[i].error);
        wf_output_done(&run->steps[i].output);
    }
    wf_def_done(&run->def);
    free(run->error);
    free(run->steps);
    free(run);
}

static void run_move(struct wf_run *run, enum wf_run_status to)
{
    assert(wf_run_may_move(run->status, to));
    step_reach("workflow", wf_run_status_str(to));
    run->status = to;
    run->dirty = true;
    if (to == WF_RUN_RUNNING)
        run->started_ms = time_now_ms();
    if (!wf_run_is_over(to))
        return;
    run->ended_ms = time_now_ms();
    log_info("workflow run ended", "workflow=%s run=%s status=%s", run->workflow->id, run->id,
             wf_run_status_str(to));
}

void wf_run_fail(struct wf_run *run, const char *reason)
{
    run->error = strdup(reason);
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (!wf_step_is_over(run->steps[i].status))
            wf_step_move(run, i, WF_STEP_CANCELLED);
    }
    run_move(run, WF_RUN_FAILED);
    run->unsaved = true;
    (void)wf_run_put(run);
}

void wf_run_interrupted(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++)
        run->steps[i].attach = run->steps[i].status == WF_STEP_RUNNING;
}

void wf_run_activate(struct wf_run *run, struct wf_def *def)
{
    run->def = *def;
    *def = (struct wf_def){0};
    (void)uv_timer_init(run->engine->loop, &run->timer);
    run->active = true;
    run->workflow->n_active++;
    run->engine->n_active++;
    wf_run_tick(run);
}

/* A dependency is met by success, or by a failure that the definition tolerates. */
static bool step_is_met(const struct wf_run *run, unsigned int i)
{
    enum wf_step_status s = run->steps[i].status;
    return s == WF_STEP_COMPLETED || (s == WF_STEP_FAILED && run->def.steps[i].continue_on_error);
}

static bool step_is_due(const struct wf_run *run, unsigned int i)
{
    const struct wf_step *s = &run->steps[i];
    if (s->status == WF_STEP_RETRYING)
        return s->due_ms <= time_now_ms();
    if (s->status != WF_STEP_PENDING)
        return false;
    for (unsigned int k = 0; k < run->n_steps; k++) {
        if (wf_bit(run->def.steps[i].needs, k) && !step_is_met(run, k))
            return false;
    }
    return true;
}

static void run_conclude(struct wf_run *run, const char *failed)
{
    char text[400];
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (!wf_step_is_over(run->steps[i].status))
            return;
    }
    if (failed == NULL) {
        run_move(run, WF_RUN_COMPLETED);
        return;
    }
    (void)snprintf(text, sizeof(text), "Step '%s' failed", failed);
    run->error = strdup(text);
    run_move(run, WF_RUN_FAILED);
}

/* Makes every move that is due. */
static void run_decide(struct wf_run *run)
{
    const char *failed = NULL;
    unsigned int running = 0;
    if (wf_run_is_over(run->status))
        return;
    if (run->status == WF_RUN_PENDING)
        run_move(run, WF_RUN_RUNNING);
    for (unsigned int i = 0; i < run->n_steps; i++) {
        running += run->steps[i].status == WF_STEP_RUNNING;
        if (run->steps[i].status == WF_STEP_FAILED && !run->def.steps[i].continue_on_error)
            failed = run->def.steps[i].name;
    }
    for (unsigned int i = 0; i < run->n_steps; i++) {
        enum wf_step_status s = run->steps[i].status;
        if (failed != NULL && s == WF_STEP_PENDING) {
            wf_step_move(run, i, WF_STEP_SKIPPED);
        } else if (failed != NULL && s == WF_STEP_RETRYING) {
            wf_step_move(run, i, WF_STEP_CANCELLED);
        } else if (failed == NULL && running < run->def.max_parallel && step_is_due(run, i)) {
            wf_step_move(run, i, WF_STEP_RUNNING);
            running++;
        }
    }
    run_conclude(run, failed);
}

static void run_save(struct wf_run *run)
{
    run->dirty = false;
    if (wf_run_put(run) < 0) {
        run->dirty = true;
        (void)uv_timer_start(&run->timer, run_on_timer, RUN_SAVE_RETRY_MS, 0);
        return;
    }
    run->saving = true;
    store_flush(run->engine->store, &run->wait, run_on_saved);
}

static void run_on_saved(struct store_wait *w, int status)
{
    struct wf_run *run = container_of(w, struct wf_run, wait);
    run->saving = false;
    if (status < 0) { /* what is not written must not be acted on */
        run->dirty = true;
        (void)uv_timer_start(&run->timer, run_on_timer, RUN_SAVE_RETRY_MS, 0);
        return;
    }
    wf_run_tick(run);
}

static void run_on_timer(uv_timer_t *timer)
{
    wf_run_tick(container_of(timer, struct wf_run, timer));
}

void wf_run_release(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_slots; i++) {
        struct sandbox *sb = NULL;
        if (run->slots[i].sandbox[0] != '\0')
            sb = sandbox_table_find(run->engine->sandboxes, run->slots[i].sandbox);
        if (sb != NULL && sb->phase < SANDBOX_STOPPING)
            sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    }
}

static void run_cancel_execs(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (run->steps[i].exec != NULL)
            wf_exec_cancel(TAKE_PTR(run->steps[i].exec));
    }
}

/* The end of the run is on disk: releases everything but the states. */
static void run_over(struct wf_run *run)
{
    run_cancel_execs(run);
    wf_run_release(run);
    if (!uv_is_closing((uv_handle_t *)&run->timer))
        uv_close((uv_handle_t *)&run->timer, run_on_timer_closed);
}

static void run_on_timer_closed(uv_handle_t *handle)
{
    struct wf_run *run = container_of((uv_timer_t *)handle, struct wf_run, timer);
    run->active = false;
    for (unsigned int i = 0; i < run->n_steps; i++)
        wf_output_done(&run->steps[i].output);
    wf_def_done(&run->def);
    wf_run_over(run);
}

static void run_arm(struct wf_run *run)
{
    int64_t due = INT64_MAX, now = time_now_ms();
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (run->steps[i].status == WF_STEP_RETRYING)
            due = MIN(due, run->steps[i].due_ms);
    }
    if (due != INT64_MAX)
        (void)uv_timer_start(&run->timer, run_on_timer, due > now ? (uint64_t)(due - now) : 1, 0);
}

/* Everything that was decided is on disk: starts the steps that were moved to RUNNING. */
static void run_act(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++)
        wf_step_forget(run, i);
    if (wf_run_is_over(run->status)) {
        run_over(run);
        return;
    }
    for (unsigned int i = 0; i < run->n_steps && !run->dirty; i++) {
        if (run->steps[i].status == WF_STEP_RUNNING && run->steps[i].exec == NULL)
            wf_step_start(run, i);
    }
    run_arm(run);
}

void wf_run_tick(struct wf_run *run)
{
    if (!run->active || run->saving || run->engine->stopping ||
        uv_is_closing((uv_handle_t *)&run->timer))
        return;
    run_decide(run);
    if (!run->dirty)
        run_act(run);
    if (run->dirty)
        run_save(run);
}

void wf_run_cancel(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (!wf_step_is_over(run->steps[i].status))
            wf_step_move(run, i, WF_STEP_CANCELLED);
    }
    run_move(run, WF_RUN_CANCELLED);
    if (run->saving) /* whoever asked waits for the next flush, which must hold this move */
        (void)wf_run_put(run);
    wf_run_tick(run);
}

void wf_run_stop(struct wf_run *run)
{
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (run->steps[i].exec != NULL)
            wf_exec_leave(TAKE_PTR(run->steps[i].exec));
    }
    store_unwait(&run->wait);
    (void)uv_timer_stop(&run->timer);
}
