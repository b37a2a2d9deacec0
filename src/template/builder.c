/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.c - choose a template, run its build, tell those who wait.
 *
 * The happy path is: template_builder_check finds a template that lacks something, builder_start
 * runs `corrald template build` or `snapshot`, its end reads the templates again and answers the
 * waits, and the check is made again, until nothing is to be done. Possible failure modes are:
 * - A build fails. Its last lines are kept. Who waits is told; it is tried again for a client who
 *   asks after BUILDER_RETRY_MS, which grows with each failure. What nobody asks for is tried
 *   BUILDER_TRIES times.
 * - A snapshot fails. It would fail again, so the template is marked and left alone until it is
 *   read anew: on SIGHUP, or after the build of another. Its sandboxes boot cold.
 * - The VMM refuses the snapshot later. It is made again, once: the machine may have changed. A
 *   second refusal means that a new snapshot does not help.
 * - A build hangs. It is ended after BUILDER_MAX_MS, and its tools with it.
 * - Somebody builds the same template by hand. The child waits for that build and takes its result.
 * - The server stops. The children get SIGTERM and nothing is started any more. When it is killed,
 *   the kernel sends them that signal.
 */
#include "template/builder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/step.h"

#define BUILDER_LOG          4096 /* bytes of the last lines */
#define BUILDER_TRIES        3
#define BUILDER_RETRY_MS     30000u /* after the first failure; four times as long after each */
#define BUILDER_RETRY_MAX_MS 3600000u
#define BUILDER_MAX_MS       7200000u /* an emulated machine is 25 times slower than a real one */
#define BUILDER_KILL_MS      60000u   /* from SIGTERM to SIGKILL */
#define BUILDER_TICK_MS      1000
#define BUILDER_ARGS         24

static void builder_on_said(struct template_job *job, const char *line);
static void builder_on_done(struct template_job *job, bool ok);
static void builder_on_tick(uv_timer_t *timer);

void template_builder_init(struct template_builder *b, uv_loop_t *loop, const struct config *config,
                           const char *isolation, struct template_set *set)
{
    *b = (struct template_builder){
        .loop = loop, .config = config, .isolation = isolation, .set = set};
    for (size_t i = 0; i < BUILDER_JOBS; i++) {
        b->jobs[i].builder = b;
        b->jobs[i].job = (struct template_job){.said = builder_on_said, .done = builder_on_done};
    }
    uv_timer_init(loop, &b->tick);
    set->builder = b;
}

/* --- what is to be done --- */

/* Four classes, the most urgent first; 0: nothing is to be done. */
enum builder_need {
    BUILDER_NOTHING,
    BUILDER_OTHERS,
    BUILDER_SNAPSHOT,
    BUILDER_DEFAULT,
    BUILDER_ASKED
};

static enum builder_need builder_needs(const struct template_builder *b, const struct template *t)
{
    bool is_default = strcmp(t->name, b->config->template_default) == 0;
    if (!t->present || t->build.running)
        return BUILDER_NOTHING;
    if (t->built) {
        bool snapshot = b->set->guest_dir != NULL && t->kvm != TEMPLATE_KVM_WARM &&
                        !t->snapshot_failed;
        if (!snapshot)
            return BUILDER_NOTHING;
        return is_default ? BUILDER_DEFAULT : BUILDER_SNAPSHOT;
    }
    if (t->build.asked_ns != 0)
        return BUILDER_ASKED;
    if (t->build.tries >= BUILDER_TRIES ||
        (t->build.tries > 0 && uv_now(b->loop) < t->build.retry_at_ms))
        return BUILDER_NOTHING;
    if (is_default && b->config->templates >= CONFIG_TEMPLATES_DEFAULT)
        return BUILDER_DEFAULT;
    return b->config->templates == CONFIG_TEMPLATES_ALL ? BUILDER_OTHERS : BUILDER_NOTHING;
}

/* Of several that are asked for, the one that has waited longest. */
static struct template *builder_choose(const struct template_builder *b, enum builder_need least)
{
    struct template *best = NULL;
    enum builder_need need = BUILDER_NOTHING;
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        enum builder_need n = builder_needs(b, t);
        if (n < least || n == BUILDER_NOTHING || n < need ||
            (best != NULL && n == need && t->build.asked_ns >= best->build.asked_ns))
            continue;
        best = t;
        need = n;
    }
    return best;
}

/* --- one job --- */

static int builder_spawn(struct builder_job *j, bool low)
{
    const struct config *c = j->builder->config;
    char parent[16];
    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    const char *args[BUILDER_ARGS] = {
        "corrald",     "template",    j->snapshot ? "snapshot" : "build",
        j->t->name,    "--state-dir", c->state_dir,
        "--guest-dir", c->guest_dir,  "--vmm",
        c->vmm,        "--isolation", j->builder->isolation,
        "--recipes",   c->recipes,    "--parent",
        parent};
    size_t n = 16;
    if (!j->snapshot)
        args[n++] = "--wait";
    if (low)
        args[n++] = "--low-priority";
    return template_job_start(&j->job, j->builder->loop, (char **)args);
}

static void builder_start(struct builder_job *j, struct template *t)
{
    struct template_builder *b = j->builder;
    j->t = t;
    j->snapshot = t->built;
    j->until_ms = uv_now(b->loop) + BUILDER_MAX_MS;
    buf_reset(&j->log);
    t->build.running = true;
    (void)snprintf(t->build.phase, sizeof(t->build.phase), "starting");
    if (j->snapshot)
        log_info("making the template's snapshot, sandboxes boot cold until then",
                 "template=%s reason=\"%s\"", t->name, template_kvm_str(t->kvm));
    else
        log_info("building the template", "template=%s asked=%s", t->name,
                 t->build.asked_ns != 0 ? "yes" : "no");
    int rv = builder_spawn(j, t->build.asked_ns == 0 &&
                                  strcmp(t->name, b->config->template_default) != 0);
    step_reach("template", "building");
    if (rv < 0)
        log_error("the template cannot be built", "template=%s error=\"%s\"", t->name,
                  uv_strerror(rv));
    if (!uv_is_active((uv_handle_t *)&b->tick))
        uv_timer_start(&b->tick, builder_on_tick, BUILDER_TICK_MS, BUILDER_TICK_MS);
}

static void builder_answer(struct template *t, const struct error *err)
{
    while (!list_empty(&t->build.waits)) {
        struct template_wait *w = list_first(&t->build.waits, struct template_wait, node);
        list_del(&w->node);
        w->done(w, err);
    }
}

void template_builder_check(struct template_builder *b)
{
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        if (t->built && !t->build.running) /* also by somebody else */
            builder_answer(t, NULL);
    }
    for (size_t i = 0; i < BUILDER_JOBS && !b->stopped; i++) {
        struct template *t = NULL;
        if (b->jobs[i].t == NULL)
            t = builder_choose(b, i == 0 ? BUILDER_OTHERS : BUILDER_ASKED);
        if (t != NULL)
            builder_start(&b->jobs[i], t);
    }
}

static void builder_on_said(struct template_job *job, const char *line)
{
    struct builder_job *j = container_of(job, struct builder_job, job);
    char quoted[TEMPLATE_JOB_LINE + 64];
    static const char phase[] = "phase ";
    log_info("template", "template=%s text=%s", j->t->name,
             log_quote(quoted, sizeof(quoted), line));
    if (strncmp(line, phase, sizeof(phase) - 1) == 0)
        (void)snprintf(j->t->build.phase, sizeof(j->t->build.phase), "%.127s",
                       line + sizeof(phase) - 1);
    (void)buf_printf(&j->log, "%s\n", line);
    if (j->log.len > BUILDER_LOG)
        buf_consume(&j->log, j->log.len - BUILDER_LOG);
}

/* --- its end --- */

/* What a client is told of a template whose build has failed. */
static void builder_error(const struct template *t, struct error *err)
{
    const char *log = t->build.log != NULL ? t->build.log : "";
    const char *last = strrchr(log, '\n');
    last = last != NULL ? last + 1 : log;
    (void)error_set(err, ERROR_TEMPLATE_BUILD_FAILED,
                    "Template '%.64s' could not be built: %.100s. By hand: corrald template build "
                    "%.64s",
                    t->name, last, t->name);
}

static void builder_failed(struct builder_job *j)
{
    struct template *t = j->t;
    struct error err;
    uint64_t delay = BUILDER_RETRY_MS;
    for (unsigned int i = 0; i < t->build.tries && delay < BUILDER_RETRY_MAX_MS; i++)
        delay *= 4;
    t->build.tries++;
    t->build.retry_at_ms = uv_now(j->builder->loop) + MIN(delay, (uint64_t)BUILDER_RETRY_MAX_MS);
    t->build.asked_ns = 0;
    while (j->log.len > 0 && j->log.data[j->log.len - 1] == '\n')
        j->log.len--;
    free(t->build.log);
    t->build.log = j->log.len > 0 && buf_cstr(&j->log) != NULL ? strdup((char *)j->log.data) : NULL;
    log_error("the template was not built", "template=%s tries=%u", t->name, t->build.tries);
    builder_error(t, &err);
    builder_answer(t, &err);
}

static void builder_built(struct builder_job *j)
{
    struct template *t = j->t;
    t->build.tries = 0;
    t->build.asked_ns = 0;
    free(t->build.log);
    t->build.log = NULL; /* template_builder_check tells those who wait */
}

static void builder_end_snapshot(struct builder_job *j, bool ok)
{
    if (ok)
        return;
    j->t->snapshot_failed = true;
    if (!j->builder->stopped)
        log_error("the template's snapshot was not made, its sandboxes boot cold", "template=%s",
                  j->t->name);
}

static void builder_on_done(struct template_job *job, bool ok)
{
    struct builder_job *j = container_of(job, struct builder_job, job);
    struct template_builder *b = j->builder;
    bool stopped = b->stopped;
    step_reach("template", ok ? "built" : "failed");
    j->t->build.running = false;
    j->t->build.phase[0] = '\0';
    /* A successful build sends SIGHUP, which may arrive before or after this. The templates are
     * read here in any case, so that the check sees the new one. */
    if (ok)
        (void)template_set_load(b->set);
    if (j->snapshot)
        builder_end_snapshot(j, ok);
    else if (j->t->built)
        builder_built(j);
    else if (!stopped)
        builder_failed(j);
    j->t = NULL;
    buf_done(&j->log);
    template_builder_check(b);
}

/* --- those who wait --- */

int template_builder_wait(struct template_builder *b, const struct template *t,
                          struct template_wait *w, uint64_t wait_ms, struct error *err)
{
    struct template *own = NULL;
    list_for_each (it, &b->set->templates) {
        struct template *other = list_entry(it, struct template, node);
        own = other == t ? other : own;
    }
    if (own == NULL || b->stopped)
        return error_set(err, ERROR_UNAVAILABLE, "The server is stopping"), -EAGAIN;
    if (b->config->templates == CONFIG_TEMPLATES_OFF && !t->build.running) {
        (void)error_set(err, ERROR_TEMPLATE_NOT_BUILT,
                        "Template '%.64s' is not built. Type: corrald template build %.64s",
                        t->name, t->name);
        return -EAGAIN;
    }
    if (t->build.tries > 0 && !t->build.running && uv_now(b->loop) < t->build.retry_at_ms) {
        builder_error(t, err);
        return -EAGAIN;
    }
    if (own->build.asked_ns == 0)
        own->build.asked_ns = uv_hrtime();
    w->until_ms = wait_ms > 0 ? uv_now(b->loop) + wait_ms : UINT64_MAX;
    list_add_tail(&own->build.waits, &w->node);
    template_builder_check(b);
    return 0;
}

unsigned int template_builder_retry_s(const struct template_builder *b, const struct template *t)
{
    uint64_t now = uv_now(b->loop);
    if (t->build.running || t->build.tries == 0 || t->build.retry_at_ms <= now)
        return 10;
    return (unsigned int)((t->build.retry_at_ms - now) / 1000 + 1);
}

const char *template_builder_status(const struct template *t)
{
    if (t->built)
        return "ready";
    if (t->build.running || t->build.asked_ns != 0)
        return "building";
    return t->build.tries > 0 ? "failed" : "not_built";
}

/* The waits whose time is over; the build goes on without them. */
static void builder_give_up(struct template_builder *b, struct template *t)
{
    struct error err;
    (void)error_set(&err, ERROR_TEMPLATE_BUILDING, "Template '%.64s' is being built: %.127s",
                    t->name, t->build.running ? t->build.phase : "waiting for another build");
    list_for_each_safe (it, &t->build.waits) {
        struct template_wait *w = list_entry(it, struct template_wait, node);
        if (w->until_ms > uv_now(b->loop))
            continue;
        list_del(&w->node);
        w->done(w, &err);
    }
}

static void builder_on_tick(uv_timer_t *timer)
{
    struct template_builder *b = container_of(timer, struct template_builder, tick);
    bool busy = false;
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        builder_give_up(b, t);
        busy = busy ||
               (!t->built && t->present && t->build.tries > 0 && t->build.tries < BUILDER_TRIES &&
                b->config->templates >= CONFIG_TEMPLATES_DEFAULT);
    }
    for (size_t i = 0; i < BUILDER_JOBS; i++) {
        struct builder_job *j = &b->jobs[i];
        busy = busy || j->t != NULL;
        if (j->t == NULL || uv_now(b->loop) < j->until_ms)
            continue;
        template_job_signal(&j->job,
                            uv_now(b->loop) < j->until_ms + BUILDER_KILL_MS ? SIGTERM : SIGKILL);
    }
    if (!busy || b->stopped)
        uv_timer_stop(&b->tick);
    template_builder_check(b);
}

void template_builder_refused(struct template_builder *b, const char *dir)
{
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        if (t->dir == NULL || strcmp(t->dir, dir) != 0 || t->kvm != TEMPLATE_KVM_WARM)
            continue;
        t->kvm = TEMPLATE_KVM_COLD;
        /* The second refusal: a third snapshot would be refused as well. */
        t->snapshot_failed = t->refused;
        t->refused = true;
    }
    template_builder_check(b);
}

void template_builder_stop(struct template_builder *b)
{
    b->stopped = true;
    for (size_t i = 0; i < BUILDER_JOBS; i++)
        template_job_signal(&b->jobs[i].job, SIGTERM);
}
