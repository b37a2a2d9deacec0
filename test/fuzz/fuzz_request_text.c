/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a request that every client chooses: a query (also as forms write it, and without a
 * token of ours), a Range, a Host. The input's first byte chooses the size of a file. */
#include <stdlib.h>
#include <string.h>

#include "api/port_auth.h"
#include "api/port_host.h"
#include "api/range.h"
#include "http/http.h"

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

static void range(const char *text, uint64_t file)
{
    struct range r = range_parse(text);
    if (r.wanted && range_fit(&r, file))
        require(r.first <= r.last && r.last < file);
}

static void host(const char *text)
{
    char id[ID_SIZE], again[ID_SIZE];
    uint16_t port;
    if (port_host_parse(text, "localhost", id, &port))
        require(port != 0 && id_parse(again, id) == 0 && strcmp(again, id) == 0);
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
    host(text);
    free(text);
    return 0;
}
