/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rigd.c - the job server of the emulated host. One job per TCP connection on port 9000:
 *
 *   "run <len>\n" <script>            output of `sh -c`, then "\n=<status>\n"
 *   "put <mode> <len> <path>\n" <bytes>    "=0\n"
 *   "get <path>\n"                    the file's bytes
 *   "ps\n"                            a line for each process: its pid, command line and cgroup
 *
 * Static. Listens inside the emulated machine only, whose port QEMU forwards to 127.0.0.1.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 9000

static int read_all(int fd, void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)p + done, len - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static int copy(int from, int to, long long len)
{
    static char data[1 << 16];
    while (len != 0) {
        size_t want = len < 0 || len > (long long)sizeof(data) ? sizeof(data) : (size_t)len;
        ssize_t n = read(from, data, want);
        if (n <= 0)
            return len < 0 ? 0 : -1;
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(to, data + done, (size_t)(n - done));
            if (w <= 0)
                return -1;
        }
        if (len > 0)
            len -= n;
    }
    return 0;
}

static void job_run(int fd, size_t len)
{
    char *script = calloc(1, len + 1);
    int status = 0;
    if (script == NULL || read_all(fd, script, len) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        close(fd);
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    dprintf(fd, "\n=%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    free(script);
}

static void print_file(FILE *out, const char *pid, const char *name)
{
    char path[300];
    int c;
    snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
    FILE *f = fopen(path, "r");
    while (f != NULL && (c = getc(f)) != EOF)
        putc(c == '\0' || c == '\n' ? ' ' : c, out);
    if (f != NULL)
        fclose(f);
}

static void job_ps(int fd)
{
    FILE *out = fdopen(dup(fd), "w");
    DIR *dir = opendir("/proc");
    struct dirent *e;
    while (out != NULL && dir != NULL && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
            continue;
        fprintf(out, "%s ", e->d_name);
        print_file(out, e->d_name, "cmdline");
        print_file(out, e->d_name, "cgroup");
        putc('\n', out);
    }
    if (dir != NULL)
        closedir(dir);
    if (out != NULL)
        fclose(out);
}

static void job(int fd)
{
    char line[512], path[400];
    unsigned int mode;
    long long len = 0;
    size_t n = 0;
    while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    if (sscanf(line, "run %lld", &len) == 1 && len >= 0 && len < 1 << 24) {
        job_run(fd, (size_t)len);
    } else if (sscanf(line, "put %o %lld %399s", &mode, &len, path) == 3) {
        unlink(path);
        int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
        dprintf(fd, "=%d\n", out < 0 || copy(fd, out, len) < 0);
        close(out);
    } else if (strcmp(line, "ps") == 0) {
        job_ps(fd);
    } else if (sscanf(line, "get %399s", path) == 1) {
        int in = open(path, O_RDONLY);
        if (in >= 0)
            copy(in, fd, -1);
        close(in);
    }
}

int main(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    /* Orphans end here, too: nobody waits for them. */
    signal(SIGCHLD, SIG_IGN);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0) {
        perror("rigd");
        return 1;
    }
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c >= 0 && fork() == 0) {
            signal(SIGCHLD, SIG_DFL);
            job(c);
            _exit(0);
        }
        if (c >= 0)
            close(c);
    }
}
