/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the server as a whole: its parts, started in order and stopped in reverse.
 *
 * The happy path is: the state is opened and locked, then the templates, the isolation driver and
 * the sandboxes; the sandboxes of the last server are adopted; the port opens; a signal comes; the
 * port closes and requests under way are answered; workflows and sandboxes stop; the state is
 * written and closed.
 *
 * Possible failure modes are: a part cannot start (the process ends with the reason and the port
 * never opens); requests outlive the grace period (they are aborted; a second signal ends the grace
 * at once); a new certificate cannot be used at SIGHUP (the old one stays).
 */
#ifndef CORRAL_SERVER_H
#define CORRAL_SERVER_H

#include "config/config.h"

/* Runs until a signal ends it. SIGTERM stops serving and leaves the sandboxes of clients alive for
 * the next server to adopt; SIGINT (Ctrl-C) ends them too; SIGHUP reads the templates again. 0, or
 * a negative errno with `err` filled when it could not start. */
int server_run(const struct config *config, struct error *err);

#endif
