/* SPDX-License-Identifier: Apache-2.0 */
/* test_pause.c - a running sandbox is put away and comes back, and every step may fail. The driver
 * and the store are the test itself, step by step. */
#include "sandbox/pause.h"

#include <errno.h>

#include "t_loop.h"

static uv_loop_t loop;
static struct isolation_driver driver;
static struct instance instance;
static struct sandbox *sb;
static instance_done driver_done; /* owed */
static void (*store_done)(struct store_wait *w, int status);
static int pauses, resumes, stops, changes, refuse, told, quota;
static enum error_code told_code;
static struct sandbox_wait wait;
static const struct error broken = {.code = ERROR_SANDBOX_FAILED, .message = "it does not answer"};

static int fake_pause(struct instance *i, instance_done done)
{
    pauses++;
    driver_done = done;
    return refuse;
}

static int fake_resume(struct instance *i, instance_done done)
{
    resumes++;
    driver_done = done;
    return refuse;
}

static void fake_stop(struct instance *i)
{
    stops++;
}

static const struct isolation_ops ops = {.name = "fake",
                                         .abilities = ISOLATION_FREEZES,
                                         .stop = fake_stop,
                                         .pause = fake_pause,
                                         .resume = fake_resume};
static const struct isolation_ops ops_without = {.name = "plain", .stop = fake_stop};
static const struct sandbox_host host = {.driver = &driver, .pause_expiry_s = 1000};

static void on_phase(struct sandbox *s, enum sandbox_phase old)
{
}

static void on_change(struct sandbox *s)
{
    changes++;
}

static void on_commit(struct sandbox *s, void (*then)(struct store_wait *w, int status))
{
    store_done = then;
}

static int on_may_pause(struct sandbox *s, struct error *err)
{
    return quota == 0 ? 0 : error_set(err, ERROR_QUOTA_EXCEEDED, "enough");
}

static const struct sandbox_events events = {.phase = on_phase,
                                             .changed = on_change,
                                             .warmed = on_change,
                                             .ended = on_change,
                                             .commit = on_commit,
                                             .may_pause = on_may_pause};

static void on_told(struct sandbox_wait *w, struct sandbox *s, const struct error *err)
{
    told++;
    told_code = err != NULL ? err->code : ERROR_NONE;
}

static void set_up(const struct isolation_ops *use)
{
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = use, .loop = &loop};
    instance = (struct instance){.driver = &driver};
    pauses = resumes = stops = changes = refuse = told = quota = 0;
    store_done = NULL;
    wait = (struct sandbox_wait){.done = on_told};
    list_init(&wait.node);
    sb = sandbox_alloc(&events, NULL);
    T_TRUE(sb != NULL);
    sb->host = &host;
    sb->dir = strdup("/nowhere");
    agent_target_init(&sb->target, &loop, "/nowhere");
    sb->instance = &instance;
    sb->claimed = true;
    sb->phase = SANDBOX_RUNNING;
    sb->status = SANDBOX_STATUS_RUNNING;
    sb->owner.timeout_s = 100;
    sandbox_set_timeout(sb, 100);
    changes = 0;
}

/* The driver has stopped it, its files are counted: the record is on its way. */
static void freeze(void)
{
    struct error err;
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, 0, NULL);
    T_UNTIL(&loop, store_done != NULL);
    T_EQ(sb->status, SANDBOX_STATUS_STOPPED);
    T_EQ(told, 0);
}

static void commit(int status)
{
    void (*then)(struct store_wait * w, int status) = store_done;
    store_done = NULL;
    then(&sb->commit, status);
}

static void put_away(void)
{
    freeze();
    commit(0);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_NONE);
    told = 0;
}

static void tear_down(void)
{
    if (sb->phase < SANDBOX_STOPPING)
        sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(stops, 1);
    T_UNTIL(&loop, !sb->expiry_active && !sb->measuring && !sb->op_active);
    sb->phase = SANDBOX_ENDED;
    sb->instance = NULL;
    sandbox_free(sb);
    t_loop_close(&loop);
}

static void it_is_paused_when_its_record_is_on_disk(void)
{
    set_up(&ops);
    put_away();
    T_TRUE(sandbox_is_paused(sb));
    T_TRUE(sb->paused_ms > 0);
    T_TRUE(sb->timeout_at_ms > sb->paused_ms + 999000);
    tear_down();
}

static void a_driver_that_cannot_says_so(void)
{
    struct error err;
    set_up(&ops_without);
    T_TRUE(!sandbox_can_pause(&driver));
    T_TRUE(sandbox_pause(sb, NULL, &err) < 0);
    T_EQ(err.code, ERROR_UNSUPPORTED);
    tear_down();
    set_up(&ops);
    refuse = -EINVAL;
    T_TRUE(sandbox_pause(sb, NULL, &err) < 0);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    tear_down();
}

static void one_that_cannot_be_paused_runs_on(void)
{
    struct error err;
    set_up(&ops);
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(sb->status, SANDBOX_STATUS_RUNNING);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    T_EQ(changes, 0);
    tear_down();
}

static void one_whose_record_is_lost_runs_on(void)
{
    set_up(&ops);
    freeze();
    commit(-ENOSPC);
    T_EQ(resumes, 1);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(sb->status, SANDBOX_STATUS_RUNNING);
    T_EQ(sb->paused_ms, 0);
    T_EQ(told_code, ERROR_STORAGE_FAILED);
    T_EQ(changes, 2); /* the record says again what is true */
    tear_down();
    set_up(&ops); /* and when not even that works, it has failed */
    freeze();
    commit(-EIO);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    T_EQ(told, 1);
    tear_down();
}

static void one_that_cannot_be_resumed_stays_paused(void)
{
    set_up(&ops);
    put_away();
    sandbox_resume(sb, 0, &wait);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    refuse = -EINVAL;
    sandbox_resume(sb, 0, &wait);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 2);
    T_TRUE(sandbox_is_paused(sb));
    tear_down();
}

static void a_resume_in_the_midst_of_a_pause_follows_it(void)
{
    struct sandbox_wait again = {.done = on_told};
    set_up(&ops);
    freeze();
    sandbox_resume(sb, 50, &again);
    T_EQ(resumes, 0);
    commit(0);
    T_EQ(resumes, 1);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    T_EQ(sb->resume_s, 50);
    T_EQ(told, 1);
    driver_done(sb, -EIO, &broken);
    T_EQ(told, 2);
    tear_down();
}

static void an_end_in_between_is_final(void)
{
    struct error err;
    set_up(&ops);
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_INVALID_STATE);
    driver_done(sb, 0, NULL);
    T_TRUE(store_done == NULL);
    tear_down();
    set_up(&ops);
    freeze();
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(sb->status, SANDBOX_STATUS_TERMINATED);
    tear_down();
    set_up(&ops);
    put_away();
    sandbox_resume(sb, 0, &wait);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(told, 1);
    driver_done(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_STOPPING);
    tear_down();
}

static void its_time_out_pauses_it_or_ends_it(void)
{
    set_up(&ops);
    sb->owner.life.pause_at_timeout = true;
    sandbox_set_timeout(sb, 0);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, -EIO, &broken); /* it is not tried again at once */
    T_EQ(sb->phase, SANDBOX_RUNNING);
    sandbox_check_expiry(sb);
    T_EQ(pauses, 1);
    sb->pause_again_ms = 0;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 2);
    tear_down();
    set_up(&ops);
    sb->owner.life.pause_at_timeout = true;
    quota = 1;
    sandbox_set_timeout(sb, 0);
    T_EQ(sb->status, SANDBOX_STATUS_TIMED_OUT);
    tear_down();
}

static void without_traffic_it_pauses(void)
{
    set_up(&ops);
    sb->owner.life.idle_s = 5;
    sb->target.used_ms = uv_now(&loop);
    sandbox_check_expiry(sb);
    T_EQ(pauses, 0);
    sb->net.rx = 1; /* its own connections count */
    sb->target.used_ms = uv_now(&loop) - 6000;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 0);
    sb->target.used_ms = uv_now(&loop) - 6000;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 1);
    tear_down();
}

T_MAIN(T_CASE(it_is_paused_when_its_record_is_on_disk), T_CASE(a_driver_that_cannot_says_so),
       T_CASE(one_that_cannot_be_paused_runs_on), T_CASE(one_whose_record_is_lost_runs_on),
       T_CASE(one_that_cannot_be_resumed_stays_paused),
       T_CASE(a_resume_in_the_midst_of_a_pause_follows_it), T_CASE(an_end_in_between_is_final),
       T_CASE(its_time_out_pauses_it_or_ends_it), T_CASE(without_traffic_it_pauses))
