/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl.h - shared by the two halves of vmctl. */
#ifndef CORRAL_RIG_VMCTL_H
#define CORRAL_RIG_VMCTL_H

#include <sys/types.h>
#include <sys/un.h>

/* Of the VM. cid:N is the guest of another VMM, which the host's kernel connects to. */
extern const char *dir;
extern int seconds; /* most that an answer may take */

double now(void); /* ms */
struct sockaddr_un address(const char *name);
/* Connections to a socket in `dir`, and to the test guest past the greeting; or -1. */
int dial(const char *name);
int dial_guest(void);
/* Returns once a socket is in `dir`, or too late; `watch` is an inotify on it. */
void wait_socket(int watch, const char *name, double start);
/* Its output goes to the end of `path`. */
pid_t start_logged(const char *path, char **argv);

/* The verbs that talk to the guest; each returns an exit status. */
int ask(const char *text, int quiet);
int port(void);
int up(void);
int wait_guest(void);
int spawn(char **argv);
int serve(const char *port);
int send_guest(long mib);
int hold(long count, const char *line);
/* Of a VMM that is configured by HTTP requests (vmapi.c). */
int api(const char *requests, char **argv);

#endif
