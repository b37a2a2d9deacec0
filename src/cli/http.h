/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - requests to the server; the client's only user of libcurl. */
#ifndef CORRAL_CLI_HTTP_H
#define CORRAL_CLI_HTTP_H

#include <sys/types.h>

#include "cli/cli.h"

struct cli_raw;

#define CLI_MAX_ANSWER (512u << 20) /* bytes */

/* NULL, after a message, when libcurl fails. */
struct cli_http *cli_http_new(void);
void cli_http_free(struct cli_http *h); /* NULL is fine */

/* SIGINT and SIGTERM end the request under way (CLI_INTERRUPTED) instead of the program, so that
 * a sandbox can still be removed. True once a signal has come; cli_http_rearm lets requests through
 * again. */
bool cli_http_interrupted(void);
void cli_http_rearm(void);

/* Sends a request; `body` may be NULL. Returns the HTTP status with the answer in *ret (owned by
 * the caller), or, after a message, a negative number: -CLI_FAILED, -CLI_INTERRUPTED. */
int cli_request(struct cli *cli, const char *method, const char *path, const json *body,
                json **ret);
/* As cli_request, and an answer that is not 2xx is a failure, too. 0 or an exit status. */
int cli_call(struct cli *cli, const char *method, const char *path, const json *body, json **ret);
/* The answer of a GET as it comes, as long as `take` returns true. 0 at its end, or an exit status
 * after a message. */
int cli_stream(struct cli *cli, const char *path,
               bool (*take)(void *ctx, const char *data, size_t len), void *ctx);
/* Bytes in one direction. */
struct cli_transfer {
    const char *path;
    const char *type; /* what the bytes are, up or down; NULL: what the server sends */
    /* Up: the next bytes, 0 at the end, or -1. NULL: down, a GET. */
    ssize_t (*give)(void *ctx, char *data, size_t size);
    /* Down, as they come. False: no more, after a message. */
    bool (*take)(void *ctx, const char *data, size_t len);
    void *ctx;
    bool progress; /* shown on a terminal */
};

/* The answer of an upload in *ret. 0, or an exit status after a message. */
int cli_transfer(struct cli *cli, const struct cli_transfer *t, json **ret);
/* Prints the message of an error answer; returns CLI_FAILED. */
int cli_refused(int status, const json *answer);

/* A connection that leaves HTTP: sends the head of a GET with `headers`, each with its line break,
 * and leaves all that follows to the caller. NULL after a message. */
struct cli_raw *cli_raw_open(struct cli *cli, const char *path, const char *headers);
int cli_raw_fd(const struct cli_raw *raw); /* to wait on; bytes may be there even so */
/* Waits until all is sent. 0 or -EPIPE. */
int cli_raw_send(struct cli_raw *raw, const void *data, size_t len);
/* Never waits. The number of bytes, 0 at the end, -EAGAIN or -EPIPE. */
ssize_t cli_raw_recv(struct cli_raw *raw, void *data, size_t size);
void cli_raw_close(struct cli_raw *raw); /* NULL is fine */

/* "<prefix>/<id><suffix>" with the id escaped; owned by the caller. NULL when memory ran out. */
char *cli_path(const char *prefix, const char *id, const char *suffix);

struct cli_request {
    const char *method, *prefix, *suffix; /* prefix, word and suffix are the path */
    const json *body;                     /* not owned; NULL: none */
};

/* The request for each word; `done` names what happened. All are tried. */
int cli_each(struct cli *cli, int argc, char **argv, const struct cli_request *request,
             const char *done);
/* Parses the one word of a command, asks for the object that it names below `prefix`, and prints
 * `n` fields of it. */
int cli_show(struct cli *cli, int argc, char **argv, const char *prefix, const char *const *fields,
             size_t n);
/* The path of a sandbox's route with `?path=`, both escaped. */
char *cli_query_path(const char *id, const char *route, const char *path);

#endif
