/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.c - frames as they arrive, in any pieces.
 *
 * A part of a frame is recorded at once; views get whole frames only (journal->whole). Once a frame
 * of a kind has no room, the rest of that kind is left out: a record with a gap would look like a
 * complete one. The last frame is always recorded.
 */
#include "agent/journal.h"

#include <errno.h>

#include "agent/agent.h"

#define JOURNAL_LAST_MAX                                                                           \
    4096u /* payload of a frame that is recorded without room: no CODE_DONE or ERROR is larger */

static int journal_kind(enum wire_type type, uint8_t stream)
{
    switch (type) {
    case WIRE_CODE_STREAM:
        return stream == 1 ? KEPT_STDOUT : KEPT_STDERR;
    case WIRE_CODE_BEGUN:
    case WIRE_CODE_RESULT:
        return KEPT_RESULT;
    case WIRE_CODE_DISPLAY:
        return KEPT_DISPLAY;
    case WIRE_CODE_ERROR:
        return KEPT_ERROR;
    default:
        return -1;
    }
}

static void journal_record(struct kept *k, const void *data, size_t len)
{
    if (buf_append(&k->journal.frames, data, len) < 0)
        return;
    k->bytes += len;
    k->agent->kepts->bytes += len;
}

/* The head of a frame is complete: decides whether to record the frame. -EPROTO: it is invalid. */
static int journal_begin_frame(struct kept *k)
{
    struct kept_journal *j = &k->journal;
    struct cursor c = cursor_on(j->head, WIRE_HEADER_SIZE);
    uint32_t len = cursor_u32(&c);
    enum wire_type type = (enum wire_type)cursor_u16(&c);
    int kind = journal_kind(type, j->head[WIRE_HEADER_SIZE]);
    j->last = type == WIRE_CODE_DONE || type == WIRE_ERROR;
    if (cursor_u16(&c) != 0 || len > WIRE_MAX_PAYLOAD)
        return -EPROTO;
    if (kind < 0 && (!j->last || len > JOURNAL_LAST_MAX))
        return -EPROTO;
    j->recording = kind < 0 || kept_take_room(k, (enum kept_kind)kind, len + WIRE_HEADER_SIZE);
    j->body_left = len - (j->head_len - WIRE_HEADER_SIZE);
    j->in_body = true;
    if (j->recording)
        journal_record(k, j->head, j->head_len);
    return 0;
}

/* One more byte of a head. The head of CODE_STREAM includes the first byte of the payload, which
 * names the stream: room is counted per stream. */
static int journal_take_head(struct kept *k, uint8_t byte)
{
    struct kept_journal *j = &k->journal;
    j->head[j->head_len++] = byte;
    if (j->head_len < WIRE_HEADER_SIZE)
        return 0;
    struct cursor c = cursor_on(j->head, WIRE_HEADER_SIZE);
    bool empty = cursor_u32(&c) == 0;
    bool stream = cursor_u16(&c) == WIRE_CODE_STREAM;
    return stream && !empty && j->head_len == WIRE_HEADER_SIZE ? 0 : journal_begin_frame(k);
}

int journal_take(struct kept *k, const uint8_t *data, size_t len)
{
    struct kept_journal *j = &k->journal;
    while (len > 0 || (j->in_body && j->body_left == 0)) {
        if (!j->in_body) {
            int rv = journal_take_head(k, *data++);
            len--;
            if (rv < 0)
                return rv;
            continue;
        }
        size_t n = MIN(len, j->body_left);
        if (j->recording)
            journal_record(k, data, n);
        data += n;
        len -= n;
        j->body_left -= n;
        if (j->body_left > 0)
            continue;
        j->in_body = false;
        j->head_len = 0;
        j->whole = j->frames.len;
        if (j->last)
            return 1;
    }
    return 0;
}

void journal_put_error(struct kept *k, enum wire_error code, const char *message)
{
    struct kept_journal *j = &k->journal;
    k->bytes -= j->frames.len - j->whole;
    k->agent->kepts->bytes -= j->frames.len - j->whole;
    j->frames.len = j->whole;
    (void)wire_put_error(&j->frames, code, message);
    k->bytes += j->frames.len - j->whole;
    k->agent->kepts->bytes += j->frames.len - j->whole;
    j->whole = j->frames.len;
}
