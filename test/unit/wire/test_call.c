/* SPDX-License-Identifier: Apache-2.0 */
/* test_call.c - operations against agents that answer well, garbage, late, or not at all. The
 * agent is a thread-free peer on the test's own socket, driven step by step. */
#include "wire/call.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "t_loop.h"

static uv_loop_t loop;
static struct agent_target target;
static char path[128];
static int listener = -1, peer = -1;

struct probe {
    struct agent_call call;
    unsigned int frames, failed, closed, opened;
    struct error err;
    uint64_t bytes;
    bool close_in_frame, pause_in_frame;
};

static void probe_opened(struct agent_call *call)
{
    container_of(call, struct probe, call)->opened++;
}

static void probe_frame(struct agent_call *call, const struct wire_frame *frame)
{
    struct probe *p = container_of(call, struct probe, call);
    T_EQ(p->closed, 0);
    T_EQ(p->failed, 0);
    p->frames++;
    p->bytes += frame->len;
    if (frame->type == WIRE_EXIT)
        agent_call_bad_frame(call);
    else if (p->close_in_frame)
        agent_call_close(call);
    else if (p->pause_in_frame)
        agent_call_pause(call);
}

static void probe_failed(struct agent_call *call, const struct error *err)
{
    struct probe *p = container_of(call, struct probe, call);
    T_EQ(p->closed, 0);
    p->failed++;
    p->err = *err;
}

static void probe_closed(struct agent_call *call)
{
    container_of(call, struct probe, call)->closed++;
}

static const struct agent_call_handler handler = {
    .opened = probe_opened, .frame = probe_frame, .failed = probe_failed, .closed = probe_closed};

static void set_up(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    t_loop_open(&loop);
    snprintf(path, sizeof(path), "/tmp/test_agent_call.%d", (int)getpid());
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    T_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(listener, 8), 0);
    agent_target_init(&target, &loop, path);
}

static void tear_down(void)
{
    T_TRUE(list_empty(&target.calls));
    close(listener);
    if (peer >= 0)
        close(peer);
    peer = -1;
    unlink(path);
    t_loop_close(&loop);
}

static void start(struct probe *p, uint64_t timeout_ms)
{
    struct buf request = {0};
    *p = (struct probe){0};
    T_EQ(wire_put_frame(&request, WIRE_PING, NULL, 0), 0);
    T_EQ(agent_call_start(&p->call, &target, &handler, &request, timeout_ms), 0);
    T_TRUE(request.data == NULL);
    T_EQ(p->failed + p->frames + p->closed, 0); /* never from inside the call */
}

static void finish(struct probe *p)
{
    agent_call_close(&p->call);
    agent_call_close(&p->call); /* idempotent */
    T_UNTIL(&loop, p->closed == 1);
}

static bool accepted(void)
{
    if (peer < 0)
        peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return peer >= 0;
}

/* Reads what the server has sent until it ends in `tail`. */
static void expect(const void *tail, size_t len)
{
    uint8_t got[256];
    size_t n = 0;
    T_UNTIL(&loop, accepted());
    while (n < len || memcmp(got + n - len, tail, len) != 0) {
        ssize_t r = read(peer, got + n, sizeof(got) - n);
        T_TRUE(r > 0 || (r < 0 && errno == EAGAIN));
        n += r > 0 ? (size_t)r : 0;
        t_loop_turn(&loop);
    }
}

static void say(const void *data, size_t len)
{
    T_EQ(write(peer, data, len), (ssize_t)len);
}

static void greet(void)
{
    expect("CONNECT 1024\n", 13);
    say("OK 7\n", 5);
    expect("\0\0\0\0\1\0\0\0", 8); /* PING */
}

static void say_frame(enum wire_type type, const void *payload, size_t len)
{
    struct buf b = {0};
    T_EQ(wire_put_frame(&b, type, payload, len), 0);
    say(b.data, b.len);
    buf_done(&b);
}

static void a_whole_operation(void)
{
    struct probe p;
    set_up();
    start(&p, 0);
    greet();
    T_EQ(p.opened, 1);
    say_frame(WIRE_STDOUT, "abc", 3);
    say_frame(WIRE_PONG, "", 0);
    T_UNTIL(&loop, p.frames == 2);
    T_EQ(p.bytes, 3);
    T_EQ(agent_call_send(&p.call, WIRE_STDIN, "x", 1), 0);
    expect("\1\0\0\0\x50\0\0\0x", 9);
    finish(&p);
    T_EQ(p.failed, 0);
    T_EQ(agent_call_send(&p.call, WIRE_STDIN, "x", 1), -ECANCELED);
    T_TRUE(target.bytes_in > 0 && target.bytes_out > 0);
    tear_down();
}

static void frames_in_single_bytes(void)
{
    struct probe p;
    struct buf b = {0};
    set_up();
    start(&p, 0);
    expect("CONNECT 1024\n", 13);
    T_EQ(buf_append_str(&b, "OK 123\n"), 0);
    T_EQ(wire_put_frame(&b, WIRE_STDOUT, "hello", 5), 0);
    T_EQ(wire_put_frame(&b, WIRE_PONG, "", 0), 0);
    for (size_t i = 0; i < b.len; i++) {
        say(b.data + i, 1);
        t_loop_turn(&loop);
    }
    T_UNTIL(&loop, p.frames == 2);
    T_EQ(p.bytes, 5);
    buf_done(&b);
    finish(&p);
    tear_down();
}

static void garbage(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"", 0},     /* the end */
        {"NO\n", 3}, /* wrong greetings */
        {"OK\n", 3},
        {"OK 1111111111111111111111111111111111", 37}, /* that never ends */
        {"OK 1\n\xff\xff\xff\xff\x82\0\0\0", 13},      /* a frame longer than any */
        {"OK 1\n\1\0\0\0\x82\0\1\0x", 14},             /* reserved bits */
        {"OK 1\n\0\0\0\0\x84\0\0\0", 13},              /* one the owner refuses */
        {"OK 1\n\5\0\0\0\x82\0\0\0xx", 15},            /* cut in the middle */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct probe p;
        set_up();
        start(&p, 0);
        expect("CONNECT 1024\n", 13);
        if (cases[i].len > 0)
            say(cases[i].bytes, cases[i].len);
        t_loop_run_ms(&loop, 5);
        shutdown(peer, SHUT_RDWR);
        T_UNTIL(&loop, p.failed == 1);
        T_EQ(p.err.code, ERROR_SANDBOX_FAILED);
        finish(&p);
        T_EQ(p.failed, 1);
        tear_down();
    }
}

static void nobody_listens(void)
{
    struct probe p;
    set_up();
    unlink(path);
    start(&p, 0);
    T_UNTIL(&loop, p.failed == 1);
    T_EQ(p.err.code, ERROR_SANDBOX_FAILED);
    finish(&p);
    tear_down();
}

static void a_silent_agent_meets_the_deadline(void)
{
    struct probe p;
    set_up();
    start(&p, 20);
    greet();
    T_UNTIL(&loop, p.failed == 1);
    T_EQ(p.err.code, ERROR_TIMEOUT);
    finish(&p);
    tear_down();
}

static void paused_calls_hold_frames_back(void)
{
    struct probe p;
    set_up();
    start(&p, 0);
    greet();
    p.pause_in_frame = true;
    for (int i = 0; i < 3; i++)
        say_frame(WIRE_STDOUT, "abc", 3);
    T_UNTIL(&loop, p.frames == 1);
    t_loop_run_ms(&loop, 10);
    T_EQ(p.frames, 1);
    agent_call_resume(&p.call);
    T_UNTIL(&loop, p.frames == 2);
    p.pause_in_frame = false;
    agent_call_resume(&p.call);
    T_UNTIL(&loop, p.frames == 3);
    finish(&p);
    tear_down();
}

static void the_end_of_the_sandbox_fails_every_call(void)
{
    struct probe p[3];
    struct error err;
    set_up();
    for (size_t i = 0; i < ARRAY_SIZE(p); i++)
        start(&p[i], 0);
    greet();
    error_set(&err, ERROR_INVALID_STATE, "ended");
    agent_target_fail(&target, &err);
    for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
        T_EQ(p[i].failed, 1);
        T_EQ(p[i].err.code, ERROR_INVALID_STATE);
        finish(&p[i]);
    }
    tear_down();
}

/* Closed after N turns, in whatever state that finds it: `closed` comes once and nothing else. */
static void close_after_turns(void)
{
    for (int turns = 0; turns < 6; turns++) {
        struct probe p;
        set_up();
        start(&p, 0);
        for (int i = 0; i < turns; i++) {
            t_loop_turn(&loop);
            if (accepted() && i == 2)
                say("OK 1\n", 5);
        }
        finish(&p);
        t_loop_run_ms(&loop, 2);
        T_EQ(p.failed, 0);
        T_EQ(p.closed, 1);
        tear_down();
    }
}

static void close_in_a_callback(void)
{
    struct probe p;
    set_up();
    start(&p, 0);
    greet();
    p.close_in_frame = true;
    say_frame(WIRE_STDOUT, "a", 1);
    say_frame(WIRE_STDOUT, "b", 1);
    T_UNTIL(&loop, p.closed == 1);
    T_EQ(p.frames, 1);
    tear_down();
}

T_MAIN(T_CASE(a_whole_operation), T_CASE(frames_in_single_bytes), T_CASE(garbage),
       T_CASE(nobody_listens), T_CASE(a_silent_agent_meets_the_deadline),
       T_CASE(paused_calls_hold_frames_back), T_CASE(the_end_of_the_sandbox_fails_every_call),
       T_CASE(close_after_turns), T_CASE(close_in_a_callback))
