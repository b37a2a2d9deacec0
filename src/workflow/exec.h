/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.h - runs one piece of code or one command in a sandbox and collects its output as text, for
 * a step of a workflow and for the execute route of an environment.
 *
 * WAITING ─▶ [ATTACHING ─▶] [CONTEXT ─▶] RUNNING ─▶ [DELETING ─▶] CLOSING
 *                │                          ▲  └──▶ CANCELLING ─▶ [DELETING ─▶] CLOSING
 *                └──────────────────────────┘
 *
 * phase      waits for                           bounded by
 * WAITING    the sandbox to run                  timeout_ms
 * ATTACHING  the agent to know the key (attach)  WF_EXEC_ANSWER_MS
 * CONTEXT    a kernel of its own (own_context)   WF_EXEC_CONTEXT_MS
 * RUNNING    the end of the run                  what is left of timeout_ms; then a grace
 * CANCELLING the agent to have forgotten it      WF_EXEC_ANSWER_MS
 * DELETING   the kernel to be gone               WF_EXEC_CONTEXT_MS
 * CLOSING    libuv                               -
 *
 * The agent keeps a run that has a key (WIRE_KEEP): it continues when this server is gone, and the
 * next server attaches to it. A run that the agent does not know is started then. The agent keeps
 * its record until wf_exec_forget.
 *
 * `done` is called once, when RUNNING has ended or cannot be reached; never from inside
 * wf_exec_start, never after wf_exec_cancel or wf_exec_leave. The object then frees itself.
 */
#ifndef CORRAL_WORKFLOW_EXEC_H
#define CORRAL_WORKFLOW_EXEC_H

#include "sandbox/sandbox.h"

#define WF_EXEC_CONTEXT_MS 120000
#define WF_EXEC_ANSWER_MS  10000

struct wf_exec;

struct wf_exec_result {
    bool failed;      /* it did not run, or its end is not known: `err` says why */
    struct error err; /* ERROR_TIMEOUT when it took too long */
    struct buf out, err_out, result;
    bool has_result;                   /* the code had a value: `result` is its text */
    struct buf name, value, traceback; /* of what the code raised; empty: it raised nothing */
    int32_t exit_code;                 /* of the command; of code 0 or 1 */
    int64_t duration_ms;               /* of the run itself */
};

struct wf_exec_params {
    const char *code, *language; /* code, or NULL: a command */
    const char *command;         /* a line for the shell, or with args a program */
    char *const *args;           /* NULL-terminated, or NULL */
    const char *cwd;             /* "": home */
    char *const *env;            /* NULL-terminated "NAME=value", or NULL */
    unsigned int timeout_ms;
    unsigned int wait_ms; /* for the sandbox to run; 0: the wait is part of timeout_ms */
    size_t limit;         /* bytes kept of each stream and of the result */
    bool own_context;     /* code runs in a kernel of its own, which is ended with it */
    const char *key; /* the agent keeps the run; at most WIRE_MAX_KEY bytes; NULL: it does not */
    bool attach;     /* with a key: an earlier server may have started it */
};

/* Copies what it needs of `p`. `done` may use the result only inside the call. NULL with `err`
 * filled when the run cannot be started: the sandbox has ended, the code is too large. */
struct wf_exec *wf_exec_start(struct sandbox *sb, const struct wf_exec_params *p,
                              void (*done)(void *ctx, struct wf_exec_result *r), void *ctx,
                              struct error *err);
/* Stops the run. */
void wf_exec_cancel(struct wf_exec *x);
/* Leaves a run with a key to the next server: it continues. */
void wf_exec_leave(struct wf_exec *x);
/* Drops the record of the run with this key; the agent stops the run if it has not ended. */
void wf_exec_forget(struct sandbox *sb, const char *key);

#endif
