/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"
#include "rate.h"
#include "serial.h"
#include "t.h"

static struct serial s;
static unsigned int irqs;

static void on_irq(void *ctx)
{
    (void)ctx;
    irqs++;
}

static void out(uint64_t reg, uint8_t v)
{
    serial_write(&s, reg, &v, 1);
}

static uint8_t in(uint64_t reg)
{
    uint8_t v = 0xee;
    serial_read(&s, reg, &v, 1);
    return v;
}

static void setup(void)
{
    static const struct irq_line irq = {on_irq, NULL};
    serial_init(&s, &irq, -1);
    irqs = 0;
}

static void print(const char *text)
{
    for (; *text != '\0'; text++)
        out(0, (uint8_t)*text);
}

static void keeps_the_last_bytes(void)
{
    cleanup_buf struct buf b = {0};
    setup();
    print("first\n");
    for (unsigned int i = 0; i < SERIAL_RING; i++)
        out(0, 'x');
    print("last");
    serial_log(&s, &b);
    T_EQ(b.len, SERIAL_RING);
    T_MEM(b.data + b.len - 4, 4, "last", 4);
    T_EQ(b.data[0], 'x');
}

static void remembers_a_panic(void)
{
    setup();
    print("[  1.2] Kernel panic - not syncing: Attempted to kill init!\r\nmore\n");
    T_STR(s.panic, "Attempted to kill init!");
    print("Kernel panic - not syncing: second\n");
    T_STR(s.panic, "Attempted to kill init!");
    setup();
    for (int i = 0; i < 1000; i++)
        print("Kernel panic - not syncing: a line without an end ");
    out(0, '\n');
    T_TRUE(strlen(s.panic) < SERIAL_LINE);
}

static void interrupts_when_empty(void)
{
    setup();
    out(0, 'a');
    T_EQ(irqs, 0);
    out(1, 2);
    T_EQ(irqs, 1);
    T_EQ(in(2), 2);
    T_EQ(in(2), 1); /* reading it clears it */
    out(0, 'a');
    T_EQ(irqs, 2);
    T_EQ(in(5), 0x60);
}

static void the_latch_hides_two_registers(void)
{
    setup();
    out(3, 0x83);
    out(0, 12);
    out(1, 7);
    T_EQ(in(0), 12);
    T_EQ(in(1), 7);
    out(3, 3);
    T_EQ(in(1), 0);
    T_EQ(s.total, 0);
    out(7, 0x5a);
    T_EQ(in(7), 0x5a);
}

static void wide_accesses_do_nothing(void)
{
    uint32_t v = 0x41414141;
    setup();
    serial_write(&s, 0, &v, 4);
    T_EQ(s.total, 0);
}

static void state_comes_back(void)
{
    cleanup_buf struct buf b = {0};
    setup();
    out(1, 2);
    out(7, 9);
    serial_save(&s, &b);
    setup();
    struct cursor c = cursor_on(b.data, b.len);
    T_EQ(serial_load(&s, &c), 0);
    T_EQ(in(7), 9);
    T_EQ(in(1), 2);
    c = cursor_on(b.data, 3);
    T_TRUE(serial_load(&s, &c) < 0);
}

static void count_read(void *ctx, uint64_t offset, void *data, uint32_t len)
{
    (void)len;
    *(uint8_t *)data = (uint8_t)offset;
    ++*(int *)ctx;
}

static void a_bus_keeps_ranges_apart(void)
{
    struct bus b = {.count = 0};
    int hits = 0;
    const struct bus_range r = {0x1000, 0x10, count_read, NULL, &hits};
    const struct bus_range over = {0x100f, 0x10, count_read, NULL, &hits};
    uint32_t v;
    T_EQ(bus_add(&b, &r), 0);
    T_TRUE(bus_add(&b, &over) < 0);
    bus_read(&b, 0x1003, &v, 1);
    T_EQ((uint8_t)v, 3);
    bus_read(&b, 0x100f, &v, 4); /* sticks out */
    T_EQ(v, UINT32_MAX);
    bus_read(&b, 0xfff, &v, 4);
    bus_read(&b, UINT64_MAX, &v, 4);
    bus_write(&b, 0x1000, &v, 4); /* nobody writes here */
    T_EQ(hits, 1);
}

static void a_rate_is_kept(void)
{
    struct rate r;
    uint64_t now = 0, spent = 0;
    rate_init(&r, 1000, now);
    while (now < 10000000000ull) {
        uint64_t wait = rate_wait(&r, now);
        if (wait == 0) {
            rate_take(&r, 100);
            spent += 100;
        } else {
            now += wait;
        }
    }
    T_TRUE(spent >= 10000 && spent <= 12200); /* ten seconds and one full bucket */
    rate_init(&r, 0, 0);
    rate_take(&r, UINT64_MAX);
    T_EQ(rate_wait(&r, 0), 0);
}

T_MAIN(T_CASE(keeps_the_last_bytes), T_CASE(remembers_a_panic), T_CASE(interrupts_when_empty),
       T_CASE(the_latch_hides_two_registers), T_CASE(wide_accesses_do_nothing),
       T_CASE(state_comes_back), T_CASE(a_bus_keeps_ranges_apart), T_CASE(a_rate_is_kept))
