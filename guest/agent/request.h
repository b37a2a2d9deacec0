/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - decoding the request frames of wire.h. Pure: no I/O, no state. */
#ifndef CORRAL_AGENT_REQUEST_H
#define CORRAL_AGENT_REQUEST_H

#include <stdbool.h>

#include "base/wire_codec.h"
#include "wire.h"

#define REQUEST_PATH_MAX    4095u /* bytes of a path */
#define REQUEST_ENTROPY_MAX 4096u
#define REQUEST_SIGNAL_MAX  64u
#define REQUEST_PEM_MAX     16384u
#define REQUEST_WINDOW_MAX  UINT16_MAX /* columns or rows */

/* What a request asks for. It owns the strings and lists. A field that the type does not have is
 * zero. */
struct request {
    enum wire_type type;
    uint32_t flags;
    uint32_t timeout_ms; /* EXEC, PROCESS_START; 0: none */
    uint32_t mode;       /* WRITE, MKDIR (0: default), CHMOD */
    uint16_t port;       /* PORT */
    uint64_t offset;     /* READ */
    uint64_t length;     /* READ */
    uint64_t wall_ns;    /* CONFIGURE (0: leave), CLOCK */
    uint32_t keep;       /* KEEP, PROCESS_START; bytes of output */
    uint32_t depth;      /* LIST_TREE, FIND, REPLACE; 0: default */
    uint32_t max;        /* FIND; 0: default */
    uint64_t id;         /* PROCESS_*: of a process; 0: by pid or tag */
    uint32_t pid;        /* PROCESS_*; 0: by id or tag */
    uint64_t seq;        /* PROCESS_ATTACH */
    uint32_t columns;    /* PROCESS_START, PROCESS_RESIZE; 0: default */
    uint32_t rows;
    uint32_t signal;     /* PROCESS_SIGNAL; 1 to 64 */
    uint32_t scope;      /* PROCESS_SIGNAL; enum wire_scope */
    char *key;           /* KEEP, ATTACH, FORGET; 1 to WIRE_MAX_KEY bytes */
    char *tag;           /* PROCESS_*; "": none; at most WIRE_MAX_TAG bytes */
    char *path;          /* of a file operation; not empty */
    char *to;            /* MOVE, COPY; not empty */
    char *cwd;           /* EXEC, PROCESS_START; "": home */
    char *user;          /* EXEC, PROCESS_START ("": the default user), CHOWN ("": leave), AS */
    char *group;         /* CHOWN; "": leave */
    char *hostname;      /* CONFIGURE; "": leave */
    char *pem;           /* TRUST; not empty, at most REQUEST_PEM_MAX bytes */
    char *pattern;       /* FIND, REPLACE; 1 to WIRE_MAX_PATTERN bytes */
    char *replacement;   /* REPLACE */
    char *glob;          /* FIND, REPLACE; "": all; at most WIRE_MAX_PATTERN bytes */
    struct span entropy; /* CONFIGURE; a view into the payload, may hold NULs */
    struct span data;    /* PROCESS_INPUT; the same */
    char **argv;         /* EXEC, PROCESS_START; at least one element */
    char **env;          /* EXEC, PROCESS_START, CONFIGURE; every element is NAME=value */
};

#define cleanup_request __attribute__((cleanup(request_done)))

/* 0 and *ret. -EPROTO: the payload does not match the type. -EINVAL: it does, but an argument is
 * invalid; `*ret_why` says which (a static string). On failure *ret is empty. */
int request_parse(const struct wire_frame *frame, struct request *ret, const char **ret_why);
void request_done(struct request *r);

/* Whether the frame is a request that can be kept. 0, or as request_parse. */
int request_check_kept(const struct wire_frame *frame, const char **ret_why);

#endif
