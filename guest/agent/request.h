/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - decoding the request frames of wire.h. Pure: no I/O, no state. */
#ifndef CORRAL_AGENT_REQUEST_H
#define CORRAL_AGENT_REQUEST_H

#include <stdbool.h>

#include "base/wire_codec.h"
#include "wire.h"

#define REQUEST_PATH_MAX    4095u /* bytes of a path */
#define REQUEST_ENTROPY_MAX 4096u

/* What a request asks for. It owns the strings and lists. A field that the type does not have is
 * zero. */
struct request {
    enum wire_type type;
    uint32_t flags;
    uint32_t timeout_ms; /* EXEC; 0: none */
    uint32_t mode;       /* WRITE, MKDIR; 0: default */
    uint16_t port;       /* PORT */
    uint64_t offset;     /* READ */
    uint64_t length;     /* READ */
    uint64_t wall_ns;    /* CONFIGURE (0: leave), CLOCK */
    uint32_t keep;       /* KEEP; bytes of each kind of output */
    char *key;           /* KEEP, ATTACH, FORGET; 1 to WIRE_MAX_KEY bytes */
    char *path;          /* READ, WRITE, LIST, REMOVE, MKDIR, STAT_PATH; not empty */
    char *cwd;           /* EXEC; "": home */
    char *user;          /* EXEC; "": the default user */
    char *hostname;      /* CONFIGURE; "": leave */
    struct span entropy; /* CONFIGURE; a view into the payload, may hold NULs */
    char **argv;         /* EXEC; at least one element */
    char **env;          /* EXEC, CONFIGURE; every element is NAME=value */
};

#define cleanup_request __attribute__((cleanup(request_done)))

/* 0 and *ret. -EPROTO: the payload does not match the type. -EINVAL: it does, but an argument is
 * invalid; `*ret_why` says which (a static string). On failure *ret is empty. */
int request_parse(const struct wire_frame *frame, struct request *ret, const char **ret_why);
void request_done(struct request *r);

/* Whether the frame is a request that can be kept. 0, or as request_parse. */
int request_check_kept(const struct wire_frame *frame, const char **ret_why);

#endif
