/* SPDX-License-Identifier: Apache-2.0 */
/* page.c - what the server says to somebody who opens its address: `/` tells where everything is,
 * as a page to a browser and as JSON to a program; `/docs` is the API for people. */
#include <string.h>

#include "api/api.h"
#include "api/docs_html.h"

#define PAGE_HTML "text/html; charset=utf-8"
/* The pages carry their own style and nothing else: what is injected somewhere does not run. */
#define PAGE_POLICY "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

static const struct {
    const char *name, *path, *what;
} page_links[] = {
    {"docs", "/docs", "the API, for people"},
    {"openapi", "/openapi.json", "the API, for programs"},
    {"health", "/health", "whether the server works"},
};

static void page_reply(struct api_call *call, struct buf *body)
{
    (void)http_add_header(call->req, "Content-Security-Policy", PAGE_POLICY);
    (void)http_add_header(call->req, "X-Content-Type-Options", "nosniff");
    http_reply_buf(call->req, 200, PAGE_HTML, body);
}

/* Browsers name text/html first; programs name JSON, anything, or nothing. */
static bool page_for_a_person(const struct http_request *req)
{
    const struct http_str *accept = http_header(req, "Accept");
    return accept != NULL && memmem(accept->data, accept->len, "text/html", 9) != NULL;
}

static void page_root_html(struct api_call *call)
{
    struct buf b = {0};
    (void)buf_append_str(&b,
                         "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Corral"
                         "</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;"
                         "margin:3rem auto;padding:0 1rem}:root{color-scheme:light dark}</style>");
    (void)buf_printf(&b,
                     "<h1>Corral %s</h1><p>This server creates sandboxes, runs code in them and "
                     "throws them away on time.</p><ul>",
                     CORRAL_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(page_links); i++)
        (void)buf_printf(&b, "<li><a href=\"%s\">%s</a>: %s", page_links[i].path,
                         page_links[i].path, page_links[i].what);
    (void)buf_append_str(&b,
                         "</ul><p>Requests need the header <code>Authorization: Bearer KEY</code>. "
                         "The first key is in the file <code>admin.key</code> of the state "
                         "directory. The manual: <code>man corrald</code>.");
    page_reply(call, &b);
}

void api_page_root(struct api_call *call)
{
    if (page_for_a_person(call->req)) {
        page_root_html(call);
        return;
    }
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "name", "corral");
    jsonw_key_str(&w, "version", CORRAL_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(page_links); i++)
        jsonw_key_str(&w, page_links[i].name, page_links[i].path);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_page_docs(struct api_call *call)
{
    struct buf body = {0};
    (void)buf_append(&body, docs_html, docs_html_len);
    page_reply(call, &body);
}
