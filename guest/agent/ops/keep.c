/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c - KEEP, ATTACH and FORGET: the connections of kept operations (kept.h).
 *
 * state      waits for                              at most
 * WAITING    the request behind KEEP                CONN_REQUEST_US
 * VIEWING    more of the record; FORGET. The         as long as the operation runs
 *            server may close: that ends the view
 *            and not the operation
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/conn.h"
#include "agent/kept.h"
#include "agent/ops/ops.h"

struct keeping {
    struct kept_view view;
    char key[WIRE_MAX_KEY + 1];
    uint32_t keep;
    bool waiting; /* for the request behind KEEP */
};

static struct keeping *keeping_new(struct conn *c, const struct request *req)
{
    struct keeping *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        conn_errno(c, -ENOMEM, "the operation cannot be kept");
        return NULL;
    }
    memcpy(k->key, req->key, strlen(req->key) + 1);
    k->keep = req->keep;
    c->op_state = k;
    return k;
}

static void keep_start(struct conn *c, struct request *req)
{
    struct keeping *k = keeping_new(c, req);
    if (k == NULL)
        return;
    k->waiting = true;
    /* The frame behind KEEP may be a CODE_RUN, which is as large as frames get. */
    c->reader.max_payload = WIRE_MAX_PAYLOAD;
    loop_timer_start(&c->agent->loop, &c->timer, CONN_REQUEST_US);
}

static void keep_not_found(struct conn *c, const char *key)
{
    if (kept_was_lost(c->agent->kepts, key))
        conn_error(c, WIRE_E_EXISTS, "the record of the operation was dropped to make room");
    else
        conn_error(c, WIRE_E_NOT_FOUND, "there is no such operation");
}

static void attach_start(struct conn *c, struct request *req)
{
    struct kept *kept = kept_find(c->agent->kepts, req->key);
    struct keeping *k = keeping_new(c, req);
    if (k == NULL)
        return;
    if (kept == NULL)
        keep_not_found(c, req->key);
    else
        kept_view_start(&k->view, kept, c);
}

static void keep_forget(struct conn *c, const char *key)
{
    struct kept *kept = kept_find(c->agent->kepts, key);
    if (kept == NULL) {
        keep_not_found(c, key);
        return;
    }
    kept_forget(kept);
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

static void forget_start(struct conn *c, struct request *req)
{
    keep_forget(c, req->key);
}

static void keep_request(struct conn *c, struct keeping *k, const struct wire_frame *f)
{
    const char *why = NULL;
    struct kept *kept = NULL;
    int rv = request_check_kept(f, &why);
    if (rv == -EPROTO) {
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x cannot be kept", (unsigned)f->type);
        return;
    }
    if (rv < 0) {
        conn_error(c, WIRE_E_INVALID, "%s", why);
        return;
    }
    rv = kept_start(c->agent->kepts, k->key, k->keep, f, &kept);
    if (rv == -EEXIST) {
        conn_error(c, WIRE_E_BUSY, "an operation with this key is kept already");
    } else if (rv == -EBUSY) {
        conn_error(c, WIRE_E_BUSY, "%d kept operations run already", KEPT_MAX);
    } else if (rv < 0) {
        conn_errno(c, rv, "the operation cannot be kept");
    } else {
        k->waiting = false;
        timer_stop(&c->timer);
        c->reader.max_payload = WIRE_CHUNK;
        kept_view_start(&k->view, kept, c);
    }
}

static void keep_frame(struct conn *c, const struct wire_frame *f)
{
    struct keeping *k = c->op_state;
    cleanup_request struct request req = {0};
    const char *why = NULL;
    if (k->waiting) {
        keep_request(c, k, f);
    } else if (f->type == WIRE_FORGET && request_parse(f, &req, &why) == 0 &&
               strcmp(req.key, k->key) == 0) {
        kept_view_stop(&k->view);
        keep_forget(c, k->key);
    } else {
        conn_error(c, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here", (unsigned)f->type);
    }
}

static void keep_writable(struct conn *c)
{
    struct keeping *k = c->op_state;
    kept_view_advance(&k->view);
}

/* Only the view ends. The operation has a connection of its own (kept.c) and continues. */
static void keep_stop(struct conn *c)
{
    struct keeping *k = c->op_state;
    if (k != NULL)
        kept_view_stop(&k->view);
}

const struct op op_keep = {
    .type = WIRE_KEEP,
    .start = keep_start,
    .frame = keep_frame,
    .writable = keep_writable,
    .stop = keep_stop,
};

const struct op op_attach = {
    .type = WIRE_ATTACH,
    .start = attach_start,
    .frame = keep_frame,
    .writable = keep_writable,
    .stop = keep_stop,
};

const struct op op_forget = {.type = WIRE_FORGET, .start = forget_start};
