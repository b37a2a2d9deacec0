/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_record.c - a bundle as bytes in the store (table BUNDLES). */
#include <errno.h>
#include <string.h>

#include "auth/bundle.h"
#include "store/record.h"

#define BUNDLE_VERSION 1
#define BUNDLE_SEALED  (SECRET_MAX_VALUE + 64) /* more bytes than any encrypted value has */

void bundle_entry_done(struct bundle_entry *e)
{
    free(e->name);
    free(e->description);
    buf_done(&e->value);
    *e = (struct bundle_entry){.port = 0};
}

void bundle_done(struct bundle *b)
{
    free(b->name);
    free(b->description);
    for (size_t i = 0; i < b->count; i++)
        bundle_entry_done(&b->entries[i]);
    free(b->entries);
    b->name = b->description = NULL;
    b->entries = NULL;
    b->count = 0;
}

static void bundle_encode_entry(struct buf *out, const struct bundle_entry *e)
{
    record_str(out, e->id);
    record_str(out, e->name);
    record_str(out, e->description);
    (void)buf_u32(out, (uint32_t)e->value.len);
    record_bytes(out, e->value.data, e->value.len);
    (void)buf_u16(out, e->port);
    (void)buf_u8(out, e->protocol);
    record_i64(out, e->created_ms);
    record_i64(out, e->updated_ms);
}

void bundle_encode(struct buf *out, const struct bundle *b)
{
    record_begin(out, BUNDLE_VERSION);
    record_str(out, b->id);
    (void)buf_u8(out, (uint8_t)b->kind);
    record_str(out, b->account);
    record_str(out, b->name);
    record_str(out, b->description);
    (void)buf_u8(out, b->mode);
    record_bool(out, b->is_default);
    record_bool(out, b->is_active);
    record_i64(out, b->created_ms);
    record_i64(out, b->updated_ms);
    (void)buf_u32(out, (uint32_t)b->count);
    for (size_t i = 0; i < b->count; i++)
        bundle_encode_entry(out, &b->entries[i]);
}

static int bundle_decode_entry(struct bundle_entry *e, struct cursor *c)
{
    record_get_text(c, e->id, sizeof(e->id));
    e->name = record_get_str(c);
    e->description = record_get_str(c);
    uint32_t len = cursor_u32(c);
    const uint8_t *bytes = len <= BUNDLE_SEALED ? cursor_bytes(c, len) : NULL;
    if (len > 0 && (bytes == NULL || buf_append(&e->value, bytes, len) < 0))
        return -EPROTO;
    e->port = cursor_u16(c);
    e->protocol = cursor_u8(c);
    e->created_ms = record_get_i64(c);
    e->updated_ms = record_get_i64(c);
    return cursor_ok(c) && e->name != NULL && e->protocol <= BUNDLE_ANY ? 0 : -EPROTO;
}

int bundle_decode(struct bundle *b, const void *data, size_t len)
{
    struct cursor c;
    char id[ID_SIZE];
    if (record_open(&c, data, len, BUNDLE_VERSION) < 0)
        return -EPROTO;
    record_get_text(&c, b->id, sizeof(b->id));
    b->kind = (enum bundle_kind)cursor_u8(&c);
    record_get_text(&c, b->account, sizeof(b->account));
    b->name = record_get_str(&c);
    b->description = record_get_str(&c);
    b->mode = cursor_u8(&c);
    b->is_default = record_get_bool(&c);
    b->is_active = record_get_bool(&c);
    b->created_ms = record_get_i64(&c);
    b->updated_ms = record_get_i64(&c);
    uint32_t count = cursor_u32(&c);
    if (!cursor_ok(&c) || count > BUNDLE_MAX_ENTRIES || b->name == NULL ||
        (b->kind != BUNDLE_POLICY && b->kind != BUNDLE_PROVIDER) || b->mode > BUNDLE_DENY_ALL ||
        id_parse(id, b->id) < 0)
        return -EPROTO;
    b->entries = count > 0 ? calloc(count, sizeof(*b->entries)) : NULL;
    if (count > 0 && b->entries == NULL)
        return -ENOMEM;
    b->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (bundle_decode_entry(&b->entries[i], &c) < 0)
            return -EPROTO;
    }
    return record_end(&c);
}
