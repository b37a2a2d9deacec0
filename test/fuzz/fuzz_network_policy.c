/* SPDX-License-Identifier: Apache-2.0 */
/* The policies of clients: what is accepted prints as a text that reads as the same policy, and
 * fits into a packet that corral-egress can read. */
#include <stdlib.h>
#include <string.h>

#include "egress/frame.h"
#include "network/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packet(const struct network_policy *p)
{
    struct buf packet = {0};
    struct cursor c;
    struct frame_policy f;
    uint16_t type;
    packet_put_policy(&packet, "x", p, EGRESS_DENY, NULL, NULL);
    const struct span s = {(const char *)packet.data, packet.len};
    if (packet.len > EGRESS_MAX_FRAME || frame_type(s, &type, &c) < 0 || type != EGRESS_POLICY ||
        frame_policy_read(&c, &f) < 0)
        abort();
    frame_policy_done(&f);
    buf_done(&packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct network_policy first, second;
    struct buf one = {0}, two = {0};
    struct jsonw w1 = {.out = &one}, w2 = {.out = &two};
    json *j = json_parse_object(data, size, NULL);
    if (j == NULL)
        return 0;
    if (network_policy_read(j, &first, NULL) == 0) {
        check_packet(&first);
        network_policy_print(&w1, &first, 0);
        if (network_policy_parse(buf_cstr(&one), &second, NULL) < 0)
            abort();
        network_policy_print(&w2, &second, 0);
        if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
            abort();
        network_policy_done(&first);
        network_policy_done(&second);
    }
    buf_done(&one);
    buf_done(&two);
    json_free_p(&j);
    return 0;
}
