/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/mman.h>

#include "base/json.h"
#include "base/json_check.h"
#include "t.h"

static struct error err;

/* Parses a text whose last byte is the last of a page: a read past the end is a crash. */
static json *parse_n(const char *text, size_t len)
{
    size_t page = 4096;
    size_t size = (len / page + 1) * page;
    uint8_t *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    T_TRUE(map != MAP_FAILED);
    T_EQ(mprotect(map + size, page, PROT_NONE), 0);
    memcpy(map + size - len, text, len);
    err = (struct error){0};
    json *j = json_parse(map + size - len, len, &err);
    munmap(map, size + page);
    return j;
}

static json *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static void accepts(void)
{
    static const char *const good[] = {
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "-1.5e3",
        "\"\"",
        " { \"a\" : [ 1 , 2 ] } \r\n\t",
        "\"\\ud83d\\ude00\"",
        "\"\\\\u0000\"",
        "\"\xc3\xa9\"",
        "{\"a\":1,\"a\":2}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        cleanup_json json *j = parse(good[i]);
        if (j == NULL)
            T_FAIL("refused %s: %s", good[i], err.message);
    }
}

static void refuses(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"1\":1,",
        "[1,",
        "[1 2]",
        "\"abc",
        "\"\\",
        "\"\\u",
        "\"\\u12",
        "tru",
        "nul",
        "-",
        "{a:1}",
        "{'a':1}",
        "{} x",
        "{}{}",
        "[1]]",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "\"\\ud800\"",
        "{\"a\":1}\x01",
        "NaN",
        "Infinity",
        "[1,]",
        "{\"a\":1,}",
        ",",
        ":",
        "}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_json json *j = parse(bad[i]);
        if (j != NULL)
            T_FAIL("accepted %s", bad[i]);
        T_EQ(err.code, ERROR_INVALID_JSON);
    }
    T_TRUE(parse_n("{}\0", 3) == NULL);
    T_TRUE(json_parse(NULL, 0, &err) == NULL);
}

/* RFC 8259 has four blanks, no leading zeroes, and no raw control characters in strings. */
static void is_strict(void)
{
    static const char *const bad[] = {
        "01",     "-01",      "1.",       "1.e5",     "[01]",     "\x01{}",
        "{\x0b}", "[1,\x0c]", "\"a\nb\"", "\"a\tb\"", "\"\x1f\"", "\xef\xbb\xbf{}",
        "1e",     "1e+",      "-a",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_json json *j = parse(bad[i]);
        if (j != NULL)
            T_FAIL("accepted case %zu", i);
    }
}

static void depth_is_bounded(void)
{
    static char text[2 * 100000 + 1];
    for (int depth = 1; depth <= 100000; depth = depth < 100 ? depth + 1 : depth * 10) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        cleanup_json json *j = parse_n(text, 2 * (size_t)depth);
        T_EQ(j != NULL, depth <= JSON_MAX_DEPTH);
    }
    /* Brackets in strings do not count. */
    memset(text, '[', 1000);
    text[0] = '"';
    text[999] = '"';
    cleanup_json json *j = parse_n(text, 1000);
    T_TRUE(j != NULL);
}

_Static_assert(JSON_MAX_DEPTH == JSON_CHECK_MAX_DEPTH, "one limit");

static void objects(void)
{
    cleanup_json json *empty = json_parse_object(NULL, 0, &err);
    T_TRUE(empty != NULL);
    T_TRUE(json_parse_object("[]", 2, &err) == NULL);
    T_EQ(err.code, ERROR_INVALID_JSON);
    T_TRUE(json_parse_object("1", 1, &err) == NULL);
}

static void getters(void)
{
    const char *s = NULL;
    int64_t n = 0;
    bool b = false;
    const json *o = NULL;
    cleanup_json json *j = parse("{\"s\":\"x\",\"n\":42,\"f\":1.5,\"b\":true,\"z\":null,\"o\":{},"
                                 "\"a\":[],\"S\":\"upper\"}");
    T_EQ(json_get_str(j, "s", "d", &s, &err), 0);
    T_STR(s, "x");
    T_EQ(json_get_str(j, "absent", "d", &s, &err), 0);
    T_STR(s, "d");
    T_EQ(json_get_str(j, "z", "d", &s, &err), 0);
    T_STR(s, "d");
    T_EQ(json_get_str(j, "n", "d", &s, &err), -EINVAL);
    T_EQ(err.code, ERROR_INVALID_ARGUMENT);
    T_TRUE(strstr(err.message, "'n'") != NULL);
    T_EQ(json_need_str(j, "z", &s, &err), -EINVAL);
    T_EQ(json_need_str(j, "S", &s, &err), 0);
    T_STR(s, "upper");
    T_EQ(json_get_int(j, "n", 0, 0, 100, &n, &err), 0);
    T_EQ(n, 42);
    T_EQ(json_get_int(j, "n", 0, 0, 41, &n, &err), -EINVAL);
    T_EQ(json_get_int(j, "f", 0, 0, 41, &n, &err), -EINVAL);
    T_EQ(json_get_int(j, "z", 7, 0, 1, &n, &err), 0);
    T_EQ(n, 7);
    T_EQ(json_get_bool(j, "b", false, &b, &err), 0);
    T_TRUE(b);
    T_EQ(json_get_bool(j, "n", false, &b, &err), -EINVAL);
    T_EQ(json_get_object(j, "o", &o, &err), 0);
    T_TRUE(o != NULL);
    T_EQ(json_get_object(j, "a", &o, &err), -EINVAL);
    T_EQ(json_get_array(j, "a", &o, &err), 0);
    T_EQ(json_get_array(j, "o", &o, &err), -EINVAL);
}

static void extreme_numbers(void)
{
    int64_t n = 0;
    cleanup_json json *j = parse(
        "{\"a\":9223372036854775808,\"b\":1e999,\"c\":-9223372036854775808,\"d\":-1e999,"
        "\"e\":9007199254740993}");
    T_EQ(json_get_int(j, "a", 0, INT64_MIN, INT64_MAX, &n, &err), -EINVAL);
    T_EQ(json_get_int(j, "b", 0, INT64_MIN, INT64_MAX, &n, &err), -EINVAL);
    T_EQ(json_get_int(j, "c", 0, INT64_MIN, INT64_MAX, &n, &err), 0);
    T_EQ(n, INT64_MIN);
    T_EQ(json_get_int(j, "d", 0, INT64_MIN, INT64_MAX, &n, &err), -EINVAL);
    T_EQ(json_get_int(j, "e", 0, 0, INT64_MAX, &n, &err), 0);
}

static void vectors(void)
{
    char **v = NULL;
    cleanup_json json *j = parse(
        "{\"env\":{\"A\":\"1\",\"B\":\"\",\"N\":1.5,\"T\":true},\"args\":[\"x\",\"\"],"
        "\"bad\":{\"A\":[]},\"eq\":{\"A=B\":\"x\"},\"none\":{\"\":\"x\"},\"mixed\":[1]}");
    T_EQ(json_get_env(j, "env", &v, &err), 0);
    T_STR(v[0], "A=1");
    T_STR(v[1], "B=");
    T_STR(v[2], "N=1.5");
    T_STR(v[3], "T=true");
    T_TRUE(v[4] == NULL);
    free(v);
    T_EQ(json_get_env(j, "absent", &v, &err), 0);
    T_TRUE(v != NULL && v[0] == NULL);
    free(v);
    T_EQ(json_get_env(j, "bad", &v, &err), -EINVAL);
    T_EQ(json_get_env(j, "eq", &v, &err), -EINVAL);
    T_EQ(json_get_env(j, "none", &v, &err), -EINVAL);
    T_EQ(json_get_env(j, "args", &v, &err), -EINVAL);
    T_EQ(json_get_str_list(j, "args", &v, &err), 0);
    T_STR(v[0], "x");
    T_STR(v[1], "");
    T_TRUE(v[2] == NULL);
    free(v);
    T_EQ(json_get_str_list(j, "mixed", &v, &err), -EINVAL);
}

static void merges(void)
{
    cleanup_buf struct buf b = {0};
    cleanup_json json *into = parse("{\"a\":1}");
    cleanup_json json *from = parse("{\"a\":2,\"A\":3,\"b\":[4]}");
    cleanup_json json *array = NULL;
    json_merge_missing(into, from);
    json_append(&array, into);
    json_append(&array, from);
    T_EQ(json_print(&b, array), 0);
    T_STR(buf_cstr(&b), "[{\"a\":1,\"A\":3,\"b\":[4]},{\"a\":2,\"A\":3,\"b\":[4]}]");
}

static void takes_nul_where_asked(void)
{
    static const char text[] =
        "{\"a\":\"\\u0000x\\\\u0000\\n\\u0000\",\"b\":\"\\u00000\",\"c\":\"y\",\"\\u0000\":1}";
    cleanup_json json *j = json_parse_object_nul(text, strlen(text), &err);
    cleanup_buf struct buf a = {0}, c = {0};
    const char *s = NULL;
    T_TRUE(j != NULL);
    T_EQ(json_need_bytes(j, "a", &a, &err), 0);
    T_EQ(a.len, 10u);
    T_EQ(memcmp(a.data, "\0x\\u0000\n\0", 10), 0);
    T_EQ(json_need_bytes(j, "c", &c, &err), 0);
    T_EQ(c.len, 1u);
    T_TRUE(json_get_str(j, "b", NULL, &s, &err) < 0);
    T_EQ(err.code, ERROR_INVALID_ARGUMENT);
    T_EQ(json_need_str(j, "c", &s, &err), 0);
    T_TRUE(json_need_bytes(j, "d", &c, &err) < 0);
    T_TRUE(json_parse_object_nul("{\"a\":\"\xc0\x80\"}", 10, &err) == NULL);
    T_TRUE(json_parse_object(text, strlen(text), &err) == NULL);
}

T_MAIN(T_CASE(accepts), T_CASE(refuses), T_CASE(is_strict), T_CASE(depth_is_bounded),
       T_CASE(objects), T_CASE(getters), T_CASE(extreme_numbers), T_CASE(vectors), T_CASE(merges),
       T_CASE(takes_nul_where_asked))
