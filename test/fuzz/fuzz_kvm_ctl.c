/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM that its guest has taken over says on its control socket. */
#include <stdlib.h>
#include <string.h>

#include "isolation/kvm/ctl_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

static void check(const struct kvm_ctl_msg *m)
{
    char text[256];
    require(strnlen(m->text, sizeof(m->text)) < sizeof(m->text));
    for (const char *p = m->text; *p != '\0'; p++)
        require(*p >= ' ' && *p <= '~');
    require(m->state <= CTL_STATE_EXITED && m->exit <= CTL_EXIT_ERROR);
    require((m->type == CTL_ERROR) == (m->error < 0));
    if (m->type == CTL_EXITED)
        require(strlen(kvm_ctl_msg_reason(m, text, sizeof(text))) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = {.max_payload = CTL_MAX_PAYLOAD};
    struct wire_frame f;
    struct kvm_ctl_msg m;
    require(wire_reader_feed(&r, data, size) == 0);
    while (wire_reader_next(&r, &f) > 0) {
        if (kvm_ctl_msg_decode(&f, &m) == 0)
            check(&m);
    }
    wire_reader_done(&r);
    return 0;
}
