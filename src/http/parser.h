/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser.h - bytes to requests: the head into a struct http_request, the body in pieces. Pure:
 * no I/O, no callbacks. The tree's only user of llhttp, always in its strict mode; what a server
 * must refuse beyond that (folded lines, bare line feeds, both lengths at once, a missing Host) is
 * refused here, so that every version of llhttp gives the same answers.
 *
 * The caller loops over http_parser_next. One request gives HEAD, BODY for each piece, DONE, with
 * MORE wherever the bytes run out; http_parser_reset comes before the next request.
 */
#ifndef CORRAL_HTTP_PARSER_H
#define CORRAL_HTTP_PARSER_H

#include <stdalign.h>

#include "http/http.h"

#define HTTP_PARSER_STATE 128 /* bytes, enough for llhttp's own struct */

enum http_parser_event {
    HTTP_PARSER_MORE,  /* all bytes are consumed */
    HTTP_PARSER_HEAD,  /* the request's head fields are valid */
    HTTP_PARSER_BODY,  /* `piece` points to the next body bytes */
    HTTP_PARSER_DONE,  /* the request is complete; what follows belongs to the next one */
    HTTP_PARSER_ERROR, /* `error` has the answer; the connection cannot go on */
};

struct http_parser {
    alignas(max_align_t) uint8_t llhttp[HTTP_PARSER_STATE];
    struct http_request *req;     /* not owned; its head fields point into `text` */
    struct buf text;              /* owned: target, names and values, each NUL-terminated */
    enum http_parser_event event; /* why llhttp was stopped */
    bool in_head;                 /* some bytes of a head have arrived */
    bool in_body;                 /* HEAD was returned */
    bool has_body;                /* valid with in_body */
    bool expects_continue;        /* valid with in_body */
    uint8_t minor;                /* HTTP/1.minor, valid with in_body */
    char last_byte;               /* of the head so far */
    size_t head_bytes;            /* consumed for this head, ignored ones included */
    uint64_t payload;             /* body bytes handed out */
    uint64_t framing;             /* other bytes of the body: chunk lines and trailers */
    const uint8_t *piece;         /* into the caller's data */
    size_t piece_len;
    struct error error;
};

void http_parser_init(struct http_parser *p, struct http_request *req);
void http_parser_done(struct http_parser *p);
void http_parser_reset(struct http_parser *p);

/* Consumes bytes (advances *data and *len) up to the next event. */
enum http_parser_event http_parser_next(struct http_parser *p, const uint8_t **data, size_t *len);

/* Between parser.c and head.c. They return 0, or -1 with `error` filled. */
int http_parser_refuse(struct http_parser *p, enum error_code code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Extends `s`, the newest string of the head, keeping it terminated. */
int http_parser_text(struct http_parser *p, struct http_str *s, const char *at, size_t len);
/* Refuses line ends and continuation lines that some parsers take and others do not. */
int http_head_check_lines(struct http_parser *p, const char *data, size_t len);
/* Judges a complete head and splits its target. */
int http_head_check(struct http_parser *p);

#endif
