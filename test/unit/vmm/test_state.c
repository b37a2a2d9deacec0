/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "crc32.h"
#include "state.h"
#include "t.h"

static const struct state_meta meta = {
    .id = "0123456789abcdef",
    .memory_size = 1 << 28,
    .memory_mtime = 1234567890123456789,
    .disk_size = 1 << 26,
    .vcpus = 2,
    .cpu = 77,
    .base = "fedcba9876543210",
    .difference = true,
};

static void build(struct buf *b)
{
    state_start(b);
    size_t s = state_begin(b, STATE_KVM);
    state_put_blob(b, "kvm", 3);
    state_end(b, s);
    s = state_begin(b, STATE_SERIAL);
    (void)buf_u32(b, 5);
    state_end(b, s);
    T_EQ(state_finish(b, &meta), 0);
}

static void comes_back(void)
{
    cleanup_buf struct buf b = {0};
    struct state_meta m;
    struct cursor all, c;
    char blob[3];
    build(&b);
    T_EQ(state_open(b.data, b.len, &m, &all, NULL), 0);
    T_EQ(memcmp(&m, &meta, sizeof(m)), 0);
    T_EQ(state_section(&all, STATE_KVM, &c), 0);
    T_EQ(state_get_blob(&c, blob, 3), 0);
    T_MEM(blob, 3, "kvm", 3);
    T_TRUE(cursor_end(&c));
    T_EQ(state_section(&all, STATE_SERIAL, &c), 0);
    T_EQ(cursor_u32(&c), 5);
    T_EQ(state_section(&all, STATE_SERIAL, &c), -EINVAL);
}

static void order_and_sizes_are_demanded(void)
{
    cleanup_buf struct buf b = {0};
    struct state_meta m;
    struct cursor all, c;
    char blob[4];
    build(&b);
    T_EQ(state_open(b.data, b.len, &m, &all, NULL), 0);
    struct cursor first = all;
    T_EQ(state_section(&first, STATE_SERIAL, &c), -EINVAL);
    T_EQ(state_section(&all, STATE_KVM, &c), 0);
    T_EQ(state_get_blob(&c, blob, 4), -EINVAL);
}

static void every_flipped_bit_is_seen(void)
{
    cleanup_buf struct buf b = {0};
    struct state_meta m;
    struct cursor all;
    build(&b);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        T_EQ(state_open(b.data, b.len, &m, &all, NULL), -EINVAL);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < b.len; len++)
        T_EQ(state_open(b.data, len, &m, &all, NULL), -EINVAL);
}

static void says_what_is_wrong(void)
{
    cleanup_buf struct buf b = {0};
    struct state_meta m;
    struct cursor all;
    struct error err = {0};
    build(&b);
    b.data[8] = 9;
    T_EQ(state_open(b.data, b.len, &m, &all, &err), -EINVAL);
    T_STR(err.message, "the snapshot has version 9, not 5");
    b.data[0] = 'X';
    T_EQ(state_open(b.data, b.len, &m, &all, &err), -EINVAL);
    T_STR(err.message, "the state file is not a snapshot");
}

static void the_two_files_belong_together(void)
{
    uint8_t page[STATE_TRAILER];
    struct state_meta own = meta, other;
    struct error err = {0};
    own.difference = false;
    other = own;
    state_make_trailer(page, &own);
    T_EQ(state_check_trailer(page, &own, NULL), 0);
    other.id[3]++;
    T_EQ(state_check_trailer(page, &other, &err), -EINVAL);
    T_STR(err.message, "the memory file belongs to another snapshot");
    /* A difference goes with the memory of its base. */
    other.difference = true;
    memcpy(other.base, own.id, sizeof(other.base));
    T_EQ(state_check_trailer(page, &other, NULL), 0);
    page[9] ^= 1;
    T_EQ(state_check_trailer(page, &own, &err), -EINVAL);
    memset(page, 0, sizeof(page));
    T_EQ(state_check_trailer(page, &own, &err), -EINVAL);
    T_STR(err.message, "the memory file is damaged or cut short");
}

static void crc_is_the_usual_one(void)
{
    T_EQ(crc32_update(0, "123456789", 9), 0xcbf43926);
    T_EQ(crc32_update(crc32_update(0, "1234", 4), "56789", 5), 0xcbf43926);
}

T_MAIN(T_CASE(comes_back), T_CASE(order_and_sizes_are_demanded), T_CASE(every_flipped_bit_is_seen),
       T_CASE(says_what_is_wrong), T_CASE(the_two_files_belong_together),
       T_CASE(crc_is_the_usual_one))
