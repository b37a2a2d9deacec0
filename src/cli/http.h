/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - requests to the server; the client's only user of libcurl. */
#ifndef CORRAL_CLI_HTTP_H
#define CORRAL_CLI_HTTP_H

#include "cli/cli.h"

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
/* Prints the message of an error answer; returns CLI_FAILED. */
int cli_refused(int status, const json *answer);

/* "<prefix>/<id><suffix>" with the id escaped; owned by the caller. NULL when memory ran out. */
char *cli_path(const char *prefix, const char *id, const char *suffix);

#endif
