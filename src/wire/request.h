/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - the requests of wire.h as frames: one encoder each, and no other place of the server
 * knows their fields. Pure functions, no I/O.
 *
 * Each appends a whole frame to a buffer, for agent_call_start or, when it is a later frame of an
 * open call, for agent_call_send_buf. The buffer remembers when memory ran out, and both refuse it
 * then. What the caller must check is the size: the agent takes WIRE_MAX_REQUEST bytes of a request
 * that it reads itself, and WIRE_MAX_PAYLOAD of one for the code bridge.
 */
#ifndef CORRAL_WIRE_REQUEST_H
#define CORRAL_WIRE_REQUEST_H

#include "base/wire_codec.h"

/* In the structs below NULL is the default of a string, and an empty list. Lists end with NULL. */

struct wire_exec_params {
    const char *command; /* a program; without `args`, a line for the shell */
    char *const *args;
    const char *cwd, *user;
    char *const *env;
    uint32_t timeout_ms; /* 0: none */
    bool has_stdin;
};

/* A process; what runs in it is as of `run`, with its time-out. */
struct wire_start_params {
    struct wire_exec_params run;
    const char *tag;
    bool has_terminal;
    uint32_t columns, rows;
    uint32_t keep; /* bytes of output; 0: WIRE_PROCESS_RING */
};

/* Names a process: by its id, else by its pid, else by its tag. */
struct wire_which {
    uint64_t id;
    uint32_t pid;
    const char *tag;
};

struct wire_code_params {
    const char *context; /* id */
    const char *language, *code;
    char *const *env;
    uint32_t timeout_ms; /* 0: none */
};

struct wire_configure_params {
    uint64_t wall_ns; /* since 1970; 0 leaves the clock */
    const uint8_t *seed;
    size_t seed_len;
    const char *hostname;
    char *const *env;
    bool offline; /* without a network interface */
    bool keep;    /* it wakes up, and goes on as what it was */
    bool reseed;  /* with `keep`: but not with the same random numbers */
    bool afresh;  /* without `keep`: with none of the processes that are there */
};

struct wire_find_params {
    const char *path, *pattern, *glob;
    const char *replacement; /* REPLACE */
    uint32_t flags;          /* WIRE_FIND_* */
    uint32_t depth;          /* 0: any */
    uint32_t matches;        /* FIND: 0: WIRE_FIND_MATCHES */
};

struct wire_context_params {
    const char *id, *language, *cwd;
    uint32_t lifetime_s;
};

void wire_request_ping(struct buf *b);
void wire_request_configure(struct buf *b, const struct wire_configure_params *p);
void wire_request_clock(struct buf *b, uint64_t wall_ns);
/* `pem` is the certificate of one authority. */
void wire_request_trust(struct buf *b, const char *pem);

void wire_request_exec(struct buf *b, const struct wire_exec_params *p);

void wire_request_start(struct buf *b, const struct wire_start_params *p);
void wire_request_process_list(struct buf *b);
/* `first_seq` 0: all that is kept; WIRE_SEQ_NOW: only what comes. `flags` are WIRE_ATTACH_*. */
void wire_request_process_attach(struct buf *b, const struct wire_which *which, uint64_t first_seq,
                                 uint32_t flags);
/* `flags` are WIRE_INPUT_*. */
void wire_request_process_input(struct buf *b, const struct wire_which *which, uint32_t flags,
                                const void *data, size_t len);
void wire_request_process_signal(struct buf *b, const struct wire_which *which, uint32_t signal,
                                 enum wire_scope scope);
void wire_request_process_resize(struct buf *b, const struct wire_which *which, uint32_t columns,
                                 uint32_t rows);
void wire_request_process_forget(struct buf *b, const struct wire_which *which);
/* A later frame of PROCESS_ATTACH. */
void wire_request_resize(struct buf *b, uint32_t columns, uint32_t rows);

void wire_request_code(struct buf *b, const struct wire_code_params *p);
/* Gives the EXEC or CODE_RUN at the end of `b` (a KEEP may stand before it) another time-out. The
 * encoder runs while the parameters are there; a run that first waits for its sandbox learns only
 * later how much of its time is left. */
void wire_request_set_timeout(struct buf *b, uint32_t timeout_ms);
void wire_request_code_ready(struct buf *b);

/* Comes before the EXEC or CODE_RUN that is to be kept, in the same buffer. `record` is cut to
 * WIRE_MAX_KEEP. */
void wire_request_keep(struct buf *b, const char *key, size_t record);
void wire_request_attach(struct buf *b, const char *key);
void wire_request_forget(struct buf *b, const char *key);

void wire_request_context_create(struct buf *b, const struct wire_context_params *p);
void wire_request_context_get(struct buf *b, const char *id);
void wire_request_context_delete(struct buf *b, const char *id);
void wire_request_context_list(struct buf *b);
/* With an empty id the default context of `language`. */
void wire_request_context_interrupt(struct buf *b, const char *id, const char *language);
void wire_request_context_restart(struct buf *b, const char *id, const char *language);

/* Puts before the file operation that `b` holds as whose it is done. */
void wire_request_as(struct buf *b, const char *user);

/* `length` UINT64_MAX: to the end. With WIRE_READ_LAST set, `offset` counts bytes before the end.
 */
void wire_request_read(struct buf *b, const char *path, uint64_t offset, uint64_t length);
/* `flags` are WIRE_WRITE_*, WIRE_REMOVE_* and WIRE_MKDIR_*; a mode of 0 is the agent's default. */
void wire_request_write(struct buf *b, const char *path, uint32_t mode, uint32_t flags);
/* The last frame of a WRITE. `path` replaces the path of the request; NULL leaves that one. */
void wire_request_write_end(struct buf *b, const char *path);
/* A frame of a WRITE before its end: "name=value" each. */
void wire_request_write_attributes(struct buf *b, char *const *attributes);
void wire_request_pack(struct buf *b, const char *path);
void wire_request_unpack(struct buf *b, const char *path);
void wire_request_list(struct buf *b, const char *path);
/* `depth` 0: 1. */
void wire_request_list_tree(struct buf *b, const char *path, uint32_t depth);
void wire_request_remove(struct buf *b, const char *path, uint32_t flags);
void wire_request_mkdir(struct buf *b, const char *path, uint32_t mode, uint32_t flags);

void wire_request_info(struct buf *b, const char *path);
/* `flags` are WIRE_TO_*; the destination is the new path itself. */
void wire_request_move(struct buf *b, const char *source, const char *destination, uint32_t flags);
void wire_request_copy(struct buf *b, const char *source, const char *destination, uint32_t flags);
/* `flags` are WIRE_TREE_*. */
void wire_request_chmod(struct buf *b, const char *path, uint32_t mode, uint32_t flags);
void wire_request_chown(struct buf *b, const char *path, const char *user, const char *group,
                        uint32_t flags);
void wire_request_find(struct buf *b, const struct wire_find_params *p);
void wire_request_replace(struct buf *b, const struct wire_find_params *p);
void wire_request_watch(struct buf *b, const char *path, uint32_t flags);

void wire_request_port(struct buf *b, uint16_t port);

#endif
