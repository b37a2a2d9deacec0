/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper.c - one helper process: wait in line, spawn, read what it prints, close.
 *
 * The happy path is: the process exits, its output ends, the three handles close, `done` is called
 * and the next in line is spawned.
 * Possible failure modes are:
 * - The process does not exit, or a stray descendant keeps the pipe open. The timer bounds both: it
 *   kills the process, and closes the handles when the process is already gone.
 * - The spawn fails, or memory for the arguments ran out. The timer handle exists from helper_start
 *   on, and its close reports the failure from the loop, never from inside the call.
 * - helper_cancel: a process is killed and `done` comes after its exit; one that still waits in
 * line is closed at once.
 */
#include "isolation/helper.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "core/step.h"
#include "isolation/oom.h"

static void helper_advance(struct helper_runner *r);
static void helper_spawn(struct helper *run);
static void helper_on_timer(uv_timer_t *timer);
static void helper_on_exit(uv_process_t *process, int64_t status, int signal);
static void helper_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf);
static void helper_on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf);
static void helper_close(struct helper *run);
static void helper_on_close(uv_handle_t *h);

void helper_runner_init(struct helper_runner *r, uv_loop_t *loop, unsigned int limit)
{
    *r = (struct helper_runner){.loop = loop, .limit = limit};
    list_init(&r->waiting);
}

void helper_start(struct helper *run, struct helper_runner *runner, char **argv,
                  unsigned int timeout_ms, void (*done)(struct helper *run))
{
    helper_start_with_files(run, runner, argv, &(struct helper_files){.in_fd = -1}, timeout_ms,
                            done);
}

void helper_start_with_files(struct helper *run, struct helper_runner *runner, char **argv,
                             const struct helper_files *files, unsigned int timeout_ms,
                             void (*done)(struct helper *run))
{
    assert(files->n_fds <= HELPER_FDS);
    *run = (struct helper){.runner = runner,
                           .argv = argv,
                           .in_fd = files->in_fd,
                           .fds = files->fds,
                           .n_fds = files->n_fds,
                           .timeout_ms = timeout_ms,
                           .done = done,
                           .busy = true};
    (void)uv_timer_init(runner->loop, &run->timer);
    run->timer.data = run;
    run->open = 1;
    list_init(&run->link);
    if (argv == NULL) {
        run->end = HELPER_FAILED;
        run->status = UV_ENOMEM;
        helper_close(run);
        return;
    }
    list_add_tail(&runner->waiting, &run->link);
    helper_advance(runner);
}

static void helper_advance(struct helper_runner *r)
{
    while (r->active < r->limit && !list_empty(&r->waiting)) {
        struct helper *run = list_first(&r->waiting, struct helper, link);
        list_del(&run->link);
        r->active++;
        run->spawned = true;
        helper_spawn(run);
    }
}

static void helper_spawn(struct helper *run)
{
    uv_loop_t *loop = run->runner->loop;
    (void)uv_pipe_init(loop, &run->out, 0);
    run->out.data = run;
    run->process.data = run;
    run->open += 2;
    uv_stdio_container_t stdio[3 + HELPER_FDS] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->out},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .exit_cb = helper_on_exit,
        .file = run->argv[0],
        .args = run->argv,
        .stdio_count = 3 + (int)run->n_fds,
        .stdio = stdio,
    };
    if (run->in_fd >= 0)
        stdio[0] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = run->in_fd};
    for (unsigned int i = 0; i < run->n_fds; i++)
        stdio[3 + i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = run->fds[i]};
    oom_spawn_begin(run->runner->oom_score);
    int r = uv_spawn(loop, &run->process, &options);
    oom_spawn_end();
    step_reach("helper", "started");
    base_close_p(&run->in_fd); /* the process has its own */
    run->in_fd = -1;
    if (r == 0)
        r = uv_read_start((uv_stream_t *)&run->out, helper_on_alloc, helper_on_read);
    if (r == 0)
        r = uv_timer_start(&run->timer, helper_on_timer, run->timeout_ms, 0);
    if (r < 0) {
        run->end = HELPER_FAILED;
        run->status = r;
        if (uv_is_active((uv_handle_t *)&run->process))
            (void)uv_process_kill(&run->process, SIGKILL);
        helper_close(run);
    }
}

static void helper_on_timer(uv_timer_t *timer)
{
    struct helper *run = timer->data;
    if (run->end == HELPER_EXITED)
        run->end = HELPER_TIMED_OUT;
    if (uv_is_active((uv_handle_t *)&run->process)) {
        (void)uv_process_kill(&run->process, SIGKILL);
        return;
    }
    helper_close(run);
}

static void helper_on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct helper *run = process->data;
    if (run->end == HELPER_EXITED)
        run->status = signal != 0 ? 128 + signal : (int)status;
    if (uv_is_closing((uv_handle_t *)&run->out) || run->end != HELPER_EXITED)
        helper_close(run);
}

/* What does not fit is read and dropped, or the process would block on a full pipe. */
static void helper_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    static char overflow[4096];
    struct helper *run = h->data;
    size_t left = sizeof(run->text) - 1 - run->text_len;
    *buf = left > 0 ? uv_buf_init(run->text + run->text_len, (unsigned int)left)
                    : uv_buf_init(overflow, sizeof(overflow));
}

static void helper_on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct helper *run = s->data;
    if (n >= 0) {
        if (buf->base == run->text + run->text_len)
            run->text_len += (size_t)n;
        return;
    }
    if (!uv_is_closing((uv_handle_t *)s))
        uv_close((uv_handle_t *)s, helper_on_close);
    if (!uv_is_active((uv_handle_t *)&run->process))
        helper_close(run);
}

void helper_cancel(struct helper *run)
{
    if (!run->busy || run->end != HELPER_EXITED)
        return;
    run->end = HELPER_CANCELLED;
    if (run->spawned && uv_is_active((uv_handle_t *)&run->process))
        (void)uv_process_kill(&run->process, SIGKILL);
    else
        helper_close(run);
}

static void helper_close(struct helper *run)
{
    list_del(&run->link);
    uv_handle_t *handles[] = {(uv_handle_t *)&run->timer, (uv_handle_t *)&run->out,
                              (uv_handle_t *)&run->process};
    for (size_t i = 0; i < (run->spawned ? ARRAY_SIZE(handles) : 1); i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], helper_on_close);
    }
}

static void helper_on_close(uv_handle_t *h)
{
    struct helper *run = h->data;
    if (--run->open > 0)
        return;
    if (run->spawned)
        run->runner->active--;
    base_close_p(&run->in_fd); /* it left the line */
    run->in_fd = -1;
    helper_argv_free(run->argv);
    run->argv = NULL;
    run->text[run->text_len] = '\0';
    run->busy = false;
    step_reach("helper", "ended");
    struct helper_runner *runner = run->runner;
    run->done(run);
    helper_advance(runner);
}

void helper_argv_free(char **argv)
{
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
        free(argv[i]);
    free(argv);
}
