/* SPDX-License-Identifier: Apache-2.0 */
/* router.c - see router.h. Every pattern is tried in turn: there are some fifty, and a comparison
 * ends at the first byte that differs. */
#include "api/router.h"

#include <string.h>

#define AGENTS_PREFIX "/v1/agents"

static bool router_path_matches(const char *pattern, const char *path, const char *end,
                                struct http_str params[API_MAX_PARAMS])
{
    size_t n = 0;
    while (*pattern != '\0') {
        if (*pattern != ':') {
            if (path == end || *path != *pattern)
                return false;
            path++;
            pattern++;
            continue;
        }
        const char *start = path;
        while (path < end && *path != '/')
            path++;
        if (path == start)
            return false;
        params[n++] = (struct http_str){start, (size_t)(path - start)};
        while (*pattern != '\0' && *pattern != '/')
            pattern++;
    }
    return path == end;
}

static bool router_matches(const struct api_route *route, struct http_str path,
                           struct http_str params[API_MAX_PARAMS])
{
    const char *end = path.data + path.len;
    size_t prefix = strlen(AGENTS_PREFIX);
    if (router_path_matches(route->pattern, path.data, end, params))
        return true;
    return (route->flags & API_AGENTS) != 0 && path.len > prefix &&
           memcmp(path.data, AGENTS_PREFIX, prefix) == 0 &&
           router_path_matches(route->pattern, path.data + prefix, end, params);
}

static void router_allow(char *allow, size_t cap, enum http_method method)
{
    const char *name = http_method_str(method);
    size_t used = strlen(allow);
    if (strstr(allow, name) == NULL && used + strlen(name) + 3 <= cap) {
        strcpy(allow + used, used > 0 ? ", " : "");
        strcat(allow, name);
    }
}

enum router_result router_match(const struct api_route *routes, size_t n, enum http_method method,
                                struct http_str path, struct router_match *ret)
{
    enum http_method wanted = method == METHOD_HEAD ? METHOD_GET : method;
    *ret = (struct router_match){0};
    /* "/sandboxes/" is "/sandboxes", as some clients join URLs. */
    if (path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    for (size_t i = 0; i < n; i++) {
        if (!router_matches(&routes[i], path, ret->params))
            continue;
        if (routes[i].method == wanted) {
            ret->route = &routes[i];
            return ROUTER_FOUND;
        }
        router_allow(ret->allow, sizeof(ret->allow), routes[i].method);
        if (routes[i].method == METHOD_GET)
            router_allow(ret->allow, sizeof(ret->allow), METHOD_HEAD);
    }
    return ret->allow[0] != '\0' ? ROUTER_NO_METHOD : ROUTER_NO_PATH;
}
