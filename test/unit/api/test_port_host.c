/* SPDX-License-Identifier: Apache-2.0 */
#include "api/port_host.h"

#include "t.h"

#define ID "550e8400-e29b-41d4-a716-446655440000"

static char id[ID_SIZE];
static uint16_t port;

static void names_with_and_without_a_port(void)
{
    T_TRUE(port_host_parse(ID "-8000.localhost:8100", "localhost", id, &port));
    T_STR(id, ID);
    T_EQ(port, 8000);
    T_TRUE(port_host_parse(ID "-1.box.example.org", "box.example.org", id, &port));
    T_EQ(port, 1);
    T_TRUE(port_host_parse("550E8400-E29B-41D4-A716-446655440000-65535.LocalHost.", "localhost", id,
                           &port));
    T_STR(id, ID);
    T_EQ(port, 65535);
}

static void other_names(void)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "127.0.0.1:8000",
        ID,
        ID "-8000",
        ID "-8000localhost",
        ID "-0.localhost",
        ID "-08.localhost",
        ID "-65536.localhost",
        ID "-100000.localhost",
        ID "-.localhost",
        ID "-80.localhostx",
        ID "-80.notlocalhost",
        ID "x-80.localhost",
        "x" ID "-80.localhost",
        "550e8400-e29b-41d4-a716-44665544000g-80.localhost",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (port_host_parse(bad[i], "localhost", id, &port))
            T_FAIL("taken: %s", bad[i]);
    }
}

T_MAIN(T_CASE(names_with_and_without_a_port), T_CASE(other_names))
