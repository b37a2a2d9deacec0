/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest and a moody host client on the vsock connections: the input orders packets with
 * chosen ports and fields, host connections, host bytes, closes. Bounds hold at every step.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "vsock_mux.h"

#include "t.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 4u

static char dir[] = "/tmp/fuzz-vsock-XXXXXX";

static int make_listener(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
        abort();
    return fd;
}

static int dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "v.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void on_pending(void *ctx)
{
    (void)ctx;
}

static void guest_packet(struct vsock_mux *m, struct cursor *c, uint32_t last_host_port)
{
    static uint8_t payload[1 << 16];
    uint8_t sel = cursor_u8(c);
    uint32_t len = cursor_u16(c);
    struct virtio_vsock_hdr h = {
        .src_cid = 3,
        .dst_cid = 2,
        .src_port = sel & 3,
        .dst_port = (sel & 4) != 0   ? last_host_port
                    : (sel & 8) != 0 ? 77
                                     : 78,
        .type = (sel & 16) != 0 ? 2 : 1,
        .op = cursor_u8(c) % 9,
        .flags = cursor_u8(c),
        .buf_alloc = cursor_u32(c),
        .fwd_cnt = cursor_u32(c),
        .len = len,
    };
    if (h.dst_port == last_host_port)
        h.src_port = 1024;
    struct iovec iov[2] = {{payload, len / 3}, {payload + len / 3, len - len / 3}};
    vsock_mux_receive(m, &h, iov, 2);
}

static void take_packets(struct vsock_mux *m, uint32_t room_len, uint32_t *last_host_port)
{
    static uint8_t room[(1 << 16) + 3];
    struct iovec iov = {room, room_len};
    struct virtio_vsock_hdr h;
    struct iovec third[3] = {{room, room_len / 3 + 1},
                             {room + room_len / 3 + 1, room_len / 3 + 1},
                             {room + 2 * (room_len / 3 + 1), room_len / 3 + 1}};
    if (vsock_mux_burst(m, &h, third, 3) > 3 * (room_len / 3 + 1))
        abort();
    for (int i = 0; i < 64 && vsock_mux_next(m, &h, &iov, 1); i++) {
        if (h.len > room_len || h.len > VSOCK_MAX_DATA)
            abort();
        if (h.op == VIRTIO_VSOCK_OP_REQUEST)
            *last_host_port = h.src_port;
    }
}

static void host_client(int *fd, struct cursor *c)
{
    static char greeting[] = "CONNECT 1024\n", data[4096];
    uint8_t op = cursor_u8(c);
    switch (op % 5) {
    case 0:
        if (*fd < 0)
            *fd = dial();
        break;
    case 1:
        (void)!send(*fd, greeting, sizeof(greeting) - 1 - (op >> 7), MSG_NOSIGNAL);
        break;
    case 2:
        (void)!send(*fd, data, op * 16u, MSG_NOSIGNAL);
        break;
    case 3:
        (void)!recv(*fd, data, sizeof(data), 0);
        break;
    default:
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
}

static void check(const struct vsock_mux *m)
{
    uint32_t count = 0;
    list_for_each (it, &m->conns)
        count++;
    if (count != m->count || count > VSOCK_MAX_CONNS || m->resets > VSOCK_MAX_RESETS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    struct loop loop;
    struct vsock_mux m;
    int client[CLIENTS] = {-1, -1, -1, -1}, accepted[CLIENTS] = {-1, -1, -1, -1};
    uint32_t last_host_port = 0;
    if (!ready && !t_mkdtemp(dir))
        abort();
    ready = true;
    /* Socket names are relative to it; corpus and artifacts of the fuzzer to where it was started.
     */
    cleanup_close int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (home < 0 || chdir(dir) < 0)
        abort();
    int host = make_listener("v.sock_77");
    if (loop_init(&loop) < 0 ||
        vsock_mux_init(&m, &loop, make_listener("v.sock"), "v.sock", on_pending, NULL) < 0)
        abort();
    struct cursor c = cursor_on(data, size);
    while (cursor_ok(&c) && c.left > 0) {
        uint8_t op = cursor_u8(&c);
        unsigned int i = op >> 4 & (CLIENTS - 1);
        switch (op & 3) {
        case 0:
            guest_packet(&m, &c, last_host_port);
            break;
        case 1:
            host_client((op & 8) != 0 ? &accepted[i] : &client[i], &c);
            break;
        case 2:
            take_packets(&m, 1 + (op >> 2) * 64u, &last_host_port);
            break;
        default:
            if (accepted[i] < 0)
                accepted[i] = accept4(host, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (loop_turn(&loop, 0) < 0)
                abort();
        }
        check(&m);
    }
    vsock_mux_done(&m);
    if (m.count != 0)
        abort();
    loop_done(&loop);
    close(host);
    for (unsigned int i = 0; i < CLIENTS; i++) {
        if (client[i] >= 0)
            close(client[i]);
        if (accepted[i] >= 0)
            close(accepted[i]);
    }
    if (fchdir(home) < 0)
        abort();
    return 0;
}
