/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl.h - shared by the two halves of vmctl. */
#ifndef CORRAL_RIG_VMCTL_H
#define CORRAL_RIG_VMCTL_H

#include <sys/un.h>

extern const char *dir; /* of the VM */
extern int seconds;     /* most that an answer may take */

double now(void); /* ms */
struct sockaddr_un address(const char *name);
/* Connections to a socket in `dir`, and to the test guest past the greeting; or -1. */
int dial(const char *name);
int dial_guest(void);

/* The verbs that talk to the guest; each returns an exit status. */
int ask(const char *text, int quiet);
int port(void);
int up(void);
int wait_guest(void);
int spawn(char **argv);
int serve(const char *port);
int send_guest(long mib);
int hold(long count, const char *line);

#endif
