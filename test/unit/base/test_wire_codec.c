/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/wire_codec.h"
#include "t.h"

static const char *const argv_sample[] = {"python", "-c", "", NULL};

static void sample(struct buf *b)
{
    size_t start = wire_begin(b, WIRE_EXEC);
    (void)buf_u32(b, 7);
    wire_put_str(b, "/home/user");
    wire_put_list(b, argv_sample);
    wire_put_list(b, NULL);
    wire_end(b, start);
    T_EQ(wire_put_frame(b, WIRE_DATA, "raw\0data", 8), 0);
    T_EQ(wire_put_frame(b, WIRE_END, NULL, 0), 0);
    T_EQ(wire_put_error(b, WIRE_E_NOT_FOUND, "gone"), 0);
}

static void check_exec(const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    T_EQ(f->type, WIRE_EXEC);
    T_EQ(cursor_u32(&c), 7);
    char *cwd = wire_get_str(&c);
    char **argv = wire_get_list(&c);
    char **env = wire_get_list(&c);
    T_TRUE(cursor_end(&c));
    T_STR(cwd, "/home/user");
    for (int i = 0; i < 3; i++)
        T_STR(argv[i], argv_sample[i]);
    T_TRUE(argv[3] == NULL && env[0] == NULL);
    free(cwd);
    free(argv);
    free(env);
}

/* The stream arrives in pieces of every size. */
static void frames_in_any_pieces(void)
{
    cleanup_buf struct buf b = {0};
    sample(&b);
    for (size_t piece = 1; piece <= b.len; piece++) {
        struct wire_reader r = {0};
        struct wire_frame f;
        int frames = 0;
        T_EQ(wire_reader_next(&r, &f), 0);
        for (size_t at = 0; at < b.len; at += piece) {
            T_EQ(wire_reader_feed(&r, b.data + at, MIN(piece, b.len - at)), 0);
            while (wire_reader_next(&r, &f) == 1) {
                if (frames == 0)
                    check_exec(&f);
                if (frames == 1)
                    T_MEM(f.payload, f.len, "raw\0data", 8);
                if (frames == 2)
                    T_EQ(f.len, 0);
                frames++;
            }
        }
        T_EQ(frames, 4);
        T_EQ(f.type, WIRE_ERROR);
        T_EQ(wire_reader_rest(&r).len, 0);
        wire_reader_done(&r);
        T_EQ(wire_reader_next(&r, &f), 0);
        (void)wire_reader_rest(&r);
        wire_reader_done(&r);
    }
}

static void the_rest_is_kept(void)
{
    cleanup_buf struct buf b = {0};
    struct wire_reader r = {0};
    struct wire_frame f;
    T_EQ(wire_put_frame(&b, WIRE_OK, NULL, 0), 0);
    T_EQ(buf_append_str(&b, "GET / HTTP/1.1"), 0);
    T_EQ(wire_reader_feed(&r, b.data, b.len), 0);
    T_EQ(wire_reader_next(&r, &f), 1);
    struct span rest = wire_reader_rest(&r);
    T_MEM(rest.data, rest.len, "GET / HTTP/1.1", 14);
    wire_reader_done(&r);
}

static void bad_headers(void)
{
    static const struct {
        const char *bytes;
        size_t max;
        int rv;
    } cases[] = {
        {"\x00\x00\x00\x00\x80\x00\x01\x00", 0, -EPROTO}, /* reserved is not zero */
        {"\x00\x00\x00\x00\x80\x00\x00\x01", 0, -EPROTO},
        {"\x01\x00\x00\x01\x80\x00\x00\x00", 0, -EPROTO}, /* one more than WIRE_MAX_PAYLOAD */
        {"\x00\x00\x00\x01\x80\x00\x00\x00", 0, 0},
        {"\xff\xff\xff\xff\x80\x00\x00\x00", 0, -EPROTO},
        {"\x11\x00\x00\x00\x80\x00\x00\x00", 16, -EPROTO},
        {"\x10\x00\x00\x00\x80\x00\x00\x00", 16, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wire_reader r = {.max_payload = cases[i].max};
        struct wire_frame f;
        T_EQ(wire_reader_feed(&r, cases[i].bytes, 8), 0);
        T_EQ(wire_reader_next(&r, &f), cases[i].rv);
        T_EQ(wire_reader_next(&r, &f), cases[i].rv);
        wire_reader_done(&r);
    }
}

static void hostile_strings(void)
{
    struct cursor c = cursor_on("\x03\0\0\0a\0b", 7);
    T_TRUE(wire_get_str(&c) == NULL);
    T_TRUE(!cursor_ok(&c));

    c = cursor_on("\x04\0\0\0abc", 7);
    struct span s = wire_get_span(&c);
    T_EQ(s.len, 0);
    T_TRUE(s.data != NULL && !cursor_ok(&c));

    c = cursor_on("\xff\xff\xff\xff"
                  "abc",
                  7);
    T_TRUE(wire_get_str(&c) == NULL);

    c = cursor_on("\x03\0\0\0a\0b", 7);
    s = wire_get_span(&c); /* a span may hold a NUL */
    T_MEM(s.data, s.len, "a\0b", 3);
    T_TRUE(cursor_end(&c));
}

static void hostile_lists(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\xff\xff\xff\xff", 4},         {"\x01\0\0\0", 4},
        {"\x02\0\0\0\x01\0\0\0a", 9},    {"\x01\0\0\0\xff\xff\xff\x7f", 8},
        {"\x01\0\0\0\x02\0\0\0a\0", 10}, {"\x01\0\0", 3},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *exact = malloc(cases[i].len);
        memcpy(exact, cases[i].bytes, cases[i].len);
        struct cursor c = cursor_on(exact, cases[i].len);
        T_TRUE(wire_get_list(&c) == NULL);
        T_TRUE(!cursor_ok(&c));
        free(exact);
    }
}

static void lists_have_a_limit(void)
{
    cleanup_buf struct buf b = {0};
    (void)buf_u32(&b, WIRE_MAX_LIST);
    for (uint32_t i = 0; i < WIRE_MAX_LIST; i++)
        wire_put_str(&b, "");
    struct cursor c = cursor_on(b.data, b.len);
    char **items = wire_get_list(&c);
    T_TRUE(items != NULL && cursor_end(&c) && items[WIRE_MAX_LIST] == NULL);
    T_STR(items[WIRE_MAX_LIST - 1], "");
    free(items);

    buf_reset(&b);
    (void)buf_u32(&b, WIRE_MAX_LIST + 1);
    for (uint32_t i = 0; i <= WIRE_MAX_LIST; i++)
        wire_put_str(&b, "");
    c = cursor_on(b.data, b.len);
    T_TRUE(wire_get_list(&c) == NULL && !cursor_ok(&c));
}

/* Without a copy, and with what is lent gone after each piece. */
static void data_in_parts(void)
{
    cleanup_buf struct buf b = {0};
    cleanup_buf struct buf got = {0};
    T_EQ(wire_put_frame(&b, WIRE_STAT, "before", 6), 0);
    T_EQ(wire_put_frame(&b, WIRE_DATA, "0123456789", 10), 0);
    T_EQ(wire_put_frame(&b, WIRE_DATA, "abc", 3), 0);
    T_EQ(wire_put_frame(&b, WIRE_END, NULL, 0), 0);
    for (size_t piece = 1; piece <= b.len; piece++) {
        struct wire_reader r = {.parts = true};
        struct wire_frame f;
        int others = 0;
        buf_reset(&got);
        for (size_t at = 0; at < b.len; at += piece) {
            size_t n = MIN(piece, b.len - at);
            uint8_t *lent = malloc(n);
            memcpy(lent, b.data + at, n);
            T_EQ(wire_reader_lend(&r, lent, n), 0);
            while (wire_reader_next(&r, &f) == 1) {
                if (f.type == WIRE_DATA)
                    T_EQ(buf_append(&got, f.payload, f.len), 0);
                else
                    others++;
            }
            T_EQ(wire_reader_keep(&r), 0);
            free(lent);
        }
        T_MEM(got.data, got.len, "0123456789abc", 13);
        T_EQ(others, 2);
        T_EQ(wire_reader_rest(&r).len, 0);
        wire_reader_done(&r);
    }
}

T_MAIN(T_CASE(frames_in_any_pieces), T_CASE(data_in_parts), T_CASE(the_rest_is_kept),
       T_CASE(bad_headers), T_CASE(hostile_strings), T_CASE(hostile_lists),
       T_CASE(lists_have_a_limit))
