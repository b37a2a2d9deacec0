/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/uids.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "isolation/rmtree.h"
#include "t.h"

static char dir[PATH_MAX];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(dir));
}

/* Two processes on one state: neither gets an id of the other, whatever it knows. */
static void one_state_has_one_order(void)
{
    static struct uids server, builder;
    uint32_t last = 0;
    make_dir();
    uids_open(&server, dir, UIDS_VM);
    uids_open(&builder, dir, UIDS_VM);
    for (int i = 0; i < 100; i++) {
        uint32_t id = uids_take(i % 3 == 0 ? &builder : &server);
        T_TRUE(id >= UIDS_VM_FIRST && id < UIDS_VM_FIRST + UIDS_VM_COUNT);
        T_TRUE(id > last);
        last = id;
    }
    uids_close(&server);
    uids_open(&server, dir, UIDS_VM);
    T_EQ(uids_take(&server), last + 1);
    uids_close(&server);
    uids_close(&builder);
    T_EQ(rmtree(dir), 0);
}

static void ranges_do_not_touch(void)
{
    static struct uids u;
    make_dir();
    uids_open(&u, dir, UIDS_CONTAINER);
    uint32_t a = uids_take(&u), b = uids_take(&u);
    T_EQ(a % UIDS_RANGE, 0);
    T_EQ(b, a + UIDS_RANGE);
    T_TRUE(a >= UIDS_VM_FIRST + UIDS_VM_COUNT);
    uids_close(&u);
    T_EQ(rmtree(dir), 0);
}

/* Once around: what is in use is left out, and when nothing is free there is none. */
static void used_ones_are_left_out(void)
{
    static struct uids u;
    make_dir();
    uids_open(&u, dir, UIDS_CONTAINER);
    uint32_t kept = UIDS_CONTAINER_FIRST + 7 * UIDS_RANGE;
    uids_keep(&u, kept);
    uids_keep(&u, 0);
    uids_keep(&u, kept + 1);
    uids_keep(&u, UIDS_CONTAINER_FIRST + UIDS_CONTAINER_COUNT * UIDS_RANGE);
    for (uint32_t i = 0; i < UIDS_CONTAINER_COUNT - 1; i++) {
        uint32_t id = uids_take(&u);
        T_TRUE(id != 0 && id != kept);
    }
    T_EQ(uids_take(&u), 0);
    uids_drop(&u, kept);
    T_EQ(uids_take(&u), kept);
    uids_close(&u);
    T_EQ(rmtree(dir), 0);
}

static void without_a_file(void)
{
    static struct uids u;
    uids_open(&u, "/nonexistent", UIDS_VM);
    uint32_t a = uids_take(&u), b = uids_take(&u);
    T_TRUE(a != 0 && b != 0 && a != b);
    uids_close(&u);
}

T_MAIN(T_CASE(one_state_has_one_order), T_CASE(ranges_do_not_touch), T_CASE(used_ones_are_left_out),
       T_CASE(without_a_file))
