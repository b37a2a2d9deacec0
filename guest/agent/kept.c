/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - the record of a kept operation and the connections that read it.
 *
 * The happy path is: kept_start makes a socket pair, serves one end as a connection and sends the
 * request on the other; the answer is cut into frames and appended to the journal; each view copies
 * whole frames to its connection; after the last frame the operation is ENDED and the record stays.
 *
 * Possible failure modes are: the operation closes its end without a last frame, or sends an
 * invalid one (an ERROR becomes the last frame); there is no memory for the journal (the record is
 * dropped); there is no room (see kept.h).
 */
#include "agent/kept.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/conn.h"
#include "base/log.h"

#define KEPT_LAST_MAX                                                                              \
    4096u /* payload of a frame that is recorded without room: no EXIT or ERROR is larger */

void kepts_init(struct kepts *s, struct agent *agent)
{
    s->agent = agent;
    list_init(&s->list);
}

static void kept_release(struct deferred *d)
{
    struct kept *k = container_of(d, struct kept, deferred);
    buf_done(&k->request);
    buf_done(&k->journal);
    free(k);
}

/* Closing the connection stops the operation. */
static void kept_drop(struct kept *k)
{
    struct kepts *s = &k->agent->kepts;
    while (!list_empty(&k->views)) {
        struct kept_view *v = list_first(&k->views, struct kept_view, node);
        struct conn *c = v->conn;
        kept_view_stop(v);
        conn_error(c, WIRE_E_NOT_FOUND, "the operation was forgotten");
    }
    loop_close(&k->agent->loop, &k->source);
    list_del(&k->node);
    s->count--;
    s->bytes -= k->journal.len;
    loop_defer(&k->agent->loop, &k->deferred, kept_release);
}

void kepts_done(struct kepts *s)
{
    while (!list_empty(&s->list))
        kept_drop(list_first(&s->list, struct kept, node));
}

struct kept *kept_find(struct kepts *s, const char *key)
{
    list_for_each (it, &s->list) {
        struct kept *k = list_entry(it, struct kept, node);
        if (strcmp(k->key, key) == 0)
            return k;
    }
    return NULL;
}

bool kept_was_lost(const struct kepts *s, const char *key)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (strcmp(s->lost[i], key) == 0)
            return true;
    }
    return false;
}

/* Drops the record that ended first among those without an attached connection. */
static bool kepts_make_room(struct kepts *s)
{
    list_for_each (it, &s->list) {
        struct kept *k = list_entry(it, struct kept, node);
        if (k->ended_at == 0 || !list_empty(&k->views))
            continue;
        log_warn("dropped the record of a kept operation to make room", "key=%s", k->key);
        memcpy(s->lost[s->next_lost], k->key, sizeof(k->key));
        s->next_lost = (s->next_lost + 1) % KEPT_MAX;
        kept_drop(k);
        return true;
    }
    return false;
}

/* Makes the pair: the agent's own end, and one that is served like a connection of the server. */
static int kept_connect(struct kept *k)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    source_init(&k->source, SOURCE_KEPT, fds[0]);
    return conn_new(k->agent, fds[1], true);
}

/* Sends as much of the request as the operation takes. 0 or a negative errno. */
static int kept_send(struct kept *k)
{
    int rv = loop_send(&k->agent->loop, &k->source, &k->request);
    if (k->request.len == 0)
        buf_done(&k->request);
    return rv;
}

int kept_start(struct kepts *s, const char *key, uint32_t keep, const struct wire_frame *frame,
               struct kept **ret)
{
    if (kept_find(s, key) != NULL || kept_was_lost(s, key))
        return -EEXIST;
    if (s->count >= KEPT_MAX && !kepts_make_room(s))
        return -EBUSY;
    struct kept *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return -ENOMEM;
    k->agent = s->agent;
    list_init(&k->views);
    memcpy(k->key, key, strlen(key) + 1);
    for (size_t i = 0; i < KEPT_KINDS; i++)
        k->room[i] = keep;
    k->started_at = loop_now();
    source_init(&k->source, SOURCE_KEPT, -1);
    int rv = wire_put_frame(&k->request, frame->type, frame->payload, frame->len);
    if (rv == 0)
        rv = kept_connect(k);
    if (rv == 0)
        rv = kept_send(k);
    if (rv < 0) {
        loop_close(&s->agent->loop, &k->source);
        kept_release(&k->deferred);
        return rv;
    }
    list_add_tail(&s->list, &k->node);
    s->count++;
    *ret = k;
    return 0;
}

void kept_forget(struct kept *k)
{
    kept_drop(k);
}

/* A view that has sent the last frame finishes its connection and leaves the list. */
static void kept_tell(struct kept *k)
{
    list_for_each_safe (it, &k->views)
        kept_view_advance(list_entry(it, struct kept_view, node));
}

static void kept_end(struct kept *k)
{
    struct kepts *s = &k->agent->kepts;
    loop_close(&k->agent->loop, &k->source);
    /* The list is in the order of the ends: the first one makes room first. */
    buf_done(&k->request);
    k->ended_at = loop_now();
    list_del(&k->node);
    list_add_tail(&s->list, &k->node);
}

/* The operation closed its end without a last frame, or sent an invalid one. */
static void kept_broken(struct kept *k)
{
    struct kepts *s = &k->agent->kepts;
    s->bytes -= k->journal.len - k->whole;
    k->journal.len = k->whole;
    (void)wire_put_error(&k->journal, WIRE_E_INTERNAL, "the operation ended without an answer");
    s->bytes += k->journal.len - k->whole;
    k->whole = k->journal.len;
    kept_end(k);
}

static int kept_kind(enum wire_type type, uint8_t stream)
{
    switch (type) {
    case WIRE_STDOUT:
        return KEPT_STDOUT;
    case WIRE_STDERR:
        return KEPT_STDERR;
    case WIRE_CODE_STREAM:
        return stream == 1 ? KEPT_STDOUT : KEPT_STDERR;
    case WIRE_CODE_RESULT:
        return KEPT_RESULT;
    case WIRE_CODE_DISPLAY:
        return KEPT_DISPLAY;
    case WIRE_CODE_ERROR:
        return KEPT_ERROR;
    default:
        return -1;
    }
}

/* Whether `len` more bytes may be recorded. Once a frame of a kind is left out, all later ones of
 * it are, too: a record with a gap would look like a complete one. */
static bool kept_has_room(struct kept *k, int kind, size_t len)
{
    struct kepts *s = &k->agent->kepts;
    if (len > k->room[kind])
        k->room[kind] = 0;
    while (k->room[kind] > 0 && s->bytes + len > KEPT_TOTAL) {
        if (!kepts_make_room(s))
            k->room[kind] = 0;
    }
    if (k->room[kind] == 0)
        return false;
    k->room[kind] -= len;
    return true;
}

static void kept_record(struct kept *k, const void *data, size_t len)
{
    if (buf_append(&k->journal, data, len) == 0)
        k->agent->kepts.bytes += len;
}

/* The head of a frame is complete: decides whether to record the frame. -EPROTO: it is invalid. */
static int kept_begin_frame(struct kept *k)
{
    struct cursor c = cursor_on(k->head, WIRE_HEADER_SIZE);
    uint32_t len = cursor_u32(&c);
    enum wire_type type = (enum wire_type)cursor_u16(&c);
    int kind = kept_kind(type, k->head[WIRE_HEADER_SIZE]);
    k->last = type == WIRE_EXIT || type == WIRE_CODE_DONE || type == WIRE_ERROR;
    if (cursor_u16(&c) != 0 || len > WIRE_MAX_PAYLOAD)
        return -EPROTO;
    if (kind < 0 && ((!k->last && type != WIRE_STARTED) || len > KEPT_LAST_MAX))
        return -EPROTO;
    k->recording = kind < 0 || kept_has_room(k, kind, len + WIRE_HEADER_SIZE);
    k->body_left = len - (k->head_len - WIRE_HEADER_SIZE);
    k->in_body = true;
    if (k->recording)
        kept_record(k, k->head, k->head_len);
    return 0;
}

/* One more byte of a head. The head of CODE_STREAM includes the first byte of the payload, which
 * names the stream: room is counted per stream. */
static int kept_take_head(struct kept *k, uint8_t byte)
{
    k->head[k->head_len++] = byte;
    if (k->head_len < WIRE_HEADER_SIZE)
        return 0;
    struct cursor c = cursor_on(k->head, WIRE_HEADER_SIZE);
    bool empty = cursor_u32(&c) == 0;
    bool stream = cursor_u16(&c) == WIRE_CODE_STREAM;
    return stream && !empty && k->head_len == WIRE_HEADER_SIZE ? 0 : kept_begin_frame(k);
}

/* Cuts the input into frames. A part of a frame is recorded as it arrives; views get whole frames
 * only (k->whole). */
static int kept_take(struct kept *k, const uint8_t *data, size_t len)
{
    while (len > 0 || (k->in_body && k->body_left == 0)) {
        if (!k->in_body) {
            int rv = kept_take_head(k, *data++);
            len--;
            if (rv < 0)
                return rv;
            continue;
        }
        size_t n = MIN(len, k->body_left);
        if (k->recording)
            kept_record(k, data, n);
        data += n;
        len -= n;
        k->body_left -= n;
        if (k->body_left > 0)
            continue;
        k->in_body = false;
        k->head_len = 0;
        k->whole = k->journal.len;
        if (k->last) {
            kept_end(k);
            return 0;
        }
    }
    return 0;
}

void kept_handle_event(struct source *s, uint32_t events)
{
    static uint8_t chunk[WIRE_CHUNK];
    struct kept *k = container_of(s, struct kept, source);
    int rv = 0;
    if (events & EPOLLOUT)
        rv = kept_send(k);
    if (rv == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        ssize_t n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        rv = n <= 0 ? -EPIPE : kept_take(k, chunk, (size_t)n);
    }
    /* Without memory the record has a gap, so there is no record. */
    if (k->journal.failed) {
        kept_drop(k);
        return;
    }
    if (rv < 0)
        kept_broken(k);
    kept_tell(k);
}

void kept_view_start(struct kept_view *v, struct kept *k, struct conn *c)
{
    uint64_t until = k->ended_at != 0 ? k->ended_at : loop_now();
    *v = (struct kept_view){.kept = k, .conn = c};
    list_add_tail(&k->views, &v->node);
    size_t start = wire_begin(&c->out, WIRE_KEPT);
    (void)buf_u64(&c->out, until - k->started_at);
    (void)buf_u32(&c->out, k->ended_at != 0);
    wire_end(&c->out, start);
    kept_view_advance(v);
}

void kept_view_advance(struct kept_view *v)
{
    struct conn *c = v->conn;
    while (v->kept != NULL && v->sent < v->kept->whole && conn_writable(c)) {
        size_t n = MIN(v->kept->whole - v->sent, (size_t)WIRE_CHUNK);
        (void)buf_append(&c->out, v->kept->journal.data + v->sent, n);
        v->sent += n;
        conn_kick(c); /* may close the connection, which stops the view */
    }
    if (v->kept == NULL)
        return;
    if (v->kept->ended_at != 0 && v->sent == v->kept->whole)
        conn_finish(c);
    else
        conn_kick(c);
}

void kept_view_stop(struct kept_view *v)
{
    if (v->kept == NULL)
        return;
    list_del(&v->node);
    v->kept = NULL;
}
