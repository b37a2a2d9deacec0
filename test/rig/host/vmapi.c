/* SPDX-License-Identifier: Apache-2.0 */
/* The side of vmctl for a VMM that is configured by HTTP requests over DIR/api.sock, and whose
 * vsock is a socket that takes CONNECT, as ours does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl.h"

#define API_NAME "api.sock"

/* Head and body of an answer; its status, or -1. */
static int read_answer(int fd, char *text, size_t size)
{
    size_t len = 0, wanted = size - 1;
    int status = -1;
    while (len < wanted) {
        ssize_t n = read(fd, text + len, wanted - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        const char *body = strstr(text, "\r\n\r\n"),
                   *length = strcasestr(text, "\r\ncontent-length:");
        if (body == NULL)
            continue;
        size_t head = (size_t)(body - text) + 4;
        wanted = head + (length != NULL && length < body ? strtoul(length + 17, NULL, 10) : 0);
        wanted = wanted < size ? wanted : size - 1;
    }
    text[len] = '\0';
    sscanf(text, "HTTP/1.%*d %d", &status);
    return status;
}

/* Each line of the file is a method, a path and a body. */
static int send_requests(int fd, const char *requests)
{
    char line[2048], method[16], path[128], answer[4096];
    int at = 0, rv = 0;
    FILE *f = fopen(requests, "r");
    while (f != NULL && rv == 0 && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%15s %127s %n", method, path, &at) < 2)
            continue;
        dprintf(fd,
                "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                method, path, strlen(line + at), line + at);
        int status = read_answer(fd, answer, sizeof(answer));
        if (status / 100 == 2)
            continue;
        const char *body = strstr(answer, "\r\n\r\n");
        fprintf(stderr, "%s %s was refused: status %d: %s\n", method, path, status,
                body != NULL ? body + 4 : "no answer");
        rv = 1;
    }
    if (f == NULL)
        return 1;
    fclose(f);
    return rv;
}

static int wait_pong(pid_t pid, double start)
{
    while (now() - start < seconds * 1e3 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (ask("ping", 1) == 0)
            return 0;
        usleep(20000);
    }
    fprintf(stderr, "no answer of the guest, see %s/log\n", dir);
    return 1;
}

int api(const char *requests, char **argv)
{
    char path[512];
    pid_t pid = 0;
    int watch = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(watch, dir, IN_CREATE);
    snprintf(path, sizeof(path), "%s/log", dir);
    double start = now();
    if (argv[0] != NULL) {
        pid = start_logged(path, argv);
        snprintf(path, sizeof(path), "%s/peer", dir);
        FILE *f = fopen(path, "w");
        if (f == NULL || fprintf(f, "%d\n", pid) < 0 || fclose(f) != 0)
            return 1;
        wait_socket(watch, API_NAME, start);
    }
    int fd = dial(API_NAME);
    /* Between the two calls that make a socket and listen. */
    while (fd < 0 && now() - start < seconds * 1e3 &&
           (pid == 0 || waitpid(pid, NULL, WNOHANG) == 0)) {
        usleep(1000);
        fd = dial(API_NAME);
    }
    if (fd < 0)
        fprintf(stderr, "%s/%s does not answer, see %s/log\n", dir, API_NAME, dir);
    if (fd < 0 || send_requests(fd, requests) != 0 || (pid != 0 && wait_pong(pid, start) != 0)) {
        if (pid != 0)
            kill(pid, SIGKILL);
        return 1;
    }
    if (pid != 0)
        printf("answered after %.1f ms\n", now() - start);
    return 0;
}
