/* SPDX-License-Identifier: Apache-2.0 */
#include "http/parser.h"

#include <assert.h>
#include <llhttp.h>
#include <string.h>

#define HTTP_TEXT_KEEP 4096 /* bytes of `text` that a connection keeps between requests */
/* Chunk lines, extensions and trailers may take this much, and 8 bytes for each byte of body: the
 * smallest chunk of one byte takes 5. */
#define HTTP_FRAMING_FREE 16384

static int parser_on_begin(llhttp_t *ll);
static int parser_on_url(llhttp_t *ll, const char *at, size_t len);
static int parser_on_field(llhttp_t *ll, const char *at, size_t len);
static int parser_on_value(llhttp_t *ll, const char *at, size_t len);
static int parser_on_value_complete(llhttp_t *ll);
static int parser_on_head(llhttp_t *ll);
static int parser_on_body(llhttp_t *ll, const char *at, size_t len);
static int parser_on_complete(llhttp_t *ll);

static const llhttp_settings_t parser_settings = {
    .on_message_begin = parser_on_begin,
    .on_url = parser_on_url,
    .on_header_field = parser_on_field,
    .on_header_value = parser_on_value,
    .on_header_value_complete = parser_on_value_complete,
    .on_headers_complete = parser_on_head,
    .on_body = parser_on_body,
    .on_message_complete = parser_on_complete,
};

static const struct {
    uint8_t llhttp;
    enum http_method method;
} parser_methods[] = {
    {HTTP_GET, METHOD_GET},         {HTTP_HEAD, METHOD_HEAD},   {HTTP_POST, METHOD_POST},
    {HTTP_PUT, METHOD_PUT},         {HTTP_PATCH, METHOD_PATCH}, {HTTP_DELETE, METHOD_DELETE},
    {HTTP_OPTIONS, METHOD_OPTIONS},
};

static_assert(sizeof(llhttp_t) <= HTTP_PARSER_STATE, "HTTP_PARSER_STATE is too small");
static_assert(ARRAY_SIZE(parser_methods) == METHOD_COUNT, "a method is missing");

static llhttp_t *parser_llhttp(struct http_parser *p)
{
    return (llhttp_t *)(void *)p->llhttp;
}

static void parser_start(struct http_parser *p)
{
    llhttp_init(parser_llhttp(p), HTTP_REQUEST, &parser_settings);
    parser_llhttp(p)->data = p;
}

void http_parser_init(struct http_parser *p, struct http_request *req)
{
    *p = (struct http_parser){.req = req};
    parser_start(p);
}

void http_parser_done(struct http_parser *p)
{
    buf_done(&p->text);
}

void http_parser_reset(struct http_parser *p)
{
    if (p->text.cap > HTTP_TEXT_KEEP)
        buf_done(&p->text);
    buf_reset(&p->text);
    p->error.code = ERROR_NONE;
    p->in_head = p->in_body = p->has_body = p->expects_continue = false;
    p->last_byte = 0;
    p->head_bytes = 0;
    p->payload = p->framing = 0;
    p->req->n_headers = 0;
    p->req->headers[0] = (struct http_header){0};
    p->req->target = p->req->path = p->req->query = (struct http_str){0};
    parser_start(p);
}

/* --- llhttp's callbacks --- */

static int parser_on_begin(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    p->in_head = true;
    return 0;
}

static int parser_on_url(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;
    if (len > HTTP_MAX_TARGET - p->req->target.len)
        return http_parser_refuse(p, ERROR_URI_TOO_LONG, "The request target exceeds %d bytes",
                                  HTTP_MAX_TARGET);
    return http_parser_text(p, &p->req->target, at, len);
}

static int parser_on_header_text(struct http_parser *p, bool value, const char *at, size_t len)
{
    struct http_request *req = p->req;
    if (p->in_body)
        return 0; /* a trailer, counted as framing and otherwise ignored */
    if (req->n_headers == HTTP_MAX_HEADERS)
        return http_parser_refuse(p, ERROR_HEADERS_TOO_LARGE, "More than %d header fields",
                                  HTTP_MAX_HEADERS);
    if (len > HTTP_MAX_HEAD || p->text.len - req->target.len + len > HTTP_MAX_HEAD)
        return http_parser_refuse(p, ERROR_HEADERS_TOO_LARGE, "The header section exceeds %d bytes",
                                  HTTP_MAX_HEAD);
    /* The field being read is the one behind the last; head_reserve must see it. */
    struct http_header *h = &req->headers[req->n_headers++];
    int rv = http_parser_text(p, value ? &h->value : &h->name, at, len);
    req->n_headers--;
    return rv;
}

static int parser_on_field(llhttp_t *ll, const char *at, size_t len)
{
    return parser_on_header_text(ll->data, false, at, len);
}

static int parser_on_value(llhttp_t *ll, const char *at, size_t len)
{
    return parser_on_header_text(ll->data, true, at, len);
}

static int parser_on_value_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    if (p->in_body)
        return 0;
    int rv = parser_on_header_text(p, true, NULL, 0); /* an empty value is terminated, too */
    if (rv != 0)
        return rv;
    struct http_header *h = &p->req->headers[p->req->n_headers];
    if (h->name.len == 0)
        return http_parser_refuse(p, ERROR_INVALID_REQUEST, "A header field without a name");
    p->req->n_headers++;
    /* llhttp leaves the blanks at the end of a value. */
    while (h->value.len > 0 && strchr(" \t", h->value.data[h->value.len - 1]) != NULL)
        ((char *)h->value.data)[--h->value.len] = '\0';
    if (p->req->n_headers < HTTP_MAX_HEADERS)
        p->req->headers[p->req->n_headers] = (struct http_header){0};
    return 0;
}

static int parser_method(struct http_parser *p)
{
    const llhttp_t *ll = parser_llhttp(p);
    if (ll->http_major != 1 || ll->http_minor > 1)
        return http_parser_refuse(p, ERROR_HTTP_VERSION, "Only HTTP/1.0 and HTTP/1.1 are spoken");
    p->minor = ll->http_minor;
    for (size_t i = 0; i < ARRAY_SIZE(parser_methods); i++) {
        if (parser_methods[i].llhttp == ll->method) {
            p->req->method = parser_methods[i].method;
            return 0;
        }
    }
    return http_parser_refuse(p, ERROR_NOT_IMPLEMENTED, "The method is not implemented");
}

static int parser_on_head(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    int rv = parser_method(p);
    if (rv != 0)
        return rv;
    p->in_body = true;
    p->has_body = (ll->flags & F_CHUNKED) ||
                  ((ll->flags & F_CONTENT_LENGTH) && ll->content_length > 0);
    if (!(ll->flags & F_CONTENT_LENGTH))
        p->req->content_length = -1;
    else if (ll->content_length <= INT64_MAX)
        p->req->content_length = (int64_t)ll->content_length;
    else
        return http_parser_refuse(p, ERROR_INVALID_REQUEST, "Content-Length is out of range");
    p->req->keep_alive = llhttp_should_keep_alive(ll) != 0;
    /* Upgrades are the app's business: to llhttp the request is like any other. */
    ll->upgrade = 0;
    p->event = HTTP_PARSER_HEAD;
    return HPE_PAUSED;
}

static int parser_on_body(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;
    if (len == 0)
        return 0;
    p->piece = (const uint8_t *)at;
    p->piece_len = len;
    p->event = HTTP_PARSER_BODY;
    return HPE_PAUSED;
}

static int parser_on_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    p->event = HTTP_PARSER_DONE;
    return HPE_PAUSED;
}

/* --- the step --- */

static bool parser_is_token(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at <= ' ' || *at >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *at) != NULL)
            return false;
    }
    return true;
}

/* Whether what llhttp refused at `pos` is the first word of a request line, rather than bytes of
 * another protocol. The word may have begun in an earlier piece. */
static bool parser_is_method(const struct http_parser *p, const char *start, const char *pos,
                             const char *end)
{
    while (start < end && (*start == '\r' || *start == '\n'))
        start++;
    if (pos == NULL || pos < start || pos >= end || !parser_is_token(start, pos))
        return false;
    bool begun = start < pos || (p->head_bytes > 0 && p->last_byte != '\n');
    return parser_is_token(pos, pos + 1) || (*pos == ' ' && begun);
}

static void parser_explain(struct http_parser *p, llhttp_errno_t err, const char *start,
                           const char *end)
{
    const llhttp_t *ll = parser_llhttp(p);
    const char *pos = llhttp_get_error_pos(ll);
    const char *reason = llhttp_get_error_reason(ll);
    if (p->error.code != ERROR_NONE)
        return; /* a callback has refused */
    switch (err) {
    case HPE_INVALID_METHOD:
        if (parser_is_method(p, start, pos, end))
            (void)http_parser_refuse(p, ERROR_NOT_IMPLEMENTED, "The method is not known");
        else
            (void)http_parser_refuse(p, ERROR_INVALID_REQUEST, "This is not HTTP");
        break;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        /* The version is one that we speak, so the end of the line is wrong. */
        if (ll->http_major == 1 && ll->http_minor <= 1)
            (void)http_parser_refuse(p, ERROR_INVALID_REQUEST, "The request line is malformed");
        else
            (void)http_parser_refuse(p, ERROR_HTTP_VERSION,
                                     "Only HTTP/1.0 and HTTP/1.1 are spoken");
        break;
    default:
        (void)http_parser_refuse(p, ERROR_INVALID_REQUEST, "The request is malformed: %s",
                                 reason != NULL && *reason != '\0' ? reason : "syntax error");
    }
}

static enum http_parser_event parser_event(struct http_parser *p, const char *start, size_t used)
{
    if (p->event == HTTP_PARSER_HEAD || !p->in_body) {
        if (http_head_check_lines(p, start, used) != 0)
            return HTTP_PARSER_ERROR;
        if (p->event == HTTP_PARSER_HEAD && http_head_check(p) != 0)
            return HTTP_PARSER_ERROR;
        return p->event;
    }
    size_t payload = p->event == HTTP_PARSER_BODY ? p->piece_len : 0;
    p->payload += payload;
    p->framing += used - MIN(used, payload);
    if (p->framing > HTTP_FRAMING_FREE + p->payload * 8) {
        (void)http_parser_refuse(p, ERROR_INVALID_REQUEST,
                                 "Too many bytes between those of the body");
        return HTTP_PARSER_ERROR;
    }
    return p->event;
}

enum http_parser_event http_parser_next(struct http_parser *p, const uint8_t **data, size_t *len)
{
    llhttp_t *ll = parser_llhttp(p);
    const char *start = *len > 0 ? (const char *)*data : "";
    if (llhttp_get_errno(ll) == HPE_PAUSED)
        llhttp_resume(ll);
    p->event = HTTP_PARSER_MORE;
    llhttp_errno_t err = llhttp_execute(ll, start, *len);
    if (err != HPE_OK && err != HPE_PAUSED) {
        parser_explain(p, err, start, start + *len);
        return HTTP_PARSER_ERROR;
    }
    size_t used = err == HPE_OK ? *len : (size_t)(llhttp_get_error_pos(ll) - start);
    *data += used;
    *len -= used;
    return parser_event(p, start, used);
}
