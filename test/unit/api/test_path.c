/* SPDX-License-Identifier: Apache-2.0 */
#include "api/path.h"

#include "t.h"

static void absolute_forms(void)
{
    static const char *const cases[][2] = {
        {"/home/user/x", "/home/user/x"},
        {"x", "/home/user/x"},
        {"./a/../b", "/home/user/b"},
        {"..", "/home"},
        {"../../..", "/"},
        {"/", "/"},
        {"//a///b/", "/a/b"},
        {"/a/./b/.", "/a/b"},
        {"/../../etc", "/etc"},
        {"...", "/home/user/..."},
        {"/a/..b", "/a/..b"},
        {"\xc3\xa9", "/home/user/\xc3\xa9"},
    };
    struct arena arena = {0};
    struct error err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        T_STR(api_path_absolute(&arena, API_PATH_HOME, cases[i][0], &err), cases[i][1]);
    T_STR(api_path_absolute(&arena, "/workspace", "x/../y", &err), "/workspace/y");
    T_STR(api_path_absolute(&arena, "/workspace", "/x", &err), "/x");
    arena_done(&arena);
}

static void what_is_refused(void)
{
    struct arena arena = {0};
    struct error err;
    char longest[API_PATH_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[API_PATH_MAX + 1] = '\0';
    T_TRUE(api_path_absolute(&arena, API_PATH_HOME, "", &err) == NULL);
    T_EQ(err.code, ERROR_INVALID_PATH);
    T_TRUE(api_path_absolute(&arena, API_PATH_HOME, longest, &err) == NULL);
    longest[API_PATH_MAX] = '\0';
    T_TRUE(api_path_absolute(&arena, API_PATH_HOME, longest, &err) != NULL);
    arena_done(&arena);
}

static void last_names(void)
{
    T_STR(api_path_name("/a/b"), "b");
    T_STR(api_path_name("b"), "b");
    T_STR(api_path_name("/"), "");
}

T_MAIN(T_CASE(absolute_forms), T_CASE(what_is_refused), T_CASE(last_names))
