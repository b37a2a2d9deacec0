/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/internal.h"
#include "store/record.h"

#define SNAPSHOT_RECORD 3

static const char *const snapshot_kinds[SNAPSHOT_KIND_COUNT] = {"disk", "memory"};

const char *snapshot_kind_str(enum snapshot_kind kind)
{
    return snapshot_kinds[kind];
}

void snapshot_encode(struct buf *out, const struct snapshot *sn)
{
    record_begin(out, SNAPSHOT_RECORD);
    record_str(out, sn->account);
    record_str(out, sn->name);
    record_str(out, sn->sandbox_id);
    record_str(out, sn->template_id);
    record_str(out, sn->template_name);
    record_i64(out, sn->template_ms);
    record_str(out, sn->driver);
    (void)buf_u8(out, (uint8_t)sn->kind);
    (void)buf_u32(out, sn->vcpus);
    (void)buf_u32(out, sn->memory_mb);
    (void)buf_u32(out, sn->disk_mb);
    record_i64(out, sn->created_ms);
    (void)buf_u64(out, sn->bytes);
    record_str(out, sn->description);
    record_str(out, sn->provider);
    record_str(out, sn->region);
    (void)buf_u8(out, (uint8_t)sn->source);
    record_bool(out, sn->inactive);
    record_i64(out, sn->updated_ms);
    record_i64(out, sn->used_ms);
    record_bool(out, sn->shared);
    record_str(out, sn->origin_id);
}

/* What versions 2 and 3 have brought. 0, or -EPROTO. */
static int decode_more(struct snapshot *sn, struct cursor *c, int version)
{
    uint8_t source = SNAPSHOT_OF_REQUEST;
    sn->updated_ms = sn->created_ms;
    if (version >= 2) {
        sn->description = record_get_str(c);
        sn->provider = record_get_str(c);
        sn->region = record_get_str(c);
        source = cursor_u8(c);
        sn->inactive = record_get_bool(c);
        sn->updated_ms = record_get_i64(c);
        sn->used_ms = record_get_i64(c);
    } else {
        sn->description = strdup("");
        sn->provider = strdup("");
        sn->region = strdup("");
    }
    if (version >= 3) {
        sn->shared = record_get_bool(c);
        record_get_text(c, sn->origin_id, sizeof(sn->origin_id));
    }
    sn->source = (enum snapshot_source)source;
    bool whole = sn->description != NULL && sn->provider != NULL && sn->region != NULL &&
                 (!sn->shared || sn->name != NULL);
    return whole && source < SNAPSHOT_SOURCE_COUNT ? 0 : -EPROTO;
}

int snapshot_decode(struct snapshot *sn, const void *key, size_t keylen, const void *val,
                    size_t vallen)
{
    struct cursor c;
    char id[ID_SIZE] = "";
    int version = record_open(&c, val, vallen, SNAPSHOT_RECORD);
    if (keylen != ID_SIZE - 1 || version < 0)
        return -EPROTO;
    memcpy(id, key, keylen);
    if (id_parse(sn->id, id) < 0)
        return -EPROTO;
    sn->account = record_get_str(&c);
    sn->name = record_get_str(&c);
    record_get_text(&c, sn->sandbox_id, sizeof(sn->sandbox_id));
    record_get_text(&c, sn->template_id, sizeof(sn->template_id));
    sn->template_name = record_get_str(&c);
    sn->template_ms = record_get_i64(&c);
    sn->driver = record_get_str(&c);
    uint8_t kind = cursor_u8(&c);
    sn->vcpus = cursor_u32(&c);
    sn->memory_mb = cursor_u32(&c);
    sn->disk_mb = cursor_u32(&c);
    sn->created_ms = record_get_i64(&c);
    sn->bytes = cursor_u64(&c);
    sn->kind = (enum snapshot_kind)kind;
    if (decode_more(sn, &c, version) < 0 || record_end(&c) < 0 || kind >= SNAPSHOT_KIND_COUNT ||
        sn->account == NULL || sn->template_name == NULL || sn->driver == NULL)
        return -EPROTO;
    return 0;
}

void snapshot_free_strings(struct snapshot *sn)
{
    free(sn->account);
    free(sn->name);
    free(sn->template_name);
    free(sn->driver);
    free(sn->description);
    free(sn->provider);
    free(sn->region);
}
