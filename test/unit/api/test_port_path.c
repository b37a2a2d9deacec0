/* SPDX-License-Identifier: Apache-2.0 */
#include "api/port_path.h"

#include <string.h>

#include "t.h"

#define ID   "550e8400-e29b-41d4-a716-446655440000"
#define PATH "/v1/agents/sandboxes/" ID "/ports/"

static struct port_path p;

static bool parses(const char *path)
{
    return port_path_parse(path, strlen(path), &p);
}

static void paths(void)
{
    T_TRUE(parses(PATH "8000/a/b"));
    T_STR(p.id, ID);
    T_EQ(p.port, 8000);
    T_EQ(p.prefix, strlen(PATH "8000"));
    T_TRUE(parses("/sandboxes/" ID "/ports/1/"));
    T_EQ(p.port, 1);
    T_TRUE(parses(PATH "65535"));
    T_EQ(p.prefix, strlen(PATH "65535"));
}

static void services(void)
{
    T_TRUE(parses(PATH "80/"));
    T_TRUE(!p.service);
    T_TRUE(parses("/v1/agents/runtime/" ID "/services/80/web/a"));
    T_TRUE(p.service);
    T_EQ(p.prefix, strlen("/v1/agents/runtime/" ID "/services/80/web"));
    T_TRUE(!parses("/v1/agents/runtime/" ID "/services/80"));
    T_TRUE(!parses("/v1/agents/runtime/" ID "/services/80/webs"));
    T_TRUE(!parses("/v1/agents/runtime/" ID "/ports/80/web/"));
    T_TRUE(!parses("/runtime/" ID "/services/80/web/"));
    T_TRUE(!parses("/sandboxes/" ID "/services/80/web/"));
    T_TRUE(port_path_of_cookies("corral_port=" ID "-80-service", &p));
    T_TRUE(p.service);
    T_TRUE(!port_path_of_cookies("corral_port=" ID "-80-services", &p));
}

static void other_paths(void)
{
    static const char *const bad[] = {
        "",          "/",           "/sandboxes/" ID, "/sandboxes/" ID "/ports/",
        PATH "0/",   PATH "080/",   PATH "65536/",    PATH "123456/",
        PATH "80x",  PATH "80?x",   PATH "x/",        "x" PATH "80/",
        PATH "/80/", "/v1/agents/", "/v1" PATH "80/", "/sandboxes/550e8400/ports/80/",
        PATH "-80/", PATH "+80/",   PATH "8 0/",      "/v1/agents/sandboxes/" ID "/port/80/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (parses(bad[i]))
            T_FAIL("taken: %s", bad[i]);
    }
}

static void referers(void)
{
    T_TRUE(port_path_of_referer("http://localhost:8000" PATH "80/x?y#z", "localhost:8000", &p));
    T_EQ(p.port, 80);
    T_TRUE(port_path_of_referer("https://Box.example" PATH "80/", "box.example", &p));
    T_TRUE(!port_path_of_referer("http://evil/localhost:8000" PATH "80/", "localhost:8000", &p));
    T_TRUE(!port_path_of_referer("http://localhost:80001" PATH "80/", "localhost:8000", &p));
    T_TRUE(!port_path_of_referer("http://localhost:8000/x?" PATH "80/", "localhost:8000", &p));
    T_TRUE(!port_path_of_referer(PATH "80/", "", &p));
    T_TRUE(!port_path_of_referer("", "localhost", &p));
}

static void cookies(void)
{
    T_TRUE(port_path_of_cookies("a=b; corral_port=" ID "-80; c", &p));
    T_EQ(p.port, 80);
    T_STR(p.id, ID);
    T_TRUE(port_path_of_cookies("corral_port=x;corral_port=" ID "-81", &p));
    T_EQ(p.port, 81);
    T_TRUE(!port_path_of_cookies("xcorral_port=" ID "-80", &p));
    T_TRUE(!port_path_of_cookies("corral_port=" ID "-80x", &p));
    T_TRUE(!port_path_of_cookies("corral_port=" ID, &p));
    T_TRUE(!port_path_of_cookies("", &p));
}

static void strip(const char *cookies, const char *want)
{
    struct buf out = {0};
    port_path_strip(&out, cookies);
    T_STR(out.len > 0 ? buf_cstr(&out) : "", want);
    buf_done(&out);
}

static void ours_is_stripped(void)
{
    strip("a=b; corral_port=" ID "-80; c", "a=b; c");
    strip("corral_port=x", "");
    strip(" a=b;;c=d ; ", "a=b; c=d");
    strip("corral_ports=1", "corral_ports=1");
    strip("a=b; corral_token_" ID "-80=1.x; corral_token_=; c", "a=b; c");
}

static void tokens(void)
{
    const char *rest = "a; corral_token_" ID "-8=no; corral_token_" ID "-80=1.x ;corral_token_" ID
                       "-80;corral_token_" ID "-80=";
    struct port_token token;
    T_TRUE(port_path_next_token(&rest, ID, 80, &token));
    T_MEM(token.text, token.len, "1.x", 3);
    T_TRUE(port_path_next_token(&rest, ID, 80, &token));
    T_EQ(token.len, 0);
    T_TRUE(!port_path_next_token(&rest, ID, 80, &token));
}

T_MAIN(T_CASE(paths), T_CASE(services), T_CASE(other_paths), T_CASE(referers), T_CASE(cookies),
       T_CASE(ours_is_stripped), T_CASE(tokens))
