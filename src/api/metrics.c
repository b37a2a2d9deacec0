/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - what a sandbox uses: CPU, memory and disk from its driver, network from
 * corral-egress. */
#include <string.h>

#include "api/api.h"
#include "base/timefmt.h"

/* CPU use since the last question, or since the start, in percent of what the sandbox may use. */
static double cpu_percent(struct sandbox *sb, uint64_t cpu_ns)
{
    uint64_t now = uv_hrtime();
    uint64_t since = sb->cpu_asked_ns != 0 ? sb->cpu_asked_ns : sb->born_ns;
    double used = (double)(cpu_ns - MIN(cpu_ns, sb->cpu_used_ns));
    double could = (double)(now - since) * sb->vcpus;
    sb->cpu_asked_ns = now;
    sb->cpu_used_ns = cpu_ns;
    return could > 0 ? MIN(100.0 * used / could, 100.0) : 0;
}

int api_sandbox_usage(struct sandbox *sb, struct instance_stats *stats, double *cpu,
                      struct error *err)
{
    int rv = instance_stats(sb->instance, stats);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "The sandbox's counters cannot be read");
    *cpu = cpu_percent(sb, stats->cpu_ns);
    return 0;
}

void api_sandbox_metrics(struct api_call *call)
{
    struct error err;
    struct sandbox *sb = call->sandbox;
    struct instance_stats stats = {0};
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    double cpu = 0;
    if (api_sandbox_usage(sb, &stats, &cpu, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    jsonw_object(&w);
    jsonw_key_time(&w, "timestamp", time_now_ms());
    jsonw_key(&w, "cpu_usage");
    jsonw_fixed(&w, cpu);
    jsonw_key(&w, "memory_usage");
    jsonw_fixed(&w, (double)stats.memory_bytes / (1 << 20));
    jsonw_key(&w, "memory_total");
    jsonw_fixed(&w, sb->memory_mb);
    jsonw_key_int(&w, "disk_read", (int64_t)stats.disk_read);
    jsonw_key_int(&w, "disk_write", (int64_t)stats.disk_write);
    jsonw_key_int(&w, "network_rx", (int64_t)sb->net.rx);
    jsonw_key_int(&w, "network_tx", (int64_t)sb->net.tx);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}
