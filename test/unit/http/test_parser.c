/* SPDX-License-Identifier: Apache-2.0 */
/* test_parser.c - requests in every division into pieces, and what must be refused. */
#include "http/parser.h"

#include "t.h"

/* Feeds `text` in pieces of `first` bytes, then `step` bytes at a time. */
struct feed {
    struct http_parser parser;
    struct http_request req;
    struct buf body;
    unsigned int done; /* complete requests */
    enum error_code error;
    struct {
        char path[64], header[64];
        enum http_method method;
        size_t body_len;
        bool keep_alive;
    } last;
};

static void feed_open(struct feed *f)
{
    memset(f, 0, sizeof(*f));
    http_parser_init(&f->parser, &f->req);
}

static void feed_close(struct feed *f)
{
    http_parser_done(&f->parser);
    buf_done(&f->body);
}

static void feed_head(struct feed *f)
{
    const struct http_str *x = http_header(&f->req, "x-test");
    snprintf(f->last.path, sizeof(f->last.path), "%s", f->req.path.data);
    snprintf(f->last.header, sizeof(f->last.header), "%s", x != NULL ? x->data : "(none)");
    T_EQ(strlen(f->req.path.data), f->req.path.len);
    T_EQ(strlen(f->req.query.data), f->req.query.len);
    T_EQ(strlen(f->req.target.data), f->req.target.len);
    for (unsigned int i = 0; i < f->req.n_headers; i++) {
        T_EQ(strlen(f->req.headers[i].name.data), f->req.headers[i].name.len);
        T_EQ(strlen(f->req.headers[i].value.data), f->req.headers[i].value.len);
    }
    f->last.method = f->req.method;
    f->last.keep_alive = f->req.keep_alive;
}

/* False after an error. */
static bool feed_bytes(struct feed *f, const char *data, size_t len)
{
    /* A copy of the exact size, so that a read beyond it is seen. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, data, len);
    const uint8_t *at = copy;
    enum http_parser_event event;
    do {
        event = http_parser_next(&f->parser, &at, &len);
        if (event == HTTP_PARSER_HEAD)
            feed_head(f);
        if (event == HTTP_PARSER_BODY)
            (void)buf_append(&f->body, f->parser.piece, f->parser.piece_len);
        if (event == HTTP_PARSER_ERROR)
            f->error = f->parser.error.code;
        if (event == HTTP_PARSER_DONE) {
            f->done++;
            f->last.body_len = f->body.len;
            http_parser_reset(&f->parser);
        }
    } while (event != HTTP_PARSER_MORE && event != HTTP_PARSER_ERROR);
    free(copy);
    return event != HTTP_PARSER_ERROR;
}

static void feed_split(struct feed *f, const char *text, size_t first, size_t step)
{
    size_t len = strlen(text);
    size_t n = MIN(first, len);
    bool ok = feed_bytes(f, text, n);
    for (size_t at = n; ok && at < len; at += n) {
        n = MIN(step, len - at);
        ok = feed_bytes(f, text + at, n);
    }
}

static const struct {
    const char *text;
    enum http_method method;
    const char *path, *header, *body;
    bool keep_alive;
    unsigned int count;
} good[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_GET, "/", "(none)", "", true, 1},
    {"\r\nGET /a?b HTTP/1.1\r\nHost:\r\nX-Test:  v w \t\r\n\r\n", METHOD_GET, "/a", "v w", "", true,
     1},
    {"GET /%2e HTTP/1.1\r\nHost: a\r\nX-Test:\r\n\r\n", METHOD_GET, "/%2e", "", "", true, 1},
    {"GET http://h:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_GET, "/p", "(none)", "", true, 1},
    {"GET http://h HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_GET, "/", "(none)", "", true, 1},
    {"GET http://h?q HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_GET, "/", "(none)", "", true, 1},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_OPTIONS, "*", "(none)", "", true, 1},
    {"HEAD / HTTP/1.0\r\n\r\n", METHOD_HEAD, "/", "(none)", "", false, 1},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", METHOD_GET, "/", "(none)", "", true, 1},
    {"PUT / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", METHOD_PUT, "/", "(none)", "",
     false, 1},
    {"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345", METHOD_POST, "/b", "(none)",
     "12345", true, 1},
    {"PATCH /b HTTP/1.1\r\nHost: a\r\ncontent-length:0\r\n\r\n", METHOD_PATCH, "/b", "(none)", "",
     true, 1},
    {"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Test: trailer\r\nB: c\r\n\r\n",
     METHOD_POST, "/c", "(none)", "abc0123456789", true, 1},
    {"DELETE /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
     METHOD_DELETE, "/w", "(none)", "", true, 1},
    {"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
     "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy"
     "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
     "GET /4 HTTP/1.1\r\nHost: a\r\nX-Test: four\r\n\r\n",
     METHOD_GET, "/4", "four", "xyz", true, 4},
};

static void check_good(size_t i, size_t first, size_t step)
{
    struct feed f;
    feed_open(&f);
    feed_split(&f, good[i].text, first, step);
    if (f.error != ERROR_NONE)
        T_FAIL("request %zu split at %zu: %s", i, first, f.parser.error.message);
    T_EQ(f.done, good[i].count);
    T_EQ(f.last.method, good[i].method);
    T_STR(f.last.path, good[i].path);
    T_STR(f.last.header, good[i].header);
    T_EQ(f.last.keep_alive, good[i].keep_alive);
    T_MEM(f.body.data != NULL ? f.body.data : (uint8_t *)"", f.body.len, good[i].body,
          strlen(good[i].body));
    feed_close(&f);
}

static void every_split(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        size_t len = strlen(good[i].text);
        for (size_t first = 0; first <= len; first++)
            check_good(i, first, len);
        for (size_t step = 1; step <= 16; step++)
            check_good(i, step, step);
    }
}

#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"

static const struct {
    const char *text;
    enum error_code error;
} bad[] = {
    {"GET / HTTP/1.1\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "Host: b\r\n\r\n", ERROR_INVALID_REQUEST},
    {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"GETX / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"GE / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ERROR_INVALID_REQUEST},
    {"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {"GET /\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTTP/1.x\r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERROR_HTTP_VERSION},
    {"GET / HTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test: a\r\n b\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test:\r\n\tb\r\n\r\n", ERROR_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {"GET / HTTP/1.1\nHost: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test: a\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test: a\r\n\n", ERROR_INVALID_REQUEST},
    {H "X-Test: a\rb\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test: a\x01\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test : a\r\n\r\n", ERROR_INVALID_REQUEST},
    {H ": a\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X-Test\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "X(Test: a\r\n\r\n", ERROR_INVALID_REQUEST},
    {H "Expect: 200-ok\r\n\r\n", ERROR_EXPECTATION_FAILED},
    {P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 3, 3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: +3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: -3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 0x3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 3a\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 3 3\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length:\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 18446744073709551616\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 9223372036854775808\r\n\r\nabc", ERROR_INVALID_REQUEST},
    {P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked, gzip\r\n\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {P "Transfer-Encoding: identity\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {P "Transfer-Encoding: xchunked\r\n\r\n", ERROR_NOT_IMPLEMENTED},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\nx\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\n-1\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", ERROR_INVALID_REQUEST},
    {P "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n", ERROR_INVALID_REQUEST},
};

static void refusals(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        size_t len = strlen(bad[i].text);
        for (size_t step = len; step > 0; step = step == len ? 7 : step == 7 ? 1 : 0) {
            struct feed f;
            feed_open(&f);
            feed_split(&f, bad[i].text, MIN(step, len), step);
            if (f.error != bad[i].error)
                T_FAIL("case %zu, step %zu: %s (%s), expected %s:\n%s", i, step,
                       error_name(f.error), f.parser.error.message, error_name(bad[i].error),
                       bad[i].text);
            feed_close(&f);
        }
    }
}

/* A NUL cannot be written in the tables above. */
static void nul_bytes(void)
{
    static const char text[] = H "X-Test: a#b\r\n\r\n";
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        struct feed f;
        char copy[sizeof(text)];
        memcpy(copy, text, sizeof(copy));
        copy[at] = '\0';
        feed_open(&f);
        (void)feed_bytes(&f, copy, sizeof(copy) - 1);
        T_TRUE(f.error != ERROR_NONE);
        feed_close(&f);
    }
}

/* `n` copies of a piece, then an end; returns the error. */
static enum error_code many(const char *start, const char *piece, size_t n, const char *end)
{
    struct feed f;
    feed_open(&f);
    bool ok = feed_bytes(&f, start, strlen(start));
    for (size_t i = 0; ok && i < n; i++)
        ok = feed_bytes(&f, piece, strlen(piece));
    if (ok)
        (void)feed_bytes(&f, end, strlen(end));
    enum error_code error = f.error;
    if (error == ERROR_NONE)
        T_EQ(f.done, 1);
    feed_close(&f);
    return error;
}

static void limits(void)
{
    const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
    T_EQ(many("GET /", "x", HTTP_MAX_TARGET - 1, end), ERROR_NONE);
    T_EQ(many("GET /", "x", HTTP_MAX_TARGET, end), ERROR_URI_TOO_LONG);
    T_EQ(many("GET /", "x", HTTP_MAX_TARGET * 100, end), ERROR_URI_TOO_LONG);
    T_EQ(many(H, "a: b\r\n", HTTP_MAX_HEADERS - 1, "\r\n"), ERROR_NONE);
    T_EQ(many(H, "a: b\r\n", HTTP_MAX_HEADERS, "\r\n"), ERROR_HEADERS_TOO_LARGE);
    T_EQ(many(H "a: ", "x", HTTP_MAX_HEAD - 100, "\r\n\r\n"), ERROR_NONE);
    T_EQ(many(H "a: ", "x", HTTP_MAX_HEAD, "\r\n\r\n"), ERROR_HEADERS_TOO_LARGE);
    T_EQ(many(H, "x", HTTP_MAX_HEAD, ": y\r\n\r\n"), ERROR_HEADERS_TOO_LARGE);
    /* Bytes that leave no trace count as well. */
    T_EQ(many(H "a:", " ", 100000, "\r\n\r\n"), ERROR_HEADERS_TOO_LARGE);
    T_EQ(many("", "\r\n", 100000, H "\r\n"), ERROR_HEADERS_TOO_LARGE);
    T_EQ(many("GET", " ", 100000, "/ HTTP/1.1\r\nHost: a\r\n\r\n"), ERROR_HEADERS_TOO_LARGE);
}

static void chunk_framing(void)
{
    const char *start = P "Transfer-Encoding: chunked\r\n\r\n";
    T_EQ(many(start, "1\r\nx\r\n", 100000, "0\r\n\r\n"), ERROR_NONE);
    T_EQ(many(start, "1;aaaaaaaaaaaaaaaaaaaa\r\nx\r\n", 100000, "0\r\n\r\n"),
         ERROR_INVALID_REQUEST);
    T_EQ(many(P "Transfer-Encoding: chunked\r\n\r\n1;", "a", 100000, "\r\nx\r\n0\r\n\r\n"),
         ERROR_INVALID_REQUEST);
    T_EQ(many(P "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 100, "\r\n"), ERROR_NONE);
    T_EQ(many(P "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 100000, "\r\n"),
         ERROR_INVALID_REQUEST);
    T_EQ(many(P "Transfer-Encoding: chunked\r\n\r\n", "0", 100000, "1\r\nx\r\n0\r\n\r\n"),
         ERROR_INVALID_REQUEST);
}

static void check_query(const char *query, const char *name, const char *value)
{
    struct http_request req = {.query = {query, strlen(query)}};
    const char *got = http_query(&req, name);
    if (value == NULL)
        T_TRUE(got == NULL);
    else
        T_STR(got, value);
    arena_done(&req.arena);
}

static void queries(void)
{
    check_query("path=/a+b%2Fc%20d", "path", "/a+b/c d");
    check_query("x=1&path=2&path=3", "path", "2");
    check_query("xpath=1&pathx=2", "path", NULL);
    check_query("path", "path", "");
    check_query("path=", "path", "");
    check_query("&&path=a=b&", "path", "a=b");
    check_query("", "path", NULL);
    check_query("path=%", "path", NULL);
    check_query("path=%4", "path", NULL);
    check_query("path=%4&x=1", "path", NULL);
    check_query("path=%zz", "path", NULL);
    check_query("path=%00", "path", NULL);
    check_query("path=%e4%BD%a0", "path", "\xe4\xbd\xa0");
    check_query("path=\xff", "path", "\xff");
}

T_MAIN(T_CASE(every_split), T_CASE(refusals), T_CASE(nul_bytes), T_CASE(limits),
       T_CASE(chunk_framing), T_CASE(queries))
