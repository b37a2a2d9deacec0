/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - the HTTP API: routes to handlers, handlers to answers.
 *
 * A request passes dispatch.c (route, credential, scope, body limit; then sandbox, JSON body), the
 * handler of its route (routes.c), and ends with api_reply or api_fail, now or later. A handler
 * that answers later leaves what it needs in `state`: most often a `struct api_op` (op.h), or a
 * wait in the request's arena. `cancel` ends that when the client goes away first.
 */
#ifndef CORRAL_API_API_H
#define CORRAL_API_API_H

#include "auth/auth.h"
#include "auth/grant.h"
#include "auth/throttle.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "config/config.h"
#include "core/ratelimit.h"
#include "core/tally.h"
#include "http/http.h"
#include "sandbox/table.h"
#include "store/store.h"
#include "workflow/engine.h"

#define API_MAX_PARAMS 2          /* variable segments of a path */
#define API_MAX_BYTES  (1u << 20) /* of a body that is bytes and not streamed */
#define API_SMALL_BODY 65536      /* bytes of a body without content: more is refused */

struct api_call;

/* Everything handlers may use. One per server. */
struct api {
    uv_loop_t *loop;
    const struct config *config;
    struct store *store;
    struct apikeys *keys;
    struct secrets *secrets;
    struct bundles *bundles;
    struct auth auth;
    struct grant_key grants; /* of tokens that are not kept */
    struct password_queue passwords;
    struct throttle throttle; /* of wrong passwords */
    struct throttle known;    /* addresses from which a user has signed in */
    struct tally of_keys;     /* requests under way, by key */
    unsigned int max_key;     /* of one key */
    struct wf_engine workflows;
    struct template_set *templates;
    struct snapshots *snapshots;
    struct sandbox_table *sandboxes;
    struct network *network; /* NULL: sandboxes have none */
    struct ratelimit *ratelimit;
    const char *isolation;           /* name of the driver */
    void (*sample)(struct api *api); /* sets the gauges that the server knows; before a scrape */
    /* Looks at a request before the routes. True when it belongs to a surface: `surface`, `route`
     * and `params` are set, or it has its answer. NULL: there is no surface. */
    bool (*dispatch)(struct api_call *call);
    struct e2b *e2b; /* of that surface */
};

/* Another client's names for what the server does: who may ask, and how errors read. */
struct api_surface {
    /* Sets the call's principal, or what the error is. NULL: as for the API itself. */
    int (*admit)(struct api_call *call, struct error *err);
    /* Answers with the error. */
    void (*fail)(struct api_call *call, const struct error *err);
    const char *home; /* what relative paths start from; NULL: API_PATH_HOME */
};

enum api_flag {
    API_AGENTS = 1,    /* also reachable with the prefix /v1/agents */
    API_PUBLIC = 2,    /* no credential */
    API_SANDBOX = 4,   /* the first parameter is a sandbox id: `sandbox` is set, of this account */
    API_RUNNING = 8,   /* and the sandbox must be running: one that may be woken up is */
    API_JSON = 16,     /* the body is a JSON object: `body` is set */
    API_STREAM = 32,   /* the handler runs at the head, then `data` and `end` with the body */
    API_NUL = 64,      /* API_JSON, with U+0000 in strings */
    API_BYTES = 128,   /* the body is bytes, at most API_MAX_BYTES: in `req->body` */
    API_SOCKET = 256,  /* a WebSocket: its credential may be a subprotocol */
    API_CONTENT = 512, /* the body carries content: it may be as long as the option max-body says */
    API_VARIABLES = 1024, /* the body carries variables: API_PARSE_AT_ONCE */
    API_STRICT = 2048,    /* the handler names every field that it does not know itself */
    API_STILL = 4096,     /* API_RUNNING, and a paused sandbox is not woken up for it */
    API_LIVE = 8192,      /* the sandbox must not have ended; it may be paused */
};

struct api_route {
    enum http_method method;
    const char *pattern; /* "/sandboxes/:id/timeout" */
    unsigned int flags;  /* enum api_flag */
    enum scope scope;
    void (*handler)(struct api_call *call);
    /* API_STREAM only. Not called any more once the call has its answer. */
    void (*data)(struct api_call *call, const uint8_t *data, size_t len);
    void (*end)(struct api_call *call);
};

/* One request on its way. In the request's arena; `cancel` is called when the client goes away
 * before the answer, after which the call must not be touched. */
struct api_call {
    struct http_request *req;
    struct api *api;
    const struct api_surface *surface; /* NULL: the API itself */
    const struct api_route *route;
    unsigned int metric; /* of the route */
    struct principal principal;
    const char *params[API_MAX_PARAMS];
    struct sandbox *sandbox;
    const char *user;           /* of the sandbox, whose files are meant; NULL: the usual one's */
    json *body;                 /* owned */
    struct tally_entry *of_key; /* its share of api->of_keys; NULL: no key */
    unsigned int retry_after_s;
    void *state; /* of the handler, between its steps; `cancel` releases what it holds */
    void (*cancel)(struct api_call *call);
    /* Called when the request is over, however it ended; may be NULL. */
    void (*over)(struct api_call *call);
    void (*committed)(struct api_call *call); /* api_when_committed's */
    struct store_wait wait;
};

extern const struct api_route api_routes[];
extern const size_t api_route_count;

/* ERROR_INVALID_ARGUMENT when the vector, which may be NULL, is longer than an agent takes. */
int api_check_list(char *const *list, const char *field, struct error *err);
/* As json_get_str_list and json_get_env; ERROR_INVALID_ARGUMENT also when it is longer than an
 * agent takes, or when variables come to more than SANDBOX_MAX_ENV bytes. */
int api_get_list(const json *from, const char *field, char ***ret, struct error *err);
int api_get_env(const json *from, const char *field, char ***ret, struct error *err);

/* Answers with JSON and takes over the buffer's memory; the call is over. */
void api_reply(struct api_call *call, int status, struct buf *body);
/* Appends an error as every answer has it. `details` is the text of a JSON object, or NULL. */
void api_error_json(struct buf *out, const struct error *err, const char *details);
/* Answers with an error; the call is over. `details` is the text of a JSON object, or NULL. */
void api_fail(struct api_call *call, const struct error *err);
void api_fail_details(struct api_call *call, const struct error *err, const char *details);
void api_fail_code(struct api_call *call, enum error_code code, const char *message);

/* A browser cannot give a WebSocket an Authorization header. It offers two subprotocols instead,
 * ours and one that is API_SOCKET_BEARER and the credential; it gets ours. */
#define API_SOCKET_PROTOCOL "corral.v1"
#define API_SOCKET_BEARER   "corral.bearer."
/* The credential of a request that offers ours, "" when it has none; NULL of any other request. In
 * the arena. */
const char *api_socket_protocol(struct http_request *req);

/* Calls `then` once everything that was put into the store so far is durable. A failure to write is
 * answered instead. */
void api_when_committed(struct api_call *call, void (*then)(struct api_call *call));

/* `limit` and `offset` of the query. A value that is no number counts as the default, since
 * published clients send "NaN"; one out of range counts as the nearest number inside. */
void api_paging(struct api_call *call, unsigned int *limit, unsigned int *offset);

/* The absolute form of a client's path (api/path.h), in the arena. NULL with `err` filled. */
const char *api_path(struct api_call *call, const char *path, struct error *err);
/* The same of a field of the body that must be there. NULL: the request has its answer. */
const char *api_path_field(struct api_call *call, const char *field);

/* A parameter of the query that is "true" or "1". */
bool api_query_is_true(struct api_call *call, const char *name);

/* An answer that is a page of a list: {"<field>": [...], "total": N}. */
struct api_list {
    struct buf body;
    struct jsonw w; /* for the elements, between begin and end */
    unsigned int limit, offset;
};

void api_list_begin(struct api_call *call, struct api_list *list, const char *field);
/* Whether the page has the element with that number, which counts from 0. */
static inline bool api_list_shows(const struct api_list *list, unsigned int number)
{
    return number >= list->offset && number - list->offset < list->limit;
}
/* Answers; the call is over. */
void api_list_end(struct api_call *call, struct api_list *list, unsigned int total);
/* The whole answer for the account's sandboxes that the query asks for (`status`, `metadata`), each
 * as `write` has it. */
void api_list_sandboxes(struct api_call *call, const char *field,
                        void (*write)(struct jsonw *w, const struct sandbox *sb));

/* A directory as an archive. Whether a download asks for one, or an upload is one. */
bool api_archive_wanted(struct api_call *call);
bool api_archive_sent(struct api_call *call);
void api_archive_download(struct api_call *call);
extern const struct api_route api_archive_up_route; /* takes over from an upload's */
/* The header Content-Disposition for a file of that name. */
void api_add_disposition(struct http_request *req, const char *name);

/* The route of a request whose Host or path is a port URL's, or that comes from a page there; NULL
 * for all others. */
const struct api_route *api_port_route(struct api_call *call);
/* The route to a port of a sandbox. NULL: out of memory. */
const struct api_route *api_port_route_to(struct api_call *call, const char *id, uint16_t port);

/* Creates a sandbox of `params` (with its account) and answers with `reply` once it runs and its
 * record is on disk. */
void api_sandbox_start(struct api_call *call, const struct template *t,
                       struct sandbox_params *params,
                       void (*reply)(struct api_call *call, int status, const struct sandbox *sb));
/* Whether sandboxes can start from the template. If not, the template is built, and `again` is
 * called for the same request when it is there; a refusal, or a build that takes longer than a
 * client waits, is answered. */
bool api_template_ready(struct api_call *call, const struct template *t,
                        void (*again)(struct api_call *call));
/* Ends the call's sandbox and answers with `reply` once nothing is left of it. */
void api_sandbox_end(struct api_call *call, void (*reply)(struct api_call *call));
/* The field `timeout` of the body, in seconds: SANDBOX_NO_TIMEOUT for 0, where the server allows
 * it.
 */
int api_sandbox_time(struct api_call *call, int64_t fallback, unsigned int *ret, struct error *err);
/* The fields cpu_count, memory_mb and disk_mb of the body, within what the template and the server
 * allow. */
int api_sandbox_size(struct api_call *call, const struct template *t, struct sandbox_params *p,
                     struct error *err);
/* The longest time-out of a run, in seconds: a uint32_t holds its milliseconds. */
int64_t api_run_time_max(const struct api_call *call);
/* The text of the object `metadata` of the body. */
int api_sandbox_metadata(struct api_call *call, struct buf *text, struct error *err);
/* The same over what the sandbox has: what the body does not say is as there. */
int api_sandbox_metadata_over(struct api_call *call, const struct sandbox *sb, struct buf *text,
                              struct error *err);

/* What a sandbox uses now: counters of its driver, and percent of its processors since the last
 * question. 0, or a negative errno with `err` filled. */
int api_sandbox_usage(struct sandbox *sb, struct instance_stats *stats, double *cpu,
                      struct error *err);

/* A sandbox as an object. */
void api_sandbox_write(struct jsonw *w, const struct sandbox *sb);
/* A template as an object, and one that was a snapshot. */
void api_template_write(struct jsonw *w, const struct template *t);
void api_template_write_shared(struct jsonw *w, const struct snapshot *sn);
/* The metadata of a sandbox as an object. */
void api_sandbox_write_metadata(struct jsonw *w, const struct sandbox *sb);

/* Handlers, by file. */
void api_sandbox_create(struct api_call *call);
void api_sandbox_list(struct api_call *call);
void api_sandbox_get(struct api_call *call);
void api_sandbox_kill(struct api_call *call);
void api_sandbox_timeout(struct api_call *call);
void api_command_run(struct api_call *call);
void api_code_run(struct api_call *call);
void api_context_create(struct api_call *call);
void api_context_get(struct api_call *call);
void api_context_delete(struct api_call *call);
void api_context_list(struct api_call *call);
void api_context_interrupt(struct api_call *call);
void api_context_restart(struct api_call *call);
void api_host_url(struct api_call *call);
void api_host_token(struct api_call *call);
void api_sandbox_metrics(struct api_call *call);
void api_sandbox_lifecycle(struct api_call *call);
void api_sandbox_pause(struct api_call *call);
void api_sandbox_resume(struct api_call *call);
void api_sandbox_paused(struct api_call *call);
void api_sandbox_fork(struct api_call *call);
void api_sandbox_rollback(struct api_call *call);
void api_snapshot_create(struct api_call *call);
void api_snapshot_list(struct api_call *call);
void api_snapshot_get(struct api_call *call);
void api_snapshot_delete(struct api_call *call);
void api_process_start(struct api_call *call);
void api_process_list(struct api_call *call);
void api_process_get(struct api_call *call);
void api_process_delete(struct api_call *call);
void api_process_stream(struct api_call *call);
void api_process_input(struct api_call *call);
void api_process_signal(struct api_call *call);
void api_process_resize(struct api_call *call);
void api_pty_start(struct api_call *call);
void api_pty_list(struct api_call *call);
void api_pty_socket(struct api_call *call);
void api_network_get(struct api_call *call);
void api_network_put(struct api_call *call);
void api_network_events(struct api_call *call);
void api_file_read(struct api_call *call);
void api_file_write(struct api_call *call);
void api_file_list(struct api_call *call);
void api_file_delete(struct api_call *call);
void api_file_mkdir(struct api_call *call);
void api_file_append(struct api_call *call);
void api_file_info(struct api_call *call);
void api_file_move(struct api_call *call);
void api_file_copy(struct api_call *call);
void api_file_chmod(struct api_call *call);
void api_file_chown(struct api_call *call);
void api_file_find(struct api_call *call);
void api_file_replace(struct api_call *call);
void api_file_watch(struct api_call *call);
void api_upload(struct api_call *call);
void api_upload_many(struct api_call *call);
/* What a client has noted on the files that it uploads. In the request's arena. */
struct api_notes {
    char *const *attributes; /* of the files: "name=value"; NULL: none */
    const char *text;        /* the same for the answer, a JSON object under "metadata"; NULL */
};

/* As many files as the body has, or with `path` (may be NULL) one that goes there. */
void api_upload_to(struct api_call *call, const char *path, const struct api_notes *notes);
/* The body itself is the file. The same answer. */
void api_raw_upload_to(struct api_call *call, const char *path, const struct api_notes *notes);
void api_raw_upload_data(struct api_call *call, const uint8_t *data, size_t len);
void api_raw_upload_end(struct api_call *call);
/* One file's element of that answer. `written` is where the agent has put it. */
void api_upload_entry(struct jsonw *w, const char *path, struct span written,
                      const struct api_notes *notes);
void api_upload_data(struct api_call *call, const uint8_t *data, size_t len);
void api_upload_end(struct api_call *call);
void api_download(struct api_call *call);
void api_download_from(struct api_call *call, const char *path);
void api_template_list(struct api_call *call);
void api_template_get(struct api_call *call);
void api_template_promote(struct api_call *call);
void api_template_delete(struct api_call *call);
void api_secret_set(struct api_call *call);
void api_secret_list(struct api_call *call);
void api_secret_delete(struct api_call *call);
void api_key_create(struct api_call *call);
void api_key_list(struct api_call *call);
void api_key_revoke(struct api_call *call);
void api_auth_token(struct api_call *call);
void api_auth_refresh(struct api_call *call);
void api_auth_revoke(struct api_call *call);
void api_auth_rotate(struct api_call *call);
void api_environment_create(struct api_call *call);
void api_environment_list(struct api_call *call);
void api_environment_get(struct api_call *call);
void api_environment_delete(struct api_call *call);
void api_environment_execute(struct api_call *call);
void api_workflow_create(struct api_call *call);
void api_workflow_list(struct api_call *call);
void api_workflow_get(struct api_call *call);
void api_workflow_delete(struct api_call *call);
void api_workflow_start(struct api_call *call);
void api_workflow_status(struct api_call *call);
void api_workflow_cancel(struct api_call *call);
void api_workflow_runs(struct api_call *call);
void api_openapi(struct api_call *call);
void api_page_root(struct api_call *call);
void api_page_docs(struct api_call *call);
void api_health(struct api_call *call);
void api_metrics(struct api_call *call);

#endif
