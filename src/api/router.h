/* SPDX-License-Identifier: Apache-2.0 */
/* router.h - a path to its route. Pure. */
#ifndef CORRAL_API_ROUTER_H
#define CORRAL_API_ROUTER_H

#include "api/api.h"

enum router_result {
    ROUTER_FOUND,
    ROUTER_NO_PATH,   /* 404 */
    ROUTER_NO_METHOD, /* 405; `allow` lists the methods of the path */
};

struct router_match {
    const struct api_route *route;
    struct http_str params[API_MAX_PARAMS]; /* still percent-encoded, views into the path */
    char allow[64];
};

/* HEAD is answered by the route of GET. */
enum router_result router_match(const struct api_route *routes, size_t n, enum http_method method,
                                struct http_str path, struct router_match *ret);

#endif
