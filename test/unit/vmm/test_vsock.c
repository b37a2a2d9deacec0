/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device with a scripted guest on its queues and real unix sockets on the host side. */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "filter.h"
#include "test_ring.h"
#include "virtio_vsock.h"

#define RX_BUF       0x200000u
#define RX_LEN       4096u
#define TX_BUF       0x300000u
#define EVENT        0x400000u
#define GUEST_BUFFER (64u << 10)

static struct loop loop;
static struct virtio_vsock v;
static struct virtio_mmio t;
static struct ring r[3];
static unsigned int rx_posted;

static int listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(path);
    T_EQ(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    T_EQ(listen(fd, 8), 0);
    return fd;
}

static int dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "v.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    T_EQ(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void turn(void)
{
    for (int i = 0; i < 6; i++) {
        T_EQ(loop_turn(&loop, 0) < 0, 0);
        virtio_run_again(&v.dev);
    }
}

static void post_rx(unsigned int n)
{
    for (unsigned int i = 0; i < n; i++, rx_posted++) {
        struct ring_desc d = {RX_BUF + rx_posted % RING_SIZE * RX_LEN, RX_LEN, VRING_DESC_F_WRITE,
                              0};
        ring_post(&r[0], &d, 1);
    }
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

/* A buffer in two parts, the first of which has room for a header and 56 bytes. */
static void post_split_rx(void)
{
    uint32_t at = RX_BUF + rx_posted++ % RING_SIZE * RX_LEN;
    struct ring_desc d[2] = {{at, 100, VRING_DESC_F_WRITE, 0},
                             {at + 100, RX_LEN - 100, VRING_DESC_F_WRITE, 0}};
    ring_post(&r[0], d, 2);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void setup(void)
{
    static bool chosen;
    char dir[] = "/tmp/test-vsock-XXXXXX";
    if (!chosen)
        T_TRUE(t_mkdtemp(dir) && chdir(dir) == 0);
    else
        vsock_mux_done(&v.mux);
    if (chosen)
        loop_done(&loop);
    chosen = true;
    ring_setup();
    rx_posted = 0;
    T_EQ(loop_init(&loop), 0);
    T_EQ(virtio_vsock_init(&v, &loop, listen_at("v.sock"), "v.sock", &ring_mem, &ring_irq), 0);
    t = (struct virtio_mmio){.dev = &v.dev};
    ring_start(&t, r, 3, 0);
    post_rx(8);
}

/* The next packet for the guest; false when none came. `data` gets its payload. */
static bool receive(struct virtio_vsock_hdr *h, const uint8_t **data)
{
    uint32_t id = 0;
    turn();
    int64_t len = ring_done(&r[0], &id);
    if (len < 0)
        return false;
    T_TRUE(len >= (int64_t)sizeof(*h));
    const uint8_t *p = ring_at(ring_desc(&r[0], (uint16_t)id)->addr);
    memcpy(h, p, sizeof(*h));
    T_EQ(h->src_cid, 2);
    T_EQ(h->dst_cid, 3);
    T_EQ(h->len, len - (int64_t)sizeof(*h));
    if (data != NULL)
        *data = p + sizeof(*h);
    post_rx(1);
    return true;
}

static void expect(struct virtio_vsock_hdr *h, uint16_t op)
{
    T_TRUE(receive(h, NULL));
    T_EQ(h->op, op);
}

static void transmit_raw(const struct virtio_vsock_hdr *h, const void *data, uint32_t len)
{
    memcpy(ring_at(TX_BUF), h, sizeof(*h));
    if (len > 0)
        memcpy(ring_at(TX_BUF + sizeof(*h)), data, len);
    struct ring_desc part[2] = {{TX_BUF, sizeof(*h), 0, 0}, {TX_BUF + sizeof(*h), len, 0, 0}};
    ring_post(&r[1], part, len > 0 ? 2 : 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    (void)ring_done(&r[1], NULL);
}

/* As the peer of `to`, a packet that the host sent. */
static void transmit(const struct virtio_vsock_hdr *to, uint16_t op, const void *data, uint32_t len)
{
    struct virtio_vsock_hdr h = {
        .src_cid = 3,
        .dst_cid = 2,
        .src_port = to->dst_port,
        .dst_port = to->src_port,
        .len = len,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
        .buf_alloc = GUEST_BUFFER,
        .fwd_cnt = to->fwd_cnt,
    };
    transmit_raw(&h, data, len);
}

static void say(int fd, const char *text)
{
    T_EQ(write(fd, text, strlen(text)), (long long)strlen(text));
}

/* A host client connected to guest port 1024. */
static int connected(struct virtio_vsock_hdr *h)
{
    char line[32];
    int fd = dial();
    say(fd, "CONNECT 1024\n");
    expect(h, VIRTIO_VSOCK_OP_REQUEST);
    T_EQ(h->dst_port, 1024);
    h->fwd_cnt = 0;
    transmit(h, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
    turn();
    ssize_t n = read(fd, line, sizeof(line) - 1);
    T_TRUE(n > 3 && memcmp(line, "OK ", 3) == 0 && line[n - 1] == '\n');
    return fd;
}

static void a_host_client_talks_to_the_guest(void)
{
    struct virtio_vsock_hdr h, in;
    const uint8_t *data;
    char buf[16];
    setup();
    int fd = connected(&h);
    say(fd, "hello");
    T_TRUE(receive(&in, &data));
    T_EQ(in.op, VIRTIO_VSOCK_OP_RW);
    T_MEM(data, in.len, "hello", 5);
    transmit(&h, VIRTIO_VSOCK_OP_RW, "world", 5);
    T_EQ(read(fd, buf, sizeof(buf)), 5);
    T_MEM(buf, 5, "world", 5);
    close(fd);
    expect(&in, VIRTIO_VSOCK_OP_SHUTDOWN);
    T_EQ(in.flags, 3);
    transmit(&h, VIRTIO_VSOCK_OP_RST, NULL, 0);
    turn();
    T_EQ(v.mux.count, 0);
}

static void what_follows_the_greeting_is_kept(void)
{
    struct virtio_vsock_hdr h, in;
    const uint8_t *data;
    setup();
    int fd = dial();
    say(fd, "CONNECT 7\nearly");
    expect(&h, VIRTIO_VSOCK_OP_REQUEST);
    T_TRUE(!receive(&in, NULL)); /* not before the guest has accepted */
    transmit(&h, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
    T_TRUE(receive(&in, &data));
    T_MEM(data, in.len, "early", 5);
    close(fd);
}

static void bad_greetings_are_dropped(void)
{
    static const char *const bad[] = {"HELLO 1024\n",
                                      "CONNECT \n",
                                      "CONNECT 4294967296\n",
                                      "CONNECT 1x\n",
                                      "CONNECT 999999999999999999",
                                      "\n"};
    struct virtio_vsock_hdr h;
    char c;
    setup();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int fd = dial();
        say(fd, bad[i]);
        T_TRUE(!receive(&h, NULL));
        T_TRUE(read(fd, &c, 1) <= 0 && errno != EAGAIN);
        close(fd);
    }
    T_EQ(v.mux.count, 0);
}

static void a_refused_port_ends_the_stream(void)
{
    struct virtio_vsock_hdr h;
    char c;
    setup();
    int fd = dial();
    say(fd, "CONNECT 9\n");
    expect(&h, VIRTIO_VSOCK_OP_REQUEST);
    transmit(&h, VIRTIO_VSOCK_OP_RST, NULL, 0);
    turn();
    T_EQ(read(fd, &c, 1), 0);
    close(fd);
    T_EQ(v.mux.count, 0);
}

static void the_guest_reaches_a_host_socket(void)
{
    struct virtio_vsock_hdr to = {.dst_port = 5000, .src_port = 77}, in;
    char buf[8];
    setup();
    int l = listen_at("v.sock_77");
    transmit(&to, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
    int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    T_TRUE(fd >= 0);
    expect(&in, VIRTIO_VSOCK_OP_RESPONSE);
    T_EQ(in.src_port, 77);
    T_EQ(in.dst_port, 5000);
    T_EQ(in.buf_alloc, VSOCK_SMALL);
    transmit(&in, VIRTIO_VSOCK_OP_RW, "abc", 3);
    T_EQ(read(fd, buf, sizeof(buf)), 3);
    close(fd);
    close(l);
    to.src_port = 78; /* nobody there */
    transmit(&to, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
    while (receive(&in, NULL) && in.op != VIRTIO_VSOCK_OP_RST)
        ;
    T_EQ(in.src_port, 78);
}

static void the_guests_credit_is_respected(void)
{
    static char big[256 << 10];
    struct virtio_vsock_hdr h, in;
    uint64_t total = 0;
    setup();
    int fd = connected(&h);
    size_t sent = 0;
    bool asked = false;
    for (int i = 0; i < 200; i++) {
        ssize_t n = sent < sizeof(big) ? write(fd, big + sent, sizeof(big) - sent) : 0;
        sent += n > 0 ? (size_t)n : 0;
        while (receive(&in, NULL)) {
            total += in.op == VIRTIO_VSOCK_OP_RW ? in.len : 0;
            asked |= in.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST;
        }
    }
    T_EQ(total, GUEST_BUFFER);
    T_TRUE(asked);
    h.fwd_cnt = 1000; /* the guest has read a little */
    transmit(&h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
    while (receive(&in, NULL))
        total += in.op == VIRTIO_VSOCK_OP_RW ? in.len : 0;
    T_EQ(total, GUEST_BUFFER + 1000);
    h.fwd_cnt = 0x80000000; /* a lie gives nothing */
    transmit(&h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
    while (receive(&in, NULL))
        T_TRUE(in.op != VIRTIO_VSOCK_OP_RW);
    close(fd);
}

/* More than one read brings, into few buffers, some of them of two parts; the end comes last. */
static void many_bytes_come_whole_and_in_order(void)
{
    static uint8_t big[GUEST_BUFFER - 5000];
    struct virtio_vsock_hdr h, in;
    const uint8_t *data;
    size_t got = 0;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    setup();
    int fd = connected(&h);
    T_EQ(write(fd, big, sizeof(big)), sizeof(big));
    shutdown(fd, SHUT_WR);
    for (int i = 0; receive(&in, &data) && in.op == VIRTIO_VSOCK_OP_RW; i++) {
        T_TRUE(in.len <= sizeof(big) - got);
        T_MEM(data, in.len, big + got, in.len);
        got += in.len;
        if (i % 5 == 0)
            post_split_rx();
    }
    T_EQ(got, sizeof(big));
    T_EQ(in.op, VIRTIO_VSOCK_OP_SHUTDOWN);
    T_EQ(in.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    close(fd);
}

/* Whoever sends much leaves the others their turns. */
static void two_that_send_much_take_turns(void)
{
    static uint8_t big[GUEST_BUFFER - 5000];
    struct virtio_vsock_hdr h[2], in;
    size_t got[2] = {0, 0};
    setup();
    int fd[2] = {connected(&h[0]), connected(&h[1])};
    T_EQ(write(fd[0], big, sizeof(big)), sizeof(big));
    T_EQ(write(fd[1], big, sizeof(big)), sizeof(big));
    while (receive(&in, NULL)) {
        T_EQ(in.op, VIRTIO_VSOCK_OP_RW);
        got[in.src_port == h[1].src_port] += in.len;
        /* A burst is 16 buffers; nobody is two of them ahead. */
        T_TRUE(got[0] <= got[1] + 32 * RX_LEN && got[1] <= got[0] + 32 * RX_LEN);
    }
    T_EQ(got[0], sizeof(big));
    T_EQ(got[1], sizeof(big));
    close(fd[0]);
    close(fd[1]);
}

static void a_guest_beyond_its_credit_is_cut_off(void)
{
    static char chunk[4 << 10];
    struct virtio_vsock_hdr h, in;
    bool reset = false;
    setup();
    int fd = connected(&h);
    /* The host client reads nothing: its socket fills, then our buffer, then the guest is told. */
    for (int i = 0; i < 128 && !reset; i++) {
        transmit(&h, VIRTIO_VSOCK_OP_RW, chunk, sizeof(chunk));
        while (receive(&in, NULL))
            reset |= in.op == VIRTIO_VSOCK_OP_RST;
    }
    T_TRUE(reset);
    T_EQ(v.mux.count, 0);
    close(fd);
}

static void a_slow_client_gets_every_byte(void)
{
    static char chunk[4 << 10], buf[64 << 10];
    struct virtio_vsock_hdr h, in;
    uint64_t sent = 0, got = 0;
    ssize_t n;
    setup();
    int fd = connected(&h);
    uint32_t credit = VSOCK_SMALL, fwd = 0;
    for (int i = 0; i < 256; i++) {
        while (receive(&in, NULL)) {
            fwd = in.fwd_cnt;
            credit = in.buf_alloc;
        }
        if (sent - fwd + sizeof(chunk) > credit)
            break;
        transmit(&h, VIRTIO_VSOCK_OP_RW, chunk, sizeof(chunk));
        sent += sizeof(chunk);
    }
    T_TRUE(sent > credit);
    transmit(&h, VIRTIO_VSOCK_OP_RST, NULL, 0); /* the guest's end is gone for good */
    turn();
    for (int i = 0; i < 400; i++) {
        turn();
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            got += (uint64_t)n;
        if (n == 0)
            break;
    }
    T_EQ(got, sent);
    turn();
    T_EQ(v.mux.count, 0);
    close(fd);
}

/* Sends until the credit is used up; returns what we promise the guest then. */
static uint32_t stuff(struct virtio_vsock_hdr *h, uint64_t *sent)
{
    static char chunk[2 << 10];
    struct virtio_vsock_hdr in;
    uint32_t credit = VSOCK_SMALL, fwd = 0;
    for (;;) {
        while (receive(&in, NULL)) {
            T_EQ(in.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            fwd = in.fwd_cnt;
            credit = in.buf_alloc;
        }
        if (*sent - fwd + sizeof(chunk) > credit)
            return credit;
        transmit(h, VIRTIO_VSOCK_OP_RW, chunk, sizeof(chunk));
        *sent += sizeof(chunk);
    }
}

static void a_window_widens_with_what_is_carried(void)
{
    static char buf[64 << 10];
    struct virtio_vsock_hdr h;
    uint64_t sent = 0;
    setup();
    int fd = connected(&h);
    T_EQ(stuff(&h, &sent), VSOCK_SMALL); /* nobody has taken it yet */
    for (int i = 0; i < 4; i++)
        while (read(fd, buf, sizeof(buf)) > 0)
            turn();
    T_EQ(stuff(&h, &sent), VSOCK_BUFFER);
    T_EQ(v.mux.wide, 1);
    transmit(&h, VIRTIO_VSOCK_OP_RST, NULL, 0);
    for (int i = 0; i < 400 && v.mux.count > 0; i++) {
        (void)read(fd, buf, sizeof(buf));
        turn();
    }
    T_EQ(v.mux.count, 0);
    T_EQ(v.mux.wide, 0);
    close(fd);
}

/* All connections there can be, whose clients take a little and then nothing. */
static void what_is_kept_is_bounded_together(void)
{
    const uint64_t allowance = (uint64_t)(64 - 12) << 20; /* 12: for the VMM itself */
    static char buf[64 << 10];
    struct virtio_vsock_hdr h;
    uint64_t promised = 0, sent;
    int fds[2 * VSOCK_MAX_WIDE];
    setup();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = connected(&h);
        sent = 0;
        (void)stuff(&h, &sent);
        for (int k = 0; k < 4; k++)
            while (read(fds[i], buf, sizeof(buf)) > 0)
                turn();
        promised += stuff(&h, &sent);
    }
    T_EQ(v.mux.wide, VSOCK_MAX_WIDE);
    T_EQ(promised, (uint64_t)VSOCK_MAX_WIDE * (VSOCK_BUFFER + VSOCK_SMALL));
    const uint64_t small = VSOCK_SMALL + VSOCK_KERNEL(VSOCK_SMALL);
    const uint64_t wide = VSOCK_BUFFER + VSOCK_KERNEL(VSOCK_BUFFER);
    T_TRUE((VSOCK_MAX_CONNS - VSOCK_MAX_WIDE) * small + VSOCK_MAX_WIDE * wide < allowance);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

static void half_closed_streams_work(void)
{
    struct virtio_vsock_hdr h, in;
    char c;
    setup();
    int fd = connected(&h);
    shutdown(fd, SHUT_WR);
    expect(&in, VIRTIO_VSOCK_OP_SHUTDOWN);
    T_EQ(in.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    transmit(&h, VIRTIO_VSOCK_OP_RW, "x", 1);
    T_EQ(read(fd, &c, 1), 1);
    struct virtio_vsock_hdr bye = {.src_cid = 3,
                                   .dst_cid = 2,
                                   .src_port = h.dst_port,
                                   .dst_port = h.src_port,
                                   .type = 1,
                                   .op = VIRTIO_VSOCK_OP_SHUTDOWN,
                                   .flags = 3};
    transmit_raw(&bye, NULL, 0);
    while (receive(&in, NULL) && in.op != VIRTIO_VSOCK_OP_RST)
        ;
    T_EQ(in.op, VIRTIO_VSOCK_OP_RST);
    T_EQ(read(fd, &c, 1), 0);
    close(fd);
}

/* One that half-closes before it closes takes no place from the next. */
static void clients_that_half_close_leave_nothing(void)
{
    struct virtio_vsock_hdr h, in;
    setup();
    for (int i = 0; i < 1000; i++) {
        int fd = connected(&h);
        shutdown(fd, SHUT_WR);
        expect(&in, VIRTIO_VSOCK_OP_SHUTDOWN);
        T_EQ(in.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
        close(fd);
        expect(&in, VIRTIO_VSOCK_OP_SHUTDOWN);
        T_EQ(in.flags, 3);
        T_TRUE(!list_empty(&loop.timers)); /* for a guest that does not answer */
        transmit(&h, VIRTIO_VSOCK_OP_RST, NULL, 0);
        turn();
        T_EQ(v.mux.count, 0);
    }
    T_TRUE(list_empty(&loop.timers));
}

/* The client sent more than the guest takes, and left. */
static void a_guest_that_reads_nothing_holds_no_connection_for_ever(void)
{
    static char big[192 << 10];
    struct virtio_vsock_hdr h, in;
    setup();
    int fd = connected(&h);
    for (ssize_t n = 1; n > 0;) {
        n = write(fd, big, sizeof(big));
        while (receive(&in, NULL))
            ;
    }
    T_TRUE(list_empty(&loop.timers));
    close(fd);
    turn();
    T_EQ(v.mux.count, 1);
    T_TRUE(!list_empty(&loop.timers));
    struct loop_timer *t1 = list_first(&loop.timers, struct loop_timer, link);
    list_del(&t1->link);
    t1->fire(t1);
    turn();
    T_EQ(v.mux.count, 0);
}

static void strangers_are_reset_within_bounds(void)
{
    struct virtio_vsock_hdr to = {.dst_port = 1, .src_port = 2}, in;
    unsigned int resets = 0;
    setup();
    for (int i = 0; i < 500; i++) {
        struct virtio_vsock_hdr h = {.src_cid = 3,
                                     .dst_cid = 2,
                                     .src_port = (uint32_t)i,
                                     .dst_port = 9,
                                     .type = 1,
                                     .op = VIRTIO_VSOCK_OP_RW};
        transmit_raw(&h, NULL, 0);
    }
    while (receive(&in, NULL))
        resets += in.op == VIRTIO_VSOCK_OP_RST;
    T_TRUE(resets > 0 && resets <= 500);
    transmit(&to, VIRTIO_VSOCK_OP_RST, NULL, 0); /* never an answer to a reset */
    T_TRUE(!receive(&in, NULL));
    struct virtio_vsock_hdr forged = {.src_cid = 9, .dst_cid = 2, .type = 1, .op = 1};
    transmit_raw(&forged, NULL, 0);
    T_TRUE(!receive(&in, NULL));
}

static void connections_are_bounded(void)
{
    setup();
    int l = listen_at("v.sock_90");
    for (uint32_t i = 0; i < 2 * VSOCK_MAX_CONNS; i++) {
        struct virtio_vsock_hdr to = {.dst_port = i + 1, .src_port = 90}, in;
        transmit(&to, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
        int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); /* kept open on purpose */
        (void)fd;
        while (receive(&in, NULL))
            ;
        T_TRUE(v.mux.count <= VSOCK_MAX_CONNS);
    }
    T_EQ(v.mux.count, VSOCK_MAX_CONNS);
    close(l);
    virtio_vsock_transport_reset(&v);
    T_EQ(v.mux.count, 0);
    for (int fd = 3; fd < 1024; fd++) {
        struct stat st;
        if (fd != loop.epfd && fd != v.mux.listener.fd && fd != ring_mem.fd &&
            fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            close(fd);
    }
}

/* A driver that goes (rmmod, power-off) resets the device from a vCPU thread, which may neither
 * close nor free: the loop does. */
static void a_reset_on_a_vcpu_thread_leaves_the_rest_to_the_loop(void)
{
    struct virtio_vsock_hdr in;
    setup();
    int fd = dial();
    T_EQ(write(fd, "CONNECT 7\n", 10), 10);
    expect(&in, VIRTIO_VSOCK_OP_REQUEST);
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(FILTER_VCPU) < 0)
            _exit(1);
        ring_reg(&t, VIRTIO_MMIO_STATUS, 0);
        (void)syscall(SYS_exit_group, 0); /* _exit() makes a sanitizer look around first */
    }
    int status = -1;
    T_EQ(waitpid(child, &status, 0), child);
    T_EQ(status, 0);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 0);
    T_EQ(v.mux.count, 1);
    T_TRUE(v.dev.again != 0); /* which wakes the loop */
    turn();
    T_EQ(v.mux.count, 0);
    T_EQ(read(fd, &status, 1), 0);
    close(fd);
    setup();
    fd = dial();
    T_EQ(write(fd, "CONNECT 7\n", 10), 10);
    expect(&in, VIRTIO_VSOCK_OP_REQUEST);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 0);
    ring_start(&t, r, 3, 0); /* at once, before the loop had a turn */
    virtio_kick_all(&v.dev);
    T_EQ(v.mux.count, 0);
    close(fd);
}

static void the_reset_event_waits_for_a_buffer(void)
{
    uint32_t id;
    setup();
    virtio_vsock_transport_reset(&v);
    T_EQ(ring_done(&r[2], &id), -1);
    const struct ring_desc d = {EVENT, 4, VRING_DESC_F_WRITE, 0};
    *(uint32_t *)ring_at(EVENT) = 99;
    ring_post(&r[2], &d, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    T_EQ(ring_done(&r[2], &id), 4);
    T_EQ(*(uint32_t *)ring_at(EVENT), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
}

static void ports_go_on_after_a_restore(void)
{
    struct virtio_vsock_hdr first, next;
    setup();
    close(connected(&first));
    uint32_t port = v.mux.next_port;
    setup();
    T_EQ(vsock_mux_set_next_port(&v.mux, port), 0);
    close(connected(&next));
    T_EQ(next.src_port, first.src_port + 1);
    T_EQ(vsock_mux_set_next_port(&v.mux, 1024), -EINVAL); /* guests' own connections go there */
    T_EQ(vsock_mux_set_next_port(&v.mux, UINT32_MAX), -EINVAL);
    T_EQ(v.mux.next_port, port + 1);
}

static void lengths_that_lie_break_the_device(void)
{
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = 2, .type = 1, .op = 5, .len = 1000};
    setup();
    transmit_raw(&h, "abc", 3);
    T_TRUE(v.dev.broken);
    setup();
    const struct ring_desc tiny = {TX_BUF, 43, 0, 0};
    ring_post(&r[1], &tiny, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    T_TRUE(v.dev.broken);
}

T_MAIN(T_CASE(a_host_client_talks_to_the_guest), T_CASE(what_follows_the_greeting_is_kept),
       T_CASE(bad_greetings_are_dropped), T_CASE(a_refused_port_ends_the_stream),
       T_CASE(the_guest_reaches_a_host_socket), T_CASE(the_guests_credit_is_respected),
       T_CASE(many_bytes_come_whole_and_in_order), T_CASE(two_that_send_much_take_turns),
       T_CASE(a_guest_beyond_its_credit_is_cut_off), T_CASE(a_slow_client_gets_every_byte),
       T_CASE(a_window_widens_with_what_is_carried), T_CASE(what_is_kept_is_bounded_together),
       T_CASE(half_closed_streams_work), T_CASE(clients_that_half_close_leave_nothing),
       T_CASE(a_guest_that_reads_nothing_holds_no_connection_for_ever),
       T_CASE(strangers_are_reset_within_bounds), T_CASE(connections_are_bounded),
       T_CASE(the_reset_event_waits_for_a_buffer),
       T_CASE(a_reset_on_a_vcpu_thread_leaves_the_rest_to_the_loop),
       T_CASE(ports_go_on_after_a_restore), T_CASE(lengths_that_lie_break_the_device))
