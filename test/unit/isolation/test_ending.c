/* SPDX-License-Identifier: Apache-2.0 */
/* test_ending.c - the end of an instance whose driver is the test: a process that is killed, dies
 * by itself or is not there, and cleaners that fail. The cleaner is a shell. */
#include "isolation/ending.h"
#include "isolation/proc.h"

#include "core/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t_loop.h"

#define TRIES 3
#define ID    "0a1b2c3d-0000-4000-8000-000000000001"
#define STATE "/tmp/corral-test-ending"

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

static const char *const places[] = {"sandboxes", NULL};

static char **leftover_cleaner(struct isolation_driver *d, const char *place, const char *id)
{
    char path[128];
    char **argv = calloc(4, sizeof(*argv));
    T_TRUE(argv != NULL);
    (void)snprintf(path, sizeof(path), STATE "/%s/%s", place, id);
    argv[0] = strdup("/bin/rmdir");
    argv[1] = strdup("--");
    argv[2] = strdup(path);
    return argv;
}

static const struct isolation_ops driver_ops = {.places = places, .cleaner = leftover_cleaner};

static void set_up(const char *clean, bool with_process)
{
    t_loop_open(&loop);
    T_EQ(system("rm -rf " STATE " && mkdir " STATE), 0);
    T_TRUE(t_remove_at_end(STATE));
    driver = (struct isolation_driver){.ops = &driver_ops, .loop = &loop};
    driver.reaper = reaper_new(&driver, STATE);
    T_TRUE(driver.reaper != NULL);
    metrics_reset();
    instance = (struct instance){.driver = &driver};
    script = clean;
    died = cleaned = closes = gone = 0;
    lived_when_cleaned = false;
    child = 0;
    helper_runner_init(&cleanings, &loop, 1);
    ending_init(&ending, &ops, &instance, ID, &cleanings);
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

static void tear_down(void)
{
    reaper_free(driver.reaper);
    t_loop_close(&loop);
}

static void expect_gone(int tries)
{
    T_UNTIL(&loop, gone > 0);
    tear_down();
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

/* The instance is gone after some tries, but its cleaning continues until it succeeds. */
static void reaper_never_gives_up(void)
{
    set_up("n=$(ls " STATE " | wc -l); mktemp " STATE "/XXXXXX; test $n -ge 5", false);
    ending_begin(&ending);
    T_UNTIL(&loop, gone > 0);
    T_EQ(metrics_get(METRIC_CLEANINGS_FAILED), TRIES);
    T_EQ(metrics_get(METRIC_LEFTOVERS), 1);
    T_UNTIL(&loop, metrics_get(METRIC_LEFTOVERS) == 0);
    T_EQ(metrics_get(METRIC_CLEANINGS_FAILED), 5);
    T_EQ(system("rm -rf " STATE "/*"), 0);
    tear_down();
}

/* A cleaner that is killed has not cleaned. */
static void cleaner_is_killed(void)
{
    set_up("test $0 -gt 1 || kill -9 $$", true);
    ending_begin(&ending);
    expect_gone(2);
    T_EQ(metrics_get(METRIC_CLEANINGS_FAILED), 1);
}

/* No descriptor is left: neither the process can be watched nor a cleaner be started. */
static void no_descriptors(void)
{
    struct rlimit old, none;
    set_up("exit 0", false);
    T_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 4, .rlim_max = old.rlim_max};
    T_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    ending_begin(&ending);
    T_UNTIL(&loop, gone > 0);
    T_EQ(metrics_get(METRIC_LEFTOVERS), 1);
    T_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    T_UNTIL(&loop, metrics_get(METRIC_LEFTOVERS) == 0);
    tear_down();
}

/* What belongs to no instance is found in the state directory. */
static void reaper_looks(void)
{
    static const char other[] = STATE "/sandboxes/0a1b2c3d-0000-4000-8000-00000000abcd";
    set_up("exit 0", false);
    T_EQ(mkdir(STATE "/sandboxes", 0700), 0);
    T_EQ(mkdir(other, 0700), 0);
    T_EQ(mkdir(STATE "/sandboxes/not-an-id", 0700), 0);
    T_EQ(mkdir(STATE "/sandboxes/" ID, 0700), 0); /* of the instance */
    reaper_watch(driver.reaper);
    reaper_look(driver.reaper);
    reaper_look(driver.reaper);
    T_EQ(metrics_get(METRIC_LEFTOVERS), 1);
    T_UNTIL(&loop, metrics_get(METRIC_LEFTOVERS) == 0);
    T_TRUE(access(other, F_OK) < 0);
    T_EQ(access(STATE "/sandboxes/not-an-id", F_OK), 0);
    T_EQ(access(STATE "/sandboxes/" ID, F_OK), 0);
    ending_begin(&ending);
    expect_gone(1);
    T_EQ(system("rm -rf " STATE "/sandboxes"), 0);
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
       T_CASE(cleaner_is_tried_again), T_CASE(cleaner_is_killed), T_CASE(reaper_never_gives_up),
       T_CASE(no_descriptors), T_CASE(reaper_looks), T_CASE(waits_for_the_driver))
