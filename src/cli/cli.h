/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - corral, the command-line client: options, one table of commands, requests.
 *
 * A command returns the program's exit status. Failure is reported where it is found, with
 * cli_error, once.
 */
#ifndef CORRAL_CLI_CLI_H
#define CORRAL_CLI_CLI_H

#include <stdbool.h>

#include "base/json.h"

#define CLI_OK          0
#define CLI_FAILED      1 /* the server refused, or could not be reached */
#define CLI_USAGE       2
#define CLI_RUN_TIMEOUT 124 /* run: the command took longer than its time-out */
#define CLI_RUN_FAILED  125 /* run: the command was not run */
#define CLI_INTERRUPTED 130

struct cli_http;

struct cli {
    const char *url;      /* of the server, without a path */
    const char *key;      /* as given; NULL: looked up */
    const char *key_file; /* as given */
    bool raw;             /* --json */
    struct cli_http *http;
};

enum cli_opt_type { CLI_FLAG, CLI_TEXT, CLI_LIST };

/* An option of a command: --name, --name VALUE or --name=VALUE. */
struct cli_opt {
    const char *name;
    enum cli_opt_type type;
    void *field; /* bool *, const char **, struct cli_list * */
};

#define CLI_MAX_LIST 256

struct cli_list {
    const char *items[CLI_MAX_LIST];
    size_t count;
};

struct cli_command {
    const char *words; /* "key create" */
    const char *args;  /* for the usage text */
    const char *help;
    int (*run)(struct cli *cli, int argc, char **argv); /* argv without the words */
};

/* Prints "corral: ..." to standard error; returns CLI_FAILED. */
int cli_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Moves the options of `opts` (ended by a NULL name) and the common ones out of argv; what is left
 * starts at argv[0], NULL-terminated, *argc of them. "--" ends the options; with `stop`, so does
 * the first word that is not one. 0, or CLI_USAGE after a message. */
int cli_parse(struct cli *cli, int *argc, char **argv, const struct cli_opt *opts, bool stop);
/* 0, or CLI_USAGE after a message, when there are fewer or more words left than that. */
int cli_expect(int argc, int min, int max);

/* "NAME=VALUE" words as a JSON object under `field`. 0, or CLI_USAGE after a message. */
int cli_add_pairs(json *body, const char *field, const struct cli_list *pairs);
/* `text` as a number of seconds under `field`, times `factor`. NULL adds nothing. */
int cli_add_seconds(json *body, const char *field, const char *text, int factor);
void cli_add_text(json *body, const char *field, const char *text); /* NULL adds nothing */

/* One column of a table: a field of each object and its heading. */
struct cli_column {
    const char *field;
    const char *heading;
};

/* Prints an array of objects with aligned columns. Control characters are shown as '?'. */
void cli_print_table(const json *array, const struct cli_column *columns, size_t n);
/* Prints one field of an object and its name on a line, nothing for null. */
void cli_print_field(const json *obj, const char *field);
void cli_print_json(const json *j);
/* The string in a field, or "". */
const char *cli_text(const json *obj, const char *field);

/* The commands, ended by NULL words. */
extern const struct cli_command cli_commands[];

int cli_cp(struct cli *cli, int argc, char **argv);
int cli_ls(struct cli *cli, int argc, char **argv);
int cli_cat(struct cli *cli, int argc, char **argv);
int cli_url(struct cli *cli, int argc, char **argv);
int cli_completion(struct cli *cli, int argc, char **argv);
int cli_sandbox_get(struct cli *cli, int argc, char **argv);
int cli_secret_set(struct cli *cli, int argc, char **argv);
int cli_secret_list(struct cli *cli, int argc, char **argv);
int cli_secret_rm(struct cli *cli, int argc, char **argv);
int cli_key_create(struct cli *cli, int argc, char **argv);
int cli_key_list(struct cli *cli, int argc, char **argv);
int cli_key_revoke(struct cli *cli, int argc, char **argv);
int cli_sandbox_create(struct cli *cli, int argc, char **argv);
int cli_sandbox_list(struct cli *cli, int argc, char **argv);
int cli_sandbox_kill(struct cli *cli, int argc, char **argv);
int cli_sandbox_pause(struct cli *cli, int argc, char **argv);
int cli_sandbox_resume(struct cli *cli, int argc, char **argv);
int cli_sandbox_paused(struct cli *cli, int argc, char **argv);
int cli_sandbox_snapshot(struct cli *cli, int argc, char **argv);
int cli_sandbox_rollback(struct cli *cli, int argc, char **argv);
int cli_sandbox_fork(struct cli *cli, int argc, char **argv);
int cli_snapshot_list(struct cli *cli, int argc, char **argv);
int cli_snapshot_get(struct cli *cli, int argc, char **argv);
int cli_snapshot_delete(struct cli *cli, int argc, char **argv);
int cli_snapshot_promote(struct cli *cli, int argc, char **argv);
int cli_template_delete(struct cli *cli, int argc, char **argv);
int cli_template_list(struct cli *cli, int argc, char **argv);
int cli_health(struct cli *cli, int argc, char **argv);
int cli_run(struct cli *cli, int argc, char **argv);
int cli_shell(struct cli *cli, int argc, char **argv);
int cli_code(struct cli *cli, int argc, char **argv);

#endif
