/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c - the JSON of a request's body.
 *
 * A small body is parsed at once. A larger one would hold up every other client, so a thread of the
 * pool parses it. The happy path is: the job takes the body over, the thread parses it, the call
 * gets its JSON and continues. Possible failure modes are: the text is not JSON or holds too many
 * values (400); the client goes away first (a job that has not begun is cancelled, and what one
 * that has begun leaves behind is freed).
 */
#include "api/body.h"

#include <stdlib.h>

struct body_job {
    uv_work_t work;
    struct api_call *call; /* NULL: the client went away */
    void (*then)(struct api_call *call);
    struct buf text;
    bool nul;
    json *parsed;
    struct error err;
};

static void body_work(uv_work_t *work)
{
    struct body_job *job = work->data;
    job->parsed = json_parse_request(job->text.data, job->text.len, job->nul, &job->err);
    buf_done(&job->text); /* its bytes are in the JSON now */
}

static void body_worked(uv_work_t *work, int status)
{
    struct body_job *job = work->data;
    struct api_call *call = job->call;
    if (call != NULL) {
        call->state = NULL;
        call->cancel = NULL;
        call->body = TAKE_PTR(job->parsed);
        if (call->body != NULL)
            job->then(call);
        else
            api_fail(call, &job->err);
    }
    json_free_p(&job->parsed);
    buf_done(&job->text);
    free(job);
}

static void body_cancel(struct api_call *call)
{
    struct body_job *job = call->state;
    job->call = NULL;
    (void)uv_cancel((uv_req_t *)&job->work); /* -EBUSY: it has begun */
}

static void body_parse_later(struct api_call *call, bool nul, void (*then)(struct api_call *call))
{
    struct body_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    job->work.data = job;
    job->call = call;
    job->then = then;
    job->nul = nul;
    job->text = call->req->body;
    call->req->body = (struct buf){0};
    call->state = job;
    call->cancel = body_cancel;
    (void)uv_queue_work(call->api->loop, &job->work, body_work, body_worked); /* never fails */
}

void api_parse_body(struct api_call *call, void (*then)(struct api_call *call))
{
    struct error err;
    const struct buf *text = &call->req->body;
    bool nul = (call->route->flags & API_NUL) != 0;
    if (text->len > API_PARSE_AT_ONCE) {
        body_parse_later(call, nul, then);
        return;
    }
    call->body = json_parse_request(text->data, text->len, nul, &err);
    if (call->body == NULL)
        api_fail(call, &err);
    else
        then(call);
}

size_t api_body_limit(const struct api_call *call)
{
    unsigned int flags = call->route->flags;
    if ((flags & API_CONTENT) != 0)
        return (size_t)call->api->config->max_body;
    if ((flags & API_BYTES) != 0)
        return API_MAX_BYTES;
    return (flags & API_VARIABLES) != 0 ? API_PARSE_AT_ONCE : API_SMALL_BODY;
}
