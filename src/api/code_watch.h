/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code_watch.h - whether the sandbox still does anything about a run that has outlived its
 * time-out.
 *
 * The bridge ends a run at its time-out, but a run may also wait for its turn or for its kernel to
 * start, which takes minutes on a slow machine. So nobody is asked before the time-out has passed.
 * From then on the bridge is asked for a context, a question it answers at once whatever its
 * kernels do. The happy path is: the run ends before the first question, or the bridge answers, and
 * is asked again CODE_WATCH_MS later. Possible failure modes are: no answer within CODE_SILENT_MS,
 * or within SANDBOX_WARMUP_MS while the bridge may still be starting (`silent`).
 */
#ifndef CORRAL_API_CODE_WATCH_H
#define CORRAL_API_CODE_WATCH_H

#include "sandbox/sandbox.h"

#define CODE_WATCH_MS  10000
#define CODE_SILENT_MS 8000

/* Embedded in its owner. */
struct code_watch {
    struct agent_call probe;
    uv_timer_t timer;
    struct sandbox *sandbox;
    bool probe_open, asking; /* the question has not closed; it has no answer */
    void (*silent)(struct code_watch *w);
    void (*closed)(struct code_watch *w); /* after code_watch_close: may release the memory */
    bool closing, timer_closed;
};

void code_watch_start(struct code_watch *w, struct sandbox *sb, uint64_t timeout_ms,
                      void (*silent)(struct code_watch *w), void (*closed)(struct code_watch *w));
void code_watch_close(struct code_watch *w);

#endif
