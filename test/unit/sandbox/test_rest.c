/* SPDX-License-Identifier: Apache-2.0 */
/* test_rest.c - a sandbox in the pool is paused, and a claim resumes it first, whenever it
 * comes. The driver is the test itself, step by step. */
#include "sandbox/rest.h"

#include <errno.h>

#include "t_loop.h"

static uv_loop_t loop;
static struct isolation_driver driver;
static struct instance instance;
static struct sandbox *sb;
static instance_done pause_done, resume_done; /* owed */
static int pauses, resumes, stops, awakes, refuse;

static int fake_pause(struct instance *i, instance_done done)
{
    pauses++;
    pause_done = done;
    return refuse;
}

static int fake_resume(struct instance *i, instance_done done)
{
    resumes++;
    resume_done = done;
    return refuse;
}

static void fake_stop(struct instance *i)
{
    stops++;
}

static const struct isolation_ops ops = {.name = "fake",
                                         .abilities = ISOLATION_RESTS,
                                         .stop = fake_stop,
                                         .pause = fake_pause,
                                         .resume = fake_resume};
static const struct isolation_ops ops_without = {.name = "plain", .stop = fake_stop};

static void on_phase(struct sandbox *s, enum sandbox_phase old)
{
}

static void on_change(struct sandbox *s)
{
}

static const struct sandbox_events events = {
    .phase = on_phase, .changed = on_change, .warmed = on_change, .ended = on_change};

static void on_awake(struct sandbox *s)
{
    T_EQ(s->rest, SANDBOX_AWAKE);
    awakes++;
}

static void set_up(const struct isolation_ops *use)
{
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = use, .loop = &loop};
    instance = (struct instance){.driver = &driver};
    pauses = resumes = stops = awakes = refuse = 0;
    sb = sandbox_alloc(&events, NULL);
    T_TRUE(sb != NULL);
    agent_target_init(&sb->target, &loop, "/nowhere");
    sb->instance = &instance;
    sb->phase = SANDBOX_READY;
    sandbox_rest(sb);
}

static void claim(void)
{
    sb->claimed = true;
    sandbox_wake(sb, on_awake);
}

static void tear_down(void)
{
    if (sb->phase == SANDBOX_READY)
        sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(stops, 1);
    sb->phase = SANDBOX_ENDED;
    sb->instance = NULL;
    sandbox_free(sb);
    t_loop_close(&loop);
}

static void a_resting_one_is_resumed_first(void)
{
    set_up(&ops);
    T_EQ(sb->rest, SANDBOX_REST_PAUSING);
    pause_done(sb, 0, NULL);
    T_EQ(sb->rest, SANDBOX_RESTING);
    T_EQ(resumes, 0);
    claim();
    T_EQ(resumes, 1);
    T_EQ(awakes, 0);
    resume_done(sb, 0, NULL);
    T_EQ(awakes, 1);
    tear_down();
}

static void a_claim_waits_for_the_pause(void)
{
    set_up(&ops);
    claim();
    T_EQ(resumes, 0);
    pause_done(sb, 0, NULL);
    T_EQ(resumes, 1);
    resume_done(sb, 0, NULL);
    T_EQ(awakes, 1);
    tear_down();
}

static void one_that_cannot_be_paused_stays_awake(void)
{
    const struct error err = {.message = "it does not answer"};
    set_up(&ops_without);
    T_EQ(sb->rest, SANDBOX_AWAKE);
    claim();
    T_EQ(awakes, 1);
    tear_down();
    set_up(&ops);
    pause_done(sb, -EIO, &err);
    claim();
    T_EQ(awakes, 1);
    T_EQ(resumes, 0);
    tear_down();
}

static void one_that_cannot_be_resumed_has_failed(void)
{
    const struct error err = {.message = "it does not answer"};
    set_up(&ops);
    pause_done(sb, 0, NULL);
    claim();
    resume_done(sb, -EIO, &err);
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    T_STR(sb->reason, "it does not answer");
    tear_down();
    set_up(&ops);
    pause_done(sb, 0, NULL);
    refuse = -EINVAL;
    claim();
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    T_EQ(awakes, 0);
    tear_down();
}

static void an_end_in_between_is_final(void)
{
    set_up(&ops);
    pause_done(sb, 0, NULL);
    claim();
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    resume_done(sb, 0, NULL);
    T_EQ(awakes, 0);
    tear_down();
    set_up(&ops);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    pause_done(sb, 0, NULL);
    T_EQ(resumes, 0);
    tear_down();
}

T_MAIN(T_CASE(a_resting_one_is_resumed_first), T_CASE(a_claim_waits_for_the_pause),
       T_CASE(one_that_cannot_be_paused_stays_awake), T_CASE(one_that_cannot_be_resumed_has_failed),
       T_CASE(an_end_in_between_is_final))
