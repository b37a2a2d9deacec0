/* SPDX-License-Identifier: Apache-2.0 */
/* test_relief.c - which sandbox makes room, and when none does. The driver is the test itself. */
#include "base/timefmt.h"
#include "sandbox/moves.h"
#include "sandbox/table_internal.h"
#include "t_loop.h"

#define BOXES 4

static uv_loop_t loop;
static struct isolation_driver driver;
static struct instance instances[BOXES];
static struct sandbox *boxes[BOXES];
static struct sandbox_table table;
static struct sandbox_host host = {.driver = &driver};
static char account[] = "someone";
static int refuse;

static int fake_store(struct instance *i, instance_done done)
{
    return refuse;
}

static const struct isolation_ops stores = {.abilities = ISOLATION_STORES, .store = fake_store};
static const struct isolation_ops freezes = {.abilities = ISOLATION_FREEZES, .pause = fake_store};

static void on_phase(struct sandbox *sb, enum sandbox_phase old)
{
}

static int on_may_pause(struct sandbox *sb, struct error *err)
{
    return 0;
}

static const struct sandbox_events events = {.phase = on_phase, .may_pause = on_may_pause};

/* All run, and the one with the number n has been idle for 15 s times n + 1. */
static void set_up(const struct isolation_ops *ops)
{
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = ops, .loop = &loop};
    table = (struct sandbox_table){.loop = &loop, .host = host};
    table.limits = (struct sandbox_limits){.max_live = 100, .relieve = true};
    list_init(&table.by_age);
    uv_timer_init(&loop, &table.relief);
    refuse = 0;
    for (size_t i = 0; i < BOXES; i++) {
        struct sandbox *sb = boxes[i] = sandbox_alloc(&events, &table);
        T_TRUE(sb != NULL);
        instances[i] = (struct instance){.driver = &driver};
        agent_target_init(&sb->target, &loop, "/nowhere");
        sb->host = &host;
        sb->instance = &instances[i];
        sb->phase = SANDBOX_RUNNING;
        sb->memory_mb = 100;
        sb->owner.account = account;
        sb->owner.life.auto_resume = true;
        sb->target.used_ms = uv_now(&loop) - (i + 1) * 15000;
        list_add_tail(&table.by_age, &sb->by_age);
        table.live++;
    }
}

static void tear_down(void)
{
    for (size_t i = 0; i < BOXES; i++) {
        list_del(&boxes[i]->by_age);
        boxes[i]->owner.account = NULL;
        sandbox_free(boxes[i]);
    }
    uv_close((uv_handle_t *)&table.relief, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    t_loop_close(&loop);
}

/* The one that is being paused; -1: none. */
static int pausing(void)
{
    int found = -1;
    for (int i = 0; i < BOXES; i++) {
        T_TRUE(boxes[i]->phase != SANDBOX_PAUSING || found < 0);
        found = boxes[i]->phase == SANDBOX_PAUSING ? i : found;
    }
    return found;
}

/* It is paused, and nothing of it is in memory. */
static void is_away(int i)
{
    boxes[i]->phase = SANDBOX_PAUSED;
    boxes[i]->instance = NULL;
    table.paused++;
}

static void the_one_idle_for_the_longest_goes_one_at_a_time(void)
{
    set_up(&stores);
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), 3);
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), 3);
    is_away(3);
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), 2);
    tear_down();
}

static void those_in_use_and_those_that_nobody_wakes_up_stay(void)
{
    set_up(&stores);
    struct list call;
    list_add_tail(&boxes[3]->target.calls, &call); /* a request is under way */
    boxes[2]->owner.life.auto_resume = false;
    boxes[1]->net.rx = 1; /* its own connections have carried something */
    boxes[0]->target.used_ms = uv_now(&loop) - 5000;
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), -1);
    list_del(&call);
    tear_down();
}

static void one_that_could_not_be_paused_is_not_asked_again_at_once(void)
{
    set_up(&stores);
    refuse = -EIO;
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), -1);
    refuse = 0;
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), 2);
    tear_down();
}

static void a_freezer_gives_nothing_back(void)
{
    set_up(&freezes);
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), -1);
    tear_down();
}

static void a_server_that_stops_pauses_none(void)
{
    set_up(&stores);
    table.stopping = true;
    sandbox_table_relieve(&table, "test");
    T_EQ(pausing(), -1);
    tear_down();
}

static void room_is_made_until_the_next_create_fits(void)
{
    set_up(&stores);
    sandbox_table_keep_room(&table);
    T_EQ(pausing(), -1); /* nothing was created */
    table.limits.max_memory_mb = 350;
    table.room_mb = 100;
    sandbox_table_keep_room(&table);
    T_EQ(pausing(), 3);
    T_TRUE(uv_is_active((uv_handle_t *)&table.relief)); /* others become idle later */
    is_away(3);
    sandbox_table_keep_room(&table); /* 300 are in use: 100 more do not fit */
    T_EQ(pausing(), 2);
    is_away(2);
    sandbox_table_keep_room(&table);
    T_EQ(pausing(), -1);
    T_EQ(table.room_mb, 0);
    T_TRUE(!uv_is_active((uv_handle_t *)&table.relief));
    tear_down();
}

T_MAIN(T_CASE(the_one_idle_for_the_longest_goes_one_at_a_time),
       T_CASE(those_in_use_and_those_that_nobody_wakes_up_stay),
       T_CASE(one_that_could_not_be_paused_is_not_asked_again_at_once),
       T_CASE(a_freezer_gives_nothing_back), T_CASE(a_server_that_stops_pauses_none),
       T_CASE(room_is_made_until_the_next_create_fits))
