/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/frame.h"

#include <errno.h>
#include <string.h>

struct frame_header {
    uint32_t len;
    uint16_t type, reserved;
};

static struct frame_header frame_header_read(const uint8_t *bytes)
{
    struct cursor c = cursor_on(bytes, WIRE_HEADER_SIZE);
    struct frame_header h = {.len = cursor_u32(&c)};
    h.type = cursor_u16(&c);
    h.reserved = cursor_u16(&c);
    return h;
}

static enum frame_step frame_begin(struct frame_walk *w)
{
    struct frame_header h = frame_header_read(w->head);
    w->have = 0;
    if (h.reserved != 0)
        return FRAME_BAD;
    switch (h.type) {
    case FLOW_DATA:
        w->left = h.len;
        return h.len > 0 && h.len <= FLOW_MAX_PAYLOAD ? FRAME_BYTES : FRAME_BAD;
    case FLOW_FIN:
        return h.len == 0 ? FRAME_FIN : FRAME_BAD;
    case FLOW_RST:
        return h.len == 0 ? FRAME_RST : FRAME_BAD;
    default:
        return FRAME_BAD;
    }
}

static void frame_take(struct span *data, size_t len)
{
    data->data += len;
    data->len -= len;
}

enum frame_step frame_next(struct frame_walk *w, struct span *data, size_t most, struct span *ret)
{
    if (w->left == 0) {
        size_t n = MIN(WIRE_HEADER_SIZE - w->have, data->len);
        memcpy(w->head + w->have, data->data, n);
        w->have = (uint8_t)(w->have + n);
        frame_take(data, n);
        if (w->have < WIRE_HEADER_SIZE)
            return FRAME_MORE;
        enum frame_step step = frame_begin(w);
        if (step != FRAME_BYTES)
            return step;
    }
    *ret = (struct span){data->data, MIN(MIN((size_t)w->left, data->len), most)};
    w->left -= (uint32_t)ret->len;
    frame_take(data, ret->len);
    return ret->len > 0 ? FRAME_BYTES : FRAME_MORE;
}

void frame_head(uint8_t ret[WIRE_HEADER_SIZE], enum flow_type type, size_t len)
{
    for (size_t i = 0; i < 4; i++)
        ret[i] = (uint8_t)(len >> (8 * i));
    ret[4] = (uint8_t)type;
    ret[5] = ret[6] = ret[7] = 0;
}

int frame_first_read(struct span data, struct frame_first *ret)
{
    if (data.len < WIRE_HEADER_SIZE)
        return 0;
    struct frame_header h = frame_header_read((const uint8_t *)data.data);
    if (h.reserved != 0 || h.len > FRAME_MAX_FIRST ||
        (h.type != FLOW_OPEN && h.type != FLOW_RESOLVE))
        return -EPROTO;
    if (data.len < WIRE_HEADER_SIZE + h.len)
        return 0;
    struct cursor c = cursor_on(data.data + WIRE_HEADER_SIZE, h.len);
    *ret = (struct frame_first){.type = (enum flow_type)h.type};
    if (h.type == FLOW_RESOLVE)
        ret->id = cursor_u32(&c);
    ret->host = wire_get_span(&c);
    if (h.type == FLOW_OPEN)
        ret->port = cursor_u16(&c);
    return cursor_end(&c) ? (int)(WIRE_HEADER_SIZE + h.len) : -EPROTO;
}

int frame_type(struct span frame, uint16_t *ret, struct cursor *payload)
{
    if (frame.len < WIRE_HEADER_SIZE)
        return -EPROTO;
    struct frame_header h = frame_header_read((const uint8_t *)frame.data);
    if (h.reserved != 0 || h.len != frame.len - WIRE_HEADER_SIZE)
        return -EPROTO;
    *ret = h.type;
    *payload = cursor_on(frame.data + WIRE_HEADER_SIZE, h.len);
    return 0;
}

static bool frame_default_ok(uint32_t v)
{
    return v == EGRESS_PUBLIC || v == EGRESS_DENY;
}

int frame_setup_read(struct cursor *c, struct frame_setup *ret)
{
    *ret = (struct frame_setup){.otherwise = cursor_u32(c)};
    ret->allow = wire_get_list(c);
    ret->deny = wire_get_list(c);
    ret->ca_cert = wire_get_str(c);
    ret->ca_key = wire_get_str(c);
    if (cursor_end(c) && frame_default_ok(ret->otherwise))
        return 0;
    frame_setup_done(ret);
    return -EPROTO;
}

void frame_setup_done(struct frame_setup *s)
{
    free(s->allow);
    free(s->deny);
    free(s->ca_cert);
    if (s->ca_key != NULL)
        explicit_bzero(s->ca_key, strlen(s->ca_key));
    free(s->ca_key);
    *s = (struct frame_setup){.otherwise = 0};
}

static void frame_transforms_read(struct cursor *c, struct frame_policy *p)
{
    uint32_t count = cursor_u32(c);
    if (count > EGRESS_MAX_TRANSFORMS)
        c->bad = true;
    if (count == 0 || c->bad)
        return;
    p->transforms = calloc(count, sizeof(*p->transforms));
    if (p->transforms == NULL) {
        c->bad = true;
        return;
    }
    for (; p->n_transforms < count && cursor_ok(c); p->n_transforms++) {
        struct frame_transform *t = &p->transforms[p->n_transforms];
        t->host = wire_get_str(c);
        t->methods = wire_get_list(c);
        t->paths = wire_get_list(c);
        t->headers = wire_get_list(c);
    }
}

/* The values may be secrets. */
static void frame_transform_done(struct frame_transform *t)
{
    for (char **h = t->headers; h != NULL && *h != NULL; h++)
        explicit_bzero(*h, strlen(*h));
    free(t->host);
    free(t->methods);
    free(t->paths);
    free(t->headers);
}

int frame_policy_read(struct cursor *c, struct frame_policy *ret)
{
    *ret = (struct frame_policy){.id = frame_id_read(c)};
    ret->otherwise = cursor_u32(c);
    ret->allow = wire_get_list(c);
    ret->deny = wire_get_list(c);
    ret->log = cursor_u32(c);
    ret->limits.flows = cursor_u32(c);
    ret->limits.names = cursor_u32(c);
    ret->limits.bytes_per_sec = cursor_u64(c);
    frame_transforms_read(c, ret);
    if (cursor_end(c) && frame_default_ok(ret->otherwise) && ret->log >= EGRESS_LOG_DENIED &&
        ret->log <= EGRESS_LOG_NONE)
        return 0;
    frame_policy_done(ret);
    return -EPROTO;
}

void frame_policy_done(struct frame_policy *p)
{
    free(p->id);
    free(p->allow);
    free(p->deny);
    for (uint32_t i = 0; i < p->n_transforms; i++)
        frame_transform_done(&p->transforms[i]);
    free(p->transforms);
    *p = (struct frame_policy){.id = NULL};
}

char *frame_id_read(struct cursor *c)
{
    char *id = wire_get_str(c);
    if (id != NULL && (id[0] == '\0' || strlen(id) > FRAME_MAX_ID)) {
        free(TAKE_PTR(id));
        c->bad = true;
    }
    return id;
}
