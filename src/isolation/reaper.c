/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.c - one entry for each leftover, and one timer for the next of them that is due.
 *
 *                 reaper_take, look            due              cleaner: ok
 *     (unknown) ------------------> WAITING --------> CLEANING -----------> freed
 *                                      ^                 | failed: twice the pause
 *                                      +-----------------+
 *
 * An entry never gives up. What keeps a cleaner from its work passes: descriptors and processes are
 * free again, a process that sleeps in the kernel wakes up. Until then its id is in the gauge
 * corral_leftovers, and each failed cleaner counts in corral_cleanings_failed_total.
 */
#include "isolation/reaper.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/metrics.h"

#define REAPER_LOOK_MS      60000
#define REAPER_PAUSE_MIN_MS 500
#define REAPER_PAUSE_MAX_MS 60000
#define REAPER_CLEAN_MS     60000 /* for one cleaner */
#define REAPER_CLEANINGS    2     /* at once */

struct reaper_entry {
    struct list link;
    struct reaper *reaper;
    char id[DRIVER_ID_LEN + 1];
    char **argv; /* owned; the cleaner gets a copy */
    struct helper cleaner;
    uint64_t due; /* in uv_now's time */
    unsigned int pause_ms;
};

struct reaper {
    struct isolation_driver *driver; /* NULL once it is being freed */
    uv_loop_t *loop;
    char *state_dir;
    struct helper_runner cleanings; /* its own: leftovers delay no ending */
    struct list members, entries;
    uv_timer_t timer;
    bool watching;
    uint64_t look_due;
};

static void reaper_on_timer(uv_timer_t *timer);
static void reaper_on_cleaned(struct helper *run);
static void reaper_on_close(uv_handle_t *handle);

struct reaper *reaper_new(struct isolation_driver *driver, const char *state_dir)
{
    struct reaper *r = calloc(1, sizeof(*r));
    if (r == NULL || (r->state_dir = strdup(state_dir)) == NULL) {
        free(r);
        return NULL;
    }
    r->driver = driver;
    r->loop = driver->loop;
    helper_runner_init(&r->cleanings, r->loop, REAPER_CLEANINGS);
    list_init(&r->members);
    list_init(&r->entries);
    (void)uv_timer_init(r->loop, &r->timer);
    r->timer.data = r;
    return r;
}

static void reaper_entry_free(struct reaper_entry *e)
{
    list_del(&e->link);
    helper_argv_free(e->argv);
    free(e);
}

static void reaper_close_if_idle(struct reaper *r)
{
    if (r->driver == NULL && list_empty(&r->entries) && !uv_is_closing((uv_handle_t *)&r->timer))
        uv_close((uv_handle_t *)&r->timer, reaper_on_close);
}

void reaper_free(struct reaper *r)
{
    if (r == NULL)
        return;
    r->driver = NULL;
    list_for_each_safe (it, &r->entries) {
        struct reaper_entry *e = list_entry(it, struct reaper_entry, link);
        if (e->cleaner.busy)
            helper_cancel(&e->cleaner);
        else
            reaper_entry_free(e);
    }
    reaper_close_if_idle(r);
}

static void reaper_on_close(uv_handle_t *handle)
{
    struct reaper *r = handle->data;
    free(r->state_dir);
    free(r);
}

/* Sets the timer for whatever is due next. */
static void reaper_arm(struct reaper *r)
{
    uint64_t now = uv_now(r->loop), due = r->watching ? r->look_due : UINT64_MAX;
    list_for_each (it, &r->entries) {
        const struct reaper_entry *e = list_entry(it, struct reaper_entry, link);
        if (!e->cleaner.busy)
            due = MIN(due, e->due);
    }
    if (due == UINT64_MAX)
        (void)uv_timer_stop(&r->timer);
    else
        (void)uv_timer_start(&r->timer, reaper_on_timer, due > now ? due - now : 0, 0);
}

void reaper_know(struct reaper *r, struct reaper_member *m, const char *id)
{
    m->id = id;
    list_add_tail(&r->members, &m->link);
}

void reaper_forget(struct reaper_member *m)
{
    list_del(&m->link);
}

bool reaper_owes(const struct reaper *r, const char *id)
{
    list_for_each (it, &r->entries) {
        if (strcmp(list_entry(it, struct reaper_entry, link)->id, id) == 0)
            return true;
    }
    return false;
}

static bool reaper_has(const struct reaper *r, const char *id)
{
    list_for_each (it, &r->members) {
        if (strcmp(list_entry(it, struct reaper_member, link)->id, id) == 0)
            return true;
    }
    return reaper_owes(r, id);
}

void reaper_take(struct reaper *r, const char *id, char **argv)
{
    struct reaper_entry *e = argv != NULL ? calloc(1, sizeof(*e)) : NULL;
    if (e == NULL) {
        helper_argv_free(argv);
        return;
    }
    e->reaper = r;
    e->argv = argv;
    e->pause_ms = REAPER_PAUSE_MIN_MS;
    e->due = uv_now(r->loop) + e->pause_ms;
    (void)snprintf(e->id, sizeof(e->id), "%s", id);
    list_add_tail(&r->entries, &e->link);
    metrics_add(METRIC_LEFTOVERS, 1);
    reaper_arm(r);
}

static char **reaper_copy(char **argv)
{
    size_t n = 0;
    while (argv[n] != NULL)
        n++;
    char **copy = calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = strdup(argv[i]);
        if (copy[i] == NULL) {
            helper_argv_free(copy);
            return NULL;
        }
    }
    return copy;
}

static void reaper_on_cleaned(struct helper *run)
{
    struct reaper_entry *e = container_of(run, struct reaper_entry, cleaner);
    struct reaper *r = e->reaper;
    char quoted[256];
    bool done = run->end == HELPER_EXITED && run->status == 0;
    if (r->driver == NULL || done) {
        if (done)
            log_info("left-over sandbox removed", "sandbox=%s", e->id);
        metrics_add(METRIC_LEFTOVERS, -1);
        reaper_entry_free(e);
        reaper_close_if_idle(r);
        return;
    }
    metrics_add(METRIC_CLEANINGS_FAILED, 1);
    e->pause_ms = MIN(e->pause_ms * 2, REAPER_PAUSE_MAX_MS);
    e->due = uv_now(r->loop) + e->pause_ms;
    log_warn("left-over sandbox not removed yet", "sandbox=%s status=%d again_ms=%u error=%s",
             e->id, run->status, e->pause_ms, log_quote(quoted, sizeof(quoted), run->text));
    reaper_arm(r);
}

static void reaper_look_at(struct reaper *r, const char *place)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", r->state_dir, place);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return; /* not even a descriptor is left; the next look comes */
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (!driver_id_valid(e->d_name) || reaper_has(r, e->d_name))
            continue;
        char **argv = r->driver->ops->cleaner(r->driver, place, e->d_name);
        if (argv == NULL)
            continue;
        log_warn("found a left-over sandbox", "sandbox=%s place=%s", e->d_name, place);
        reaper_take(r, e->d_name, argv);
    }
    (void)closedir(dir);
}

void reaper_look(struct reaper *r)
{
    const char *const *places = r->driver->ops->places;
    for (; places != NULL && *places != NULL; places++)
        reaper_look_at(r, *places);
}

void reaper_watch(struct reaper *r)
{
    r->watching = true;
    r->look_due = uv_now(r->loop) + REAPER_LOOK_MS;
    reaper_arm(r);
}

static void reaper_on_timer(uv_timer_t *timer)
{
    struct reaper *r = timer->data;
    uint64_t now = uv_now(r->loop);
    if (r->driver == NULL)
        return;
    if (r->watching && r->look_due <= now) {
        r->look_due = now + REAPER_LOOK_MS;
        reaper_look(r);
    }
    list_for_each_safe (it, &r->entries) {
        struct reaper_entry *e = list_entry(it, struct reaper_entry, link);
        if (!e->cleaner.busy && e->due <= now)
            helper_start(&e->cleaner, &r->cleanings, reaper_copy(e->argv), REAPER_CLEAN_MS,
                         reaper_on_cleaned);
    }
    reaper_arm(r);
}
