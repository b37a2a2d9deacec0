/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - see pool.h.
 *
 * The pool owns a sandbox from sandbox_new to pool_take, or to its end. One that fails or is
 * stopped stays in the list until it has ended: pool_is_empty must not be true before its instance
 * is gone.
 */
#include "sandbox/pool.h"

#include <string.h>

#include "base/log.h"
#include "core/metrics.h"

#define POOL_TEMPLATES 8 /* templates kept warm; later ones start cold */

struct pool {
    const struct sandbox_host *host;
    struct template_set *templates;
    unsigned int size;
    void (*empty)(void *ctx);
    void *ctx;
    const char *warm[POOL_TEMPLATES]; /* template ids */
    unsigned int n_warm;
    struct list sandboxes; /* unclaimed, also those that end */
    uv_timer_t refill;
    uint64_t retry_ms; /* before the next start; 0: the last one succeeded */
    bool stopping;
};

static void pool_on_refill(uv_timer_t *timer);
static void pool_phase(struct sandbox *sb, enum sandbox_phase old);
static void pool_changed(struct sandbox *sb);
static void pool_warmed(struct sandbox *sb);
static void pool_ended(struct sandbox *sb);
static void pool_commit(struct sandbox *sb, void (*then)(struct store_wait *w, int status));
static int pool_may_pause(struct sandbox *sb, struct error *err);

static const struct sandbox_events pool_events = {
    .phase = pool_phase,
    .changed = pool_changed,
    .warmed = pool_warmed,
    .ended = pool_ended,
    .commit = pool_commit,
    .may_pause = pool_may_pause,
};

struct pool *pool_new(uv_loop_t *loop, const struct sandbox_host *host,
                      struct template_set *templates, unsigned int size, void (*empty)(void *ctx),
                      void *ctx)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->host = host;
    p->templates = templates;
    p->size = size;
    p->empty = empty;
    p->ctx = ctx;
    list_init(&p->sandboxes);
    uv_timer_init(loop, &p->refill);
    return p;
}

static void pool_want(struct pool *p, const struct template *tpl)
{
    for (unsigned int i = 0; i < p->n_warm; i++) {
        if (strcmp(p->warm[i], tpl->id) == 0)
            return;
    }
    if (p->n_warm < POOL_TEMPLATES)
        p->warm[p->n_warm++] = tpl->id;
}

/* Looks what is missing, after `retry_ms` when the last start failed. A look that is due stays due:
 * asking often does not hasten the next try. */
void pool_refill(struct pool *p)
{
    if (!p->stopping && p->n_warm > 0 && !uv_is_active((uv_handle_t *)&p->refill))
        uv_timer_start(&p->refill, pool_on_refill, p->retry_ms, 0);
}

void pool_start(struct pool *p, const struct template *warm)
{
    if (warm == NULL || p->size == 0)
        return;
    pool_want(p, warm);
    pool_refill(p);
}

static unsigned int pool_count(const struct pool *p, const char *template_id)
{
    unsigned int n = 0;
    list_for_each (it, &p->sandboxes) {
        struct sandbox *sb = list_entry(it, struct sandbox, in_pool);
        n += sb->phase < SANDBOX_STOPPING && strcmp(sb->template_id, template_id) == 0;
    }
    return n;
}

static void pool_start_one(struct pool *p, const struct template *tpl)
{
    uint64_t free_bytes = 0;
    bool full = space_is_low(p->host->space, &free_bytes);
    struct sandbox *sb = full ? NULL : sandbox_new(tpl, &pool_events, p);
    int rv = sb != NULL ? sandbox_start(sb, p->host, tpl) : -1;
    if (rv < 0) {
        if (sb != NULL)
            sandbox_free(sb);
        p->retry_ms = MIN(MAX(p->retry_ms * 2, (uint64_t)POOL_RETRY_MS), POOL_RETRY_MAX_MS);
        return;
    }
    list_add_head(&p->sandboxes, &sb->in_pool);
}

/* Starts at most one sandbox a call: the next follows when this one is ready, so that filling the
 * pool does not compete with the sandboxes that clients wait for. */
static void pool_on_refill(uv_timer_t *timer)
{
    struct pool *p = container_of(timer, struct pool, refill);
    if (p->stopping)
        return;
    list_for_each (it, &p->sandboxes) {
        if (list_entry(it, struct sandbox, in_pool)->phase < SANDBOX_READY)
            return;
    }
    for (unsigned int i = 0; i < p->n_warm; i++) {
        const struct template *tpl = template_find(p->templates, p->warm[i]);
        if (tpl == NULL || !tpl->built || pool_count(p, p->warm[i]) >= p->size)
            continue;
        pool_start_one(p, tpl);
        if (p->retry_ms > 0)
            uv_timer_start(&p->refill, pool_on_refill, p->retry_ms, 0);
        return;
    }
}

struct sandbox *pool_take(struct pool *p, const struct template *tpl,
                          const struct sandbox_events *events, void *table)
{
    struct sandbox *best = NULL;
    list_for_each (it, &p->sandboxes) {
        struct sandbox *sb = list_entry(it, struct sandbox, in_pool);
        if (sb->phase < SANDBOX_STOPPING && strcmp(sb->template_id, tpl->id) == 0 &&
            (best == NULL || sb->phase > best->phase))
            best = sb;
    }
    metrics_add(best != NULL ? METRIC_POOL_HITS : METRIC_POOL_MISSES, 1);
    if (p->size > 0)
        pool_want(p, tpl);
    /* Also after a failure: one that is taken while it starts tells the pool nothing any more. */
    pool_refill(p);
    if (best == NULL)
        return NULL;
    if (best->phase == SANDBOX_READY)
        metrics_add(METRIC_POOL_READY, -1);
    list_del(&best->in_pool);
    best->events = events;
    best->table = table;
    return best;
}

static void pool_phase(struct sandbox *sb, enum sandbox_phase old)
{
    struct pool *p = sb->table;
    if (sb->phase == SANDBOX_READY) {
        p->retry_ms = 0;
        metrics_add(METRIC_POOL_READY, 1);
        uv_timer_start(&p->refill, pool_on_refill, 0, 0);
    } else if (sb->phase == SANDBOX_STOPPING) {
        if (old == SANDBOX_READY)
            metrics_add(METRIC_POOL_READY, -1);
        p->retry_ms = MIN(MAX(p->retry_ms * 2, (uint64_t)POOL_RETRY_MS), POOL_RETRY_MAX_MS);
    }
}

static void pool_changed(struct sandbox *sb)
{
    (void)sb; /* unclaimed sandboxes have no record: a restart sweeps them */
}

static void pool_warmed(struct sandbox *sb)
{
    (void)sb; /* an unclaimed sandbox warms up on its way to READY */
}

static void pool_ended(struct sandbox *sb)
{
    struct pool *p = sb->table;
    list_del(&sb->in_pool);
    sandbox_free(sb);
    if (p->stopping && list_empty(&p->sandboxes))
        p->empty(p->ctx);
    else if (!p->stopping)
        uv_timer_start(&p->refill, pool_on_refill, p->retry_ms, 0);
}

/* Nothing of an unclaimed sandbox is on disk. */
static void pool_commit(struct sandbox *sb, void (*then)(struct store_wait *w, int status))
{
    then(&sb->commit, 0);
}

static int pool_may_pause(struct sandbox *sb, struct error *err)
{
    (void)sb;
    return error_set(err, ERROR_INVALID_STATE, "A sandbox of the pool rests");
}

void pool_stop(struct pool *p)
{
    p->stopping = true;
    uv_timer_stop(&p->refill);
    list_for_each_safe (it, &p->sandboxes) {
        struct sandbox *sb = list_entry(it, struct sandbox, in_pool);
        sandbox_end(sb, SANDBOX_STATUS_TERMINATED, "The pool is stopped", NULL);
    }
}

bool pool_is_empty(const struct pool *p)
{
    return list_empty(&p->sandboxes);
}
