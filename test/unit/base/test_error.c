/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>

#include "base/error.h"
#include "t.h"

static void sets(void)
{
    struct error e = {0};
    T_EQ(error_set(&e, ERROR_NOT_FOUND, "no %s", "x"), -EINVAL);
    T_EQ(e.code, ERROR_NOT_FOUND);
    T_STR(e.message, "no x");
    T_EQ(error_set_errno(&e, ERROR_INTERNAL, -ENOENT, "open %d", 1), -ENOENT);
    T_STR(e.message, "open 1: No such file or directory");
    error_wrap(&e, "start");
    T_STR(e.message, "start: open 1: No such file or directory");
    T_EQ(error_set(NULL, ERROR_INTERNAL, "x"), -EINVAL);
    T_EQ(error_set_errno(NULL, ERROR_INTERNAL, -EIO, "x"), -EIO);
    error_wrap(NULL, "x");
}

static void long_messages_are_cut(void)
{
    struct error e = {0};
    char big[1000];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    (void)error_set(&e, ERROR_INTERNAL, "%s", big);
    T_EQ(strlen(e.message), sizeof(e.message) - 1);
    (void)error_set_errno(&e, ERROR_INTERNAL, -EIO, "%s", big);
    T_EQ(strlen(e.message), sizeof(e.message) - 1);
    error_wrap(&e, "%s", big);
    T_EQ(strlen(e.message), sizeof(e.message) - 1);
    (void)error_set(&e, ERROR_INTERNAL, "inner");
    error_wrap(&e, "outer");
    T_STR(e.message, "outer: inner");
}

static void the_table_is_sound(void)
{
    for (int i = ERROR_NONE + 1; i < ERROR_COUNT; i++) {
        const char *name = error_name((enum error_code)i);
        int status = error_status((enum error_code)i);
        T_TRUE(status >= 400 && status < 600);
        for (const char *p = name; *p != '\0'; p++)
            T_TRUE(islower((unsigned char)*p) || *p == '_');
        T_TRUE(strlen(error_text((enum error_code)i)) > 5);
        for (int j = ERROR_NONE; j < i; j++)
            T_TRUE(strcmp(name, error_name((enum error_code)j)) != 0);
    }
    T_STR(error_name(ERROR_COUNT), "internal");
    T_EQ(error_status((enum error_code)9999), 500);
}

T_MAIN(T_CASE(sets), T_CASE(long_messages_are_cut), T_CASE(the_table_is_sound))
