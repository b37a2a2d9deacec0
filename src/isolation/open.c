/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/open.h"

#include "base/log.h"
#include "isolation/kvm/probe.h"

static struct isolation_driver *isolation_open_oci(uv_loop_t *loop, const struct config *config,
                                                   struct error *err)
{
    if (!config_is_loopback(&config->listen) && !config->allow_weak_isolation) {
        error_set(
            err, ERROR_INVALID_ARGUMENT,
            "Containers are a weaker wall than microVMs: they are served on a loopback address "
            "only, unless --allow-weak-isolation is given");
        return NULL;
    }
    return oci_driver_new(loop, config->state_dir, config->oci_runtime, err);
}

struct isolation_driver *isolation_open(uv_loop_t *loop, const struct config *config,
                                        struct error *err)
{
    struct isolation_driver *driver = NULL;
    struct kvm_probe_result probe;
    struct error reason = {0};
    char quoted[300];
    if (config->isolation == ISOLATION_OCI)
        return isolation_open_oci(loop, config, err);
    if (kvm_probe(&probe, &reason) == 0)
        driver = kvm_driver_new(loop, config->state_dir, config->vmm, &reason);
    if (driver != NULL)
        return driver;
    if (config->isolation == ISOLATION_KVM) {
        *err = reason;
        return NULL;
    }
    log_warn("sandboxes are containers, not microVMs", "reason=%s",
             log_quote(quoted, sizeof(quoted), reason.message));
    return isolation_open_oci(loop, config, err);
}
