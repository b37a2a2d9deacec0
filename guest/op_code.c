/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

static void code_start(struct conn *c, struct request *req)
{
    conn_error(c, WIRE_E_UNAVAILABLE, "the template has no code bridge");
}

static void code_stop(struct conn *c)
{
}

const struct op op_code = {.type = WIRE_CODE_FIRST, .start = code_start, .stop = code_stop};
