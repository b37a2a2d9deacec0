/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "store/record.h"
#include "t.h"

static const char *const words[] = {"A=1", "", "B=two words", NULL};

static void sample(struct buf *b)
{
    record_begin(b, 2);
    record_str(b, "name");
    record_str(b, NULL);
    record_str(b, "");
    record_bool(b, true);
    record_i64(b, -5);
    record_bytes(b, "\x00\xff", 2);
    record_list(b, words);
    record_list(b, NULL);
    T_TRUE(!b->failed);
}

/* Reads a sample; record_end's answer. */
static int read_sample(const void *data, size_t len)
{
    struct cursor c;
    char text[5];
    uint8_t bytes[2];
    if (record_open(&c, data, len, 2) < 0)
        return -EPROTO;
    record_get_text(&c, text, sizeof(text));
    char *null = record_get_str(&c);
    char *empty = record_get_str(&c);
    bool yes = record_get_bool(&c);
    int64_t number = record_get_i64(&c);
    record_get_bytes(&c, bytes, sizeof(bytes));
    char **list = record_get_list(&c);
    char **none = record_get_list(&c);
    int rv = record_end(&c);
    if (rv == 0) {
        T_STR(text, "name");
        T_TRUE(null == NULL);
        T_STR(empty, "");
        T_TRUE(yes);
        T_EQ(number, -5);
        T_MEM(bytes, 2, "\x00\xff", 2);
        T_STR(list[2], words[2]);
        T_TRUE(list[3] == NULL && none[0] == NULL);
    }
    free(null);
    free(empty);
    free(list);
    free(none);
    return rv;
}

static void round_trip(void)
{
    cleanup_buf struct buf b = {0};
    sample(&b);
    T_EQ(read_sample(b.data, b.len), 0);
}

static void every_truncation_fails(void)
{
    cleanup_buf struct buf b = {0};
    sample(&b);
    for (size_t len = 0; len < b.len; len++) {
        /* An exact copy, so that a read past the end is seen. */
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, b.data, len);
        uint8_t *exact = realloc(copy, len > 0 ? len : 1);
        T_EQ(read_sample(exact, len), -EPROTO);
        free(exact);
    }
    (void)buf_u8(&b, 0);
    T_EQ(read_sample(b.data, b.len), -EPROTO);
}

static void versions(void)
{
    struct cursor c;
    T_EQ(record_open(&c, "\x01", 1, 2), 1);
    T_EQ(record_open(&c, "\x02", 1, 2), 2);
    T_EQ(record_open(&c, "\x03", 1, 2), -EPROTO);
    T_EQ(record_open(&c, "\x00", 1, 2), -EPROTO);
    T_EQ(record_open(&c, NULL, 0, 2), -EPROTO);
}

static void hostile_fields(void)
{
    char text[5];
    struct cursor c = cursor_on("\x05\x00\x00\x00namex", 9);
    record_get_text(&c, text, sizeof(text));
    T_EQ(record_end(&c), -EPROTO);
    T_STR(text, "");

    c = cursor_on("\x03\x00\x00\x00"
                  "a\0b",
                  7);
    T_TRUE(record_get_str(&c) == NULL);
    T_EQ(record_end(&c), -EPROTO);

    c = cursor_on("\xfe\xff\xff\xff"
                  "abc",
                  7);
    T_TRUE(record_get_str(&c) == NULL);
    T_EQ(record_end(&c), -EPROTO);

    c = cursor_on("\xff\xff\xff\xff", 4);
    T_TRUE(record_get_list(&c) == NULL);
    T_EQ(record_end(&c), -EPROTO);

    c = cursor_on("\x02", 1);
    T_TRUE(!record_get_bool(&c));
    T_EQ(record_end(&c), -EPROTO);

    /* A bad cursor stays bad and reads zeroes. */
    uint8_t bytes[4] = {1, 2, 3, 4};
    record_get_bytes(&c, bytes, 4);
    T_MEM(bytes, 4, "\0\0\0\0", 4);
    T_EQ(record_get_i64(&c), 0);
    T_TRUE(record_get_str(&c) == NULL);
}

T_MAIN(T_CASE(round_trip), T_CASE(every_truncation_fails), T_CASE(versions), T_CASE(hostile_fields))
