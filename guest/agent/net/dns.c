/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - reads with the bounds-checked cursor of base/buf.h.
 *
 * Theory of operation. A question's name is never compressed: there is nothing before it that it
 * could point to. So a pointer there is malformed, and no name is ever followed anywhere. Records
 * behind the question are read only to find OPT; their names may end in a pointer, which is
 * skipped.
 */
#include "agent/net/dns.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define FLAG_RESPONSE 0x8000u
#define FLAG_OPCODE   0x7800u
#define FLAG_KEPT     0x7900u /* what an answer repeats: opcode, recursion desired */
#define FLAG_RECURSES 0x0080u
#define CLASS_IN      1u
#define CLASS_ANY     255u
#define POINTER       0xc0u
#define NAME_AT       0xc00cu /* a pointer to the question's name */
#define RECORDS_MAX   16u
#define EDNS_SIZE     1232u
#define OPTION_EDE    15u
#define LABEL_MAX     63u

static uint16_t dns_get16(struct cursor *c)
{
    uint16_t high = cursor_u8(c);
    return (uint16_t)(high << 8 | cursor_u8(c));
}

/* The root's label is read too. Bytes that no host name has become '?', which no valid name has. */
static bool read_name(struct cursor *c, char name[DNS_NAME_MAX + 1])
{
    size_t used = 0;
    for (;;) {
        size_t len = cursor_u8(c);
        if (!cursor_ok(c) || len > LABEL_MAX)
            return false;
        if (len == 0)
            break;
        const uint8_t *label = cursor_bytes(c, len);
        if (label == NULL || used + len + (used > 0) > DNS_NAME_MAX)
            return false;
        if (used > 0)
            name[used++] = '.';
        for (size_t i = 0; i < len; i++) {
            int ch = label[i] < 0x80 ? tolower(label[i]) : '?';
            name[used++] = isalnum(ch) || ch == '-' || ch == '_' ? (char)ch : '?';
        }
    }
    name[used] = '\0';
    return true;
}

static bool skip_name(struct cursor *c)
{
    for (;;) {
        size_t len = cursor_u8(c);
        if (!cursor_ok(c))
            return false;
        if (len == 0)
            return true;
        if ((len & POINTER) == POINTER) {
            (void)cursor_u8(c);
            return cursor_ok(c);
        }
        if (len > LABEL_MAX || cursor_bytes(c, len) == NULL)
            return false;
    }
}

static bool read_record(struct cursor *c, struct dns_query *q)
{
    if (!skip_name(c))
        return false;
    uint16_t type = dns_get16(c);
    (void)cursor_bytes(c, 6); /* class, TTL */
    (void)cursor_bytes(c, dns_get16(c));
    if (type == DNS_OPT)
        q->edns = true;
    return cursor_ok(c);
}

static int read_question(struct cursor *c, struct dns_query *q)
{
    const uint8_t *start = c->p;
    if (!read_name(c, q->name))
        return DNS_FORMERR;
    q->type = dns_get16(c);
    uint16_t class = dns_get16(c);
    if (!cursor_ok(c))
        return DNS_FORMERR;
    q->question_len = (size_t)(c->p - start);
    memcpy(q->question, start, q->question_len);
    return class == CLASS_IN || class == CLASS_ANY ? 0 : DNS_REFUSED;
}

int dns_parse(struct dns_query *q, const uint8_t *message, size_t len)
{
    struct cursor c = cursor_on(message, len);
    memset(q, 0, sizeof(*q));
    q->id = dns_get16(&c);
    q->flags = dns_get16(&c);
    unsigned int questions = dns_get16(&c), answers = dns_get16(&c), authorities = dns_get16(&c),
                 additional = dns_get16(&c);
    if (!cursor_ok(&c) || (q->flags & FLAG_RESPONSE) != 0)
        return -EBADMSG;
    if ((q->flags & FLAG_OPCODE) != 0)
        return DNS_NOTIMP;
    if (questions != 1 || answers != 0 || authorities != 0 || additional > RECORDS_MAX)
        return DNS_FORMERR;
    int rv = read_question(&c, q);
    for (unsigned int i = 0; rv != DNS_FORMERR && i < additional; i++) {
        if (!read_record(&c, q))
            rv = DNS_FORMERR;
    }
    return rv == 0 && !cursor_end(&c) ? DNS_FORMERR : rv;
}

struct writer {
    uint8_t *out;
    size_t len;
};

static void dns_put16(struct writer *w, uint32_t v)
{
    w->out[w->len++] = (uint8_t)(v >> 8);
    w->out[w->len++] = (uint8_t)v;
}

static void put_record(struct writer *w, enum dns_type type, size_t data_len)
{
    dns_put16(w, NAME_AT);
    dns_put16(w, type);
    dns_put16(w, CLASS_IN);
    dns_put16(w, 0);
    dns_put16(w, DNS_TTL);
    dns_put16(w, (uint32_t)data_len);
}

static unsigned int put_answer(struct writer *w, const struct dns_reply *r)
{
    if (r->has_a) {
        put_record(w, DNS_A, 4);
        dns_put16(w, r->a >> 16);
        dns_put16(w, r->a & 0xffff);
    } else if (r->loopback6) {
        static const uint8_t loopback[16] = {[15] = 1};
        put_record(w, DNS_AAAA, sizeof(loopback));
        memcpy(w->out + w->len, loopback, sizeof(loopback));
        w->len += sizeof(loopback);
    } else if (r->host != NULL) {
        put_record(w, DNS_PTR, strlen(r->host) + 2);
        for (const char *label = r->host; label != NULL;) {
            size_t n = strcspn(label, ".");
            w->out[w->len++] = (uint8_t)n;
            memcpy(w->out + w->len, label, n);
            w->len += n;
            label = label[n] == '.' ? label + n + 1 : NULL;
        }
        w->out[w->len++] = 0;
    } else {
        return 0;
    }
    return 1;
}

static void put_opt(struct writer *w, bool blocked)
{
    w->out[w->len++] = 0;
    dns_put16(w, DNS_OPT);
    dns_put16(w, EDNS_SIZE);
    dns_put16(w, 0); /* extended rcode, version */
    dns_put16(w, 0);
    dns_put16(w, blocked ? 6 : 0);
    if (!blocked)
        return;
    dns_put16(w, OPTION_EDE);
    dns_put16(w, 2);
    dns_put16(w, DNS_EDE_BLOCKED);
}

size_t dns_write(const struct dns_query *q, const struct dns_reply *r, uint8_t out[DNS_ANSWER_MAX])
{
    struct writer w = {.out = out};
    dns_put16(&w, q->id);
    dns_put16(&w, FLAG_RESPONSE | (q->flags & FLAG_KEPT) | FLAG_RECURSES | r->rcode);
    dns_put16(&w, q->question_len > 0);
    size_t answers_at = w.len;
    dns_put16(&w, 0);
    dns_put16(&w, 0);
    dns_put16(&w, q->edns);
    memcpy(out + w.len, q->question, q->question_len);
    w.len += q->question_len;
    if (q->question_len > 0)
        out[answers_at + 1] = (uint8_t)put_answer(&w, r);
    if (q->edns)
        put_opt(&w, r->blocked);
    return w.len;
}

bool dns_reverse_address(const char *name, uint32_t *ret)
{
    unsigned int b[4];
    int end = 0;
    if (strlen(name) > 28 ||
        sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &b[3], &b[2], &b[1], &b[0], &end) != 4 ||
        end == 0 || name[end] != '\0')
        return false;
    *ret = 0;
    for (size_t i = 0; i < 4; i++) {
        if (b[i] > 255)
            return false;
        *ret = *ret << 8 | b[i];
    }
    return true;
}
