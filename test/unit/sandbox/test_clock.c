/* SPDX-License-Identifier: Apache-2.0 */
/* test_clock.c - how a sandbox that shows its own clock gets the right one, over ways of
 * all speeds. The driver is one that does nothing, the agent the test itself, step by step. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "t_loop.h"

#define LATE_MS (3 * SANDBOX_CLOCK_LATE_MS)
#define LONG_US 60000000u /* longer than any test */

static uv_loop_t loop;
static struct instance instance;
static struct isolation_driver driver;
static struct sandbox *sb;
static char root[64];
static int listener = -1, peer = -1;
static bool ended;
static uint64_t asked_ns; /* when the greeting of the connection was answered */

static struct instance *idle_create(struct isolation_driver *d, const struct instance_spec *spec,
                                    const struct instance_events *events, void *ctx)
{
    instance = (struct instance){.driver = d, .events = events, .ctx = ctx};
    return &instance;
}

static int idle_start(struct instance *i)
{
    return 0;
}

static void idle_stop(struct instance *i)
{
}

static const struct isolation_ops idle_ops = {
    .name = "idle", .create = idle_create, .start = idle_start, .stop = idle_stop};

static void on_phase(struct sandbox *s, enum sandbox_phase old)
{
}

static void on_change(struct sandbox *s)
{
}

static void on_ended(struct sandbox *s)
{
    ended = true;
}

static const struct sandbox_events events = {
    .phase = on_phase, .changed = on_change, .warmed = on_change, .ended = on_ended};

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    T_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(listener, 8), 0);
}

static bool accepted(void)
{
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return peer >= 0;
}

/* Until the connection is made, or with `or_running` none is needed any more: false. Its greeting
 * is not answered. */
static bool take_connection(bool or_running)
{
    char greeting[32];
    T_UNTIL(&loop, (or_running && sb->phase == SANDBOX_RUNNING) || accepted());
    if (peer < 0)
        return false;
    T_UNTIL(&loop, recv(peer, greeting, sizeof(greeting), 0) > 0);
    return true;
}

/* The clock in the request, which must be of that type. */
static uint64_t take_request(enum wire_type type)
{
    uint8_t request[512];
    ssize_t n = -1;
    asked_ns = wall_ns();
    T_EQ(send(peer, "OK 1\n", 5, 0), 5);
    T_UNTIL(&loop, (n = recv(peer, request, sizeof(request), 0)) >= (ssize_t)WIRE_HEADER_SIZE);
    struct cursor c = cursor_on(request, (size_t)n);
    T_EQ(cursor_u32(&c), (uint32_t)n - WIRE_HEADER_SIZE);
    T_EQ(cursor_u16(&c), type);
    (void)cursor_u16(&c);
    return cursor_u64(&c);
}

static void answer(enum wire_type type, const void *payload, size_t len)
{
    struct buf b = {0};
    char end;
    T_EQ(wire_put_frame(&b, type, payload, len), 0);
    T_EQ(send(peer, b.data, b.len, 0), (ssize_t)b.len);
    T_UNTIL(&loop, recv(peer, &end, 1, 0) == 0);
    close(peer);
    peer = -1;
    buf_done(&b);
}

/* "us since the agent has set the clock". */
static void answer_configured(uint64_t age_us)
{
    struct buf b = {0};
    T_EQ(buf_u64(&b, age_us), 0);
    answer(WIRE_CONFIGURED, b.data, b.len);
    buf_done(&b);
}

static void assert_fresh(uint64_t clock_ns)
{
    T_TRUE(clock_ns >= asked_ns && clock_ns <= wall_ns());
}

/* Up to the connection for CONFIGURE. */
static void set_up(void)
{
    const struct template t = {.name = "t", .dir = "/t", .rootfs = "/", .vcpus = 1};
    const struct sandbox_params params = {
        .account = "a", .provider = "p", .region = "r", .metadata = "{}", .timeout_s = 60};
    struct sandbox_owner owner;
    static const struct sandbox_host host = {.driver = &driver, .dir = root, .guest_dir = "/"};
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = &idle_ops, .loop = &loop};
    snprintf(root, sizeof(root), "/tmp/corral-clock-XXXXXX");
    T_TRUE(t_mkdtemp(root));
    ended = false;
    sb = sandbox_new(&t, &events, NULL);
    T_EQ(sandbox_owner_init(&owner, &params), 0);
    T_EQ(sandbox_start(sb, &host, &t), 0);
    listen_at(sb->socket_path);
    sandbox_claim(sb, &owner, NULL);
    instance.events->started(instance.ctx, 0, NULL);
    (void)take_connection(false);
}

static void tear_down(void)
{
    T_EQ(sb->phase, SANDBOX_RUNNING);
    close(listener);
    T_EQ(unlink(sb->socket_path), 0);
    T_EQ(rmdir(sb->dir), 0);
    T_EQ(rmdir(root), 0);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    instance.events->stopped(instance.ctx);
    T_UNTIL(&loop, ended);
    sandbox_free(sb);
    t_loop_close(&loop);
}

static void the_clock_is_that_of_the_sending(void)
{
    set_up();
    t_loop_run_ms(&loop, LATE_MS); /* a busy machine takes its time to accept */
    assert_fresh(take_request(WIRE_CONFIGURE));
    answer_configured(LONG_US);
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    T_EQ(sb->clock_tries, 0);
    tear_down();
}

static void a_late_clock_is_sent_again(void)
{
    set_up();
    (void)take_request(WIRE_CONFIGURE);
    t_loop_run_ms(&loop, LATE_MS);
    answer_configured(1000);
    (void)take_connection(false);
    T_EQ(sb->phase, SANDBOX_CONFIGURING);
    (void)take_request(WIRE_CLOCK);
    t_loop_run_ms(&loop, LATE_MS);
    answer(WIRE_OK, NULL, 0);
    /* On a machine that is slow by itself, more than one. */
    while (take_connection(true)) {
        assert_fresh(take_request(WIRE_CLOCK));
        answer(WIRE_OK, NULL, 0);
    }
    T_TRUE(sb->clock_tries >= 2);
    tear_down();
}

static void the_time_of_the_work_is_not_that_of_the_way(void)
{
    set_up();
    (void)take_request(WIRE_CONFIGURE);
    t_loop_run_ms(&loop, LATE_MS);
    answer_configured(LONG_US);
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    T_EQ(sb->clock_tries, 0);
    tear_down();
}

static void a_clock_that_cannot_be_set_is_left(void)
{
    set_up();
    (void)take_request(WIRE_CONFIGURE);
    t_loop_run_ms(&loop, LATE_MS);
    answer_configured(0);
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    T_EQ(sb->clock_tries, 0);
    tear_down();
}

static void a_way_that_stays_slow_ends_the_tries(void)
{
    set_up();
    (void)take_request(WIRE_CONFIGURE);
    t_loop_run_ms(&loop, LATE_MS);
    answer_configured(1);
    for (int i = 0; i < SANDBOX_CLOCK_TRIES; i++) {
        (void)take_connection(false);
        (void)take_request(WIRE_CLOCK);
        t_loop_run_ms(&loop, LATE_MS);
        answer(WIRE_OK, NULL, 0);
    }
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    tear_down();
}

T_MAIN(T_CASE(the_clock_is_that_of_the_sending), T_CASE(a_late_clock_is_sent_again),
       T_CASE(the_time_of_the_work_is_not_that_of_the_way),
       T_CASE(a_clock_that_cannot_be_set_is_left), T_CASE(a_way_that_stays_slow_ends_the_tries))
