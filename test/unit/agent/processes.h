/* SPDX-License-Identifier: Apache-2.0 */
/* processes.h - requests about processes, and what an attached connection has heard. */
#ifndef CORRAL_TEST_AGENT_PROCESSES_H
#define CORRAL_TEST_AGENT_PROCESSES_H

#include "client.h"

/* What to start; zeros are the defaults. */
struct start {
    const char *shell; /* a command line; NULL: `argv` */
    const char *const *argv, *const *env;
    const char *cwd, *user, *tag;
    uint32_t flags, timeout_ms, columns, rows, ring;
};

/* The fields of PROCESS. */
struct info {
    uint64_t id, first, next;
    uint32_t pid, flags, ended;
    char tag[64], cwd[256], arg[256]; /* argv[0] */
    int exit_code;
    uint32_t signal, cause;
    uint32_t columns, rows; /* of a terminal */
};

/* Starts it and waits for the answer. False: ERROR, with *ret_error. */
bool start_process(const struct agent_proc *a, const struct start *s, struct info *ret,
                   uint32_t *ret_error);
/* As start_process with a command line, which must start. Its id. */
uint64_t start_shell(const struct agent_proc *a, const char *command, uint32_t flags);

void put_which(struct buf *b, uint64_t id, uint32_t pid, const char *tag);
/* One that is answered at once. The code of its ERROR, or 0. */
uint32_t ask_process(const struct agent_proc *a, struct buf *b);
uint32_t signal_process(const struct agent_proc *a, uint64_t id, uint32_t sig, uint32_t scope);
uint32_t type_into(const struct agent_proc *a, uint64_t id, const char *text, size_t len,
                   uint32_t flags);
uint32_t forget_process(const struct agent_proc *a, uint64_t id);
uint32_t resize_process(const struct agent_proc *a, uint64_t id, uint32_t columns, uint32_t rows);
/* Fills `ret` with the listed processes; their number. */
size_t list_processes(const struct agent_proc *a, struct info *ret, size_t cap);

/* What an attached connection has heard. Zeroed before, heard_done after. */
struct heard {
    struct info info;
    struct buf out, err, tty;
    unsigned int gaps, records;
    uint64_t first, next; /* numbers of the first record, and behind the last */
    bool ended;
    int exit_code;
    uint32_t signal, cause, error;
};

void attach(struct client *c, const struct agent_proc *a, uint64_t id, uint64_t seq,
            uint32_t flags);
/* One frame. False at the end of the connection. */
bool hear(struct client *c, struct heard *h);
/* Until the terminal or standard output has said `text`. */
void hear_text(struct client *c, struct heard *h, const char *text);
void hear_all(struct client *c, struct heard *h);
/* Attaches, hears it to its end and closes. */
void attach_to_end(const struct agent_proc *a, uint64_t id, uint64_t seq, struct heard *h);
void heard_done(struct heard *h);

bool is_gone(long pid); /* within some seconds */

#endif
