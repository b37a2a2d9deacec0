/* SPDX-License-Identifier: Apache-2.0 */
#include "stream/tell.h"

#include "t.h"

#define SPAN(s)    ((struct span){s, sizeof(s) - 1})
#define UNFINISHED ".ea66f5dcbb21caa8d2c5ae2032ef4fac"

static struct buf out;

static void holds(const char *text)
{
    T_TRUE(buf_cstr(&out) != NULL);
    if (memmem(out.data, out.len, text, strlen(text)) == NULL)
        T_FAIL("no %s", text);
}

static void tell(const struct event_writer *w, const struct event *e)
{
    buf_reset(&out);
    w->event(&out, e);
}

static void processes(void)
{
    struct event e = {.type = EVENT_PROCESS, .process = {.pid = 7}};
    tell(&tell_process, &e);
    holds("{\"event\":{\"start\":{\"pid\":7}}}");
    e = (struct event){.type = EVENT_STDERR, .bytes = SPAN("a\0b")};
    tell(&tell_process, &e);
    holds("{\"event\":{\"data\":{\"stderr\":\"YQBi\"}}}");
    e = (struct event){.type = EVENT_EXIT, .exit = {.code = 7}};
    tell(&tell_process, &e);
    holds(
        "\"exitCode\":7,\"exited\":true,\"status\":\"exit status 7\",\"error\":\"exit status 7\"");
    e = (struct event){.type = EVENT_EXIT, .exit = {.code = 137, .signal = 9}};
    tell(&tell_process, &e);
    holds("\"exitCode\":-1,\"exited\":false,\"status\":\"signal: killed\"");
    e = (struct event){.type = EVENT_EXIT, .exit = {.code = 137, .signal = 9, .timed_out = true}};
    tell(&tell_process, &e);
    holds("{\"error\":{\"code\":\"deadline_exceeded\"");
    T_EQ(out.data[0], 2);
    e = (struct event){.type = EVENT_GAP};
    tell(&tell_process, &e);
    T_EQ(out.len, 0);
}

static void changes(void)
{
    struct tell_change seen[2];
    struct wire_changed c = {.what = WIRE_CHANGE_WRITE, .path = SPAN("sub/f")};
    T_EQ(tell_changes(&c, seen), 1);
    T_EQ(seen[0].what, WIRE_CHANGE_WRITE);
    c = (struct wire_changed){
        .what = WIRE_CHANGE_RENAME, .path = SPAN("old"), .new_path = SPAN("new")};
    T_EQ(tell_changes(&c, seen), 2);
    T_MEM(seen[1].name.data, seen[1].name.len, "new", 3);
    T_EQ(seen[1].what, WIRE_CHANGE_CREATE);
    c.new_path.len = 0; /* it left the directory */
    T_EQ(tell_changes(&c, seen), 1);
    c = (struct wire_changed){.what = WIRE_CHANGE_CREATE, .path = SPAN("sub/" UNFINISHED)};
    T_EQ(tell_changes(&c, seen), 0);
    c = (struct wire_changed){
        .what = WIRE_CHANGE_RENAME, .path = SPAN(UNFINISHED), .new_path = SPAN("f")};
    T_EQ(tell_changes(&c, seen), 2);
    T_EQ(seen[0].what, WIRE_CHANGE_CREATE);
    T_EQ(seen[1].what, WIRE_CHANGE_WRITE);
    c = (struct wire_changed){.what = WIRE_CHANGE_OVERFLOW};
    T_EQ(tell_changes(&c, seen), 0);
    c = (struct wire_changed){.what = WIRE_CHANGE_CHMOD}; /* of the directory itself */
    T_EQ(tell_changes(&c, seen), 1);
}

static void results(void)
{
    struct event e = {.type = EVENT_RESULT,
                      .data = {.bundle = SPAN("{\"text/plain\":\"'it\xc3\xbc'\"}")}};
    tell(&tell_code, &e);
    holds("\"text\":\"it\\u00fc\"");
    e.data.bundle = SPAN("{\"text/plain\":\"'half\"}");
    tell(&tell_code, &e);
    holds("\"text\":\"'half\"");
    e.data.bundle = SPAN("[");
    tell(&tell_code, &e);
    holds("\"is_main_result\":true");
    buf_done(&out);
}

T_MAIN(T_CASE(processes), T_CASE(changes), T_CASE(results))
