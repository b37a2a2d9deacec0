/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c - see sandbox.h for the phases and what each waits for.
 *
 * Four things can be under way for one sandbox: the driver's instance, the one call `op` of the
 * server's own, the expiry timer, and calls of clients. ENDED comes when the first three are gone,
 * whichever order they go in (sandbox_maybe_ended). Each event therefore looks at the phase first:
 * what was asked for in an earlier phase may be answered in STOPPING.
 *
 * Waits are called from inside a move. They may release their owner and start other work, but the
 * sandbox itself stays until the table frees it.
 */
#include "sandbox/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/step.h"
#include "sandbox/capture.h"
#include "sandbox/configure.h"
#include "sandbox/connect.h"
#include "sandbox/moves.h"
#include "sandbox/pause.h"
#include "sandbox/rest.h"
#include "wire/reply.h"
#include "wire/request.h"

/* In time order. */
static void sandbox_on_instance_started(void *ctx, int status, const struct error *err);
static void sandbox_on_op_frame(struct agent_call *call, const struct wire_frame *frame);
static void sandbox_on_op_failed(struct agent_call *call, const struct error *err);
static void sandbox_on_op_closed(struct agent_call *call);
static void sandbox_on_instance_exited(void *ctx, const char *reason);
static void sandbox_on_instance_stopped(void *ctx);
static void sandbox_ready(struct sandbox *sb);

static const struct instance_events sandbox_instance_events = {
    .started = sandbox_on_instance_started,
    .exited = sandbox_on_instance_exited,
    .stopped = sandbox_on_instance_stopped,
};

static const struct agent_call_handler sandbox_op_handler = {
    .opened = sandbox_configure_opened,
    .frame = sandbox_on_op_frame,
    .failed = sandbox_on_op_failed,
    .closed = sandbox_on_op_closed,
};

#define BIT(phase) (1u << (phase))

static const struct {
    const char *name;
    unsigned int next; /* allowed moves */
} sandbox_phases[SANDBOX_PHASE_COUNT] = {
    [SANDBOX_NEW] = {"new", BIT(SANDBOX_STARTING) | BIT(SANDBOX_ADOPTING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_STARTING] = {"starting",
                          BIT(SANDBOX_WARMING) | BIT(SANDBOX_READY) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_ADOPTING] = {"adopting",
                          BIT(SANDBOX_HANDSHAKE) | BIT(SANDBOX_PAUSED) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_HANDSHAKE] = {"handshake",
                           BIT(SANDBOX_READY) | BIT(SANDBOX_RUNNING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_WARMING] = {"warming",
                         BIT(SANDBOX_HANDSHAKE) | BIT(SANDBOX_READY) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_READY] = {"ready", BIT(SANDBOX_CONFIGURING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_CONFIGURING] = {"configuring",
                             BIT(SANDBOX_RUNNING) | BIT(SANDBOX_PAUSING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_RUNNING] = {"running", BIT(SANDBOX_PAUSING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_PAUSING] = {"pausing",
                         BIT(SANDBOX_PAUSED) | BIT(SANDBOX_RUNNING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_PAUSED] = {"paused", BIT(SANDBOX_RESUMING) | BIT(SANDBOX_STOPPING)},
    [SANDBOX_RESUMING] = {"resuming", BIT(SANDBOX_HANDSHAKE) | BIT(SANDBOX_CONFIGURING) |
                                          BIT(SANDBOX_PAUSED) | BIT(SANDBOX_PAUSING) |
                                          BIT(SANDBOX_STOPPING)},
    [SANDBOX_STOPPING] = {"stopping", BIT(SANDBOX_ENDED)},
    [SANDBOX_ENDED] = {"ended", 0},
};

static const char *const sandbox_status_names[SANDBOX_STATUS_COUNT] = {
    "creating", "running", "stopped", "failed", "terminated", "timed_out",
};

const char *sandbox_status_str(enum sandbox_status status)
{
    return sandbox_status_names[status];
}

struct sandbox *sandbox_alloc(const struct sandbox_events *events, void *table)
{
    struct sandbox *sb = calloc(1, sizeof(*sb));
    if (sb == NULL)
        return NULL;
    sb->events = events;
    sb->table = table;
    sb->born_ns = uv_hrtime();
    list_init(&sb->run_waits);
    list_init(&sb->pause_waits);
    list_init(&sb->end_waits);
    list_init(&sb->by_hash);
    list_init(&sb->by_age);
    list_init(&sb->in_pool);
    list_init(&sb->build.node);
    list_init(&sb->target.calls);
    return sb;
}

struct sandbox *sandbox_new(const struct template *t, const struct sandbox_events *events,
                            void *table)
{
    struct sandbox *sb = sandbox_alloc(events, table);
    if (sb == NULL)
        return NULL;
    id_new(sb->id);
    memcpy(sb->template_id, t->id, sizeof(sb->template_id));
    sb->vcpus = t->vcpus;
    sb->memory_mb = t->memory_mb;
    sb->disk_mb = t->disk_mb;
    sb->template_name = strdup(t->name);
    if (sb->template_name == NULL) {
        sandbox_free(sb);
        return NULL;
    }
    return sb;
}

void sandbox_free(struct sandbox *sb)
{
    free(sb->template_name);
    sandbox_owner_done(&sb->owner);
    free(sb->reason);
    free(sb->dir);
    free(sb->snapshot_dir);
    instance_memory_put(&sb->memory);
    free(sb->socket_path);
    free(sb->resume_from);
    network_tenant_done(&sb->net);
    free(sb);
}

void sandbox_move(struct sandbox *sb, enum sandbox_phase next)
{
    enum sandbox_phase old = sb->phase;
    assert((sandbox_phases[old].next & BIT(next)) != 0);
    step_reach("sandbox", sandbox_phases[next].name);
    sb->phase = next;
    log_debug("sandbox phase", "sandbox=%s from=%s to=%s ms=%.1f", sb->id, sandbox_phases[old].name,
              sandbox_phases[next].name, (double)(uv_hrtime() - sb->born_ns) / 1e6);
    sb->events->phase(sb, old);
}

/* The directory of the instance, and the socket in it that leads to its agent. */
static int sandbox_place(struct sandbox *sb, const struct sandbox_host *host)
{
    sb->host = host;
    if (asprintf(&sb->dir, "%s/%s", host->dir, sb->id) < 0) {
        sb->dir = NULL;
        return -ENOMEM;
    }
    if (asprintf(&sb->socket_path, "%s/vsock.sock", sb->dir) < 0) {
        sb->socket_path = NULL;
        return -ENOMEM;
    }
    agent_target_init(&sb->target, host->driver->loop, sb->socket_path);
    return 0;
}

struct instance *sandbox_instance(struct sandbox *sb, const struct template *t)
{
    const struct sandbox_host *host = sb->host;
    const struct instance_spec spec = {
        .id = sb->id,
        .dir = sb->dir,
        .rootfs = t != NULL ? t->rootfs : "/",
        .guest_dir = host->guest_dir,
        .template_dir = t != NULL ? t->dir : NULL,
        .snapshot_dir = sb->resume_from != NULL ? sb->resume_from : sb->snapshot_dir,
        .memory = sb->memory,
        .stored = sb->stored,
        .cold = t != NULL && t->kvm != TEMPLATE_KVM_WARM && sb->snapshot_dir == NULL,
        .vcpus = sb->vcpus,
        .memory_mb = sb->memory_mb,
        .disk_mb = sb->disk_mb,
        .pids_max = SANDBOX_PIDS_MAX,
        .network = host->network != NULL,
    };
    return instance_new(host->driver, &spec, &sandbox_instance_events, sb);
}

int sandbox_start(struct sandbox *sb, const struct sandbox_host *host, const struct template *t)
{
    int rv = sandbox_place(sb, host);
    if (rv < 0)
        return rv;
    if (mkdir(sb->dir, 0700) < 0)
        return -errno;
    sb->template_ms = t->updated_ms;
    sb->instance = sandbox_instance(sb, t);
    /* A later instance goes on from what this one leaves. */
    free(TAKE_PTR(sb->snapshot_dir));
    instance_memory_put(&sb->memory);
    rv = sb->instance != NULL ? instance_start(sb->instance) : -ENOMEM;
    if (sb->instance == NULL) {
        (void)rmdir(sb->dir);
        return rv;
    }
    sandbox_move(sb, SANDBOX_STARTING);
    if (rv < 0)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, "The sandbox process could not be started", NULL);
    return 0;
}

void sandbox_adopt(struct sandbox *sb, const struct sandbox_host *host)
{
    sb->adopted = true;
    sb->claimed = true;
    sandbox_move(sb, SANDBOX_ADOPTING);
    if (sandbox_place(sb, host) == 0)
        sb->instance = sandbox_instance(sb, NULL);
    if (sb->instance != NULL && sb->stored) {
        sb->keeping = true; /* whatever an earlier server has left beside the files goes */
        instance_put_away(sb->instance);
    } else if (sb->instance == NULL || instance_adopt(sb->instance, &sb->handle) < 0) {
        sandbox_end(sb, SANDBOX_STATUS_FAILED, "The sandbox could not be adopted", NULL);
    }
}

static void sandbox_end_with(struct sandbox *sb, enum sandbox_status status, enum error_code code,
                             const char *reason, struct sandbox_wait *w);

/* The end of one that cannot do without what has failed. */
static void sandbox_fail(struct sandbox *sb, const struct error *err)
{
    if (sandbox_back_to_paused(sb, err))
        return;
    /* What is wrong with a snapshot is no fault of the sandbox's. */
    bool unusable = err->code == ERROR_SNAPSHOT_UNUSABLE;
    sandbox_end_with(sb, SANDBOX_STATUS_FAILED,
                     unusable ? ERROR_SNAPSHOT_UNUSABLE : ERROR_SANDBOX_FAILED, err->message, NULL);
}

/* The operations of the start, each answered by one frame. Their result is acted on in
 * sandbox_on_op_closed: the next one needs the same call object. The first one has the connection
 * that the driver has waited for. */
static void sandbox_op(struct sandbox *sb, struct buf *request, uint64_t timeout_ms)
{
    int fd = instance_take_agent(sb->instance);
    if (fd >= 0)
        sb->op_status = agent_call_start_on(&sb->op, &sb->target, &sandbox_op_handler, request,
                                            timeout_ms, fd);
    else
        sb->op_status = agent_call_start(&sb->op, &sb->target, &sandbox_op_handler, request,
                                         timeout_ms);
    sb->op_active = sb->op_status == 0;
    if (!sb->op_active) {
        error_set(&sb->op_error, ERROR_SANDBOX_FAILED, "The agent cannot be called");
        sandbox_fail(sb, &sb->op_error);
    }
}

void sandbox_handshake(struct sandbox *sb)
{
    struct buf request = {0};
    wire_request_ping(&request);
    sandbox_move(sb, SANDBOX_HANDSHAKE);
    sandbox_op(sb, &request, SANDBOX_HANDSHAKE_MS);
}

static void sandbox_ask_ready(struct sandbox *sb)
{
    struct buf request = {0};
    wire_request_code_ready(&request);
    sb->bridge_started = true;
    sandbox_op(sb, &request, SANDBOX_WARMUP_MS);
}

static void sandbox_warm(struct sandbox *sb)
{
    sandbox_move(sb, SANDBOX_WARMING);
    sandbox_ask_ready(sb);
}

void sandbox_warm_kernels(struct sandbox *sb)
{
    if (sb->op_active) { /* it is suspected: its first code starts the kernel */
        sb->events->warmed(sb);
        return;
    }
    sb->warming = true;
    sandbox_ask_ready(sb);
}

static void sandbox_claimed(struct sandbox *sb)
{
    sandbox_move(sb, SANDBOX_CONFIGURING);
    if (sb->net.network == NULL)
        sandbox_connect(sb);
}

/* The request is empty: sandbox_configure_opened sends it once the connection is open. A clock that
 * was read now would be late by the time that the connection takes. */
static void sandbox_configure(struct sandbox *sb)
{
    struct buf none = {0};
    if (sb->phase == SANDBOX_CONFIGURING)
        sb->clock_tries++;
    else
        sandbox_claimed(sb);
    sandbox_op(sb, &none, SANDBOX_HANDSHAKE_MS);
}

static void sandbox_ask_trust(struct sandbox *sb)
{
    struct buf request = {0};
    sb->trust = SANDBOX_TRUST_ASKED;
    wire_request_trust(&request, network_certificate(sandbox_network(sb)));
    sandbox_op(sb, &request, SANDBOX_HANDSHAKE_MS);
}

static void sandbox_on_instance_started(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    if (sb->phase == SANDBOX_STOPPING)
        return;
    if (status < 0) {
        sandbox_fail(sb, err);
        return;
    }
    sb->handle = sb->instance->handle;
    /* A question to its code bridge would take memory that it shares with other clones. */
    sb->bridge_started = sb->instance->warm;
    if (sb->phase == SANDBOX_RESUMING && sb->net.network == NULL)
        sandbox_connect(sb);
    if (sb->phase == SANDBOX_ADOPTING && sb->status == SANDBOX_STATUS_STOPPED)
        sandbox_stays_paused(sb);
    else if (sb->phase == SANDBOX_ADOPTING)
        sandbox_handshake(sb);
    else if (sb->phase == SANDBOX_RESUMING)
        sandbox_configure(sb);
    else if (sb->claimed || sb->instance->warm)
        sandbox_ready(sb);
    else
        sandbox_warm(sb);
}

/* Whether the frame is the answer to what the phase has sent. */
static bool sandbox_take_answer(struct sandbox *sb, const struct wire_frame *frame)
{
    enum wire_type clock = sb->clock_tries == 0 ? WIRE_CONFIGURED : WIRE_OK;
    if (sb->phase == SANDBOX_HANDSHAKE || sb->unanswered > 0)
        return wire_reply_pong(frame);
    if (sb->phase == SANDBOX_CONFIGURING && sb->trust != SANDBOX_TRUST_ASKED)
        return frame->type == clock && sandbox_take_clock_age(sb, frame);
    return wire_reply_is(frame, WIRE_OK);
}

static void sandbox_on_op_frame(struct agent_call *call, const struct wire_frame *frame)
{
    struct sandbox *sb = container_of(call, struct sandbox, op);
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &sb->op_error);
        sb->op_status = -EREMOTEIO;
    } else if (!sandbox_take_answer(sb, frame)) {
        agent_call_bad_frame(call);
        return;
    }
    agent_call_close(call);
}

static void sandbox_on_op_failed(struct agent_call *call, const struct error *err)
{
    struct sandbox *sb = container_of(call, struct sandbox, op);
    sb->op_status = -EIO;
    sb->op_error = *err;
    agent_call_close(call);
}

void sandbox_tell(struct sandbox *sb, struct list *waits, const struct error *err)
{
    /* Who is told may take back the wait of another, or begin one: that is not told yet. */
    struct list told;
    list_init(&told);
    while (!list_empty(waits)) {
        struct list *node = waits->next;
        list_del(node);
        list_add_tail(&told, node);
    }
    while (!list_empty(&told)) {
        struct sandbox_wait *w = list_first(&told, struct sandbox_wait, node);
        list_del(&w->node);
        w->done(w, sb, err);
    }
}

void sandbox_runs(struct sandbox *sb)
{
    bool begins = !sb->adopted && !sb->resuming;
    if (sb->net.network == NULL)
        sandbox_connect(sb);
    free((void *)sb->owner.env);
    sb->owner.env = NULL;
    free(TAKE_PTR(sb->resume_from));
    sb->resuming = false;
    sb->status = SANDBOX_STATUS_RUNNING;
    sb->target.used_ms = uv_now(sb->target.loop);
    sandbox_move(sb, SANDBOX_RUNNING);
    if (begins) {
        sb->started_ms = time_now_ms();
        sandbox_place_timeout(sb, sb->started_ms, sb->owner.timeout_s);
        log_info("sandbox started", "sandbox=%s template=%s ms=%.1f", sb->id, sb->template_name,
                 (double)(uv_hrtime() - sb->claimed_ns) / 1e6);
        sb->events->changed(sb);
    }
    sandbox_check_expiry(sb);
    sandbox_tell(sb, &sb->run_waits, NULL);
}

void sandbox_ask_alive(struct sandbox *sb)
{
    struct buf request = {0};
    wire_request_ping(&request);
    sb->unanswered++;
    sandbox_op(sb, &request, AGENT_CONNECT_TIMEOUT_MS);
}

static void sandbox_on_op_closed(struct agent_call *call)
{
    struct sandbox *sb = container_of(call, struct sandbox, op);
    bool failed = sb->op_status < 0;
    sb->op_active = false;
    if (!failed && (sb->warming || sb->phase == SANDBOX_WARMING))
        sandbox_heard_bridge(sb);
    if (sb->warming) {
        sb->warming = false;
        sb->events->warmed(sb);
    }
    switch (sb->phase) {
    case SANDBOX_HANDSHAKE:
    case SANDBOX_CONFIGURING:
        if (failed)
            sandbox_fail(sb, &sb->op_error);
        else if (sb->clock_late && sb->trust != SANDBOX_TRUST_ASKED &&
                 sb->clock_tries < SANDBOX_CLOCK_TRIES)
            sandbox_configure(sb); /* sends the clock once more */
        else if (sb->phase == SANDBOX_CONFIGURING && sb->trust == SANDBOX_TRUST_OWED)
            sandbox_ask_trust(sb);
        else if (sb->resuming)
            sandbox_resumed(sb);
        else if (sb->phase == SANDBOX_CONFIGURING || sb->adopted)
            sandbox_runs(sb);
        else
            sandbox_ready(sb);
        break;
    case SANDBOX_WARMING:
        if (sb->op_status == -EIO)
            sandbox_handshake(sb); /* nobody has heard of its agent yet */
        else /* even when it failed: the first code starts its kernel itself */
            sandbox_ready(sb);
        break;
    case SANDBOX_RUNNING:
        sandbox_questioned(sb, failed);
        break;
    case SANDBOX_PAUSING:
        sandbox_maybe_paused(sb);
        break;
    case SANDBOX_STOPPING:
        sandbox_maybe_ended(sb);
        break;
    default:
        break;
    }
}

static void sandbox_ready(struct sandbox *sb)
{
    sandbox_move(sb, SANDBOX_READY);
    if (sb->claimed)
        sandbox_configure(sb);
    else
        sandbox_rest(sb);
}

void sandbox_claim(struct sandbox *sb, struct sandbox_owner *owner, struct sandbox_wait *w)
{
    sb->owner = *owner;
    *owner = (struct sandbox_owner){0};
    sb->claimed = true;
    sb->claimed_ns = uv_hrtime();
    sb->created_ms = time_now_ms();
    if (w != NULL)
        list_add_tail(&sb->run_waits, &w->node);
    if (sb->owner.name != NULL) /* its owner learns the id now, so a restart must not lose it */
        sb->events->changed(sb);
    if (sb->phase == SANDBOX_READY)
        sandbox_wake(sb, sandbox_configure);
    else if (sb->phase == SANDBOX_WARMING && sb->op_active)
        agent_call_close(&sb->op); /* commands need no kernel, and code waits for its own */
}

static void sandbox_on_instance_exited(void *ctx, const char *reason)
{
    struct sandbox *sb = ctx;
    struct error err;
    if (sandbox_outlives_instance(sb))
        return;
    error_set(&err, ERROR_SANDBOX_FAILED, "%s", reason);
    sandbox_fail(sb, &err);
}

/* Files are all that is left of it, and go the same way as an instance. */
static void sandbox_discard(struct sandbox *sb)
{
    if (sb->stored && sb->instance == NULL)
        sb->instance = sandbox_instance(sb, NULL);
    if (sb->instance != NULL)
        instance_stop(sb->instance);
    else
        sandbox_maybe_ended(sb);
}

/* `code`: of a failure, for who waits for it. */
static void sandbox_end_with(struct sandbox *sb, enum sandbox_status status, enum error_code code,
                             const char *reason, struct sandbox_wait *w)
{
    struct error err;
    if (w != NULL)
        list_add_tail(&sb->end_waits, &w->node);
    if (sb->phase >= SANDBOX_STOPPING) {
        if (sb->phase == SANDBOX_ENDED)
            sandbox_tell(sb, &sb->end_waits, NULL);
        return;
    }
    sb->status = status;
    sb->ended_ms = time_now_ms();
    sb->ended_boot_ms = time_boot_ms();
    sb->reason = reason != NULL ? strdup(reason) : NULL;
    sandbox_move(sb, SANDBOX_STOPPING);
    char quoted[256];
    if (sb->claimed || status == SANDBOX_STATUS_FAILED)
        log_line(status == SANDBOX_STATUS_FAILED ? LOG_WARN : LOG_INFO, "sandbox ended",
                 "sandbox=%s status=%s reason=%s", sb->id, sandbox_status_str(status),
                 log_quote(quoted, sizeof(quoted), reason != NULL ? reason : ""));
    if (sb->claimed)
        sb->events->changed(sb);
    if (status == SANDBOX_STATUS_FAILED)
        error_set(&err, code, "%s", reason != NULL ? reason : "The sandbox failed");
    else
        error_set(&err, ERROR_INVALID_STATE, "The sandbox has ended (%s)",
                  sandbox_status_str(status));
    sandbox_forget_pause(sb);
    sandbox_tell(sb, &sb->run_waits, &err);
    sandbox_tell(sb, &sb->pause_waits, &err);
    network_detach(&sb->net);
    agent_target_fail(&sb->target, &err);
    sandbox_stop_expiry(sb);
    sandbox_discard(sb);
}

void sandbox_end(struct sandbox *sb, enum sandbox_status status, const char *reason,
                 struct sandbox_wait *w)
{
    sandbox_end_with(sb, status, ERROR_SANDBOX_FAILED, reason, w);
}

static void sandbox_on_instance_stopped(void *ctx)
{
    struct sandbox *sb = ctx;
    bool kept = sb->keeping;
    sb->instance = NULL;
    sandbox_capture_lost(sb);
    sb->keeping = false;
    if (sb->phase != SANDBOX_STOPPING)
        sandbox_is_put_away(sb);
    else if (kept)
        sandbox_discard(sb); /* its end came in between */
    else
        sandbox_maybe_ended(sb);
}

/* Calls of clients failed when STOPPING began, and each leaves the target when it has closed. They
 * do not delay the end: the table frees an ended sandbox only when its target has no calls. */
void sandbox_maybe_ended(struct sandbox *sb)
{
    if (sb->phase != SANDBOX_STOPPING || sb->instance != NULL || sb->op_active ||
        sb->expiry_active || sb->measuring)
        return;
    sandbox_move(sb, SANDBOX_ENDED);
    sandbox_tell(sb, &sb->end_waits, NULL);
    sb->events->ended(sb);
}
