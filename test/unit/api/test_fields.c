/* SPDX-License-Identifier: Apache-2.0 */
#include "api/fields.h"

#include <string.h>

#include "t.h"

static bool near(const char *a, const char *b)
{
    return api_fields_near(a, strlen(a), b);
}

static void two_letters_away(void)
{
    T_TRUE(near("timeout", "timeout"));
    T_TRUE(near("timout", "timeout"));
    T_TRUE(near("tiemout", "timeout"));
    T_TRUE(near("envVars", "env_vars"));
    T_TRUE(near("timeouts", "timeout"));
    T_TRUE(near("Timeouts", "timeout"));
    T_TRUE(!near("Timeoutse", "timeout"));
    T_TRUE(!near("region", "timeout"));
}

static void short_names_are_words_of_their_own(void)
{
    T_TRUE(near("cdoe", "code"));
    T_TRUE(near("arg", "args"));
    T_TRUE(!near("cwd", "code"));
    T_TRUE(!near("user", "mode"));
}

static void lengths(void)
{
    char name[64];
    memset(name, 'x', sizeof(name));
    T_TRUE(!api_fields_near(name, 0, "a"));
    T_TRUE(!api_fields_near(name, sizeof(name), "xx"));
    T_TRUE(!api_fields_near(name, 40, "xx"));
    T_TRUE(!near("x", ""));
}

/* Every route of the document is one that requests find, so that no list is lost. */
static void every_list_belongs_to_a_route(void)
{
    T_TRUE(api_fields_count > 50);
    for (size_t i = 0; i < api_fields_count; i++) {
        T_TRUE(api_fields[i].path[0] == '/');
        for (const char *const *name = api_fields[i].body; *name != NULL; name++)
            T_TRUE(strlen(*name) <= 40);
    }
}

T_MAIN(T_CASE(two_letters_away), T_CASE(short_names_are_words_of_their_own), T_CASE(lengths),
       T_CASE(every_list_belongs_to_a_route))
