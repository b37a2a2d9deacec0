/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <string.h>

#include "cmd/doctor.h"
#include "cmd/key.h"
#include "cmd/probe.h"
#include "cmd/template.h"
#include "cmd/user.h"

const struct cmd cmd_table[] = {
    {"doctor", "", "Tell what of this machine makes sandboxes slower or weaker", doctor_cmd},
    {"key", "create [--name TEXT] [--account NAME] [--role ROLE] | list | revoke ID",
     "Create, list and revoke API keys", key_cmd},
    {"probe", "", "Tell whether this machine can run microVMs", probe_cmd},
    {"template",
     "build NAME [--mirror URL] [--kvm] | build --recipe FILE [--mirror URL] [--kvm] | list | "
     "remove NAME | snapshot NAME",
     "Build, list and remove templates, and take their snapshots again", template_cmd},
    {"user",
     "create NAME [--account NAME] [--role ROLE] [--password-stdin] | "
     "passwd NAME [--password-stdin] | list | delete NAME",
     "Create, list and delete the users who can sign in, and set their passwords", user_cmd},
};

const size_t cmd_table_len = ARRAY_SIZE(cmd_table);

int cmd_run(const struct config *config, struct error *err)
{
    size_t i = 0;
    while (i < cmd_table_len && strcmp(cmd_table[i].name, config->args[0]) != 0)
        i++;
    if (i == cmd_table_len)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Unknown command '%s'; see corrald --help",
                         config->args[0]);
    const struct cmd *c = &cmd_table[i];
    int rv = c->run(config, err);
    if (rv == CMD_USAGE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Usage: corrald %s%s%s", c->name,
                         c->usage[0] != '\0' ? " " : "", c->usage);
    return rv;
}

void cmd_help(struct buf *out)
{
    for (size_t i = 0; i < cmd_table_len; i++) {
        const struct cmd *c = &cmd_table[i];
        for (const char *form = c->usage; form != NULL;) {
            const char *bar = strstr(form, " | ");
            size_t len = bar != NULL ? (size_t)(bar - form) : strlen(form);
            (void)buf_printf(out, "  %s%s%.*s\n", c->name, len > 0 ? " " : "", (int)len, form);
            form = bar != NULL ? bar + 3 : NULL;
        }
        (void)buf_printf(out, "        %s\n", c->help);
    }
}
