/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c - the contract of stream.h over real unix sockets. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "t_fault.h"
#include "t_loop.h"

#define CANCEL_TURNS 4

/* A stream and what has been called for it. */
struct probe {
    struct stream stream;
    unsigned int opened, ended, drained, closed;
    int open_status, end_status;
    struct buf in;
    bool started, close_in_data;
};

static void probe_opened(struct stream *s, int status)
{
    struct probe *p = container_of(s, struct probe, stream);
    T_EQ(p->closed, 0);
    T_TRUE(!stream_is_closing(s));
    p->opened++;
    p->open_status = status;
}

static void probe_data(struct stream *s, const uint8_t *data, size_t len)
{
    struct probe *p = container_of(s, struct probe, stream);
    T_TRUE(!stream_is_closing(s));
    T_EQ(p->ended, 0);
    T_TRUE(len > 0);
    (void)buf_append(&p->in, data, len);
    if (p->close_in_data)
        stream_close(s);
}

static void probe_ended(struct stream *s, int status)
{
    struct probe *p = container_of(s, struct probe, stream);
    T_TRUE(!stream_is_closing(s));
    T_TRUE(p->started); /* never from inside a call */
    p->ended++;
    p->end_status = status;
}

static void probe_drained(struct stream *s)
{
    struct probe *p = container_of(s, struct probe, stream);
    T_TRUE(!stream_is_closing(s));
    p->drained++;
}

static void probe_closed(struct stream *s)
{
    struct probe *p = container_of(s, struct probe, stream);
    p->closed++;
    buf_done(&p->in);
    memset(&s->uv, 0xee, sizeof(s->uv)); /* as if it were released */
}

static const struct stream_handler probe_handler = {
    .opened = probe_opened,
    .data = probe_data,
    .ended = probe_ended,
    .drained = probe_drained,
    .closed = probe_closed,
};

static void probe_open(struct probe *p, uv_loop_t *loop, int fd)
{
    *p = (struct probe){0};
    T_EQ(stream_init_pipe(&p->stream, loop, &probe_handler), 0);
    T_EQ(stream_open(&p->stream, fd), 0);
    p->started = true;
}

static void probe_finish(struct probe *p, uv_loop_t *loop)
{
    stream_close(&p->stream);
    T_EQ(p->closed, 0);
    stream_close(&p->stream);
    T_UNTIL(loop, p->closed > 0);
    T_EQ(p->closed, 1);
}

/* fd[0] goes to the stream, fd[1] stays with the test, non-blocking. */
static void pair(int fd[2])
{
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static int listening(char path[108])
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(path, 108, "/tmp/t_stream.%d", getpid());
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    T_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(fd, 16), 0);
    return fd;
}

static void connects_and_echoes(void)
{
    uv_loop_t loop;
    struct probe p = {0};
    char path[108], data[16];
    int server = listening(path);
    t_loop_open(&loop);
    T_EQ(stream_init_pipe(&p.stream, &loop, &probe_handler), 0);
    T_EQ(stream_write(&p.stream, "x", 1), -ENOTCONN);
    T_EQ(stream_connect_pipe(&p.stream, path), 0);
    stream_read_start(&p.stream); /* a wish, granted once it is open */
    T_EQ(p.opened, 0);
    p.started = true;
    T_UNTIL(&loop, p.opened == 1);
    T_EQ(p.open_status, 0);
    int fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    T_TRUE(fd >= 0);
    T_EQ(write(fd, "hello", 5), 5);
    T_UNTIL(&loop, p.in.len == 5);
    uv_buf_t pieces[3] = {{.base = (char *)"a", .len = 1},
                          {.base = (char *)"", .len = 0},
                          {.base = (char *)"bc", .len = 2}};
    struct buf last = {0};
    T_EQ(buf_append_str(&last, "def"), 0);
    T_EQ(stream_writev(&p.stream, pieces, 3, &last), 0);
    T_TRUE(last.data == NULL);
    T_EQ(read(fd, data, sizeof(data)), 6);
    T_MEM(data, 6, "abcdef", 6);
    T_EQ(p.stream.bytes_in, 5);
    T_EQ(p.stream.bytes_out, 6);
    stream_shutdown(&p.stream);
    T_UNTIL(&loop, p.drained == 1);
    T_EQ(read(fd, data, sizeof(data)), 0);
    close(fd);
    T_UNTIL(&loop, p.ended == 1);
    T_EQ(p.end_status, 0);
    stream_read_start(&p.stream); /* nothing more comes, and nothing breaks */
    t_loop_run_ms(&loop, 10);
    probe_finish(&p, &loop);
    T_EQ(p.ended, 1);
    t_loop_close(&loop);
    close(server);
    unlink(path);
}

static void connect_fails(void)
{
    uv_loop_t loop;
    struct probe p = {0};
    char path[200];
    t_loop_open(&loop);
    T_EQ(stream_init_pipe(&p.stream, &loop, &probe_handler), 0);
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    T_EQ(stream_connect_pipe(&p.stream, path), -ENAMETOOLONG);
    T_EQ(stream_connect_pipe(&p.stream, "/nonexistent/socket"), 0);
    T_EQ(p.opened, 0);
    T_UNTIL(&loop, p.opened == 1);
    T_EQ(p.open_status, -ENOENT);
    probe_finish(&p, &loop);
    T_EQ(p.opened, 1);
    t_loop_close(&loop);
}

/* Reading stops at once and loses nothing. */
static void read_stop(void)
{
    uv_loop_t loop;
    struct probe p;
    int fd[2];
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    T_EQ(write(fd[1], "one", 3), 3);
    t_loop_run_ms(&loop, 5);
    T_EQ(p.in.len, 0);
    stream_read_start(&p.stream);
    T_UNTIL(&loop, p.in.len == 3);
    stream_read_stop(&p.stream);
    T_EQ(write(fd[1], "two", 3), 3);
    t_loop_run_ms(&loop, 5);
    T_EQ(p.in.len, 3);
    stream_read_start(&p.stream);
    T_UNTIL(&loop, p.in.len == 6);
    T_MEM(p.in.data, p.in.len, "onetwo", 6);
    probe_finish(&p, &loop);
    close(fd[1]);
    t_loop_close(&loop);
}

static size_t drain(int fd, size_t max)
{
    static char data[65536];
    size_t got = 0;
    while (got < max) {
        ssize_t n = read(fd, data, sizeof(data));
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

/* The peer does not read: the stream turns unwritable within bounds and says when it is over. */
static struct {
    int peer;
    uint64_t got;
} flood;

static void flood_data(struct stream *s, const uint8_t *data, size_t len)
{
    static uint8_t more[STREAM_READ_PIPE];
    (void)s;
    (void)data;
    flood.got += len;
    while (write(flood.peer, more, sizeof(more)) > 0)
        ;
}

/* A peer that always has more is left for the loop's other work. */
static void turns(void)
{
    static const struct stream_handler handler = {.data = flood_data, .closed = probe_closed};
    int fd[2];
    uv_loop_t loop;
    struct probe p = {0};
    T_EQ(uv_loop_init(&loop), 0);
    pair(fd);
    flood.peer = fd[1];
    T_EQ(stream_init_pipe(&p.stream, &loop, &handler), 0);
    T_EQ(stream_open(&p.stream, fd[0]), 0);
    stream_read_start(&p.stream);
    flood_data(&p.stream, NULL, 0);
    uint64_t before = flood.got = 0;
    for (int i = 0; i < 16; i++, before = flood.got) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        T_TRUE(flood.got > before);
        T_TRUE(flood.got - before < STREAM_BURST + STREAM_READ_PIPE);
    }
    close(fd[1]);
    probe_finish(&p, &loop);
    T_EQ(uv_loop_close(&loop), 0);
}

static void back_pressure(void)
{
    static char block[8192];
    uv_loop_t loop;
    struct probe p;
    int fd[2];
    size_t sent = 0, got = 0;
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    for (unsigned int round = 1; round <= 3; round++) {
        while (stream_writable(&p.stream)) {
            T_EQ(stream_write(&p.stream, block, sizeof(block)), 0);
            sent += sizeof(block);
        }
        T_TRUE(stream_unsent(&p.stream) > STREAM_HIGH_WATER);
        T_TRUE(stream_unsent(&p.stream) <= STREAM_HIGH_WATER + sizeof(block));
        t_loop_run_ms(&loop, 5);
        T_EQ(p.drained, round - 1);
        while (p.drained < round) {
            got += drain(fd[1], 100000);
            t_loop_turn(&loop);
        }
        T_TRUE(stream_writable(&p.stream));
        T_TRUE(stream_unsent(&p.stream) <= STREAM_LOW_WATER);
    }
    while (got < sent) {
        got += drain(fd[1], sent);
        t_loop_turn(&loop);
    }
    T_EQ(got, sent);
    T_EQ(p.stream.bytes_out, sent);
    T_EQ(stream_unsent(&p.stream), 0);
    probe_finish(&p, &loop);
    close(fd[1]);
    t_loop_close(&loop);
}

/* A large buffer goes out whole, in order with what is around it, without being copied. */
static void write_buf(void)
{
    const size_t size = 4 * 1024 * 1024;
    uv_loop_t loop;
    struct probe p;
    struct buf b = {0}, got = {0};
    int fd[2];
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    T_EQ(stream_write(&p.stream, "<", 1), 0);
    T_EQ(buf_reserve(&b, size), 0);
    for (size_t i = 0; i < size; i++)
        b.data[i] = (uint8_t)(i * 7 + i / 251);
    b.len = size;
    T_EQ(stream_write_buf(&p.stream, &b), 0);
    T_TRUE(b.data == NULL);
    T_EQ(stream_write(&p.stream, ">", 1), 0);
    stream_shutdown(&p.stream);
    T_EQ(buf_reserve(&got, size + 2), 0);
    while (got.len < size + 2) {
        ssize_t n = read(fd[1], got.data + got.len, got.cap - got.len);
        if (n > 0)
            got.len += (size_t)n;
        t_loop_turn(&loop);
    }
    T_EQ(got.data[0], '<');
    T_EQ(got.data[size + 1], '>');
    for (size_t i = 0; i < size; i++)
        T_EQ(got.data[i + 1], (uint8_t)(i * 7 + i / 251));
    T_UNTIL(&loop, p.drained > 0);
    T_EQ(read(fd[1], got.data, 1), 0);
    buf_done(&got);
    probe_finish(&p, &loop);
    close(fd[1]);
    t_loop_close(&loop);
}

/* The peer goes away while bytes wait: `ended` once, whether reading or not. */
static void peer_lost(void)
{
    static char block[65536];
    for (int reading = 0; reading < 2; reading++) {
        uv_loop_t loop;
        struct probe p;
        int fd[2];
        pair(fd);
        t_loop_open(&loop);
        probe_open(&p, &loop, fd[0]);
        if (reading)
            stream_read_start(&p.stream);
        while (stream_unsent(&p.stream) == 0)
            T_EQ(stream_write(&p.stream, block, sizeof(block)), 0);
        T_EQ(stream_write(&p.stream, block, sizeof(block)), 0);
        close(fd[1]);
        T_UNTIL(&loop, p.ended == 1);
        t_loop_run_ms(&loop, 5);
        T_EQ(p.ended, 1);
        if (!reading) {
            T_EQ(p.end_status, -EPIPE);
            T_EQ(stream_write(&p.stream, "x", 1), -EPIPE);
        }
        probe_finish(&p, &loop);
        T_EQ(stream_write(&p.stream, "x", 1), -ECANCELED);
        t_loop_close(&loop);
    }
}

/* A write that fails at once returns the error, and the loop tells, too. */
static void write_fails_at_once(void)
{
    uv_loop_t loop;
    struct probe p;
    int fd[2];
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    close(fd[1]);
    T_EQ(stream_write(&p.stream, "x", 1), -EPIPE);
    T_EQ(p.ended, 0);
    T_EQ(stream_write(&p.stream, "x", 1), -EPIPE);
    T_UNTIL(&loop, p.ended == 1);
    T_EQ(p.end_status, -EPIPE);
    probe_finish(&p, &loop);
    t_loop_close(&loop);
}

/* Close N turns after the connection was asked for: `closed` always comes, `opened` at most once
 * and never after the close. */
static void cancel_connecting(void)
{
    char path[108];
    int server = listening(path);
    for (int turns = 0; turns < CANCEL_TURNS; turns++) {
        uv_loop_t loop;
        struct probe p = {0};
        t_loop_open(&loop);
        T_EQ(stream_init_pipe(&p.stream, &loop, &probe_handler), 0);
        T_EQ(stream_connect_pipe(&p.stream, path), 0);
        p.started = true;
        for (int i = 0; i < turns; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        unsigned int opened = p.opened;
        probe_finish(&p, &loop);
        T_EQ(p.opened, opened);
        T_TRUE(turns > 0 || opened == 0);
        t_loop_close(&loop);
    }
    close(server);
    unlink(path);
}

static void cancel_writing(void)
{
    static char block[65536];
    for (int turns = 0; turns < CANCEL_TURNS; turns++) {
        uv_loop_t loop;
        struct probe p;
        struct buf b = {0};
        int fd[2];
        pair(fd);
        t_loop_open(&loop);
        probe_open(&p, &loop, fd[0]);
        stream_read_start(&p.stream);
        while (stream_unsent(&p.stream) == 0)
            T_EQ(stream_write(&p.stream, block, sizeof(block)), 0);
        T_EQ(buf_append(&b, block, sizeof(block)), 0);
        T_EQ(stream_write_buf(&p.stream, &b), 0);
        stream_shutdown(&p.stream);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        probe_finish(&p, &loop);
        T_EQ(p.ended + p.drained, 0);
        close(fd[1]);
        t_loop_close(&loop);
    }
}

static void close_inside_callback(void)
{
    uv_loop_t loop;
    struct probe p;
    int fd[2];
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    p.close_in_data = true;
    stream_read_start(&p.stream);
    T_EQ(write(fd[1], "data", 4), 4);
    close(fd[1]);
    T_UNTIL(&loop, p.closed == 1);
    T_EQ(p.ended, 0);
    t_loop_close(&loop);
}

/* A handle that never became a connection is closed like any other. */
static void close_new(void)
{
    uv_loop_t loop;
    struct probe p = {0};
    t_loop_open(&loop);
    T_EQ(stream_init_tcp(&p.stream, &loop, &probe_handler), 0);
    T_EQ(stream_open(&p.stream, -1), -EBADF);
    probe_finish(&p, &loop);
    T_EQ(stream_connect_pipe(&p.stream, "/x"), -ECANCELED);
    t_loop_close(&loop);
}

static void fault_run(void)
{
    static char block[65536];
    uv_loop_t loop;
    struct probe p;
    int fd[2], rv = 0;
    pair(fd);
    t_loop_open(&loop);
    probe_open(&p, &loop, fd[0]);
    stream_read_start(&p.stream);
    for (int i = 0; i < 8 && rv == 0; i++)
        rv = stream_write(&p.stream, block, sizeof(block));
    struct buf b = {0};
    if (buf_append(&b, block, sizeof(block)) == 0 && rv == 0)
        rv = stream_write_buf(&p.stream, &b);
    buf_done(&b);
    (void)drain(fd[1], 1 << 30);
    if (rv < 0) {
        T_EQ(rv, -ENOMEM);
        T_UNTIL(&loop, (drain(fd[1], 1 << 30), p.ended == 1));
        T_EQ(p.end_status, -ENOMEM);
    }
    probe_finish(&p, &loop);
    close(fd[1]);
    t_loop_close(&loop);
}

static void allocation_fails(void)
{
    int n = 1;
    bool hit;
    do {
        t_fault_arm(n++);
        fault_run();
        hit = t_fault_disarm();
    } while (hit);
    T_TRUE(n > 4);
}

T_MAIN(T_CASE(connects_and_echoes), T_CASE(connect_fails), T_CASE(read_stop), T_CASE(turns),
       T_CASE(back_pressure), T_CASE(write_buf), T_CASE(peer_lost), T_CASE(write_fails_at_once),
       T_CASE(cancel_connecting), T_CASE(cancel_writing), T_CASE(close_inside_callback),
       T_CASE(close_new), T_CASE(allocation_fails))
