/* SPDX-License-Identifier: Apache-2.0 */
/* test_first_contact.c - what the agent of a new sandbox hears first, and on which connection. The
 * driver is one that does nothing but hand over a connection, the agent the test itself. */
#include "sandbox/sandbox.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "t_loop.h"

static uv_loop_t loop;
static struct instance instance;
static struct isolation_driver driver;
static struct sandbox *sb;
static char root[64];
static int listener = -1, peer = -1, given = -1;
static bool ended;

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

static int give_agent(struct instance *i)
{
    int fd = given;
    given = -1;
    return fd;
}

static const struct isolation_ops idle_ops = {.name = "idle",
                                              .create = idle_create,
                                              .start = idle_start,
                                              .stop = idle_stop,
                                              .take_agent = give_agent};

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

static void listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    T_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(listener, 8), 0);
}

/* Up to STARTING, claimed or for the pool. */
static void set_up(bool claimed)
{
    const struct template t = {.name = "t", .dir = "/t", .rootfs = "/", .vcpus = 1};
    const struct sandbox_params params = {
        .account = "a", .provider = "p", .region = "r", .metadata = "{}", .timeout_s = 60};
    struct sandbox_owner owner;
    static const struct sandbox_host host = {.driver = &driver, .dir = root, .guest_dir = "/"};
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = &idle_ops, .loop = &loop};
    snprintf(root, sizeof(root), "/tmp/corral-first-XXXXXX");
    T_TRUE(t_mkdtemp(root));
    ended = false;
    sb = sandbox_new(&t, &events, NULL);
    T_EQ(sandbox_start(sb, &host, &t), 0);
    listen_at(sb->socket_path);
    if (!claimed)
        return;
    T_EQ(sandbox_owner_init(&owner, &params), 0);
    sandbox_claim(sb, &owner, NULL);
}

static void tear_down(void)
{
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

/* The driver has waited for the agent on a connection; the test has the agent's end. */
static void give_connection(void)
{
    int pair[2];
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    given = pair[0];
    peer = pair[1];
}

static bool accepted(void)
{
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return peer >= 0;
}

/* The greeting of a new connection, and the answer to it. */
static void greet(void)
{
    char greeting[32];
    T_UNTIL(&loop, accepted());
    T_UNTIL(&loop, recv(peer, greeting, sizeof(greeting), 0) > 0);
    T_EQ(send(peer, "OK 1\n", 5, 0), 5);
}

/* The connection's first bytes are a request of that type: no greeting is before it. */
static void take(enum wire_type type)
{
    uint8_t request[512];
    ssize_t n = -1;
    T_UNTIL(&loop, (n = recv(peer, request, sizeof(request), 0)) >= (ssize_t)WIRE_HEADER_SIZE);
    struct cursor c = cursor_on(request, (size_t)n);
    T_EQ(cursor_u32(&c), (uint32_t)n - WIRE_HEADER_SIZE);
    T_EQ(cursor_u16(&c), type);
}

static void answer(enum wire_type type, const void *payload, size_t len)
{
    struct buf b = {0};
    char end;
    T_EQ(wire_put_frame(&b, type, payload, len), 0);
    T_EQ(send(peer, b.data, b.len, 0), (ssize_t)b.len);
    T_UNTIL(&loop, recv(peer, &end, 1, 0) == 0);
    close(peer);
    buf_done(&b);
}

static void answer_pong(void)
{
    answer(WIRE_PONG, "\1\0\0\0\0\0\0\0\0\0\0\0", 12);
}

static void a_clone_is_configured_on_the_connection_it_was_awaited_on(void)
{
    set_up(true);
    give_connection();
    instance.events->started(instance.ctx, 0, NULL);
    T_EQ(sb->phase, SANDBOX_CONFIGURING);
    take(WIRE_CONFIGURE);
    answer(WIRE_CONFIGURED, "\0\0\0\0\0\0\0\0", 8);
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    T_TRUE(!accepted()); /* it was the only one */
    tear_down();
}

static void without_one_the_first_request_connects(void)
{
    set_up(true);
    instance.events->started(instance.ctx, 0, NULL);
    greet();
    take(WIRE_CONFIGURE);
    answer(WIRE_CONFIGURED, "\0\0\0\0\0\0\0\0", 8);
    T_UNTIL(&loop, sb->phase == SANDBOX_RUNNING);
    tear_down();
}

static void the_connection_may_end_before_the_answer(void)
{
    set_up(true);
    give_connection();
    close(peer);
    instance.events->started(instance.ctx, 0, NULL);
    T_EQ(sb->phase, SANDBOX_CONFIGURING); /* no event comes from inside another */
    T_UNTIL(&loop, sb->phase == SANDBOX_STOPPING);
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    tear_down();
}

static void one_of_the_pool_warms_up_first(void)
{
    set_up(false);
    give_connection();
    instance.events->started(instance.ctx, 0, NULL);
    T_EQ(sb->phase, SANDBOX_WARMING);
    take(WIRE_CODE_READY);
    answer(WIRE_OK, NULL, 0);
    T_UNTIL(&loop, sb->phase == SANDBOX_READY);
    T_TRUE(!accepted());
    tear_down();
}

/* An agent that says why it cannot warm up is there; one that says nothing is asked. */
static void a_failed_warm_up_is_no_proof_of_an_agent(void)
{
    set_up(false);
    give_connection();
    instance.events->started(instance.ctx, 0, NULL);
    take(WIRE_CODE_READY);
    close(peer);
    greet();
    T_EQ(sb->phase, SANDBOX_HANDSHAKE);
    take(WIRE_PING);
    answer_pong();
    T_UNTIL(&loop, sb->phase == SANDBOX_READY);
    tear_down();
}

T_MAIN(T_CASE(a_clone_is_configured_on_the_connection_it_was_awaited_on),
       T_CASE(without_one_the_first_request_connects),
       T_CASE(the_connection_may_end_before_the_answer), T_CASE(one_of_the_pool_warms_up_first),
       T_CASE(a_failed_warm_up_is_no_proof_of_an_agent))
