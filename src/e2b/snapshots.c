/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots.c - the control plane: snapshots, and forks.
 *
 * These clients create from a snapshot by its id or name, and delete it as they do a template. What
 * they may say of memory is refused where the server does the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/snapshot.h"
#include "base/num.h"
#include "e2b/internal.h"

#define SNAPSHOTS_PAGE 100 /* of a list, at most and when the client names none */

static void snapshots_write(struct jsonw *w, const struct snapshot *sn)
{
    jsonw_object(w);
    jsonw_key_str(w, "snapshotID", sn->id);
    jsonw_key(w, "names");
    jsonw_array(w);
    if (sn->name != NULL)
        jsonw_str(w, sn->name);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void snapshots_made(struct api_call *call, struct snapshot *sn)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    snapshots_write(&w, sn);
    api_reply(call, 201, &body);
}

/* With memory, or the files alone. */
static int snapshots_parse_memory(struct api_call *call, struct capture_about *about,
                                  struct error *err)
{
    bool memory = sandbox_capture_kind(call->api->sandboxes) == SNAPSHOT_MEMORY;
    int rv = json_get_bool(call->body, "memory", memory, &memory, err);
    return rv == 0 ? api_snapshot_take_kind(call, memory ? SNAPSHOT_MEMORY : SNAPSHOT_DISK,
                                            snapshot_kind_str, about, err)
                   : rv;
}

void e2b_snapshot_create(struct api_call *call)
{
    struct error err;
    struct capture_about about = {.source = SNAPSHOT_OF_REQUEST};
    int rv = json_get_str(call->body, "name", NULL, &about.name, &err);
    if (rv == 0)
        rv = snapshots_parse_memory(call, &about, &err);
    if (rv < 0)
        api_fail(call, &err);
    else
        api_snapshot_make(call, &about, snapshots_made);
}

/* --- list --- */

struct snapshots_page {
    struct jsonw w;
    const char *sandbox, *name;    /* asked for; NULL: any */
    const struct snapshot *behind; /* the page begins behind this one; NULL: at the first */
    bool begun;
    int64_t left;
    const struct snapshot *last;
    bool more;
};

static bool snapshots_asked(const char *wanted, const char *is)
{
    return wanted == NULL || wanted[0] == '\0' || (is != NULL && strcmp(wanted, is) == 0);
}

static void snapshots_visit(void *ctx, struct snapshot *sn)
{
    struct snapshots_page *p = ctx;
    bool begun = p->begun;
    p->begun = begun || sn == p->behind;
    if (!begun || !snapshots_asked(p->sandbox, sn->sandbox_id) ||
        !snapshots_asked(p->name, sn->name))
        return;
    if (p->left == 0) {
        p->more = true;
        return;
    }
    snapshots_write(&p->w, sn);
    p->last = sn;
    p->left--;
}

/* A page begins behind the snapshot that the last one ended with, whose id is the token. */
void e2b_snapshot_list(struct api_call *call)
{
    struct buf body = {0};
    struct snapshots_page p = {.w.out = &body, .left = SNAPSHOTS_PAGE};
    const char *token = http_form_query(call->req, "nextToken");
    const char *limit = http_form_query(call->req, "limit");
    if (limit != NULL && num_parse(limit, 1, INT32_MAX, &p.left) < 0) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "Query parameter 'limit' is no number");
        return;
    }
    p.left = MIN(p.left, (int64_t)SNAPSHOTS_PAGE);
    p.sandbox = http_form_query(call->req, "sandboxID");
    p.name = http_form_query(call->req, "name");
    if (token != NULL && token[0] != '\0')
        p.behind = snapshots_find(call->api->snapshots, call->principal.account, token);
    p.begun = p.behind == NULL;
    jsonw_array(&p.w);
    snapshots_each(call->api->snapshots, call->principal.account, snapshots_visit, &p);
    jsonw_array_end(&p.w);
    if (p.more && p.last != NULL)
        (void)http_add_header(call->req, "X-Next-Token", p.last->id);
    api_reply(call, 200, &body);
}

void e2b_snapshot_delete(struct api_call *call)
{
    struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn != NULL)
        api_snapshot_remove(call, sn, e2b_reply_nothing);
}

/* --- fork --- */

static void fork_write_child(struct jsonw *w, const struct api_call *call,
                             const struct sandbox_fork_child *child)
{
    const struct sandbox *sb = api_fork_child(call, child);
    jsonw_object(w);
    if (sb != NULL) {
        jsonw_key(w, "sandbox");
        e2b_write_access(w, call, sb);
    } else {
        jsonw_key(w, "error");
        jsonw_object(w);
        jsonw_key_int(w, "code", error_status(child->err.code));
        jsonw_key_str(w, "message", child->err.message);
        jsonw_object_end(w);
    }
    jsonw_object_end(w);
}

static void fork_children(struct api_call *call, const struct sandbox_fork *f)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_array(&w);
    for (unsigned int i = 0; i < f->count; i++)
        fork_write_child(&w, call, &f->children[i]);
    jsonw_array_end(&w);
    api_reply(call, 201, &body);
}

void e2b_fork(struct api_call *call)
{
    struct error err;
    struct api_fork fork = {0};
    int rv = api_fork_parse(call, &fork, &err);
    if (rv == 0)
        rv = e2b_timeout(call, "timeout", &fork.timeout_s, &err);
    if (rv < 0) {
        free((void *)fork.env);
        api_fail(call, &err);
    } else {
        api_fork_start(call, &fork, fork_children);
    }
}
