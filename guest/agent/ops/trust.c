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

struct trust {
    struct bridge_call *call; /* the answer waits for it; NULL: for nothing */
};

static void trust_done(struct conn *c)
{
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

static void trust_answered(void *ctx, enum bridge_answer answer)
{
    struct conn *c = ctx;
    struct trust *k = c->op_state;
    k->call = NULL;
    if (answer == BRIDGE_REFUSED)
        conn_error(c, WIRE_E_INTERNAL, "the code bridge did not take the variables");
    else
        trust_done(c);
}

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
    struct agent *a = c->agent;
    bool wait = bridge_is_up(a->bridge);
    struct trust *k = calloc(1, sizeof(*k));
    c->op_state = k;
    if (k == NULL) {
        conn_errno(c, -ENOMEM, "cannot add a certificate");
        return;
    }
    if (trust_take(c, req->pem) < 0)
        return;
    int rv = bridge_call_env(a->bridge, a->env, false, wait ? trust_answered : NULL, c,
                             wait ? &k->call : NULL);
    if (rv < 0)
        conn_errno(c, rv, "code bridge");
    else if (!wait)
        trust_done(c);
}

static void trust_stop(struct conn *c)
{
    struct trust *k = c->op_state;
    if (k != NULL && k->call != NULL)
        bridge_call_forget(TAKE_PTR(k->call));
}

const struct op op_trust = {.type = WIRE_TRUST, .start = trust_start, .stop = trust_stop};
