/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code_result.h - the events of one code run, collected into the answer's JSON.
 *
 * Output is cut into lines as it comes. `limit` bounds the text and the JSON of each stream; bytes
 * beyond it are counted, and a last line says how many there were.
 */
#ifndef CORRAL_API_CODE_RESULT_H
#define CORRAL_API_CODE_RESULT_H

#include "base/json.h"
#include "base/jsonw.h"
#include "base/wire_codec.h"

struct code_stream {
    const char *name;   /* "stdout", "stderr" */
    struct buf partial; /* the beginning of a line whose end has not come */
    struct buf events;  /* JSON of results.<name>, without brackets */
    struct buf lines;   /* JSON of logs.<name>, without brackets */
    int64_t last_ms;    /* time of the last piece */
    size_t kept;        /* bytes of text, which the limit counts */
    uint64_t dropped;   /* bytes */
};

struct code_result {
    size_t limit;
    struct code_stream out, err;
    json *data;     /* mime type -> data of the result; owned, NULL: none */
    json *displays; /* mime bundles of displayed data; owned, NULL: none */
    unsigned int n_displays, displays_dropped;
    size_t display_bytes;
    bool all; /* the results are among them, too, in their order */
    uint32_t execution_count;
    struct buf error; /* JSON of the error, empty: none */
};

void code_result_init(struct code_result *r, size_t limit);
void code_result_done(struct code_result *r);

/* Takes one frame of a run (CODE_BEGUN, CODE_STREAM, CODE_RESULT, CODE_DISPLAY, CODE_ERROR). 0, or
 * -EPROTO when it is malformed or of another type. */
int code_result_add(struct code_result *r, const struct wire_frame *frame);
/* An error that the kernel did not report itself. */
void code_result_set_error(struct code_result *r, const char *name, const char *value);

/* Closes the last lines; nothing is added any more. */
void code_result_finish(struct code_result *r);
/* Closes the last lines and appends the answer's body. results.result merges the value with what
 * was displayed; results.display has each displayed bundle by itself, in order. */
void code_result_print(struct code_result *r, struct buf *out, const char *execution_id);

#endif
