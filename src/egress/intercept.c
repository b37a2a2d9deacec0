/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/intercept.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "egress/egress.h"
#include "egress/intercept_io.h"
#include "egress/relay.h"
#include "egress/tenant.h"

#define INTERCEPT_PIECE 16384 /* bytes moved at once: a record of TLS */
#define INTERCEPT_HELLO 22    /* the first byte of a ClientHello's record */
#define INTERCEPT_HTTP  80
#define INTERCEPT_HTTPS 443

static uint8_t intercept_piece[INTERCEPT_PIECE];

/* --- whether --- */

bool intercept_wanted(const struct flow *f)
{
    return f->name != NULL && transform_covers(&f->tenant->policy.transforms, f->name, f->port);
}

enum egress_reason intercept_may(const struct flow *f)
{
    const struct tenant *t = f->tenant;
    if (!intercept_wanted(f))
        return EGRESS_OK;
    if (!session_set_signs(t->egress->sessions))
        return EGRESS_BY_INTERCEPTION;
    return t->intercepted >= TENANT_INTERCEPTED || t->egress->intercepted >= INTERCEPT_MAX
               ? EGRESS_BY_FLOW_LIMIT
               : EGRESS_OK;
}

/* --- ends --- */

void intercept_drop(struct flow *f)
{
    struct intercept *i = f->intercept;
    if (i == NULL)
        return;
    f->intercept = NULL;
    list_del(&i->shake);
    if (list_empty(&f->tenant->shakes))
        list_del(&f->tenant->shaking);
    session_free(i->down);
    session_free(i->up);
    intercept_take_up(i, flow_rest_len(&i->to_up));
    free(i->ahead.data);
    rewrite_done(&i->request);
    free(i);
    f->tenant->intercepted--;
    f->tenant->egress->intercepted--;
}

/* The sandbox broke off. */
static void intercept_abort_up(struct intercept *i)
{
    flow_reset_up(i->flow);
    flow_close(i->flow);
}

/* The network broke off: what came before is still passed on. */
static void intercept_abort_down(struct intercept *i)
{
    struct flow *f = i->flow;
    flow_reset_up(f);
    watch_deadline_clear(&f->deadline);
    if (flow_send_head(f, FLOW_RST) < 0)
        flow_close(f);
    else
        flow_flush(f);
}

/* Nothing more is said to the sandbox. */
static void intercept_finish(struct intercept *i, bool well)
{
    struct flow *f = i->flow;
    if (well)
        session_bye(i->down);
    flow_reset_up(f);
    i->phase = ENDING;
    watch_deadline_set(&f->tenant->egress->flush, &f->deadline);
    if (flow_send_head(f, FLOW_FIN) < 0)
        flow_close(f);
}

/* Until the sandbox has ended, too: a connection closed before could cost it the last bytes. */
static void intercept_end(struct intercept *i)
{
    ssize_t n = 1;
    (void)flow_flush_down(i->flow);
    while (n > 0)
        n = intercept_pull_down(i, intercept_piece, sizeof(intercept_piece));
    if (n != -EAGAIN && (n < 0 || flow_rest_len(&i->flow->to_down) == 0))
        flow_close(i->flow);
}

static void intercept_event(struct flow *f)
{
    char text[ADDRESS_TEXT];
    tenant_event(f->tenant, EGRESS_FLOW_DENIED, EGRESS_BY_INTERCEPTION, f->host,
                 address_print(&f->address, text), f->port);
}

static void intercept_refuse(struct intercept *i, int status, const char *reason)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {400, "Bad Request"},         {405, "Method Not Allowed"},
        {421, "Misdirected Request"}, {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},     {502, "Bad Gateway"},
    };
    cleanup_buf struct buf b = {0};
    const char *text = "";
    for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
        if (texts[k].status == status)
            text = texts[k].text;
    (void)buf_printf(&b,
                     "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\ncorral-egress: %s\n",
                     status, text, strlen(reason) + strlen("corral-egress: \n"), reason);
    log_debug("a request is refused", "sandbox=%s host=%s status=%d reason=\"%s\"",
              i->flow->tenant->id, i->flow->host, status, reason);
    intercept_event(i->flow);
    bool told = !b.failed && session_write(i->down, b.data, b.len) == 0;
    intercept_finish(i, told);
}

/* --- handshakes --- */

static void intercept_queue(struct intercept *i)
{
    struct tenant *t = i->flow->tenant;
    struct egress *e = t->egress;
    if (!list_empty(&i->shake))
        return;
    list_add_tail(&t->shakes, &i->shake);
    if (list_empty(&t->shaking))
        list_add_tail(&e->shaking, &t->shaking);
    if (list_empty(&e->shake_turn.node))
        watch_later(&e->watches, &e->shake_turn);
}

static void intercept_talk(struct intercept *i)
{
    i->phase = TALKING;
    watch_deadline_set(&i->flow->tenant->egress->idle, &i->flow->deadline);
    intercept_run(i->flow);
}

static void intercept_shaken(struct intercept *i, bool down, int rv)
{
    if (rv >= 0) {
        if (session_is_open(i->down) && session_is_open(i->up))
            intercept_talk(i);
        else
            intercept_queue(i);
    } else if (rv == -EAGAIN) {
        (void)intercept_flush_up(i);
    } else if (down) {
        /* A client that names the right host and gives up does not trust the CA, for example. */
        if (!session_is_named(i->down))
            intercept_event(i->flow);
        intercept_finish(i, false);
    } else {
        intercept_event(i->flow);
        i->up_failed = true;
        intercept_talk(i);
    }
}

/* There is news of a side: what waits is sent, and the handshake continues in its turn. */
static void intercept_shake(struct intercept *i)
{
    (void)flow_flush_down(i->flow);
    if (intercept_flush_up(i) < 0)
        i->flow->up.readable = true; /* the handshake finds out */
    intercept_queue(i);
}

static void intercept_step(struct intercept *i)
{
    bool down = !session_is_open(i->down);
    int rv = session_shake(down ? i->down : i->up);
    intercept_shaken(i, down, rv);
}

void intercept_on_turn(struct watch_task *task)
{
    struct egress *e = container_of(task, struct egress, shake_turn);
    uint64_t begun = uv_hrtime();
    while (!list_empty(&e->shaking) && uv_hrtime() - begun < INTERCEPT_SHARE_NS) {
        struct tenant *t = list_first(&e->shaking, struct tenant, shaking);
        struct intercept *i = list_first(&t->shakes, struct intercept, shake);
        list_del(&i->shake);
        list_del(&t->shaking);
        if (!list_empty(&t->shakes))
            list_add_tail(&e->shaking, &t->shaking);
        intercept_step(i);
    }
    if (!list_empty(&e->shaking))
        watch_later(&e->watches, task);
}

/* --- the beginning --- */

static void intercept_open(struct intercept *i, bool tls)
{
    struct flow *f = i->flow;
    struct session_set *set = f->tenant->egress->sessions;
    const struct session_io down = {intercept_pull_down, intercept_push_down, i};
    const struct session_io up = {intercept_pull_up, intercept_push_up, i};
    i->tls = tls;
    i->down = session_new(set, tls ? SESSION_SERVER : SESSION_PLAIN, f->name, &down);
    i->up = session_new(set, tls ? SESSION_CLIENT : SESSION_PLAIN, f->name, &up);
    if (i->down == NULL || i->up == NULL) {
        flow_cut(f);
    } else if (tls) {
        i->phase = SHAKING;
        watch_deadline_set(&f->tenant->egress->shake, &f->deadline);
        intercept_queue(i);
    } else {
        intercept_talk(i);
    }
}

static void intercept_pass(struct flow *f)
{
    intercept_drop(f);
    watch_deadline_clear(&f->deadline);
    f->passed = true;
    f->state = FLOW_RELAYING;
    relay_run(f);
}

static void intercept_peek(struct intercept *i)
{
    struct flow *f = i->flow;
    const struct transform_list *transforms = &f->tenant->policy.transforms;
    bool https = f->port == INTERCEPT_HTTPS;
    bool fixed = https || f->port == INTERCEPT_HTTP ||
                 transform_names_port(transforms, f->name, f->port);
    for (;;) {
        struct frame_walk walk = f->walk;
        struct span piece, have = {(const char *)f->from_down.data + f->from_down.at,
                                   flow_rest_len(&f->from_down)};
        enum frame_step step = have.len > 0 ? frame_next(&walk, &have, 1, &piece) : FRAME_MORE;
        if (step == FRAME_BYTES && (https || piece.data[0] == INTERCEPT_HELLO))
            return intercept_open(i, true);
        if (step == FRAME_BYTES && fixed)
            return intercept_open(i, false);
        if (step == FRAME_BYTES || (!fixed && f->up.readable))
            return intercept_pass(f); /* another protocol, or one in which the server begins */
        int rv = step == FRAME_MORE ? intercept_fill(f) : -EPIPE;
        if (rv == -EAGAIN)
            return;
        if (rv < 0)
            return intercept_abort_up(i);
    }
}

void intercept_start(struct flow *f)
{
    struct tenant *t = f->tenant;
    struct intercept *i = calloc(1, sizeof(*i));
    if (i == NULL) {
        flow_cut(f);
        return;
    }
    i->flow = f;
    f->intercept = i;
    f->state = FLOW_INTERCEPTING;
    list_init(&i->shake);
    rewrite_reset(&i->request);
    t->intercepted++;
    t->egress->intercepted++;
    watch_deadline_set(&t->egress->idle, &f->deadline);
    intercept_run(f);
}

/* --- requests and answers --- */

/* Text of the sandbox: what was read ahead, or a new piece. As session_read. */
static ssize_t intercept_read_down(struct intercept *i, struct span *ret)
{
    size_t ahead = flow_rest_len(&i->ahead);
    if (ahead > 0) {
        memcpy(intercept_piece, i->ahead.data + i->ahead.at, ahead);
        flow_rest_take(&i->ahead, ahead);
    }
    ssize_t n = ahead > 0 ? (ssize_t)ahead
                          : session_read(i->down, intercept_piece, sizeof(intercept_piece));
    *ret = (struct span){(const char *)intercept_piece, n > 0 ? (size_t)n : 0};
    return n;
}

/* Both directions of a request may be over. */
static void intercept_next_request(struct intercept *i)
{
    struct egress *e = i->flow->tenant->egress;
    if (i->answer_done && (!i->answer.keep_alive || (i->request_done && !i->request.keep_alive))) {
        intercept_finish(i, true);
    } else if (i->answer_done && i->request_done) {
        rewrite_reset(&i->request);
        i->asked = i->request_done = i->answer_done = false;
        watch_deadline_set(&e->idle, &i->flow->deadline);
    } else {
        watch_deadline_set(&e->answer, &i->flow->deadline);
    }
}

static void intercept_forward(struct intercept *i, struct buf *out, enum rewrite_step step)
{
    struct egress *e = i->flow->tenant->egress;
    if (step == REWRITE_BAD) {
        intercept_refuse(i, i->request.status, i->request.reason);
        return;
    }
    if (out->len == 0 && !i->asked) { /* the head is not complete */
        if (!i->heading)
            watch_deadline_set(&e->head, &i->flow->deadline);
        i->heading = true;
        return;
    }
    if (i->up_failed) {
        intercept_refuse(i, 502, "the server does not prove to be the one that was asked for");
        return;
    }
    if (!i->asked)
        answer_begin(&i->answer, i->request.is_head, i->request.upgrade);
    i->asked = true;
    i->heading = false;
    i->request_done = step == REWRITE_DONE;
    if (session_write(i->up, out->data, out->len) < 0)
        intercept_abort_down(i);
    else
        intercept_next_request(i);
}

/* True when something was moved. The flow may have another phase or state afterwards. */
static bool intercept_request(struct intercept *i)
{
    struct flow *f = i->flow;
    const struct rewrite_target target = {.name = f->name,
                                          .port = f->port,
                                          .tls = i->tls,
                                          .transforms = &f->tenant->policy.transforms};
    struct buf out = {0};
    struct span in;
    if (flow_rest_len(&i->to_up) > 0 || i->request_done)
        return false;
    ssize_t n = intercept_read_down(i, &in);
    if (n == -EAGAIN)
        return false;
    if (n <= 0) {
        if (n < 0 || rewrite_begun(&i->request))
            intercept_abort_up(i);
        else
            intercept_finish(i, true);
        return false;
    }
    f->moved += (size_t)n;
    enum rewrite_step step = rewrite_next(&i->request, &target, &in, &out);
    if (flow_rest_set(&i->ahead, in.data, in.len) < 0)
        intercept_abort_up(i);
    else
        intercept_forward(i, &out, step);
    if (out.data != NULL)
        explicit_bzero(out.data, out.cap);
    buf_done(&out);
    return true;
}

static void intercept_answer_ended(struct intercept *i, ssize_t n)
{
    if (!i->asked)
        intercept_finish(i, true); /* an idle connection; the client opens another one */
    else if (n == 0 && answer_end(&i->answer))
        intercept_finish(i, session_ended_well(i->up));
    else
        intercept_abort_down(i);
}

static bool intercept_answer(struct intercept *i)
{
    struct flow *f = i->flow;
    if (i->up_failed || !flow_flush_down(f))
        return false;
    ssize_t n = session_read(i->up, intercept_piece, sizeof(intercept_piece));
    if (n == -EAGAIN)
        return false;
    if (n <= 0 || !i->asked) {
        intercept_answer_ended(i, n);
        return false;
    }
    struct span in = {(const char *)intercept_piece, (size_t)n};
    enum answer_step step = answer_next(&i->answer, &in);
    size_t whole = step == ANSWER_UPGRADED ? (size_t)n : (size_t)n - in.len;
    if (step == ANSWER_BAD || session_write(i->down, intercept_piece, whole) < 0) {
        intercept_abort_down(i);
    } else if (step == ANSWER_UPGRADED) {
        i->phase = RAW;
        watch_deadline_clear(&f->deadline);
    } else if (in.len > 0) {
        intercept_finish(i, true); /* what follows belongs to no request */
    } else {
        i->answer_done = step == ANSWER_DONE;
        intercept_next_request(i);
    }
    return true;
}

/* --- a WebSocket --- */

static bool intercept_raw_up(struct intercept *i)
{
    struct span in;
    if (flow_rest_len(&i->to_up) > 0 || i->end_up)
        return false;
    ssize_t n = intercept_read_down(i, &in);
    if (n == -EAGAIN)
        return false;
    if (n < 0 || (n > 0 && session_write(i->up, (const uint8_t *)in.data, in.len) < 0)) {
        intercept_abort_up(i);
        return false;
    }
    if (n == 0) {
        if (session_ended_well(i->down))
            session_bye(i->up);
        i->end_up = true;
        (void)intercept_flush_up(i);
    }
    return true;
}

static bool intercept_raw_down(struct intercept *i)
{
    struct flow *f = i->flow;
    if (!flow_flush_down(f) || f->fin_down)
        return false;
    ssize_t n = session_read(i->up, intercept_piece, sizeof(intercept_piece));
    if (n == -EAGAIN)
        return false;
    if (n < 0 || (n > 0 && session_write(i->down, intercept_piece, (size_t)n) < 0)) {
        intercept_abort_down(i);
        return false;
    }
    if (n == 0) {
        if (session_ended_well(i->up))
            session_bye(i->down);
        f->fin_down = true;
        if (flow_send_head(f, FLOW_FIN) < 0)
            intercept_abort_up(i);
    }
    return true;
}

/* --- turns --- */

/* True when something was moved and the flow has the same phase. */
static bool intercept_move(struct intercept *i, bool (*const move[2])(struct intercept *))
{
    struct flow *f = i->flow;
    enum intercept_phase phase = i->phase;
    bool more = false;
    for (int k = 0; k < 2; k++) {
        more = move[k](i) || more;
        if (f->state != FLOW_INTERCEPTING || i->phase != phase)
            return false;
    }
    return more;
}

static void intercept_turn(struct intercept *i)
{
    static bool (*const talking[2])(struct intercept *) = {intercept_request, intercept_answer};
    static bool (*const raw[2])(struct intercept *) = {intercept_raw_up, intercept_raw_down};
    struct flow *f = i->flow;
    if (intercept_flush_up(i) < 0) {
        intercept_abort_down(i);
        return;
    }
    /* While a request is under way nothing is read that would tell of the sandbox's end. */
    if (f->down.ended && i->phase == TALKING && i->request_done) {
        intercept_abort_up(i);
        return;
    }
    while (intercept_move(i, i->phase == RAW ? raw : talking)) {
        if (f->moved >= RELAY_SHARE) {
            watch_later(&f->tenant->egress->watches, &f->task);
            return;
        }
    }
    if (f->state == FLOW_INTERCEPTING && i->phase == RAW && f->fin_up && f->fin_down &&
        flow_rest_len(&f->to_down) == 0)
        flow_close(f);
}

void intercept_run(struct flow *f)
{
    struct intercept *i = f->intercept;
    enum intercept_phase phase;
    f->moved = 0;
    do {
        phase = i->phase;
        if (phase == PEEKING)
            intercept_peek(i);
        else if (phase == SHAKING)
            intercept_shake(i);
        else if (phase == ENDING)
            intercept_end(i);
        else
            intercept_turn(i);
    } while (f->state == FLOW_INTERCEPTING && i->phase != phase && i->phase >= RAW);
}

void intercept_late(struct flow *f)
{
    struct intercept *i = f->intercept;
    if (i->phase == SHAKING && session_is_open(i->down)) {
        intercept_event(f);
        i->up_failed = true;
        list_del(&i->shake);
        intercept_talk(i);
    } else if (i->phase == SHAKING || i->phase == ENDING || i->phase == PEEKING) {
        flow_reset_up(f);
        flow_close(f);
    } else if (i->asked) {
        intercept_abort_down(i);
    } else {
        intercept_finish(i, true);
    }
}
