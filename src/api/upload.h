/* SPDX-License-Identifier: Apache-2.0 */
/* upload.h - an upload, for the files that carry it out. */
#ifndef CORRAL_API_UPLOAD_H
#define CORRAL_API_UPLOAD_H

#include "api/api.h"
#include "http/multipart.h"
#include "wire/call.h"

enum upload_state {
    UPLOAD_IDLE,     /* between parts, or in a plain field */
    UPLOAD_OPENING,  /* waits for the WRITE's connection; the body is paused */
    UPLOAD_WRITING,  /* DATA goes to the sandbox */
    UPLOAD_SKIPPING, /* the file failed; its bytes are dropped */
    UPLOAD_HOLDING,  /* the file's bytes are complete, END waits for `path` */
    UPLOAD_ENDING,   /* waits for WRITTEN; the body is paused */
    UPLOAD_CLOSING,  /* waits for the connection's close before the next part; the body is paused */
};

struct upload {
    struct api_call *call; /* NULL once the request is answered or gone */
    struct multipart multipart;
    struct agent_call agent;
    enum upload_state state;
    bool agent_open;    /* `agent` has not closed */
    bool many;          /* the route takes many files and answers with a list */
    bool complete;      /* the body is over */
    bool in_path;       /* the part is the field `path` */
    bool skip;          /* after the close: the part's bytes are not over */
    struct buf path;    /* the field or query parameter, as a C string when not empty */
    struct buf held;    /* of the body, not parsed yet */
    const char *target; /* of the file being written; in the request's arena */
    uint32_t mode;
    unsigned int files, failures;
    uint64_t size;      /* as written, of the last file */
    struct buf entries; /* JSON of the answer's list */
    struct error error; /* of the last file that failed */
};

/* Parses what is there until an event must be waited for; pauses or resumes the body to match. */
void upload_pump(struct upload *u);
/* The request is over: an unfinished file goes with its connection. The caller answers. */
struct api_call *upload_detach(struct upload *u);
/* Frees it once it is detached and its connection has closed. */
void upload_maybe_free(struct upload *u);

/* Begins to write `target`: 1, for the parser to wait until it is open, or a negative errno. */
int upload_open(struct upload *u);
/* All bytes are sent; `path` is where the file goes, NULL: to `target`. WRITTEN follows. */
void upload_end_file(struct upload *u, const char *path);
/* Counts a failure; with many files, writes its entry. */
void upload_file_failed(struct upload *u, const struct error *err);

#endif
