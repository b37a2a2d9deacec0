/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's status machine and the small devices behind it. */
#include "test_ring.h"
#include "virtio_balloon.h"
#include "virtio_rng.h"

static struct virtio_rng rng;
static struct virtio_mmio t;
static struct ring r[5];

static void setup(void)
{
    ring_setup();
    virtio_rng_init(&rng, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &rng.dev};
}

static void identifies_itself(void)
{
    setup();
    T_EQ(ring_get(&t, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    T_EQ(ring_get(&t, VIRTIO_MMIO_VERSION), 2);
    T_EQ(ring_get(&t, VIRTIO_MMIO_DEVICE_ID), 4);
    T_EQ(ring_get(&t, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
    T_EQ(ring_get(&t, VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTQ_MAX_SIZE);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_SEL, 1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
    T_EQ(ring_get(&t, VIRTIO_MMIO_QUEUE_READY), 0);
    uint8_t byte = 0xaa;
    virtio_mmio_read(&t, 1, &byte, 1); /* registers are 32 bits wide */
    T_EQ(byte, 0);
}

static void status_takes_no_short_cut(void)
{
    setup();
    ring_reg(&t, VIRTIO_MMIO_STATUS, 2);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 0);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 4);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 0);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 3);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 3);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 15); /* without VERSION_1 */
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 3);
    ring_features(&t, VIRTIO_F_BIT(VIRTIO_F_VERSION_1) | 1); /* a feature that was not offered */
    ring_reg(&t, VIRTIO_MMIO_STATUS, 11);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 3);
    ring_features(&t, VIRTIO_F_BIT(VIRTIO_F_VERSION_1));
    ring_reg(&t, VIRTIO_MMIO_STATUS, 11);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 11);
    ring_features(&t, 0); /* too late */
    T_EQ(rng.dev.features, VIRTIO_F_BIT(VIRTIO_F_VERSION_1));
    ring_reg(&t, VIRTIO_MMIO_STATUS, 3); /* nothing is taken back */
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 11);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 0x8b);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 15); /* a failed device stays down */
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 0x8b);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 0);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 0);
}

static void queues_are_frozen(void)
{
    setup();
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NUM, 8); /* before FEATURES_OK */
    T_EQ(rng.dev.q[0].size, 0);
    ring_start(&t, r, 1, 0);
    struct virtq before = rng.dev.q[0];
    ring_reg(&t, VIRTIO_MMIO_QUEUE_SEL, 0);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NUM, 256);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_READY, 0);
    T_EQ(memcmp(&before, &rng.dev.q[0], sizeof(before)), 0);
}

static void a_bad_queue_does_not_become_ready(void)
{
    setup();
    ring_reg(&t, VIRTIO_MMIO_STATUS, 3);
    ring_features(&t, VIRTIO_F_BIT(VIRTIO_F_VERSION_1));
    ring_reg(&t, VIRTIO_MMIO_STATUS, 11);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NUM, 65536 + 16);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_READY, 1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_QUEUE_READY), 0);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NUM, 16);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_READY, 1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_QUEUE_READY), 0);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 15);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* of a queue that is not there: nothing */
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 7);
    T_EQ(ring_irqs, 0);
}

static void entropy_comes(void)
{
    setup();
    ring_start(&t, r, 1, 0);
    const struct ring_desc part = {0x100000, 64, VRING_DESC_F_WRITE, 0};
    ring_post(&r[0], &part, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), 64);
    T_EQ(ring_irqs, 1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    ring_reg(&t, VIRTIO_MMIO_INTERRUPT_ACK, 1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    static const uint8_t zeros[64];
    T_TRUE(memcmp(ring_at(0x100000), zeros, 64) != 0);
}

static void an_interrupt_that_waits_is_not_raised_again(void)
{
    setup();
    ring_start(&t, r, 1, 0);
    const struct ring_desc part = {0x100000, 64, VRING_DESC_F_WRITE, 0};
    for (int i = 0; i < 3; i++) {
        ring_post(&r[0], &part, 1);
        ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    }
    T_EQ(ring_irqs, 1);
    /* A save may have lost it on its way. */
    virtio_resume(&rng.dev);
    T_EQ(ring_irqs, 2);
    ring_reg(&t, VIRTIO_MMIO_INTERRUPT_ACK, 1);
    virtio_resume(&rng.dev);
    T_EQ(ring_irqs, 2);
    ring_post(&r[0], &part, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_irqs, 3);
}

static void entropy_is_capped(void)
{
    setup();
    ring_start(&t, r, 1, 0);
    const struct ring_desc part[] = {{0x200000, 1 << 20, VRING_DESC_F_WRITE, 0},
                                     {0x400000, 1 << 20, VRING_DESC_F_WRITE, 0}};
    ring_post(&r[0], part, 2);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), VIRTIO_RNG_MAX_REQUEST);
}

static void a_hostile_chain_breaks_only_until_reset(void)
{
    setup();
    ring_start(&t, r, 1, 0);
    const struct ring_desc bad = {RING_MEM, 64, VRING_DESC_F_WRITE, 0};
    const struct ring_desc good = {0x100000, 64, VRING_DESC_F_WRITE, 0};
    ring_post(&r[0], &bad, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), -1);
    T_EQ(ring_get(&t, VIRTIO_MMIO_STATUS), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
    ring_post(&r[0], &good, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), -1);
    memset(ring_mem.base, 0, 1 << 20);
    ring_start(&t, r, 1, 0);
    ring_post(&r[0], &good, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), 64);
}

static void a_long_queue_takes_several_turns(void)
{
    setup();
    ring_start(&t, r, 1, 0);
    struct ring_desc part = {0x100000, 4, VRING_DESC_F_WRITE, 0};
    for (uint32_t i = 0; i < RING_SIZE; i++)
        ring_post(&r[0], &part, 1);
    virtio_kick_all(&rng.dev);
    for (uint32_t i = 0; i < RING_SIZE; i++)
        T_EQ(ring_done(&r[0], NULL), 4);
    T_TRUE(rng.dev.again != 0); /* it used its turn up: there may be more */
    virtio_run_again(&rng.dev);
    T_EQ(rng.dev.again, 0);
}

static void reported_pages_are_given_back(void)
{
    static struct virtio_balloon b;
    ring_setup();
    virtio_balloon_init(&b, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &b.dev};
    ring_start(&t, r, 3, VIRTIO_F_BIT(5));
    memset(ring_at(0x800000), 9, 2 << 20);
    const struct ring_desc part = {0x800000, 2 << 20, VRING_DESC_F_WRITE, 0};
    ring_post(&r[2], &part, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    T_EQ(ring_done(&r[2], NULL), 0);
    T_EQ(b.reclaimed, 2 << 20);
    T_EQ(*(uint8_t *)ring_at(0x800000), 0);
    T_EQ(*(uint8_t *)ring_at(0x9fffff), 0);
}

/* Blocks side by side in any order, one apart from them, and one that is none. */
static void reported_neighbours_are_all_given_back(void)
{
    static struct virtio_balloon b;
    ring_setup();
    virtio_balloon_init(&b, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &b.dev};
    ring_start(&t, r, 3, VIRTIO_F_BIT(5));
    memset(ring_at(0x400000), 9, 4 << 20);
    const struct ring_desc part[] = {{0x600000, 0x100000, VRING_DESC_F_WRITE, 0},
                                     {0x500000, 0x100000, VRING_DESC_F_WRITE, 0},
                                     {0x700000, 0x080000, VRING_DESC_F_WRITE, 0},
                                     {0x400000, 0x010000, VRING_DESC_F_WRITE, 0}};
    ring_post(&r[2], part, 4);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    T_EQ(ring_done(&r[2], NULL), 0);
    T_EQ(b.reclaimed, 0x290000);
    static const uint32_t gone[] = {0x400000, 0x40ffff, 0x500000, 0x6fffff, 0x77ffff};
    static const uint32_t kept[] = {0x410000, 0x4fffff, 0x780000, 0x7fffff};
    for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
        T_EQ(*(uint8_t *)ring_at(gone[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        T_EQ(*(uint8_t *)ring_at(kept[i]), 9);
}

static void the_balloon_ignores_wild_page_numbers(void)
{
    static struct virtio_balloon b;
    static const uint32_t pfn[] = {0xffffffff, 0x900, 0xd0000, 0x80000000};
    ring_setup();
    virtio_balloon_init(&b, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &b.dev};
    ring_start(&t, r, 2, 0);
    *(uint8_t *)ring_at(0x900000) = 5;
    memcpy(ring_at(0x100000), pfn, sizeof(pfn));
    const struct ring_desc part = {0x100000, sizeof(pfn), 0, 0};
    ring_post(&r[0], &part, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r[0], NULL), 0);
    T_EQ(b.reclaimed, MEM_PAGE);
    T_EQ(*(uint8_t *)ring_at(0x900000), 0);
    virtio_balloon_set_target(&b, UINT32_MAX);
    T_EQ(b.target, RING_MEM / MEM_PAGE);
    T_TRUE(b.dev.isr & VIRTIO_ISR_CONFIG);
}

static void state_survives_and_lies_do_not(void)
{
    setup();
    ring_start(&t, r, 1, VIRTIO_F_BIT(VIRTIO_RING_F_EVENT_IDX));
    cleanup_buf struct buf b = {0};
    virtio_mmio_save(&t, &b);
    static struct virtio_rng other;
    virtio_rng_init(&other, &ring_mem, &ring_irq);
    struct virtio_mmio o = {.dev = &other.dev};
    struct cursor c = cursor_on(b.data, b.len);
    T_EQ(virtio_mmio_load(&o, &c), 0);
    T_TRUE(cursor_end(&c));
    T_TRUE(virtio_running(&other.dev) && other.dev.q[0].event_idx);
    /* Any flipped bit loads as something legal or not at all; sanitizers watch. */
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        virtio_rng_init(&other, &ring_mem, &ring_irq);
        c = cursor_on(b.data, b.len);
        if (virtio_mmio_load(&o, &c) == 0)
            virtio_kick_all(&other.dev);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

T_MAIN(T_CASE(identifies_itself), T_CASE(status_takes_no_short_cut), T_CASE(queues_are_frozen),
       T_CASE(a_bad_queue_does_not_become_ready), T_CASE(entropy_comes),
       T_CASE(an_interrupt_that_waits_is_not_raised_again), T_CASE(entropy_is_capped),
       T_CASE(a_hostile_chain_breaks_only_until_reset), T_CASE(a_long_queue_takes_several_turns),
       T_CASE(reported_pages_are_given_back), T_CASE(reported_neighbours_are_all_given_back),
       T_CASE(the_balloon_ignores_wild_page_numbers), T_CASE(state_survives_and_lies_do_not))
