/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b/address.h"

#include "t.h"

#define ID "550e8400-e29b-41d4-a716-446655440000"

static struct e2b_address a;

static void both_orders(void)
{
    T_TRUE(e2b_address_of_host("3000-" ID ".localhost:8100", "localhost", &a));
    T_STR(a.id, ID);
    T_EQ(a.port, 3000);
    T_TRUE(e2b_address_of_host(ID "-49983.box.example.org", "box.example.org", &a));
    T_EQ(a.port, 49983);
    T_TRUE(
        e2b_address_of_host("1-550E8400-e29b-41d4-a716-446655440000.localhost.", "localhost", &a));
    T_STR(a.id, ID);
}

static void other_hosts(void)
{
    static const char *const bad[] = {
        "",
        "localhost:8000",
        "127.0.0.1:8000",
        "3000",
        "3000-" ID,
        "3000-" ID ".example.org",
        "0-" ID ".localhost",
        "03-" ID ".localhost",
        "65536-" ID ".localhost",
        "-" ID ".localhost",
        "3000-" ID "-3000.localhost",
        "3000_" ID ".localhost",
        "3000-550e8400-e29b-41d4-a716-44665544000.localhost",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (e2b_address_of_host(bad[i], "localhost", &a))
            T_FAIL("taken: %s", bad[i]);
    }
    char *text = calloc(1, 4000);
    T_TRUE(text != NULL);
    memset(text, 'a', 3999);
    memcpy(text, "3000-", 5);
    T_TRUE(!e2b_address_of_host(text, "localhost", &a));
    free(text);
}

static void headers(void)
{
    T_TRUE(e2b_address_of_headers(ID, "49999", &a));
    T_STR(a.id, ID);
    T_EQ(a.port, 49999);
    T_TRUE(e2b_address_of_headers("i1234", "80", &a)); /* no such sandbox */
    T_STR(a.id, "");
    T_TRUE(!e2b_address_of_headers(ID, NULL, &a));
    T_TRUE(!e2b_address_of_headers(NULL, "80", &a));
    T_TRUE(!e2b_address_of_headers(ID, "80x", &a));
    T_TRUE(!e2b_address_of_headers(ID, "", &a));
}

T_MAIN(T_CASE(both_orders), T_CASE(other_hosts), T_CASE(headers))
