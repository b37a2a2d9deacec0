/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - one process of the sandbox: its output for many readers, its input, its end.
 *
 * state      waits for                          at most
 * SPAWNING   the status pipe                    the time-out, or PROCESS_SPAWN_US
 * RUNNING    the main process to end            the time-out; once killed, PROCESS_KILL_US
 * DRAINING   the pipes: all that was in them    as long as an owner does not read
 *            when the main process ended
 * GRACE      end of file on the pipes, which a  PROCESS_GRACE_US; a terminal PROCESS_HANGUP_US
 *            background process may hold        after its last byte
 * ENDED      processes_forget, or room for      -
 *            newer ones (table.h)
 * FAILED     its readers to leave               -
 *
 * Output goes into the ring as it comes, whoever reads. A reader that is slow finds a gap. An owner
 * does not: the pipes are left alone while an owner has records for PROCESS_AHEAD before it, and so
 * the process waits.
 *
 * A reader is told of every change by its task, in a later part of the turn and never from inside a
 * call. When the process is forgotten, the reader is told once more and finds `process` NULL.
 *
 * Caveat: background processes live on after ENDED; their pipes go to sink.h.
 */
#ifndef CORRAL_AGENT_PROCESS_PROCESS_H
#define CORRAL_AGENT_PROCESS_PROCESS_H

#include "agent/loop.h"
#include "agent/process/ring.h"
#include "agent/process/tree.h"

#define PROCESS_SPAWN_US   (30 * 1000000ull)
#define PROCESS_KILL_US    (10 * 1000000ull)
#define PROCESS_GRACE_US   (100 * 1000ull)
#define PROCESS_HANGUP_US  (5 * 1000000ull)
#define PROCESS_AHEAD      (256u * 1024) /* cost of records, see ring.h */
#define PROCESS_OWNED_RING (1u << 20)    /* the smallest ring that PROCESS_AHEAD fits in */
#define PROCESS_INPUT_MAX  (4u << 20)    /* bytes that wait on a standard input */
#define PROCESS_NAME_MAX   256
#define PROCESS_SIGNAL_MAX 64
#define PROCESS_WINDOW_MAX UINT16_MAX /* columns or rows */

struct account;
struct process;
struct processes;

enum process_state {
    PROCESS_SPAWNING,
    PROCESS_RUNNING,
    PROCESS_DRAINING,
    PROCESS_GRACE,
    PROCESS_ENDED,
    PROCESS_FAILED, /* it never ran, or it cannot be killed: `failure` */
};

struct process_reader {
    struct list node;        /* in process->readers */
    struct process *process; /* NULL: not attached */
    struct task task;
    uint64_t next; /* number of the record it reads next */
    bool own;
    void (*wake)(struct process_reader *r);
};

/* Bytes for a standard input. Embedded in its owner, which keeps `data` until `done`. */
struct process_input {
    struct list node; /* in process->inputs */
    const uint8_t *data;
    size_t len;
    bool end; /* nothing follows */
    /* Called once, unless process_input_cancel comes first, also from inside process_input_add. 0:
     * all is in the pipe. -EPIPE: nobody will read it. -ESRCH: the process has ended. */
    void (*done)(struct process_input *in, int rv);
};

struct process_output {
    struct source source; /* first */
    struct process *process;
    enum wire_stream stream;
    size_t owed; /* bytes that were in the pipe when the main process ended and are not read yet */
};

struct process_failure {
    int errnum;       /* negative; 0: `what` says it all */
    const char *what; /* static */
    bool directory;   /* the working directory cannot be entered */
};

struct process {
    struct processes *table;
    struct list node;       /* in table->all, by id */
    struct list ended_node; /* in table->ended, by end */
    struct list readers;
    struct deferred deferred;
    enum process_state state;
    uint64_t id;
    pid_t pid;
    bool alive;  /* not reaped */
    bool pinned; /* somebody else decides how long it is kept, and how much of its output */
    bool limited;
    uint32_t flags;         /* WIRE_EXEC_*, WIRE_PROCESS_PTY */
    uint16_t columns, rows; /* of its terminal, as last set from outside */
    char *tag;              /* owned, as the two below */
    char *cwd;
    char **argv;                   /* one block */
    size_t details;                /* bytes of the three */
    char name[PROCESS_NAME_MAX];   /* of the program, for messages */
    int64_t started_ms;            /* wall clock */
    uint64_t started_at, duration; /* us */
    struct tree tree;
    struct ring ring;
    /* May refuse to record a chunk. NULL: the ring drops old ones instead. */
    bool (*admit)(void *ctx, enum wire_stream stream, size_t len);
    void *admit_ctx;
    struct source status;
    struct process_output out[2]; /* the second is not used with a terminal */
    struct source in;
    struct list inputs;
    size_t inputs_len;
    bool input_ended;
    struct timer timer;
    enum wire_cause cause; /* while it runs: for which it was killed */
    int asked_signal;      /* the last one of process_signal */
    int exit_code, exit_signal, wait_status;
    struct process_failure failure;
};

/* What to start. All is borrowed but `argv` and `cwd`. */
struct process_options {
    const struct account *account;
    uint32_t flags;
    uint32_t timeout_ms; /* 0: none */
    const char *tag;     /* "": none */
    char *cwd;           /* owned; "": home */
    char **argv;         /* owned, one block; also on failure */
    char *const *env;
    uint16_t columns, rows; /* 0: the usual size of a terminal */
    size_t ring;            /* bytes of output to keep */
};

static inline bool process_is_over(const struct process *p)
{
    return p->state >= PROCESS_ENDED;
}

/* The number 0 means the oldest that is kept, WIRE_SEQ_NOW the next to come. */
void process_attach(struct process *p, struct process_reader *r, uint64_t from, bool own);
void process_detach(struct process_reader *r); /* idempotent */
/* The next record, or NULL: none yet, or all was read before the end. `*ret_gap`: records before it
 * are lost. */
const struct ring_record *process_read(struct process_reader *r, bool *ret_gap);
/* An owner has read: there may be room for more. */
void process_resume(struct process *p);

/* 0, or -EINVAL: it has no standard input, or that has had its end; -EBUSY: too much waits already;
 * -ESRCH: it has ended. */
int process_input_add(struct process *p, struct process_input *in);
void process_input_cancel(struct process *p, struct process_input *in);

/* 0 or a negative errno. -ESRCH: it has ended. */
int process_signal(struct process *p, int sig, enum wire_scope scope);
/* -EINVAL: it has no terminal. */
int process_resize(struct process *p, uint16_t columns, uint16_t rows);
void process_kill(struct process *p, enum wire_cause cause);

/* For serve.c. */
void process_handle_status(struct source *s);
void process_handle_stdin(struct source *s, uint32_t events);
void process_handle_output(struct source *s);

/* Between the files of this folder. */
int process_spawn(struct process *p, const struct process_options *o);
void process_reaped(struct process *p, int wait_status);
void process_close(struct process *p); /* kills it if it runs; releases all but the memory */
void process_notify(struct process *p);
void process_update(struct process *p);
void process_read_output(struct process_output *o);
void process_record(struct process *p, enum wire_stream stream, const void *data, size_t len);
void process_input_close(struct process *p, int rv);

#endif
