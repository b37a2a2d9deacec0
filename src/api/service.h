/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - a port of a sandbox that is open under a URL of its own, for a time and for those who
 * have its token, or for everybody.
 *
 * A service is kept in the record of its sandbox (ties.h). Its token is a grant about the service's
 * mark, so that nothing of it is kept: a new mark makes all tokens of before worthless. port_auth.h
 * says how a request shows a token, and that the sandbox does not see it.
 */
#ifndef CORRAL_API_SERVICE_H
#define CORRAL_API_SERVICE_H

#include "api/api.h"

#define SERVICE_HEADER       "X-Gravix-Web-Service-Token"
#define SERVICE_MAX          32 /* of one sandbox */
#define SERVICE_MARK         16 /* letters of a mark */
#define SERVICE_SUBJECT_SIZE (ID_SIZE + 8 + SERVICE_MARK)

struct api_service {
    uint16_t port;
    bool is_public;
    int64_t end_s; /* since 1970 */
    char mark[SERVICE_MARK + 1];
};

/* Opens a service, or sets anew who may use it and until when; with `rotate` it gets a new mark.
 * The record is put, which the caller commits. 0 or a negative errno with `err`. */
int api_service_open(struct sandbox *sb, const struct api_service *wanted, bool rotate,
                     struct api_service *ret, struct error *err);
/* False: it was not open. */
bool api_service_close(struct sandbox *sb, uint16_t port);
/* Whether the port has one whose time is not over. */
bool api_service_find(const struct sandbox *sb, uint16_t port, struct api_service *ret);
/* All of them; returns how many. */
size_t api_services(const struct sandbox *sb, struct api_service ret[SERVICE_MAX]);

/* What its tokens are about. */
void api_service_subject(const char *id, const struct api_service *s,
                         char out[SERVICE_SUBJECT_SIZE]);
/* The token until the service's end. */
void api_service_token(const struct api *api, const char *id, const struct api_service *s,
                       char out[GRANT_PASS_SIZE]);

#endif
