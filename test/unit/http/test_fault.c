/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault.c - each allocation of the server fails once: a request may be lost, but nothing
 * leaks, hangs or is called twice. The client is a process of its own, whose memory does not fail.
 */
#include "t_fault.h"
#include "t_http.h"

#include <sys/wait.h>

static const char *const requests[] = {
    "GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: "
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "y"
    "\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /ch",
    "unks HTTP/1.1\r\nHost: x\r\n\r\nGET /extra HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /none HTTP/1.1\r\nHost: x\r\n\r\nBREW / HTTP/1.1\r\n\r\n",
};

static pid_t spawn_client(void)
{
    pid_t pid = fork();
    T_TRUE(pid >= 0);
    if (pid > 0)
        return pid;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t_server_port())};
    char data[65536];
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        _exit(1);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        if (send(fd, requests[i], strlen(requests[i]), MSG_NOSIGNAL) < 0)
            break;
        usleep(3000);
    }
    while (recv(fd, data, sizeof(data), 0) > 0) {
    }
    _exit(0);
}

static void every_allocation(void)
{
    int n = 1;
    bool hit;
    do {
        int status = 0;
        t_http_start();
        pid_t pid = spawn_client();
        t_fault_arm(n++);
        T_UNTIL(&t_loop, waitpid(pid, &status, WNOHANG) == pid);
        hit = t_fault_disarm();
        T_EQ(status, 0);
        t_http_stop();
        if (!hit) {
            T_EQ(t_seen.gone_done, 5);
            T_EQ(t_seen.gone_aborted, 0);
        }
    } while (hit);
    T_TRUE(n > 10);
}

T_MAIN(T_CASE(every_allocation))
