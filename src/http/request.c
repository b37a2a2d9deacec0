/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - what an app reads of a request: headers, query, the client; and the pace at which it
 * takes the body. */
#include <string.h>
#include <strings.h>

#include "http/conn.h"

static const char *const http_methods[METHOD_COUNT] = {
    [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",   [METHOD_POST] = "POST",
    [METHOD_PUT] = "PUT",         [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
    [METHOD_OPTIONS] = "OPTIONS",
};

const char *http_method_str(enum http_method m)
{
    return m < METHOD_COUNT ? http_methods[m] : "?";
}

const struct http_str *http_header(const struct http_request *req, const char *name)
{
    for (unsigned int i = 0; i < req->n_headers; i++) {
        if (strcasecmp(req->headers[i].name.data, name) == 0)
            return &req->headers[i].value;
    }
    return NULL;
}

static int request_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *http_unescape(struct http_request *req, const char *data, size_t len)
{
    char *out = len < SIZE_MAX ? arena_alloc(&req->arena, len + 1) : NULL;
    size_t n = 0;
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '%') {
            out[n++] = data[i];
            continue;
        }
        if (len - i < 3)
            return NULL;
        int high = request_hex(data[i + 1]);
        int low = request_hex(data[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return NULL;
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    out[n] = '\0';
    return out;
}

bool http_query_next(struct http_str *rest, struct http_str *name, struct http_str *value)
{
    if (rest->len == 0)
        return false;
    const char *stop = memchr(rest->data, '&', rest->len);
    size_t len = stop != NULL ? (size_t)(stop - rest->data) : rest->len;
    const char *equals = memchr(rest->data, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - rest->data) : len;
    *name = (struct http_str){rest->data, name_len};
    *value = equals != NULL ? (struct http_str){equals + 1, len - name_len - 1}
                            : (struct http_str){rest->data + len, 0};
    len += stop != NULL;
    rest->data += len;
    rest->len -= len;
    return true;
}

/* What follows the name and "=" in the query; "" without "=". False: there is no such parameter. */
static bool http_query_find(const struct http_request *req, const char *name, struct http_str *ret)
{
    size_t name_len = strlen(name);
    const char *at = req->query.data;
    const char *end = at + req->query.len;
    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        size_t len = (size_t)(stop - at);
        if (len >= name_len && memcmp(at, name, name_len) == 0 &&
            (len == name_len || at[name_len] == '=')) {
            bool empty = len == name_len;
            *ret = (struct http_str){at + name_len + !empty, len - name_len - !empty};
            return true;
        }
        at = stop + 1;
    }
    return false;
}

const char *http_query(struct http_request *req, const char *name)
{
    struct http_str value;
    return http_query_find(req, name, &value) ? http_unescape(req, value.data, value.len) : NULL;
}

const char *http_form_query(struct http_request *req, const char *name)
{
    struct http_str value;
    if (!http_query_find(req, name, &value))
        return NULL;
    char *copy = arena_strndup(&req->arena, value.data, value.len);
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        *p = *p == '+' ? ' ' : *p;
    return copy != NULL ? http_unescape(req, copy, value.len) : NULL;
}

const char *http_peer(struct http_request *req)
{
    struct sockaddr_storage addr;
    char text[INET6_ADDRSTRLEN];
    int len = sizeof(addr);
    const uv_tcp_t *tcp = &req->conn->stream.uv.tcp;
    if (uv_tcp_getpeername(tcp, (struct sockaddr *)&addr, &len) < 0)
        return "";
    int rv = addr.ss_family == AF_INET6
                 ? uv_ip6_name((const struct sockaddr_in6 *)&addr, text, sizeof(text))
                 : uv_ip4_name((const struct sockaddr_in *)&addr, text, sizeof(text));
    char *copy = rv == 0 ? arena_printf(&req->arena, "%s", text) : NULL;
    return copy != NULL ? copy : "";
}

void http_body_pause(struct http_request *req)
{
    req->conn->body_paused = true;
    http_conn_kick(req->conn);
}

void http_body_resume(struct http_request *req)
{
    req->conn->body_paused = false;
    http_conn_kick(req->conn);
}
