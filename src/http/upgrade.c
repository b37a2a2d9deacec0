/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade.c - the calls of an app that leaves HTTP. Bytes then pass unchanged both ways; the state
 * CONN_RAW in conn.c moves them. */
#include <errno.h>

#include "http/conn.h"

int http_upgrade(struct http_request *req, const struct http_raw *raw)
{
    struct http_conn *c = req->conn;
    if (c->state != CONN_HANDLE || c->owes_ready || c->answer.state != ANSWER_NONE || c->broken)
        return -EINVAL;
    c->raw = raw;
    c->owes_ended = true;
    c->answer = (struct http_answer){.state = ANSWER_STARTED, .left = -1};
    c->state = CONN_RAW;
    http_conn_kick(c); /* bytes read ahead are the first ones */
    return 0;
}

void http_raw_write(struct http_request *req, const void *data, size_t len)
{
    uv_buf_t b = {.base = (char *)data, .len = len};
    if (req->conn->state == CONN_RAW && req->conn->answer.state != ANSWER_DONE)
        http_conn_send(req->conn, &b, 1, NULL);
}

void http_raw_end(struct http_request *req)
{
    if (req->conn->state != CONN_RAW)
        return;
    req->conn->answer.state = ANSWER_DONE;
    http_conn_kick(req->conn);
}
