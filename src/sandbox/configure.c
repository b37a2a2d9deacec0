/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/configure.h"

#include <stdio.h>
#include <time.h>

static void put_clock(struct sandbox *sb, struct buf *payload)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    sb->clock_sent_ns = uv_hrtime();
    (void)buf_u64(payload, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

void sandbox_configure_opened(struct agent_call *call)
{
    struct sandbox *sb = container_of(call, struct sandbox, op);
    cleanup_buf struct buf payload = {0};
    uint8_t seed[32];
    char hostname[9];
    if (sb->phase != SANDBOX_CONFIGURING)
        return;
    put_clock(sb, &payload);
    if (sb->clock_tries == 0) {
        id_random(seed, sizeof(seed));
        (void)snprintf(hostname, sizeof(hostname), "%.8s", sb->id);
        wire_put_span(&payload, seed, sizeof(seed));
        wire_put_str(&payload, hostname);
        wire_put_list(&payload, (const char *const *)sb->owner.env);
    }
    /* A failure comes as the end of the connection, or of the time. */
    (void)agent_call_send(call, sb->clock_tries == 0 ? WIRE_CONFIGURE : WIRE_CLOCK, payload.data,
                          payload.len);
}

bool sandbox_take_clock_age(struct sandbox *sb, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint64_t passed = (uv_hrtime() - sb->clock_sent_ns) / 1000;
    uint64_t age = frame->type == WIRE_CONFIGURED ? cursor_u64(&c) : 1;
    sb->clock_late = age != 0 && passed - MIN(age, passed) > SANDBOX_CLOCK_LATE_MS * 1000;
    return cursor_end(&c);
}
