/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "api/dispatch.h"
#include "auth/bundle.h"
#include "auth/ca.h"
#include "auth/secret.h"
#include "base/log.h"
#include "core/file.h"
#include "core/loop_lag.h"
#include "core/metrics.h"
#include "core/pressure.h"
#include "e2b/e2b.h"
#include "gravix/gravix.h"
#include "http/server.h"
#include "isolation/oom.h"
#include "isolation/open.h"
#include "network/network.h"
#include "snapshot/set.h"
#include "template/builder.h"

#define SERVER_KEY_MAX  256   /* bytes of admin.key */
#define SERVER_FILES    96    /* descriptors kept for the state, the sandboxes and the helpers */
#define SERVER_GRACE_MS 10000 /* given to requests under way when the server stops */

struct server {
    const struct config *config;
    uv_loop_t loop;
    struct store *store;
    struct apikeys *keys;
    struct tokens *tokens;
    struct secrets *secrets;
    struct grant_key grants;
    struct bundles *bundles;
    struct ca ca; /* loaded when sandboxes have a network */
    struct template_set templates;
    struct template_builder builder;
    struct isolation_driver *driver;
    struct network *network; /* NULL: sandboxes have none */
    struct snapshots *snapshots;
    struct sandbox_table *sandboxes;
    struct api api;
    struct e2b e2b;
    struct http_app app;
    struct http_server http;
    uv_signal_t sigterm, sigint, sighup;
    char sandbox_dir[4096];
    struct space space;
    struct pressure pressure; /* --pause-on-pressure */
    bool stopping;
    bool end_sandboxes;
};

static void server_recovered(void *ctx);
static void server_signal(uv_signal_t *handle, int signum);
static void server_http_stopped(struct http_server *http);
static void server_sandboxes_stopped(void *ctx);
static void server_network_stopped(void *ctx);
static void server_store_closed(void *ctx);

/* Each connection and each operation in a sandbox needs a descriptor. Returns how many connections
 * leave enough descriptors for the operations. */
static unsigned int server_raise_files(unsigned int connections)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return connections;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        log_warn("the limit of open files stays low", "errno=%d", errno);
    rlim_t spare = MAX(files.rlim_max / 4, (rlim_t)SERVER_FILES);
    return (unsigned int)MIN(connections, MAX(files.rlim_max, spare + 64) - spare);
}

static int server_open_state(struct server *s, struct error *err)
{
    const struct config *c = s->config;
    int rv = store_open(&s->store, &s->loop, c->state_dir, c->db_dir, (size_t)c->map_size, err);
    if (rv == 0)
        rv = apikeys_load(&s->keys, s->store, err);
    if (rv == 0)
        rv = apikeys_ensure_admin(s->keys, c->state_dir, err);
    if (rv == 0)
        rv = tokens_load(&s->tokens, s->store, err);
    if (rv == 0)
        rv = secrets_open(&s->secrets, s->store, c->state_dir, err);
    if (rv == 0)
        rv = bundles_open(&s->bundles, s->store, s->secrets, err);
    if (rv < 0)
        return rv;
    e2b_init(&s->e2b);
    rv = grant_key_load(&s->grants, s->store);
    if (rv == 0)
        rv = store_commit(s->store);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the key of grants")
                  : 0;
}

static void server_snapshot_refused(void *ctx, const char *template_dir)
{
    struct server *s = ctx;
    template_builder_refused(&s->builder, template_dir);
}

/* Runs after the driver is open: not every driver uses the images of a template. */
static int server_open_templates(struct server *s, struct error *err)
{
    const struct config *c = s->config;
    const struct recipe_places recipes = {.own = c->recipes, .guest_dir = c->guest_dir};
    int rv = template_set_init(&s->templates, s->store, c->state_dir, &recipes);
    if (s->driver->ops->images) {
        s->templates.guest_dir = c->guest_dir;
        s->driver->refused = server_snapshot_refused;
        s->driver->refused_ctx = s;
    }
    if (rv == 0)
        rv = template_set_load(&s->templates);
    if (rv == 0)
        rv = store_commit(s->store);
    template_builder_init(&s->builder, &s->loop, c, s->driver->ops->name, &s->templates);
    return rv < 0 ? error_set_errno(err, ERROR_INTERNAL, rv, "Cannot read the templates") : 0;
}

static int server_open_network(struct server *s, struct error *err)
{
    const struct config *c = s->config;
    const struct network_options options = {
        .program = c->egress_program,
        .otherwise = c->egress == CONFIG_EGRESS_DENY ? EGRESS_DENY : EGRESS_PUBLIC,
        .allow = c->egress_allow,
        .deny = c->egress_deny,
        .ca_file = c->egress_ca,
        .ca = &s->ca,
        .secrets = s->secrets,
        .debug = c->log_level == LOG_DEBUG,
    };
    if (c->egress == CONFIG_EGRESS_OFF)
        return 0;
    if (ca_load(&s->ca, c->state_dir, err) < 0)
        return -EIO;
    s->network = network_new(&s->loop, &options, err);
    return s->network != NULL ? 0 : -EINVAL;
}

static int server_open_sandboxes(struct server *s, struct error *err)
{
    const struct config *c = s->config;
    (void)snprintf(s->sandbox_dir, sizeof(s->sandbox_dir), "%s/sandboxes", c->state_dir);
    s->driver = isolation_open(&s->loop, c, err);
    if (s->driver == NULL || server_open_templates(s, err) < 0 || server_open_network(s, err) < 0)
        return -EINVAL;
    s->space = (struct space){.dirs = {c->state_dir, c->db_dir[0] != '\0' ? c->db_dir : NULL},
                              .reserve = (uint64_t)c->disk_reserve};
    const struct sandbox_host host = {.driver = s->driver,
                                      .space = &s->space,
                                      .dir = s->sandbox_dir,
                                      .guest_dir = c->guest_dir,
                                      .network = s->network,
                                      .pause_expiry_s = (unsigned int)c->pause_expiry};
    const struct sandbox_limits limits = {
        .max_live = (unsigned int)c->max_sandboxes,
        .max_account = (unsigned int)c->max_account,
        .max_memory_mb = (uint64_t)c->max_memory >> 20,
        .max_paused = (unsigned int)c->max_paused,
        .max_kept_disk = (uint64_t)c->max_kept_disk,
        .pool_size = (unsigned int)c->pool_size,
        .retention_ms = c->retention * 1000,
        .relieve = c->pause_on_pressure,
    };
    s->snapshots = snapshots_new(&s->loop, s->store, c->state_dir, (unsigned int)c->max_snapshots);
    if (s->snapshots != NULL)
        s->sandboxes = sandbox_table_new(&s->loop, s->store, &s->templates, s->snapshots, &host,
                                         &limits);
    return s->sandboxes != NULL ? snapshots_load(s->snapshots, err)
                                : error_set(err, ERROR_INTERNAL, "Out of memory");
}

/* The first surface that knows the request takes it. */
static bool server_dispatch(struct api_call *call)
{
    return e2b_dispatch(call) || gravix_dispatch(call);
}

static void server_sample(struct api *api)
{
    struct server *s = container_of(api, struct server, api);
    metrics_set(METRIC_CONNECTIONS, http_server_connections(&s->http));
    metrics_set(METRIC_LOOP_LAG_US, (int64_t)loop_lag_take());
}

static int server_listen(struct server *s, struct error *err)
{
    const struct config *c = s->config;
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    char address[300];
    limits.max_connections = server_raise_files(limits.max_connections);
    limits.max_buffered = (size_t)c->max_buffered;
    limits.max_address = (unsigned int)c->max_address;
    s->api = (struct api){
        .loop = &s->loop,
        .config = c,
        .store = s->store,
        .keys = s->keys,
        .secrets = s->secrets,
        .bundles = s->bundles,
        .auth = {.keys = s->keys, .tokens = s->tokens},
        .grants = s->grants,
        .templates = &s->templates,
        .snapshots = s->snapshots,
        .sandboxes = s->sandboxes,
        .network = s->network,
        .isolation = s->driver->ops->name,
        .max_key = c->max_key > 0 ? (unsigned int)c->max_key : limits.max_connections / 2,
        .sample = server_sample,
        .dispatch = server_dispatch,
        .e2b = &s->e2b,
        .workflows = {.loop = &s->loop,
                      .store = s->store,
                      .templates = &s->templates,
                      .sandboxes = s->sandboxes,
                      .template_default = c->template_default,
                      .timeout_max_s = (unsigned int)config_timeout_max(c)},
    };
    s->api.ratelimit = ratelimit_new();
    if (s->api.ratelimit == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    password_queue_init(&s->api.passwords, &s->loop);
    throttle_init(&s->api.throttle);
    throttle_init(&s->api.known);
    tally_init(&s->api.of_keys);
    s->app = api_app(&s->api);
    bool v6 = strchr(c->listen.host, ':') != NULL;
    (void)snprintf(address, sizeof(address), v6 ? "[%s]:%u" : "%s:%u", c->listen.host,
                   c->listen.port);
    return http_server_init(&s->http, &s->loop, address, &s->app, &limits, err);
}

static int server_load_tls(struct server *s, struct error *err)
{
    struct tls_context *tls = NULL;
    if (s->config->tls_cert[0] == '\0')
        return 0;
    int rv = tls_context_new(&tls, s->config->tls_cert, s->config->tls_key, err);
    if (rv == 0)
        http_server_set_tls(&s->http, tls);
    return rv;
}

static void server_watch(struct server *s, uv_signal_t *handle, int signum)
{
    uv_signal_init(&s->loop, handle);
    handle->data = s;
    uv_signal_start(handle, server_signal, signum);
}

/* What is missing for a first sandbox: "" when nothing is. */
static const char *server_missing(const struct server *s, char *text, size_t size)
{
    const char *name = s->config->template_default;
    const struct template *t = template_find(&s->templates, name);
    bool builds = t != NULL && s->config->templates >= CONFIG_TEMPLATES_DEFAULT;
    if (t != NULL && t->built)
        return "";
    (void)snprintf(text, size, "The template '%.64s' is not built%s", name,
                   t == NULL ? ", and there is no recipe for it"
                   : builds  ? " yet; its build starts now and takes some minutes"
                             : "");
    return text;
}

/* Without the default template the first request fails, so the log and the banner say so. */
static void server_log_missing(const struct server *s)
{
    char text[256];
    const char *missing = server_missing(s, text, sizeof(text));
    if (missing[0] != '\0')
        log_warn("no default template", "text=\"%s\" by_hand=\"corrald template build %s\"",
                 missing, s->config->template_default);
}

static void server_print_missing(const struct server *s)
{
    char text[256];
    const char *missing = server_missing(s, text, sizeof(text));
    if (missing[0] != '\0')
        printf("\n%s. To build it by hand:\n  corrald template build %s\n", missing,
               s->config->template_default);
}

/* Tells the person who started the server what to try first. Standard output carries nothing else;
 * the log goes to standard error. */
static void server_banner(const struct server *s)
{
    const char *address = http_server_address(&s->http);
    const char *scheme = s->config->tls_cert[0] != '\0' ? "https" : "http";
    cleanup_buf struct buf file = {0};
    char path[4096], limit[RATELIMIT_TEXT_SIZE];
    (void)snprintf(path, sizeof(path), "%s/admin.key", s->config->state_dir);
    const char *key = "?"; /* an operator may have moved the file away */
    if (file_read(path, SERVER_KEY_MAX, &file) == 0 && buf_cstr(&file) != NULL) {
        file.data[strcspn((char *)file.data, "\n")] = '\0';
        key = (char *)file.data;
    }
    printf("\nCorral " CORRAL_VERSION " listens on %s://%s (%s sandboxes)\n", scheme, address,
           s->api.isolation);
    server_print_missing(s);
    printf("\nThe admin API key (kept in %s/admin.key):\n  %s\n\nTry:\n"
           "  curl -s %s://%s/v1/agents/sandboxes \\\n"
           "    -H 'Authorization: Bearer %s' \\\n"
           "    -d '{\"provider\": \"local\", \"region\": \"here\"}'\n\n",
           s->config->state_dir, key, scheme, address, key);
    if (s->config->rate_limit.enabled)
        printf("A key may make %s requests (--rate-limit, or one of its own: corral key create "
               "--rate-limit).\n\n",
               ratelimit_print(&s->config->rate_limit, limit));
    fflush(stdout);
}

static void server_memory_is_short(void *ctx)
{
    struct server *s = ctx;
    sandbox_table_relieve(s->sandboxes, "memory pressure");
}

/* Where the kernel does not say that memory is short, the limits alone lead to pauses. */
static void server_watch_pressure(struct server *s)
{
    int fd = pressure_open(PRESSURE_MEMORY);
    int rv = fd < 0 ? fd : pressure_watch(&s->pressure, &s->loop, fd, server_memory_is_short, s);
    if (rv < 0)
        log_warn("memory pressure cannot be watched", "file=" PRESSURE_MEMORY " errno=%d", -rv);
}

static int server_start(struct server *s, struct error *err)
{
    int rv = server_open_state(s, err);
    if (rv == 0)
        rv = server_open_sandboxes(s, err);
    if (rv == 0)
        rv = server_listen(s, err);
    if (rv == 0)
        rv = server_load_tls(s, err);
    if (rv == 0)
        rv = sandbox_table_recover(s->sandboxes,
                                   template_find(&s->templates, s->config->template_default),
                                   server_recovered, s, err);
    if (rv == 0)
        rv = wf_engine_load(&s->api.workflows, err);
    if (rv < 0)
        return rv;
    if (s->config->pause_on_pressure)
        server_watch_pressure(s);
    server_watch(s, &s->sigterm, SIGTERM);
    server_watch(s, &s->sigint, SIGINT);
    server_watch(s, &s->sighup, SIGHUP);
    return 0;
}

/* Called when every sandbox of the last server is adopted or failed. The server listens only from
 * here on, so no client sees a sandbox in between. */
static void server_recovered(void *ctx)
{
    struct server *s = ctx;
    if (s->stopping)
        return;
    http_server_start(&s->http);
    log_info("listening", "address=%s isolation=%s version=" CORRAL_VERSION,
             http_server_address(&s->http), s->api.isolation);
    server_log_missing(s);
    if (s->config->banner)
        server_banner(s);
    template_builder_check(&s->builder);
}

int server_run(const struct config *config, struct error *err)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    s->config = config;
    (void)signal(SIGPIPE, SIG_IGN);
    oom_protect_server();
    uv_loop_init(&s->loop);
    loop_lag_watch(&s->loop);
    int rv = server_start(s, err);
    if (rv == 0)
        uv_run(&s->loop, UV_RUN_DEFAULT);
    /* The process ends next, so the kernel frees everything. Freeing it by hand would also end the
     * sandboxes that the next server adopts. */
    return rv;
}

/* Reads again what an operator may change while the server runs: templates and the certificate. */
static void server_reload(struct server *s)
{
    struct error err;
    char quoted[300];
    int rv = template_set_load(&s->templates);
    if (rv == 0)
        rv = store_commit(s->store);
    log_info("templates read again", "status=%d", rv);
    template_builder_check(&s->builder);
    sandbox_table_refill(s->sandboxes);
    if (s->stopping || s->config->tls_cert[0] == '\0')
        return;
    if (server_load_tls(s, &err) < 0)
        log_error("the new certificate cannot be used, the old one stays", "error=%s",
                  log_quote(quoted, sizeof(quoted), err.message));
    else
        log_info("certificate read again");
}

static void server_signal(uv_signal_t *handle, int signum)
{
    struct server *s = handle->data;
    if (signum == SIGHUP) {
        server_reload(s);
        return;
    }
    s->end_sandboxes = s->end_sandboxes || signum == SIGINT;
    template_builder_stop(&s->builder);
    log_info("stopping", "signal=%d sandboxes=%s", signum, s->end_sandboxes ? "end" : "kept");
    http_server_stop(&s->http, s->stopping ? 0 : SERVER_GRACE_MS, server_http_stopped);
    s->stopping = true;
}

static void server_http_stopped(struct http_server *http)
{
    struct server *s = container_of(http, struct server, http);
    wf_engine_stop(&s->api.workflows);
    e2b_stop(&s->e2b);
    sandbox_table_stop(s->sandboxes, s->end_sandboxes, server_sandboxes_stopped, s);
}

static void server_sandboxes_stopped(void *ctx)
{
    struct server *s = ctx;
    if (s->network != NULL)
        network_stop(s->network, server_network_stopped, s);
    else
        server_network_stopped(s);
}

static void server_network_stopped(void *ctx)
{
    struct server *s = ctx;
    store_close(s->store, server_store_closed, s);
}

static void server_store_closed(void *ctx)
{
    struct server *s = ctx;
    log_info("stopped");
    uv_stop(&s->loop);
}
