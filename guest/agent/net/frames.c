/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.c - a frame is judged as soon as its header is complete: what may follow what is the
 * table of `at`, and every other frame, length or reserved bit ends the connection.
 */
#include "agent/net/frames.h"

#include <errno.h>
#include <string.h>

#include "flow.h"

static uint32_t frames_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void frames_header(uint8_t out[FRAMES_HEADER], unsigned int type, size_t len)
{
    for (unsigned int i = 0; i < 4; i++)
        out[i] = (uint8_t)(len >> (8 * i));
    out[4] = (uint8_t)type;
    out[5] = (uint8_t)(type >> 8);
    out[6] = out[7] = 0;
}

static void fill_head(struct frames *f, size_t want, const uint8_t **p, size_t *len)
{
    size_t n = want - f->head_len < *len ? want - f->head_len : *len;
    memcpy(f->head + f->head_len, *p, n);
    f->head_len += n;
    *p += n;
    *len -= n;
}

static int end_frame(struct frames *f, int at, int event)
{
    f->head_len = 0;
    f->at = at;
    return event;
}

static int judge_start(struct frames *f, uint32_t type, uint32_t length)
{
    if (type == FLOW_OPENED && length == 0)
        return end_frame(f, FRAMES_AT_FLOW, FRAMES_OPENED);
    if (type != FLOW_REFUSED || length != 4)
        return -EPROTO;
    if (f->head_len < FRAMES_HEADER + 4)
        return FRAMES_MORE;
    f->reason = frames_get32(f->head + FRAMES_HEADER);
    return end_frame(f, FRAMES_AT_END, FRAMES_REFUSED);
}

static int judge_flow(struct frames *f, uint32_t type, uint32_t length)
{
    if (type == FLOW_RST && length == 0)
        return end_frame(f, FRAMES_AT_END, FRAMES_RST);
    if (f->at != FRAMES_AT_FLOW)
        return -EPROTO;
    if (type == FLOW_FIN && length == 0)
        return end_frame(f, FRAMES_AT_FIN, FRAMES_FIN);
    if (type != FLOW_DATA || length == 0 || length > FLOW_MAX_PAYLOAD)
        return -EPROTO;
    f->body_left = length;
    return end_frame(f, FRAMES_AT_FLOW, FRAMES_MORE);
}

static int judge(struct frames *f)
{
    uint32_t length = frames_get32(f->head),
             type = (uint32_t)f->head[4] | (uint32_t)f->head[5] << 8;
    if ((f->head[6] | f->head[7]) != 0)
        return -EPROTO;
    return f->at == FRAMES_AT_START ? judge_start(f, type, length) : judge_flow(f, type, length);
}

int frames_next(struct frames *f, const uint8_t **p, size_t *len)
{
    while (*len > 0) {
        if (f->at == FRAMES_AT_END)
            return -EPROTO;
        if (f->body_left > 0) {
            f->data = *p;
            f->data_len = f->body_left < *len ? f->body_left : *len;
            return FRAMES_DATA;
        }
        fill_head(f, f->head_len < FRAMES_HEADER ? FRAMES_HEADER : FRAMES_HEADER + 4, p, len);
        int event = f->head_len < FRAMES_HEADER ? FRAMES_MORE : judge(f);
        if (event != FRAMES_MORE)
            return event;
    }
    return FRAMES_MORE;
}

void frames_take(struct frames *f, const uint8_t **p, size_t *len, size_t n)
{
    f->body_left -= n;
    *p += n;
    *len -= n;
}
