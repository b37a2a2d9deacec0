/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#include "auth/user.h"
#include "base/timefmt.h"
#include "cmd/args.h"
#include "cmd/command.h"
#include "cmd/with_store.h"

struct user_options {
    const char *name, *account, *role; /* NULL: not given */
    bool password_stdin;
};

static int user_parse(char **args, struct user_options *o, struct error *err)
{
    const struct cmd_option options[] = {{"--account", &o->account, NULL},
                                         {"--role", &o->role, NULL},
                                         {"--password-stdin", NULL, &o->password_stdin}};
    int rv = cmd_parse(args, options, ARRAY_SIZE(options), &o->name);
    if (rv == 0 && o->name == NULL)
        rv = CMD_USAGE;
    return rv == 0 ? principal_check_name("name", o->name, err) : rv;
}

/* One line of standard input. On a terminal it is asked for, and not shown. */
static int user_read_password(const struct user_options *o, char *text, size_t size,
                              struct error *err)
{
    struct termios before, silent;
    bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (!terminal && !o->password_stdin)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Give the password on standard input with --password-stdin");
    if (terminal) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        fprintf(stderr, "Password for %s: ", o->name);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    const char *line = fgets(text, (int)size, stdin);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (line == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "No password was given");
    text[strcspn(text, "\r\n")] = '\0';
    return 0;
}

static int user_save(struct store *store, struct user *u, const struct user_options *o,
                     struct error *err)
{
    char text[PASSWORD_MAX + 3];
    int rv = user_read_password(o, text, sizeof(text), err);
    if (rv == 0)
        rv = user_set_password(u, text, err);
    explicit_bzero(text, sizeof(text));
    if (rv < 0)
        return rv;
    rv = user_put(store, u);
    if (rv == 0)
        rv = store_commit(store);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the user") : 0;
}

static int user_create(struct store *store, char **args, struct error *err)
{
    struct user_options o = {0};
    struct user u = {.role = ROLE_DEVELOPER, .created_ms = time_now_ms()}, other;
    int rv = user_parse(args, &o, err);
    if (rv == 0 && o.role != NULL && role_parse(o.role, &u.role) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "The role must be viewer, developer or admin");
    const char *account = o.account != NULL ? o.account : "default";
    if (rv == 0)
        rv = principal_check_name("account", account, err);
    if (rv != 0)
        return rv;
    if (user_get(store, o.name, &other) != -ENOENT)
        return error_set(err, ERROR_CONFLICT, "The user %s exists already", o.name);
    memcpy(u.name, o.name, strlen(o.name));
    memcpy(u.account, account, strlen(account));
    return user_save(store, &u, &o, err);
}

static int user_find(struct store *store, char **args, struct user_options *o, struct user *u,
                     struct error *err)
{
    int rv = user_parse(args, o, err);
    if (rv != 0)
        return rv;
    if (o->account != NULL || o->role != NULL)
        return CMD_USAGE;
    rv = user_get(store, o->name, u);
    if (rv == -ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "There is no user %s", o->name);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the user") : 0;
}

static int user_passwd(struct store *store, char **args, struct error *err)
{
    struct user_options o = {0};
    struct user u;
    int rv = user_find(store, args, &o, &u, err);
    return rv == 0 ? user_save(store, &u, &o, err) : rv;
}

static int user_delete(struct store *store, char **args, struct error *err)
{
    struct user_options o = {0};
    struct user u;
    int rv = user_find(store, args, &o, &u, err);
    if (rv != 0)
        return rv;
    rv = user_del(store, u.name);
    if (rv == 0)
        rv = store_commit(store);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot delete the user") : 0;
}

static int user_print(void *ctx, const struct user *u)
{
    char created[TIMEFMT_SIZE];
    (void)printf("%-24s  %-9s  %-16s  %s\n", u->name, role_name(u->role), u->account,
                 timefmt_rfc3339(created, u->created_ms));
    return 0;
}

static int user_list(struct store *store, char **args, struct error *err)
{
    if (args[0] != NULL)
        return CMD_USAGE;
    int rv = user_each(store, user_print, NULL);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the users") : 0;
}

static const struct {
    const char *name;
    int (*run)(struct store *store, char **args, struct error *err);
} user_commands[] = {
    {"create", user_create},
    {"passwd", user_passwd},
    {"list", user_list},
    {"delete", user_delete},
};

static int user_run(struct store *store, char **args, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(user_commands); i++) {
        if (strcmp(user_commands[i].name, args[0]) == 0)
            return user_commands[i].run(store, args + 1, err);
    }
    return CMD_USAGE;
}

int user_cmd(const struct config *config, struct error *err)
{
    return config->n_args > 1 ? cmd_with_store(config, true, user_run, err) : CMD_USAGE;
}
