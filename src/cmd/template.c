/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/timefmt.h"
#include "cmd/cmd.h"
#include "isolation/kvm/probe.h"
#include "isolation/type.h"
#include "store/state_lock.h"
#include "template/images.h"
#include "template/snapshot.h"

#define PATH_SIZE 4096

#define BUILD_PHASES     8 /* of templates/tools/build */
#define BUILD_KVM_PHASES 3 /* of templates/tools/build-kvm */

/* The name becomes a directory's and is part of commands a person types. */
static bool template_name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    return n > 0 && n <= 64 && name[n] == '\0' && name[0] != '.';
}

/* Runs a program in the foreground, with our terminal. */
static int template_run_program(char *const argv[], struct error *err)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        fprintf(stderr, "corrald: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return error_set_errno(err, ERROR_INTERNAL, -errno, "Cannot run %s", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, ERROR_INTERNAL, "The template was not built; nothing was changed");
    return 0;
}

/* A server that runs on this state directory reads its templates again. */
static void template_tell_server(const struct config *config)
{
    pid_t pid = state_lock_owner(config->state_dir);
    if (pid > 0)
        (void)kill(pid, SIGHUP);
}

/* Sandboxes that run have the template's files underneath: they must not change. */
static int template_check_unused(const struct config *config, const char *path, struct error *err)
{
    pid_t pid = state_lock_owner(config->state_dir);
    if (pid > 0 && access(path, F_OK) == 0)
        return error_set(err, ERROR_CONFLICT, "%.150s is in use: stop the server (pid %d) first",
                         path, (int)pid);
    return 0;
}

/* Whether a server with these options would run microVMs; `err` says why not. */
static bool template_uses_kvm(const struct config *config, struct error *err)
{
    struct kvm_probe_result probe;
    const struct isolation_type *asked = isolation_type_asked(config);
    if (asked == NULL || asked->ops->images)
        return kvm_probe(&probe, err) == 0;
    (void)error_set(err, ERROR_INVALID_ARGUMENT, "The isolation is %s", asked->ops->name);
    return false;
}

static bool template_has_argument(const struct config *config, const char *argument)
{
    for (int i = 3; i < config->n_args; i++) {
        if (strcmp(config->args[i], argument) == 0)
            return true;
    }
    return false;
}

/* Tells the program that runs next how many phases came before it; see
 * templates/tools/build-kvm. */
static void template_tell_progress(const struct template_progress *p)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%d/%d", p->done, p->total);
    (void)setenv("CORRAL_PHASE", text, 1);
    (void)snprintf(text, sizeof(text), "%lld", (long long)p->started_ms / 1000);
    (void)setenv("CORRAL_STARTED", text, 1);
}

static int template_build(const struct config *config, const char *name, struct error *err)
{
    struct template_progress progress = {.total = BUILD_PHASES, .started_ms = time_now_ms()};
    struct error reason = {0};
    bool vms = template_uses_kvm(config, &reason),
         images = vms || template_has_argument(config, "--kvm");
    char script[PATH_SIZE], recipe[PATH_SIZE], out[PATH_SIZE];
    (void)snprintf(script, sizeof(script), "%s/templates/tools/build", config->guest_dir);
    (void)snprintf(recipe, sizeof(recipe), "%s/templates/%s.recipe", config->guest_dir, name);
    if (access(recipe, R_OK) < 0)
        return error_set(err, ERROR_TEMPLATE_NOT_FOUND, "There is no recipe %s", recipe);
    (void)snprintf(out, sizeof(out), "%s/templates", config->state_dir);
    if ((mkdir(config->state_dir, 0700) < 0 && errno != EEXIST) ||
        (mkdir(out, 0755) < 0 && errno != EEXIST))
        return error_set_errno(err, ERROR_INTERNAL, -errno, "Cannot make %s", out);
    (void)snprintf(out, sizeof(out), "%s/templates/%s", config->state_dir, name);
    if (template_check_unused(config, out, err) < 0)
        return -EBUSY;
    char *argv[16] = {script, recipe, out};
    int n = 3;
    for (int i = 3; i < config->n_args && n < 14; i++)
        argv[n++] = config->args[i]; /* --mirror URL and the like are the script's */
    if (vms && !template_has_argument(config, "--kvm"))
        argv[n++] = (char *)"--kvm";
    progress.total += (images ? BUILD_KVM_PHASES : 0) + (vms ? TEMPLATE_SNAPSHOT_PHASES : 0);
    template_tell_progress(&progress);
    int rv = template_run_program(argv, err);
    if (rv == 0)
        template_tell_server(config);
    if (rv == 0 && vms) {
        progress.done = BUILD_PHASES + BUILD_KVM_PHASES;
        rv = template_snapshot_make(config, out, &progress, err);
    } else if (rv == 0 && images) {
        fprintf(stderr, "no snapshot is made here: %s\n", reason.message);
    }
    return rv;
}

/* Makes the images if they are out of date, then the snapshot. Beside a running server, too: its
 * sandboxes keep the files they run on until they end. */
static int template_snapshot(const struct config *config, const char *name, struct error *err)
{
    struct template_progress progress = {.total = TEMPLATE_SNAPSHOT_PHASES,
                                         .started_ms = time_now_ms()};
    char script[PATH_SIZE], dir[PATH_SIZE], file[PATH_SIZE + 16];
    (void)snprintf(script, sizeof(script), "%s/templates/tools/build-kvm", config->guest_dir);
    (void)snprintf(dir, sizeof(dir), "%s/templates/%s", config->state_dir, name);
    (void)snprintf(file, sizeof(file), "%s/template.json", dir);
    if (access(file, R_OK) < 0)
        return error_set(err, ERROR_TEMPLATE_NOT_FOUND, "There is no template in %s", dir);
    if (!template_uses_kvm(config, err))
        return -ENODEV;
    int rv = 0;
    if (template_kvm_state(dir, config->guest_dir) <= TEMPLATE_KVM_STALE ||
        template_has_argument(config, "--new-kernel")) {
        char *argv[16] = {script, dir};
        for (int i = 3, n = 2; i < config->n_args && n < 15; i++)
            argv[n++] = config->args[i];
        progress.total += BUILD_KVM_PHASES;
        template_tell_progress(&progress);
        rv = template_run_program(argv, err);
        progress.done = BUILD_KVM_PHASES;
    }
    if (rv == 0)
        rv = template_snapshot_make(config, dir, &progress, err);
    if (rv == 0)
        template_tell_server(config);
    return rv;
}

static int template_list(const struct config *config, const char *name, struct error *err)
{
    char path[PATH_SIZE];
    struct dirent **entries = NULL;
    (void)name;
    (void)snprintf(path, sizeof(path), "%s/templates", config->state_dir);
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[PATH_SIZE];
        (void)snprintf(file, sizeof(file), "%s/%s/template.json", path, entries[i]->d_name);
        if (template_name_ok(entries[i]->d_name) &&
            strstr(entries[i]->d_name, ".partial") == NULL && access(file, R_OK) == 0)
            puts(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    (void)err;
    return 0;
}

static int template_remove(const struct config *config, const char *name, struct error *err)
{
    char path[PATH_SIZE], gone[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/templates/%s", config->state_dir, name);
    (void)snprintf(gone, sizeof(gone), "%s/templates/.%s.removed", config->state_dir, name);
    if (template_check_unused(config, path, err) < 0)
        return -EBUSY;
    /* Renamed first, so that no server finds half a template. */
    if (rename(path, gone) < 0)
        return error_set_errno(err, ERROR_TEMPLATE_NOT_FOUND, -errno, "%s", path);
    char *argv[] = {"rm", "-rf", "--one-file-system", "--", gone, NULL};
    return template_run_program(argv, err);
}

static const struct {
    const char *verb;
    bool needs_name;
    int (*run)(const struct config *config, const char *name, struct error *err);
} template_verbs[] = {
    {"build", true, template_build},
    {"list", false, template_list},
    {"remove", true, template_remove},
    {"snapshot", true, template_snapshot},
};

int template_cmd(const struct config *config, struct error *err)
{
    const char *verb = config->n_args > 1 ? config->args[1] : "";
    const char *name = config->n_args > 2 ? config->args[2] : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(template_verbs); i++) {
        if (strcmp(template_verbs[i].verb, verb) != 0)
            continue;
        if (template_verbs[i].needs_name && (name == NULL || !template_name_ok(name)))
            return CMD_USAGE;
        return template_verbs[i].run(config, name, err);
    }
    return CMD_USAGE;
}
