/* SPDX-License-Identifier: Apache-2.0 */
/* cors.c - see cors.h. Credentials travel in a header that a page must set itself, never in a
 * cookie: an origin that is allowed gains nothing without a key, so "*" is a safe policy. */
#include "api/cors.h"

#include <ctype.h>
#include <string.h>

#define CORS_MAX_AGE     "7200" /* s; the most that a common browser keeps */
#define CORS_MAX_REQUEST 1024   /* bytes of a list of header names */
#define CORS_HEADERS     "Authorization, Content-Type, Idempotency-Key, Range"
#define CORS_EXPOSED                                                                               \
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id, "     \
    "Content-Disposition, Content-Range, X-Corral-Ignored, X-Corral-Reason"

bool cors_is_on(const char *policy)
{
    return strcmp(policy, "off") != 0;
}

static bool cors_allows(const char *policy, const struct http_str *origin)
{
    if (strcmp(policy, "*") == 0)
        return true;
    if (origin == NULL || memchr(origin->data, ',', origin->len) != NULL)
        return false;
    for (const char *p = policy;;) {
        size_t len = strcspn(p, ",");
        if (len == origin->len && memcmp(p, origin->data, len) == 0)
            return true;
        if (p[len] == '\0')
            return false;
        p += len + 1;
    }
}

void cors_add_headers(struct http_request *req, const char *policy)
{
    const struct http_str *origin = http_header(req, "Origin");
    bool any = strcmp(policy, "*") == 0;
    if (!cors_is_on(policy))
        return;
    /* A cache must not give one origin's answer to another, nor the answer of a request without
     * one. */
    if (!any)
        (void)http_add_header(req, "Vary", "Origin");
    if (!cors_allows(policy, origin))
        return;
    (void)http_add_header(req, "Access-Control-Allow-Origin", any ? "*" : origin->data);
    if (req->method != METHOD_OPTIONS)
        (void)http_add_header(req, "Access-Control-Expose-Headers", CORS_EXPOSED);
}

/* Header names with commas and blanks between them. */
static bool cors_is_name_list(const struct http_str *s)
{
    for (size_t i = 0; i < s->len; i++) {
        unsigned char c = (unsigned char)s->data[i];
        if (!isalnum(c) && strchr("-_, ", c) == NULL)
            return false;
    }
    return s->len > 0 && s->len <= CORS_MAX_REQUEST;
}

void cors_answer_options(struct http_request *req, const char *policy, const char *allow)
{
    const struct http_str *wanted = http_header(req, "Access-Control-Request-Headers");
    (void)http_add_header(req, "Allow", allow);
    if (http_header(req, "Access-Control-Request-Method") != NULL &&
        cors_allows(policy, http_header(req, "Origin"))) {
        bool names = wanted != NULL && cors_is_name_list(wanted);
        (void)http_add_header(req, "Access-Control-Allow-Methods", allow);
        /* Published clients send headers of their own, which the server ignores. */
        (void)http_add_header(req, "Access-Control-Allow-Headers",
                              names ? wanted->data : CORS_HEADERS);
        (void)http_add_header(req, "Access-Control-Max-Age", CORS_MAX_AGE);
    }
    http_reply(req, 204, NULL, NULL, 0);
}
