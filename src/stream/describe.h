/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - replies of the agent as members of a JSON object, for answers and events alike. */
#ifndef CORRAL_STREAM_DESCRIBE_H
#define CORRAL_STREAM_DESCRIBE_H

#include "base/jsonw.h"
#include "wire/reply.h"

/* Text of the sandbox; what is not UTF-8 in it is replaced. */
void describe_span(struct jsonw *w, const char *key, struct span s);
/* exit_code, duration_ms and, where they apply, timed_out and error. */
void describe_exit(struct jsonw *w, const struct wire_exit *how);
/* Everything that is known of a process; once it has ended also how. */
void describe_process(struct jsonw *w, const struct wire_process *p);
/* "running", "exited", "killed" or "timed_out". */
const char *describe_status(const struct wire_process *p);
/* A file, a directory, or a link itself. */
void describe_info(struct jsonw *w, const struct wire_info *info);
/* "file", "directory", "symlink" or "other"; "" for 0. */
const char *describe_kind(uint32_t kind);

#endif
