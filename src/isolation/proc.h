/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.h - naming a process without racing against pid reuse: a pidfd for as long as the server
 * runs, (pid, start time) across its restarts.
 */
#ifndef CORRAL_ISOLATION_PROC_H
#define CORRAL_ISOLATION_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/<pid>/stat, clock ticks since boot. Negative errno; -ESRCH when there is no
 * such process. */
int proc_start_time(pid_t pid, uint64_t *ret);

/* A close-on-exec pidfd. It polls readable once the process has ended. */
int proc_open(pid_t pid);

/* The process id that a pidfd stands for; -ESRCH when the process has ended, -EBADF when it is no
 * pidfd. */
int proc_pid(int pidfd);

/* As proc_open, but -ESRCH when `pid` is not the process that started at `start_time`. */
int proc_open_same(pid_t pid, uint64_t start_time);

int proc_kill(int pidfd, int sig);

/* Takes the exit status of an ended process if it happens to be our child, as it is when the server
 * is process 1 of a container. Never blocks. */
void proc_reap(int pidfd);

/* Kills every process whose command line contains these bytes (whole arguments, each with the 0 at
 * its end) and waits up to `timeout_ms` for the end of each. Finds processes of a crashed server
 * whose pid is noted nowhere. Blocks. Returns how many there were. */
unsigned int proc_kill_called(const char *args, size_t len, int timeout_ms);

#endif
