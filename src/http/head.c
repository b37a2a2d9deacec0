/* SPDX-License-Identifier: Apache-2.0 */
/* head.c - a request's head: stores its strings, and refuses heads that are ambiguous or too large.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/parser.h"

/* Everything before the body, ignored bytes included. */
#define HTTP_MAX_HEAD_BYTES (HTTP_MAX_TARGET + HTTP_MAX_HEAD + 1024)

int http_parser_refuse(struct http_parser *p, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    p->error.code = code;
    va_start(ap, fmt);
    (void)vsnprintf(p->error.message, sizeof(p->error.message), fmt, ap);
    va_end(ap);
    return -1;
}

static void head_move(struct http_str *s, const char *from, const char *to)
{
    if (s->data != NULL)
        s->data = to + (s->data - from);
}

static int head_reserve(struct http_parser *p, size_t more)
{
    struct http_request *req = p->req;
    struct buf grown = {0};
    if (p->text.cap - p->text.len >= more)
        return 0;
    if (buf_reserve(&grown, MAX(p->text.cap * 2, p->text.len + more)) < 0)
        return http_parser_refuse(p, ERROR_UNAVAILABLE, "Out of memory");
    const char *from = (const char *)p->text.data;
    const char *to = (const char *)grown.data;
    (void)buf_append(&grown, p->text.data, p->text.len);
    head_move(&req->target, from, to);
    for (unsigned int i = 0; i < req->n_headers; i++) {
        head_move(&req->headers[i].name, from, to);
        head_move(&req->headers[i].value, from, to);
    }
    buf_done(&p->text);
    p->text = grown;
    return 0;
}

int http_parser_text(struct http_parser *p, struct http_str *s, const char *at, size_t len)
{
    int rv = head_reserve(p, len + 2);
    if (rv != 0)
        return rv;
    char *end = (char *)p->text.data + p->text.len;
    if (s->data == NULL)
        s->data = end;
    else
        end--; /* over the terminator */
    if (len > 0)
        memcpy(end, at, len);
    end[len] = '\0';
    s->len += len;
    p->text.len = (size_t)((uint8_t *)end - p->text.data) + len + 1;
    return 0;
}

/* Splits the target, which may be in absolute form, into path and query. */
static int head_target(struct http_parser *p)
{
    struct http_request *req = p->req;
    int rv = head_reserve(p, req->target.len + 2); /* first: it moves req->target */
    if (rv != 0)
        return rv;
    const char *start = req->target.data;
    const char *end = start + req->target.len;
    if (*start != '/') {
        const char *scheme = strstr(start, "://");
        if (scheme != NULL)
            start = scheme + 3 + strcspn(scheme + 3, "/?");
    }
    const char *mark = memchr(start, '?', (size_t)(end - start));
    if (mark != NULL)
        req->query = (struct http_str){mark + 1, (size_t)(end - mark - 1)};
    else
        req->query = (struct http_str){end, 0};
    size_t len = (size_t)((mark != NULL ? mark : end) - start);
    if (len == 0)
        return http_parser_text(p, &req->path, "/", 1);
    return http_parser_text(p, &req->path, start, len);
}

static int head_expect(struct http_parser *p, const struct http_str *value)
{
    if (strcasecmp(value->data, "100-continue") != 0)
        return http_parser_refuse(p, ERROR_EXPECTATION_FAILED, "Only 100-continue can be expected");
    p->expects_continue = p->minor > 0 && p->has_body;
    return 0;
}

int http_head_check(struct http_parser *p)
{
    struct http_request *req = p->req;
    unsigned int hosts = 0, codings = 0, lengths = 0;

    int rv = 0;
    for (unsigned int i = 0; rv == 0 && i < req->n_headers; i++) {
        const struct http_header *h = &req->headers[i];
        if (strcasecmp(h->name.data, "Host") == 0) {
            hosts++;
        } else if (strcasecmp(h->name.data, "Content-Length") == 0) {
            lengths++;
        } else if (strcasecmp(h->name.data, "Transfer-Encoding") == 0) {
            codings++;
            if (strcasecmp(h->value.data, "chunked") != 0)
                rv = http_parser_refuse(p, ERROR_NOT_IMPLEMENTED,
                                        "The only transfer coding is chunked");
        } else if (strcasecmp(h->name.data, "Expect") == 0) {
            rv = head_expect(p, &h->value);
        }
    }
    if (rv != 0)
        return rv;
    if (hosts > 1 || (hosts == 0 && p->minor > 0))
        return http_parser_refuse(p, ERROR_INVALID_REQUEST, "Exactly one Host header is required");
    if (lengths > 1 || codings > 1 || (codings > 0 && (lengths > 0 || p->minor == 0)))
        return http_parser_refuse(p, ERROR_INVALID_REQUEST, "The length of the body is ambiguous");
    return head_target(p);
}

int http_head_check_lines(struct http_parser *p, const char *data, size_t len)
{
    if (len == 0)
        return 0;
    if (p->last_byte == '\n' && (data[0] == ' ' || data[0] == '\t'))
        return http_parser_refuse(p, ERROR_INVALID_REQUEST, "A header line is folded");
    for (const char *at = data, *end = data + len; at < end; at++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            break;
        if ((at > data ? at[-1] : p->last_byte) != '\r')
            return http_parser_refuse(p, ERROR_INVALID_REQUEST,
                                      "A line feed without carriage return");
        if (at + 1 < end && (at[1] == ' ' || at[1] == '\t'))
            return http_parser_refuse(p, ERROR_INVALID_REQUEST, "A header line is folded");
    }
    p->last_byte = data[len - 1];
    p->head_bytes += len;
    if (p->head_bytes > HTTP_MAX_HEAD_BYTES)
        return http_parser_refuse(p, ERROR_HEADERS_TOO_LARGE, "The head exceeds %d bytes",
                                  HTTP_MAX_HEAD_BYTES);
    return 0;
}
