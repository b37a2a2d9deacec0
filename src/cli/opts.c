/* SPDX-License-Identifier: Apache-2.0 */
/* opts.c - options and the JSON they become. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cli/cli.h"

#define CLI_MAX_SECONDS 31536000

int cli_error(const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    /* Messages come from the server, too: nothing of them may steer the terminal. */
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
    (void)fprintf(stderr, "corral: %s\n", line);
    return CLI_FAILED;
}

static int cli_usage_error(const char *what, const char *word)
{
    (void)cli_error("%s '%s'; see corral --help", what, word);
    return CLI_USAGE;
}

static const struct cli_opt *cli_find_opt(const struct cli_opt *opts, const char *name, size_t len)
{
    for (; opts != NULL && opts->name != NULL; opts++) {
        if (strlen(opts->name) == len && memcmp(opts->name, name, len) == 0)
            return opts;
    }
    return NULL;
}

/* Sets one option. Returns the number of words used, or -CLI_USAGE. */
static int cli_take_opt(const struct cli_opt *o, char **argv, const char *equals)
{
    if (o->type == CLI_FLAG) {
        if (equals != NULL)
            return -cli_usage_error("no value is expected in", argv[0]);
        *(bool *)o->field = true;
        return 1;
    }
    const char *value = equals != NULL ? equals + 1 : argv[1];
    if (value == NULL)
        return -cli_usage_error("a value is missing after", argv[0]);
    if (o->type == CLI_TEXT) {
        *(const char **)o->field = value;
    } else {
        struct cli_list *list = o->field;
        if (list->count == CLI_MAX_LIST)
            return -cli_usage_error("too many of", argv[0]);
        list->items[list->count++] = value;
    }
    return equals != NULL ? 1 : 2;
}

int cli_parse(struct cli *cli, int *argc, char **argv, const struct cli_opt *opts, bool stop)
{
    const struct cli_opt common[] = {
        {"url", CLI_TEXT, &cli->url},
        {"key", CLI_TEXT, &cli->key},
        {"key-file", CLI_TEXT, &cli->key_file},
        {"json", CLI_FLAG, &cli->raw},
        {NULL, CLI_FLAG, NULL},
    };
    int kept = 0;
    int i = 0;
    while (i < *argc) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0) {
            i++;
            break;
        }
        if (word[0] != '-' || word[1] == '\0') {
            if (stop)
                break;
            argv[kept++] = argv[i++];
            continue;
        }
        const char *name = word + strspn(word, "-");
        size_t len = strcspn(name, "=");
        const struct cli_opt *o = cli_find_opt(opts, name, len);
        if (o == NULL)
            o = cli_find_opt(common, name, len);
        if (o == NULL || word[1] != '-')
            return cli_usage_error("no such option:", word);
        int used = cli_take_opt(o, argv + i, name[len] == '=' ? name + len : NULL);
        if (used < 0)
            return -used;
        i += used;
    }
    while (i < *argc)
        argv[kept++] = argv[i++];
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}

int cli_expect(int argc, int min, int max)
{
    if (argc >= min && argc <= max)
        return 0;
    (void)cli_error("%s; see corral --help",
                    argc < min ? "an argument is missing" : "there are too many arguments");
    return CLI_USAGE;
}

int cli_add_pairs(json *body, const char *field, const struct cli_list *pairs)
{
    if (pairs->count == 0)
        return 0;
    json *map = cJSON_AddObjectToObject(body, field);
    for (size_t i = 0; i < pairs->count; i++) {
        char name[256];
        const char *equals = strchr(pairs->items[i], '=');
        size_t len = equals != NULL ? (size_t)(equals - pairs->items[i]) : 0;
        if (len == 0 || len >= sizeof(name))
            return cli_usage_error("not NAME=VALUE:", pairs->items[i]);
        memcpy(name, pairs->items[i], len);
        name[len] = '\0';
        cJSON_AddStringToObject(map, name, equals + 1);
    }
    return 0;
}

int cli_add_seconds(json *body, const char *field, const char *text, int factor)
{
    int64_t seconds;
    if (text == NULL)
        return 0;
    if (num_parse(text, 1, CLI_MAX_SECONDS, &seconds) < 0)
        return cli_usage_error("not a number of seconds:", text);
    cJSON_AddNumberToObject(body, field, (double)seconds * factor);
    return 0;
}

void cli_add_text(json *body, const char *field, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(body, field, text);
}
