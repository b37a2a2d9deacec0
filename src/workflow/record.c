/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - runs and outputs of steps as bytes in the store (tables RUNS and STEPS). */
#include <errno.h>
#include <string.h>

#include "store/record.h"
#include "workflow/engine.h"

#define RUN_RECORD    1
#define OUTPUT_RECORD 1
#define RUN_KEY_SIZE  (WF_ID_SIZE + WF_RUN_ID_SIZE)

static size_t run_key(const struct wf_run *run, char key[RUN_KEY_SIZE])
{
    size_t len = strlen(run->workflow->id) + 1;
    memcpy(key, run->workflow->id, len);
    memcpy(key + len, run->id, strlen(run->id));
    return len + strlen(run->id);
}

static size_t output_key(const struct wf_run *run, unsigned int step, char key[RUN_KEY_SIZE])
{
    size_t len = strlen(run->id) + 1;
    memcpy(key, run->id, len);
    for (size_t i = 0; i < 4; i++) /* big-endian: in the order of the steps */
        key[len + i] = (char)(step >> (24 - 8 * i));
    return len + 4;
}

int wf_run_put(struct wf_run *run)
{
    cleanup_buf struct buf b = {0};
    char key[RUN_KEY_SIZE];
    record_begin(&b, RUN_RECORD);
    (void)buf_u8(&b, (uint8_t)run->status);
    record_i64(&b, run->created_ms);
    record_i64(&b, run->started_ms);
    record_i64(&b, run->ended_ms);
    record_str(&b, run->error);
    (void)buf_u32(&b, run->n_slots);
    for (unsigned int i = 0; i < run->n_slots; i++) {
        record_str(&b, run->slots[i].template);
        record_str(&b, run->slots[i].sandbox);
        record_bool(&b, run->slots[i].used);
    }
    (void)buf_u32(&b, run->n_steps);
    for (unsigned int i = 0; i < run->n_steps; i++) {
        const struct wf_step *s = &run->steps[i];
        (void)buf_u8(&b, (uint8_t)s->status);
        (void)buf_u32(&b, s->attempts);
        record_i64(&b, s->started_ms);
        record_i64(&b, s->ended_ms);
        record_i64(&b, s->due_ms);
        (void)buf_u32(&b, (uint32_t)s->exit_code);
        record_i64(&b, s->duration_ms);
        record_bool(&b, s->has_output);
        record_str(&b, s->error);
    }
    if (b.failed)
        return -ENOMEM;
    return store_put(run->engine->store, STORE_RUNS, key, run_key(run, key), b.data, b.len);
}

int wf_run_del(struct wf_run *run)
{
    char key[RUN_KEY_SIZE];
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (run->steps[i].has_output)
            (void)store_del(run->engine->store, STORE_STEPS, key, output_key(run, i, key));
    }
    return store_del(run->engine->store, STORE_RUNS, key, run_key(run, key));
}

static bool decode_step(struct cursor *c, struct wf_step *s)
{
    uint8_t status = cursor_u8(c);
    s->attempts = cursor_u32(c);
    s->started_ms = record_get_i64(c);
    s->ended_ms = record_get_i64(c);
    s->due_ms = record_get_i64(c);
    s->exit_code = (int32_t)cursor_u32(c);
    s->duration_ms = record_get_i64(c);
    s->has_output = record_get_bool(c);
    s->error = record_get_str(c);
    s->status = (enum wf_step_status)status;
    return cursor_ok(c) && status < WF_STEP_STATUS_COUNT;
}

int wf_run_decode(struct wf_run *run, const void *val, size_t len)
{
    struct cursor c;
    if (record_open(&c, val, len, RUN_RECORD) < 0)
        return -EPROTO;
    uint8_t status = cursor_u8(&c);
    run->created_ms = record_get_i64(&c);
    run->started_ms = record_get_i64(&c);
    run->ended_ms = record_get_i64(&c);
    run->error = record_get_str(&c);
    run->n_slots = cursor_u32(&c);
    if (status >= WF_RUN_STATUS_COUNT || run->n_slots > WF_MAX_SLOTS)
        return -EPROTO;
    run->status = (enum wf_run_status)status;
    for (unsigned int i = 0; i < run->n_slots; i++) {
        record_get_text(&c, run->slots[i].template, sizeof(run->slots[i].template));
        record_get_text(&c, run->slots[i].sandbox, sizeof(run->slots[i].sandbox));
        run->slots[i].used = record_get_bool(&c);
    }
    if (cursor_u32(&c) != run->n_steps)
        return -EPROTO;
    for (unsigned int i = 0; i < run->n_steps; i++) {
        if (!decode_step(&c, &run->steps[i]))
            return -EPROTO;
    }
    return record_end(&c);
}

struct wf_run *wf_run_view(struct wf_run *run)
{
    cleanup_buf struct buf b = {0};
    char key[RUN_KEY_SIZE];
    if (!run->active && !run->unsaved)
        return run;
    if (store_get(run->engine->store, STORE_RUNS, key, run_key(run, key), &b) < 0)
        return NULL;
    struct wf_run *view = wf_run_new(run->engine, run->workflow, run->n_steps);
    if (view == NULL)
        return NULL;
    memcpy(view->id, run->id, sizeof(view->id));
    if (wf_run_decode(view, b.data, b.len) == 0)
        return view;
    wf_run_free(view);
    return NULL;
}

void wf_run_view_done(struct wf_run *run, struct wf_run *view)
{
    if (view != NULL && view != run)
        wf_run_free(view);
}

static void put_bytes(struct buf *b, const struct buf *bytes)
{
    (void)buf_u32(b, (uint32_t)bytes->len);
    record_bytes(b, bytes->data, bytes->len);
}

int wf_output_put(struct wf_run *run, unsigned int step)
{
    cleanup_buf struct buf b = {0};
    char key[RUN_KEY_SIZE];
    const struct wf_output *o = &run->steps[step].output;
    record_begin(&b, OUTPUT_RECORD);
    put_bytes(&b, &o->out);
    put_bytes(&b, &o->err);
    record_bool(&b, o->has_result);
    put_bytes(&b, &o->result);
    if (b.failed)
        return -ENOMEM;
    return store_put(run->engine->store, STORE_STEPS, key, output_key(run, step, key), b.data,
                     b.len);
}

static void get_bytes(struct cursor *c, struct buf *to)
{
    uint32_t len = cursor_u32(c);
    const uint8_t *data = cursor_bytes(c, len);
    if (data != NULL)
        (void)buf_append(to, data, len);
}

int wf_output_load(struct wf_run *run, unsigned int step)
{
    cleanup_buf struct buf b = {0};
    struct cursor c;
    char key[RUN_KEY_SIZE];
    struct wf_output *o = &run->steps[step].output;
    if (o->loaded || !run->steps[step].has_output)
        return 0;
    int rv = store_get(run->engine->store, STORE_STEPS, key, output_key(run, step, key), &b);
    if (rv < 0)
        return rv;
    if (record_open(&c, b.data, b.len, OUTPUT_RECORD) < 0)
        return -EPROTO;
    get_bytes(&c, &o->out);
    get_bytes(&c, &o->err);
    o->has_result = record_get_bool(&c);
    get_bytes(&c, &o->result);
    rv = record_end(&c);
    if (rv == 0)
        o->loaded = true;
    else
        wf_output_done(o);
    return rv;
}

void wf_output_done(struct wf_output *o)
{
    buf_done(&o->out);
    buf_done(&o->err);
    buf_done(&o->result);
    *o = (struct wf_output){0};
}
