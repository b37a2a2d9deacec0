/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - what the routes of processes and those of terminals share. */
#ifndef CORRAL_API_PROCESS_H
#define CORRAL_API_PROCESS_H

#include "api/api.h"
#include "wire/request.h"

/* The `:pid` of the route. False: the request has its answer. */
bool process_which(struct api_call *call, struct wire_which *ret);
/* "cols" and "rows" of an object, or the usual 80 by 24. */
int process_parse_size(const json *from, uint32_t *columns, uint32_t *rows, struct error *err);

/* The number of a signal's name, with or without SIG; 0: it is none. */
uint32_t process_signal_number(const char *name);
/* Gives a terminal its type, unless `environment` of the body names one. */
void process_add_terminal_type(json *body);

/* From where a client wants the output: `after` of the query, or what a client of server-sent
 * events sends by itself when it comes back. *after may be WIRE_SEQ_NOW. */
int process_parse_after(struct api_call *call, uint64_t *after, struct error *err);

#endif
