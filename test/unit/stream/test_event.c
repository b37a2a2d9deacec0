/* SPDX-License-Identifier: Apache-2.0 */
/* test_event.c - replies of a run become events: whole characters wherever the chunks are cut, only
 * what a resumed client does not know, and no frame that does not belong there. */
#include "stream/event.h"

#include <errno.h>
#include <string.h>

#include "t.h"

static struct buf text[3], kinds;
static uint64_t last_seq;
static struct wire_exit last_exit;

static void take(struct event_source *s, const struct event *e)
{
    (void)s;
    if (e->type >= EVENT_STDOUT && e->type <= EVENT_TERMINAL)
        (void)buf_append(&text[e->type - EVENT_STDOUT], e->bytes.data, e->bytes.len);
    if (e->type == EVENT_EXIT)
        last_exit = e->exit;
    (void)buf_append(&kinds, &"PoetbrdxwcgEDF"[e->type], 1);
    last_seq = e->seq > 0 ? e->seq : last_seq;
}

static struct event_source source_of(enum event_kind kind, uint64_t after)
{
    for (size_t i = 0; i < 3; i++)
        buf_done(&text[i]);
    buf_done(&kinds);
    last_seq = 0;
    return (struct event_source){.kind = kind, .text = true, .after = after, .emit = take};
}

static int feed(struct event_source *s, enum wire_type type, const void *payload, size_t len)
{
    const struct wire_frame frame = {.type = type, .payload = payload, .len = len};
    return event_source_feed(s, &frame);
}

static int feed_buf(struct event_source *s, enum wire_type type, struct buf *b)
{
    int rv = feed(s, type, b->data, b->len);
    buf_done(b);
    return rv;
}

static int output(struct event_source *s, uint64_t seq, enum wire_stream stream, const char *bytes,
                  size_t len)
{
    struct buf b = {0};
    (void)buf_u64(&b, seq);
    (void)buf_u32(&b, stream);
    (void)buf_append(&b, bytes, len);
    return feed_buf(s, WIRE_OUTPUT, &b);
}

static int ended(struct event_source *s, enum wire_type type)
{
    struct buf b = {0};
    (void)buf_u32(&b, 7);
    (void)buf_u32(&b, 0);
    (void)buf_u32(&b, 0);
    (void)buf_u64(&b, 5000);
    return feed_buf(s, type, &b);
}

static void expect(struct buf *b, const char *want)
{
    T_STR(buf_cstr(b), want);
}

static void over(struct event_source *s)
{
    event_source_done(s);
    (void)source_of(s->kind, 0);
}

static void a_command(void)
{
    struct event_source s = source_of(EVENTS_OF_COMMAND, 0);
    T_EQ(feed(&s, WIRE_STARTED, "\1\0\0\0", 4), 0);
    T_EQ(feed(&s, WIRE_STDOUT, "ab", 2), 0);
    T_EQ(feed(&s, WIRE_STDERR, "c", 1), 0);
    T_EQ(feed(&s, WIRE_STDOUT, "", 0), 0);
    T_EQ(ended(&s, WIRE_EXIT), 1);
    expect(&text[0], "ab");
    expect(&text[1], "c");
    expect(&kinds, "oeE");
    T_EQ(last_exit.code, 7);
    T_EQ(feed(&s, WIRE_OUTPUT, "", 0), -EPROTO);
    T_EQ(feed(&s, WIRE_CODE_DONE, "\0\0\0\0\0\0\0\0", 8), -EPROTO);
    T_EQ(feed(&s, WIRE_EXIT, "", 0), -EPROTO);
    over(&s);
}

/* Every way of cutting the text into three chunks tells the same text, in whole characters. */
static void every_cut(void)
{
    static const char all[] = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x8e\x89z";
    size_t len = sizeof(all) - 1;
    for (size_t i = 0; i <= len; i++) {
        for (size_t j = i; j <= len; j++) {
            struct event_source s = source_of(EVENTS_OF_COMMAND, 0);
            T_EQ(feed(&s, WIRE_STDOUT, all, i), 0);
            T_EQ(feed(&s, WIRE_STDERR, all, 2), 0); /* keeps a tail of its own */
            T_TRUE(text[0].len <= i && (text[0].len == len || (all[text[0].len] & 0xc0) != 0x80));
            T_EQ(feed(&s, WIRE_STDOUT, all + i, j - i), 0);
            T_EQ(feed(&s, WIRE_STDOUT, all + j, len - j), 0);
            expect(&text[0], all);
            expect(&text[1], "a");
            T_EQ(ended(&s, WIRE_EXIT), 1);
            expect(&text[1], "a\xc3"); /* its rest never came */
            over(&s);
        }
    }
}

static void raw_output_is_not_cut(void)
{
    struct event_source s = source_of(EVENTS_OF_COMMAND, 0);
    s.text = false;
    T_EQ(feed(&s, WIRE_STDOUT, "\xe2\x82", 2), 0);
    expect(&text[0], "\xe2\x82");
    over(&s);
    s = source_of(EVENTS_OF_PROCESS, 0);
    T_EQ(output(&s, 1, WIRE_STREAM_PTY, "\xe2\x82", 2), 0);
    expect(&text[2], "\xe2\x82");
    over(&s);
}

/* A client that comes back has the numbers up to `after`: it gets the rest, with the character that
 * began in what it has. */
static void resumed(void)
{
    T_EQ(event_first_wanted(0), 1);
    T_EQ(event_first_wanted(EVENT_LOOK_BACK), 1);
    T_EQ(event_first_wanted(WIRE_SEQ_NOW), WIRE_SEQ_NOW);
    T_EQ(event_first_wanted(100), 100 - EVENT_LOOK_BACK + 1);
    struct event_source s = source_of(EVENTS_OF_PROCESS, 10);
    T_EQ(output(&s, 9, WIRE_STREAM_STDOUT, "old", 3), 0);
    T_EQ(output(&s, 10, WIRE_STREAM_STDOUT, "old\xe2\x82", 5), 0);
    T_EQ(output(&s, 11, WIRE_STREAM_STDOUT, "\xac new", 5), 0);
    expect(&text[0], "\xe2\x82\xac new");
    T_EQ(last_seq, 11);
    T_EQ(ended(&s, WIRE_PROCESS_EXIT), 1);
    over(&s);
}

/* The number is of another process, which had the pid before. */
static void a_number_from_the_future(void)
{
    struct buf b = {0};
    struct event_source s = source_of(EVENTS_OF_PROCESS, 1000);
    (void)buf_u64(&b, 1);
    (void)buf_u32(&b, 7);
    wire_put_str(&b, "");
    (void)buf_u32(&b, 0);
    wire_put_str(&b, "/");
    (void)buf_u32(&b, 0);
    (void)buf_u64(&b, 1);
    (void)buf_u64(&b, 1);
    (void)buf_u64(&b, 5);
    (void)buf_u32(&b, 0);
    T_EQ(feed_buf(&s, WIRE_PROCESS, &b), 0);
    T_EQ(output(&s, 5, WIRE_STREAM_STDOUT, "x", 1), 0);
    expect(&text[0], "x");
    over(&s);
}

static int gap(struct event_source *s, uint64_t next)
{
    struct buf b = {0};
    (void)buf_u64(&b, next);
    return feed_buf(s, WIRE_GAP, &b);
}

static void gaps(void)
{
    struct event_source s = source_of(EVENTS_OF_PROCESS, 10);
    T_EQ(gap(&s, 6), 0);  /* of what the client has */
    T_EQ(gap(&s, 11), 0); /* likewise */
    T_EQ(kinds.len, 0);
    T_EQ(gap(&s, 12), 0);
    expect(&kinds, "g");
    T_EQ(last_seq, 11);
    T_EQ(output(&s, 12, WIRE_STREAM_STDOUT, "x", 1), 0);
    expect(&kinds, "go");
    T_EQ(gap(&s, 0), -EPROTO);
    T_EQ(output(&s, 0, WIRE_STREAM_STDOUT, "x", 1), -EPROTO);
    T_EQ(output(&s, 13, (enum wire_stream)4, "x", 1), -EPROTO);
    T_EQ(feed(&s, WIRE_STDOUT, "x", 1), -EPROTO);
    over(&s);
}

static void code(void)
{
    struct buf b = {0};
    struct event_source s = source_of(EVENTS_OF_CODE, 0);
    (void)buf_u8(&b, 2);
    (void)buf_u64(&b, 1);
    wire_put_str(&b, "err");
    T_EQ(feed_buf(&s, WIRE_CODE_STREAM, &b), 0);
    wire_put_str(&b, "{}");
    T_EQ(feed_buf(&s, WIRE_CODE_DISPLAY, &b), 0);
    (void)buf_u32(&b, 1);
    wire_put_str(&b, "{}");
    T_EQ(feed_buf(&s, WIRE_CODE_RESULT, &b), 0);
    for (int i = 0; i < 3; i++)
        wire_put_str(&b, "E");
    T_EQ(feed_buf(&s, WIRE_CODE_ERROR, &b), 0);
    T_EQ(last_seq, 4);
    T_EQ(feed(&s, WIRE_STDOUT, "x", 1), -EPROTO);
    T_EQ(feed(&s, WIRE_CODE_DONE, "\0\0\0\0\0\0\0\0", 8), 1);
    expect(&kinds, "edrxbD");
    over(&s);
}

/* A run says its number once, as soon as it is known. */
static void the_number_of_a_run(void)
{
    struct event_source s = source_of(EVENTS_OF_CODE, 0);
    T_EQ(feed(&s, WIRE_CODE_BEGUN, "\7\0\0\0", 4), 0);
    T_EQ(feed(&s, WIRE_CODE_BEGUN, "\7\0\0", 3), -EPROTO);
    T_EQ(feed(&s, WIRE_CODE_DONE, "\0\0\0\0\7\0\0\0", 8), 1);
    expect(&kinds, "bD");
    over(&s);
}

static void say(struct event_source *s, const char *what)
{
    struct buf b = {0};
    (void)buf_u8(&b, 1);
    (void)buf_u64(&b, 1);
    wire_put_str(&b, what);
    T_EQ(feed_buf(s, WIRE_CODE_STREAM, &b), 0);
}

/* However its output is cut, each event is one line. */
static void lines_of_code(void)
{
    char longest[EVENT_LINE_MAX + 1];
    struct event_source s = source_of(EVENTS_OF_CODE, 0);
    s.lines = true;
    say(&s, "a");
    expect(&kinds, "");
    say(&s, "b\r\n\nc\nd");
    expect(&kinds, "ooo");
    expect(&text[0], "abc");
    memset(longest, 'x', EVENT_LINE_MAX);
    longest[EVENT_LINE_MAX] = '\0';
    say(&s, longest);
    expect(&kinds, "oooo");
    say(&s, "end");
    T_EQ(feed(&s, WIRE_CODE_DONE, "\0\0\0\0\0\0\0\0", 8), 1);
    expect(&kinds, "ooooboD"); /* the number comes late of a bridge that tells it with the end */
    T_EQ(text[0].len, 3 + 1 + EVENT_LINE_MAX + 3);
    over(&s);
}

static void a_watch(void)
{
    struct buf b = {0};
    struct event_source s = source_of(EVENTS_OF_WATCH, 0);
    T_EQ(feed(&s, WIRE_OK, "", 0), 0);
    (void)buf_u32(&b, WIRE_CHANGE_CREATE);
    (void)buf_u32(&b, WIRE_KIND_FILE);
    wire_put_str(&b, "f");
    wire_put_str(&b, "");
    T_EQ(feed_buf(&s, WIRE_CHANGE, &b), 0);
    expect(&kinds, "wc");
    T_EQ(feed(&s, WIRE_END, "", 0), -EPROTO);
    over(&s);
}

T_MAIN(T_CASE(a_command), T_CASE(every_cut), T_CASE(raw_output_is_not_cut), T_CASE(resumed),
       T_CASE(a_number_from_the_future), T_CASE(gaps), T_CASE(code), T_CASE(the_number_of_a_run),
       T_CASE(lines_of_code), T_CASE(a_watch))
