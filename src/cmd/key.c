/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/apikey.h"
#include "base/timefmt.h"
#include "cmd/args.h"
#include "cmd/command.h"
#include "cmd/with_store.h"

static int key_commit(struct store *store, struct error *err)
{
    int rv = store_commit(store);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the key") : 0;
}

static int key_create(struct apikeys *keys, struct store *store, char **args, struct error *err)
{
    struct apikey_params p = {.role = ROLE_DEVELOPER};
    const char *role_text = NULL; /* NULL: not given */
    const struct cmd_option options[] = {
        {"--name", &p.name, NULL},
        {"--account", &p.account, NULL},
        {"--role", &role_text, NULL},
        {"--key-rate-limit", &p.rate, NULL}}; /* the server's own option took the shorter name */
    char text[APIKEY_TEXT_SIZE];
    int rv = cmd_parse(args, options, ARRAY_SIZE(options), NULL);
    if (rv == 0 && role_text != NULL && role_parse(role_text, &p.role) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "The role must be viewer, developer or admin");
    if (rv == 0)
        rv = apikey_create(keys, &p, text, NULL, err);
    if (rv == 0)
        rv = key_commit(store, err);
    if (rv == 0)
        (void)puts(text);
    return rv;
}

static int key_list(struct apikeys *keys, struct store *store, char **args, struct error *err)
{
    size_t n = 0;
    if (args[0] != NULL)
        return CMD_USAGE;
    cleanup_free const struct apikey **list = apikey_list(keys, &n);
    for (size_t i = 0; i < n; i++) {
        char created[TIMEFMT_SIZE];
        (void)printf("%s  %-9s  %-16s  %-24s  %s\n", list[i]->id, role_name(list[i]->role),
                     list[i]->account, timefmt_rfc3339(created, list[i]->created_at),
                     list[i]->name);
    }
    return 0;
}

static int key_revoke(struct apikeys *keys, struct store *store, char **args, struct error *err)
{
    if (args[0] == NULL || args[1] != NULL)
        return CMD_USAGE;
    int rv = apikey_revoke(keys, args[0], err);
    return rv == 0 ? key_commit(store, err) : rv;
}

static const struct {
    const char *name;
    int (*run)(struct apikeys *keys, struct store *store, char **args, struct error *err);
} key_commands[] = {{"create", key_create}, {"list", key_list}, {"revoke", key_revoke}};

static int key_run(struct store *store, char **args, struct error *err)
{
    struct apikeys *keys = NULL;
    size_t i = 0;
    while (i < ARRAY_SIZE(key_commands) && strcmp(key_commands[i].name, args[0]) != 0)
        i++;
    if (i == ARRAY_SIZE(key_commands))
        return CMD_USAGE;
    int rv = apikeys_load(&keys, store, err);
    if (rv == 0)
        rv = key_commands[i].run(keys, store, args + 1, err);
    apikeys_free(keys);
    return rv;
}

int key_cmd(const struct config *config, struct error *err)
{
    if (config->n_args < 2)
        return CMD_USAGE;
    int rv = cmd_with_store(config, false, key_run, err);
    if (rv == -EBUSY)
        error_wrap(err, "Use 'corral key', which asks the running server");
    return rv;
}
