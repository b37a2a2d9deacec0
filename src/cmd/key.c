/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "auth/apikey.h"
#include "base/timefmt.h"

/* The options of `key create`; NULL: not given. */
struct key_options {
    const char *name;
    const char *account;
    const char *role;
};

static int key_usage(struct error *err)
{
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "Usage: corrald key create [--name TEXT] [--account NAME] [--role ROLE] | "
                     "list | revoke ID");
}

static int key_parse(char **args, struct key_options *o, struct error *err)
{
    const struct {
        const char *flag;
        const char **value;
    } flags[] = {{"--name", &o->name}, {"--account", &o->account}, {"--role", &o->role}};
    while (*args != NULL) {
        size_t i = 0;
        size_t len = strcspn(*args, "=");
        while (i < ARRAY_SIZE(flags) &&
               (strlen(flags[i].flag) != len || memcmp(flags[i].flag, *args, len) != 0))
            i++;
        if (i == ARRAY_SIZE(flags))
            return key_usage(err);
        const char *value = (*args)[len] == '=' ? *args + len + 1 : *++args;
        if (value == NULL)
            return key_usage(err);
        *flags[i].value = value;
        args++;
    }
    return 0;
}

static int key_commit(struct store *store, struct error *err)
{
    int rv = store_commit(store);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the key") : 0;
}

static int key_create(struct apikeys *keys, struct store *store, char **args, struct error *err)
{
    struct key_options o = {0};
    enum role role = ROLE_DEVELOPER;
    char text[APIKEY_TEXT_SIZE];
    int rv = key_parse(args, &o, err);
    if (rv == 0 && o.role != NULL && role_parse(o.role, &role) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "The role must be viewer, developer or admin");
    if (rv == 0)
        rv = apikey_create(keys, o.name, o.account, role, text, NULL, err);
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
        return key_usage(err);
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
        return key_usage(err);
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
        return key_usage(err);
    int rv = apikeys_load(&keys, store, err);
    if (rv == 0)
        rv = key_commands[i].run(keys, store, args + 1, err);
    apikeys_free(keys);
    return rv;
}

int key_cmd(const struct config *config, struct error *err)
{
    uv_loop_t loop;
    struct store *store = NULL;
    if (config->n_args < 2)
        return key_usage(err);
    int rv = uv_loop_init(&loop);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "Cannot start the loop");
    rv = store_open(&store, &loop, config->state_dir, (size_t)config->map_size, err);
    if (rv == -EBUSY) {
        error_wrap(err, "Use 'corral key', which asks the running server");
    } else if (rv == 0) {
        rv = key_run(store, config->args + 1, err);
        store_close(store, NULL, NULL);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    }
    (void)uv_loop_close(&loop);
    return rv;
}
