/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http_parser.c - any bytes, whole and in pieces: both ways give the same requests. The first
 * byte of the input chooses the pieces. */
#include "http/parser.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    unsigned int heads, done, headers;
    uint64_t body_bytes, body_sum, text_sum;
    bool failed;
};

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ p[i]) * 1099511628211u;
    return sum;
}

static void take_head(struct outcome *o, const struct http_request *req)
{
    o->heads++;
    o->headers += req->n_headers;
    o->text_sum = mix(o->text_sum, req->path.data, req->path.len + 1);
    o->text_sum = mix(o->text_sum, req->query.data, req->query.len + 1);
    assert(req->target.len <= HTTP_MAX_TARGET);
    assert(req->n_headers <= HTTP_MAX_HEADERS);
    for (unsigned int i = 0; i < req->n_headers; i++) {
        const struct http_header *h = &req->headers[i];
        assert(h->name.len > 0 && strlen(h->name.data) == h->name.len);
        assert(strlen(h->value.data) == h->value.len);
        assert(strpbrk(h->value.data, "\r\n") == NULL);
        o->text_sum = mix(o->text_sum, h->name.data, h->name.len + 1);
        o->text_sum = mix(o->text_sum, h->value.data, h->value.len + 1);
    }
}

/* Feeds a copy of exactly the piece, so that the sanitizer sees reads beyond it. */
static void feed(struct outcome *o, struct http_parser *p, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len);
    const uint8_t *at = copy, *end = copy + len;
    enum http_parser_event event;
    memcpy(copy, data, len);
    do {
        event = http_parser_next(p, &at, &len);
        assert(at + len == end);
        switch (event) {
        case HTTP_PARSER_HEAD:
            take_head(o, p->req);
            break;
        case HTTP_PARSER_BODY:
            assert(p->piece_len > 0);
            o->body_bytes += p->piece_len;
            o->body_sum = mix(o->body_sum, p->piece, p->piece_len);
            break;
        case HTTP_PARSER_DONE:
            o->done++;
            http_parser_reset(p);
            break;
        case HTTP_PARSER_ERROR:
            assert(p->error.code != ERROR_NONE && p->error.message[0] != '\0');
            o->failed = true;
            break;
        case HTTP_PARSER_MORE:
            assert(len == 0);
        }
    } while (event != HTTP_PARSER_MORE && event != HTTP_PARSER_ERROR);
    free(copy);
}

static struct outcome run(const uint8_t *data, size_t size, unsigned int seed)
{
    static struct http_request req;
    struct http_parser p;
    struct outcome o = {0};
    memset(&req, 0, sizeof(req));
    http_parser_init(&p, &req);
    while (size > 0 && !o.failed) {
        seed = seed * 1103515245u + 12345u;
        size_t n = 1 + (seed >> 16) % 9;
        if (n > size)
            n = size;
        feed(&o, &p, data, n);
        data += n;
        size -= n;
    }
    http_parser_done(&p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request req;
    struct outcome whole = {0};
    struct http_parser p;
    if (size < 2)
        return 0;
    memset(&req, 0, sizeof(req));
    http_parser_init(&p, &req);
    feed(&whole, &p, data + 1, size - 1);
    http_parser_done(&p);
    struct outcome split = run(data + 1, size - 1, data[0]);
    assert(whole.failed == split.failed);
    assert(whole.heads == split.heads && whole.done == split.done);
    assert(whole.headers == split.headers && whole.text_sum == split.text_sum);
    assert(split.failed ||
           (whole.body_bytes == split.body_bytes && whole.body_sum == split.body_sum));
    return 0;
}
