/* SPDX-License-Identifier: Apache-2.0 */
/* test_writers.c - the bytes that each writer makes of each event. */
#include "stream/event.h"
#include "stream/json_line.h"

#include "base/json.h"
#include "t.h"

static struct buf out;

static struct span span_of(const char *s)
{
    return (struct span){s, strlen(s)};
}

static void expect(const char *want)
{
    T_MEM(out.data, out.len, want, strlen(want));
    buf_done(&out);
}

static struct event output(enum event_type type, uint64_t seq, const char *bytes, bool is_text)
{
    return (struct event){.type = type, .seq = seq, .is_text = is_text, .bytes = span_of(bytes)};
}

static void escapes(void)
{
    static const struct {
        const char *in, *lines, *ascii;
    } cases[] = {
        {"", "", ""},
        {"plain", "plain", "plain"},
        {"a\xc2\x85z", "a\\u0085z", "a\\u0085z"},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029", "\\u2028\\u2029"},
        {"\xc3\xbc\xe2\x80\xa7\xc2\x84", "\xc3\xbc\xe2\x80\xa7\xc2\x84", "\\u00fc\\u2027\\u0084"},
        {"\xf0\x9f\x8e\x89", "\xf0\x9f\x8e\x89", "\\ud83c\\udf89"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\\udbff\\udfff"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
        bool ascii = i % 2 == 1;
        (void)buf_append_str(&out, "\xc2\x85"); /* before the start: stays */
        (void)buf_append_str(&out, cases[i / 2].in);
        json_line_escape(&out, 2, ascii);
        T_MEM(out.data, 2, "\xc2\x85", 2);
        buf_consume(&out, 2);
        expect(ascii ? cases[i / 2].ascii : cases[i / 2].lines);
    }
}

static void events_of_a_command(void)
{
    struct event e = output(EVENT_STDOUT, 3, "a\"\n\xe2\x80\xa8", true);
    event_sse_command.event(&out, &e);
    expect("id: 3\ndata: {\"type\":\"stdout\",\"data\":\"a\\\"\\n\\u2028\"}\n\n");
    e = output(EVENT_STDERR, 4, "\xff", true);
    event_sse_command.event(&out, &e);
    expect("id: 4\ndata: {\"type\":\"stderr\",\"data\":\"\xef\xbf\xbd\"}\n\n");
    e = output(EVENT_TERMINAL, 5, "\xff", false);
    event_sse_command.event(&out, &e);
    expect("id: 5\ndata: {\"type\":\"pty\",\"data_base64\":\"/w==\"}\n\n");
    e = (struct event){.type = EVENT_GAP, .seq = 6};
    event_sse_command.event(&out, &e);
    expect("id: 6\ndata: {\"type\":\"gap\"}\n\n");
    e = (struct event){.type = EVENT_EXIT, .exit = {.code = 3, .duration_us = 1500}};
    event_sse_command.event(&out, &e);
    expect("data: {\"type\":\"end\",\"exit_code\":3,\"duration_ms\":1}\n\n");
    e.exit = (struct wire_exit){.code = 137, .signal = 9, .timed_out = true};
    event_sse_command.event(&out, &e);
    expect("data: {\"type\":\"end\",\"exit_code\":137,\"duration_ms\":0,\"timed_out\":true}\n\n");
    e.exit.timed_out = false;
    event_sse_command.event(&out, &e);
    expect("data: {\"type\":\"end\",\"exit_code\":137,\"duration_ms\":0,"
           "\"error\":\"The command was ended by signal 9\"}\n\n");
    struct error err;
    error_set(&err, ERROR_SANDBOX_GONE, "gone");
    e = (struct event){.type = EVENT_FAILED, .failure = &err};
    event_sse_command.event(&out, &e);
    expect("data: {\"type\":\"error\",\"message\":\"gone\",\"code\":\"sandbox_gone\"}\n\n");
    event_sse_command.keepalive(&out);
    expect(": keep-alive\n\n");
}

static void the_event_of_a_process(void)
{
    struct buf words = {0};
    wire_put_str(&words, "sh");
    wire_put_str(&words, "");
    struct event e = {.type = EVENT_PROCESS,
                      .process = {.id = 1,
                                  .pid = 7,
                                  .tag = span_of("t"),
                                  .cwd = span_of("/"),
                                  .argv = cursor_on(words.data, words.len),
                                  .flags = WIRE_EXEC_STDIN,
                                  .started_ms = 1000,
                                  .first_seq = 1,
                                  .next_seq = 2}};
    event_sse_command.event(&out, &e);
    expect("data: {\"type\":\"process\",\"id\":1,\"pid\":7,\"tag\":\"t\",\"argv\":[\"sh\",\"\"],"
           "\"cwd\":\"/\",\"shell\":false,\"stdin\":true,\"pty\":false,\"status\":\"running\","
           "\"started_at\":\"1970-01-01T00:00:01Z\",\"first_seq\":1,\"next_seq\":2}\n\n");
    buf_done(&words);
}

static void results(void)
{
    struct event e = {
        .type = EVENT_RESULT,
        .seq = 1,
        .data = {.bundle = span_of("{\"text/plain\":\"'\xc3\xbc'\",\"x/y\":1,"
                                   "\"application/json\":{\"a\":[\"\xe2\x80\xa8\"]}}")}};
    event_sse_code.event(&out, &e);
    expect("id: 1\ndata: {\"type\":\"result\",\"result\":{\"text\":\"'\xc3\xbc'\","
           "\"json\":{\"a\":[\"\\u2028\"]}}}\n\n");
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"result\",\"text\":\"'\\u00fc'\",\"json\":{\"a\":[\"\\u2028\"]},"
           "\"extra\":{\"x/y\":1},\"is_main_result\":true}\n");
    e.data.bundle = span_of("{\"application/vnd.corral.chart+json\":{\"type\":\"pie\"},"
                            "\"application/vnd.corral.table+json\":{\"a\":[1]}}");
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"result\",\"chart\":{\"type\":\"pie\"},\"data\":{\"a\":[1]},"
           "\"is_main_result\":true}\n");
    e.type = EVENT_DISPLAY;
    e.data.bundle = span_of("no object");
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"result\",\"is_main_result\":false}\n");
}

static void events_of_code(void)
{
    struct event e = output(EVENT_STDOUT, 1, "\xc3\xbc", true);
    e.time_ms = 1000;
    event_sse_code.event(&out, &e);
    expect("id: 1\ndata: {\"type\":\"stdout\",\"text\":\"\xc3\xbc\"}\n\n");
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"stdout\",\"text\":\"\\u00fc\",\"timestamp\":\"1970-01-01T00:00:01Z\"}\n");
    e = (struct event){
        .type = EVENT_ERROR, .seq = 2, .raised = {span_of("E"), span_of("v"), span_of("t\n")}};
    event_sse_code.event(&out, &e);
    expect("id: 2\ndata: {\"type\":\"error\",\"error\":{\"name\":\"E\",\"value\":\"v\","
           "\"traceback\":\"t\\n\"}}\n\n");
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"error\",\"name\":\"E\",\"value\":\"v\",\"traceback\":\"t\\n\"}\n");
    e = (struct event){.type = EVENT_DONE, .done = {WIRE_CODE_TIMED_OUT, 4}};
    event_sse_code.event(&out, &e);
    expect("data: {\"type\":\"end\",\"execution_count\":4,\"timed_out\":true}\n\n");
    e.done.status = WIRE_CODE_OK;
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"end_of_execution\"}\n");
    e = (struct event){.type = EVENT_BEGUN, .count = 4};
    event_sse_code.event(&out, &e);
    T_EQ(out.len, 0);
    event_ndjson_code.event(&out, &e);
    expect("{\"type\":\"number_of_executions\",\"execution_count\":4}\n");
    struct error err;
    error_set(&err, ERROR_SANDBOX_GONE, "gone");
    e = (struct event){.type = EVENT_FAILED, .failure = &err};
    event_sse_code.event(&out, &e);
    expect("data: {\"type\":\"error\",\"error\":{\"name\":\"sandbox_gone\",\"value\":\"gone\","
           "\"traceback\":\"\"}}\n\ndata: {\"type\":\"end\"}\n\n");
    event_ndjson_code.keepalive(&out);
    expect("{\"type\":\"keepalive\"}\n");
}

T_MAIN(T_CASE(escapes), T_CASE(events_of_a_command), T_CASE(the_event_of_a_process),
       T_CASE(results), T_CASE(events_of_code))
