/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - a command in a sandbox, as if it ran here: its output appears as it comes, byte for byte,
 * and it reads our standard input unless that is a terminal.
 *
 * The happy path is: a process is started, a child of ours posts what it reads, and we print the
 * events of the process until its end. The process belongs to the stream of events: it ends when
 * we do.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "cli/job.h"

#define RUN_TIMEOUT "30" /* s, when none is given */

/* Reads the events of one process. */
struct run_events {
    struct buf line; /* a line whose end has not come */
    int status;      /* exit status; -1: not told yet */
};

static void run_print(FILE *to, const json *event)
{
    cleanup_buf struct buf bytes = {0};
    const char *text = cli_text(event, "data_base64");
    if (base64_decode(&bytes, text, strlen(text)) < 0)
        return;
    (void)fwrite(bytes.data, 1, bytes.len, to);
    (void)fflush(to);
}

static void run_event(struct run_events *e, const json *event)
{
    const char *type = cli_text(event, "type");
    const json *code = cJSON_GetObjectItemCaseSensitive(event, "exit_code");
    if (strcmp(type, "stdout") == 0) {
        run_print(stdout, event);
    } else if (strcmp(type, "stderr") == 0) {
        run_print(stderr, event);
    } else if (strcmp(type, "error") == 0) {
        (void)cli_error("%s", cli_text(event, "message"));
        e->status = CLI_RUN_FAILED;
    } else if (strcmp(type, "end") == 0) {
        bool timed_out = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(event, "timed_out"));
        e->status = timed_out              ? CLI_RUN_TIMEOUT
                    : cJSON_IsNumber(code) ? code->valueint & 0xff
                                           : CLI_RUN_FAILED;
        if (timed_out)
            (void)cli_error("the command took longer than its time-out");
    }
}

static bool run_take(void *ctx, const char *data, size_t len)
{
    static const char field[] = "data: ";
    struct run_events *e = ctx;
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end != NULL ? (size_t)(end - data) : len;
        if (buf_append(&e->line, data, n) < 0)
            return false;
        if (end == NULL)
            return true;
        size_t skip = sizeof(field) - 1;
        if (e->line.len > skip && memcmp(e->line.data, field, skip) == 0) {
            cleanup_json json *event = json_parse(e->line.data + skip, e->line.len - skip, NULL);
            run_event(e, event);
        }
        buf_reset(&e->line);
        data += n + 1;
        len -= n + 1;
    }
    return true;
}

/* Posts standard input piece by piece until its end, or until nobody takes it any more. */
static void run_feed(struct cli *cli, const char *path)
{
    static char piece[65536];
    bool more = true;
    while (more) {
        cleanup_json json *answer = NULL;
        cleanup_json json *body = cJSON_CreateObject();
        cleanup_buf struct buf text = {0};
        ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
        if (n < 0 && errno == EINTR && !cli_http_interrupted())
            continue;
        (void)base64_encode(&text, piece, n > 0 ? (size_t)n : 0);
        cli_add_text(body, "data_base64", buf_cstr(&text));
        if (n <= 0)
            (void)cJSON_AddTrueToObject(body, "eof");
        more = n > 0 && cli_request(cli, "POST", path, body, &answer) == 200;
        if (n <= 0)
            (void)cli_request(cli, "POST", path, body, &answer);
    }
}

/* The child that feeds the process; -1: none. It has a connection of its own. */
static pid_t run_feeder(struct cli *cli, const char *path)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)freopen("/dev/null", "w", stderr); /* that the process is gone is no fault */
    cli->http = cli_http_new();
    if (cli->http != NULL)
        run_feed(cli, path);
    _exit(0);
}

static int run_follow(struct cli *cli, const char *id, int64_t pid)
{
    char route[96];
    struct run_events events = {.status = -1};
    (void)snprintf(route, sizeof(route), "/processes/%lld/stream?own=true&encoding=base64",
                   (long long)pid);
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, route);
    int rv = path != NULL ? cli_stream(cli, path, run_take, &events) : CLI_RUN_FAILED;
    buf_done(&events.line);
    if (events.status >= 0)
        return events.status;
    if (rv == CLI_OK)
        (void)cli_error("the server ended the stream before the command's end");
    return rv == CLI_INTERRUPTED ? rv : CLI_RUN_FAILED;
}

static int run_act_live(struct cli *cli, struct cli_job *job, const char *id)
{
    char route[64];
    pid_t feeder = -1;
    int64_t pid;
    bool has_stdin = isatty(STDIN_FILENO) == 0;
    (void)cJSON_AddBoolToObject(job->body, "stdin", has_stdin);
    int rv = cli_start_process(cli, job, "/processes", id, &pid);
    if (rv != 0)
        return rv;
    (void)snprintf(route, sizeof(route), "/processes/%lld/stdin", (long long)pid);
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, route);
    if (has_stdin && path != NULL)
        feeder = run_feeder(cli, path);
    rv = run_follow(cli, id, pid);
    if (feeder > 0) {
        (void)kill(feeder, SIGKILL);
        (void)waitpid(feeder, NULL, 0);
    }
    if (job->sandbox != NULL || job->keep)
        cli_delete_process(cli, id, pid);
    return rv;
}

static int run_act_json(struct cli *cli, struct cli_job *job, const char *id)
{
    cleanup_json json *answer = NULL;
    int rv = cli_post_job(cli, job, "/commands/run", id, &answer);
    if (rv != 0)
        return rv;
    cli_print_json(answer);
    const json *code = cJSON_GetObjectItemCaseSensitive(answer, "exit_code");
    return cJSON_IsNumber(code) ? code->valueint & 0xff : CLI_RUN_FAILED;
}

int cli_run(struct cli *cli, int argc, char **argv)
{
    const char *dir = NULL;
    struct cli_job job = {.timeout = RUN_TIMEOUT};
    const struct cli_opt opts[] = {{"sandbox", CLI_TEXT, &job.sandbox},
                                   {"template", CLI_TEXT, &job.template},
                                   {"timeout", CLI_TEXT, &job.timeout},
                                   {"env", CLI_LIST, &job.env},
                                   {"dir", CLI_TEXT, &dir},
                                   {"keep", CLI_FLAG, &job.keep},
                                   {"deny-all", CLI_FLAG, &job.deny_all},
                                   {"allow", CLI_LIST, &job.allow},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    int rv = cli_parse(cli, &argc, argv, opts, true);
    if (rv == 0)
        rv = cli_expect(argc, 1, INT32_MAX);
    if (rv == 0 && job.sandbox != NULL && (job.deny_all || job.allow.count > 0))
        rv = cli_error("--deny-all and --allow are for a new sandbox");
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", job.timeout, cli->raw ? 1000 : 1);
    if (rv == 0)
        rv = cli_add_pairs(body, "environment", &job.env);
    if (rv != 0)
        return rv;
    cli_add_text(body, "command", argv[0]);
    cli_add_text(body, cli->raw ? "working_dir" : "cwd", dir);
    json *args = argc > 1 ? cJSON_AddArrayToObject(body, "args") : NULL;
    for (int i = 1; i < argc; i++)
        cJSON_AddItemToArray(args, cJSON_CreateString(argv[i]));
    job.body = body;
    job.act = cli->raw ? run_act_json : run_act_live;
    return cli_do_job(cli, &job);
}
