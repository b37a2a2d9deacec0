/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/args.h"

#include <string.h>

#include "cmd/command.h"

static const struct cmd_option *cmd_find_option(const struct cmd_option *options, size_t n,
                                                const char *arg, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(options[i].flag) == len && memcmp(options[i].flag, arg, len) == 0)
            return &options[i];
    }
    return NULL;
}

int cmd_parse(char **args, const struct cmd_option *options, size_t n, const char **word)
{
    for (; *args != NULL; args++) {
        size_t len = strcspn(*args, "=");
        const struct cmd_option *o = cmd_find_option(options, n, *args, len);
        const char *equals = (*args)[len] == '=' ? *args + len : NULL;
        if (o == NULL && ((*args)[0] == '-' || word == NULL || *word != NULL))
            return CMD_USAGE;
        if (o == NULL) {
            *word = *args;
        } else if (o->given != NULL) {
            if (equals != NULL)
                return CMD_USAGE;
            *o->given = true;
        } else {
            *o->value = equals != NULL ? equals + 1 : *++args;
            if (*o->value == NULL)
                return CMD_USAGE;
        }
    }
    return 0;
}
