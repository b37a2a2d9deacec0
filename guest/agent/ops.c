/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ops/ops.h"

static const struct op *const ops_table[] = {
    &op_ping,   &op_configure, &op_clock,     &op_exec, &op_read, &op_write,  &op_list,
    &op_remove, &op_mkdir,     &op_stat_path, &op_port, &op_keep, &op_attach, &op_forget,
};

const struct op *ops_find(enum wire_type type)
{
    for (size_t i = 0; i < ARRAY_SIZE(ops_table); i++) {
        if (ops_table[i]->type == type)
            return ops_table[i];
    }
    return NULL;
}
