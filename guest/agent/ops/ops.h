/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - the table of operations. Each lives in its op_*.c. */
#ifndef CORRAL_AGENT_OPS_OPS_H
#define CORRAL_AGENT_OPS_OPS_H

#include "agent/conn.h"

extern const struct op op_ping, op_configure, op_clock, op_exec, op_read, op_write, op_list,
    op_remove, op_mkdir, op_stat_path, op_port, op_code, op_keep, op_attach, op_forget;

/* NULL: no request of the agent's has this type. Code requests are not in the table. */
const struct op *ops_find(enum wire_type type);

#endif
