/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "core/metrics.h"
#include "t.h"

static char *text; /* of the last metrics_print */

static void print(void)
{
    struct buf b = {0};
    free(text);
    T_EQ(metrics_print(&b), 0);
    text = buf_cstr(&b);
}

static void expect(const char *line)
{
    const char *at = strstr(text, line);
    if (at == NULL)
        T_FAIL("not printed: %s\n%s", line, text);
    T_TRUE((at == text || at[-1] == '\n') && at[strlen(line)] == '\n');
}

static void counts(void)
{
    metrics_reset();
    metrics_add(METRIC_CONNECTIONS, 3);
    metrics_add(METRIC_CONNECTIONS, -1);
    metrics_set(METRIC_SANDBOXES_RUNNING, 7);
    T_EQ(metrics_get(METRIC_CONNECTIONS), 2);
    print();
    expect("# TYPE corral_connections gauge");
    expect("corral_connections 2");
    expect("corral_sandboxes{state=\"running\"} 7");
    expect("corral_sandboxes{state=\"failed\"} 0");
}

/* A family's HELP and TYPE come once, before all of its samples: scrapers reject anything else. */
static void families_stand_together(void)
{
    metrics_reset();
    unsigned int a = metrics_route("GET", "/a");
    unsigned int b = metrics_route("POST", "/b");
    metrics_request(a, 200, 1000);
    metrics_request(b, 404, 1000);
    print();
    char seen[64][64];
    size_t n = 0;
    for (const char *p = strstr(text, "# TYPE "); p != NULL; p = strstr(p + 1, "# TYPE ")) {
        T_EQ(sscanf(p, "# TYPE %63s", seen[n]), 1);
        for (size_t i = 0; i < n; i++)
            T_TRUE(strcmp(seen[i], seen[n]) != 0);
        n++;
        T_TRUE(n < 64);
    }
    T_TRUE(n > 5);
}

static void routes_have_statuses_and_latencies(void)
{
    metrics_reset();
    unsigned int r = metrics_route("GET", "/v1/x/:id");
    unsigned int idle = metrics_route("GET", "/idle");
    T_TRUE(r != idle);
    metrics_request(r, 200, 400000);
    metrics_request(r, 200, 3000000);
    metrics_request(r, 404, 60000000000u);
    print();
    expect("corral_http_requests_total{method=\"GET\",route=\"/v1/x/:id\",status=\"200\"} 2");
    expect("corral_http_requests_total{method=\"GET\",route=\"/v1/x/:id\",status=\"404\"} 1");
    expect("corral_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/x/:id\","
           "le=\"0.0005\"} 1");
    expect("corral_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/x/:id\","
           "le=\"0.005\"} 2");
    expect("corral_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/x/:id\","
           "le=\"30\"} 2");
    expect("corral_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/x/:id\","
           "le=\"+Inf\"} 3");
    expect("corral_http_request_duration_seconds_sum{method=\"GET\",route=\"/v1/x/:id\"} "
           "60.003400000");
    expect("corral_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/x/:id\"} 3");
    T_TRUE(strstr(text, "/idle") == NULL);
}

static void overflow_is_bounded(void)
{
    metrics_reset();
    for (unsigned int i = 0; i < METRICS_MAX_ROUTES + 5; i++)
        T_TRUE(metrics_route("GET", "/r") < METRICS_MAX_ROUTES);
    for (int status = 100; status < 600; status++)
        metrics_request(1, status, 1);
    metrics_request(100000, 200, 1);
    print();
    size_t lines = 0;
    uint64_t total = 0;
    const char *prefix = "corral_http_requests_total{method=\"GET\"";
    for (const char *p = strstr(text, prefix); p != NULL; p = strstr(p + 1, prefix)) {
        total += strtoull(strchr(p, '}') + 2, NULL, 10);
        lines++;
    }
    T_EQ(lines, METRICS_MAX_STATUSES);
    T_EQ(total, 500);
    free(text);
    text = NULL;
}

T_MAIN(T_CASE(counts), T_CASE(families_stand_together), T_CASE(routes_have_statuses_and_latencies),
       T_CASE(overflow_is_bounded))
