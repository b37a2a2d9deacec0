/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of a kept code run, which a kernel may have written: however it is cut into pieces,
 * the record is the same, it is whole frames of the kinds that it may have, and it has no more
 * bytes than there was room for. The input's first bytes choose the room and the length of the
 * pieces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAST_MAX (4096u + WIRE_HEADER_SIZE)

struct record {
    struct agent agent;
    struct kepts kepts;
    struct kept kept;
    int rv;
};

static void require(bool what)
{
    if (!what)
        abort();
}

static void take(struct record *r, size_t room, const uint8_t *data, size_t size, size_t piece)
{
    *r = (struct record){.rv = 0};
    r->agent.kepts = &r->kepts;
    r->kept.agent = &r->agent;
    list_init(&r->kepts.list);
    for (size_t i = 0; i < KEPT_KINDS; i++)
        r->kept.room[i] = room;
    while (size > 0 && r->rv == 0) {
        size_t n = MIN(size, piece);
        r->rv = journal_take(&r->kept, data, n);
        data += n;
        size -= n;
    }
}

static void check(const struct record *r, size_t room)
{
    const struct kept_journal *j = &r->kept.journal;
    struct cursor c = cursor_on(j->frames.data, j->whole);
    require(j->whole <= j->frames.len && j->frames.len <= room * KEPT_KINDS + LAST_MAX);
    require(r->kept.bytes == j->frames.len && r->kepts.bytes == j->frames.len);
    while (c.left > 0) {
        uint32_t len = cursor_u32(&c);
        uint16_t type = cursor_u16(&c);
        require(cursor_u16(&c) == 0);
        (void)cursor_bytes(&c, len);
        require(cursor_ok(&c));
        require(type == WIRE_ERROR || (type >= WIRE_CODE_STREAM && type <= WIRE_CODE_DONE) ||
                type == WIRE_CODE_BEGUN);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record whole, pieces;
    if (size < 3)
        return 0;
    size_t room = (size_t)data[0] << (data[1] % 8);
    take(&whole, room, data + 3, size - 3, size);
    take(&pieces, room, data + 3, size - 3, 1u + data[2] % 32);
    check(&whole, room);
    check(&pieces, room);
    require(whole.rv == pieces.rv);
    require(whole.kept.journal.whole == pieces.kept.journal.whole);
    require(whole.kept.journal.whole == 0 ||
            memcmp(whole.kept.journal.frames.data, pieces.kept.journal.frames.data,
                   whole.kept.journal.whole) == 0);
    if (whole.rv <= 0) {
        journal_put_error(&whole.kept, WIRE_E_INTERNAL, "it is over");
        check(&whole, room);
    }
    buf_done(&whole.kept.journal.frames);
    buf_done(&pieces.kept.journal.frames);
    return 0;
}
