/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests a transform is for, and which transforms are refused. */
#include "egress/transform.h"

#include <errno.h>
#include <string.h>

#include "t.h"

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static struct span span(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void hosts_methods_and_paths(void)
{
    static const struct {
        const char *host, *method, *path, *name, *with, *where;
        uint16_t port;
        bool want;
    } rows[] = {
        {"api.x.io", "*", "/*", "api.x.io", "GET", "/", 443, true},
        {"api.x.io", "*", "/*", "www.x.io", "GET", "/", 443, false},
        {"*.x.io", "*", "/*", "a.b.x.io", "GET", "/", 443, true},
        {"*.x.io", "*", "/*", "x.io", "GET", "/", 443, false},
        {"api.x.io:8443", "*", "/*", "api.x.io", "GET", "/", 443, false},
        {"api.x.io:8443", "*", "/*", "api.x.io", "GET", "/", 8443, true},
        {"api.x.io", "POST", "/*", "api.x.io", "GET", "/", 443, false},
        {"api.x.io", "POST", "/*", "api.x.io", "POST", "/", 443, true},
        {"api.x.io", "POST", "/*", "api.x.io", "post", "/", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/a/b", 443, true},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1", 443, false},
        {"api.x.io", "*", "/v1/*/c", "api.x.io", "GET", "/v1/a/b/c", 443, true},
        {"api.x.io", "*", "/v1/*/c", "api.x.io", "GET", "/v1/a/b/cc", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/../v2", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/..", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/.;x/a", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/..a", 443, true},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/%2E%2e/v2", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/..%2fv2", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1/\\..\\v2", 443, false},
        {"api.x.io", "*", "/v1/*", "api.x.io", "GET", "/v1//a", 443, false},
        {"api.x.io", "*", "/*", "api.x.io", "GET", "/v1/../v2", 443, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena arena = {0};
        struct transform_list l;
        const struct transform_text text = {rows[i].host, LIST(rows[i].method), LIST(rows[i].path),
                                            LIST("a", "b")};
        T_EQ(transform_list_read(&text, 1, &arena, &l, NULL), 0);
        bool got = transform_applies(&l.items[0], rows[i].name, rows[i].port, span(rows[i].with),
                                     span(rows[i].where));
        if (got != rows[i].want)
            T_FAIL("row %zu: %d", i, got);
        transform_list_wipe(&l);
        arena_done(&arena);
    }
}

static void what_is_refused(void)
{
    const struct transform_text rows[] = {
        {"203.0.113.7", NULL, NULL, LIST("a", "b")},
        {"*", NULL, NULL, LIST("a", "b")},
        {"x y", NULL, NULL, LIST("a", "b")},
        {"x.io", LIST("G T"), NULL, LIST("a", "b")},
        {"x.io", NULL, LIST("v1"), LIST("a", "b")},
        {"x.io", NULL, NULL, LIST("a")},
        {"x.io", NULL, NULL, LIST("a:", "b")},
        {"x.io", NULL, NULL, LIST("", "b")},
        {"x.io", NULL, NULL, LIST("Host", "b")},
        {"x.io", NULL, NULL, LIST("Content-length", "1")},
        {"x.io", NULL, NULL, LIST("a", "b\r\nc: d")},
        {"x.io", NULL, NULL, LIST("a", "b\x7f")},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena arena = {0};
        struct transform_list l;
        struct error err;
        if (transform_list_read(&rows[i], 1, &arena, &l, &err) != -EINVAL)
            T_FAIL("row %zu is taken", i);
        transform_list_wipe(&l);
        arena_done(&arena);
    }
}

static void values_are_wiped(void)
{
    struct arena arena = {0};
    struct transform_list l;
    const struct transform_text text = {"x.io", NULL, NULL, LIST("a", "secret")};
    T_EQ(transform_list_read(&text, 1, &arena, &l, NULL), 0);
    const char *value = l.items[0].fields[0].value;
    T_STR(value, "secret");
    transform_list_wipe(&l);
    for (size_t i = 0; i < strlen("secret"); i++)
        T_EQ(value[i], 0);
    arena_done(&arena);
}

T_MAIN(T_CASE(hosts_methods_and_paths), T_CASE(what_is_refused), T_CASE(values_are_wiped))
