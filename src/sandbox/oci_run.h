/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_run.h - one helper process: this program itself, started with a verb, a bounded capture of
 * what it prints, and a time-out after which it is killed. A runner limits how many of them run at
 * once; the others wait in line.
 */
#ifndef CORRAL_OCI_RUN_H
#define CORRAL_OCI_RUN_H

#include <stdbool.h>
#include <uv.h>

#include "list.h"

#define OCI_RUN_TEXT 512

struct oci_runner {
    uv_loop_t *loop;
    unsigned int limit, active;
    struct list waiting;
};

enum oci_run_end {
    OCI_RUN_EXITED,    /* by itself; `status` is its exit status or 128 + signal */
    OCI_RUN_TIMED_OUT, /* and was killed */
    OCI_RUN_CANCELLED, /* by oci_run_cancel */
    OCI_RUN_FAILED,    /* could not be spawned; `status` is a negative errno */
};

/* Zeroed, it is idle and may be started; it may be started again from `done`. */
struct oci_run {
    struct oci_runner *runner;
    struct list link;
    char **argv;             /* owned */
    unsigned int timeout_ms; /* counted from the spawn */
    void (*done)(struct oci_run *run);
    bool busy;
    bool spawned;
    enum oci_run_end end;
    int status;
    char text[OCI_RUN_TEXT]; /* first bytes of its standard output, terminated */
    size_t text_len;
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t timer;
    unsigned int open; /* of the three handles above */
};

void oci_runner_init(struct oci_runner *r, uv_loop_t *loop, unsigned int limit);

/* Takes ownership of `argv` (from oci_spec_to_argv). `done` follows exactly once, never from inside
 * this call. */
void oci_run_start(struct oci_run *run, struct oci_runner *runner, char **argv,
                   unsigned int timeout_ms, void (*done)(struct oci_run *run));

/* Kills a running process, or leaves the line. `done` still follows. */
void oci_run_cancel(struct oci_run *run);

#endif
