/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.c - a terminal in a sandbox, on the terminal we have: keys go there as they are typed, the
 * screen comes back, and a new size of the window is passed on.
 *
 * The happy path is: a process with a terminal is started, a WebSocket carries its bytes, our
 * terminal turns raw, and the process's end is ours. Possible failure modes are: the server
 * refuses, the connection is lost, a signal ends us. In each our terminal is given back as it was.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "base/base64.h"
#include "cli/job.h"
#include "ws/ws.h"

#define SHELL_HEAD_MAX 16384
#define SHELL_WAIT_MS  500 /* signals are looked at that often, at the latest */

struct shell {
    struct cli_raw *raw;
    struct ws *ws;
    bool has_terminal;    /* stdin is one, and `saved` is how it was */
    bool input_over;      /* nothing more comes from stdin */
    struct termios saved; /* valid with has_terminal */
    int status;           /* exit status; -1: not told yet */
    bool lost;            /* the connection is no more */
};

static volatile sig_atomic_t shell_resized, shell_hung_up;

static void shell_on_signal(int sig)
{
    if (sig == SIGWINCH)
        shell_resized = sig;
    else
        shell_hung_up = sig;
}

static void shell_size(struct winsize *ret)
{
    *ret = (struct winsize){0};
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, ret) < 0 || ret->ws_col == 0 || ret->ws_row == 0)
        *ret = (struct winsize){.ws_col = 80, .ws_row = 24};
}

/* --- messages --- */

static void shell_on_message(void *ctx, bool is_text, const uint8_t *data, size_t len)
{
    struct shell *s = ctx;
    if (!is_text) {
        while (len > 0) {
            ssize_t n = write(STDOUT_FILENO, data, len);
            if (n < 0 && errno != EINTR) {
                s->lost = true;
                return;
            }
            data += MAX(n, 0);
            len -= (size_t)MAX(n, 0);
        }
        return;
    }
    cleanup_json json *body = json_parse(data, len, NULL);
    const json *code = cJSON_GetObjectItemCaseSensitive(body, "exit_code");
    if (cJSON_IsNumber(code))
        s->status = code->valueint & 0xff;
}

static void shell_on_send(void *ctx, const uint8_t *data, size_t len)
{
    struct shell *s = ctx;
    if (cli_raw_send(s->raw, data, len) < 0)
        s->lost = true;
}

static void shell_on_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    if (getrandom(out, len, 0) != (ssize_t)len)
        memset(out, 0, len); /* masks need not be secret from the server */
}

static const struct ws_handler shell_messages = {
    .message = shell_on_message, .send = shell_on_send, .random = shell_on_random};

static void shell_send_size(struct shell *s)
{
    struct winsize size;
    char text[80];
    shell_size(&size);
    int n = snprintf(text, sizeof(text), "{\"resize\":{\"cols\":%u,\"rows\":%u}}", size.ws_col,
                     size.ws_row);
    (void)ws_send(s->ws, true, text, (size_t)n);
}

/* --- the handshake --- */

/* The head of the answer; what came behind it stays in `got`. Waits. 0 or -EPIPE. */
static int shell_read_head(struct shell *s, struct buf *got, size_t *head_len)
{
    char piece[4096];
    while (got->len < SHELL_HEAD_MAX && !cli_http_interrupted()) {
        const char *end = buf_cstr(got) != NULL ? strstr((char *)got->data, "\r\n\r\n") : NULL;
        if (end != NULL) {
            *head_len = (size_t)(end - (char *)got->data) + 4;
            return 0;
        }
        ssize_t n = cli_raw_recv(s->raw, piece, sizeof(piece));
        struct pollfd wait = {.fd = cli_raw_fd(s->raw), .events = POLLIN};
        if (n == -EAGAIN)
            (void)poll(&wait, 1, SHELL_WAIT_MS);
        else if (n <= 0 || buf_append(got, piece, (size_t)n) < 0)
            return -EPIPE;
    }
    return -EPIPE;
}

/* Whether the head says 101 with the answer to our key. */
static bool shell_head_fits(const char *head, const char *accept)
{
    static const char name[] = "\r\nSec-WebSocket-Accept:";
    const char *found = strcasestr(head, name);
    if (strncmp(head, "HTTP/1.1 101", 12) != 0 || found == NULL)
        return false;
    found += sizeof(name) - 1;
    found += strspn(found, " \t");
    return strncmp(found, accept, strlen(accept)) == 0;
}

static int shell_connect(struct cli *cli, struct shell *s, const char *path)
{
    uint8_t nonce[16];
    char accept[WS_ACCEPT_SIZE], headers[256];
    cleanup_buf struct buf key = {0};
    cleanup_buf struct buf got = {0};
    size_t head_len = 0;
    shell_on_random(NULL, nonce, sizeof(nonce));
    (void)base64_encode(&key, nonce, sizeof(nonce));
    if (buf_cstr(&key) == NULL)
        return cli_error("out of memory");
    (void)snprintf(headers, sizeof(headers),
                   "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: %s\r\n",
                   (char *)key.data);
    s->raw = cli_raw_open(cli, path, headers);
    if (s->raw == NULL)
        return CLI_FAILED;
    ws_accept((char *)key.data, accept);
    if (shell_read_head(s, &got, &head_len) < 0 || !shell_head_fits((char *)got.data, accept))
        return cli_error("%s does not let a terminal through", cli->url);
    s->ws = ws_new(true, &shell_messages, s);
    if (s->ws == NULL)
        return cli_error("out of memory");
    if (ws_feed(s->ws, got.data + head_len, got.len - head_len) < 0)
        s->lost = true;
    return 0;
}

/* --- the terminal --- */

static void shell_make_raw(struct shell *s)
{
    const struct sigaction act = {.sa_handler = shell_on_signal};
    if (tcgetattr(STDIN_FILENO, &s->saved) < 0)
        return;
    s->has_terminal = true;
    struct termios raw = s->saved;
    cfmakeraw(&raw);
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    (void)sigaction(SIGWINCH, &act, NULL);
    (void)sigaction(SIGHUP, &act, NULL);
}

static void shell_restore(struct shell *s)
{
    if (s->has_terminal)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->saved);
}

static void shell_take_input(struct shell *s)
{
    char piece[16384];
    static const char end_of_file = 4; /* ^D: what a person would type */
    ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    s->input_over = n <= 0;
    if (n > 0)
        (void)ws_send(s->ws, false, piece, (size_t)n);
    else
        (void)ws_send(s->ws, false, &end_of_file, 1);
}

static void shell_take_output(struct shell *s)
{
    uint8_t piece[65536];
    ssize_t n;
    while (!s->lost && (n = cli_raw_recv(s->raw, piece, sizeof(piece))) != -EAGAIN) {
        if (n <= 0 || ws_feed(s->ws, piece, (size_t)n) < 0)
            s->lost = true;
    }
}

static void shell_pump(struct shell *s)
{
    while (!s->lost && !shell_hung_up && !cli_http_interrupted()) {
        struct pollfd fds[2] = {{.fd = cli_raw_fd(s->raw), .events = POLLIN},
                                {.fd = s->input_over ? -1 : STDIN_FILENO, .events = POLLIN}};
        (void)poll(fds, 2, SHELL_WAIT_MS);
        if (shell_resized != 0) {
            shell_resized = 0;
            shell_send_size(s);
        }
        if (fds[1].revents != 0)
            shell_take_input(s);
        shell_take_output(s);
    }
}

static int shell_attach(struct cli *cli, const char *path)
{
    struct shell s = {.status = -1};
    int rv = shell_connect(cli, &s, path);
    if (rv == 0) {
        shell_make_raw(&s);
        shell_pump(&s);
        shell_restore(&s);
        rv = s.status >= 0 ? s.status : CLI_FAILED;
        if (cli_http_interrupted() || shell_hung_up)
            rv = CLI_INTERRUPTED;
        else if (s.status < 0)
            (void)cli_error("the connection was lost");
    }
    ws_free(s.ws);
    cli_raw_close(s.raw);
    return rv;
}

static int shell_act(struct cli *cli, struct cli_job *job, const char *id)
{
    struct winsize size;
    char route[64];
    int64_t pid;
    shell_size(&size);
    (void)cJSON_AddNumberToObject(job->body, "cols", size.ws_col);
    (void)cJSON_AddNumberToObject(job->body, "rows", size.ws_row);
    int rv = cli_start_process(cli, job, "/pty", id, &pid);
    if (rv != 0)
        return rv;
    (void)snprintf(route, sizeof(route), "/pty/%lld/ws", (long long)pid);
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, route);
    rv = path != NULL ? shell_attach(cli, path) : CLI_FAILED;
    if (job->sandbox != NULL || job->keep)
        cli_delete_process(cli, id, pid);
    return rv;
}

int cli_shell(struct cli *cli, int argc, char **argv)
{
    const char *dir = NULL, *shell = NULL, *user = NULL;
    struct cli_job job = {.act = shell_act};
    const struct cli_opt opts[] = {{"template", CLI_TEXT, &job.template},
                                   {"env", CLI_LIST, &job.env},
                                   {"dir", CLI_TEXT, &dir},
                                   {"user", CLI_TEXT, &user},
                                   {"shell", CLI_TEXT, &shell},
                                   {"keep", CLI_FLAG, &job.keep},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_expect(argc, 0, 1);
    if (rv == 0)
        rv = cli_add_pairs(body, "environment", &job.env);
    if (rv != 0)
        return rv;
    cli_add_text(body, "cwd", dir);
    cli_add_text(body, "user", user);
    cli_add_text(body, "shell", shell);
    job.sandbox = argc > 0 ? argv[0] : NULL;
    job.body = body;
    return cli_do_job(cli, &job);
}
