/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.c - TRUST makes the sandbox believe a certificate authority. Processes and kernels that
 * start later get the variables for it, unless the sandbox has them already; so do kernels that run
 * for the processes that they start.
 */
#include "agent/trust.h"

#include <errno.h>

#include "agent/agent.h"
#include "agent/bridge.h"
#include "agent/env.h"
#include "agent/ops/ops.h"

/* 0, or a negative errno and the connection has its error. */
static int trust_take(struct conn *c, const char *pem)
{
    struct agent *a = c->agent;
    const char *const *env = NULL;
    int rv = trust_add("", pem, &env);
    if (rv < 0) {
        conn_errno(c, rv, "the certificate cannot be added to those of the system");
        return rv;
    }
    char **more = env_with_defaults(a->env, env);
    if (more == NULL) {
        conn_errno(c, -ENOMEM, "cannot add variables");
        return -ENOMEM;
    }
    free(a->env);
    a->env = more;
    return 0;
}

static void trust_start(struct conn *c, struct request *req)
{
    if (trust_take(c, req->pem) < 0)
        return;
    (void)bridge_changed(c->agent->bridge, false); /* without a seed it cannot fail */
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

const struct op op_trust = {.type = WIRE_TRUST, .start = trust_start};
