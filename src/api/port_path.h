/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_path.h - the path form of port URLs, for clients that do not resolve the names of the host
 * form: /v1/agents/sandboxes/<id>/ports/<port>/..., and that of services (service.h):
 * /v1/agents/runtime/<id>/services/<port>/web/... A page under such a path may ask for absolute
 * paths; then its Referer, or a cookie that it was given, tells where they lead. Pure.
 */
#ifndef CORRAL_API_PORT_PATH_H
#define CORRAL_API_PORT_PATH_H

#include <stdbool.h>

#include "base/buf.h"
#include "core/id.h"

#define PORT_PATH_COOKIE "corral_port"
#define PORT_PATH_TOKEN                                                                            \
    "corral_token_" /* and <id>-<port>: the cookie with a token for the port                       \
                     */

struct port_path {
    char id[ID_SIZE];
    uint16_t port;
    bool service;
    size_t prefix; /* bytes of the path before what the sandbox's server sees; from there it begins
                      with a slash, or is empty */
};

/* Whether the path is of this form; the prefix /v1/agents may be missing. */
bool port_path_parse(const char *path, size_t len, struct port_path *ret);
/* Whether a Referer is a URL of this server, named `host`, with such a path. */
bool port_path_of_referer(const char *referer, const char *host, struct port_path *ret);
/* The cookie of a Cookie header; `prefix` is 0. */
bool port_path_of_cookies(const char *cookies, struct port_path *ret);
/* The text of a token, without a NUL behind it. */
struct port_token {
    const char *text;
    size_t len;
};
/* The next cookie with a token for that port; `*cookies` is what follows it then. */
bool port_path_next_token(const char **cookies, const char *id, uint16_t port,
                          struct port_token *ret);
/* Appends the Cookie header's value without those cookies. */
void port_path_strip(struct buf *out, const char *cookies);

#endif
