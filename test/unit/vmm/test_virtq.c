/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "test_ring.h"

static struct virtq q;
static struct virtq_chain c;
static struct ring r;

static void setup(bool event_idx)
{
    ring_setup();
    r = ring_layout(0);
    q = (struct virtq){
        .size = RING_SIZE, .desc_gpa = r.desc, .avail_gpa = r.avail, .used_gpa = r.used};
    T_EQ(virtq_enable(&q, &ring_mem, event_idx), 0);
}

static void takes_a_chain_apart(void)
{
    setup(false);
    const struct ring_desc part[] = {
        {0x100000, 16, 0, 0}, {0x101000, 8, 0, 0}, {0x102000, 512, VRING_DESC_F_WRITE, 0}};
    T_EQ(virtq_pop(&q, &c), 0);
    uint16_t head = ring_post(&r, part, 3);
    T_EQ(virtq_pop(&q, &c), 1);
    T_EQ(c.head, head);
    T_EQ(c.n_out, 2);
    T_EQ(c.n_in, 1);
    T_EQ(c.out_len, 24);
    T_EQ(c.in_len, 512);
    T_TRUE(virtq_in(&c)->iov_base == ring_at(0x102000));
    T_EQ(virtq_pop(&q, &c), 0);
    virtq_push(&q, head, 5);
    uint32_t id = 99;
    T_EQ(ring_done(&r, &id), 5);
    T_EQ(id, head);
}

static void unpop_gives_the_same_chain_again(void)
{
    setup(false);
    const struct ring_desc part = {0x100000, 16, 0, 0};
    uint16_t head = ring_post(&r, &part, 1);
    T_EQ(virtq_pop(&q, &c), 1);
    virtq_unpop(&q);
    T_EQ(virtq_pop(&q, &c), 1);
    T_EQ(c.head, head);
}

static void index_wraps(void)
{
    setup(false);
    q.last_avail = q.used_idx = q.signalled = 0xfff0;
    uint16_t *avail = ring_at(r.avail), *used = ring_at(r.used);
    avail[1] = r.avail_idx = 0xfff0;
    used[1] = r.used_seen = 0xfff0;
    const struct ring_desc part = {0x100000, 16, 0, 0};
    for (int i = 0; i < 100; i++) {
        ring_post(&r, &part, 1);
        T_EQ(virtq_pop(&q, &c), 1);
        virtq_push(&q, c.head, 1);
        T_EQ(ring_done(&r, NULL), 1);
    }
    T_EQ(q.used_idx, (uint16_t)(0xfff0 + 100));
}

/* Each row is one chain that must be refused. */
static void refuses_hostile_chains(void)
{
    static const struct {
        struct ring_desc d[2];
        uint16_t head;
    } bad[] = {
        {{{0x100000, 16, VRING_DESC_F_NEXT, 0}}, 0},         /* points at itself */
        {{{0x100000, 16, VRING_DESC_F_NEXT, RING_SIZE}}, 0}, /* outside the table */
        {{{0x100000, 16, VRING_DESC_F_NEXT, 0xffff}}, 0},
        {{{0x100000, 16, VRING_DESC_F_INDIRECT, 0}}, 0}, /* never negotiated */
        {{{0x100000, 16, 0x8000, 0}}, 0},                /* an unknown flag */
        {{{RING_MEM, 1, 0, 0}}, 0},                      /* behind memory */
        {{{RING_MEM - 1, 2, 0, 0}}, 0},                  /* across its end */
        {{{UINT64_MAX, 2, 0, 0}}, 0},                    /* wraps around */
        {{{UINT64_MAX - 0xfff, 0xffffffff, VRING_DESC_F_WRITE, 0}}, 0},
        {{{0x100000, 0xffffffff, 0, 0}}, 0}, /* longer than memory */
        {{{0x100000, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1}, {0x100000, 16, 0, 0}}, 0},
        {{{0x100000, 16, 0, 0}}, RING_SIZE}, /* head outside the table */
        {{{0x100000, 16, 0, 0}}, 0xffff},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        setup(false);
        *ring_desc(&r, 0) = bad[i].d[0];
        *ring_desc(&r, 1) = bad[i].d[1];
        ring_publish(&r, bad[i].head);
        T_EQ(virtq_pop(&q, &c), -EPROTO);
    }
}

static void refuses_an_index_that_runs_ahead(void)
{
    setup(false);
    uint16_t *avail = ring_at(r.avail);
    avail[1] = RING_SIZE + 1;
    T_EQ(virtq_pop(&q, &c), -EPROTO);
    setup(false);
    avail[1] = 0xffff;
    T_EQ(virtq_pop(&q, &c), -EPROTO);
}

static void a_chain_may_fill_the_queue_and_no_more(void)
{
    setup(false);
    struct ring_desc part[RING_SIZE];
    for (size_t i = 0; i < RING_SIZE; i++)
        part[i] = (struct ring_desc){0x100000 + i * 64, 64, 0, 0};
    ring_post(&r, part, RING_SIZE);
    T_EQ(virtq_pop(&q, &c), 1);
    T_EQ(c.n_out, RING_SIZE);
    setup(false);
    ring_post(&r, part, RING_SIZE);
    ring_desc(&r, RING_SIZE - 1)->flags = VRING_DESC_F_NEXT; /* back to the start */
    ring_desc(&r, RING_SIZE - 1)->next = 0;
    T_EQ(virtq_pop(&q, &c), -EPROTO);
}

static void empty_descriptors_are_skipped(void)
{
    setup(false);
    const struct ring_desc part[] = {{0x100000, 0, 0, 0}, {0x100000, 4, 0, 0}};
    ring_post(&r, part, 2);
    T_EQ(virtq_pop(&q, &c), 1);
    T_EQ(c.n_out, 1);
    T_EQ(c.out_len, 4);
}

static void bad_configurations_are_refused(void)
{
    static const struct {
        uint16_t size;
        uint64_t desc, avail, used;
    } bad[] = {
        {0, 0x10000, 0x11000, 0x12000},          {3, 0x10000, 0x11000, 0x12000},
        {512, 0x10000, 0x11000, 0x12000},        {16, 0x10008, 0x11000, 0x12000},
        {16, 0x10000, 0x11001, 0x12000},         {16, 0x10000, 0x11000, 0x12002},
        {16, RING_MEM, 0x11000, 0x12000},        {16, RING_MEM - 16, 0x11000, 0x12000},
        {16, 0x10000, RING_MEM - 4, 0x12000},    {16, 0x10000, 0x11000, RING_MEM - 8},
        {16, UINT64_MAX - 15, 0x11000, 0x12000}, {16, 0x10000, UINT64_MAX - 1, 0x12000},
    };
    ring_setup();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct virtq b = {.size = bad[i].size,
                          .desc_gpa = bad[i].desc,
                          .avail_gpa = bad[i].avail,
                          .used_gpa = bad[i].used};
        T_EQ(virtq_enable(&b, &ring_mem, false), -EINVAL);
        T_TRUE(!b.ready);
    }
}

static void interrupts_follow_the_drivers_wish(void)
{
    setup(false);
    uint16_t *avail = ring_at(r.avail);
    virtq_push(&q, 0, 0);
    T_TRUE(virtq_wants_irq(&q));
    T_TRUE(!virtq_wants_irq(&q)); /* nothing new */
    avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
    virtq_push(&q, 0, 0);
    T_TRUE(!virtq_wants_irq(&q));

    setup(true);
    avail[2 + RING_SIZE] = 1; /* used_event: at the second completion */
    virtq_push(&q, 0, 0);
    T_TRUE(!virtq_wants_irq(&q));
    virtq_push(&q, 0, 0);
    T_TRUE(virtq_wants_irq(&q));
    virtq_push(&q, 0, 0);
    T_TRUE(!virtq_wants_irq(&q));
}

static void arming_names_the_next_entry(void)
{
    setup(true);
    const struct ring_desc part = {0x100000, 16, 0, 0};
    uint16_t *used = ring_at(r.used);
    uint16_t *event = used + 2 + RING_SIZE * 4;
    ring_post(&r, &part, 1);
    T_TRUE(virtq_arm(&q)); /* one is waiting already */
    T_EQ(virtq_pop(&q, &c), 1);
    T_TRUE(!virtq_arm(&q));
    T_EQ(*event, 1);
}

static void state_is_checked_when_loaded(void)
{
    setup(true);
    cleanup_buf struct buf b = {0};
    q.last_avail = 5;
    q.used_idx = 4;
    virtq_save(&q, &b);
    struct virtq copy = {0};
    struct cursor cur = cursor_on(b.data, b.len);
    T_EQ(virtq_load(&copy, &cur, &ring_mem, true), 0);
    T_EQ(copy.last_avail, 5);
    T_EQ(copy.used_idx, 4);
    T_TRUE(copy.ready && copy.desc == q.desc);
    b.data[0] = 0xff; /* the size */
    cur = cursor_on(b.data, b.len);
    T_EQ(virtq_load(&copy, &cur, &ring_mem, true), -EINVAL);
    cur = cursor_on(b.data, b.len - 1);
    T_EQ(virtq_load(&copy, &cur, &ring_mem, true), -EINVAL);
}

T_MAIN(T_CASE(takes_a_chain_apart), T_CASE(unpop_gives_the_same_chain_again), T_CASE(index_wraps),
       T_CASE(refuses_hostile_chains), T_CASE(refuses_an_index_that_runs_ahead),
       T_CASE(a_chain_may_fill_the_queue_and_no_more), T_CASE(empty_descriptors_are_skipped),
       T_CASE(bad_configurations_are_refused), T_CASE(interrupts_follow_the_drivers_wish),
       T_CASE(arming_names_the_next_entry), T_CASE(state_is_checked_when_loaded))
