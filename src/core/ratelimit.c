/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ratelimit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"
#include "base/num.h"

#define RATELIMIT_BUCKETS 1024 /* a power of two */
#define RATELIMIT_NAME    64
#define MINUTE_MS         60000

struct client {
    struct list by_hash, by_age;
    char name[RATELIMIT_NAME];
    int64_t window_ms; /* start of the minute */
    uint32_t used;     /* in the minute */
    int64_t refill_ms; /* when `milli` was true */
    int64_t milli;     /* thousandths of requests left in the second's bucket */
};

struct ratelimit {
    unsigned int n_clients;
    struct list by_age; /* last seen first */
    struct list buckets[RATELIMIT_BUCKETS];
};

/* One of "100/min" and "10/s". */
static int ratelimit_parse_part(struct rate_limits *r, const char *part, size_t len)
{
    char digits[16];
    int64_t n;
    const char *slash = memchr(part, '/', len);
    size_t count = slash != NULL ? (size_t)(slash - part) : 0;
    if (count == 0 || count >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, part, count);
    digits[count] = '\0';
    size_t unit = len - count - 1;
    bool minute = (unit == 3 && memcmp(slash + 1, "min", 3) == 0) || (unit == 1 && slash[1] == 'm');
    bool second = (unit == 3 && memcmp(slash + 1, "sec", 3) == 0) || (unit == 1 && slash[1] == 's');
    uint32_t *to = minute ? &r->per_minute : &r->per_second;
    if ((!minute && !second) || *to != 0 || num_parse(digits, 1, RATELIMIT_MAX, &n) < 0)
        return -EINVAL;
    *to = (uint32_t)n;
    return 0;
}

int ratelimit_parse(const char *text, struct rate_limits *ret)
{
    struct rate_limits r = {.enabled = true};
    if (strcasecmp(text, "off") == 0) {
        *ret = (struct rate_limits){.enabled = false};
        return 0;
    }
    for (const char *p = text;;) {
        p += strspn(p, " ");
        size_t len = strcspn(p, ", ");
        if (ratelimit_parse_part(&r, p, len) < 0)
            return -EINVAL;
        p += len;
        p += strspn(p, " ");
        if (*p == '\0')
            break;
        if (*p++ != ',')
            return -EINVAL;
    }
    *ret = r;
    return 0;
}

const char *ratelimit_print(const struct rate_limits *rate, char ret[RATELIMIT_TEXT_SIZE])
{
    int n = 0;
    (void)snprintf(ret, RATELIMIT_TEXT_SIZE, "off");
    if (rate->enabled && rate->per_minute > 0)
        n = snprintf(ret, RATELIMIT_TEXT_SIZE, "%u/min", rate->per_minute);
    if (rate->enabled && rate->per_second > 0)
        (void)snprintf(ret + n, RATELIMIT_TEXT_SIZE - (size_t)n, "%s%u/s", n > 0 ? "," : "",
                       rate->per_second);
    return ret;
}

struct ratelimit *ratelimit_new(void)
{
    struct ratelimit *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    list_init(&r->by_age);
    for (size_t i = 0; i < RATELIMIT_BUCKETS; i++)
        list_init(&r->buckets[i]);
    return r;
}

void ratelimit_free(struct ratelimit *r)
{
    if (r == NULL)
        return;
    list_for_each_safe (it, &r->by_age) {
        free(list_entry(it, struct client, by_age));
    }
    free(r);
}

static struct list *ratelimit_bucket(struct ratelimit *r, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *p = name; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    return &r->buckets[hash % RATELIMIT_BUCKETS];
}

/* The client's counters, moved to the front. NULL: out of memory. */
static struct client *ratelimit_client(struct ratelimit *r, const char *name,
                                       const struct rate_limits *rate, int64_t now_ms)
{
    struct list *bucket = ratelimit_bucket(r, name);
    struct client *c = NULL;
    list_for_each (it, bucket) {
        struct client *other = list_entry(it, struct client, by_hash);
        if (strncmp(other->name, name, RATELIMIT_NAME - 1) == 0)
            c = other;
    }
    if (c == NULL && r->n_clients < RATELIMIT_MAX_CLIENTS) {
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            return NULL;
        list_init(&c->by_hash);
        list_init(&c->by_age);
        r->n_clients++;
    } else if (c == NULL) {
        c = list_entry(r->by_age.prev, struct client, by_age);
        c->name[0] = '\0';
    }
    if (c->name[0] == '\0') {
        (void)strncpy(c->name, name, RATELIMIT_NAME - 1);
        c->window_ms = c->refill_ms = now_ms;
        c->used = 0;
        c->milli = (int64_t)rate->per_second * 1000;
    }
    list_del(&c->by_hash);
    list_add_tail(bucket, &c->by_hash);
    list_del(&c->by_age);
    list_add_head(&r->by_age, &c->by_age);
    return c;
}

/* A clock that was set back starts a new minute, too. */
static void ratelimit_advance(const struct rate_limits *rate, struct client *c, int64_t now_ms)
{
    if (now_ms - c->window_ms >= MINUTE_MS || now_ms < c->window_ms) {
        c->window_ms = now_ms;
        c->used = 0;
    }
    int64_t passed = MIN(MAX(now_ms - c->refill_ms, 0), 1000);
    c->milli = MIN(c->milli + passed * rate->per_second, (int64_t)rate->per_second * 1000);
    c->refill_ms = now_ms;
}

struct ratelimit_answer ratelimit_take(struct ratelimit *r, const char *client,
                                       const struct rate_limits *rate, int64_t now_ms)
{
    struct ratelimit_answer a = {.limit = rate->per_minute, .retry_after_s = 1};
    struct client *c = ratelimit_client(r, client, rate, now_ms);
    if (c == NULL)
        return a;
    ratelimit_advance(rate, c, now_ms);
    int64_t end_ms = c->window_ms + MINUTE_MS;
    if (rate->per_minute > 0 && c->used >= rate->per_minute) {
        a.retry_after_s = (uint32_t)MAX((end_ms - now_ms + 999) / 1000, 1);
    } else if (rate->per_second == 0 || c->milli >= 1000) {
        a.allowed = true;
        c->used += rate->per_minute > 0;
        c->milli -= rate->per_second > 0 ? 1000 : 0;
    }
    a.remaining = rate->per_minute - MIN(c->used, rate->per_minute);
    a.reset_s = (end_ms + 999) / 1000;
    return a;
}
