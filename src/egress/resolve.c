/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/resolve.h"

/* c-ares 1.34 calls deprecated what 1.18 has nothing else for. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/log.h"

#define RESOLVE_CONF "/etc/resolv.conf"

/* A name in the cache or on its way there. */
struct resolve_entry {
    struct list by_name, by_age;
    struct list waits; /* struct resolve_wait */
    struct resolver *resolver;
    bool finished;
    uint64_t asked_ns;
    uint64_t until_ms; /* uv_now */
    struct resolve_answer answer;
    char name[];
};

/* A socket of c-ares. It opens and closes them; the poll handle lives until libuv is done with it.
 */
struct resolve_socket {
    struct list node;
    struct resolver *resolver;
    uv_poll_t poll;
    ares_socket_t fd;
};

static void resolve_arm(struct resolver *r);

static struct list *resolve_bucket(struct resolver *r, const char *name)
{
    uint64_t hash = r->seed;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    return &r->buckets[(hash ^ hash >> 32) % RESOLVE_BUCKETS];
}

static void resolve_on_socket(uv_poll_t *poll, int status, int events)
{
    struct resolve_socket *s = poll->data;
    bool in = status < 0 || (events & UV_READABLE) != 0, out = (events & UV_WRITABLE) != 0;
    struct resolver *r = s->resolver;
    ares_process_fd(r->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
    resolve_arm(r);
}

static void resolve_socket_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct resolve_socket *resolve_socket_of(struct resolver *r, ares_socket_t fd)
{
    list_for_each (it, &r->sockets) {
        struct resolve_socket *s = list_entry(it, struct resolve_socket, node);
        if (s->fd == fd)
            return s;
    }
    struct resolve_socket *s = calloc(1, sizeof(*s));
    if (s == NULL || uv_poll_init(r->loop, &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->poll.data = s;
    s->resolver = r;
    s->fd = fd;
    list_add_tail(&r->sockets, &s->node);
    return s;
}

static void resolve_on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolve_socket *s = resolve_socket_of(arg, fd);
    if (s == NULL)
        return; /* out of memory: the question ends by its time-out */
    if (readable || writable) {
        int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
        (void)uv_poll_start(&s->poll, events, resolve_on_socket);
        return;
    }
    list_del(&s->node);
    uv_close((uv_handle_t *)&s->poll, resolve_socket_closed);
}

static int64_t resolve_conf_time(void)
{
    struct stat st;
    return stat(RESOLVE_CONF, &st) < 0 ? 0 : st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static int resolve_open(struct resolver *r)
{
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = RESOLVE_TRY_MS,
        .tries = RESOLVE_TRIES,
        .lookups = (char[]){"b"},
        .sock_state_cb = resolve_on_state,
        .sock_state_cb_data = r,
    };
    ares_channel channel;
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    o.qcache_max_ttl = 0; /* one cache is enough, and this one knows its bounds */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    r->conf_time = resolve_conf_time();
    int rv = ares_init_options(&channel, &o, mask);
    if (rv == ARES_SUCCESS && r->servers != NULL) {
        rv = ares_set_servers_ports_csv(channel, r->servers);
        if (rv != ARES_SUCCESS)
            ares_destroy(channel);
    }
    if (rv != ARES_SUCCESS) {
        log_error("c-ares did not start", "reason=\"%s\"", ares_strerror(rv));
        return -EINVAL;
    }
    r->channel = channel;
    return 0;
}

/* Questions under way fail with the old channel; what is there to read is of a newer file. */
static void resolve_reload(struct resolver *r)
{
    void *old = r->channel;
    r->reload = false;
    if (resolve_open(r) < 0) {
        r->channel = old;
        return;
    }
    log_info(RESOLVE_CONF " was read again");
    ares_destroy(old);
}

static void resolve_on_timer(uv_timer_t *timer)
{
    struct resolver *r = timer->data;
    if (r->reload)
        resolve_reload(r);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolve_arm(r);
}

static void resolve_arm(struct resolver *r)
{
    struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);
    if (next == NULL && !r->reload) {
        (void)uv_timer_stop(&r->timer);
        return;
    }
    uint64_t ms = r->reload ? 0
                            : (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1;
    (void)uv_timer_start(&r->timer, resolve_on_timer, ms, 0);
}

static void resolve_forget(struct resolve_entry *e)
{
    e->resolver->count--;
    list_del(&e->by_name);
    list_del(&e->by_age);
    free(e);
}

static void resolve_collect(struct resolve_answer *a, const struct ares_addrinfo *info, bool v6)
{
    const struct ares_addrinfo_node *n = info->nodes;
    for (; n != NULL && a->count < RESOLVE_MAX_ADDRESSES; n = n->ai_next) {
        if (n->ai_family != (v6 ? AF_INET6 : AF_INET))
            continue;
        const void *bytes = v6 ? (const void *)&((struct sockaddr_in6 *)n->ai_addr)->sin6_addr
                               : (const void *)&((struct sockaddr_in *)n->ai_addr)->sin_addr;
        a->addresses[a->count++] = address_from_bytes(v6, bytes);
        a->ttl = MIN(a->ttl, (uint32_t)MAX(n->ai_ttl, 0));
    }
}

static void resolve_judge(struct resolve_answer *a, int status, const struct ares_addrinfo *info)
{
    *a = (struct resolve_answer){.ttl = RESOLVE_MAX_TTL};
    if (status == ARES_SUCCESS && info != NULL) {
        resolve_collect(a, info, false);
        resolve_collect(a, info, true);
    }
    if (a->count > 0) {
        a->status = RESOLVE_OK;
        a->ttl = MAX(a->ttl, RESOLVE_MIN_TTL);
        return;
    }
    a->ttl = RESOLVE_ABSENT_TTL;
    if (status == ARES_ENOTFOUND) {
        a->status = RESOLVE_NXDOMAIN;
    } else if (status == ARES_SUCCESS || status == ARES_ENODATA) {
        a->status = RESOLVE_EMPTY;
    } else {
        a->status = RESOLVE_FAILED;
        a->ttl = RESOLVE_MIN_TTL;
    }
}

static void resolve_on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve_entry *e = arg;
    struct resolver *r = e->resolver;
    resolve_judge(&e->answer, status, info);
    ares_freeaddrinfo(info);
    e->finished = true;
    e->until_ms = uv_now(r->loop) + e->answer.ttl * 1000ull;
    r->pending--;
    r->lookups++;
    r->lookup_us += (uv_hrtime() - e->asked_ns) / 1000;
    list_add_tail(&r->by_age, &e->by_age);
    if (e->answer.status == RESOLVE_FAILED && r->servers == NULL &&
        resolve_conf_time() != r->conf_time) {
        r->reload = true;
        (void)uv_timer_start(&r->timer, resolve_on_timer, 0, 0);
    }
    while (!list_empty(&e->waits)) {
        struct resolve_wait *w = list_first(&e->waits, struct resolve_wait, node);
        list_del(&w->node);
        w->done(w, &e->answer);
    }
}

int resolver_init(struct resolver *r, uv_loop_t *loop, const char *servers)
{
    *r = (struct resolver){.loop = loop, .servers = servers};
    list_init(&r->sockets);
    list_init(&r->by_age);
    for (size_t i = 0; i < RESOLVE_BUCKETS; i++)
        list_init(&r->buckets[i]);
    if (getrandom(&r->seed, sizeof(r->seed), 0) != sizeof(r->seed))
        return -EIO;
    int rv = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS ? 0 : -ENOMEM;
    if (rv == 0)
        rv = uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    return rv < 0 ? rv : resolve_open(r);
}

static struct resolve_entry *resolve_find(struct resolver *r, const char *name)
{
    list_for_each_safe (it, resolve_bucket(r, name)) {
        struct resolve_entry *e = list_entry(it, struct resolve_entry, by_name);
        if (e->finished && e->until_ms <= uv_now(r->loop)) {
            resolve_forget(e);
            continue;
        }
        if (strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static struct resolve_entry *resolve_begin(struct resolver *r, const char *name)
{
    size_t len = strlen(name) + 1;
    if (r->count >= RESOLVE_MAX_NAMES && !list_empty(&r->by_age))
        resolve_forget(list_first(&r->by_age, struct resolve_entry, by_age));
    struct resolve_entry *e = calloc(1, sizeof(*e) + len);
    if (e == NULL)
        return NULL;
    memcpy(e->name, name, len);
    e->resolver = r;
    e->asked_ns = uv_hrtime();
    list_init(&e->by_age);
    list_init(&e->waits);
    list_add_tail(resolve_bucket(r, name), &e->by_name);
    r->count++;
    r->pending++;
    static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
                                                     .ai_flags = ARES_AI_NOSORT};
    ares_getaddrinfo(r->channel, e->name, NULL, &hints, resolve_on_answer, e);
    resolve_arm(r);
    return e;
}

_Static_assert(RESOLVE_MAX_PENDING < RESOLVE_MAX_NAMES, "room is made by finished entries");

int resolver_ask(struct resolver *r, const char *name, struct resolve_wait *w,
                 const struct resolve_answer **ret)
{
    struct resolve_entry *e = resolve_find(r, name);
    if (e == NULL && r->pending >= RESOLVE_MAX_PENDING)
        return -EBUSY;
    if (e == NULL)
        e = resolve_begin(r, name);
    if (e == NULL)
        return -ENOMEM;
    if (!e->finished) {
        list_add_tail(&e->waits, &w->node);
        return 0;
    }
    uint64_t now = uv_now(r->loop);
    e->answer.ttl = (uint32_t)(e->until_ms > now ? (e->until_ms - now + 999) / 1000 : 0);
    *ret = &e->answer;
    return 1;
}
