/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c - one attempt at a step: its variables, its sandbox, its end.
 *
 * The happy path is: wf_step_start finds or creates the sandbox, starts the attempt under a key
 * that is unique to it, step_done takes the output and moves the step. Possible failure modes are:
 * the sandbox has ended or cannot be had (final when a retry cannot change that), the attempt
 * failed by its own exit code, it could not be run or ran too long, the server was killed meanwhile
 * (`attach`).
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "sandbox/capture.h"
#include "workflow/engine.h"
#include "workflow/exec.h"

#define STEP_KEY_SIZE (WIRE_MAX_KEY + 1)
#define REASON_SIZE   2300

static void step_done(void *ctx, struct wf_exec_result *r);

void wf_step_move(struct wf_run *run, unsigned int step, enum wf_step_status to)
{
    struct wf_step *s = &run->steps[step];
    assert(wf_step_may_move(s->status, to));
    if (to == WF_STEP_RUNNING) {
        s->attempts++;
        s->started_ms = time_now_ms();
        s->ended_ms = 0;
    } else if (s->started_ms != 0) {
        s->ended_ms = time_now_ms();
    }
    log_debug("step", "run=%s step=%u from=%s to=%s attempt=%u", run->id, step,
              wf_step_status_str(s->status), wf_step_status_str(to), s->attempts);
    s->status = to;
    s->attach = false;
    run->dirty = true;
}

/* Twice as long after each attempt. */
static int64_t retry_delay_ms(const struct wf_step_def *def, unsigned int attempts)
{
    uint64_t s = (uint64_t)def->retry_delay_s << MIN(attempts - 1, 16u);
    return (int64_t)MIN(s, (uint64_t)WF_MAX_DELAY_S) * 1000;
}

void wf_step_failed(struct wf_run *run, unsigned int step, const struct wf_step_def *def,
                    const char *reason, bool final)
{
    struct wf_step *s = &run->steps[step];
    free(s->error);
    s->error = strdup(reason);
    if (final || s->attempts > def->retries) {
        wf_step_move(run, step, WF_STEP_FAILED);
    } else {
        s->due_ms = time_now_ms() + retry_delay_ms(def, s->attempts);
        wf_step_move(run, step, WF_STEP_RETRYING);
    }
}

/* Leaves one line break at the end of an output out, as a shell does. Variables cannot hold a NUL,
 * so the text ends at the first one. */
static void append_output(struct buf *out, const struct buf *text)
{
    size_t len = text->len > 0 ? strnlen((const char *)text->data, text->len) : 0;
    if (len == text->len && len > 0 && text->data[len - 1] == '\n')
        len--;
    (void)buf_append(out, text->data, len);
}

static void step_lookup(void *ctx, unsigned int step, const char *field, struct buf *out)
{
    const struct wf_run *run = ctx;
    const struct wf_step *s = &run->steps[step];
    if (out->len > SANDBOX_MAX_ENV) /* it is too much already; a value may name an output often */
        return;
    if (strcmp(field, "exit_code") == 0)
        (void)buf_printf(out, "%" PRId32, s->exit_code);
    else
        append_output(out, strcmp(field, "stdout") == 0 ? &s->output.out : &s->output.result);
}

char **wf_step_env(struct wf_run *run, unsigned int step, struct error *err)
{
    const struct wf_step_def *def = &run->def.steps[step];
    cleanup_buf struct buf text = {0};
    for (unsigned int i = 0; i < def->n_vars; i++) {
        (void)buf_printf(&text, "%s=", def->vars[i].name);
        wf_expand(&text, def->vars[i].value, step_lookup, &run->def, run);
        (void)buf_u8(&text, 0);
    }
    if (text.len > SANDBOX_MAX_ENV) {
        (void)error_set(err, ERROR_INVALID_ARGUMENT,
                        "The variables exceed %u bytes with the outputs that they refer to",
                        SANDBOX_MAX_ENV);
        return NULL;
    }
    char **env = malloc((def->n_vars + 1) * sizeof(*env) + text.len + 1);
    if (text.failed || env == NULL) {
        free(env);
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    char *p = (char *)(env + def->n_vars + 1);
    memcpy(p, text.len > 0 ? (const char *)text.data : "", text.len);
    for (unsigned int i = 0; i < def->n_vars; i++) {
        env[i] = p;
        p += strlen(p) + 1;
    }
    env[def->n_vars] = NULL;
    return env;
}

static const char *step_template(const struct wf_run *run, const struct wf_step_def *def)
{
    if (def->template != NULL)
        return def->template;
    return run->def.template != NULL ? run->def.template : run->engine->template_default;
}

static struct wf_slot *step_slot(struct wf_run *run, const struct wf_step_def *def)
{
    const char *name = step_template(run, def);
    for (unsigned int i = 0; i < run->n_slots; i++) {
        if (strcmp(run->slots[i].template, name) == 0)
            return &run->slots[i];
    }
    if (run->n_slots == WF_MAX_SLOTS)
        return NULL;
    struct wf_slot *slot = &run->slots[run->n_slots++];
    *slot = (struct wf_slot){0};
    (void)snprintf(slot->template, sizeof(slot->template), "%s", name);
    return slot;
}

static struct sandbox *slot_create(struct wf_run *run, struct wf_slot *slot, struct error *err)
{
    struct wf_engine *e = run->engine;
    cleanup_buf struct buf metadata = {0};
    struct jsonw w = {.out = &metadata};
    jsonw_object(&w);
    jsonw_key_str(&w, "workflow_id", run->workflow->id);
    jsonw_key_str(&w, "run_id", run->id);
    jsonw_object_end(&w);
    struct sandbox_params params = {
        .account = run->workflow->account,
        .provider = "local",
        .region = "local",
        .metadata = buf_cstr(&metadata),
        .name = run->workflow->name,
        .timeout_s = run->def.timeout_s != 0 ? run->def.timeout_s : e->timeout_max_s,
    };
    if (params.metadata == NULL) {
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    const struct template *tpl = sandbox_capture_named(e->sandboxes, slot->template, &params, err);
    struct sandbox *sb = tpl != NULL ? sandbox_table_create(e->sandboxes, tpl, &params, NULL, err)
                                     : NULL;
    if (sb != NULL) {
        memcpy(slot->sandbox, sb->id, sizeof(slot->sandbox));
        run->dirty = true;
    }
    return sb;
}

static struct sandbox *slot_sandbox(const struct wf_run *run, const struct wf_slot *slot)
{
    return slot->sandbox[0] != '\0' ? sandbox_table_find(run->engine->sandboxes, slot->sandbox)
                                    : NULL;
}

/* Whether a step may have begun in this sandbox, which has ended. One that was still being created
 * when the server ended has never run anything. */
static bool slot_has_run(const struct wf_slot *slot, const struct sandbox *sb)
{
    return slot->sandbox[0] != '\0' && (sb == NULL || sb->started_ms != 0);
}

static struct sandbox *step_slot_sandbox(struct wf_run *run, unsigned int step, struct error *err,
                                         bool *ret_final)
{
    struct wf_step *s = &run->steps[step];
    struct wf_slot *slot = step_slot(run, &run->def.steps[step]);
    if (slot == NULL) {
        (void)error_set(err, ERROR_QUOTA_EXCEEDED, "The run uses more than %d templates",
                        WF_MAX_SLOTS);
        return NULL;
    }
    struct sandbox *sb = slot_sandbox(run, slot);
    if (sb != NULL && sb->phase < SANDBOX_STOPPING)
        return sb;
    const char *status = sb != NULL ? sandbox_status_str(sb->status) : "unknown";
    if (slot->used) {
        (void)error_set(err, ERROR_INVALID_STATE, "The sandbox of the run has ended (%s)", status);
        return NULL;
    }
    *ret_final = false;
    if (s->attach && slot_has_run(slot, sb)) {
        (void)error_set(err, ERROR_INVALID_STATE, "The sandbox of the step has ended (%s)", status);
        return NULL;
    }
    s->attach = false;
    return slot_create(run, slot, err);
}

/* Where the step runs. NULL with `err`; `*ret_final` when trying again cannot help. */
static struct sandbox *step_sandbox(struct wf_run *run, unsigned int step, struct error *err,
                                    bool *ret_final)
{
    const struct wf_step_def *def = &run->def.steps[step];
    *ret_final = true;
    if (def->sandbox[0] == '\0')
        return step_slot_sandbox(run, step, err, ret_final);
    struct sandbox *sb = sandbox_table_find(run->engine->sandboxes, def->sandbox);
    if (sb != NULL && strcmp(sb->owner.account, run->workflow->account) == 0)
        return sb;
    (void)error_set(err, ERROR_ENVIRONMENT_NOT_FOUND, "The step's environment is not there");
    return NULL;
}

/* The key under which the agent keeps the attempt; no two attempts share one. */
static void step_key(const struct wf_run *run, unsigned int step, unsigned int attempt,
                     char key[STEP_KEY_SIZE])
{
    (void)snprintf(key, STEP_KEY_SIZE, "%s.%u.%u", run->id, step, attempt);
}

/* The attempt failed for a reason that lies outside the step. */
static void step_not_run(struct wf_run *run, unsigned int step, const struct error *why, bool final)
{
    char reason[REASON_SIZE];
    bool restarted = run->steps[step].attach && why->code != ERROR_TIMEOUT;
    (void)snprintf(reason, sizeof(reason), "%s%s",
                   restarted ? "The server was restarted while the step ran: " : "", why->message);
    wf_step_failed(run, step, &run->def.steps[step], reason, final);
}

void wf_step_start(struct wf_run *run, unsigned int step)
{
    struct wf_step *s = &run->steps[step];
    const struct wf_step_def *def = &run->def.steps[step];
    char key[STEP_KEY_SIZE];
    struct error err;
    bool final = false;
    struct sandbox *sb = step_sandbox(run, step, &err, &final);
    if (sb == NULL) {
        step_not_run(run, step, &err, final);
        return;
    }
    if (run->dirty) /* a new sandbox: its id must be on disk before it is used */
        return;
    step_key(run, step, s->attempts, key);
    cleanup_free char **env = wf_step_env(run, step, &err);
    const struct wf_exec_params params = {
        .code = def->code,
        .language = def->language,
        .command = def->command,
        .args = def->args,
        .cwd = def->cwd,
        .env = env,
        .timeout_ms = def->timeout_s * 1000,
        .wait_ms = WF_READY_MS,
        .limit = WF_MAX_OUTPUT,
        .own_context = true,
        .key = key,
        .attach = s->attach,
    };
    if (env != NULL)
        s->exec = wf_exec_start(sb, &params, step_done, s, &err);
    final = env == NULL && err.code == ERROR_INVALID_ARGUMENT;
    if (s->exec == NULL)
        step_not_run(run, step, &err, final);
}

void wf_step_forget(struct wf_run *run, unsigned int step)
{
    struct wf_step *s = &run->steps[step];
    const struct wf_step_def *def = &run->def.steps[step];
    char key[STEP_KEY_SIZE];
    if (s->forget == 0)
        return;
    step_key(run, step, s->forget, key);
    s->forget = 0;
    struct wf_slot *slot = def->sandbox[0] == '\0' ? step_slot(run, def) : NULL;
    struct sandbox *sb = slot != NULL ? slot_sandbox(run, slot)
                                      : sandbox_table_find(run->engine->sandboxes, def->sandbox);
    if (sb != NULL)
        wf_exec_forget(sb, key);
}

/* Why the attempt that was run failed; empty: it did not. */
static void step_verdict(const struct wf_exec_result *r, char *reason, size_t size)
{
    reason[0] = '\0';
    if (r->name.len > 0)
        (void)snprintf(reason, size, "%.*s: %.*s", (int)MIN(r->name.len, 200u),
                       (const char *)r->name.data, (int)MIN(r->value.len, 2000u),
                       r->value.len > 0 ? (const char *)r->value.data : "");
    else if (r->exit_code != 0)
        (void)snprintf(reason, size, "Ended with exit code %" PRId32, r->exit_code);
}

static void step_done(void *ctx, struct wf_exec_result *r)
{
    struct wf_step *s = ctx;
    struct wf_run *run = s->run;
    unsigned int i = (unsigned int)(s - run->steps);
    char reason[REASON_SIZE];
    s->exec = NULL;
    if (wf_step_is_over(s->status)) /* it was cancelled */
        return;
    s->forget = s->attempts;
    step_verdict(r, reason, sizeof(reason));
    wf_output_done(&s->output);
    s->output = (struct wf_output){
        .out = r->out,
        .err = r->err_out,
        .result = r->result,
        .has_result = r->has_result,
        .loaded = true,
    };
    r->out = r->err_out = r->result = (struct buf){0}; /* taken over */
    s->exit_code = r->exit_code;
    s->duration_ms = r->duration_ms;
    s->has_output = wf_output_put(run, i) == 0;
    if (r->failed) {
        step_not_run(run, i, &r->err, false);
    } else if (reason[0] != '\0') {
        wf_step_failed(run, i, &run->def.steps[i], reason, false);
    } else {
        free(TAKE_PTR(s->error));
        if (run->def.steps[i].sandbox[0] == '\0') {
            struct wf_slot *slot = step_slot(run, &run->def.steps[i]);
            if (slot != NULL)
                slot->used = true;
        }
        wf_step_move(run, i, WF_STEP_COMPLETED);
    }
    wf_run_tick(run);
}
