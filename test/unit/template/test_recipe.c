/* SPDX-License-Identifier: Apache-2.0 */
#include "template/recipe.h"

#include <string.h>

#include "t.h"

#define NAMED "name=\"box\"\ndescription=\"A box\"\n"

static int parse(const char *text, struct recipe *r, struct error *err)
{
    return recipe_parse(r, text, strlen(text), err);
}

static void values_of_every_form(void)
{
    struct recipe r;
    struct error err;
    T_EQ(parse("# words\n\nname=box  # so\ndescription='A \"big\" $x'\n"
               "packages=\"\n  one  # two\n  three\n\"\nvcpus=\"4\"\tmemory_mb=512\n"
               "aliases=\" a\nb  c \"",
               &r, &err),
         0);
    T_STR(r.name, "box");
    T_STR(r.description, "A \"big\" $x");
    T_EQ(r.vcpus, 4u);
    T_EQ(r.memory_mb, 512u);
    T_EQ(r.disk_mb, 10240u);
    T_STR(r.aliases[0], "a");
    T_STR(r.aliases[1], "b");
    T_STR(r.aliases[2], "c");
    T_TRUE(r.aliases[3] == NULL);
    recipe_done(&r);
    T_EQ(parse("name=a\ndescription=\"say \\\"x\\\" \\n \\\\\"\n", &r, &err), 0);
    T_STR(r.description, "say \"x\" \\n \\");
    recipe_done(&r);
}

static void the_last_value_counts(void)
{
    struct recipe r;
    struct error err;
    T_EQ(parse(NAMED "aliases=a\naliases=\"b c\"\nname=other\nvcpus=3\nvcpus=1\n", &r, &err), 0);
    T_STR(r.name, "other");
    T_STR(r.aliases[0], "b");
    T_EQ(r.vcpus, 1u);
    recipe_done(&r);
}

static void what_is_no_value_is_refused_with_its_line(void)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {NAMED "for x in *; do\n", "Line 3"},
        {NAMED "setup=\"never\nends\n", "Line 3"},
        {NAMED "\nvcpus=many\n", "Line 4"},
        {NAMED "vcpus=9\n", "Line 3"},
        {NAMED "memory_mb=1\n", "Line 3"},
        {"name=../x\n", "Line 1"},
        {"name=\"a\"b\n", "Line 1"},
        {"name = a\n", "Line 1"},
        {"=a\n", "Line 1"},
        {"", "'name' is missing"},
        {"description=x\n", "'name' is missing"},
        {"name=x\n", "'description' is missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct recipe r;
        struct error err = {0};
        T_TRUE(parse(bad[i].text, &r, &err) < 0);
        T_TRUE(strstr(err.message, bad[i].word) != NULL);
        T_TRUE(r.name == NULL && r.description == NULL && r.aliases == NULL);
    }
    struct recipe r;
    struct error err = {0};
    T_TRUE(recipe_parse(&r, "name=a\0b\n", 9, &err) < 0);
}

static void names_that_are_safe_in_paths_and_commands(void)
{
    T_TRUE(recipe_name_ok("python-3.9"));
    T_TRUE(!recipe_name_ok(""));
    T_TRUE(!recipe_name_ok(".x"));
    T_TRUE(!recipe_name_ok("-x"));
    T_TRUE(!recipe_name_ok("a/b"));
    T_TRUE(!recipe_name_ok("a b"));
    T_TRUE(!recipe_name_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

T_MAIN(T_CASE(values_of_every_form), T_CASE(the_last_value_counts),
       T_CASE(what_is_no_value_is_refused_with_its_line),
       T_CASE(names_that_are_safe_in_paths_and_commands))
