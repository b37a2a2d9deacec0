/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers of DNS, and the frames of the host. */
#include "agent/net/dns.h"

#include <errno.h>

#include "agent/net/frames.h"
#include "flow.h"
#include "t.h"

static const uint8_t asked[] = {
    0x12, 0x34, 0x01, 0x00, 0, 1,    0,   0,   0,   0, 0, 1, /* with OPT */
    3,    'W',  'w',  'w',  4, 'T',  'e', 's', 't', 0, 0, 1, 0,
    1,    0,    0,    41,   4, 0xd0, 0,   0,   0,   0, 0, 0,
};

static int parse(struct dns_query *q, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    T_TRUE(copy != NULL);
    memcpy(copy, bytes, len);
    int rv = dns_parse(q, copy, len);
    free(copy);
    return rv;
}

static void reads_a_question(void)
{
    struct dns_query q;
    T_EQ(parse(&q, asked, sizeof(asked)), 0);
    T_STR(q.name, "www.test");
    T_EQ(q.id, 0x1234);
    T_EQ(q.type, DNS_A);
    T_TRUE(q.edns);
    T_MEM(q.question, q.question_len, asked + 12, 14);
}

static void refuses_every_truncation(void)
{
    struct dns_query q;
    for (size_t len = 0; len < sizeof(asked); len++)
        T_EQ(parse(&q, asked, len), len < 12 ? -EBADMSG : DNS_FORMERR);
}

static void refuses_what_it_cannot_read(void)
{
    static const struct {
        size_t at;
        uint8_t value;
        int rv;
    } lies[] = {
        {2, 0x81, -EBADMSG},   /* an answer */
        {2, 0x29, DNS_NOTIMP}, /* an update */
        {5, 0, DNS_FORMERR},     {5, 2, DNS_FORMERR},   {7, 1, DNS_FORMERR},
        {9, 1, DNS_FORMERR},     {10, 1, DNS_FORMERR},  {12, 0xc0, DNS_FORMERR},
        {12, 0x40, DNS_FORMERR}, {12, 63, DNS_FORMERR}, {25, 3, DNS_REFUSED},
        {36, 1, DNS_FORMERR},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct dns_query q;
        uint8_t bytes[sizeof(asked)];
        memcpy(bytes, asked, sizeof(bytes));
        bytes[lies[i].at] = lies[i].value;
        int rv = parse(&q, bytes, sizeof(bytes));
        if (rv != lies[i].rv)
            T_FAIL("case %zu: %d", i, rv);
    }
}

static void names_have_a_length(void)
{
    struct dns_query q;
    uint8_t bytes[12 + 300] = {0, 1, 1, 0, 0, 1};
    for (size_t i = 0; i < 4; i++) {
        bytes[12 + i * 64] = i < 3 ? 63 : 61;
        memset(bytes + 13 + i * 64, 'a', i < 3 ? 63 : 61);
    }
    uint8_t *end = bytes + 12 + 3 * 64 + 62;
    memcpy(end, (uint8_t[]){0, 0, 1, 0, 1}, 5);
    T_EQ(parse(&q, bytes, (size_t)(end + 5 - bytes)), 0);
    T_EQ(strlen(q.name), DNS_NAME_MAX);
    T_EQ(q.question_len, DNS_QUESTION_MAX);
    bytes[12 + 3 * 64] = 62;
    end[0] = 'a';
    memcpy(end + 1, (uint8_t[]){0, 0, 1, 0, 1}, 5);
    T_EQ(parse(&q, bytes, (size_t)(end + 6 - bytes)), DNS_FORMERR);
}

static void odd_bytes_make_no_name(void)
{
    struct dns_query q;
    uint8_t bytes[sizeof(asked)];
    static const uint8_t odd[] = {0, '.', ' ', 0xff, '*', '/'};
    for (size_t i = 0; i < sizeof(odd); i++) {
        memcpy(bytes, asked, sizeof(bytes));
        bytes[14] = odd[i];
        T_EQ(parse(&q, bytes, sizeof(bytes)), 0);
        T_STR(q.name, "w?w.test");
    }
}

static void writes_answers(void)
{
    struct dns_query q;
    uint8_t out[DNS_ANSWER_MAX];
    char longest[DNS_NAME_MAX + 1] = {0};
    T_EQ(parse(&q, asked, sizeof(asked)), 0);
    size_t len = dns_write(&q, &(struct dns_reply){.has_a = true, .a = 0xc6120101u}, out);
    static const uint8_t expected[] = {
        0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0,    0,  0,    1, 3, 'W', 'w', 'w', 4, 'T',
        'e',  's',  't',  0,    0, 1, 0, 1, 0xc0, 12, 0,    1, 0, 1,   0,   0,   0, 60,
        0,    4,    198,  18,   1, 1, 0, 0, 41,   4,  0xd0, 0, 0, 0,   0,   0,   0,
    };
    T_MEM(out, len, expected, sizeof(expected));
    len = dns_write(&q, &(struct dns_reply){.rcode = DNS_NXDOMAIN, .blocked = true}, out);
    T_EQ(out[3] & 15, DNS_NXDOMAIN);
    T_MEM(out + len - 6, 6, ((uint8_t[]){0, 15, 0, 2, 0, 15}), 6);
    /* The longest there can be. */
    for (size_t i = 0; i < DNS_NAME_MAX; i++)
        longest[i] = i % 64 == 63 ? '.' : 'a';
    q.question_len = DNS_QUESTION_MAX;
    len = dns_write(&q, &(struct dns_reply){.host = longest, .blocked = true}, out);
    T_TRUE(len <= DNS_ANSWER_MAX);
}

static void reads_reverse_names(void)
{
    uint32_t address;
    T_TRUE(dns_reverse_address("1.2.18.198.in-addr.arpa", &address));
    T_EQ(address, 0xc6120201u);
    T_TRUE(!dns_reverse_address("256.2.18.198.in-addr.arpa", &address));
    T_TRUE(!dns_reverse_address("2.18.198.in-addr.arpa", &address));
    T_TRUE(!dns_reverse_address("1.2.18.198.in-addr.arpa.x", &address));
    T_TRUE(!dns_reverse_address("x1.2.18.198.in-addr.arpa", &address));
}

/* A letter per event, and what DATA held, however the stream is cut. */
static void read_frames(const uint8_t *stream, size_t len, size_t step, char *ret)
{
    struct frames f = {0};
    *ret = '\0';
    for (size_t at = 0; at < len; at += step) {
        const uint8_t *p = stream + at;
        size_t left = step < len - at ? step : len - at;
        int event;
        while ((event = frames_next(&f, &p, &left)) != FRAMES_MORE) {
            if (event < 0) {
                strcat(ret, "!");
                return;
            }
            if (event == FRAMES_DATA) {
                strncat(ret, (const char *)f.data, 1);
                frames_take(&f, &p, &left, 1);
            } else {
                strcat(ret, event == FRAMES_OPENED    ? "O"
                            : event == FRAMES_REFUSED ? "R"
                            : event == FRAMES_FIN     ? "F"
                                                      : "X");
            }
        }
    }
}

static size_t put_frame(uint8_t *out, unsigned int type, const char *payload, size_t len)
{
    frames_header(out, type, len);
    memcpy(out + FRAMES_HEADER, payload, len);
    return FRAMES_HEADER + len;
}

static void reads_frames_cut_anywhere(void)
{
    uint8_t s[128];
    size_t n = put_frame(s, FLOW_OPENED, "", 0);
    n += put_frame(s + n, FLOW_DATA, "abc", 3);
    n += put_frame(s + n, FLOW_DATA, "d", 1);
    n += put_frame(s + n, FLOW_FIN, "", 0);
    n += put_frame(s + n, FLOW_RST, "", 0);
    for (size_t step = 1; step <= n; step++) {
        char seen[32];
        read_frames(s, n, step, seen);
        T_STR(seen, "OabcdFX");
    }
}

static void refuses_frames_out_of_place(void)
{
    static const struct {
        unsigned int type;
        size_t len;
        const char *seen;
    } first[] = {{FLOW_DATA, 1, "!"},    {FLOW_FIN, 0, "!"},     {FLOW_RST, 0, "!"},
                 {FLOW_OPENED, 1, "!"},  {FLOW_REFUSED, 3, "!"}, {FLOW_REFUSED, 4, "R"},
                 {FLOW_RESOLVED, 0, "!"}},
      second[] = {{FLOW_DATA, 0, "O!"}, {FLOW_OPENED, 0, "O!"}, {FLOW_REFUSED, 4, "O!"},
                  {FLOW_FIN, 1, "O!"},  {FLOW_RST, 1, "O!"},    {0x10082, 4, "O!"}};
    char seen[32];
    uint8_t s[64];
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        read_frames(s, put_frame(s, first[i].type, "\1\0\0\0", first[i].len), 5, seen);
        T_STR(seen, first[i].seen);
    }
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        size_t n = put_frame(s, FLOW_OPENED, "", 0);
        n += put_frame(s + n, second[i].type, "\1\0\0\0", second[i].len);
        read_frames(s, n, 64, seen);
        T_STR(seen, second[i].seen);
    }
    size_t n = put_frame(s, FLOW_OPENED, "", 0);
    frames_header(s + n, FLOW_DATA, FLOW_MAX_PAYLOAD + 1);
    read_frames(s, n + FRAMES_HEADER, 64, seen);
    T_STR(seen, "O!");
    n += put_frame(s + n, FLOW_FIN, "", 0);
    n += put_frame(s + n, FLOW_DATA, "a", 1);
    s[7] = 1; /* reserved */
    read_frames(s, n, 64, seen);
    T_STR(seen, "!");
}

T_MAIN(T_CASE(reads_a_question), T_CASE(refuses_every_truncation),
       T_CASE(refuses_what_it_cannot_read), T_CASE(names_have_a_length),
       T_CASE(odd_bytes_make_no_name), T_CASE(writes_answers), T_CASE(reads_reverse_names),
       T_CASE(reads_frames_cut_anywhere), T_CASE(refuses_frames_out_of_place))
