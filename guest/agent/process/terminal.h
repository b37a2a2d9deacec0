/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.h - pseudo-terminals of the sandbox's devpts. */
#ifndef CORRAL_AGENT_PROCESS_TERMINAL_H
#define CORRAL_AGENT_PROCESS_TERMINAL_H

#include "agent/account.h"

#define TERMINAL_COLUMNS 80
#define TERMINAL_ROWS    24

/* The agent's end twice, for reading and for writing (each is watched for itself), and the child's,
 * which belongs to the account. A size of 0 is the usual one. 0 or a negative errno. */
int terminal_open(const struct account *a, uint16_t columns, uint16_t rows, int *ret_read,
                  int *ret_write, int *ret_child);
/* The foreground processes get SIGWINCH. */
int terminal_resize(int fd, uint16_t columns, uint16_t rows);
/* Types the character that ends the input. 0, -EAGAIN or another negative errno. */
int terminal_put_end(int fd);

#endif
