/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - a look into a sandbox: ls, cat, url. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cli/job.h"

char *cli_query_path(const char *id, const char *route, const char *path)
{
    char *suffix = NULL;
    cleanup_free char *escaped = cli_path("", path[0] != '\0' ? path : ".", "");
    if (escaped == NULL || asprintf(&suffix, "%s?path=%s", route, escaped + 1) < 0)
        return NULL;
    char *whole = cli_path(CLI_SANDBOXES, id, suffix);
    free(suffix);
    return whole;
}

/* Options, then from `min` to `max` words. */
static int files_words(struct cli *cli, int *argc, char **argv, int min, int max)
{
    int rv = cli_parse(cli, argc, argv, NULL, false);
    return rv == 0 ? cli_expect(*argc, min, max) : rv;
}

/* "ID:PATH" or "ID PATH"; the path may be missing when `fallback` is not NULL. 0, or CLI_USAGE. */
static int files_place(int argc, char **argv, const char *fallback, const char **path)
{
    char *colon = strchr(argv[0], ':');
    if (argc > 1 && colon != NULL) {
        (void)cli_error("there are too many arguments; see corral --help");
        return CLI_USAGE;
    }
    if (colon != NULL)
        *colon = '\0';
    *path = colon != NULL && colon[1] != '\0' ? colon + 1 : argc > 1 ? argv[1] : fallback;
    if (*path != NULL)
        return 0;
    (void)cli_error("a path is missing; see corral --help");
    return CLI_USAGE;
}

int cli_ls(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"kind", "KIND"}, {"size", "SIZE"}, {"modified_at", "MODIFIED"}, {"name", "NAME"}};
    const char *path = NULL;
    cleanup_json json *body = cJSON_CreateObject(), *answer = NULL;
    int rv = files_words(cli, &argc, argv, 1, 2);
    if (rv == 0)
        rv = files_place(argc, argv, ".", &path);
    if (rv != 0)
        return rv;
    cleanup_free char *route = cli_path(CLI_SANDBOXES, argv[0], "/files/list");
    cli_add_text(body, "path", path);
    rv = route != NULL ? cli_call(cli, "POST", route, body, &answer) : cli_error("out of memory");
    json *files = cJSON_GetObjectItemCaseSensitive(answer, "files"), *file = NULL;
    if (rv != 0)
        return rv;
    if (cli->raw) {
        cli_print_json(answer);
        return CLI_OK;
    }
    cJSON_ArrayForEach(file, files)
    {
        bool directory = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(file, "is_dir"));
        cli_add_text(file, "kind", directory ? "dir" : "file");
    }
    cli_print_table(files, columns, ARRAY_SIZE(columns));
    return CLI_OK;
}

static bool files_print(void *ctx, const char *data, size_t len)
{
    (void)ctx;
    if (fwrite(data, 1, len, stdout) == len)
        return true;
    (void)cli_error("standard output cannot be written");
    return false;
}

int cli_cat(struct cli *cli, int argc, char **argv)
{
    const char *path = NULL;
    int rv = files_words(cli, &argc, argv, 1, 2);
    if (rv == 0)
        rv = files_place(argc, argv, NULL, &path);
    if (rv != 0)
        return rv;
    cleanup_free char *route = cli_query_path(argv[0], "/download", path);
    const struct cli_transfer t = {.path = route, .take = files_print};
    return route != NULL ? cli_transfer(cli, &t, NULL) : cli_error("out of memory");
}

/* What the server says of the port: its URL, and with a token when that needs one. */
static int files_ask_url(struct cli *cli, const char *id, int64_t port, json *body, json **ret)
{
    char suffix[40];
    (void)snprintf(suffix, sizeof(suffix), "/host/%lld", (long long)port);
    cleanup_free char *route = cli_path(CLI_SANDBOXES, id, suffix);
    (void)snprintf(suffix, sizeof(suffix), "/host/%lld/token", (long long)port);
    cleanup_free char *token = cli_path(CLI_SANDBOXES, id, suffix);
    if (route == NULL || token == NULL)
        return cli_error("out of memory");
    int rv = cli_call(cli, "GET", route, NULL, ret);
    if (rv != 0 || !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(*ret, "token_required")))
        return rv;
    cJSON_Delete(*ret);
    *ret = NULL;
    return cli_call(cli, "POST", token, body, ret);
}

int cli_url(struct cli *cli, int argc, char **argv)
{
    int64_t port = 0;
    const char *expires = NULL;
    const struct cli_opt opts[] = {{"expires", CLI_TEXT, &expires}, {NULL, CLI_FLAG, NULL}};
    cleanup_json json *answer = NULL, *body = cJSON_CreateObject();
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_expect(argc, 2, 2);
    if (rv == 0)
        rv = cli_add_seconds(body, "expires_in", expires, 1);
    if (rv != 0)
        return rv;
    if (num_parse(argv[1], 1, 65535, &port) < 0) {
        (void)cli_error("'%s' is no port", argv[1]);
        return CLI_USAGE;
    }
    rv = files_ask_url(cli, argv[0], port, body, &answer);
    const char *signed_url = cli_text(answer, "signed_url");
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        (void)puts(signed_url[0] != '\0' ? signed_url : cli_text(answer, "url"));
    return rv;
}
