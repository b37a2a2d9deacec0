/* SPDX-License-Identifier: Apache-2.0 */
/* Control packets of corral-egress: every type reads the payload, and nothing is left behind. */
#include <stdlib.h>
#include <string.h>

#include "egress/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_setup(struct cursor c)
{
    struct frame_setup s;
    struct policy_operator op;
    if (frame_setup_read(&c, &s) < 0)
        return;
    if (policy_operator_read(&op, (const char *const *)s.allow, (const char *const *)s.deny,
                             NULL) == 0)
        policy_operator_done(&op);
    frame_setup_done(&s);
}

static void read_policy(struct cursor c)
{
    struct frame_policy f;
    struct policy p;
    if (frame_policy_read(&c, &f) < 0)
        return;
    if (f.id == NULL || strlen(f.id) > FRAME_MAX_ID)
        abort();
    if (policy_read(&p, (const char *const *)f.allow, (const char *const *)f.deny, NULL) == 0)
        policy_done(&p);
    frame_policy_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c;
    uint16_t type;
    if (frame_type((struct span){(const char *)data, size}, &type, &c) < 0)
        return 0;
    struct cursor id = c;
    free(frame_id_read(&id));
    if (type == EGRESS_SETUP)
        read_setup(c);
    else
        read_policy(c);
    return 0;
}
