/* SPDX-License-Identifier: Apache-2.0 */
#include "network/packet.h"

#include <errno.h>
#include <string.h>

static void packet_get_text(struct cursor *c, char *out, size_t size)
{
    struct span s = wire_get_span(c);
    if (s.len >= size || memchr(s.data, '\0', s.len) != NULL) {
        c->bad = true;
        return;
    }
    memcpy(out, s.data, s.len);
    out[s.len] = '\0';
}

static void packet_get_id(struct cursor *c, struct packet *p)
{
    packet_get_text(c, p->id, sizeof(p->id));
    c->bad = c->bad || p->id[0] == '\0';
}

static bool packet_get_event(struct cursor *c, struct packet *p)
{
    struct packet_event *e = &p->event;
    packet_get_id(c, p);
    uint32_t what = cursor_u32(c);
    e->host = wire_get_str(c);
    packet_get_text(c, e->address, sizeof(e->address));
    e->port = cursor_u16(c);
    uint32_t reason = cursor_u32(c);
    e->what = (enum egress_what)what;
    e->reason = (enum egress_reason)reason;
    return cursor_end(c) && e->host != NULL && strlen(e->host) <= PACKET_MAX_HOST &&
           what >= EGRESS_FLOW_OPENED && what <= EGRESS_NAME_DENIED && reason < EGRESS_REASON_COUNT;
}

static bool packet_get_meter(struct cursor *c, struct packet *p)
{
    packet_get_id(c, p);
    p->meter.rx = cursor_u64(c);
    p->meter.tx = cursor_u64(c);
    p->meter.flows = cursor_u32(c);
    return cursor_end(c);
}

static bool packet_get_stats(struct cursor *c, struct packet *p)
{
    struct packet_stats *s = &p->stats;
    s->flows = cursor_u64(c);
    s->open = cursor_u32(c);
    s->lookups = cursor_u64(c);
    s->lookup_us = cursor_u64(c);
    uint32_t count = cursor_u32(c);
    for (uint32_t i = 0; i < MIN(count, PACKET_MAX_REASONS); i++) {
        uint64_t n = cursor_u64(c);
        if (i < EGRESS_REASON_COUNT)
            s->denials[i] = n;
    }
    return cursor_end(c);
}

int packet_read(const void *data, size_t len, struct packet *ret)
{
    struct cursor c = cursor_on(data, len);
    bool ok = false;
    *ret = (struct packet){.type = EGRESS_READY};
    uint32_t payload = cursor_u32(&c);
    ret->type = (enum egress_type)cursor_u16(&c);
    if (cursor_u16(&c) != 0 || !cursor_ok(&c) || payload != c.left)
        return -EPROTO;
    switch (ret->type) {
    case EGRESS_READY:
        ret->pid = cursor_u32(&c);
        ok = cursor_end(&c);
        break;
    case EGRESS_EVENT:
        ok = packet_get_event(&c, ret);
        break;
    case EGRESS_METER:
        ok = packet_get_meter(&c, ret);
        break;
    case EGRESS_STATS:
        ok = packet_get_stats(&c, ret);
        break;
    default:
        break;
    }
    if (!ok)
        packet_done(ret);
    return ok ? 0 : -EPROTO;
}

void packet_done(struct packet *p)
{
    if (p->type == EGRESS_EVENT)
        free(TAKE_PTR(p->event.host));
}

static void packet_put_list(struct buf *b, char *const *items)
{
    wire_put_list(b, (const char *const *)items);
}

void packet_put_setup(struct buf *b, const struct packet_setup *s)
{
    /* A buffer that grew behind the key would leave a copy of it. */
    (void)buf_reserve(b, EGRESS_MAX_FRAME);
    size_t start = wire_begin(b, (enum wire_type)EGRESS_SETUP);
    (void)buf_u32(b, s->otherwise);
    packet_put_list(b, s->allow);
    packet_put_list(b, s->deny);
    wire_put_str(b, s->ca_cert);
    wire_put_str(b, s->ca_key);
    wire_end(b, start);
}

static void packet_put_id(struct buf *b, enum egress_type type, const char *id)
{
    size_t start = wire_begin(b, (enum wire_type)type);
    wire_put_str(b, id);
    wire_end(b, start);
}

void packet_put_sandbox(struct buf *b, const char *id)
{
    packet_put_id(b, EGRESS_SANDBOX, id);
}

void packet_put_drop(struct buf *b, const char *id)
{
    packet_put_id(b, EGRESS_DROP, id);
}

void packet_put_policy(struct buf *b, const char *id, const struct network_policy *p,
                       enum egress_default fallback, struct secrets *secrets, const char *account)
{
    size_t start = wire_begin(b, (enum wire_type)EGRESS_POLICY);
    wire_put_str(b, id);
    (void)buf_u32(b, p->otherwise != 0 ? p->otherwise : (uint32_t)fallback);
    packet_put_list(b, p->allow.items);
    packet_put_list(b, p->deny.items);
    (void)buf_u32(b, p->log);
    (void)buf_u32(b, p->limits.flows);
    (void)buf_u32(b, p->limits.names);
    (void)buf_u64(b, p->limits.bytes_per_sec);
    network_transforms_put(b, &p->transforms, secrets, account);
    wire_end(b, start);
}
