/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of this folder share. */
#ifndef CORRAL_GRAVIX_INTERNAL_H
#define CORRAL_GRAVIX_INTERNAL_H

#include "api/ask.h"
#include "gravix/gravix.h"
#include "stream/event.h"
#include "wire/reply.h"
#include "wire/request.h"

#define GRAVIX_HOME         "/workspace" /* where commands run and relative paths start */
#define GRAVIX_TIMEOUT_S    300          /* of a run in the foreground that names none */
#define GRAVIX_TIMEOUT_NAME "TimeoutError"

struct command; /* api/command.h */

extern const struct api_route gravix_routes[];
extern const size_t gravix_route_count;

/* How output of terminals, of code, and changes of files read. */
extern const struct event_writer gravix_speak_pty, gravix_speak_code, gravix_speak_watch;

/* For ask_params: OK is answered with {"success": true}. */
int gravix_take_success(struct ask *a, const struct wire_frame *frame);
/* Answers with the same, where no agent was asked. */
void gravix_succeeded(struct api_call *call);
/* The directory that a field of the body names; in the arena. NULL with `err` filled. */
const char *gravix_directory(struct api_call *call, const char *cwd, struct error *err);
/* A sandbox as an object; and the runtime with that id, of the account. NULL: the call is answered.
 */
void gravix_runtime_write(struct jsonw *w, const struct sandbox *sb);
struct sandbox *gravix_runtime_named(struct api_call *call, const char *id);
/* A field of seconds. Nothing and 0 mean that there is no end, which the operator may forbid: then
 * it is the latest that there is. */
int gravix_runtime_time(struct api_call *call, const char *field, unsigned int *ret,
                        struct error *err);
/* For command_start: output and end, however it ended. */
void gravix_command_reply(struct api_call *call, struct command *cmd);

/* --- handlers, by file --- */

void gravix_unsupported(struct api_call *call);
void gravix_runtime_create(struct api_call *call);
void gravix_runtime_list(struct api_call *call);
void gravix_runtime_get(struct api_call *call);
void gravix_runtime_kill(struct api_call *call);
void gravix_runtime_connect(struct api_call *call);
void gravix_runtime_timeout(struct api_call *call);
void gravix_runtime_pause(struct api_call *call);
void gravix_runtime_resume(struct api_call *call);
void gravix_runtime_fork(struct api_call *call);
void gravix_snapshot_create(struct api_call *call);
void gravix_snapshot_list(struct api_call *call);
void gravix_snapshot_get(struct api_call *call);
void gravix_snapshot_activate(struct api_call *call);
void gravix_snapshot_deactivate(struct api_call *call);
void gravix_snapshot_delete(struct api_call *call);
void gravix_snapshot_fork(struct api_call *call);
void gravix_template_get(struct api_call *call);
void gravix_template_snapshot(struct api_call *call);
void gravix_command_run(struct api_call *call);
void gravix_command_list(struct api_call *call);
void gravix_command_get(struct api_call *call);
void gravix_command_kill(struct api_call *call);
void gravix_command_stream(struct api_call *call);
void gravix_code_run(struct api_call *call);
void gravix_context_create(struct api_call *call);
void gravix_file_read(struct api_call *call);
void gravix_file_list(struct api_call *call);
void gravix_file_delete(struct api_call *call);
void gravix_file_mkdir(struct api_call *call);
void gravix_file_chown(struct api_call *call);
void gravix_file_move(struct api_call *call);
void gravix_file_copy(struct api_call *call);
void gravix_file_find(struct api_call *call);
void gravix_file_watch(struct api_call *call);
void gravix_file_upload(struct api_call *call);
void gravix_file_download(struct api_call *call);
void gravix_bundle_create(struct api_call *call);
void gravix_bundle_list(struct api_call *call);
void gravix_bundle_get(struct api_call *call);
void gravix_bundle_update(struct api_call *call);
void gravix_bundle_delete(struct api_call *call);
void gravix_bundle_add(struct api_call *call);
void gravix_bundle_change(struct api_call *call);
void gravix_bundle_entries(struct api_call *call);
void gravix_bundle_remove(struct api_call *call);
void gravix_bundle_attach(struct api_call *call);
void gravix_bundle_detach(struct api_call *call);
void gravix_bundle_of_runtime(struct api_call *call);
void gravix_service_open(struct api_call *call);
void gravix_service_list(struct api_call *call);
void gravix_service_revoke(struct api_call *call);
void gravix_git(struct api_call *call);
void gravix_pty_create(struct api_call *call);
void gravix_pty_list(struct api_call *call);
void gravix_pty_get(struct api_call *call);
void gravix_pty_input(struct api_call *call);
void gravix_pty_resize(struct api_call *call);
void gravix_pty_signal(struct api_call *call);
void gravix_pty_kill(struct api_call *call);
void gravix_pty_stream(struct api_call *call);

#endif
