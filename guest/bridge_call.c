/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent.h"
#include "code.h"
#include "log.h"
#include "spawn.h"
#include "wire_codec.h"

#define SEED_BYTES 32

struct bridge_call {
    struct source source; /* first */
    struct bridge *bridge;
    struct timer timer;
    struct deferred deferred;
    struct buf out;
    struct wire_reader reader;
};

static void call_timed_out(struct timer *t);
static void call_give_up(struct bridge_call *call, const char *why);
static void call_release(struct deferred *d);

static int put_seed(struct buf *b, bool reseed)
{
    unsigned char seed[SEED_BYTES];
    char hex[2 * SEED_BYTES + 1] = "";
    if (reseed && getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -errno;
    for (size_t i = 0; reseed && i < sizeof(seed); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", seed[i]);
    wire_put_str(b, hex);
    return 0;
}

static int put_env(struct buf *b, char *const *env, bool reseed)
{
    size_t start = wire_begin(b, WIRE_CODE_ENV);
    wire_put_list(b, (const char *const *)env);
    int rv = put_seed(b, reseed);
    wire_end(b, start);
    return rv < 0 ? rv : b->failed ? -ENOMEM : 0;
}

static int call_send(struct bridge_call *call)
{
    return loop_send(&call->bridge->agent->loop, &call->source, &call->out);
}

int bridge_call_env(struct bridge *b)
{
    if (b->call != NULL)
        return -EINPROGRESS;
    if (!b->stale)
        return 0;
    struct bridge_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    *call = (struct bridge_call){.bridge = b};
    call->reader.max_payload = WIRE_CHUNK;
    source_init(&call->source, SOURCE_BRIDGE_CALL, bridge_dial(b));
    int rv = call->source.fd < 0 ? call->source.fd : put_env(&call->out, b->agent->env, b->reseed);
    if (rv == 0)
        rv = call_send(call);
    if (rv < 0) {
        if (call->source.fd >= 0)
            loop_close(&b->agent->loop, &call->source);
        call_release(&call->deferred);
        return rv;
    }
    timer_init(&call->timer, call_timed_out);
    loop_timer_start(&b->agent->loop, &call->timer, b->up ? BRIDGE_CALL_US : BRIDGE_FIRST_CALL_US);
    b->call = call;
    b->stale = b->reseed = false;
    return -EINPROGRESS;
}

void bridge_call_handle_event(struct source *s, uint32_t events)
{
    struct bridge_call *call = container_of(s, struct bridge_call, source);
    struct bridge *b = call->bridge;
    struct wire_frame f = {0};
    uint8_t chunk[1024];
    if ((events & EPOLLOUT) && call_send(call) < 0) {
        call_give_up(call, "it does not listen");
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    int rv = n > 0 ? wire_reader_feed(&call->reader, chunk, (size_t)n) : -EPIPE;
    if (rv == 0 && (rv = wire_reader_next(&call->reader, &f)) == 0)
        return; /* a part of the answer */
    if (rv < 0 || f.type != WIRE_OK) {
        call_give_up(call, n > 0 ? "it refuses" : "it did not answer");
        return;
    }
    b->up = true;
    bridge_call_end(b);
    code_bridge_changed(b);
}

static void call_timed_out(struct timer *t)
{
    call_give_up(container_of(t, struct bridge_call, timer), "it did not answer in time");
}

/* Who waits goes on waiting, for the bridge's end. */
static void call_give_up(struct bridge_call *call, const char *why)
{
    struct bridge *b = call->bridge;
    log_warn("code bridge not told the variables, ending it", "pid=%d reason=\"%s\"", b->pid, why);
    if (b->pid > 0)
        spawn_kill(b->pid);
    bridge_call_end(b);
    b->stale = true;
}

void bridge_call_end(struct bridge *b)
{
    struct bridge_call *call = TAKE_PTR(b->call);
    if (call == NULL)
        return;
    timer_stop(&call->timer);
    loop_close(&b->agent->loop, &call->source);
    loop_defer(&b->agent->loop, &call->deferred, call_release);
}

static void call_release(struct deferred *d)
{
    struct bridge_call *call = container_of(d, struct bridge_call, deferred);
    buf_done(&call->out);
    wire_reader_done(&call->reader);
    free(call);
}
