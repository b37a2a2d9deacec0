/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - see record.h. A field that is appended raises the version, and a record of an older
 * one is read with what it has: a new server meets the records of the one before it. */
#include "sandbox/record.h"

#include <errno.h>
#include <string.h>

#include "store/record.h"

/* 2: idempotency key and request hash; 3: name and time of creation; 4: the start of the host;
 * 5: network policy, bytes from the network and to it; 6: what becomes of it in time, its pause;
 * 7: its ties; 8: it is stored; 9: the template's time, the snapshot that it began with */
#define SANDBOX_RECORD 9

void sandbox_record_encode(struct buf *out, const struct sandbox *sb)
{
    record_begin(out, SANDBOX_RECORD);
    record_str(out, sb->template_id);
    record_str(out, sb->template_name);
    record_str(out, sb->owner.account);
    record_str(out, sb->owner.provider);
    record_str(out, sb->owner.region);
    record_str(out, sb->owner.metadata);
    record_str(out, sb->reason);
    (void)buf_u8(out, (uint8_t)sb->status);
    record_i64(out, sb->started_ms);
    record_i64(out, sb->ended_ms);
    record_i64(out, sb->timeout_at_ms);
    (void)buf_u32(out, sb->vcpus);
    (void)buf_u32(out, sb->memory_mb);
    (void)buf_u32(out, sb->disk_mb);
    (void)buf_u32(out, (uint32_t)sb->handle.pid);
    (void)buf_u64(out, sb->handle.start_time);
    record_str(out, sb->owner.idempotency_key);
    (void)buf_u64(out, sb->owner.request_hash);
    record_str(out, sb->owner.name);
    record_i64(out, sb->created_ms);
    record_i64(out, sb->timeout_boot_ms);
    record_str(out, sb->boot_id);
    record_str(out, sb->owner.network);
    (void)buf_u64(out, sb->net.rx);
    (void)buf_u64(out, sb->net.tx);
    (void)buf_u32(out, sb->owner.timeout_s);
    (void)buf_u8(out, sb->owner.life.pause_at_timeout);
    (void)buf_u8(out, sb->owner.life.auto_resume);
    (void)buf_u32(out, sb->owner.life.idle_s);
    record_i64(out, sb->paused_ms);
    (void)buf_u64(out, sb->disk_bytes);
    record_str(out, sb->owner.ties);
    (void)buf_u8(out, sb->stored);
    record_i64(out, sb->template_ms);
    record_str(out, sb->snapshot_id);
}

/* A record of before has no time-out to resume with, and none that was paused. */
static void record_decode_pause(struct sandbox *sb, struct cursor *c)
{
    sb->owner.timeout_s = cursor_u32(c);
    sb->owner.life.pause_at_timeout = cursor_u8(c) != 0;
    sb->owner.life.auto_resume = cursor_u8(c) != 0;
    sb->owner.life.idle_s = cursor_u32(c);
    sb->paused_ms = record_get_i64(c);
    sb->disk_bytes = cursor_u64(c);
}

static void record_decode_origin(struct sandbox *sb, struct cursor *c, int version)
{
    if (version < 9)
        return;
    sb->template_ms = record_get_i64(c);
    record_get_text(c, sb->snapshot_id, sizeof(sb->snapshot_id));
}

int sandbox_record_decode(struct sandbox *sb, const void *key, size_t keylen, const void *val,
                          size_t vallen)
{
    struct cursor c;
    char id[ID_SIZE] = "";
    int version = record_open(&c, val, vallen, SANDBOX_RECORD);
    if (keylen != ID_SIZE - 1 || version < 0)
        return -EPROTO;
    memcpy(id, key, keylen);
    if (id_parse(sb->id, id) < 0)
        return -EPROTO;
    record_get_text(&c, sb->template_id, sizeof(sb->template_id));
    sb->template_name = record_get_str(&c);
    sb->owner.account = record_get_str(&c);
    sb->owner.provider = record_get_str(&c);
    sb->owner.region = record_get_str(&c);
    sb->owner.metadata = record_get_str(&c);
    sb->reason = record_get_str(&c);
    uint8_t status = cursor_u8(&c);
    sb->started_ms = record_get_i64(&c);
    sb->ended_ms = record_get_i64(&c);
    sb->timeout_at_ms = record_get_i64(&c);
    sb->vcpus = cursor_u32(&c);
    sb->memory_mb = cursor_u32(&c);
    sb->disk_mb = cursor_u32(&c);
    sb->handle.pid = (int32_t)cursor_u32(&c);
    sb->handle.start_time = cursor_u64(&c);
    if (version >= 2) {
        sb->owner.idempotency_key = record_get_str(&c);
        sb->owner.request_hash = cursor_u64(&c);
    }
    sb->created_ms = sb->started_ms;
    if (version >= 3) {
        sb->owner.name = record_get_str(&c);
        sb->created_ms = record_get_i64(&c);
    }
    if (version >= 4) {
        sb->timeout_boot_ms = record_get_i64(&c);
        record_get_text(&c, sb->boot_id, sizeof(sb->boot_id));
    }
    if (version >= 5) {
        sb->owner.network = record_get_str(&c);
        sb->net.rx = cursor_u64(&c);
        sb->net.tx = cursor_u64(&c);
    }
    int64_t life = (sb->timeout_at_ms - sb->started_ms) / 1000;
    sb->owner.timeout_s = sb->timeout_at_ms != 0 ? (unsigned int)MAX(life, (int64_t)1)
                                                 : SANDBOX_NO_TIMEOUT;
    if (version >= 6)
        record_decode_pause(sb, &c);
    if (version >= 7)
        sb->owner.ties = record_get_str(&c);
    if (version >= 8)
        sb->stored = cursor_u8(&c) != 0 && status == SANDBOX_STATUS_STOPPED;
    record_decode_origin(sb, &c, version);
    sb->handle.paused = status == SANDBOX_STATUS_STOPPED;
    sb->status = (enum sandbox_status)status;
    if (record_end(&c) < 0 || status >= SANDBOX_STATUS_COUNT || sb->template_name == NULL ||
        sb->owner.account == NULL || sb->owner.metadata == NULL)
        return -EPROTO;
    return 0;
}
