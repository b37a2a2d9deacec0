/* SPDX-License-Identifier: Apache-2.0 */
#include "template/snapshot_call.h"

#include <errno.h>
#include <string.h>

#include "core/id.h"

#define SNAPSHOT_SEED_SIZE   32
#define SNAPSHOT_OUTPUT_MAX  4096 /* bytes kept for an error */
#define SNAPSHOT_ERROR_BYTES 300

static void on_frame(struct agent_call *call, const struct wire_frame *frame);
static void on_failed(struct agent_call *call, const struct error *err);
static void on_closed(struct agent_call *call);

static const struct agent_call_handler snapshot_call_handler = {
    .frame = on_frame,
    .failed = on_failed,
    .closed = on_closed,
};

int snapshot_call_start(struct snapshot_call *sc, struct agent_target *target, struct buf *request,
                        uint64_t timeout_ms)
{
    buf_done(&sc->output);
    sc->status = 0;
    return agent_call_start(&sc->call, target, &snapshot_call_handler, request, timeout_ms);
}

static void call_end(struct snapshot_call *sc, int status)
{
    sc->status = status;
    agent_call_close(&sc->call);
}

static void call_keep_output(struct snapshot_call *sc, const struct wire_frame *frame)
{
    if (sc->output.len + frame->len <= SNAPSHOT_OUTPUT_MAX)
        (void)buf_append(&sc->output, frame->payload, frame->len);
}

/* EXIT and CODE_DONE begin with a number that is 0 when all went well. */
static void call_verdict(struct snapshot_call *sc, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint32_t code = cursor_u32(&c);
    int shown = (int)MIN(sc->output.len, (size_t)SNAPSHOT_ERROR_BYTES);
    if (c.bad)
        agent_call_bad_frame(&sc->call);
    else if (code == 0)
        call_end(sc, 0);
    else
        call_end(sc, error_set(&sc->err, ERROR_SANDBOX_FAILED, "It ended with %u: %.*s", code,
                               shown, sc->output.data != NULL ? (char *)sc->output.data : ""));
}

static void on_frame(struct agent_call *call, const struct wire_frame *frame)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    switch (frame->type) {
    case WIRE_OK:
    case WIRE_PONG:
    case WIRE_CONFIGURED:
        call_end(sc, 0);
        break;
    case WIRE_ERROR:
        agent_error_decode(frame, &sc->err);
        call_end(sc, -EREMOTEIO);
        break;
    case WIRE_EXIT:
    case WIRE_CODE_DONE:
        call_verdict(sc, frame);
        break;
    case WIRE_STDERR:
    case WIRE_CODE_ERROR:
        call_keep_output(sc, frame);
        break;
    case WIRE_STARTED:
    case WIRE_STDOUT:
    case WIRE_CODE_STREAM:
    case WIRE_CODE_RESULT:
    case WIRE_CODE_DISPLAY:
        break;
    default:
        agent_call_bad_frame(call);
    }
}

static void on_failed(struct agent_call *call, const struct error *err)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    sc->err = *err;
    call_end(sc, -EIO);
}

static void on_closed(struct agent_call *call)
{
    struct snapshot_call *sc = container_of(call, struct snapshot_call, call);
    buf_done(&sc->output);
    sc->done(sc, sc->status, &sc->err);
}

void snapshot_put_configure(struct buf *b, uint64_t wall_ns, const char *hostname)
{
    uint8_t seed[SNAPSHOT_SEED_SIZE];
    id_random(seed, sizeof(seed));
    size_t start = wire_begin(b, WIRE_CONFIGURE);
    (void)buf_u64(b, wall_ns);
    wire_put_span(b, seed, sizeof(seed));
    wire_put_str(b, hostname);
    wire_put_list(b, NULL);
    wire_end(b, start);
}

void snapshot_put_command(struct buf *b, const char *command)
{
    const char *const argv[] = {command, NULL};
    size_t start = wire_begin(b, WIRE_EXEC);
    (void)buf_u32(b, WIRE_EXEC_SHELL);
    (void)buf_u32(b, 0);
    wire_put_str(b, "/");
    wire_put_str(b, "root");
    wire_put_list(b, argv);
    wire_put_list(b, NULL);
    wire_end(b, start);
}

static const struct {
    const char *language, *code;
} snapshot_codes[] = {
    {"python", "try:\n"
               "    import pandas\n"
               "    print(pandas.DataFrame({'a': [1, 2, 3], 'b': [2.5, 3.5, 4.5]}).describe())\n"
               "except ImportError:\n"
               "    print(sum([1, 2, 3]))\n"},
    {"javascript", "console.log([1, 2, 3].map(x => x * 2)); 6 * 7"},
    {"typescript", "const n: number = 6 * 7; console.log(n); n"},
    {"bash", "echo $((6 * 7))"},
};

bool snapshot_put_first_code(struct buf *b, const char *language)
{
    for (size_t i = 0; i < ARRAY_SIZE(snapshot_codes); i++) {
        if (strcmp(snapshot_codes[i].language, language) != 0)
            continue;
        size_t start = wire_begin(b, WIRE_CODE_RUN);
        wire_put_str(b, "");
        wire_put_str(b, language);
        wire_put_str(b, snapshot_codes[i].code);
        (void)buf_u32(b, 0);
        wire_put_list(b, NULL);
        wire_end(b, start);
        return true;
    }
    return false;
}
