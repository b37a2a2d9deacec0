/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - output pipes of commands that have ended, when a background process still holds them.
 * They are read and the bytes dropped, so that a background server does not die of SIGPIPE. */
#ifndef CORRAL_AGENT_SINK_H
#define CORRAL_AGENT_SINK_H

#include "agent/loop.h"

#define SINK_MAX 128 /* the oldest is closed to make room */

struct sinks {
    struct loop *loop;
    struct list list; /* oldest first */
    struct list logged;
    unsigned int count; /* in `list` */
    int null_fd;        /* /dev/null for writing; -1: plain reads */
};

void sinks_init(struct sinks *s, struct loop *loop);
void sinks_done(struct sinks *s);
/* Takes ownership of `fd`, the reading end of a pipe, non-blocking. */
void sinks_add(struct sinks *s, int fd);
/* The same for a process of the agent's own: the first `bytes` go to the agent's stderr, and the
 * pipe is never closed to make room. */
void sinks_add_logged(struct sinks *s, int fd, size_t bytes);
void sink_handle_event(struct sinks *s, struct source *source);

#endif
