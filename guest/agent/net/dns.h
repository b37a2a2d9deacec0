/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - questions and answers of DNS as bytes (RFC 1035, EDNS of RFC 6891). Pure functions.
 */
#ifndef CORRAL_AGENT_NET_DNS_H
#define CORRAL_AGENT_NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX     253u
#define DNS_QUESTION_MAX 259u /* name as labels, type, class */
#define DNS_ANSWER_MAX   640u /* of one answer of ours */
#define DNS_TTL          60u

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
};
#define DNS_EDE_BLOCKED 15u /* RFC 8914 */

struct dns_query {
    uint16_t id;
    uint16_t flags; /* as they came */
    uint16_t type;
    bool edns;
    char name[DNS_NAME_MAX + 1];        /* lower case, without the last dot; "" is the root */
    uint8_t question[DNS_QUESTION_MAX]; /* as it came: some programs mix cases on purpose */
    size_t question_len;                /* 0: there is none to repeat */
};

struct dns_reply {
    enum dns_rcode rcode;
    bool has_a;
    uint32_t a;       /* host order */
    bool loopback6;   /* AAAA ::1 */
    const char *host; /* PTR; NULL: none */
    bool blocked;     /* say so, where the query understands it */
};

/* 0: a question to be answered. A positive enum dns_rcode: to be answered with that. -EBADMSG: not
 * to be answered. */
int dns_parse(struct dns_query *q, const uint8_t *message, size_t len);
size_t dns_write(const struct dns_query *q, const struct dns_reply *r, uint8_t out[DNS_ANSWER_MAX]);
/* The address that a name under in-addr.arpa asks for. */
bool dns_reverse_address(const char *name, uint32_t *ret);

#endif
