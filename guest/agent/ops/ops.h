/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - the operations, by name. serve.c has the table that finds them by request; op_code is not
 * in it, because code requests are recognised by their header alone. */
#ifndef CORRAL_AGENT_OPS_OPS_H
#define CORRAL_AGENT_OPS_OPS_H

#include "agent/conn.h"

extern const struct op op_ping, op_configure, op_clock, op_exec, op_read, op_write, op_list,
    op_remove, op_mkdir, op_stat_path, op_port, op_code, op_keep, op_attach, op_forget,
    op_process_start, op_process_list, op_process_attach, op_process_input, op_process_signal,
    op_process_resize, op_process_forget, op_info_path, op_list_tree, op_move, op_copy, op_chmod,
    op_chown, op_find, op_replace, op_watch, op_trust, op_pack, op_unpack;

#endif
