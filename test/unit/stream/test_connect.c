/* SPDX-License-Identifier: Apache-2.0 */
#include "stream/connect.h"

#include <errno.h>

#include "t.h"

static struct span text;

static ssize_t parse(const char *bytes, size_t len)
{
    return connect_message((const uint8_t *)bytes, len, 100, &text);
}

static void messages(void)
{
    static const char two[] = "\0\0\0\0\2{}\0\0\0\0\3{1}";
    T_EQ(parse(two, sizeof(two) - 1), 7);
    T_MEM(text.data, text.len, "{}", 2);
    T_EQ(parse(two + 7, 8), 8);
    T_MEM(text.data, text.len, "{1}", 3);
    for (size_t len = 0; len < 7; len++)
        T_EQ(parse(two, len), 0);
    T_EQ(connect_only_message((const uint8_t *)two, 7, 100, &text), 0);
    T_EQ(connect_only_message((const uint8_t *)two, sizeof(two) - 1, 100, &text), -EPROTO);
    T_EQ(connect_only_message((const uint8_t *)two, 6, 100, &text), -EPROTO);
}

static void refused(void)
{
    T_EQ(parse("\1\0\0\0\2{}", 7), -EPROTO); /* compressed */
    T_EQ(parse("\2\0\0\0\2{}", 7), -EPROTO); /* an end, which only answers have */
    T_EQ(parse("{", 1), -EPROTO);
    T_EQ(parse("\0\0\0\0\145", 5), -EMSGSIZE);
    T_EQ(parse("\0\377\377\377\377", 5), -EMSGSIZE);
}

static void written(void)
{
    static const char failed[] = "{\"error\":{\"code\":\"not_found\",\"message\":\"gone\"}}";
    struct buf out = {0};
    struct error err;
    error_set(&err, ERROR_PROCESS_NOT_FOUND, "gone");
    size_t start = connect_begin(&out);
    (void)buf_append_str(&out, "{\"a\":1}");
    connect_end(&out, start);
    T_MEM(out.data, out.len, "\0\0\0\0\7{\"a\":1}", 12);
    buf_reset(&out);
    connect_end_stream(&out, NULL);
    T_MEM(out.data, out.len, "\2\0\0\0\2{}", 7);
    buf_reset(&out);
    connect_end_stream(&out, &err);
    T_EQ(out.data[0], 2);
    T_EQ(out.data[4], sizeof(failed) - 1);
    T_MEM(out.data + 5, out.len - 5, failed, sizeof(failed) - 1);
    buf_done(&out);
}

static void every_error_has_a_code(void)
{
    int status;
    for (int code = ERROR_NONE + 1; code < ERROR_COUNT; code++) {
        T_TRUE(connect_code((enum error_code)code, &status) != NULL);
        T_TRUE(status >= 400);
    }
    T_STR(connect_code(ERROR_INVALID_PATH, &status), "invalid_argument");
    T_EQ(status, 400);
    T_STR(connect_code(ERROR_NO_SPACE, &status), "resource_exhausted");
    T_STR(connect_code(ERROR_TIMEOUT, &status), "deadline_exceeded");
    T_EQ(status, 504);
}

T_MAIN(T_CASE(messages), T_CASE(refused), T_CASE(written), T_CASE(every_error_has_a_code))
