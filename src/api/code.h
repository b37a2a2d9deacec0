/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.h - code that runs while its request waits: what it says is collected, and the surface that
 * was asked prints it.
 */
#ifndef CORRAL_API_CODE_H
#define CORRAL_API_CODE_H

#include "api/api.h"
#include "api/code_result.h"

/* `code`, `language`, `context_id`, `environment` and `timeout` of a body. The strings are the
 * body's; `env` is owned, also after a failure. */
struct code_run_args {
    const char *code, *language, *context;
    char **env;
    int64_t timeout_s;
    bool all_results; /* `displays` of the result has the results, too */
};

/* `default_s` is for a client that names no time-out; no run gets more than the server allows. */
int code_run_parse(struct api_call *call, int64_t default_s, struct code_run_args *a,
                   struct error *err);
/* The CODE_RUN; ERROR_BODY_TOO_LARGE. */
int code_run_encode(struct buf *request, const struct code_run_args *a, struct error *err);
/* A backstop behind the bridge's own time-out, which counts from when the code starts. */
uint64_t code_deadline_ms(int64_t timeout_s);

/* All but the first are time-outs. */
enum code_end { CODE_ENDED, CODE_TIMED_OUT, CODE_RESTARTED, CODE_SILENT };

struct code_run {
    struct code_result result;
    enum code_end end;
    char execution_id[24];
    int64_t timeout_s;
};

/* Runs the CODE_RUN that `request` (taken over) is and calls `reply`, which answers, when it has
 * ended, in time or not. */
void code_run_start(struct api_call *call, const struct code_run_args *a, struct buf *request,
                    void (*reply)(struct api_call *call, struct code_run *run));
/* Of a run that has timed out; 0 for any other. */
int code_timeout_error(const struct code_run *run, struct error *err);

#endif
