/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/command.h"
#include "isolation/kvm/probe.h"

int probe_cmd(const struct config *config, struct error *err)
{
    struct kvm_probe_result probe;
    if (config->n_args > 1)
        return CMD_USAGE;
    int rv = kvm_probe(&probe, err);
    if (rv == 0)
        printf("KVM can be used: a guest runs %" PRIu64 " million instructions a second\n",
               probe.rate / 1000000);
    return rv;
}
