/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_host.c - the questions to corral-egress, on one connection.
 *
 * Theory of operation. The connection is made for the first question and then kept. When it breaks,
 * it is made again while questions wait, each of which is asked once more; a question that is older
 * than RESOLVER_WAIT_MS fails. A query for a name that is already asked about waits with the first:
 * C libraries ask for A and AAAA at once. At most FLOW_MAX_QUERIES questions are with the host,
 * and the rest wait for their turn. The one timer runs only while questions wait.
 */
#include "agent/net/resolver.h"

#include <errno.h>
#include <string.h>

#define FRAME_MAX 64u /* payload of a RESOLVED */

static void resolver_connect(struct resolver *r);

static void put_question(struct resolver *r, struct resolver_question *q)
{
    q->sent = true;
    r->under_way++;
    size_t start = wire_begin(&r->out, (enum wire_type)FLOW_RESOLVE);
    (void)buf_u32(&r->out, q->id);
    wire_put_str(&r->out, q->name);
    wire_end(&r->out, start);
}

/* The oldest first, as many as the host takes. */
static void put_questions(struct resolver *r)
{
    list_for_each (it, &r->asked) {
        struct resolver_question *q = list_entry(it, struct resolver_question, node);
        if (r->under_way >= FLOW_MAX_QUERIES)
            return;
        if (!q->sent)
            put_question(r, q);
    }
}

static void drop_connection(struct resolver *r)
{
    list_for_each (it, &r->asked)
        list_entry(it, struct resolver_question, node)->sent = false;
    r->under_way = 0;
    poll_close(r->poll, &r->conn);
    wire_reader_done(&r->reader);
    r->reader = (struct wire_reader){.max_payload = FRAME_MAX};
    buf_done(&r->out);
    r->connected = false;
}

/* Until the oldest question fails, or sooner to connect again. */
static void start_timer(struct resolver *r)
{
    poll_timer_stop(&r->timer);
    if (list_empty(&r->asked))
        return;
    uint64_t now = poll_now();
    uint64_t end = list_first(&r->asked, struct resolver_question, node)->asked_at +
                   RESOLVER_WAIT_MS;
    uint64_t left = end > now ? end - now : 0;
    bool retry = r->conn.fd < 0 || !r->conn.watched;
    poll_timer_start(r->poll, &r->timer, retry ? MIN(left, RESOLVER_RECONNECT_MS) : left);
}

static void lose_connection(struct resolver *r)
{
    drop_connection(r);
    start_timer(r);
}

static void flush(struct resolver *r)
{
    put_questions(r);
    while (r->out.len > 0) {
        ssize_t n = send(r->conn.fd, r->out.data, r->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR) {
            lose_connection(r);
            return;
        }
        buf_consume(&r->out, n < 0 ? 0 : (size_t)n);
    }
    if (r->out.failed ||
        poll_watch(r->poll, &r->conn, EPOLLIN | (r->out.len > 0 ? EPOLLOUT : 0u)) < 0)
        lose_connection(r);
}

static void begin(struct resolver *r)
{
    r->connected = true;
    flush(r);
}

static void resolver_connect(struct resolver *r)
{
    if (r->conn.fd < 0)
        r->conn.fd = host_socket(r->host);
    int rv = r->conn.fd < 0 ? r->conn.fd : host_connect(r->host, r->conn.fd);
    if (rv == -EINPROGRESS && poll_watch(r->poll, &r->conn, EPOLLOUT) < 0)
        rv = -ENOMEM;
    if (rv == 0)
        begin(r);
    else if (rv != -EAGAIN && rv != -EINPROGRESS)
        drop_connection(r);
}

static struct resolver_question *find_question(struct resolver *r, uint32_t id)
{
    list_for_each (it, &r->asked) {
        struct resolver_question *q = list_entry(it, struct resolver_question, node);
        if (q->id == id)
            return q;
    }
    return NULL;
}

static int take_frame(struct resolver *r, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint32_t id = cursor_u32(&c), verdict = cursor_u32(&c), seconds = cursor_u32(&c);
    if ((unsigned int)frame->type != FLOW_RESOLVED || !cursor_end(&c))
        return -EPROTO;
    r->under_way -= r->under_way > 0;
    /* One that is unknown has failed meanwhile. */
    struct resolver_question *q = find_question(r, id);
    if (q != NULL)
        resolver_conclude(r, q, verdict, seconds);
    return 0;
}

static int take_answers(struct resolver *r)
{
    uint8_t chunk[4096];
    struct wire_frame frame;
    ssize_t n = recv(r->conn.fd, chunk, sizeof(chunk), 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    int rv = wire_reader_feed(&r->reader, chunk, (size_t)n);
    while (rv == 0 && (rv = wire_reader_next(&r->reader, &frame)) > 0)
        rv = take_frame(r, &frame);
    return rv;
}

static void resolver_handle_conn(struct poll_source *s, uint32_t events)
{
    struct resolver *r = container_of(s, struct resolver, conn);
    if (!r->connected) {
        if (host_connected(s->fd) < 0)
            lose_connection(r);
        else
            begin(r);
        return;
    }
    if (take_answers(r) < 0) {
        lose_connection(r);
        return;
    }
    flush(r);
    start_timer(r);
}

static void resolver_handle_timer(struct poll_timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);
    uint64_t now = poll_now();
    while (!list_empty(&r->asked)) {
        struct resolver_question *q = list_first(&r->asked, struct resolver_question, node);
        if (now - q->asked_at < RESOLVER_WAIT_MS)
            break;
        resolver_conclude(r, q, FLOW_V_FAILED, 0);
        /* To the host it is still under way, unless the host is stuck: then another attempt. */
        if (r->under_way >= FLOW_MAX_QUERIES)
            drop_connection(r);
    }
    if (!list_empty(&r->asked) && (r->conn.fd < 0 || !r->conn.watched))
        resolver_connect(r);
    start_timer(r);
}

static struct resolver_question *new_question(struct resolver *r, const char *name)
{
    for (size_t i = 0; i < RESOLVER_QUESTIONS; i++) {
        struct resolver_question *q = &r->questions[i];
        if (q->id != 0)
            continue;
        r->next_id = r->next_id == UINT32_MAX ? 1 : r->next_id + 1;
        q->id = r->next_id;
        q->sent = false;
        q->asked_at = poll_now();
        strcpy(q->name, name);
        list_add_tail(&r->asked, &q->node);
        return q;
    }
    return NULL;
}

static struct resolver_question *asked_already(struct resolver *r, const char *name)
{
    list_for_each (it, &r->asked) {
        struct resolver_question *q = list_entry(it, struct resolver_question, node);
        if (strcmp(q->name, name) == 0)
            return q;
    }
    return NULL;
}

static struct resolver_waiter *free_waiter(struct resolver *r)
{
    for (size_t i = 0; i < RESOLVER_WAITERS; i++) {
        if (r->waiters[i].question == 0)
            return &r->waiters[i];
    }
    return NULL;
}

bool resolver_question(struct resolver *r, const struct dns_query *q,
                       const struct resolver_origin *from)
{
    struct resolver_waiter *w = free_waiter(r);
    struct resolver_question *question = asked_already(r, q->name);
    bool is_new = question == NULL;
    if (w == NULL || (is_new && (question = new_question(r, q->name)) == NULL))
        return false;
    *w = (struct resolver_waiter){.question = question->id, .origin = *from, .query = *q};
    if (!is_new)
        return true;
    if (r->connected)
        flush(r);
    else if (r->conn.fd < 0)
        resolver_connect(r);
    start_timer(r);
    return true;
}

void resolver_host_init(struct resolver *r)
{
    poll_source_init(&r->conn, resolver_handle_conn);
    poll_timer_init(&r->timer, resolver_handle_timer);
    r->reader = (struct wire_reader){.max_payload = FRAME_MAX};
}

void resolver_host_done(struct resolver *r)
{
    poll_timer_stop(&r->timer);
    drop_connection(r);
}
