/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/meter.h"

#include "egress/egress.h"
#include "egress/tenant.h"

static void meter_on_timer(uv_timer_t *timer)
{
    struct egress *e = timer->data;
    e->meter.running = false;
    meter_flush(e);
}

int meter_init(struct egress *e)
{
    e->meter = (struct meter){.running = false};
    e->meter.timer.data = e;
    return uv_timer_init(&e->loop, &e->meter.timer);
}

void meter_touch(struct egress *e)
{
    struct meter *m = &e->meter;
    m->dirty = true;
    if (m->running)
        return;
    m->running = true;
    (void)uv_timer_start(&m->timer, meter_on_timer, METER_MS, 0);
}

static int meter_send_tenant(struct egress *e, struct tenant *t)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, (enum wire_type)EGRESS_METER);
    wire_put_str(&b, t->id);
    (void)buf_u64(&b, t->bytes.rx);
    (void)buf_u64(&b, t->bytes.tx);
    (void)buf_u32(&b, t->open);
    wire_end(&b, start);
    int rv = ctl_send(&e->ctl, &b);
    buf_done(&b);
    return rv;
}

static int meter_send_stats(struct egress *e)
{
    const struct meter *m = &e->meter;
    struct buf b = {0};
    size_t start = wire_begin(&b, (enum wire_type)EGRESS_STATS);
    (void)buf_u64(&b, m->flows);
    (void)buf_u32(&b, (uint32_t)m->open);
    (void)buf_u64(&b, e->resolver.lookups);
    (void)buf_u64(&b, e->resolver.lookup_us);
    (void)buf_u32(&b, EGRESS_REASON_COUNT);
    for (size_t i = 0; i < EGRESS_REASON_COUNT; i++)
        (void)buf_u64(&b, m->denials[i]);
    wire_end(&b, start);
    int rv = ctl_send(&e->ctl, &b);
    buf_done(&b);
    return rv;
}

void meter_flush(struct egress *e)
{
    struct meter *m = &e->meter;
    if (m->running || !m->dirty)
        return;
    list_for_each (it, &e->tenants) {
        struct tenant *t = list_entry(it, struct tenant, node);
        if (!t->bytes.dirty)
            continue;
        if (meter_send_tenant(e, t) < 0)
            return; /* ctl.c calls again when the server reads */
        t->bytes.dirty = false;
    }
    if (meter_send_stats(e) == 0)
        m->dirty = false;
}
