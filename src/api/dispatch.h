/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.h - the API as the HTTP server calls it: from a request's head to its handler's end. */
#ifndef CORRAL_API_DISPATCH_H
#define CORRAL_API_DISPATCH_H

#include "api/api.h"

/* What the HTTP server calls; `api` must outlive it. */
struct http_app api_app(struct api *api);

#endif
