/* SPDX-License-Identifier: Apache-2.0 */
/* configure.c - see configure.h. A restored guest continues with the clock of its snapshot, and one
 * that was paused in the pool with that of its pause; programs inside must never see either. */
#include "sandbox/configure.h"

#include <stdio.h>
#include <time.h>

#include "wire/reply.h"
#include "wire/request.h"

static uint64_t configure_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* It wakes up: what it is it knows. */
static void configure_encode_wake(const struct sandbox *sb, struct wire_configure_params *params)
{
    params->hostname = "";
    params->env = NULL;
    params->keep = true;
    params->afresh = false;
    params->reseed = sb->resume_from != NULL;
}

/* Entropy is fresh for each sandbox: clones of one snapshot would otherwise draw the same. */
static void configure_encode(const struct sandbox *sb, struct buf *request)
{
    uint8_t seed[32];
    char hostname[ID_HOST_NAME_SIZE];
    id_random(seed, sizeof(seed));
    id_host_name(hostname, sb->id);
    struct wire_configure_params params = {.wall_ns = configure_wall_ns(),
                                           .seed = seed,
                                           .seed_len = sizeof(seed),
                                           .hostname = hostname,
                                           .env = sb->owner.env,
                                           .offline = sandbox_network(sb) == NULL,
                                           .afresh = sb->afresh};
    if (sb->resuming)
        configure_encode_wake(sb, &params);
    wire_request_configure(request, &params);
}

void sandbox_configure_opened(struct agent_call *call)
{
    struct sandbox *sb = container_of(call, struct sandbox, op);
    struct buf request = {0};
    if (sb->phase != SANDBOX_CONFIGURING || sb->trust == SANDBOX_TRUST_ASKED)
        return;
    sb->clock_sent_ns = uv_hrtime();
    if (sb->clock_tries == 0)
        configure_encode(sb, &request);
    else
        wire_request_clock(&request, configure_wall_ns());
    /* A failure shows as the end of the connection or as the time-out. */
    (void)agent_call_send_buf(call, &request);
}

bool sandbox_take_clock_age(struct sandbox *sb, const struct wire_frame *frame)
{
    uint64_t passed = (uv_hrtime() - sb->clock_sent_ns) / 1000;
    uint64_t age = 1; /* of the answer to CLOCK, which names none */
    if (!wire_reply_is(frame, WIRE_OK) && !wire_reply_configured(frame, &age))
        return false;
    sb->clock_late = age != 0 && passed - MIN(age, passed) > SANDBOX_CLOCK_LATE_MS * 1000;
    return true;
}
