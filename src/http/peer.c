/* SPDX-License-Identifier: Apache-2.0 */
/* peer.c - who is at the other end. */
#include "http/conn.h"

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
