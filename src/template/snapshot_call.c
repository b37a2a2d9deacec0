/* SPDX-License-Identifier: Apache-2.0 */
#include "template/snapshot_call.h"

#include <errno.h>
#include <string.h>

#include "core/id.h"
#include "wire/reply.h"
#include "wire/request.h"

#define SNAPSHOT_SEED_SIZE   32
#define SNAPSHOT_OUTPUT_MAX  4096 /* bytes kept for an error */
#define SNAPSHOT_ERROR_BYTES 300

static void snapshot_call_frame(struct agent_call *call, const struct wire_frame *frame);
static void snapshot_call_failed(struct agent_call *call, const struct error *err);
static void snapshot_call_closed(struct agent_call *call);

static const struct agent_call_handler snapshot_call_handler = {
    .frame = snapshot_call_frame,
    .failed = snapshot_call_failed,
    .closed = snapshot_call_closed,
};

int snapshot_call_start(struct snapshot_call *sc, struct agent_target *target, struct buf *request,
                        uint64_t timeout_ms)
{
    buf_done(&sc->output);
    sc->status = 0;
    return agent_call_start(&sc->call, target, &snapshot_call_handler, request, timeout_ms);
}

static void snapshot_call_end(struct snapshot_call *sc, int status)
{
    sc->status = status;
    agent_call_close(&sc->call);
}

/* Keeps the beginning of what went wrong: it is enough for the operator, and a guest may print
 * without end. */
static void snapshot_call_keep(struct snapshot_call *sc, const void *data, size_t len)
{
    if (sc->output.len + len <= SNAPSHOT_OUTPUT_MAX)
        (void)buf_append(&sc->output, data, len);
}

static void snapshot_call_verdict(struct snapshot_call *sc, uint32_t code)
{
    int shown = (int)MIN(sc->output.len, (size_t)SNAPSHOT_ERROR_BYTES);
    if (code == 0)
        snapshot_call_end(sc, 0);
    else
        snapshot_call_end(sc,
                          error_set(&sc->err, ERROR_SANDBOX_FAILED, "It ended with %u: %.*s", code,
                                    shown, sc->output.data != NULL ? (char *)sc->output.data : ""));
}

/* The answer of an operation that runs nothing, or one frame of a command or of code. False: it
 * cannot be here. */
static bool snapshot_call_take(struct snapshot_call *sc, const struct wire_frame *frame)
{
    struct wire_exit e;
    struct wire_code_done done;
    struct wire_code_error raised;
    uint64_t age_us;
    switch (frame->type) {
    case WIRE_STARTED:
    case WIRE_STDOUT:
    case WIRE_CODE_BEGUN:
    case WIRE_CODE_STREAM:
    case WIRE_CODE_RESULT:
    case WIRE_CODE_DISPLAY:
        return true;
    case WIRE_STDERR:
        snapshot_call_keep(sc, frame->payload, frame->len);
        return true;
    case WIRE_CODE_ERROR:
        if (!wire_reply_code_error(frame, &raised))
            return false;
        snapshot_call_keep(sc, raised.name.data, raised.name.len);
        snapshot_call_keep(sc, ": ", 2);
        snapshot_call_keep(sc, raised.value.data, raised.value.len);
        return true;
    case WIRE_EXIT:
        if (!wire_reply_exit(frame, &e))
            return false;
        snapshot_call_verdict(sc, (uint32_t)e.code);
        return true;
    case WIRE_CODE_DONE:
        if (!wire_reply_code_done(frame, &done))
            return false;
        snapshot_call_verdict(sc, done.status);
        return true;
    default:
        if (!wire_reply_is(frame, WIRE_OK) && !wire_reply_pong(frame) &&
            !wire_reply_configured(frame, &age_us))
            return false;
        snapshot_call_end(sc, 0);
        return true;
    }
}

static void snapshot_call_frame(struct agent_call *call, const struct wire_frame *frame)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &sc->err);
        snapshot_call_end(sc, -EREMOTEIO);
    } else if (!snapshot_call_take(sc, frame)) {
        agent_call_bad_frame(call);
    }
}

static void snapshot_call_failed(struct agent_call *call, const struct error *err)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    sc->err = *err;
    snapshot_call_end(sc, -EIO);
}

static void snapshot_call_closed(struct agent_call *call)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    buf_done(&sc->output);
    sc->done(sc, sc->status, &sc->err);
}

void snapshot_put_configure(struct buf *b, uint64_t wall_ns, const char *hostname)
{
    uint8_t seed[SNAPSHOT_SEED_SIZE];
    id_random(seed, sizeof(seed));
    wire_request_configure(
        b, &(struct wire_configure_params){
               .wall_ns = wall_ns, .seed = seed, .seed_len = sizeof(seed), .hostname = hostname});
}

void snapshot_put_command(struct buf *b, const char *command)
{
    wire_request_exec(b,
                      &(struct wire_exec_params){.command = command, .cwd = "/", .user = "root"});
}

/* What the first run of any code does, and little more: a page that the list copies for nothing is
 * memory of each clone. pandas writes a twentieth more than this, and costs no more for it. */
static const struct {
    const char *language, *code;
} snapshot_codes[] = {
    {"python", "print(sum([1, 2, 3]))"},
    {"javascript", "console.log([1, 2, 3].map(x => x * 2)); 6 * 7"},
    {"typescript", "const n: number = 6 * 7; console.log(n); n"},
    {"bash", "echo $((6 * 7))"},
};

bool snapshot_put_first_code(struct buf *b, const char *language)
{
    for (size_t i = 0; i < ARRAY_SIZE(snapshot_codes); i++) {
        if (strcmp(snapshot_codes[i].language, language) != 0)
            continue;
        wire_request_code(
            b, &(struct wire_code_params){.language = language, .code = snapshot_codes[i].code});
        return true;
    }
    return false;
}
