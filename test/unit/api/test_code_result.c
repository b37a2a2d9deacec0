/* SPDX-License-Identifier: Apache-2.0 */
#include "api/code_result.h"

#include <errno.h>

#include "t.h"

static struct code_result result;

static void add(struct buf *payload, enum wire_type type, int want)
{
    struct wire_frame f = {type, payload->data, payload->len};
    T_EQ(code_result_add(&result, &f), want);
    buf_done(payload);
}

static void stream(uint8_t which, const char *text)
{
    struct buf b = {0};
    buf_u8(&b, which);
    buf_u64(&b, 1700000000000);
    wire_put_str(&b, text);
    add(&b, WIRE_CODE_STREAM, 0);
}

static void bundle(enum wire_type type, const char *text)
{
    struct buf b = {0};
    if (type == WIRE_CODE_RESULT)
        buf_u32(&b, 3);
    wire_put_str(&b, text);
    add(&b, type, 0);
}

static void expect(const char *want)
{
    struct buf out = {0};
    code_result_print(&result, &out, "e");
    T_STR(buf_cstr(&out), want);
    buf_done(&out);
    code_result_done(&result);
}

#define AT    "\"timestamp\":\"2023-11-14T22:13:20Z\"}"
#define EMPTY "{\"execution_id\":\"e\",\"results\":{\"stdout\":[],\"stderr\":[],\"result\":"

static void nothing_at_all(void)
{
    code_result_init(&result, 1000);
    expect(EMPTY "null,\"display\":[]},\"error\":null,\"logs\":{\"stdout\":[],\"stderr\":[]}}");
}

static void lines_over_several_frames(void)
{
    code_result_init(&result, 10000);
    stream(1, "a");
    stream(1, "b\n\nc\r\n");
    stream(2, "e\"\n");
    stream(1, "last");
    expect("{\"execution_id\":\"e\",\"results\":{\"stdout\":["
           "{\"type\":\"stdout\",\"line\":\"ab\"," AT ",{\"type\":\"stdout\",\"line\":\"\"," AT
           ",{\"type\":\"stdout\",\"line\":\"c\"," AT ",{\"type\":\"stdout\",\"line\":\"last\"," AT
           "],\"stderr\":[{\"type\":\"stderr\",\"line\":\"e\\\"\"," AT
           "],\"result\":null,\"display\":[]},"
           "\"error\":null,\"logs\":{\"stdout\":[\"ab\",\"\",\"c\",\"last\"],"
           "\"stderr\":[\"e\\\"\"]}}");
}

static void a_result_stands_before_what_is_displayed(void)
{
    code_result_init(&result, 1000);
    bundle(WIRE_CODE_DISPLAY, "{\"image/png\":\"AA\",\"text/plain\":\"figure\"}");
    bundle(WIRE_CODE_RESULT, "{\"text/plain\":\"1\"}");
    bundle(WIRE_CODE_DISPLAY, "{\"text/html\":\"<p>\"}");
    expect(EMPTY
           "{\"type\":\"execution_result\",\"data\":{\"text/plain\":\"1\",\"image/png\":\"AA\","
           "\"text/html\":\"<p>\"},\"execution_count\":3},\"display\":["
           "{\"image/png\":\"AA\",\"text/plain\":\"figure\"},{\"text/html\":\"<p>\"}]},"
           "\"error\":null,\"logs\":{\"stdout\":[],\"stderr\":[]}}");
}

static void a_hostile_bundle_is_an_empty_one(void)
{
    static const char *const texts[] = {"", "[]", "{", "{\"a\":1}x", "nul", "{\"a\":\"\\u0000\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        code_result_init(&result, 1000);
        bundle(WIRE_CODE_RESULT, texts[i]);
        expect(EMPTY
               "{\"type\":\"execution_result\",\"data\":{},\"execution_count\":3},\"display\":[]},"
               "\"error\":null,\"logs\":{\"stdout\":[],\"stderr\":[]}}");
    }
}

static void errors(void)
{
    struct buf b = {0};
    code_result_init(&result, 1000);
    wire_put_str(&b, "E");
    wire_put_str(&b, "v\xff");
    wire_put_str(&b, "t\nt");
    add(&b, WIRE_CODE_ERROR, 0);
    expect(EMPTY "null,\"display\":[]},\"error\":{\"name\":\"E\",\"value\":\"v\xef\xbf\xbd\","
                 "\"traceback\":\"t\\nt\"},\"logs\":{\"stdout\":[],\"stderr\":[]}}");
}

static void output_is_bounded(void)
{
    struct buf out = {0};
    code_result_init(&result, 1000);
    for (int i = 0; i < 1000; i++)
        stream(1, "0123456789\n");
    for (int i = 0; i < 1000; i++)
        stream(2, "no line end");
    code_result_print(&result, &out, "e");
    T_TRUE(out.len < 8000); /* the text twice, and RESULT_JSON */
    T_TRUE(strstr(buf_cstr(&out), "[output truncated: ") != NULL);
    buf_done(&out);
    code_result_done(&result);
}

static void malformed_frames(void)
{
    struct buf b = {0};
    code_result_init(&result, 1000);
    add(&b, WIRE_CODE_STREAM, -EPROTO);
    buf_u32(&b, 5);
    add(&b, WIRE_CODE_DISPLAY, -EPROTO);
    wire_put_str(&b, "{}");
    buf_u8(&b, 0);
    add(&b, WIRE_CODE_DISPLAY, -EPROTO);
    add(&b, WIRE_STDOUT, -EPROTO);
    code_result_done(&result);
}

T_MAIN(T_CASE(nothing_at_all), T_CASE(lines_over_several_frames),
       T_CASE(a_result_stands_before_what_is_displayed), T_CASE(a_hostile_bundle_is_an_empty_one),
       T_CASE(errors), T_CASE(output_is_bounded), T_CASE(malformed_frames))
