/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "http/conn.h"

static void server_on_accepted(struct tcp_listener *l, int fd);
static void server_on_listener_closed(struct tcp_listener *l);
static void server_on_check(uv_check_t *check);
static void server_on_idle(uv_idle_t *idle);
static void server_on_grace(uv_timer_t *timer);
static void server_on_close(uv_handle_t *handle);

static const struct tcp_listener_handler server_listener_handler = {
    .accepted = server_on_accepted,
    .closed = server_on_listener_closed,
};

int http_server_init(struct http_server *s, uv_loop_t *loop, const char *address,
                     const struct http_app *app, const struct http_limits *limits,
                     struct error *err)
{
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->app = app;
    s->limits = *limits;
    list_init(&s->conns);
    tally_init(&s->addresses);
    list_init(&s->deferred);
    int rv = tcp_listener_init(&s->listener, loop, address, &server_listener_handler, err);
    if (rv < 0)
        return rv;
    /* These three cannot fail. */
    (void)uv_check_init(loop, &s->check);
    (void)uv_idle_init(loop, &s->idle);
    (void)uv_timer_init(loop, &s->grace);
    s->check.data = s->idle.data = s->grace.data = s;
    s->handles = 4;
    s->date_s = -1;
    /* Request ids of two runs of the program differ in their upper half. */
    uint32_t run = 0;
    (void)getrandom(&run, sizeof(run), GRND_NONBLOCK);
    s->next_id = (uint64_t)run << 32;
    return 0;
}

/* Prepared for clients that speak http:// to an https:// port. */
static void server_plain_answer(struct http_server *s)
{
    struct error err;
    cleanup_buf struct buf body = {0};
    struct buf answer = {0};
    (void)error_set(&err, ERROR_INVALID_REQUEST, "This port speaks HTTPS: use https://");
    s->app->error_body(&body, &err);
    (void)buf_printf(&answer,
                     "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                     body.len);
    (void)buf_append(&answer, body.data, body.len);
    if (body.failed || answer.failed)
        buf_done(&answer);
    tls_context_set_plain_answer(s->tls, &answer);
}

void http_server_set_tls(struct http_server *s, struct tls_context *tls)
{
    tls_context_unref(s->tls);
    s->tls = tls;
    server_plain_answer(s);
}

void http_server_start(struct http_server *s)
{
    tcp_listener_start(&s->listener);
}

static void server_on_accepted(struct tcp_listener *l, int fd)
{
    struct http_server *s = container_of(l, struct http_server, listener);
    int rv = http_conn_open(s, fd);
    if (rv < 0 && rv != -EMFILE)
        log_warn("connection refused", "error=%s", uv_err_name(rv));
}

/* The one, of an address or of all, that has waited for its client the longest. NULL: none waits.
 */
static struct http_conn *server_longest_waiting(struct http_server *s,
                                                const struct tally_entry *address)
{
    struct http_conn *longest = NULL;
    uint64_t since = UINT64_MAX;
    list_for_each (it, &s->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, link);
        uint64_t waits = http_conn_waits_since(c);
        if (waits != 0 && waits < since && (address == NULL || c->address == address)) {
            longest = c;
            since = waits;
        }
    }
    return longest;
}

/* Connections that an address may have. A reverse proxy on this host has those of all clients. */
static unsigned int server_most(const struct http_server *s, const char *address)
{
    bool here = strncmp(address, "127.", 4) == 0 || strncmp(address, "::ffff:127.", 11) == 0 ||
                strcmp(address, "::1") == 0;
    if (s->limits.max_address != 0)
        return s->limits.max_address;
    return here ? UINT_MAX : MAX(s->limits.max_connections / 2, 1u);
}

/* Closing frees a descriptor at once and the connection in the next turn. */
bool http_server_admit(struct http_server *s, const struct http_conn *c)
{
    bool address_full = c->address != NULL && c->address->count > server_most(s, c->address->name);
    if (!address_full && s->n_conns <= s->limits.max_connections)
        return true;
    struct http_conn *longest = server_longest_waiting(s, address_full ? c->address : NULL);
    if (longest != NULL) {
        http_conn_abort(longest);
        return true;
    }
    if (!address_full) /* it is served, and the next ones wait in the kernel's backlog */
        tcp_listener_pause(&s->listener);
    return !address_full;
}

void http_server_conn_opened(struct http_server *s, struct list *entry)
{
    list_add_tail(&s->conns, entry);
    s->n_conns++;
}

static void server_close(struct http_server *s)
{
    if (s->closed)
        return;
    s->closed = true;
    uv_close((uv_handle_t *)&s->check, server_on_close);
    uv_close((uv_handle_t *)&s->idle, server_on_close);
    uv_close((uv_handle_t *)&s->grace, server_on_close);
}

void http_server_conn_closed(struct http_server *s, struct list *entry)
{
    list_del(entry);
    s->n_conns--;
    if (s->stopping && s->n_conns == 0)
        server_close(s);
    else if (!s->stopping && s->n_conns < s->limits.max_connections)
        tcp_listener_start(&s->listener); /* a descriptor has become free, too */
}

/* --- deferred ticks: work that may not run inside a call of the app --- */

void http_server_defer(struct http_server *s, struct list *entry)
{
    if (!list_empty(entry))
        return;
    list_add_tail(&s->deferred, entry);
    /* The check handle runs in this turn when the app was called from polling; the idle handle
     * keeps the loop from sleeping otherwise. */
    (void)uv_check_start(&s->check, server_on_check);
    (void)uv_idle_start(&s->idle, server_on_idle);
}

static void server_run_deferred(struct http_server *s)
{
    struct list batch;
    (void)uv_check_stop(&s->check);
    (void)uv_idle_stop(&s->idle);
    /* Entries deferred from here on belong to the next turn. */
    list_init(&batch);
    while (!list_empty(&s->deferred)) {
        struct list *entry = s->deferred.next;
        list_del(entry);
        list_add_tail(&batch, entry);
    }
    while (!list_empty(&batch)) {
        struct http_conn *c = list_first(&batch, struct http_conn, deferred);
        list_del(&c->deferred);
        http_conn_tick(c);
    }
}

static void server_on_check(uv_check_t *check)
{
    server_run_deferred(check->data);
}

static void server_on_idle(uv_idle_t *idle)
{
    server_run_deferred(idle->data);
}

/* --- stopping --- */

void http_server_stop(struct http_server *s, unsigned int grace_ms,
                      void (*stopped)(struct http_server *s))
{
    if (s->closed)
        return;
    if (!s->stopping) {
        s->stopping = true;
        s->stopped = stopped;
        tcp_listener_close(&s->listener);
        list_for_each (it, &s->conns)
            http_conn_kick(list_entry(it, struct http_conn, link));
    }
    (void)uv_timer_start(&s->grace, server_on_grace, grace_ms, 0);
    if (s->n_conns == 0)
        server_close(s);
}

static void server_on_grace(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    /* Aborting closes handles, which takes a turn: no entry leaves the list in this loop. */
    list_for_each (it, &s->conns)
        http_conn_abort(list_entry(it, struct http_conn, link));
}

static void server_unref(struct http_server *s)
{
    if (--s->handles > 0)
        return;
    buf_done(&s->scratch);
    tls_context_unref(TAKE_PTR(s->tls));
    s->stopped(s);
}

static void server_on_listener_closed(struct tcp_listener *l)
{
    server_unref(container_of(l, struct http_server, listener));
}

static void server_on_close(uv_handle_t *handle)
{
    server_unref(handle->data);
}

const char *http_server_address(const struct http_server *s)
{
    return tcp_listener_address(&s->listener);
}

unsigned int http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}
