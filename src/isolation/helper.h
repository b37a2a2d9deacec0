/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper.h - a helper process: this program itself, started with a verb, or corral-vmm. Its output
 * is kept up to a limit, and a time-out kills it. A runner limits how many run at once; the others
 * wait in line.
 */
#ifndef CORRAL_ISOLATION_HELPER_H
#define CORRAL_ISOLATION_HELPER_H

#include <stdbool.h>
#include <uv.h>

#include "base/list.h"

#define HELPER_TEXT    512
#define HELPER_FDS     2
#define HELPER_PROGRAM "/proc/self/exe" /* this program itself */

struct helper_runner {
    uv_loop_t *loop;
    unsigned int limit, active;
    int oom_score; /* of its processes; see oom.h */
    struct list waiting;
};

enum helper_end {
    HELPER_EXITED,    /* by itself; `status` is its exit status or 128 + signal */
    HELPER_TIMED_OUT, /* and was killed */
    HELPER_CANCELLED, /* by helper_cancel */
    HELPER_FAILED,    /* could not be spawned; `status` is a negative errno */
};

/* Zeroed, it is idle and may be started; it may be started again from `done`. */
struct helper {
    struct helper_runner *runner;
    struct list link;
    char **argv;             /* owned */
    int in_fd;               /* owned until the spawn; its standard input; -1: none */
    const int *fds;          /* not owned: its descriptors from 3 on; they stay until `done` */
    unsigned int n_fds;      /* at most HELPER_FDS */
    unsigned int timeout_ms; /* counted from the spawn */
    void (*done)(struct helper *run);
    bool busy;
    bool spawned;
    enum helper_end end;
    int status;
    char text[HELPER_TEXT]; /* first bytes of its standard output, terminated */
    size_t text_len;
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t timer;
    unsigned int open; /* of the three handles above */
};

void helper_runner_init(struct helper_runner *r, uv_loop_t *loop, unsigned int limit);

/* Takes ownership of `argv`: a NULL-terminated vector whose strings and itself are from malloc;
 * NULL counts as out of memory. `done` follows exactly once, never from inside this call. */
void helper_start(struct helper *run, struct helper_runner *runner, char **argv,
                  unsigned int timeout_ms, void (*done)(struct helper *run));

/* What else a helper process gets, as in struct helper. */
struct helper_files {
    int in_fd;
    const int *fds;
    unsigned int n_fds;
};
/* The same with files, and with ownership of the standard input. */
void helper_start_with_files(struct helper *run, struct helper_runner *runner, char **argv,
                             const struct helper_files *files, unsigned int timeout_ms,
                             void (*done)(struct helper *run));

/* Kills a running process, or leaves the line. `done` still follows. */
void helper_cancel(struct helper *run);

/* Frees such a vector; NULL is fine. */
void helper_argv_free(char **argv);

#endif
