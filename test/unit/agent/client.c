/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "t.h"

#define CLIENT_WAIT_S 120 /* for an agent that hangs, not for a slow machine */

static struct agent_proc *running;

static int remove_dir(const struct agent_proc *a)
{
    int status = -1;
    /* Removes nothing but the directory that agent_start has made. */
    T_EQ(strncmp(a->dir, "/tmp/corral-agent-", 18), 0);
    pid_t rm = fork();
    if (rm == 0) {
        execlp("rm", "rm", "-rf", "--", a->dir, NULL);
        _exit(99);
    }
    return waitpid(rm, &status, 0) == rm ? status : -1;
}

/* A failed test leaves no agent. PR_SET_PDEATHSIG is of no use, as a change of fsuid clears it. */
static void clean_up(void)
{
    if (running == NULL)
        return;
    (void)kill(running->pid, SIGTERM);
    (void)waitpid(running->pid, NULL, 0);
    (void)remove_dir(running);
}

static void try_connect(const struct agent_proc *a, int *ret_fd)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/agent.sock", a->dir);
    const struct timeval limit = {.tv_sec = CLIENT_WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_TRUE(fd >= 0);
    T_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    T_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
        *ret_fd = fd;
        return;
    }
    close(fd);
    *ret_fd = -1;
}

void agent_start(struct agent_proc *a, const char *user, const char *const *bridge)
{
    char listen[128], run[128];
    const char *argv[24] = {AGENT_PATH, "--listen",  listen, "--user",
                            user,       "--run-dir", run,    "--bridge"};
    strcpy(a->dir, "/tmp/corral-agent-XXXXXX");
    T_TRUE(t_mkdtemp(a->dir));
    T_EQ(chmod(a->dir, 0711), 0);
    snprintf(a->work, sizeof(a->work), "%s/work", a->dir);
    T_EQ(mkdir(a->work, 0700), 0);
    T_EQ(chmod(a->work, 01777), 0);
    snprintf(listen, sizeof(listen), "unix:%s/agent.sock", a->dir);
    snprintf(run, sizeof(run), "%s/run", a->dir);
    if (bridge == NULL)
        argv[8] = "/nonexistent/bridge";
    for (size_t i = 0; bridge != NULL && bridge[i] != NULL; i++)
        argv[8 + i] = bridge[i];
    a->pid = fork();
    T_TRUE(a->pid >= 0);
    if (a->pid == 0) {
        (void)signal(SIGINT, SIG_IGN); /* as in a shell's background job */
        execv(AGENT_PATH, (char *const *)(uintptr_t)argv);
        _exit(99);
    }
    if (running == NULL)
        T_EQ(atexit(clean_up), 0);
    running = a;
    for (int i = 0; i < 500; i++) {
        int fd;
        try_connect(a, &fd);
        if (fd >= 0) {
            close(fd);
            usleep(50000);
            a->idle_fds = agent_fds(a);
            return;
        }
        usleep(10000);
    }
    T_FAIL("the agent does not listen");
}

void agent_stop(struct agent_proc *a)
{
    int status;
    T_EQ(kill(a->pid, SIGTERM), 0);
    T_EQ(waitpid(a->pid, &status, 0), a->pid);
    running = NULL;
    T_TRUE(WIFEXITED(status));
    T_EQ(WEXITSTATUS(status), 0);
    T_EQ(remove_dir(a), 0);
}

unsigned int agent_fds(const struct agent_proc *a)
{
    char path[64];
    unsigned int n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", a->pid);
    DIR *d = opendir(path);
    T_TRUE(d != NULL);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

void agent_settle(const struct agent_proc *a)
{
    for (int i = 0; i < 500 && agent_fds(a) > a->idle_fds; i++)
        usleep(10000);
    T_EQ(agent_fds(a), a->idle_fds);
}

void client_raw(struct client *c, const struct agent_proc *a)
{
    *c = (struct client){0};
    try_connect(a, &c->fd);
    T_TRUE(c->fd >= 0);
}

void client_open(struct client *c, const struct agent_proc *a)
{
    char line[32] = "";
    client_raw(c, a);
    T_EQ(send(c->fd, "CONNECT 1024\n", 13, MSG_NOSIGNAL), 13);
    for (size_t i = 0; i + 1 < sizeof(line) && strchr(line, '\n') == NULL; i++)
        T_EQ(recv(c->fd, line + i, 1, 0), 1);
    T_EQ(strncmp(line, "OK ", 3), 0);
}

void client_send(struct client *c, struct buf *b)
{
    for (size_t at = 0; at < b->len;) {
        ssize_t n = send(c->fd, b->data + at, b->len - at, MSG_NOSIGNAL);
        T_TRUE(n > 0);
        at += (size_t)n;
    }
    buf_done(b);
}

int client_next(struct client *c, struct wire_frame *f)
{
    static uint8_t chunk[65536];
    for (;;) {
        int rv = wire_reader_next(&c->reader, f);
        T_TRUE(rv >= 0);
        if (rv > 0)
            return 1;
        ssize_t n = recv(c->fd, chunk, sizeof(chunk), 0);
        if (n < 0)
            T_FAIL("recv: %s", strerror(errno));
        if (n == 0) {
            T_EQ(wire_reader_rest(&c->reader).len, 0);
            return 0;
        }
        T_EQ(wire_reader_feed(&c->reader, chunk, (size_t)n), 0);
    }
}

void client_close(struct client *c)
{
    close(c->fd);
    wire_reader_done(&c->reader);
}

void result_done(struct result *r)
{
    buf_done(&r->out);
    buf_done(&r->err);
    buf_done(&r->data);
    buf_done(&r->names);
    *r = (struct result){0};
}

static void copy_span(char *out, size_t cap, struct span s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.data);
}

static void take_stat(struct result *r, struct cursor *cur, bool entry)
{
    struct span name = wire_get_span(cur);
    copy_span(r->path, sizeof(r->path), wire_get_span(cur));
    r->bytes = cursor_u64(cur);
    r->kind = cursor_u32(cur);
    r->mode = cursor_u32(cur);
    (void)cursor_u64(cur);
    if (!entry) {
        r->stat = true;
        return;
    }
    r->entries++;
    buf_append(&r->names, name.data, name.len);
    buf_append_str(&r->names, "\n");
}

static void take_kept(struct result *r, struct cursor *cur)
{
    T_TRUE(!r->kept && !r->started);
    r->kept = true;
    r->kept_us = cursor_u64(cur);
    r->kept_ended = cursor_u32(cur);
    T_TRUE(r->kept_ended <= 1);
}

static void take_raw(struct buf *b, struct cursor *cur, size_t most)
{
    T_TRUE(cur->left > 0 && cur->left <= most);
    buf_append(b, cur->p, cur->left);
    cur->left = 0;
}

static void take_final(struct result *r, const struct wire_frame *f, struct cursor *cur)
{
    r->ended = true;
    switch (f->type) {
    case WIRE_OK:
        r->ok = true;
        break;
    case WIRE_END:
        break;
    case WIRE_EXIT:
        r->exited = true;
        r->exit_code = (int)cursor_u32(cur);
        r->signal = cursor_u32(cur);
        r->timed_out = cursor_u32(cur);
        (void)cursor_u64(cur);
        break;
    case WIRE_ERROR:
        r->error = cursor_u32(cur);
        T_TRUE(r->error > 0 && r->error <= WIRE_E_LAST);
        copy_span(r->message, sizeof(r->message), wire_get_span(cur));
        break;
    case WIRE_WRITTEN:
        copy_span(r->path, sizeof(r->path), wire_get_span(cur));
        r->bytes = cursor_u64(cur);
        break;
    case WIRE_CONFIGURED:
        (void)cursor_u64(cur);
        r->ok = true;
        break;
    case WIRE_PONG:
        T_EQ(cursor_u32(cur), WIRE_VERSION);
        (void)cursor_u64(cur);
        r->ok = true;
        break;
    default:
        T_FAIL("unexpected frame 0x%x", (unsigned)f->type);
    }
}

void client_finish(struct client *c, struct result *r)
{
    struct wire_frame f;
    while (client_next(c, &f)) {
        struct cursor cur = cursor_on(f.payload, f.len);
        T_TRUE(!r->ended);
        if (f.type == WIRE_STDOUT)
            take_raw(&r->out, &cur, WIRE_CHUNK);
        else if (f.type == WIRE_STDERR)
            take_raw(&r->err, &cur, WIRE_CHUNK);
        else if (f.type == WIRE_DATA)
            take_raw(&r->data, &cur, r->stat ? WIRE_READ_CHUNK : WIRE_CHUNK);
        else if (f.type == WIRE_STAT || f.type == WIRE_ENTRY)
            take_stat(r, &cur, f.type == WIRE_ENTRY);
        else if (f.type == WIRE_STARTED)
            r->started = cursor_u32(&cur) > 0;
        else if (f.type == WIRE_KEPT)
            take_kept(r, &cur);
        else
            take_final(r, &f, &cur);
        T_TRUE(cursor_end(&cur));
    }
    buf_cstr(&r->out);
    buf_cstr(&r->err);
    buf_cstr(&r->data);
    buf_cstr(&r->names);
}

void put_exec(struct buf *b, const struct exec_request *req)
{
    size_t start = wire_begin(b, WIRE_EXEC);
    buf_u32(b, req->flags);
    buf_u32(b, req->timeout_ms);
    wire_put_str(b, req->cwd != NULL ? req->cwd : "");
    wire_put_str(b, req->user != NULL ? req->user : "");
    wire_put_list(b, req->argv);
    wire_put_list(b, req->env);
    wire_end(b, start);
}

void put_shell(struct buf *b, const char *command, uint32_t timeout_ms)
{
    const char *const argv[] = {command, NULL};
    put_exec(b, &(struct exec_request){
                    .flags = WIRE_EXEC_SHELL, .timeout_ms = timeout_ms, .argv = argv});
}

void run_request(const struct agent_proc *a, struct buf *b, struct result *r)
{
    struct client c;
    client_open(&c, a);
    client_send(&c, b);
    *r = (struct result){0};
    client_finish(&c, r);
    T_TRUE(r->ended || r->stat);
    client_close(&c);
}

void run_shell(const struct agent_proc *a, const char *command, struct result *r)
{
    struct buf b = {0};
    put_shell(&b, command, CLIENT_WAIT_S * 1000);
    run_request(a, &b, r);
}
