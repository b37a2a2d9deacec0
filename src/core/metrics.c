/* SPDX-License-Identifier: Apache-2.0 */
#include "core/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct metric_info {
    const char *kind;
    const char *family;
    const char *labels;
    const char *help;
};

static const struct metric_info metric_table[METRIC_COUNT] = {
#define X(name, kind, family, labels, help) {#kind, family, labels, help},
    METRICS(X)
#undef X
};

/* Upper bounds of the latency histogram; text as Prometheus shows it. */
static const struct {
    uint64_t ns;
    const char *le;
} metric_buckets[] = {
    {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
    {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},
    {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"},
    {5000000000, "5"},   {10000000000, "10"}, {30000000000, "30"},
};

#define METRIC_BUCKETS ARRAY_SIZE(metric_buckets)

struct metric_route {
    const char *method;
    const char *route;
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[METRIC_BUCKETS]; /* not cumulative; what is above the last is in count only */
    struct {
        int status; /* 0: free */
        uint64_t count;
    } statuses[METRICS_MAX_STATUSES];
};

static int64_t metric_values[METRIC_COUNT];
static struct metric_route metric_routes[METRICS_MAX_ROUTES];
static unsigned int metric_n_routes;

void metrics_add(enum metric m, int64_t n)
{
    metric_values[m] += n;
}

void metrics_set(enum metric m, int64_t value)
{
    metric_values[m] = value;
}

int64_t metrics_get(enum metric m)
{
    return metric_values[m];
}

unsigned int metrics_route(const char *method, const char *route)
{
    if (metric_n_routes == METRICS_MAX_ROUTES) {
        metric_routes[METRICS_MAX_ROUTES - 1].method = "other";
        metric_routes[METRICS_MAX_ROUTES - 1].route = "other";
        return METRICS_MAX_ROUTES - 1;
    }
    metric_routes[metric_n_routes].method = method;
    metric_routes[metric_n_routes].route = route;
    return metric_n_routes++;
}

void metrics_request(unsigned int route, int status, uint64_t ns)
{
    struct metric_route *r = &metric_routes[MIN(route, METRICS_MAX_ROUTES - 1u)];
    r->count++;
    r->sum_ns += ns;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        if (ns <= metric_buckets[i].ns) {
            r->buckets[i]++;
            break;
        }
    }
    size_t slot = 0;
    while (slot < METRICS_MAX_STATUSES - 1 && r->statuses[slot].status != 0 &&
           r->statuses[slot].status != status)
        slot++;
    r->statuses[slot].status = status;
    r->statuses[slot].count++;
}

static void metrics_print_head(struct buf *out, const char *family, const char *kind,
                               const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, kind);
}

static void metrics_print_table(struct buf *out)
{
    const char *family = "";
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *m = &metric_table[i];
        if (strcmp(m->family, family) != 0)
            metrics_print_head(out, m->family, m->kind, m->help);
        family = m->family;
        bool labelled = m->labels[0] != '\0';
        (void)buf_printf(out, "%s%s%s%s %" PRId64 "\n", m->family, labelled ? "{" : "", m->labels,
                         labelled ? "}" : "", metric_values[i]);
    }
}

static void metrics_print_statuses(struct buf *out, const struct metric_route *r)
{
    for (size_t i = 0; i < METRICS_MAX_STATUSES && r->statuses[i].status != 0; i++)
        (void)buf_printf(out,
                         "corral_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} "
                         "%" PRIu64 "\n",
                         r->method, r->route, r->statuses[i].status, r->statuses[i].count);
}

static void metrics_print_histogram(struct buf *out, const struct metric_route *r)
{
    static const char name[] = "corral_http_request_duration_seconds";
    uint64_t below = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        below += r->buckets[i];
        (void)buf_printf(out, "%s_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %" PRIu64 "\n", name,
                         r->method, r->route, metric_buckets[i].le, below);
    }
    (void)buf_printf(out, "%s_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name,
                     r->method, r->route, r->count);
    (void)buf_printf(out, "%s_sum{method=\"%s\",route=\"%s\"} %" PRIu64 ".%09" PRIu64 "\n", name,
                     r->method, r->route, r->sum_ns / 1000000000, r->sum_ns % 1000000000);
    (void)buf_printf(out, "%s_count{method=\"%s\",route=\"%s\"} %" PRIu64 "\n", name, r->method,
                     r->route, r->count);
}

int metrics_print(struct buf *out)
{
    metrics_print_table(out);
    metrics_print_head(out, "corral_http_requests_total", "counter",
                       "Answered requests by route and status");
    for (unsigned int i = 0; i < metric_n_routes; i++)
        metrics_print_statuses(out, &metric_routes[i]);
    metrics_print_head(out, "corral_http_request_duration_seconds", "histogram",
                       "Time from the head of a request to the end of its answer");
    for (unsigned int i = 0; i < metric_n_routes; i++) {
        if (metric_routes[i].count > 0)
            metrics_print_histogram(out, &metric_routes[i]);
    }
    return out->failed ? -ENOMEM : 0;
}

void metrics_reset(void)
{
    memset(metric_values, 0, sizeof(metric_values));
    memset(metric_routes, 0, sizeof(metric_routes));
    metric_n_routes = 0;
}
