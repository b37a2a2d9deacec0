/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.c - a "kernel" that attacks its VMM: a bzImage of a few KiB, freestanding, one processor,
 * no interrupts. The command line names the attack; one that comes to its end powers off, which the
 * host sees. Built by host/programs.
 */
#include <linux/virtio_mmio.h>
#include <linux/virtio_vsock.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICES 4u
#define BLK     0u
#define VSOCK   1u
#define RNG     2u
#define SIZE    256u /* of each queue */
#define QUEUES  3u
#define DATA    0x800000u
#define TOP     0x10000000ull /* the end of memory: the suite starts it with 256 MiB */

/* What a boot loader reads of a kernel, then the entry point, 0x200 into the loaded part. */
__asm__(".section .setup,\"ax\"\n"
        ".org 0x1f1\n .byte 1\n" /* setup sectors behind this one */
        ".org 0x1fe\n .word 0xaa55\n"
        ".byte 0xeb, 0x62\n .ascii \"HdrS\"\n .word 0x20f\n"
        ".org 0x22c\n .long 0x7fffffff\n"                /* highest address of an initramfs */
        ".org 0x236\n .word 1\n"                         /* has a 64-bit entry point */
        ".org 0x238\n .long 2047\n"                      /* command line */
        ".org 0x258\n .quad 0x100000\n .long 0x400000\n" /* preferred address, memory needed */
        ".org 1024\n"
        ".section .head,\"ax\"\n"
        ".org 0x200\n"
        "lea stack_top(%rip), %rsp\n"
        "mov 0x228(%rsi), %edi\n" /* the command line's address */
        "call attack\n"
        ".bss\n .balign 16\n .space 16384\nstack_top:\n"
        ".text\n");

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct ring {
    struct desc desc[SIZE];
    struct {
        uint16_t flags, idx, ring[SIZE], event;
    } avail;
    uint8_t pad[2];
    struct {
        uint16_t flags, idx;
        struct {
            uint32_t id, len;
        } ring[SIZE];
        uint16_t event;
    } used __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

static struct ring rings[QUEUES];

static void out8(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static void say(const char *s)
{
    for (; *s != '\0'; s++)
        out8(0x3f8, (uint8_t)*s);
}

static void power_off(void)
{
    out8(0x600, 0x34);
}

static volatile uint32_t *reg(uint32_t dev, uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(0xd0000000u + dev * 0x1000 + offset);
}

static void set(uint32_t dev, uint32_t offset, uint32_t v)
{
    *reg(dev, offset) = v;
}

static uint32_t random32(void)
{
    static uint64_t x = 88172645463325252ull;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 16);
}

/* Up to the queues; `features` are the low ones. */
static void begin(uint32_t dev, uint32_t features)
{
    set(dev, VIRTIO_MMIO_STATUS, 0);
    set(dev, VIRTIO_MMIO_STATUS, 1);
    set(dev, VIRTIO_MMIO_STATUS, 3);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES, features);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set(dev, VIRTIO_MMIO_STATUS, 11);
}

static void queue(uint32_t dev, uint32_t q, uint32_t size, uint64_t desc, uint64_t avail,
                  uint64_t used)
{
    set(dev, VIRTIO_MMIO_QUEUE_SEL, q);
    set(dev, VIRTIO_MMIO_QUEUE_NUM, size);
    set(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
    set(dev, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
    set(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
    set(dev, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
    set(dev, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
    set(dev, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
    set(dev, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* Its queues are rings[0..], empty. */
static void start(uint32_t dev)
{
    __builtin_memset(rings, 0, sizeof(rings));
    begin(dev, 0);
    for (uint32_t q = 0; q < QUEUES; q++)
        queue(dev, q, SIZE, (uintptr_t)rings[q].desc, (uintptr_t)&rings[q].avail,
              (uintptr_t)&rings[q].used);
    set(dev, VIRTIO_MMIO_STATUS, 15);
}

static void post(uint32_t q, uint16_t head)
{
    struct ring *r = &rings[q];
    r->avail.ring[r->avail.idx % SIZE] = head;
    __asm__ volatile("" ::: "memory");
    r->avail.idx++;
}

static void notify(uint32_t dev, uint32_t q)
{
    __asm__ volatile("" ::: "memory");
    set(dev, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

/* Queues that are not in memory, or only just, or wrap round. */
static void wild(void)
{
    static const uint64_t at[] = {
        TOP,         TOP - 16,    UINT64_MAX - 15,       1ull << 63,   0xd0000000u,
        0xfee00000u, 0xbffffff0u, 0xfffffffffffff000ull, 0x100000000u, 1};
    for (uint32_t dev = 0; dev < DEVICES; dev++) {
        for (uint32_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
            for (uint32_t part = 0; part < 3; part++) {
                begin(dev, 0);
                for (uint32_t q = 0; q < QUEUES; q++)
                    queue(dev, q, SIZE, part == 0 ? at[i] : DATA, part == 1 ? at[i] : DATA,
                          part == 2 ? at[i] : DATA);
                set(dev, VIRTIO_MMIO_STATUS, 15);
                for (uint32_t q = 0; q < QUEUES; q++)
                    notify(dev, q);
            }
        }
    }
}

/* Chains that bite their tails, point outside, are longer than the queue, or have wild lengths. */
static void chains(void)
{
    static const struct desc bad[] = {
        {DATA, 16, 1, 0},
        {DATA, 16, 1, SIZE},
        {DATA, 16, 1, 65535},
        {DATA, 0xffffffff, 1, 1},
        {TOP - 8, 16, 0, 0},
        {UINT64_MAX - 7, 16, 0, 0},
        {DATA, 0, 0, 0},
        {DATA, 4096, 4, 0},
        {DATA, 0xfffffff0, 2, 0},
        {0xd0000000u, 4096, 2, 0},
        {0xfffffffffffffff0ull, 0xffffffff, 1, 0},
    };
    for (uint32_t dev = 0; dev < DEVICES; dev++) {
        for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            start(dev);
            for (uint32_t q = 0; q < QUEUES; q++) {
                for (uint32_t d = 0; d < SIZE; d++)
                    rings[q].desc[d] = bad[i];
                post(q, 0);
                post(q, SIZE - 1);
                post(q, 0x7fff); /* no such descriptor */
                notify(dev, q);
            }
        }
        start(dev);
        for (uint32_t q = 0; q < QUEUES; q++) {
            for (uint32_t d = 0; d < SIZE; d++)
                rings[q].desc[d] = (struct desc){DATA, 16, 1, (uint16_t)((d + 1) % SIZE)};
            post(q, 0);
            rings[q].avail.idx = 0x8000; /* more than the queue has room for */
            notify(dev, q);
        }
    }
}

/* A queue that grows, moves or starts anew under the device's hands. */
static void resize(void)
{
    for (uint32_t dev = 0; dev < DEVICES; dev++) {
        start(dev);
        for (uint32_t q = 0; q < QUEUES; q++) {
            for (uint32_t size = 0; size < 70000; size += 9999) {
                queue(dev, q, size, TOP - 64, TOP - 64, TOP - 64);
                rings[q].desc[0] = (struct desc){DATA, 512, 2, 0};
                post(q, 0);
                notify(dev, q);
            }
            set(dev, VIRTIO_MMIO_QUEUE_READY, 0);
            notify(dev, q);
        }
        set(dev, VIRTIO_MMIO_STATUS, 3);
        set(dev, VIRTIO_MMIO_STATUS, 15);
        notify(dev, 0);
    }
}

static void packet(uint32_t slot, uint16_t op, uint32_t from, uint32_t to, uint32_t len)
{
    struct virtio_vsock_hdr *h = (void *)(uintptr_t)(DATA + slot * 64);
    *h = (struct virtio_vsock_hdr){
        .src_cid = 3,
        .dst_cid = 2,
        .src_port = from,
        .dst_port = to,
        .len = len,
        .type = 1,
        .op = op,
        .buf_alloc = 0xffffffff,
    };
    rings[1].desc[slot] = (struct desc){DATA + slot * 64, sizeof(*h), len != 0 ? 1 : 0,
                                        (uint16_t)(SIZE / 2 + slot)};
    if (len != 0)
        rings[1].desc[SIZE / 2 + slot] = (struct desc){2 * DATA, len, 0, 0};
    post(1, (uint16_t)slot);
}

/* Connections without end to a port that answers (77) and one that does not, data on all of them,
 * and not one buffer for an answer. */
static void flood(void)
{
    start(VSOCK);
    for (uint32_t i = 0; i < 2000; i++) {
        packet(i % 64, 1, 1000 + i, 77 + i % 2, 0);
        packet((i + 1) % 64, 5, 1000 + i, 77, 65536);
        packet((i + 2) % 64, 5, 1000 + i, 77, 65536);
        packet((i + 3) % 64, (uint16_t)random32(), random32(), random32(), 0);
        notify(VSOCK, 1);
        while (*(volatile uint16_t *)&rings[1].used.idx != rings[1].avail.idx &&
               (*reg(VSOCK, VIRTIO_MMIO_STATUS) & 0x40) == 0)
            ;
    }
}

static void registers(void)
{
    for (uint32_t i = 0; i < 30000; i++) {
        uint32_t r = random32(), dev = r % DEVICES, offset = r >> 8 & 0xfff;
        if ((r & 0x80) != 0)
            *(volatile uint8_t *)reg(dev, offset) = (uint8_t)random32();
        else if ((r & 0x40) != 0)
            set(dev, offset & ~3u, random32() >> (r >> 20 & 31));
        else
            (void)*reg(dev, offset & ~3u);
    }
}

static void serial(void)
{
    for (int i = 0; i < 6; i++) {
        const uint8_t *text = (const uint8_t *)0x100000;
        uint64_t n = 4096;
        __asm__ volatile("rep outsb" : "+S"(text), "+c"(n) : "d"((uint16_t)0x3f8) : "memory");
    }
}

static void kick(void)
{
    start(BLK);
    say("kicking\n");
    for (;;) {
        for (uint32_t dev = 0; dev < DEVICES; dev++)
            notify(dev, 0);
    }
}

/* Takes the driver's part so far that the host may connect, then never gives a buffer. */
static void mute(void)
{
    start(VSOCK);
    say("mute\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void hang(void)
{
    say("hanging\n");
    for (;;)
        __asm__ volatile("cli; pause");
}

static void halt(void)
{
    say("halting\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

/* Code and data where there is nothing. */
static void nowhere(void)
{
    for (uint64_t at = 0xc0000000u; at < 0xd0000000u; at += 0x100000)
        *(volatile uint32_t *)at = *(volatile uint32_t *)(at + 64);
    ((void (*)(void))0xc0000000u)();
}

static const struct {
    char name[12];
    void (*run)(void);
} attacks[] = {
    {"wild", wild},      {"chains", chains}, {"resize", resize}, {"flood", flood},
    {"regs", registers}, {"serial", serial}, {"kick", kick},     {"mute", mute},
    {"hang", hang},      {"halt", halt},     {"fault", fault},   {"nowhere", nowhere},
};

__attribute__((used)) void attack(const char *name);
__attribute__((used)) void attack(const char *name)
{
    for (uint32_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        uint32_t n = 0;
        while (attacks[i].name[n] != '\0' && attacks[i].name[n] == name[n])
            n++;
        if (attacks[i].name[n] != name[n])
            continue;
        attacks[i].run();
        say("done\n");
    }
    power_off();
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* The compiler calls it by name. */
void *memset(void *p, int c, size_t n)
{
    uint8_t *b = p;
    while (n-- > 0)
        *b++ = (uint8_t)c;
    return p;
}
