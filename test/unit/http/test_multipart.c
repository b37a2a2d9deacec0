/* SPDX-License-Identifier: Apache-2.0 */
#include "http/multipart.h"

#include <errno.h>

#include "t.h"

#define TYPE "multipart/form-data; boundary=XX"

/* What the callbacks saw, as one string: [name|filename]data; */
static struct buf seen;
static int stop_after_part;

static int on_part(struct multipart *m, const char *name, const char *filename)
{
    (void)m;
    buf_printf(&seen, "[%s|%s]", name, filename != NULL ? filename : "-");
    return stop_after_part;
}

static int on_data(struct multipart *m, const uint8_t *data, size_t len)
{
    (void)m;
    return buf_append(&seen, data, len);
}

static int on_part_end(struct multipart *m)
{
    (void)m;
    return buf_append(&seen, ";", 1);
}

static const struct multipart_handler handler = {on_part, on_data, on_part_end};

/* Feeds `body` in pieces of `step` bytes; the result of the last feed. */
static ssize_t feed(const char *type, const char *body, size_t len, size_t step, bool *complete)
{
    struct multipart m;
    ssize_t rv = 0;
    buf_reset(&seen);
    T_EQ(multipart_init(&m, type, &handler), 0);
    for (size_t i = 0; i < len && rv >= 0;) {
        size_t n = MIN(step, len - i);
        rv = multipart_feed(&m, (const uint8_t *)body + i, n);
        T_TRUE(rv <= (ssize_t)n);
        i += rv > 0 ? (size_t)rv : 0;
    }
    *complete = multipart_complete(&m);
    multipart_done(&m);
    return rv;
}

static void expect(const char *type, const char *body, const char *want)
{
    for (size_t step = 1; step <= strlen(body); step++) {
        bool complete = false;
        T_TRUE(feed(type, body, strlen(body), step, &complete) >= 0);
        T_TRUE(complete);
        T_STR(buf_cstr(&seen), want);
    }
}

static void expect_bad(const char *type, const char *body)
{
    for (size_t step = 1; step <= strlen(body); step++) {
        bool complete = false;
        ssize_t rv = feed(type, body, strlen(body), step, &complete);
        T_TRUE(rv < 0 || !complete);
    }
}

#define PART(head, data) "--XX\r\nContent-Disposition: form-data; " head "\r\n\r\n" data "\r\n"

static void fields_and_files_in_any_order(void)
{
    expect(TYPE,
           PART("name=\"path\"", "/tmp/x")
               PART("name=\"file\"; filename=\"a b\"", "data") "--XX--\r\n",
           "[path|-]/tmp/x;[file|a b]data;");
    expect(TYPE, PART("name=file; filename=/h/\xc3\xa9.py", "") PART("name=path", "p") "--XX--",
           "[file|/h/\xc3\xa9.py];[path|-]p;");
}

static void data_that_looks_like_a_boundary(void)
{
    expect(TYPE, PART("name=f", "\r\n--X\r\r\n--XY\r\n-\r\n") "--XX--",
           "[f|-]\r\n--X\r\r\n--XY\r\n-\r\n;");
    expect(TYPE, PART("name=f", "--XX") "--XX--", "[f|-]--XX;");
}

static void preamble_epilogue_and_quotes(void)
{
    expect("multipart/form-data; charset=x; boundary=\"XX\"",
           "hello\r\n" PART("filename=\"q\\\"\\\\c:\\d\"; name=\"n\"", "1") "--XX--\r\nbye\r\n--XX",
           "[n|q\"\\c:\\d]1;");
    expect(TYPE, "--XX  \r\nX: y\r\ncontent-disposition: form-data; name=z\r\n\r\n1\r\n--XX--",
           "[z|-]1;");
}

static void broken_bodies(void)
{
    expect_bad(TYPE, PART("name=f", "cut in the middl"));
    expect_bad(TYPE, "--XX\r\nContent-Type: text/plain\r\n\r\nno name\r\n--XX--");
    expect_bad(TYPE, "--XX\r\nno colon here\r\n\r\n\r\n--XX--");
    expect_bad(TYPE, "--XXjunk\r\n\r\n--XX--");
    expect_bad(TYPE, "no boundary at all");
    struct multipart m;
    T_EQ(multipart_init(&m, "text/plain; boundary=x", &handler), -EINVAL);
    T_EQ(multipart_init(&m, "multipart/form-data", &handler), -EINVAL);
    T_EQ(multipart_init(&m, "multipart/form-data; boundary=", &handler), -EINVAL);
    T_EQ(multipart_init(&m, "multipart/form-data; xboundary=a", &handler), -EINVAL);
}

static void long_headers_are_refused(void)
{
    char body[MULTIPART_MAX_HEAD + 64];
    bool complete;
    memset(body, 'a', sizeof(body));
    memcpy(body, "--XX\r\n", 6);
    T_EQ(feed(TYPE, body, sizeof(body), sizeof(body), &complete), -EPROTO);
}

static void a_callback_can_stop_the_feed(void)
{
    const char *body = PART("name=f; filename=x", "data") "--XX--";
    stop_after_part = 1;
    expect(TYPE, body, "[f|x]data;");
    stop_after_part = 0;
}

T_MAIN(T_CASE(fields_and_files_in_any_order), T_CASE(data_that_looks_like_a_boundary),
       T_CASE(preamble_epilogue_and_quotes), T_CASE(broken_bodies),
       T_CASE(long_headers_are_refused), T_CASE(a_callback_can_stop_the_feed))
