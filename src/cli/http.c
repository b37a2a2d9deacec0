/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static size_t cli_on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    size_t len = size * n;
    if (b->len + len > CLI_MAX_ANSWER || buf_append(b, data, len) < 0)
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

static int cli_perform(struct cli *cli, const char *method, const char *url,
                       struct curl_slist *headers, struct buf *text, struct buf *answer)
{
    CURL *curl = cli->http->curl;
    long status = 0;
    curl_easy_reset(curl);
    cli->http->error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "corral/" CORRAL_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, cli->http->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CLI_CONNECT_TIMEOUT);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, cli_on_progress);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, cli_on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (cli_is_local(url))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
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

int cli_request(struct cli *cli, const char *method, const char *path, const json *body, json **ret)
{
    cleanup_buf struct buf url = {0};
    cleanup_buf struct buf text = {0};
    cleanup_buf struct buf answer = {0};
    struct error err = {0};
    bool failed;
    const char *key = cli_find_key(cli, &failed);
    size_t len = strlen(cli->url);
    while (len > 0 && cli->url[len - 1] == '/')
        len--;
    (void)buf_append(&url, cli->url, len);
    (void)buf_append_str(&url, path);
    if (failed)
        return -CLI_FAILED;
    if (key != NULL && key[strcspn(key, "\r\n")] != '\0')
        return -cli_error("the key holds a line break");
    if (body != NULL && json_print(&text, body) < 0)
        return -cli_error("out of memory");
    struct curl_slist *headers = cli_headers(key);
    int status = cli_perform(cli, method, buf_cstr(&url), headers, body != NULL ? &text : NULL,
                             &answer);
    curl_slist_free_all(headers);
    if (status < 0)
        return status;
    *ret = json_parse(answer.data, answer.len, &err);
    if (*ret == NULL)
        return -cli_error("%s answered %d with something that is not JSON: is it corrald?",
                          cli->url, status);
    return status;
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
