/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of this folder share. */
#ifndef CORRAL_E2B_INTERNAL_H
#define CORRAL_E2B_INTERNAL_H

#include "api/step.h"
#include "e2b/e2b.h"
#include "wire/reply.h"
#include "wire/request.h"

#define E2B_ENVD_PORT    49983
#define E2B_CODE_PORT    49999
#define E2B_ENVD_VERSION "0.6.2" /* what clients may try: all up to stored metadata of files */
#define E2B_MAX_FRAME    (1u << 20)
#define E2B_NOTES_SPACE                                                                            \
    "e2b."              /* what names of the attributes begin with that are a file's metadata */
#define E2B_USER "user" /* whose files are meant unless a request names another's */

/* A request of one plane; `n` routes in the manner of the API's. */
struct e2b_plane {
    const struct api_route *routes;
    size_t n;
    const struct api_surface *surface;
};

extern const struct e2b_plane e2b_control_plane, e2b_files_plane, e2b_unary_plane, e2b_stream_plane,
    e2b_code_plane;
extern const struct api_surface e2b_port_surface;
extern const struct api_route e2b_raw_upload_route; /* of a body that is the file itself */

/* --- admit.c: who may ask, each for one surface --- */

int e2b_admit_envd(struct api_call *call, struct error *err);
int e2b_admit_files(struct api_call *call, struct error *err);
int e2b_admit_code(struct api_call *call, struct error *err);
int e2b_admit_port(struct api_call *call, struct error *err);

/* --- answer.c --- */

/* How an error reads, each for one surface. */
void e2b_fail_control(struct api_call *call, const struct error *err);
void e2b_fail_data(struct api_call *call, const struct error *err);
void e2b_fail_unary(struct api_call *call, const struct error *err);
void e2b_fail_stream(struct api_call *call, const struct error *err);
void e2b_fail_code(struct api_call *call, const struct error *err);
/* Answers without a body, and with an empty object. */
void e2b_reply_nothing(struct api_call *call);
void e2b_reply_empty(struct api_call *call);
void e2b_unsupported(struct api_call *call);

/* What a sandbox uses, under the names of one plane. False: the request has its answer, and the
 * buffer is released. */
struct e2b_usage_names {
    const char *cpus, *cpu, *memory, *memory_used, *disk_used, *disk;
};
bool e2b_write_usage(struct api_call *call, struct jsonw *w, const struct e2b_usage_names *names);

/* The path for one of a client, as of api_path_as; "~" is the home. NULL with `err` filled. */
const char *e2b_path(struct api_call *call, const char *path, struct error *err);
/* The user that a client wants: the name of basic authentication, without a password. "": the usual
 * one. */
const char *e2b_user(struct api_call *call);

/* For `then` of api_step: OK is answered with an empty object. */
void e2b_step_done(struct api_call *call, const struct wire_frame *frame, const struct error *err);

/* --- control.c --- */

/* The object that gives a client access to a sandbox. */
void e2b_write_access(struct jsonw *w, const struct api_call *call, const struct sandbox *sb);
/* A field of the body, in seconds, as a create has it. */
int e2b_timeout(struct api_call *call, const char *field, unsigned int *ret, struct error *err);

/* --- snapshots.c --- */

void e2b_snapshot_create(struct api_call *call);
void e2b_snapshot_list(struct api_call *call);
void e2b_snapshot_delete(struct api_call *call);
void e2b_fork(struct api_call *call);

/* --- network.c --- */

/* As api_network_parse. */
int e2b_network_parse(struct api_call *call, struct buf *text, const char **ret, struct error *err);
void e2b_network_put(struct api_call *call);

/* --- logs.c: in the first form and in the second --- */

void e2b_logs_lines(struct api_call *call);
void e2b_logs(struct api_call *call);

/* --- watcher.c --- */

void e2b_watcher_create(struct api_call *call);
void e2b_watcher_events(struct api_call *call);
void e2b_watcher_remove(struct api_call *call);
/* Path and flags of a request to watch; false: the request has its answer. */
bool e2b_watch_request(struct api_call *call, struct buf *request);
/* --- handlers, by file --- */

void e2b_process_start(struct api_call *call);
void e2b_process_connect(struct api_call *call);
void e2b_process_list(struct api_call *call);
void e2b_process_input(struct api_call *call);
void e2b_process_close_stdin(struct api_call *call);
void e2b_process_update(struct api_call *call);
void e2b_process_signal(struct api_call *call);
/* The process that an object of a request names. */
int e2b_which(const json *from, struct wire_which *ret, struct error *err);
/* The bytes of `input`, for a pipe or a terminal. */
int e2b_input(const json *from, struct buf *ret, struct error *err);
void e2b_input_stream(struct api_call *call);
void e2b_input_stream_data(struct api_call *call, const uint8_t *data, size_t len);
void e2b_input_stream_end(struct api_call *call);
void e2b_watch_dir(struct api_call *call);

/* The message of a stream's request becomes `body`; false: the request has its answer. */
bool e2b_take_message(struct api_call *call);

#endif
