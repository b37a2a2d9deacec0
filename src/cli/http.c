/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CLI_DEFAULT_STATE   "/var/lib/corral"
#define CLI_CONNECT_TIMEOUT 5L /* s */
#define CLI_MAX_KEY         1024

struct cli_http {
    CURL *curl;
    char error[CURL_ERROR_SIZE];
    char key[CLI_MAX_KEY];
};

static volatile sig_atomic_t cli_signal;

static void cli_on_signal(int sig)
{
    cli_signal = sig;
}

struct cli_http *cli_http_new(void)
{
    const struct sigaction act = {.sa_handler = cli_on_signal};
    struct cli_http *h = calloc(1, sizeof(*h));
    if (h == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (h->curl = curl_easy_init()) == NULL) {
        (void)cli_error("libcurl cannot be started");
        free(h);
        return NULL;
    }
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    return h;
}

void cli_http_free(struct cli_http *h)
{
    if (h == NULL)
        return;
    curl_easy_cleanup(h->curl);
    curl_global_cleanup();
    free(h);
}

bool cli_http_interrupted(void)
{
    return cli_signal != 0;
}

void cli_http_rearm(void)
{
    cli_signal = 0;
}

/* Where the bytes of an answer go: those of a stream that has begun to `take`, others to `whole`.
 */
struct cli_sink {
    CURL *curl;
    bool (*take)(void *ctx, const char *data, size_t len); /* NULL: no stream */
    void *ctx;
    struct buf whole;
};

static size_t cli_on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct cli_sink *sink = ctx;
    size_t len = size * n;
    long status = 0;
    curl_easy_getinfo(sink->curl, CURLINFO_RESPONSE_CODE, &status);
    if (sink->take != NULL && status == 200)
        return sink->take(sink->ctx, data, len) ? len : 0;
    if (sink->whole.len + len > CLI_MAX_ANSWER || buf_append(&sink->whole, data, len) < 0)
        return 0;
    return len;
}

static int cli_on_progress(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
    return cli_signal != 0;
}

/* The first line of a file. Empty when it cannot be read. */
static int cli_read_key(const char *path, char key[CLI_MAX_KEY])
{
    FILE *f = fopen(path, "re");
    key[0] = '\0';
    if (f == NULL)
        return -errno;
    if (fgets(key, CLI_MAX_KEY, f) == NULL)
        key[0] = '\0';
    key[strcspn(key, "\r\n")] = '\0';
    (void)fclose(f);
    return 0;
}

/* The key to send: --key, --key-file, CORRAL_API_KEY, or the server's own file. NULL when there is
 * none to be found; *ret_failed after a message. */
static const char *cli_find_key(const struct cli *cli, bool *ret_failed)
{
    char path[PATH_MAX];
    char *key = cli->http->key;
    const char *env = getenv("CORRAL_API_KEY");
    const char *state = getenv("CORRAL_STATE_DIR");
    *ret_failed = false;
    if (cli->key != NULL)
        return cli->key;
    if (cli->key_file != NULL) {
        int rv = cli_read_key(cli->key_file, key);
        *ret_failed = rv < 0;
        if (rv < 0)
            (void)cli_error("cannot read %s: %s", cli->key_file, strerror(-rv));
        return key;
    }
    if (env != NULL && env[0] != '\0')
        return env;
    (void)snprintf(path, sizeof(path), "%s/admin.key",
                   state != NULL && state[0] != '\0' ? state : CLI_DEFAULT_STATE);
    return cli_read_key(path, key) == 0 && key[0] != '\0' ? key : NULL;
}

/* Local servers are asked directly, even if the variable http_proxy is set. */
static bool cli_is_local(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.", "[::1]"};
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        if (strncasecmp(host, hosts[i], strlen(hosts[i])) == 0)
            return true;
    }
    return false;
}

static int cli_transfer_failed(const struct cli *cli, CURLcode code)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return -CLI_INTERRUPTED;
    if (code == CURLE_COULDNT_CONNECT)
        return -cli_error("nothing answers at %s: is corrald running? Start it with ./run",
                          cli->url);
    return -cli_error("%s: %s", cli->url,
                      cli->http->error[0] != '\0' ? cli->http->error : curl_easy_strerror(code));
}

/* What every transfer has. */
static void cli_set_up(struct cli *cli, CURL *curl, const char *url, char error[CURL_ERROR_SIZE])
{
    error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "corral/" CORRAL_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CLI_CONNECT_TIMEOUT);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, cli_on_progress);
    if (cli_is_local(url))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

static int cli_perform(struct cli *cli, const char *method, const char *url,
                       struct curl_slist *headers, struct buf *text, struct cli_sink *sink)
{
    CURL *curl = cli->http->curl;
    long status = 0;
    curl_easy_reset(curl);
    cli_set_up(cli, curl, url, cli->http->error);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, cli_on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
    if (text != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)text->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buf_cstr(text));
    }
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return cli_transfer_failed(cli, code);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static struct curl_slist *cli_headers(const char *key)
{
    char line[CLI_MAX_KEY + 64];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    /* Waiting for 100-continue would only cost time: bodies are small. */
    list = curl_slist_append(list, "Expect:");
    (void)snprintf(line, sizeof(line), "Authorization: Bearer %s", key);
    return key != NULL && key[0] != '\0' ? curl_slist_append(list, line) : list;
}

/* The whole URL of a path and the key to send (NULL: none). 0, or -CLI_FAILED after a message. */
static int cli_target(struct cli *cli, const char *path, struct buf *url, const char **key)
{
    bool failed;
    size_t len = strlen(cli->url);
    *key = cli_find_key(cli, &failed);
    if (failed)
        return -CLI_FAILED;
    if (*key != NULL && (*key)[strcspn(*key, "\r\n")] != '\0') {
        (void)cli_error("the key holds a line break");
        return -CLI_FAILED;
    }
    while (len > 0 && cli->url[len - 1] == '/')
        len--;
    (void)buf_append(url, cli->url, len);
    (void)buf_append_str(url, path);
    if (buf_cstr(url) != NULL)
        return 0;
    (void)cli_error("out of memory");
    return -CLI_FAILED;
}

static int cli_exchange(struct cli *cli, const char *method, const char *path, const json *body,
                        struct cli_sink *sink)
{
    cleanup_buf struct buf url = {0};
    cleanup_buf struct buf text = {0};
    const char *key = NULL;
    sink->curl = cli->http->curl;
    int rv = cli_target(cli, path, &url, &key);
    if (rv < 0)
        return rv;
    if (body != NULL && json_print(&text, body) < 0)
        return -cli_error("out of memory");
    struct curl_slist *headers = cli_headers(key);
    rv = cli_perform(cli, method, (char *)url.data, headers, body != NULL ? &text : NULL, sink);
    curl_slist_free_all(headers);
    return rv;
}

static int cli_parse_answer(struct cli *cli, int status, struct cli_sink *sink, json **ret)
{
    struct error err = {0};
    *ret = json_parse(sink->whole.data, sink->whole.len, &err);
    return *ret != NULL ? status
                        : -cli_error("%s answered %d with something that is not JSON: is it "
                                     "corrald?",
                                     cli->url, status);
}

int cli_request(struct cli *cli, const char *method, const char *path, const json *body, json **ret)
{
    struct cli_sink sink = {0};
    int status = cli_exchange(cli, method, path, body, &sink);
    if (status >= 0)
        status = cli_parse_answer(cli, status, &sink, ret);
    buf_done(&sink.whole);
    return status;
}

int cli_stream(struct cli *cli, const char *path,
               bool (*take)(void *ctx, const char *data, size_t len), void *ctx)
{
    struct cli_sink sink = {.take = take, .ctx = ctx};
    cleanup_json json *answer = NULL;
    int status = cli_exchange(cli, "GET", path, NULL, &sink);
    if (status >= 0 && status != 200)
        status = cli_parse_answer(cli, status, &sink, &answer);
    buf_done(&sink.whole);
    if (status < 0)
        return -status;
    return status == 200 ? 0 : cli_refused(status, answer);
}

/* --- bytes --- */

static size_t cli_on_give(char *data, size_t size, size_t n, void *ctx)
{
    const struct cli_transfer *t = ctx;
    ssize_t got = t->give(t->ctx, data, size * n);
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* The line is written again over itself, at most some times a second. */
static int cli_on_transfer(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
    static struct timespec shown;
    struct timespec now;
    const bool *progress = ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (now.tv_sec - shown.tv_sec) * 1000 + (now.tv_nsec - shown.tv_nsec) / 1000000;
    if (*progress && ms > 200 && dn + un > 0) {
        shown = now;
        (void)fprintf(stderr, "\r%.1f MiB ", (double)MAX(dn, un) / (1 << 20));
    }
    return cli_signal != 0;
}

static struct curl_slist *cli_transfer_headers(const struct cli_transfer *t, const char *key)
{
    char line[CLI_MAX_KEY + 64];
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    if (t->type != NULL) {
        (void)snprintf(line, sizeof(line), "%s: %s", t->give != NULL ? "Content-Type" : "Accept",
                       t->type);
        list = curl_slist_append(list, line);
    }
    if (t->give != NULL)
        list = curl_slist_append(list, "Transfer-Encoding: chunked");
    (void)snprintf(line, sizeof(line), "Authorization: Bearer %s", key != NULL ? key : "");
    return key != NULL && key[0] != '\0' ? curl_slist_append(list, line) : list;
}

static CURLcode cli_move(struct cli *cli, const struct cli_transfer *t, const char *url,
                         struct curl_slist *headers, struct cli_sink *sink)
{
    CURL *curl = cli->http->curl;
    bool progress = t->progress && isatty(STDERR_FILENO) == 1;
    curl_easy_reset(curl);
    cli_set_up(cli, curl, url, cli->http->error);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, cli_on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, cli_on_transfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &progress);
    if (t->give != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, cli_on_give);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
    }
    CURLcode code = curl_easy_perform(curl);
    if (progress)
        (void)fputs("\r\033[K", stderr);
    return code;
}

/* The side that gives or takes has said why it stopped. */
static bool cli_is_own_stop(CURLcode code)
{
    return code == CURLE_WRITE_ERROR ||
           (code == CURLE_ABORTED_BY_CALLBACK && !cli_http_interrupted());
}

int cli_transfer(struct cli *cli, const struct cli_transfer *t, json **ret)
{
    cleanup_buf struct buf url = {0};
    cleanup_json json *answer = NULL;
    struct cli_sink sink = {.curl = cli->http->curl, .take = t->take, .ctx = t->ctx};
    const char *key = NULL;
    long status = 0;
    if (cli_target(cli, t->path, &url, &key) < 0)
        return CLI_FAILED;
    struct curl_slist *headers = cli_transfer_headers(t, key);
    CURLcode code = cli_move(cli, t, (char *)url.data, headers, &sink);
    curl_slist_free_all(headers);
    curl_easy_getinfo(cli->http->curl, CURLINFO_RESPONSE_CODE, &status);
    int rv = 0;
    if (code != CURLE_OK)
        rv = cli_is_own_stop(code) ? CLI_FAILED : -cli_transfer_failed(cli, code);
    else if (t->take == NULL || status != 200)
        rv = MIN(cli_parse_answer(cli, (int)status, &sink, &answer), 0) < 0 ? CLI_FAILED : 0;
    buf_done(&sink.whole);
    if (rv == 0 && (status < 200 || status > 299))
        rv = cli_refused((int)status, answer);
    if (rv == 0 && ret != NULL)
        *ret = TAKE_PTR(answer);
    return rv;
}

int cli_refused(int status, const json *answer)
{
    const json *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    const char *message = cli_text(error, "message");
    if (status == 401)
        return cli_error("%s; give a key with --key-file, or in CORRAL_API_KEY",
                         message[0] != '\0' ? message : "the server wants an API key");
    if (message[0] != '\0')
        return cli_error("%s (%s)", message, cli_text(error, "code"));
    return cli_error("the server answered %d", status);
}

int cli_call(struct cli *cli, const char *method, const char *path, const json *body, json **ret)
{
    json *answer = NULL;
    int status = cli_request(cli, method, path, body, &answer);
    if (status < 0)
        return -status;
    if (status < 200 || status > 299) {
        int rv = cli_refused(status, answer);
        json_free_p(&answer);
        return rv;
    }
    *ret = answer;
    return 0;
}

char *cli_path(const char *prefix, const char *id, const char *suffix)
{
    char *path = NULL;
    char *escaped = curl_easy_escape(NULL, id, 0);
    if (escaped == NULL || asprintf(&path, "%s/%s%s", prefix, escaped, suffix) < 0)
        path = NULL;
    curl_free(escaped);
    return path;
}

/* --- a connection that leaves HTTP --- */

struct cli_raw {
    CURL *curl;
    int fd;
    char error[CURL_ERROR_SIZE];
};

static CURLcode cli_raw_dial(struct cli *cli, struct cli_raw *raw, const char *url)
{
    curl_socket_t fd = -1;
    raw->curl = curl_easy_init();
    if (raw->curl == NULL)
        return CURLE_OUT_OF_MEMORY;
    cli_set_up(cli, raw->curl, url, raw->error);
    curl_easy_setopt(raw->curl, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode code = curl_easy_perform(raw->curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(raw->curl, CURLINFO_ACTIVESOCKET, &fd);
    raw->fd = fd;
    return code;
}

/* "GET path HTTP/1.1" and the headers that every request has. */
static int cli_raw_head(const char *url, const char *key, const char *headers, struct buf *head)
{
    char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
    CURLU *u = curl_url();
    int rv = -CLI_FAILED;
    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK) {
        bool has_query = curl_url_get(u, CURLUPART_QUERY, &query, 0) == CURLUE_OK;
        rv = buf_printf(head, "GET %s%s%s HTTP/1.1\r\nHost: %s:%s\r\n", path, has_query ? "?" : "",
                        has_query ? query : "", host, port);
        if (key != NULL && key[0] != '\0')
            rv = buf_printf(head, "Authorization: Bearer %s\r\n", key);
        rv = rv == 0 ? buf_printf(head, "%s\r\n", headers) : rv;
    }
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
    curl_url_cleanup(u);
    return rv;
}

struct cli_raw *cli_raw_open(struct cli *cli, const char *path, const char *headers)
{
    cleanup_buf struct buf url = {0};
    cleanup_buf struct buf head = {0};
    const char *key = NULL;
    struct cli_raw *raw = calloc(1, sizeof(*raw));
    if (raw == NULL || cli_target(cli, path, &url, &key) < 0) {
        free(raw);
        return NULL;
    }
    CURLcode code = cli_raw_dial(cli, raw, (char *)url.data);
    if (code != CURLE_OK) {
        (void)cli_transfer_failed(cli, code);
    } else if (cli_raw_head((char *)url.data, key, headers, &head) < 0 ||
               cli_raw_send(raw, head.data, head.len) < 0) {
        (void)cli_error("%s: the connection was lost", cli->url);
        code = CURLE_SEND_ERROR;
    }
    if (code == CURLE_OK)
        return raw;
    cli_raw_close(raw);
    return NULL;
}

int cli_raw_fd(const struct cli_raw *raw)
{
    return raw->fd;
}

int cli_raw_send(struct cli_raw *raw, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        size_t n = 0;
        CURLcode code = curl_easy_send(raw->curl, p, len, &n);
        struct pollfd wait = {.fd = raw->fd, .events = POLLOUT};
        if (code == CURLE_AGAIN)
            (void)poll(&wait, 1, 1000);
        else if (code != CURLE_OK)
            return -EPIPE;
        p += n;
        len -= n;
    }
    return 0;
}

ssize_t cli_raw_recv(struct cli_raw *raw, void *data, size_t size)
{
    size_t n = 0;
    CURLcode code = curl_easy_recv(raw->curl, data, size, &n);
    if (code == CURLE_AGAIN)
        return -EAGAIN;
    return code == CURLE_OK ? (ssize_t)n : -EPIPE;
}

void cli_raw_close(struct cli_raw *raw)
{
    if (raw != NULL)
        curl_easy_cleanup(raw->curl);
    free(raw);
}

int cli_each(struct cli *cli, int argc, char **argv, const struct cli_request *request,
             const char *done)
{
    int rv = cli_expect(argc, 1, CLI_MAX_LIST);
    if (rv != 0)
        return rv;
    for (int i = 0; i < argc; i++) {
        cleanup_json json *answer = NULL;
        cleanup_free char *path = cli_path(request->prefix, argv[i], request->suffix);
        int one = path != NULL ? cli_call(cli, request->method, path, request->body, &answer)
                               : cli_error("out of memory");
        if (one != 0)
            rv = one;
        else if (cli->raw)
            cli_print_json(answer);
        else
            (void)printf("%s %s\n", done, argv[i]);
    }
    return rv;
}

int cli_show(struct cli *cli, int argc, char **argv, const char *prefix, const char *const *fields,
             size_t n)
{
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 1, 1);
    if (rv != 0)
        return rv;
    cleanup_free char *path = cli_path(prefix, argv[0], "");
    rv = path != NULL ? cli_call(cli, "GET", path, NULL, &answer) : cli_error("out of memory");
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    for (size_t i = 0; rv == 0 && !cli->raw && i < n; i++)
        cli_print_field(answer, fields[i]);
    return rv;
}
