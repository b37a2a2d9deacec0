/* SPDX-License-Identifier: Apache-2.0 */
/* test_ending.c - the end of an instance whose driver is the test: a process that is killed, dies
 * by itself or is not there, and cleaners that fail. The cleaner is a shell. */
#include "isolation/ending.h"
#include "isolation/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "t_loop.h"

#define TRIES 3

static uv_loop_t loop;
static struct isolation_driver driver;
static struct instance instance;
static struct helper_runner cleanings;
static struct ending ending;
static pid_t child;
static const char *script; /* of the cleaner; its $0 says which try it is */
static int died, cleaned, closes, gone;
static bool lived_when_cleaned; /* the child, at the first try */

static void on_died(struct ending *e)
{
    died++;
}

static char **cleaner(const struct ending *e)
{
    char try[8];
    (void)snprintf(try, sizeof(try), "%d", ++cleaned);
    const char *const args[] = {"/bin/sh", "-c", script, try};
    char **argv = calloc(ARRAY_SIZE(args) + 1, sizeof(*argv));
    T_TRUE(argv != NULL);
    for (size_t i = 0; i < ARRAY_SIZE(args); i++)
        argv[i] = strdup(args[i]);
    if (cleaned == 1 && child > 0)
        lived_when_cleaned = kill(child, 0) == 0;
    return argv;
}

static void on_close(struct ending *e)
{
    T_EQ(gone, 0);
    closes++;
    ending_unref(e); /* of set_up */
}

static void on_gone(struct ending *e)
{
    T_EQ(closes, 1);
    T_TRUE(fcntl(e->pidfd, F_GETFD) < 0);
    gone++;
}

static const struct ending_ops ops = {
    .died = on_died, .cleaner = cleaner, .close = on_close, .gone = on_gone};

static void set_up(const char *clean, bool with_process)
{
    t_loop_open(&loop);
    driver = (struct isolation_driver){.loop = &loop};
    instance = (struct instance){.driver = &driver};
    script = clean;
    died = cleaned = closes = gone = 0;
    lived_when_cleaned = false;
    child = 0;
    helper_runner_init(&cleanings, &loop, 1);
    ending_init(&ending, &ops, &instance, "test", &cleanings);
    ending_ref(&ending);
    if (!with_process)
        return;
    child = fork();
    if (child == 0) {
        for (;;)
            (void)pause();
    }
    T_TRUE(child > 0);
    T_EQ(ending_watch(&ending, proc_open(child)), 0);
}

static void expect_gone(int tries)
{
    T_UNTIL(&loop, gone > 0);
    t_loop_close(&loop);
    T_EQ(cleaned, tries);
    T_EQ(closes, 1);
    T_EQ(gone, 1);
}

static void kills_and_cleans(void)
{
    set_up("exit 0", true);
    ending_begin(&ending);
    T_EQ(ending.state, ENDING_KILLING);
    T_EQ(cleaned, 0); /* nothing comes from inside the call */
    expect_gone(1);
    T_EQ(died, 0);
    T_TRUE(!lived_when_cleaned);
}

static void no_process(void)
{
    set_up("exit 0", false);
    T_EQ(ending_watch(&ending, -ESRCH), -ESRCH);
    ending_begin(&ending);
    T_EQ(ending.state, ENDING_CLEANING);
    expect_gone(1);
}

static void process_dies_first(void)
{
    set_up("exit 0", true);
    ending_kill(&ending);
    T_UNTIL(&loop, died > 0);
    t_loop_run_ms(&loop, 20);
    T_EQ(cleaned, 0); /* the driver decides when the instance ends */
    ending_begin(&ending);
    T_EQ(ending.state, ENDING_CLEANING);
    expect_gone(1);
    T_EQ(died, 1);
}

static void cleaner_is_tried_again(void)
{
    set_up("test $0 = 2", true);
    ending_begin(&ending);
    expect_gone(2);
}

static void cleaner_always_fails(void)
{
    set_up("echo error reason; exit 1", false);
    ending_begin(&ending);
    expect_gone(TRIES);
}

/* The instance is not gone before the driver's last handle has closed. */
static void waits_for_the_driver(void)
{
    set_up("exit 0", false);
    ending_ref(&ending);
    ending_begin(&ending);
    T_UNTIL(&loop, closes > 0);
    t_loop_run_ms(&loop, 20);
    T_EQ(gone, 0);
    ending_unref(&ending);
    expect_gone(1);
}

T_MAIN(T_CASE(kills_and_cleans), T_CASE(no_process), T_CASE(process_dies_first),
       T_CASE(cleaner_is_tried_again), T_CASE(cleaner_always_fails), T_CASE(waits_for_the_driver))
