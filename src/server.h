/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - the server as a whole: what is started in which order, and stopped in the reverse. */
#ifndef CORRAL_SERVER_H
#define CORRAL_SERVER_H

#include "config/config.h"

/* Runs until a signal ends it. SIGTERM stops serving and leaves the sandboxes of clients alive for
 * the next server to adopt; SIGINT (Ctrl-C) ends them too; SIGHUP reads the templates again. 0, or
 * a negative errno with `err` filled when it could not start. */
int server_run(const struct config *config, struct error *err);

#endif
