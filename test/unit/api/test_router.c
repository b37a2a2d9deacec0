/* SPDX-License-Identifier: Apache-2.0 */
#include "api/router.h"

#include "t.h"

static const struct api_route routes[] = {
    {.method = METHOD_POST, .pattern = "/things", .flags = API_AGENTS},
    {.method = METHOD_GET, .pattern = "/things", .flags = API_AGENTS},
    {.method = METHOD_GET, .pattern = "/things/:id", .flags = API_AGENTS},
    {.method = METHOD_DELETE, .pattern = "/things/:id/parts/:part", .flags = API_AGENTS},
    {.method = METHOD_POST, .pattern = "/v1/other"},
};

static struct router_match match;

static enum router_result find(enum http_method method, const char *path)
{
    return router_match(routes, ARRAY_SIZE(routes), method, (struct http_str){path, strlen(path)},
                        &match);
}

static void paths_and_prefixes(void)
{
    T_EQ(find(METHOD_GET, "/things"), ROUTER_FOUND);
    T_TRUE(match.route == &routes[1]);
    T_EQ(find(METHOD_GET, "/v1/agents/things"), ROUTER_FOUND);
    T_TRUE(match.route == &routes[1]);
    T_EQ(find(METHOD_GET, "/things/"), ROUTER_FOUND);
    T_EQ(find(METHOD_POST, "/v1/other"), ROUTER_FOUND);
    T_EQ(find(METHOD_POST, "/v1/agents/v1/other"), ROUTER_NO_PATH);
}

static void parameters(void)
{
    T_EQ(find(METHOD_GET, "/v1/agents/things/a%20b"), ROUTER_FOUND);
    T_MEM(match.params[0].data, match.params[0].len, "a%20b", 5);
    T_TRUE(match.params[1].data == NULL);
    T_EQ(find(METHOD_DELETE, "/things/x/parts/y"), ROUTER_FOUND);
    T_MEM(match.params[0].data, match.params[0].len, "x", 1);
    T_MEM(match.params[1].data, match.params[1].len, "y", 1);
}

static void what_is_not_found(void)
{
    static const char *const paths[] = {"",
                                        "/",
                                        "/thing",
                                        "/thingsx",
                                        "/things/a/b",
                                        "//things",
                                        "/things//parts/y",
                                        "/v1/agents",
                                        "/v1/agents/",
                                        "*"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (find(METHOD_DELETE, paths[i]) != ROUTER_NO_PATH)
            T_FAIL("found: %s", paths[i]);
    }
}

static void methods(void)
{
    T_EQ(find(METHOD_PUT, "/things"), ROUTER_NO_METHOD);
    T_STR(match.allow, "POST, GET, HEAD");
    T_EQ(find(METHOD_GET, "/things/x/parts/y"), ROUTER_NO_METHOD);
    T_STR(match.allow, "DELETE");
    T_EQ(find(METHOD_HEAD, "/things/x"), ROUTER_FOUND);
    T_TRUE(match.route == &routes[2]);
    T_EQ(find(METHOD_HEAD, "/v1/other"), ROUTER_NO_METHOD);
}

T_MAIN(T_CASE(paths_and_prefixes), T_CASE(parameters), T_CASE(what_is_not_found), T_CASE(methods))
