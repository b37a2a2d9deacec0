/* SPDX-License-Identifier: Apache-2.0 */
/* t_instance.h - instances of an isolation driver in a test: what they have said, how to wait for
 * it, and what they could leave behind. The including file makes `driver` and opens `loop`. */
#ifndef CORRAL_T_INSTANCE_H
#define CORRAL_T_INSTANCE_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "isolation/cgroup.h"
#include "isolation/driver.h"
#include "t.h"

#define T_INSTANCE_TICK_MS 20
#define T_INSTANCE_TICKS   1500 /* the longest that a test waits */
#define T_INSTANCE_IDS     100  /* numbers of instances in one test are below this */

static uv_loop_t loop;
static struct isolation_driver *driver;
static char state_dir[64];
static unsigned int id_suffix; /* ends the ids: tells our instances from others */

struct t_instance {
    struct instance *instance;
    char id[DRIVER_ID_LEN + 1];
    char dir[160];
    int started, exited, stopped, done; /* how often */
    int status, done_status;
    char error[256], reason[256];
};

static void on_started(void *ctx, int status, const struct error *err)
{
    struct t_instance *b = ctx;
    b->started++;
    b->status = status;
    if (err != NULL)
        (void)snprintf(b->error, sizeof(b->error), "%s", err->message);
}

static void on_exited(void *ctx, const char *reason)
{
    struct t_instance *b = ctx;
    b->exited++;
    (void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
}

static void on_stopped(void *ctx)
{
    struct t_instance *b = ctx;
    b->stopped++;
    b->instance = NULL;
}

static const struct instance_events events = {on_started, on_exited, on_stopped};

/* Makes instance `n`; what else is asked for is in `spec`. */
static inline void t_instance_new(struct t_instance *b, unsigned int n, struct instance_spec spec)
{
    *b = (struct t_instance){0};
    (void)snprintf(b->id, sizeof(b->id), "%08x-0000-4000-8000-%012x", n, id_suffix);
    (void)snprintf(b->dir, sizeof(b->dir), "%s/sandboxes/%s", state_dir, b->id);
    spec.id = b->id;
    spec.dir = b->dir;
    b->instance = instance_new(driver, &spec, &events, b);
    T_TRUE(b->instance != NULL);
}

/* Ends each turn of the loop, so that a flag set by a timer is seen. */
static inline void t_instance_on_tick(uv_timer_t *t)
{
    int *left = t->data;
    if (--*left == 0)
        T_FAIL("waited too long");
}

static inline void run_until(const int *flag)
{
    uv_timer_t tick;
    int left = T_INSTANCE_TICKS;
    (void)uv_timer_init(&loop, &tick);
    tick.data = &left;
    (void)uv_timer_start(&tick, t_instance_on_tick, T_INSTANCE_TICK_MS, T_INSTANCE_TICK_MS);
    while (*flag == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static inline void t_instance_stop(struct t_instance *b)
{
    instance_stop(b->instance);
    T_EQ(b->stopped, 0);
    run_until(&b->stopped);
    T_EQ(b->stopped, 1);
    T_TRUE(access(b->dir, F_OK) < 0);
}

/* Traces. */

static inline int count_entries(const char *path, const char *prefix)
{
    int n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d != NULL)
        (void)closedir(d);
    return n;
}

static inline int count_state_files(const char *folder)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/%s", state_dir, folder);
    return count_entries(path, "");
}

static inline int count_cgroups(void)
{
    int found = 0;
    struct cgroups cg = {0};
    (void)cgroups_load(&cg);
    for (size_t i = 0; i < cg.n; i++) {
        for (unsigned int n = 0; n < T_INSTANCE_IDS; n++) {
            char path[300];
            (void)snprintf(path, sizeof(path), "%s/corral-%08x-0000-4000-8000-%012x", cg.mounts[i],
                           n, id_suffix);
            found += access(path, F_OK) == 0;
        }
    }
    cgroups_done(&cg);
    return found;
}

#endif
