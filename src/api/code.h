/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.h - code that runs while its request waits: what it says is collected, and the surface that
 * was asked prints it.
 */
#ifndef CORRAL_API_CODE_H
#define CORRAL_API_CODE_H

#include "api/api.h"
#include "api/code_result.h"

struct event_writer; /* stream/event.h */

/* `code`, `language`, `context_id`, `environment` and `timeout` of a body. The strings are the
 * body's; `env` is owned, also after a failure. */
struct code_run_args {
    const char *code, *language, *context;
    char **env;
    int64_t timeout_s;
};

/* `default_s` is for a client that names no time-out; no run gets more than the server allows. */
int code_run_parse(struct api_call *call, int64_t default_s, struct code_run_args *a,
                   struct error *err);

/* All but the first are time-outs. */
enum code_end { CODE_ENDED, CODE_TIMED_OUT, CODE_RESTARTED, CODE_SILENT };

struct code_run {
    struct code_result result;
    enum code_end end;
    char execution_id[24];
    int64_t timeout_s;
};

/* How a surface runs code and tells of it. */
struct code_speech {
    int64_t default_s; /* see code_run_parse */
    bool all_results, lines;
    const struct event_writer *writer; /* with ?stream=true */
    /* Answers, when the run has ended, in time or not. */
    void (*reply)(struct api_call *call, struct code_run *run);
};

/* Runs the code of the body in `context`, NULL for the body's own. The request is answered. */
void code_run(struct api_call *call, const struct code_speech *speech, const char *context);
/* Of a run that has timed out; 0 for any other. */
int code_timeout_error(const struct code_run *run, struct error *err);

#endif
