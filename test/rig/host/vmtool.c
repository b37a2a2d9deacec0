/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * vmtool.c - what tests of the VMM need and no other program has.
 *
 *   vmtool as UID GID COMMAND...   runs it with these ids and no other groups
 *   vmtool memory PID...           KiB, of these VMMs: the mean share (PSS), the mean and the largest
 *                                  anonymous memory that is not the guest's, the guest's mean
 *   vmtool until TEXT COMMAND...   runs it until its output has TEXT, then kills it; milliseconds
 *   vmtool reseal STATE OFFSET     flips a bit of a state's header and makes its checksum right
 */
/* clang-format on */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crc32.h"

#define HEADER_CRC 92 /* offset of the checksum of all before it, see state.c */

static int as(char **argv)
{
    gid_t gid = (gid_t)atol(argv[1]);
    if (setgroups(1, &gid) < 0 || setgid(gid) < 0 || setuid((uid_t)atol(argv[0])) < 0)
        return 1;
    execv(argv[2], argv + 2);
    return 127;
}

/* One process: KiB of its whole share, and of anonymous memory that is not the guest's. The guest's
 * is the mapping of the snapshot's file and whatever lies between its ends. */
static int memory_of(const char *pid, unsigned long *pss, unsigned long *own, unsigned long *guest)
{
    char path[64], line[512], name[256];
    unsigned long start, end, offset, kib, first = 0, last = 0;
    *pss = *own = *guest = 0;
    snprintf(path, sizeof(path), "/proc/%s/smaps", pid);
    for (int round = 0; round < 2; round++) {
        int inside = 0;
        FILE *f = fopen(path, "r");
        if (f == NULL)
            return -1;
        while (fgets(line, sizeof(line), f) != NULL) {
            name[0] = '\0';
            if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %255s", &start, &end, &offset, name) >= 3) {
                size_t len = strlen(name);
                if (round == 0 && ((len >= 6 && strcmp(name + len - 6, "memory") == 0) ||
                                   (len >= 4 && strcmp(name + len - 4, "base") == 0))) {
                    first = first == 0 ? start - offset : first;
                    last = end;
                }
                inside = start >= first && end <= last;
            } else if (round == 1 && sscanf(line, "Pss: %lu", &kib) == 1) {
                *pss += kib;
            } else if (round == 1 && sscanf(line, "Anonymous: %lu", &kib) == 1) {
                *(inside ? guest : own) += kib;
            }
        }
        fclose(f);
    }
    return last == 0 ? -1 : 0;
}

static int memory(char **pids)
{
    unsigned long count = 0, sum[3] = {0, 0, 0}, max_own = 0, v[3];
    for (; *pids != NULL; pids++) {
        if (memory_of(*pids, &v[0], &v[1], &v[2]) < 0)
            continue;
        count++;
        for (int i = 0; i < 3; i++)
            sum[i] += v[i];
        max_own = v[1] > max_own ? v[1] : max_own;
    }
    if (count == 0)
        return 1;
    printf("count %lu pss %lu own %lu max_own %lu guest %lu\n", count, sum[0] / count,
           sum[1] / count, max_own, sum[2] / count);
    return 0;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int until(const char *text, char **argv)
{
    static char seen[1 << 16];
    size_t len = 0;
    int fds[2], rv = 1;
    double start = now();
    if (pipe(fds) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(fds[1]);
    for (ssize_t n; rv != 0 && len < sizeof(seen) - 1; len += (size_t)n) {
        n = read(fds[0], seen + len, sizeof(seen) - 1 - len);
        if (n <= 0)
            break;
        rv = memmem(seen, len + (size_t)n, text, strlen(text)) == NULL;
    }
    double end = now();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (rv == 0)
        printf("%.1f\n", end - start);
    return rv;
}

static int reseal(const char *path, long offset)
{
    uint8_t h[HEADER_CRC + 4];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (offset < 0 || offset >= HEADER_CRC || read(fd, h, sizeof(h)) != sizeof(h))
        return 1;
    h[offset] ^= 1;
    uint32_t crc = crc32_update(0, h, HEADER_CRC);
    memcpy(h + HEADER_CRC, &crc, sizeof(crc));
    return pwrite(fd, h, sizeof(h), 0) != sizeof(h);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "as") == 0 && argc > 4)
        return as(argv + 2);
    if (strcmp(verb, "memory") == 0)
        return memory(argv + 2);
    if (strcmp(verb, "until") == 0 && argc > 3)
        return until(argv[2], argv + 3);
    if (strcmp(verb, "reseal") == 0 && argc > 3)
        return reseal(argv[2], atol(argv[3]));
    return 2;
}
