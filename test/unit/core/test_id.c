/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "core/id.h"
#include "t.h"

static void makes_valid_ids(void)
{
    for (int i = 0; i < 1000; i++) {
        char id[ID_SIZE], again[ID_SIZE];
        id_new(id);
        T_EQ(strlen(id), 36);
        T_EQ(id_parse(again, id), 0);
        T_STR(id, again);
        T_EQ(id[14], '4');
        T_TRUE(strchr("89ab", id[19]) != NULL);
    }
}

static void ids_differ(void)
{
    char a[ID_SIZE], b[ID_SIZE];
    id_new(a);
    for (int i = 0; i < 10000; i++) {
        id_new(b);
        T_TRUE(strcmp(a, b) != 0);
    }
}

/* A resolver would take digits alone for an address. */
static void host_names_have_a_letter(void)
{
    char name[ID_HOST_NAME_SIZE];
    id_host_name(name, "f01167c9-ec09-470f-8495-c7f2116512a5");
    T_STR(name, "f01167c9");
    id_host_name(name, "81963591-ec09-470f-8495-c7f2116512a5");
    T_STR(name, "s81963591");
}

static void parse_lowers(void)
{
    char id[ID_SIZE];
    T_EQ(id_parse(id, "550E8400-E29B-41D4-A716-446655440000"), 0);
    T_STR(id, "550e8400-e29b-41d4-a716-446655440000");
    /* In place. */
    T_EQ(id_parse(id, id), 0);
    T_STR(id, "550e8400-e29b-41d4-a716-446655440000");
}

static void parse_is_strict(void)
{
    static const char *const bad[] = {
        "",
        "550e8400",
        "550e8400-e29b-41d4-a716-44665544000",
        "550e8400-e29b-41d4-a716-4466554400000",
        "550e8400e29b41d4a716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        " 550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716_446655440000",
        "550e8400--29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-446655440000\n",
        "../../../../../../../../etc/passwd00",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char id[ID_SIZE] = "untouched";
        T_EQ(id_parse(id, bad[i]), -EINVAL);
        T_STR(id, "untouched");
    }
}

static void tokens_use_the_whole_alphabet(void)
{
    enum { LEN = 62 * 400 };
    static char token[LEN + 1];
    unsigned int seen[256] = {0};
    id_token(token, LEN);
    T_EQ(strlen(token), LEN);
    for (size_t i = 0; i < LEN; i++)
        seen[(uint8_t)token[i]]++;
    unsigned int different = 0;
    for (size_t c = 0; c < 256; c++) {
        different += seen[c] > 0;
        /* Mean 400, standard deviation 20: seven of them away is a fault, not chance. */
        T_TRUE(seen[c] == 0 || (seen[c] > 260 && seen[c] < 540));
    }
    T_EQ(different, 62);
    id_token(token, 0);
    T_STR(token, "");
}

static void equal_compares_everything(void)
{
    uint8_t a[32] = {0}, b[32] = {0};
    T_TRUE(id_equal(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a) * 8; i++) {
        b[i / 8] = (uint8_t)(1u << (i % 8));
        T_TRUE(!id_equal(a, b, sizeof(a)));
        b[i / 8] = 0;
    }
    T_TRUE(id_equal(a, b, 0));
}

T_MAIN(T_CASE(makes_valid_ids), T_CASE(ids_differ), T_CASE(parse_lowers), T_CASE(parse_is_strict),
       T_CASE(host_names_have_a_letter), T_CASE(tokens_use_the_whole_alphabet),
       T_CASE(equal_compares_everything))
