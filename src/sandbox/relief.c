/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.c - sandboxes that nobody uses make room: when the host's memory runs short, and when the
 * next create would be refused.
 *
 * Only a pause that stores gives memory back, and only a sandbox that any request wakes up may be
 * paused without its owner's knowledge. The one that has been idle for the longest goes first, one
 * at a time. Relief is asked for by events (the kernel's word, a create, the end of a pause), and
 * by a timer while the host is at a limit; one with room does nothing for it.
 */
#include "base/log.h"
#include "sandbox/moves.h"
#include "sandbox/pause.h"
#include "sandbox/table_internal.h"

#define RELIEF_IDLE_MS 10000 /* between two requests of a client at work */

static bool relief_may_take(const struct sandbox *sb)
{
    return sb->phase == SANDBOX_RUNNING && sb->owner.life.auto_resume && sb->capture == NULL &&
           sb->pause_tries == 0; /* the tries that are left are its time-out's */
}

void sandbox_table_relieve(struct sandbox_table *t, const char *why)
{
    struct sandbox *found = NULL;
    uint64_t longest = RELIEF_IDLE_MS - 1;
    if (t->stopping || !sandbox_can_store(t->host.driver))
        return;
    list_for_each (it, &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->phase == SANDBOX_PAUSING)
            return; /* its memory comes back soon */
        uint64_t idle = relief_may_take(sb) ? sandbox_idle_ms(sb) : 0;
        if (idle > longest) {
            longest = idle;
            found = sb;
        }
    }
    if (found != NULL)
        (void)sandbox_put_away(found, why);
    else
        log_debug("no sandbox to be paused", "why=%s", why);
}

static void relief_on_timer(uv_timer_t *timer)
{
    sandbox_table_keep_room(container_of(timer, struct sandbox_table, relief));
}

void sandbox_table_keep_room(struct sandbox_table *t)
{
    struct error err;
    if (t->room_mb == 0)
        return;
    if (sandbox_table_has_room(t, t->room_mb, &err) < 0) {
        sandbox_table_relieve(t, "limit");
        (void)uv_timer_start(&t->relief, relief_on_timer, RELIEF_IDLE_MS, 0);
    } else {
        t->room_mb = 0;
        (void)uv_timer_stop(&t->relief);
    }
}
