/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a message to port 53. Whatever is answered to it must be an answer that fits. */
#include <stdlib.h>
#include <string.h>

#include "agent/net/dns.h"
#include "agent/net/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_query q, again;
    uint8_t out[DNS_ANSWER_MAX];
    uint32_t address;
    int rv = dns_parse(&q, data, size);
    if (rv < 0)
        return 0;
    if (strlen(q.name) > DNS_NAME_MAX || q.question_len > DNS_QUESTION_MAX)
        abort();
    bool valid = names_is_valid(q.name);
    (void)dns_reverse_address(q.name, &address);
    const struct dns_reply replies[] = {
        {.rcode = (enum dns_rcode)rv},
        {.has_a = true, .a = 0xc6120101u},
        {.loopback6 = true},
        {.rcode = DNS_NXDOMAIN, .blocked = true},
        {.host = valid ? q.name : "localhost"},
    };
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        size_t len = dns_write(&q, &replies[i], out);
        if (len < 12 || len > sizeof(out) || dns_parse(&again, out, len) >= 0)
            abort();
    }
    return 0;
}
