/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.c - see job.h.
 *
 * The happy path is: template_job_start, lines, then the exit of the process and the end of its
 * output close the two handles, in either order. Possible failure modes are: the process cannot be
 * started, which closes both at once.
 */
#include "template/job.h"

#include "isolation/oom.h"

#define JOB_READ 4096

static void job_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    static char data[JOB_READ]; /* used up before the next read */
    *ret = uv_buf_init(data, sizeof(data));
}

static void job_on_closed(struct template_job *job)
{
    if (--job->open > 0)
        return;
    buf_done(&job->line);
    job->done(job, !job->failed);
}

static void job_on_output_closed(uv_handle_t *handle)
{
    job_on_closed(container_of((uv_pipe_t *)handle, struct template_job, output));
}

static void job_on_process_closed(uv_handle_t *handle)
{
    job_on_closed(container_of((uv_process_t *)handle, struct template_job, process));
}

static void job_say(struct template_job *job)
{
    if (job->line.len > 0 && buf_cstr(&job->line) != NULL)
        job->said(job, (const char *)job->line.data);
    buf_reset(&job->line);
}

static void job_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct template_job *job = container_of((uv_pipe_t *)stream, struct template_job, output);
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == '\n')
            job_say(job);
        else if (job->line.len < TEMPLATE_JOB_LINE)
            (void)buf_u8(&job->line, (uint8_t)buf->base[i]);
    }
    if (n < 0 && !uv_is_closing((uv_handle_t *)stream)) {
        job_say(job);
        uv_close((uv_handle_t *)stream, job_on_output_closed);
    }
}

static void job_on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct template_job *job = container_of(process, struct template_job, process);
    job->ended = true;
    job->failed = status != 0 || signal != 0;
    uv_close((uv_handle_t *)process, job_on_process_closed);
}

int template_job_start(struct template_job *job, uv_loop_t *loop, char **args)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&job->output},
    };
    /* In a session of its own, or Ctrl-C would reach it, too: the server ends its child itself. */
    const uv_process_options_t options = {
        .file = "/proc/self/exe",
        .args = args,
        .exit_cb = job_on_exit,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = ARRAY_SIZE(stdio),
    };
    uv_pipe_init(loop, &job->output, 0);
    job->open = 2;
    job->ended = job->failed = false;
    oom_spawn_begin(OOM_SCORE_HELPER);
    int rv = uv_spawn(loop, &job->process, &options);
    oom_spawn_end();
    if (rv == 0)
        return uv_read_start((uv_stream_t *)&job->output, job_on_alloc, job_on_read);
    job->ended = job->failed = true;
    uv_close((uv_handle_t *)&job->process, job_on_process_closed);
    uv_close((uv_handle_t *)&job->output, job_on_output_closed);
    return rv;
}

void template_job_signal(struct template_job *job, int signum)
{
    if (job->open > 0 && !job->ended)
        (void)uv_process_kill(&job->process, signum);
}
