/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c - several sandboxes begin as one that runs. Each has a result of its own. */
#include <string.h>

#include "api/snapshot.h"
#include "api/wake.h"

/* In the request's arena; `call->state` points to it. */
struct forking {
    struct sandbox_fork fork;
    struct api_call *call;
    void (*reply)(struct api_call *call, const struct sandbox_fork *f);
};

int api_fork_parse(struct api_call *call, struct api_fork *ret, struct error *err)
{
    const json *metadata = NULL;
    struct buf text = {0};
    char **env = NULL;
    int rv = json_get_int(call->body, "count", 1, 1, SANDBOX_FORK_MAX, &ret->count, err);
    if (rv == 0)
        rv = json_get_object(call->body, "metadata", &metadata, err);
    if (rv == 0 && metadata != NULL) {
        rv = api_sandbox_metadata(call, &text, err);
        ret->metadata = rv == 0
                            ? arena_strndup(&call->req->arena, (const char *)text.data, text.len)
                            : NULL;
        buf_done(&text);
        if (rv == 0 && ret->metadata == NULL)
            rv = error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    if (rv == 0)
        rv = api_get_env(call->body, "env_vars", &env, err);
    ret->env = env;
    return rv;
}

static void forking_cancel(struct api_call *call)
{
    struct forking *k = call->state;
    sandbox_fork_cancel(&k->fork);
    free((void *)k->fork.env);
}

static void forking_committed(struct api_call *call)
{
    struct forking *k = call->state;
    k->reply(call, &k->fork);
}

static void forking_done(struct sandbox_fork *f, const struct error *err)
{
    struct forking *k = container_of(f, struct forking, fork);
    k->call->cancel = NULL;
    free((void *)f->env);
    f->env = NULL;
    if (err != NULL)
        api_fail(k->call, err);
    else
        api_when_committed(k->call, forking_committed);
}

static struct forking *forking_new(struct api_call *call, const struct api_fork *fork)
{
    struct forking *k = arena_alloc(&call->req->arena, sizeof(*k));
    size_t size = (size_t)fork->count * sizeof(*k->fork.children);
    struct sandbox_fork_child *children = k != NULL ? arena_alloc(&call->req->arena, size) : NULL;
    if (children == NULL)
        return NULL;
    memset(children, 0, size);
    *k = (struct forking){.call = call};
    k->fork = (struct sandbox_fork){.count = (unsigned int)fork->count,
                                    .children = children,
                                    .metadata = fork->metadata,
                                    .env = fork->env,
                                    .timeout_s = fork->timeout_s,
                                    .done = forking_done};
    return k;
}

void api_fork_start(struct api_call *call, const struct api_fork *fork,
                    void (*reply)(struct api_call *call, const struct sandbox_fork *f))
{
    struct error err;
    struct forking *k = forking_new(call, fork);
    int rv = k != NULL ? 0 : error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv == 0) {
        k->reply = reply;
        rv = sandbox_fork_begin(&k->fork, call->sandbox, &err);
    }
    if (rv < 0) {
        free((void *)fork->env);
        api_fail(call, &err);
        return;
    }
    call->state = k;
    call->cancel = forking_cancel;
}

/* As those of a create that says nothing. */
static int fork_params(struct api_call *call, const struct snapshot *sn,
                       const struct sandbox_fork *f, struct sandbox_params *p, struct error *err)
{
    *p = (struct sandbox_params){
        .account = call->principal.account,
        .provider = sn->provider,
        .region = sn->region,
        .env = f->env,
        .metadata = f->metadata != NULL ? f->metadata : "{}",
        .timeout_s = f->timeout_s != 0 ? f->timeout_s
                                       : (unsigned int)call->api->config->timeout_default,
    };
    return api_life_parse(call, &p->life, err);
}

void api_fork_snapshot(struct api_call *call, struct snapshot *sn, const struct api_fork *fork,
                       const struct sandbox *like,
                       void (*reply)(struct api_call *call, const struct sandbox_fork *f))
{
    struct error err;
    struct sandbox_params params;
    const struct template *tpl = NULL;
    struct forking *k = forking_new(call, fork);
    int rv = k != NULL ? 0 : error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv == 0 && like != NULL)
        sandbox_fork_params(&k->fork, like, &params);
    else if (rv == 0)
        rv = fork_params(call, sn, &k->fork, &params, &err);
    if (rv == 0)
        tpl = sandbox_capture_use(call->api->sandboxes, sn, &params, &err);
    if (tpl == NULL) {
        free((void *)fork->env);
        api_fail(call, &err);
        return;
    }
    k->reply = reply;
    call->state = k;
    call->cancel = forking_cancel;
    sandbox_fork_from(&k->fork, call->api->sandboxes, tpl, &params);
}

const struct sandbox *api_fork_child(const struct api_call *call,
                                     const struct sandbox_fork_child *child)
{
    return child->err.code == ERROR_NONE ? sandbox_table_find(call->api->sandboxes, child->id)
                                         : NULL;
}

static void fork_write(struct jsonw *w, const struct api_call *call,
                       const struct sandbox_fork_child *child)
{
    const struct sandbox *sb = api_fork_child(call, child);
    jsonw_object(w);
    if (sb != NULL) {
        jsonw_key(w, "sandbox");
        api_sandbox_write(w, sb);
    } else {
        jsonw_key(w, "error");
        jsonw_object(w);
        jsonw_key_str(w, "code", error_name(child->err.code));
        jsonw_key_str(w, "message", child->err.message);
        jsonw_object_end(w);
    }
    jsonw_object_end(w);
}

static void fork_write_figure(struct jsonw *w, bool known, uint64_t value)
{
    if (known)
        jsonw_int(w, (int64_t)value);
    else
        jsonw_null(w);
}

static void fork_reply(struct api_call *call, const struct sandbox_fork *f)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "sandbox_id", call->sandbox->id);
    jsonw_key_str(&w, "kind", snapshot_kind_str(sandbox_capture_kind(call->api->sandboxes)));
    jsonw_key(&w, "memory_bytes");
    fork_write_figure(&w, f->live, f->bytes);
    jsonw_key(&w, "pause_us");
    fork_write_figure(&w, f->live, f->pause_us);
    jsonw_key(&w, "children");
    jsonw_array(&w);
    for (unsigned int i = 0; i < f->count; i++)
        fork_write(&w, call, &f->children[i]);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    api_reply(call, 201, &body);
}

void api_sandbox_fork(struct api_call *call)
{
    struct error err;
    struct api_fork fork = {0};
    int rv = api_fork_parse(call, &fork, &err);
    if (rv == 0 && json_need(call->body, "timeout", NULL) == 0)
        rv = api_sandbox_time(call, 0, &fork.timeout_s, &err);
    if (rv < 0) {
        free((void *)fork.env);
        api_fail(call, &err);
    } else {
        api_fork_start(call, &fork, fork_reply);
    }
}
