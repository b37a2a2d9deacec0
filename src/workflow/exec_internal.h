/* SPDX-License-Identifier: Apache-2.0 */
/* exec_internal.h - a run, for the files that carry it out. */
#ifndef CORRAL_WORKFLOW_EXEC_INTERNAL_H
#define CORRAL_WORKFLOW_EXEC_INTERNAL_H

#include "workflow/exec.h"

enum exec_phase {
    EXEC_WAITING,
    EXEC_ATTACHING,
    EXEC_CONTEXT,
    EXEC_RUNNING,
    EXEC_CANCELLING,
    EXEC_DELETING,
    EXEC_CLOSING
};

struct wf_exec {
    enum exec_phase phase;
    struct sandbox *sb; /* not touched in CLOSING */
    struct sandbox_wait wait;
    uv_timer_t timer; /* of WAITING; later the wake-up that starts or ends a phase */
    bool timer_open;
    struct agent_call agent;
    bool agent_open;
    bool code, own_context, has_context;
    bool attach;                    /* it may have been started before */
    char key[WIRE_MAX_KEY + 1];     /* "": the agent does not keep it */
    char context[WIRE_MAX_KEY + 1]; /* id of the kernel of its own */
    char *language;                 /* owned; of the context */
    struct buf request;             /* the run's frame, complete but for its time-out */
    size_t timeout_at;              /* where that is */
    unsigned int timeout_ms;
    unsigned int wait_ms; /* 0: part of timeout_ms */
    uint64_t started_ns, run_ns;
    size_t limit;
    struct wf_exec_result r;
    void (*done)(void *ctx, struct wf_exec_result *r); /* NULL once called or cancelled */
    void *ctx;
};

/* wf_exec_encode.c: fills `request`. */
int wf_exec_encode(struct wf_exec *x, const struct wf_exec_params *p, struct error *err);
/* A frame whose only field is `text`. */
void wf_exec_put(struct buf *b, enum wire_type type, const char *text);
void wf_exec_put_context(struct buf *b, const struct wf_exec *x);

/* Takes one frame of the run in. 1: the run is over, 0: it goes on, -1: it cannot be here. */
int wf_exec_frame(struct wf_exec *x, const struct wire_frame *frame);

#endif
