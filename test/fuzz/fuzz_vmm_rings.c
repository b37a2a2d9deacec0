/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device behind its rings: a driver that posts well-formed chains, whose headers, lengths
 * and places the input chooses, writes over its memory and its registers as it likes, and has host
 * clients at the other end. With an odd first byte another thread writes into the rings and packets
 * while the device reads them: what was checked must be what is used.
 */
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "virtio_mmio.h"
#include "virtio_vsock.h"

#include "t.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY  (32ull << 20)
#define QUEUES  3u
#define ENTRIES 16u
#define RING    0x1000u              /* a queue's descriptors, and at 0x400 and 0x800 its rings */
#define PACKETS (QUEUES * RING)      /* where chains lead to */
#define WINDOW  (PACKETS + 0x10000u) /* what is cleared between runs, and scribbled on */
#define CLIENTS 4u
#define RX      0u
#define TX      1u

struct rig {
    struct loop loop;
    struct virtio_vsock vsock;
    struct virtio_mmio t;
    uint16_t tail[QUEUES];
    int host; /* where connections of the guest end */
    int client[CLIENTS];
};

static struct mem mem;
static char dir[] = "/tmp/fuzz-rings-XXXXXX";

static void require(bool what)
{
    if (!what)
        abort();
}

static int make_listener(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)unlink(path);
    require(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 4) == 0);
    return fd;
}

static void reg(struct rig *r, uint32_t at, uint32_t v)
{
    virtio_mmio_write(&r->t, at, &v, 4);
}

static void start(struct rig *r)
{
    reg(r, VIRTIO_MMIO_STATUS, 3);
    reg(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    reg(r, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    reg(r, VIRTIO_MMIO_STATUS, 11);
    for (uint32_t q = 0; q < QUEUES; q++) {
        reg(r, VIRTIO_MMIO_QUEUE_SEL, q);
        reg(r, VIRTIO_MMIO_QUEUE_NUM, ENTRIES);
        reg(r, VIRTIO_MMIO_QUEUE_DESC_LOW, q * RING);
        reg(r, VIRTIO_MMIO_QUEUE_AVAIL_LOW, q * RING + 0x400);
        reg(r, VIRTIO_MMIO_QUEUE_USED_LOW, q * RING + 0x800);
        reg(r, VIRTIO_MMIO_QUEUE_READY, 1);
    }
    reg(r, VIRTIO_MMIO_STATUS, 15);
}

/* One chain: a header, and `len` bytes that begin at `at`, in one or two pieces. */
static void post(struct rig *r, uint32_t q, uint32_t at, uint32_t len, bool split)
{
    struct vring_desc *desc = (struct vring_desc *)(mem.base + (size_t)q * RING);
    struct vring_avail *avail = (struct vring_avail *)(mem.base + (size_t)q * RING + 0x400);
    uint16_t slot = r->tail[q] % (ENTRIES / 4), first = (uint16_t)(slot * 3);
    uint16_t flags = q == TX ? 0 : VRING_DESC_F_WRITE;
    uint32_t half = split ? len / 3 : len;
    desc[first] = (struct vring_desc){.addr = PACKETS + slot * 64u,
                                      .len = sizeof(struct virtio_vsock_hdr),
                                      .flags = flags | VRING_DESC_F_NEXT,
                                      .next = (uint16_t)(first + 1)};
    desc[first + 1] = (struct vring_desc){.addr = at, .len = half, .flags = flags};
    if (split) {
        desc[first + 1].flags |= VRING_DESC_F_NEXT;
        desc[first + 1].next = (uint16_t)(first + 2);
        desc[first + 2] = (struct vring_desc){.addr = at + half, .len = len - half, .flags = flags};
    }
    avail->ring[r->tail[q]++ % ENTRIES] = first;
    atomic_thread_fence(memory_order_release);
    avail->idx = r->tail[q];
}

static void send_packet(struct rig *r, struct cursor *c)
{
    uint8_t sel = cursor_u8(c);
    uint32_t len = cursor_u16(c);
    struct virtio_vsock_hdr h = {
        .src_cid = (sel & 128) != 0 ? sel : VIRTIO_VSOCK_GUEST_CID,
        .dst_cid = 2,
        .src_port = (sel & 1) != 0 ? 1024 : sel & 6,
        .dst_port = (sel & 8) != 0 ? 77 : r->vsock.mux.next_port - 1,
        .type = (sel & 64) != 0 ? 2 : 1,
        .op = cursor_u8(c) % 9,
        .flags = cursor_u8(c),
        .buf_alloc = cursor_u32(c),
        .fwd_cnt = cursor_u16(c),
        .len = (sel & 16) != 0 ? cursor_u32(c) : len,
    };
    memcpy(mem.base + PACKETS + r->tail[TX] % (ENTRIES / 4) * 64u, &h, sizeof(h));
    post(r, TX, PACKETS + 0x1000, len, (sel & 32) != 0);
}

static void host_client(struct rig *r, struct cursor *c)
{
    static char greeting[] = "CONNECT 1024\n", bytes[4096];
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "v.sock"};
    uint8_t op = cursor_u8(c);
    int *fd = &r->client[op >> 6];
    switch (op % 6) {
    case 0:
        if (*fd < 0) {
            *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            (void)connect(*fd, (struct sockaddr *)&sa, sizeof(sa));
            (void)!send(*fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
        }
        break;
    case 1:
        if (*fd < 0)
            *fd = accept4(r->host, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        break;
    case 2:
        (void)!send(*fd, bytes, op * 16u, MSG_NOSIGNAL);
        break;
    case 3:
        (void)!recv(*fd, bytes, sizeof(bytes), 0);
        break;
    case 4:
        (void)shutdown(*fd, SHUT_WR);
        break;
    default:
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
}

static void scribble(struct cursor *c)
{
    uint32_t at = cursor_u16(c) % (WINDOW - 256);
    uint8_t len = cursor_u8(c);
    const uint8_t *p = cursor_bytes(c, len);
    if (p != NULL)
        memcpy(mem.base + at, p, len);
}

static void step(struct rig *r, struct cursor *c)
{
    uint8_t op = cursor_u8(c);
    switch (op % 8) {
    case 0:
    case 1:
        send_packet(r, c);
        break;
    case 2:
        post(r, RX, PACKETS + 0x8000, op * 64u, (op & 8) != 0);
        break;
    case 3:
        host_client(r, c);
        break;
    case 4:
        scribble(c);
        break;
    case 5: {
        uint32_t at = cursor_u8(c) * 4u;
        reg(r, at, cursor_u32(c));
        break;
    }
    case 6:
        virtio_vsock_transport_reset(&r->vsock);
        break;
    default:
        for (uint32_t q = 0; q < QUEUES; q++)
            reg(r, VIRTIO_MMIO_QUEUE_NOTIFY, q);
        virtio_run_again(&r->vsock.dev);
        require(loop_turn(&r->loop, 0) >= 0);
    }
}

/* --- the other processor of the guest --- */

struct mutator {
    pthread_t thread;
    atomic_bool stop;
    uint32_t seed;
};

static void *mutate(void *ctx)
{
    struct mutator *m = ctx;
    while (!atomic_load_explicit(&m->stop, memory_order_relaxed)) {
        m->seed = m->seed * 1664525u + 1013904223u;
        uint32_t at = (m->seed >> 8) % PACKETS;
        /* Half of it goes where packets have their headers and rings their first entries. */
        if ((m->seed & 1) != 0)
            at = (m->seed & 2) != 0 ? PACKETS + at % 256 : (at & ~0xfffu & 0x3000u) + at % 64;
        atomic_store_explicit((_Atomic uint8_t *)(mem.base + at), (uint8_t)(m->seed >> 24),
                              memory_order_relaxed);
    }
    return NULL;
}

static void rig_init(struct rig *r)
{
    const struct irq_line irq = {NULL, NULL};
    *r = (struct rig){.client = {-1, -1, -1, -1}};
    memset(mem.base, 0, WINDOW);
    r->host = make_listener("v.sock_77");
    require(loop_init(&r->loop) == 0);
    require(virtio_vsock_init(&r->vsock, &r->loop, make_listener("v.sock"), "v.sock", &mem, &irq) ==
            0);
    r->t = (struct virtio_mmio){.dev = &r->vsock.dev};
}

static void rig_done(struct rig *r)
{
    vsock_mux_done(&r->vsock.mux);
    require(r->vsock.mux.count == 0);
    loop_done(&r->loop);
    close(r->host);
    for (unsigned int i = 0; i < CLIENTS; i++) {
        if (r->client[i] >= 0)
            close(r->client[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig r;
    struct mutator m = {.seed = 1};
    if (size < 2)
        return 0;
    if (mem.base == NULL)
        require(mem_init_new(&mem, MEMORY) == 0 && t_mkdtemp(dir));
    /* Socket names are relative to it; corpus and artifacts of the fuzzer to where it was started.
     */
    cleanup_close int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    require(home >= 0 && chdir(dir) == 0);
    rig_init(&r);
    if ((data[1] & 1) == 0)
        start(&r);
    bool two = (data[0] & 1) != 0;
    m.seed += data[0];
    require(!two || pthread_create(&m.thread, NULL, mutate, &m) == 0);
    struct cursor c = cursor_on(data + 2, size - 2);
    while (cursor_ok(&c) && c.left > 0) {
        step(&r, &c);
        require(r.vsock.mux.count <= VSOCK_MAX_CONNS && r.vsock.mux.resets <= VSOCK_MAX_RESETS);
    }
    atomic_store(&m.stop, true);
    require(!two || pthread_join(m.thread, NULL) == 0);
    rig_done(&r);
    require(fchdir(home) == 0);
    return 0;
}
