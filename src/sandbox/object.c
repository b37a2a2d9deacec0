/* SPDX-License-Identifier: Apache-2.0 */
/* object.c - a sandbox's memory, before and after everything that happens to it. */
#include <stdlib.h>
#include <string.h>

#include "sandbox/sandbox.h"

static const char *const sandbox_status_names[SANDBOX_STATUS_COUNT] = {
    "creating", "running", "stopped", "failed", "terminated", "timed_out",
};

const char *sandbox_status_str(enum sandbox_status status)
{
    return sandbox_status_names[status];
}

struct sandbox *sandbox_alloc(const struct sandbox_events *events, void *table)
{
    struct sandbox *sb = calloc(1, sizeof(*sb));
    if (sb == NULL)
        return NULL;
    sb->events = events;
    sb->table = table;
    sb->born_ns = uv_hrtime();
    list_init(&sb->run_waits);
    list_init(&sb->end_waits);
    list_init(&sb->by_hash);
    list_init(&sb->by_age);
    list_init(&sb->in_pool);
    list_init(&sb->target.calls);
    return sb;
}

struct sandbox *sandbox_new(const struct template *t, const struct sandbox_events *events,
                            void *table)
{
    struct sandbox *sb = sandbox_alloc(events, table);
    if (sb == NULL)
        return NULL;
    id_new(sb->id);
    memcpy(sb->template_id, t->id, sizeof(sb->template_id));
    sb->vcpus = t->vcpus;
    sb->memory_mb = t->memory_mb;
    sb->disk_mb = t->disk_mb;
    sb->template_name = strdup(t->name);
    if (sb->template_name == NULL) {
        sandbox_free(sb);
        return NULL;
    }
    return sb;
}

void sandbox_free(struct sandbox *sb)
{
    free(sb->template_name);
    sandbox_owner_done(&sb->owner);
    free(sb->reason);
    free(sb->dir);
    free(sb->socket_path);
    free(sb);
}
