/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_auth.h - who may use a port URL where that needs a token (option --port-auth).
 *
 * A token is a grant about one port of one sandbox, with an end. A request shows it in a header, in
 * the query or in a cookie. A browser that comes with it in the query is sent to the same URL
 * without it, with the cookie. What stands for the whole sandbox opens its ports, too: a key or an
 * access token of its account that may run, and the token for traffic that clients of E2B get.
 *
 * Whatever the option says, the sandbox's own server sees none of these.
 */
#ifndef CORRAL_API_PORT_AUTH_H
#define CORRAL_API_PORT_AUTH_H

#include "api/api.h"

#define PORT_AUTH_HEADER    "Corral-Port-Token"
#define PORT_AUTH_QUERY     "corral_token"
#define PORT_AUTH_DEFAULT_S 3600
#define PORT_AUTH_MAX_S     (30 * 86400)

/* Whether port URLs of this server need a token. */
bool port_auth_needed(const struct config *c);
/* A token for that port until `end_s`, in seconds since 1970. */
void port_auth_token(const struct api *api, const char *id, uint16_t port, int64_t end_s,
                     char out[GRANT_PASS_SIZE]);
/* False: the request may not, or is sent elsewhere, and has its answer. A service has tokens of its
 * own, which it needs whatever the option says. */
bool port_auth_admit(struct api_call *call, const char *id, uint16_t port, bool service);

/* The request's query without tokens: its own text when there is none, else in the arena; "" when
 * memory ran out. */
const char *port_auth_query(struct http_request *req);
/* Whether a header holds a credential of this server. */
bool port_auth_is_credential(const struct api *api, const struct http_header *h);

#endif
