/* SPDX-License-Identifier: Apache-2.0 */
/* test_feed.c - a streamed answer between a real HTTP client and an agent that the test drives step
 * by step: what each reply becomes, how it ends in each case, a slow client, and one that goes away
 * at each moment. */
#include "api/feed.h"

#include <sys/un.h>

#include "t_http.h"

#define STARTED   "\1\0\0\0"
#define EXIT_ZERO "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static struct api api;
static struct sandbox sandbox;
static struct event_writer writer;
static char path[128];
static int listener = -1, agent = -1;
static struct t_client client;
static unsigned int gone;

static void app_ready(struct http_request *req)
{
    static const struct api_route route = {.pattern = "/feed"};
    struct api_call *call = arena_alloc(&req->arena, sizeof(*call));
    struct buf request = {0};
    T_TRUE(call != NULL);
    *call = (struct api_call){.req = req, .api = &api, .route = &route, .sandbox = &sandbox};
    req->app = call;
    T_EQ(wire_put_frame(&request, WIRE_PING, NULL, 0), 0);
    const struct feed_params p = {
        .kind = EVENTS_OF_COMMAND, .writer = &writer, .not_found = ERROR_PROCESS_NOT_FOUND};
    api_feed_start(call, &p, &request);
}

static void app_head(struct http_request *req)
{
    req->body_limit = 100;
}

static void app_gone(struct http_request *req, bool aborted)
{
    struct api_call *call = req->app;
    (void)aborted;
    gone++;
    if (call->cancel != NULL)
        call->cancel(call);
}

static const struct http_app app = {
    .head = app_head, .ready = app_ready, .gone = app_gone, .error_body = t_app_error};

static void set_up(const char *request)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct error err;
    gone = 0;
    memset(&t_seen, 0, sizeof(t_seen));
    t_loop_open(&t_loop);
    T_EQ(http_server_init(&t_server, &t_loop, "127.0.0.1:0", &app, &limits, &err), 0);
    http_server_start(&t_server);
    (void)snprintf(path, sizeof(path), "/tmp/test_feed.%d", (int)getpid());
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
    (void)unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    T_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(listener, 8), 0);
    api.loop = &t_loop;
    writer = event_sse_command;
    agent_target_init(&sandbox.target, &t_loop, path);
    t_client_open(&client);
    t_client_send(&client, request);
}

static void tear_down(void)
{
    T_UNTIL(&t_loop, list_empty(&sandbox.target.calls));
    if (agent >= 0)
        (void)close(agent);
    agent = -1;
    (void)close(listener);
    (void)unlink(path);
    t_http_stop();
}

#define GET "GET /feed HTTP/1.1\r\nHost: x\r\n\r\n"

static void greet(void)
{
    T_UNTIL(&t_loop, (agent = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
    T_EQ(write(agent, "OK 7\n", 5), 5);
}

static void say(enum wire_type type, const void *payload, size_t len)
{
    struct buf b = {0};
    T_EQ(wire_put_frame(&b, type, payload, len), 0);
    T_EQ(write(agent, b.data, b.len), (ssize_t)b.len);
    buf_done(&b);
}

/* The server has closed its connection to the agent. */
static bool agent_closed(void)
{
    char piece[4096];
    ssize_t n = read(agent, piece, sizeof(piece));
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static bool received(const char *text)
{
    return buf_cstr(&client.in) != NULL && strstr((char *)client.in.data, text) != NULL;
}

static void expect(const char *text)
{
    T_CLIENT_UNTIL(&client, received(text));
}

static void a_whole_run(void)
{
    set_up(GET);
    greet();
    say(WIRE_STARTED, STARTED, 4);
    expect("HTTP/1.1 200 OK\r\n"); /* before anything was said */
    expect("Content-Type: text/event-stream\r\n");
    say(WIRE_STDOUT, "a\xc3", 2);
    expect("id: 1\ndata: {\"type\":\"stdout\",\"data\":\"a\"}\n\n");
    say(WIRE_STDOUT, "\xbc", 1);
    expect("\"data\":\"\xc3\xbc\"}\n\n");
    T_TRUE(!received("\r\n0\r\n\r\n"));
    say(WIRE_EXIT, EXIT_ZERO, 20);
    expect("data: {\"type\":\"end\",\"exit_code\":0,\"duration_ms\":0}\n\n\r\n0\r\n\r\n");
    T_UNTIL(&t_loop, agent_closed());
    t_client_close(&client);
    tear_down();
}

/* A client of HTTP/1.0 knows the end by the end of the connection. */
static void without_chunks(void)
{
    set_up("GET /feed HTTP/1.0\r\nHost: x\r\n\r\n");
    greet();
    say(WIRE_STDOUT, "a", 1);
    expect("\r\n\r\nid: 1\ndata: {");
    say(WIRE_EXIT, EXIT_ZERO, 20);
    expect("\"duration_ms\":0}\n\n");
    T_CLIENT_UNTIL(&client, client.eof);
    t_client_close(&client);
    tear_down();
}

static void head_only(void)
{
    set_up("HEAD /feed HTTP/1.1\r\nHost: x\r\n\r\n");
    greet();
    say(WIRE_STARTED, STARTED, 4);
    expect("\r\n\r\n");
    T_TRUE(!received("data"));
    T_UNTIL(&t_loop, agent_closed());
    t_client_close(&client);
    tear_down();
}

static void refused_before_the_start(void)
{
    struct buf payload = {0};
    set_up(GET);
    greet();
    (void)buf_u32(&payload, WIRE_E_NOT_FOUND);
    wire_put_str(&payload, "no such process");
    say(WIRE_ERROR, payload.data, payload.len);
    buf_done(&payload);
    expect("HTTP/1.1 404 ");
    expect("\"code\":\"process_not_found\",\"message\":\"no such process\"");
    t_client_close(&client);
    tear_down();
}

/* Each way in which a run can fail after the answer began: an event says so, and the body ends. */
static void failures_later(void)
{
    for (int i = 0; i < 4; i++) {
        struct error err;
        set_up(GET);
        greet();
        say(WIRE_STDOUT, "a", 1);
        expect("\"data\":\"a\"");
        error_set(&err, ERROR_SANDBOX_GONE, "the sandbox has ended");
        if (i == 0)
            T_EQ(shutdown(agent, SHUT_RDWR), 0);
        else if (i == 1)
            say(WIRE_PONG, "", 0);
        else if (i == 2)
            say(WIRE_ERROR, "\xe\0\0\0\0\0\0\0", 8);
        else
            agent_target_fail(&sandbox.target, &err);
        expect("data: {\"type\":\"error\",\"message\":\"");
        expect("}\n\n\r\n0\r\n\r\n");
        t_client_close(&client);
        tear_down();
    }
}

static void say_of_life(void)
{
    set_up(GET);
    writer.keepalive_ms = 20;
    greet();
    say(WIRE_STARTED, STARTED, 4);
    expect(": keep-alive\n\n");
    buf_reset(&client.in);
    expect(": keep-alive\n\n");
    say(WIRE_EXIT, EXIT_ZERO, 20);
    expect("\"end\"");
    t_client_close(&client);
    tear_down();
}

/* An agent that says nothing at all: the headers leave even so. */
static void headers_of_a_silent_run(void)
{
    set_up(GET);
    greet();
    expect("HTTP/1.1 200 OK\r\n");
    t_client_close(&client);
    T_UNTIL(&t_loop, agent_closed());
    tear_down();
}

/* The client does not read: the server keeps little, and the agent cannot go on writing. */
static void a_slow_client(void)
{
    static char block[WIRE_CHUNK];
    struct buf frame = {0};
    uint64_t sent = 0, got = 0;
    memset(block, 'x', sizeof(block));
    set_up(GET);
    greet();
    T_EQ(wire_put_frame(&frame, WIRE_STDOUT, block, sizeof(block)), 0);
    size_t at = 0;
    for (int quiet = 0; quiet < 50;) {
        ssize_t n = write(agent, frame.data + at, frame.len - at);
        at = n > 0 ? (at + (size_t)n) % frame.len : at;
        sent += n > 0 ? (uint64_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        t_loop_turn(&t_loop);
    }
    T_TRUE(sent < 32u << 20);
    fcntl(agent, F_SETFL, 0);
    while (at != 0) { /* the rest of the frame; the client reads again */
        struct iovec rest = {.iov_base = frame.data + at, .iov_len = frame.len - at};
        ssize_t n = sendmsg(agent, &(struct msghdr){.msg_iov = &rest, .msg_iovlen = 1},
                            MSG_DONTWAIT);
        at = n > 0 ? (at + (size_t)n) % frame.len : at;
        sent += n > 0 ? (uint64_t)n : 0;
        t_client_poll(&client);
        got += client.in.len;
        buf_reset(&client.in);
    }
    say(WIRE_EXIT, EXIT_ZERO, 20);
    while (!received("\r\n0\r\n\r\n")) {
        if (client.in.len > 1u << 20) {
            got += client.in.len - 1024;
            buf_consume(&client.in, client.in.len - 1024);
        }
        t_client_poll(&client);
        T_TRUE(!client.eof);
    }
    got += client.in.len;
    T_TRUE(got > sent); /* nothing was lost, and there is JSON around it */
    buf_done(&frame);
    t_client_close(&client);
    tear_down();
}

/* The client goes away after each step of a run, with and without a reset: the connection to the
 * agent closes, which ends a foreground run, and nothing is left. */
static void a_client_that_goes_away(void)
{
    for (int step = 0; step < 10; step++) {
        set_up(GET);
        if (step / 2 > 0)
            greet();
        if (step / 2 > 1)
            say(WIRE_STARTED, STARTED, 4);
        if (step / 2 > 2)
            say(WIRE_STDOUT, "a", 1);
        if (step / 2 > 3)
            expect("\"a\"");
        t_loop_turn(&t_loop);
        if (step % 2 == 0)
            t_client_close(&client);
        else
            t_client_reset(&client);
        if (step / 2 > 0)
            T_UNTIL(&t_loop, agent_closed());
        else
            T_UNTIL(&t_loop, list_empty(&sandbox.target.calls));
        T_UNTIL(&t_loop, gone == 1);
        tear_down();
    }
}

T_MAIN(T_CASE(a_whole_run), T_CASE(without_chunks), T_CASE(head_only),
       T_CASE(refused_before_the_start), T_CASE(failures_later), T_CASE(say_of_life),
       T_CASE(headers_of_a_silent_run), T_CASE(a_slow_client), T_CASE(a_client_that_goes_away))
