/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a request that every client chooses: a query (also as forms write it, and without a
 * token of ours), a Range, the type of a form. The first byte chooses the size of a file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/port_auth.h"
#include "api/range.h"
#include "http/http.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

static void query(struct http_request *req)
{
    static const char *const names[] = {"", "a", "path", "corral_token"};
    struct http_str rest = req->query, name, value;
    const char *end = rest.data + rest.len;
    while (http_query_next(&rest, &name, &value)) {
        require(name.data >= req->query.data && name.data + name.len <= end);
        require(value.data >= name.data && value.data + value.len <= end);
        const char *plain = http_unescape(req, value.data, value.len);
        require(plain == NULL || strlen(plain) <= value.len);
    }
    require(rest.len == 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *as_form = http_form_query(req, names[i]);
        const char *as_path = http_query(req, names[i]);
        require((as_form == NULL) == (as_path == NULL));
        require(as_path == NULL || strlen(as_path) == strlen(as_form));
    }
    req->query.data = port_auth_query(req);
    req->query.len = strlen(req->query.data);
    require(http_query(req, PORT_AUTH_QUERY) == NULL);
    rest = req->query;
    while (http_query_next(&rest, &name, &value))
        require(name.len != strlen(PORT_AUTH_QUERY) ||
                memcmp(name.data, PORT_AUTH_QUERY, name.len) != 0);
}

/* What is taken says the same when it is written again. */
static void range_again(const struct range *r)
{
    char text[64];
    if (r->suffix)
        (void)snprintf(text, sizeof(text), "bytes=-%" PRIu64, r->first);
    else if (r->last == UINT64_MAX)
        (void)snprintf(text, sizeof(text), "bytes=%" PRIu64 "-", r->first);
    else
        (void)snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, r->first, r->last);
    struct range again = range_parse(text);
    require(again.wanted && again.suffix == r->suffix);
    require(again.first == r->first && again.last == r->last);
}

static void range(const char *text, uint64_t file)
{
    struct range r = range_parse(text);
    require(r.wanted || (r.first == 0 && r.last == UINT64_MAX && !r.suffix));
    if (!r.wanted)
        return;
    range_again(&r);
    uint64_t asked = r.first, most = r.last;
    bool suffix = r.suffix;
    if (!range_fit(&r, file)) {
        require(suffix ? asked == 0 || file == 0 : asked >= file);
        return;
    }
    require(r.first <= r.last && r.last < file);
    require(suffix ? r.last - r.first < asked : r.first == asked && r.last <= most);
}

static int take_part(struct multipart *m, const char *name, const char *filename)
{
    return 0;
}

static int take_data(struct multipart *m, const uint8_t *data, size_t len)
{
    return 0;
}

static int take_end(struct multipart *m)
{
    return 0;
}

/* A form of no parts in the boundary that the type names is complete. */
static void form(const char *type)
{
    static const struct multipart_handler handler = {take_part, take_data, take_end};
    struct multipart m;
    if (multipart_init(&m, type, &handler) < 0)
        return;
    require(m.delimiter_len > 4 && m.delimiter_len <= sizeof(m.delimiter));
    uint8_t end[sizeof(m.delimiter)];
    size_t len = m.delimiter_len - 2; /* without the line end in front of it */
    memcpy(end, m.delimiter + 2, len);
    require(multipart_feed(&m, end, len) >= 0 && !multipart_complete(&m));
    require(multipart_feed(&m, (const uint8_t *)"--", 2) >= 0 && multipart_complete(&m));
    multipart_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request req;
    if (size < 1)
        return 0;
    uint64_t file = data[0] < 64 ? data[0] : UINT64_MAX >> (data[0] & 63);
    char *text = strndup((const char *)data + 1, size - 1);
    require(text != NULL);
    memset(&req, 0, sizeof(req));
    req.query = (struct http_str){text, strlen(text)};
    query(&req);
    arena_done(&req.arena);
    range(text, file);
    form(text);
    free(text);
    return 0;
}
