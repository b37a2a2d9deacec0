/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h - the socket the server connects to: fd:N (listening, inherited), unix:PATH or
 * vsock:PORT. */
#ifndef CORRAL_AGENT_LISTENER_H
#define CORRAL_AGENT_LISTENER_H

#include "agent/loop.h"

struct listener {
    struct source source;
    bool vsock;       /* no greeting: the VMM has answered it */
    const char *path; /* borrowed: to unlink at the end; NULL: none */
};

/* 0 or a negative errno. -EINVAL: `spec` is not an address. */
int listener_open(struct listener *l, const char *spec);
void listener_done(struct listener *l, struct loop *loop);
/* The next connection, or a negative errno; -EAGAIN: none waits. Connections that do not come from
 * the host are dropped. */
int listener_accept(struct listener *l);

#endif
