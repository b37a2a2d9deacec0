/* SPDX-License-Identifier: Apache-2.0 */
#include "api/port_auth.h"

#include "t.h"

static bool needed(int port_auth, const char *host)
{
    struct config c = {.port_auth = port_auth};
    (void)snprintf(c.listen.host, sizeof(c.listen.host), "%s", host);
    return port_auth_needed(&c);
}

static void who_needs_one(void)
{
    T_TRUE(!needed(CONFIG_PORT_AUTH_AUTO, "127.0.0.1"));
    T_TRUE(!needed(CONFIG_PORT_AUTH_AUTO, "::1"));
    T_TRUE(!needed(CONFIG_PORT_AUTH_AUTO, "localhost"));
    T_TRUE(needed(CONFIG_PORT_AUTH_AUTO, "0.0.0.0"));
    T_TRUE(needed(CONFIG_PORT_AUTH_AUTO, "::"));
    T_TRUE(needed(CONFIG_PORT_AUTH_AUTO, "192.0.2.1"));
    T_TRUE(needed(CONFIG_PORT_AUTH_TOKEN, "127.0.0.1"));
    T_TRUE(!needed(CONFIG_PORT_AUTH_NONE, "0.0.0.0"));
}

static void query(const char *text, const char *want)
{
    struct http_request req = {.query = {text, strlen(text)}};
    const char *got = port_auth_query(&req);
    T_STR(got, want);
    T_TRUE((got == text) == (strcmp(text, want) == 0));
    arena_done(&req.arena);
}

static void no_token_in_the_query(void)
{
    query("", "");
    query("a=1&&b&", "a=1&&b&");
    query("corral_token=x", "");
    query("corral_token", "");
    query("a=1&corral_token=x&b=%2F", "a=1&b=%2F");
    query("corral_token=x&corral_token=y&corral_tokens=z", "corral_tokens=z");
    query("a=corral_token=x", "a=corral_token=x");
}

T_MAIN(T_CASE(who_needs_one), T_CASE(no_token_in_the_query))
