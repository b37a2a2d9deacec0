/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - see reply.h. Each decoder reads all fields first and judges once at its end: a cursor
 * that has run out gives zeros and remembers that it has. */
#include "wire/reply.h"

#include <stdio.h>

static struct cursor fields_of(const struct wire_frame *frame)
{
    return cursor_on(frame->payload, frame->len);
}

static bool get_bool(struct cursor *c)
{
    uint32_t v = cursor_u32(c);
    if (v > 1)
        c->bad = true;
    return v == 1;
}

bool wire_reply_is(const struct wire_frame *frame, enum wire_type type)
{
    return frame->type == type && frame->len == 0;
}

bool wire_reply_pong(const struct wire_frame *frame)
{
    struct cursor c = fields_of(frame);
    (void)cursor_u32(&c); /* the version: the server installs the agent that it talks to */
    (void)cursor_u64(&c); /* uptime */
    return frame->type == WIRE_PONG && cursor_end(&c);
}

bool wire_reply_configured(const struct wire_frame *frame, uint64_t *age_us)
{
    struct cursor c = fields_of(frame);
    *age_us = cursor_u64(&c);
    return frame->type == WIRE_CONFIGURED && cursor_end(&c);
}

static struct wire_exit get_exit(struct cursor *c)
{
    struct wire_exit e;
    e.code = (int32_t)cursor_u32(c);
    e.signal = cursor_u32(c);
    uint32_t cause = cursor_u32(c);
    c->bad = c->bad || cause > WIRE_CAUSE_KILLED;
    e.cause = (enum wire_cause)cause;
    e.timed_out = cause == WIRE_CAUSE_TIMED_OUT;
    e.duration_us = cursor_u64(c);
    return e;
}

bool wire_reply_exit(const struct wire_frame *frame, struct wire_exit *ret)
{
    struct cursor c = fields_of(frame);
    *ret = get_exit(&c);
    return frame->type == WIRE_EXIT && cursor_end(&c);
}

bool wire_reply_process_exit(const struct wire_frame *frame, struct wire_exit *ret)
{
    struct cursor c = fields_of(frame);
    *ret = get_exit(&c);
    return frame->type == WIRE_PROCESS_EXIT && cursor_end(&c);
}

/* A view of the elements of a list, which are walked through once to find its end. */
static struct cursor get_words(struct cursor *c)
{
    uint32_t count = cursor_u32(c);
    struct cursor words = *c;
    if (count > WIRE_MAX_LIST)
        c->bad = true;
    for (uint32_t i = 0; i < count && cursor_ok(c); i++)
        (void)wire_get_span(c);
    words.left -= c->left;
    return words;
}

bool wire_next_word(struct cursor *list, struct span *ret)
{
    if (list->left == 0)
        return false;
    *ret = wire_get_span(list);
    return cursor_ok(list);
}

bool wire_reply_process(const struct wire_frame *frame, struct wire_process *ret)
{
    struct cursor c = fields_of(frame);
    ret->id = cursor_u64(&c);
    ret->pid = cursor_u32(&c);
    ret->tag = wire_get_span(&c);
    ret->argv = get_words(&c);
    ret->cwd = wire_get_span(&c);
    ret->flags = cursor_u32(&c);
    ret->started_ms = (int64_t)cursor_u64(&c);
    ret->first_seq = cursor_u64(&c);
    ret->next_seq = cursor_u64(&c);
    ret->ended = get_bool(&c);
    ret->exit = (struct wire_exit){0};
    if (ret->ended)
        ret->exit = get_exit(&c);
    bool sized = (ret->flags & WIRE_PROCESS_PTY) != 0 && c.left > 0;
    ret->columns = sized ? cursor_u32(&c) : 0;
    ret->rows = sized ? cursor_u32(&c) : 0;
    return frame->type == WIRE_PROCESS && cursor_end(&c);
}

bool wire_reply_output(const struct wire_frame *frame, struct wire_output *ret)
{
    struct cursor c = fields_of(frame);
    ret->seq = cursor_u64(&c);
    uint32_t stream = cursor_u32(&c);
    ret->stream = (enum wire_stream)stream;
    ret->bytes = (struct span){(const char *)c.p, c.left};
    return frame->type == WIRE_OUTPUT && cursor_ok(&c) && ret->seq > 0 &&
           stream >= WIRE_STREAM_STDOUT && stream <= WIRE_STREAM_PTY;
}

bool wire_reply_gap(const struct wire_frame *frame, uint64_t *next_seq)
{
    struct cursor c = fields_of(frame);
    *next_seq = cursor_u64(&c);
    return frame->type == WIRE_GAP && cursor_end(&c) && *next_seq > 0;
}

bool wire_reply_kept(const struct wire_frame *frame, struct wire_kept *ret)
{
    struct cursor c = fields_of(frame);
    ret->ran_us = cursor_u64(&c);
    ret->ended = get_bool(&c);
    return frame->type == WIRE_KEPT && cursor_end(&c);
}

static struct wire_stat get_stat(struct cursor *c)
{
    struct wire_stat s;
    s.name = wire_get_span(c);
    s.path = wire_get_span(c);
    s.size = cursor_u64(c);
    uint32_t kind = cursor_u32(c);
    c->bad = c->bad || kind < WIRE_KIND_FILE || kind > WIRE_KIND_OTHER;
    s.kind = (enum wire_kind)kind;
    s.mode = cursor_u32(c);
    s.mtime_ns = (int64_t)cursor_u64(c);
    return s;
}

bool wire_reply_stat(const struct wire_frame *frame, struct wire_stat *ret)
{
    struct cursor c = fields_of(frame);
    *ret = get_stat(&c);
    return (frame->type == WIRE_STAT || frame->type == WIRE_ENTRY) && cursor_end(&c);
}

/* A kind that may be unknown (0). */
static uint32_t get_kind(struct cursor *c)
{
    uint32_t kind = cursor_u32(c);
    c->bad = c->bad || kind > WIRE_KIND_OTHER;
    return kind;
}

bool wire_reply_info(const struct wire_frame *frame, struct wire_info *ret)
{
    struct cursor c = fields_of(frame);
    ret->stat = get_stat(&c);
    ret->uid = cursor_u32(&c);
    ret->gid = cursor_u32(&c);
    ret->owner = wire_get_span(&c);
    ret->group = wire_get_span(&c);
    ret->target_kind = get_kind(&c);
    ret->target = wire_get_span(&c);
    ret->attributes = c.left > 0 ? get_words(&c) : (struct cursor){0};
    return frame->type == WIRE_INFO && cursor_end(&c);
}

bool wire_reply_match(const struct wire_frame *frame, struct wire_match *ret)
{
    struct cursor c = fields_of(frame);
    ret->path = wire_get_span(&c);
    ret->line = cursor_u64(&c);
    ret->column = cursor_u64(&c);
    ret->text = wire_get_span(&c);
    return frame->type == WIRE_MATCH && cursor_end(&c);
}

bool wire_reply_replaced(const struct wire_frame *frame, struct wire_replaced *ret)
{
    struct cursor c = fields_of(frame);
    ret->path = wire_get_span(&c);
    ret->count = cursor_u64(&c);
    return frame->type == WIRE_REPLACED && cursor_end(&c) && ret->count > 0;
}

bool wire_reply_found(const struct wire_frame *frame, struct wire_found *ret)
{
    struct cursor c = fields_of(frame);
    ret->files = cursor_u64(&c);
    ret->count = cursor_u64(&c);
    ret->cut = get_bool(&c);
    return frame->type == WIRE_FOUND && cursor_end(&c);
}

bool wire_reply_change(const struct wire_frame *frame, struct wire_changed *ret)
{
    struct cursor c = fields_of(frame);
    uint32_t what = cursor_u32(&c);
    ret->what = (enum wire_change)what;
    ret->kind = get_kind(&c);
    ret->path = wire_get_span(&c);
    ret->new_path = wire_get_span(&c);
    return frame->type == WIRE_CHANGE && cursor_end(&c) && what >= WIRE_CHANGE_CREATE &&
           what <= WIRE_CHANGE_OVERFLOW;
}

bool wire_reply_written(const struct wire_frame *frame, struct wire_written *ret)
{
    struct cursor c = fields_of(frame);
    ret->path = wire_get_span(&c);
    ret->size = cursor_u64(&c);
    return frame->type == WIRE_WRITTEN && cursor_end(&c);
}

bool wire_reply_unpacked(const struct wire_frame *frame, struct wire_unpacked *ret)
{
    struct cursor c = fields_of(frame);
    ret->entries = cursor_u64(&c);
    ret->bytes = cursor_u64(&c);
    return frame->type == WIRE_UNPACKED && cursor_end(&c);
}

bool wire_reply_code_stream(const struct wire_frame *frame, struct wire_code_stream *ret)
{
    struct cursor c = fields_of(frame);
    uint8_t which = cursor_u8(&c);
    ret->is_stderr = which == 2;
    ret->time_ms = (int64_t)cursor_u64(&c);
    ret->text = wire_get_span(&c);
    return frame->type == WIRE_CODE_STREAM && cursor_end(&c) && (which == 1 || which == 2);
}

bool wire_reply_code_data(const struct wire_frame *frame, struct wire_code_data *ret)
{
    struct cursor c = fields_of(frame);
    ret->execution_count = frame->type == WIRE_CODE_RESULT ? cursor_u32(&c) : 0;
    ret->bundle = wire_get_span(&c);
    return (frame->type == WIRE_CODE_RESULT || frame->type == WIRE_CODE_DISPLAY) && cursor_end(&c);
}

bool wire_reply_code_error(const struct wire_frame *frame, struct wire_code_error *ret)
{
    struct cursor c = fields_of(frame);
    ret->name = wire_get_span(&c);
    ret->value = wire_get_span(&c);
    ret->traceback = wire_get_span(&c);
    return frame->type == WIRE_CODE_ERROR && cursor_end(&c);
}

bool wire_reply_code_begun(const struct wire_frame *frame, uint32_t *execution_count)
{
    struct cursor c = fields_of(frame);
    *execution_count = cursor_u32(&c);
    return frame->type == WIRE_CODE_BEGUN && cursor_end(&c);
}

bool wire_reply_code_done(const struct wire_frame *frame, struct wire_code_done *ret)
{
    struct cursor c = fields_of(frame);
    uint32_t status = cursor_u32(&c);
    ret->status = (enum wire_code_status)status;
    ret->execution_count = cursor_u32(&c);
    ret->how = (struct wire_exit){0};
    if (status == WIRE_CODE_KERNEL_DIED)
        ret->how = get_exit(&c);
    return frame->type == WIRE_CODE_DONE && cursor_end(&c) && status <= WIRE_CODE_KERNEL_DIED;
}

void wire_reply_death(const struct wire_code_done *done, char ret[WIRE_DEATH_TEXT_MAX])
{
    static const char after[] = "its state is gone and the next run starts a new one";
    const struct wire_exit *how = &done->how;
    if (how->cause == WIRE_CAUSE_MEMORY)
        (void)snprintf(ret, WIRE_DEATH_TEXT_MAX,
                       "The kernel was killed (oom) because the sandbox's memory is full; %s",
                       after);
    else if (how->signal != 0)
        (void)snprintf(ret, WIRE_DEATH_TEXT_MAX, "The kernel was ended by signal %u; %s",
                       how->signal, after);
    else
        (void)snprintf(ret, WIRE_DEATH_TEXT_MAX, "The kernel ended with exit status %d; %s",
                       how->code, after);
}

bool wire_reply_context(const struct wire_frame *frame, struct wire_context *ret)
{
    struct cursor c = fields_of(frame);
    ret->id = wire_get_span(&c);
    ret->language = wire_get_span(&c);
    ret->cwd = wire_get_span(&c);
    ret->status = wire_get_span(&c);
    ret->created_ms = (int64_t)cursor_u64(&c);
    ret->expires_ms = (int64_t)cursor_u64(&c);
    ret->last_used_ms = (int64_t)cursor_u64(&c);
    return frame->type == WIRE_CONTEXT && cursor_end(&c);
}

/* What an error of the agent is to a client of the API. */
static const enum error_code reply_error_codes[] = {
    [WIRE_E_PROTOCOL] = ERROR_INTERNAL,
    [WIRE_E_INVALID] = ERROR_INVALID_ARGUMENT,
    [WIRE_E_NOT_FOUND] = ERROR_FILE_NOT_FOUND,
    [WIRE_E_PERMISSION] = ERROR_PERMISSION_DENIED,
    [WIRE_E_IS_DIRECTORY] = ERROR_INVALID_PATH,
    [WIRE_E_NOT_DIRECTORY] = ERROR_INVALID_PATH,
    [WIRE_E_EXISTS] = ERROR_INVALID_PATH,
    [WIRE_E_NO_SPACE] = ERROR_NO_SPACE,
    [WIRE_E_TOO_LARGE] = ERROR_BODY_TOO_LARGE,
    [WIRE_E_BUSY] = ERROR_QUOTA_EXCEEDED,
    [WIRE_E_UNAVAILABLE] = ERROR_BAD_GATEWAY,
    [WIRE_E_CONTEXT] = ERROR_CONTEXT_NOT_FOUND,
    [WIRE_E_LANGUAGE] = ERROR_UNSUPPORTED_LANGUAGE,
    [WIRE_E_INTERNAL] = ERROR_INTERNAL,
    [WIRE_E_USER] = ERROR_UNKNOWN_USER,
};
_Static_assert(ARRAY_SIZE(reply_error_codes) == WIRE_E_LAST + 1,
               "an error of the agent has no meaning to clients");

bool wire_reply_failure(const struct wire_frame *frame, struct wire_failure *ret)
{
    struct cursor c = fields_of(frame);
    uint32_t code = cursor_u32(&c);
    ret->code = (enum wire_error)code;
    ret->message = wire_get_span(&c);
    return frame->type == WIRE_ERROR && cursor_end(&c) && code >= WIRE_E_PROTOCOL &&
           code < ARRAY_SIZE(reply_error_codes);
}

void wire_reply_error(const struct wire_frame *frame, struct error *ret)
{
    struct wire_failure f;
    if (wire_reply_failure(frame, &f))
        error_set(ret, reply_error_codes[f.code], "%.*s", (int)MIN(f.message.len, 200u),
                  f.message.data);
    else
        error_set(ret, ERROR_INTERNAL, "The sandbox's agent failed");
}
