/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload_file.c - one file of an upload on its way into the sandbox: the WRITE's connection,
 * and what the agent says of it.
 */
#include "api/path.h"
#include "api/upload.h"
#include "wire/reply.h"
#include "wire/request.h"

#define UPLOAD_STALL_MS 120000 /* for WRITTEN, after END */

static void on_agent_opened(struct agent_call *agent);
static void on_agent_frame(struct agent_call *agent, const struct wire_frame *frame);
static void on_agent_failed(struct agent_call *agent, const struct error *err);
static void on_agent_drained(struct agent_call *agent);
static void on_agent_closed(struct agent_call *agent);

static const struct agent_call_handler upload_agent = {
    .opened = on_agent_opened,
    .frame = on_agent_frame,
    .failed = on_agent_failed,
    .drained = on_agent_drained,
    .closed = on_agent_closed,
};

void upload_file_failed(struct upload *u, const struct error *err)
{
    u->failures++;
    u->error = *err;
    if (u->many) {
        struct jsonw w = {.out = &u->entries, .comma = u->entries.len > 0};
        jsonw_object(&w);
        jsonw_key_str(&w, "path", u->target != NULL ? u->target : "");
        jsonw_key_str(&w, "name", u->target != NULL ? api_path_name(u->target) : "");
        jsonw_key_str(&w, "error", err->message);
        jsonw_object_end(&w);
    }
}

int upload_open(struct upload *u)
{
    struct buf request = {0};
    wire_request_write(&request, u->target, u->mode, WIRE_WRITE_PARENTS);
    int rv = agent_call_start(&u->agent, &u->call->sandbox->target, &upload_agent, &request, 0);
    if (rv < 0)
        return rv;
    u->agent_open = true;
    u->state = UPLOAD_OPENING;
    return 1; /* parse on when the connection is there */
}

void upload_end_file(struct upload *u, const char *path)
{
    struct buf end = {0};
    wire_request_write_end(&end, path);
    u->state = UPLOAD_ENDING;
    (void)agent_call_send_buf(&u->agent, &end);
    agent_call_set_deadline(&u->agent, UPLOAD_STALL_MS);
}

static void on_agent_opened(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    u->state = UPLOAD_WRITING;
    upload_pump(u);
}

static void on_agent_drained(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    if (u->state == UPLOAD_WRITING)
        upload_pump(u);
}

/* This file's connection is done with; the next event is its close. */
static void upload_close_agent(struct upload *u, bool skip)
{
    u->state = UPLOAD_CLOSING;
    u->skip = skip;
    agent_call_close(&u->agent);
}

/* One file failed. Alone it is the request's failure; among many the rest of its bytes are dropped.
 */
static void upload_agent_failed(struct upload *u, const struct error *err)
{
    if (u->many) {
        upload_file_failed(u, err);
        upload_close_agent(u, u->state == UPLOAD_WRITING || u->state == UPLOAD_OPENING);
    } else {
        const struct error copy = *err;
        api_fail(upload_detach(u), &copy);
    }
}

static void on_agent_failed(struct agent_call *agent, const struct error *err)
{
    upload_agent_failed(container_of(agent, struct upload, agent), err);
}

static void upload_written(struct upload *u, const struct wire_frame *frame)
{
    struct wire_written written;
    if (!wire_reply_written(frame, &written)) {
        agent_call_bad_frame(&u->agent);
        return;
    }
    /* Not its path, which is where links lead: the client gets its own back. */
    u->size = written.size;
    if (u->many) {
        struct jsonw w = {.out = &u->entries, .comma = u->entries.len > 0};
        jsonw_object(&w);
        jsonw_key_str(&w, "path", u->target);
        jsonw_key_str(&w, "name", api_path_name(u->target));
        jsonw_key_str(&w, "type", "file");
        jsonw_object_end(&w);
    }
    upload_close_agent(u, false);
}

static void on_agent_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct upload *u = container_of(agent, struct upload, agent);
    struct error err;
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &err);
        upload_agent_failed(u, &err);
    } else if (frame->type == WIRE_WRITTEN && u->state == UPLOAD_ENDING) {
        upload_written(u, frame);
    } else {
        agent_call_bad_frame(agent);
    }
}

static void on_agent_closed(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    u->agent_open = false;
    if (u->call == NULL) {
        upload_maybe_free(u);
        return;
    }
    u->state = u->skip ? UPLOAD_SKIPPING : UPLOAD_IDLE;
    upload_pump(u);
}
