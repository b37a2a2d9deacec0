/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - what is kept, under which key, and who reads it.
 *
 * The happy path is: kept_start starts a process, or makes a socket pair for a code run, serves one
 * end as a connection and sends the request on the other (journal.c records the answer); each view
 * reads the process or the journal; after the end the record stays.
 *
 * Possible failure modes are: a command that does not start (the error is what is kept); there is
 * no memory for the journal (the record is dropped); there is no room (see kept.h); the process was
 * forgotten by its id (so is the record).
 */
#include "agent/kept.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/journal.h"
#include "agent/process/launch.h"
#include "base/log.h"

void kepts_init(struct kepts *s, struct agent *agent)
{
    s->agent = agent;
    list_init(&s->list);
}

static void kept_release(struct deferred *d)
{
    struct kept *k = container_of(d, struct kept, deferred);
    buf_done(&k->request);
    buf_done(&k->journal.frames);
    free(k);
}

/* Closing the connection of a code run stops it. */
static void kept_drop(struct kept *k)
{
    struct kepts *s = k->agent->kepts;
    struct process *p = k->command.process;
    while (!list_empty(&k->views)) {
        struct kept_view *v = list_first(&k->views, struct kept_view, node);
        struct conn *c = v->conn;
        kept_view_stop(v);
        conn_error(c, WIRE_E_NOT_FOUND, "the operation was forgotten");
    }
    process_detach(&k->command);
    if (p != NULL && p->state != PROCESS_FAILED)
        processes_forget(p);
    loop_close(&k->agent->loop, &k->source);
    list_del(&k->node);
    s->count--;
    s->bytes -= k->bytes;
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

bool kept_take_room(struct kept *k, enum kept_kind kind, size_t len)
{
    struct kepts *s = k->agent->kepts;
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

void kept_end(struct kept *k)
{
    struct kepts *s = k->agent->kepts;
    loop_close(&k->agent->loop, &k->source);
    buf_done(&k->request);
    k->ended_at = loop_now();
    /* The list is in the order of the ends: the first one makes room first. */
    list_del(&k->node);
    list_add_tail(&s->list, &k->node);
}

/* A view that has sent the last frame finishes its connection and leaves the list. */
static void kept_tell(struct kept *k)
{
    list_for_each_safe (it, &k->views)
        kept_view_advance(list_entry(it, struct kept_view, node));
}

/* What is left out leaves no gap: the ring never has to drop anything. */
static bool kept_admit(void *ctx, enum wire_stream stream, size_t len)
{
    struct kept *k = ctx;
    if (!kept_take_room(k, stream == WIRE_STREAM_STDERR ? KEPT_STDERR : KEPT_STDOUT,
                        len + WIRE_HEADER_SIZE))
        return false;
    k->bytes += len + RING_OVERHEAD;
    k->agent->kepts->bytes += len + RING_OVERHEAD;
    return true;
}

/* The error is recorded in place of an answer. */
static void kept_fail(struct kept *k, enum wire_error code, const char *message)
{
    journal_put_error(k, code, message);
    kept_end(k);
}

static void kept_command_changed(struct process_reader *r)
{
    struct kept *k = container_of(r, struct kept, command);
    struct process *p = r->process;
    if (p == NULL) {
        kept_drop(k);
    } else if (p->state == PROCESS_FAILED) {
        char message[256];
        enum wire_error code = feed_describe_failure(p, 0, message, sizeof(message));
        process_detach(r);
        kept_fail(k, code, message);
    } else if (p->state == PROCESS_ENDED && k->ended_at == 0) {
        kept_end(k);
    }
}

static void kept_start_command(struct kept *k, const struct wire_frame *frame, uint32_t keep)
{
    cleanup_request struct request req = {0};
    struct launch_error error;
    const char *why = NULL;
    int rv = request_parse(frame, &req, &why);
    if (rv < 0) {
        kept_fail(k, rv == -EPROTO ? WIRE_E_PROTOCOL : WIRE_E_INVALID,
                  rv == -EPROTO ? "the request is not valid" : why);
        return;
    }
    /* Small records cost more than their bytes, so the ring itself must never be the limit. */
    struct process *p = launch_process(k->agent, &req, k->key, SIZE_MAX, &error);
    if (p == NULL) {
        kept_fail(k, error.code, error.message);
        return;
    }
    p->pinned = true;
    p->admit = kept_admit;
    p->admit_ctx = k;
    k->command.wake = kept_command_changed;
    process_attach(p, &k->command, 0, false);
}

/* Makes the pair: the agent's own end, and one that is served like a connection of the server. */
static int kept_start_code(struct kept *k, const struct wire_frame *frame)
{
    int fds[2];
    int rv = wire_put_frame(&k->request, frame->type, frame->payload, frame->len);
    if (rv < 0)
        return rv;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    source_init(&k->source, SOURCE_KEPT, fds[0]);
    rv = conn_new(k->agent, fds[1], true);
    return rv < 0 ? rv : loop_send(&k->agent->loop, &k->source, &k->request);
}

static struct kept *kept_new(struct kepts *s, const char *key, uint32_t keep)
{
    struct kept *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->agent = s->agent;
    list_init(&k->views);
    memcpy(k->key, key, strlen(key) + 1);
    for (size_t i = 0; i < KEPT_KINDS; i++)
        k->room[i] = keep;
    k->started_at = loop_now();
    source_init(&k->source, SOURCE_KEPT, -1);
    list_add_tail(&s->list, &k->node);
    s->count++;
    return k;
}

int kept_start(struct kepts *s, const char *key, uint32_t keep, const struct wire_frame *frame,
               struct kept **ret)
{
    if (kept_find(s, key) != NULL || kept_was_lost(s, key))
        return -EEXIST;
    if (s->count >= KEPT_MAX && !kepts_make_room(s))
        return -EBUSY;
    struct kept *k = kept_new(s, key, keep);
    if (k == NULL)
        return -ENOMEM;
    if (frame->type == WIRE_EXEC) {
        kept_start_command(k, frame, keep);
    } else {
        int rv = kept_start_code(k, frame);
        if (rv < 0) {
            kept_drop(k);
            return rv;
        }
    }
    *ret = k;
    return 0;
}

void kept_forget(struct kept *k)
{
    kept_drop(k);
}

void kept_handle_event(struct source *s, uint32_t events)
{
    static uint8_t chunk[WIRE_CHUNK];
    struct kept *k = container_of(s, struct kept, source);
    int rv = 0;
    if (events & EPOLLOUT)
        rv = loop_send(&k->agent->loop, s, &k->request);
    if (rv == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        ssize_t n = recv(s->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        rv = n <= 0 ? -EPIPE : journal_take(k, chunk, (size_t)n);
    }
    /* Without memory the record has a gap, so there is no record. */
    if (k->journal.frames.failed) {
        kept_drop(k);
        return;
    }
    if (rv < 0)
        kept_fail(k, WIRE_E_INTERNAL, "the operation ended without an answer");
    else if (rv > 0)
        kept_end(k);
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
    if (k->command.process != NULL)
        feed_start(&v->feed, k->command.process, c, 0, false, false);
    kept_view_advance(v);
}

void kept_view_advance(struct kept_view *v)
{
    struct conn *c = v->conn;
    if (v->kept != NULL && v->feed.conn != NULL) {
        feed_writable(&v->feed);
        conn_kick(c);
        return;
    }
    while (v->kept != NULL && v->sent < v->kept->journal.whole && conn_writable(c)) {
        size_t n = MIN(v->kept->journal.whole - v->sent, (size_t)WIRE_CHUNK);
        (void)buf_append(&c->out, v->kept->journal.frames.data + v->sent, n);
        v->sent += n;
        conn_kick(c); /* may close the connection, which stops the view */
    }
    if (v->kept == NULL)
        return;
    if (v->kept->ended_at != 0 && v->sent == v->kept->journal.whole)
        conn_finish(c);
    else
        conn_kick(c);
}

void kept_view_stop(struct kept_view *v)
{
    if (v->kept == NULL)
        return;
    feed_stop(&v->feed);
    list_del(&v->node);
    v->kept = NULL;
}
