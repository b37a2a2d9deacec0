/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/bridge_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/spawn.h"
#include "base/log.h"
#include "base/wire_codec.h"

#define SEED_BYTES 32

struct bridge_call {
    struct source source; /* first */
    struct bridge *bridge;
    struct list node;
    struct timer timer;
    struct deferred deferred;
    struct buf out;
    struct wire_reader reader;
    void (*answered)(void *ctx, enum bridge_answer answer); /* NULL: nobody waits */
    void *ctx;
};

static void call_timed_out(struct timer *t);
static void call_give_up(struct bridge_call *call);
static void call_answer(struct bridge_call *call, enum bridge_answer answer);
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

int bridge_call_env(struct bridge *b, char *const *env, bool reseed,
                    void (*answered)(void *ctx, enum bridge_answer answer), void *ctx,
                    struct bridge_call **ret)
{
    if (b->state != BRIDGE_RUNNING)
        return 0;
    if (b->call_count >= BRIDGE_CALLS_MAX)
        return -EAGAIN;
    struct bridge_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    *call = (struct bridge_call){.bridge = b, .answered = answered, .ctx = ctx};
    call->reader.max_payload = WIRE_CHUNK;
    source_init(&call->source, SOURCE_BRIDGE_CALL, bridge_connect(b));
    int rv = call->source.fd < 0 ? call->source.fd : put_env(&call->out, env, reseed);
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
    list_add_tail(&b->calls, &call->node);
    b->call_count++;
    if (ret != NULL)
        *ret = call;
    return 0;
}

void bridge_call_handle_event(struct source *s, uint32_t events)
{
    struct bridge_call *call = container_of(s, struct bridge_call, source);
    struct wire_frame f;
    uint8_t chunk[1024];
    if ((events & EPOLLOUT) && call_send(call) < 0) {
        call_give_up(call);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        call_give_up(call);
        return;
    }
    if (wire_reader_feed(&call->reader, chunk, (size_t)n) < 0) {
        call_answer(call, BRIDGE_REFUSED);
        return;
    }
    int rv = wire_reader_next(&call->reader, &f);
    if (rv > 0)
        call->bridge->up = true;
    if (rv != 0)
        call_answer(call, rv > 0 && f.type == WIRE_OK ? BRIDGE_AGREED : BRIDGE_REFUSED);
}

static void call_timed_out(struct timer *t)
{
    call_give_up(container_of(t, struct bridge_call, timer));
}

/* A bridge that hangs, or ends, or leaves without a word: the next one will have the variables. */
static void call_give_up(struct bridge_call *call)
{
    log_warn("code bridge did not answer, ending it", "pid=%d", call->bridge->pid);
    if (call->bridge->pid > 0)
        spawn_kill(call->bridge->pid);
    call_answer(call, BRIDGE_GONE);
}

static void call_answer(struct bridge_call *call, enum bridge_answer answer)
{
    struct bridge *b = call->bridge;
    struct loop *loop = &b->agent->loop;
    void (*answered)(void *, enum bridge_answer) = TAKE_PTR(call->answered);
    if (answer == BRIDGE_REFUSED)
        log_warn("code bridge did not take the variables");
    timer_stop(&call->timer);
    loop_close(loop, &call->source);
    list_del(&call->node);
    b->call_count--;
    loop_defer(loop, &call->deferred, call_release);
    if (answered != NULL)
        answered(call->ctx, answer);
}

void bridge_call_forget(struct bridge_call *call)
{
    call->answered = NULL;
}

void bridge_calls_fail(struct bridge *b)
{
    while (!list_empty(&b->calls))
        call_answer(list_first(&b->calls, struct bridge_call, node), BRIDGE_GONE);
}

static void call_release(struct deferred *d)
{
    struct bridge_call *call = container_of(d, struct bridge_call, deferred);
    buf_done(&call->out);
    wire_reader_done(&call->reader);
    free(call);
}
