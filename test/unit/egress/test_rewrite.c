/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as they are sent on, whatever pieces they come in, and requests that are not. */
#include "egress/rewrite.h"

#include <string.h>

#include "egress/answer.h"
#include "t.h"

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

#define HOST "Host: api.x.io\r\n"

static struct arena arena;
static struct transform_list transforms;

static void with_transforms(void)
{
    const struct transform_text texts[] = {
        {"api.x.io", NULL, NULL, LIST("Authorization", "first", "X-A", "1")},
        {"api.x.io", NULL, LIST("/v1/*"), LIST("authorization", "second")},
        {"other.x.io", NULL, NULL, LIST("X-B", "2")},
    };
    T_EQ(transform_list_read(texts, ARRAY_SIZE(texts), &arena, &transforms, NULL), 0);
}

static enum rewrite_step run(const char *text, size_t len, size_t piece, struct rewrite *r,
                             struct buf *out)
{
    const struct rewrite_target t = {
        .name = "api.x.io", .port = 443, .tls = true, .transforms = &transforms};
    enum rewrite_step step = REWRITE_MORE;
    rewrite_reset(r);
    for (size_t at = 0; at < len && step == REWRITE_MORE; at += piece) {
        struct span in = {text + at, piece < len - at ? piece : len - at};
        while (in.len > 0 && step == REWRITE_MORE)
            step = rewrite_next(r, &t, &in, out);
    }
    return step;
}

static void requests_are_written_anew(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" HOST "Authorization: mine\r\nA:  b \r\n\r\n",
         "GET / HTTP/1.1\r\n" HOST "A: b\r\nAuthorization: first\r\nX-A: 1\r\n\r\n"},
        {"\r\nGET /v1/x?y HTTP/1.1\r\n" HOST "\r\n",
         "GET /v1/x?y HTTP/1.1\r\n" HOST "X-A: 1\r\nauthorization: second\r\n\r\n"},
        {"GET / HTTP/1.0\r\nHost: API.x.io:443\r\nConnection: keep-alive\r\n\r\n",
         "GET / HTTP/1.0\r\nHost: API.x.io:443\r\nAuthorization: first\r\nX-A: 1\r\n"
         "Connection: close\r\n\r\n"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x-a, Foo\r\nFoo: 1\r\nTE: trailers\r\n"
         "Proxy-Authorization: p\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
         "GET / HTTP/1.1\r\n" HOST "Authorization: first\r\nX-A: 1\r\n\r\n"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
         "POST / HTTP/1.1\r\n" HOST "Authorization: first\r\nX-A: 1\r\n"
         "Content-Length: 5\r\n\r\nhello"},
        {"GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         "GET / HTTP/1.1\r\n" HOST "Authorization: first\r\nX-A: 1\r\n"
         "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
    };
    with_transforms();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t piece = 1; piece < 2000; piece = piece * 7 + 1) {
            struct rewrite r = {.done = false};
            struct buf out = {0};
            T_EQ(run(rows[i].in, strlen(rows[i].in), piece, &r, &out), REWRITE_DONE);
            if (strcmp(buf_cstr(&out), rows[i].out) != 0)
                T_FAIL("row %zu in pieces of %zu: %s", i, piece, (char *)out.data);
            buf_done(&out);
            rewrite_done(&r);
        }
    }
    transform_list_wipe(&transforms);
    arena_done(&arena);
}

static void chunks_are_written_anew(void)
{
    static const char in[] = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                             "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n";
    struct rewrite r = {.done = false};
    struct buf out = {0};
    T_EQ(run(in, strlen(in), sizeof(in), &r, &out), REWRITE_DONE);
    T_STR(buf_cstr(&out), "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                          "5\r\nabcde\r\n0\r\n\r\n");
    buf_done(&out);
    rewrite_done(&r);
}

static void requests_that_are_refused(void)
{
    static const struct {
        const char *in;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 421},
        {"GET / HTTP/1.1\r\nHost: x.io\r\n\r\n", 421},
        {"GET / HTTP/1.1\r\nHost: api.x.io:80\r\n\r\n", 421},
        {"GET / HTTP/1.1\r\nHost: api.x.io:\r\n\r\n", 421},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 421},
        {"GET / HTTP/1.1\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /a b HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET api.x.io/ HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET https://api.x.io/ HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", 405},
        {"NONSENSE / HTTP/1.1\r\n" HOST "\r\n", 501},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\na", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\na", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\na", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct rewrite r = {.done = false};
        struct buf out = {0};
        enum rewrite_step step = run(rows[i].in, strlen(rows[i].in), 1, &r, &out);
        if (step != REWRITE_BAD || r.status != rows[i].status)
            T_FAIL("row %zu: step %d, status %d", i, step, r.status);
        buf_done(&out);
        rewrite_done(&r);
    }
}

static void a_head_is_bounded(void)
{
    struct rewrite r = {.done = false};
    struct buf in = {0}, out = {0};
    (void)buf_append_str(&in, "GET / HTTP/1.1\r\n" HOST "A: ");
    while (in.len < REWRITE_MAX_HEAD + 10)
        (void)buf_append_str(&in, "aaaaaaaaaaaaaaaa");
    T_EQ(run((const char *)in.data, in.len, 4096, &r, &out), REWRITE_BAD);
    T_EQ(r.status, 431);
    rewrite_done(&r);
    buf_done(&in);
    buf_done(&out);
}

static void where_answers_end(void)
{
    static const struct {
        const char *in;
        bool head, upgrade;
        enum answer_step want;
        size_t left;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabX", false, false, ANSWER_DONE, 1},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nX", true, false, ANSWER_DONE, 1},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nX", false, false, ANSWER_DONE, 1},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\nX", false, false, ANSWER_DONE, 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX", false, false,
         ANSWER_DONE, 1},
        {"HTTP/1.1 200 OK\r\n\r\nto the end", false, false, ANSWER_MORE, 0},
        {"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nXY", false, true,
         ANSWER_UPGRADED, 2},
        {"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nXY", false, false,
         ANSWER_BAD, 2},
        {"nonsense", false, false, ANSWER_BAD, 8},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct answer a;
        struct span in = {rows[i].in, strlen(rows[i].in)};
        answer_begin(&a, rows[i].head, rows[i].upgrade);
        enum answer_step step = answer_next(&a, &in);
        if (step != rows[i].want || in.len != rows[i].left)
            T_FAIL("row %zu: step %d, %zu left", i, step, in.len);
        if (step == ANSWER_MORE)
            T_EQ(answer_end(&a), true);
    }
}

T_MAIN(T_CASE(requests_are_written_anew), T_CASE(chunks_are_written_anew),
       T_CASE(requests_that_are_refused), T_CASE(a_head_is_bounded), T_CASE(where_answers_end))
