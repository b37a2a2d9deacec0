/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/buf.h"
#include "t.h"

static void empty_is_valid(void)
{
    struct buf b = {0};
    T_EQ(buf_append(&b, NULL, 0), 0);
    buf_consume(&b, 0);
    buf_consume(&b, 10);
    buf_reset(&b);
    T_STR(buf_cstr(&b), "");
    T_EQ(b.len, 0);
    buf_done(&b);
    buf_done(&b);
    T_TRUE(b.data == NULL && b.cap == 0);
}

static void appends_and_consumes(void)
{
    cleanup_buf struct buf b = {0};
    for (int i = 0; i < 1000; i++)
        T_EQ(buf_printf(&b, "%03d,", i), 0);
    T_EQ(b.len, 4000);
    buf_consume(&b, 4);
    T_EQ(b.len, 3996);
    T_MEM(b.data, 4, "001,", 4);
    buf_consume(&b, 3992);
    T_STR(buf_cstr(&b), "999,");
    buf_consume(&b, 5);
    T_EQ(b.len, 0);
    T_EQ(buf_append_str(&b, "again"), 0);
    T_STR(buf_cstr(&b), "again");
}

static void remembers_failure(void)
{
    cleanup_buf struct buf b = {0};
    T_EQ(buf_append_str(&b, "kept"), 0);
    T_EQ(buf_reserve(&b, SIZE_MAX), -ENOMEM);
    T_TRUE(b.failed);
    T_EQ(buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    T_STR(buf_cstr(&b), "kept");
    buf_reset(&b);
    T_TRUE(!b.failed);
}

static void integers(void)
{
    cleanup_buf struct buf b = {0};
    T_EQ(buf_u8(&b, 0x12), 0);
    T_EQ(buf_u16(&b, 0x1234), 0);
    T_EQ(buf_u32(&b, 0x12345678), 0);
    T_EQ(buf_u64(&b, 0x123456789abcdef0u), 0);
    T_MEM(b.data, b.len, "\x12\x34\x12\x78\x56\x34\x12\xf0\xde\xbc\x9a\x78\x56\x34\x12", 15);
    struct cursor c = cursor_on(b.data, b.len);
    T_EQ(cursor_u8(&c), 0x12);
    T_EQ(cursor_u16(&c), 0x1234);
    T_EQ(cursor_u32(&c), 0x12345678);
    T_TRUE(!cursor_end(&c));
    T_TRUE(cursor_u64(&c) == 0x123456789abcdef0u);
    T_TRUE(cursor_end(&c));
    T_EQ(cursor_u8(&c), 0);
    T_TRUE(!cursor_ok(&c) && !cursor_end(&c));
}

static void cursor_is_bounded(void)
{
    struct cursor c = cursor_on("abc", 3);
    T_TRUE(cursor_bytes(&c, 4) == NULL);
    /* Once bad, even what would fit is refused. */
    T_TRUE(cursor_bytes(&c, 1) == NULL);
    T_EQ(cursor_u8(&c), 0);

    c = cursor_on("abc", 3);
    T_TRUE(cursor_bytes(&c, SIZE_MAX) == NULL);

    c = cursor_on("abc", 3);
    T_EQ(cursor_u32(&c), 0);
    T_TRUE(!cursor_ok(&c));

    c = cursor_on(NULL, 0);
    (void)cursor_bytes(&c, 0);
    T_TRUE(cursor_end(&c));
    (void)cursor_u8(&c);
    T_TRUE(!cursor_ok(&c));
}

T_MAIN(T_CASE(empty_is_valid), T_CASE(appends_and_consumes), T_CASE(remembers_failure),
       T_CASE(integers), T_CASE(cursor_is_bounded))
