/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/template.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cmd/args.h"
#include "cmd/command.h"
#include "cmd/template_build.h"
#include "template/recipe.h"

static bool template_is_built(const struct config *config, const char *name)
{
    char file[PATH_MAX];
    (void)snprintf(file, sizeof(file), "%.3800s/templates/%.200s/template.json", config->state_dir,
                   name);
    return access(file, R_OK) == 0;
}

static int template_is_name(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return recipe_name_ok(e->d_name) &&
           (dot == NULL || (strcmp(dot, ".partial") != 0 && strcmp(dot, ".old") != 0));
}

static void template_print_recipe(void *ctx, const struct recipe *r, const struct error *err)
{
    const struct config *config = ctx;
    if (r == NULL)
        fprintf(stderr, "corrald: %s\n", err->message);
    else if (!template_is_built(config, r->name))
        printf("%-24s %-10s %s\n", r->name, "not built", r->description);
}

static int template_list(const struct config *config, const struct template_options *o,
                         struct error *err)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    const struct recipe_places places = {.own = config->recipes, .guest_dir = config->guest_dir};
    (void)o;
    (void)err;
    (void)snprintf(path, sizeof(path), "%.4000s/templates", config->state_dir);
    int n = scandir(path, &entries, template_is_name, alphasort);
    for (int i = 0; i < n; i++) {
        if (template_is_built(config, entries[i]->d_name))
            printf("%-24s built\n", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    recipe_each(&places, template_print_recipe, (void *)config);
    return 0;
}

static int template_remove(const struct config *config, const struct template_options *o,
                           struct error *err)
{
    char path[PATH_MAX], gone[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/templates/%s", config->state_dir, o->name);
    (void)snprintf(gone, sizeof(gone), "%s/templates/.%s.removed", config->state_dir, o->name);
    if (template_check_unused(config, path, err) < 0)
        return -EBUSY;
    /* Renamed first, so that no server finds half a template. */
    if (rename(path, gone) < 0)
        return error_set_errno(err, ERROR_TEMPLATE_NOT_FOUND, -errno, "%s", path);
    char *argv[] = {(char *)"rm", (char *)"-rf", (char *)"--one-file-system",
                    (char *)"--", gone,          NULL};
    int status = template_run(argv, err);
    if (status > 0)
        return error_set(err, ERROR_INTERNAL, "%.150s cannot be removed whole", gone);
    return status;
}

static const struct {
    const char *verb;
    bool needs_name;
    int (*run)(const struct config *config, const struct template_options *o, struct error *err);
} template_verbs[] = {
    {"build", true, template_build},
    {"list", false, template_list},
    {"remove", true, template_remove},
    {"snapshot", true, template_snapshot},
};

int template_cmd(const struct config *config, struct error *err)
{
    struct template_options o = {0};
    const struct cmd_option options[] = {
        {"--mirror", &o.mirror, NULL},         {"--recipe", &o.recipe, NULL},
        {"--parent", &o.parent, NULL},         {"--kvm", NULL, &o.kvm},
        {"--new-kernel", NULL, &o.new_kernel}, {"--wait", NULL, &o.wait},
        {"--low-priority", NULL, &o.low},
    };
    const char *verb = config->n_args > 1 ? config->args[1] : "";
    for (size_t i = 0; i < ARRAY_SIZE(template_verbs); i++) {
        if (strcmp(template_verbs[i].verb, verb) != 0)
            continue;
        if (cmd_parse(config->args + 2, options, ARRAY_SIZE(options), &o.name) != 0)
            return CMD_USAGE;
        bool named = o.name != NULL && recipe_name_ok(o.name);
        if (template_verbs[i].needs_name && !named && (o.name != NULL || o.recipe == NULL))
            return CMD_USAGE;
        return template_verbs[i].run(config, &o, err);
    }
    return CMD_USAGE;
}
