/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/jsonw.h"
#include "t.h"

static void quotes(void)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } cases[] = {
        {"plain", 5, "\"plain\""},
        {"", 0, "\"\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\b\t\n\f\r\v", 6, "\"\\b\\t\\n\\f\\r\\u000b\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\x1f\x7f", 2, "\"\\u001f\x7f\""},
        {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b\xe2\x82",
         5,
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf b = {0};
        jsonw_quote(&b, cases[i].in, cases[i].len);
        T_STR(buf_cstr(&b), cases[i].out);
    }
}

/* Everything quoted is JSON again and means the same. */
static void quotes_round_trip(void)
{
    for (int c = 1; c < 128; c++) {
        cleanup_buf struct buf b = {0};
        char s[2] = {(char)c, '\0'};
        jsonw_quote(&b, s, 1);
        cleanup_json json *j = json_parse(b.data, b.len, NULL);
        T_TRUE(j != NULL);
        T_STR(j->valuestring, s);
    }
}

/* Wherever in a long text they stand, and whatever stands before them. */
static void quotes_long_text(void)
{
    static const char *const pieces[] = {"\n", "\xe2\x82\xac", "\xff", "\x01", "\"", "plain text"};
    static const char *const quoted[] = {"\\n",     "\xe2\x82\xac", "\xef\xbf\xbd",
                                         "\\u0001", "\\\"",         "plain text"};
    cleanup_buf struct buf in = {0}, want = {0};
    (void)buf_append_str(&want, "\"");
    for (size_t i = 0; i < 20000; i++) {
        size_t k = i % 97 < 40 ? 0 : (i * i / 7) % ARRAY_SIZE(pieces);
        (void)buf_append_str(&in, pieces[k]);
        (void)buf_append_str(&want, quoted[k]);
    }
    (void)buf_append_str(&want, "\"");
    cleanup_buf struct buf out = {0};
    jsonw_quote(&out, (char *)in.data, in.len);
    T_MEM(out.data, out.len, want.data, want.len);
    for (size_t n = 1000; n < 1100; n++) { /* cut within a character, too */
        cleanup_buf struct buf part = {0};
        jsonw_quote(&part, (char *)in.data, n);
        T_MEM(part.data, part.len - 1 - 9, want.data, part.len - 1 - 9);
    }
}

static void writes(void)
{
    cleanup_buf struct buf b = {0};
    struct jsonw w = {.out = &b};
    jsonw_object(&w);
    jsonw_key_str(&w, "s", "x");
    jsonw_key_int(&w, "min", INT64_MIN);
    jsonw_key_bool(&w, "b", false);
    jsonw_key_time(&w, "t", 0);
    jsonw_key_time(&w, "u", 1500);
    jsonw_key(&w, "a");
    jsonw_array(&w);
    jsonw_fixed(&w, 1.005);
    jsonw_null(&w);
    jsonw_object(&w);
    jsonw_object_end(&w);
    jsonw_array(&w);
    jsonw_array_end(&w);
    jsonw_raw(&w, "{\"r\":1}", 7);
    jsonw_array_end(&w);
    jsonw_key_int(&w, "last", 1);
    jsonw_object_end(&w);
    T_STR(buf_cstr(&b), "{\"s\":\"x\",\"min\":-9223372036854775808,\"b\":false,\"t\":null,"
                        "\"u\":\"1970-01-01T00:00:01.500Z\",\"a\":[1.00,null,{},[],{\"r\":1}],"
                        "\"last\":1}");
}

T_MAIN(T_CASE(quotes), T_CASE(quotes_round_trip), T_CASE(quotes_long_text), T_CASE(writes))
