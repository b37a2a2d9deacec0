/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_build.c - runs templates/tools/build and build-kvm, and what comes after them.
 *
 * The chain is server, this process, script, tools. Whoever dies, the next one hears of it from the
 * kernel (PR_SET_PDEATHSIG) and ends: the scripts clean up at SIGTERM, the tools are in a pid and a
 * mount namespace that goes with them. What is then left at most is NAME.partial, when the script
 * itself was killed: it is removed here, or by the next build, and no server takes it for a
 * template.
 */
#include "cmd/template_build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/num.h"
#include "base/timefmt.h"
#include "isolation/kvm/probe.h"
#include "isolation/type.h"
#include "store/state_lock.h"
#include "template/images.h"
#include "template/recipe.h"
#include "template/snapshot.h"

#define BUILD_PHASES     8 /* of templates/tools/build */
#define BUILD_KVM_PHASES 3 /* of templates/tools/build-kvm */
#define BUILD_NICE       10
#define BUILD_ARGS       16

static volatile sig_atomic_t template_child;

static void template_forward(int signum)
{
    if (template_child > 0)
        (void)kill((pid_t)template_child, signum == SIGINT ? SIGINT : SIGTERM);
}

/* In the child. */
static void template_exec(char *const argv[], pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    execvp(argv[0], argv);
    fprintf(stderr, "corrald: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int template_run(char *const argv[], struct error *err)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old[ARRAY_SIZE(signals)], forward = {.sa_handler = template_forward};
    int status = 0, rv = -1;
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        template_exec(argv, self);
    template_child = pid;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        (void)sigaction(signals[i], &forward, &old[i]);
    while (pid > 0 && (rv = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    int failed = errno;
    template_child = 0;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        (void)sigaction(signals[i], &old[i], NULL);
    return rv < 0 ? error_set_errno(err, ERROR_INTERNAL, -failed, "Cannot run %s", argv[0])
                  : status;
}

static bool template_ran(int status)
{
    return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The script was killed and could not clean up. Its tools end at the same time, and until they have
 * ended they may add files. */
static void template_sweep(const char *out)
{
    char partial[PATH_MAX + 16];
    struct error ignored;
    (void)snprintf(partial, sizeof(partial), "%s.partial", out);
    char *argv[] = {(char *)"rm", (char *)"-rf", (char *)"--one-file-system",
                    (char *)"--", partial,       NULL};
    for (int i = 0; i < 20 && access(partial, F_OK) == 0; i++) {
        (void)template_run(argv, &ignored);
        (void)usleep(100000);
    }
}

void template_tell_server(const struct config *config)
{
    pid_t pid = state_lock_owner(config->state_dir);
    if (pid > 0)
        (void)kill(pid, SIGHUP);
}

int template_check_unused(const struct config *config, const char *path, struct error *err)
{
    pid_t pid = state_lock_owner(config->state_dir);
    if (pid <= 0 || access(path, F_OK) < 0)
        return 0;
    (void)error_set(err, ERROR_CONFLICT, "%.150s is in use: stop the server (pid %d) first", path,
                    (int)pid);
    return -EBUSY;
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

static int template_begin(const struct template_options *o, struct error *err)
{
    int64_t parent = 0;
    if (o->low) {
        (void)setpriority(PRIO_PROCESS, 0, BUILD_NICE);
        (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                      IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
    }
    if (o->parent == NULL)
        return 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (num_parse(o->parent, 1, INT32_MAX, &parent) < 0 || getppid() != (pid_t)parent)
        return error_set(err, ERROR_INTERNAL, "The process %s has ended", o->parent);
    return 0;
}

struct template_list {
    char *text;
    size_t size;
};

static void template_note_recipe(void *ctx, const struct recipe *r, const struct error *err)
{
    struct template_list *l = ctx;
    (void)err;
    if (r == NULL)
        return;
    int n = snprintf(l->text, l->size, " %s", r->name);
    n = n > 0 && (size_t)n < l->size ? n : 0;
    l->text += n;
    l->size -= (size_t)n;
    *l->text = '\0';
}

/* The file of the recipe and the name of the template. */
static int template_find_recipe(const struct config *config, const struct template_options *o,
                                char path[PATH_MAX], char name[RECIPE_NAME_MAX + 1],
                                struct error *err)
{
    const struct recipe_places places = {.own = config->recipes, .guest_dir = config->guest_dir};
    char known[160] = "";
    cleanup_recipe struct recipe r = {0};
    if (o->recipe != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", o->recipe);
    } else if (recipe_find(&places, o->name, path) < 0) {
        recipe_each(&places, template_note_recipe, &(struct template_list){known, sizeof(known)});
        return error_set(err, ERROR_TEMPLATE_NOT_FOUND, "There is no recipe '%.64s'; there are:%s",
                         o->name, known);
    }
    if (recipe_read(&r, path, err) < 0)
        return -EINVAL;
    if (o->name != NULL && strcmp(o->name, r.name) != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The recipe %.100s has the name '%s'", path,
                         r.name);
    (void)snprintf(name, RECIPE_NAME_MAX + 1, "%s", r.name);
    return 0;
}

static int template_make_dirs(const struct config *config, const char *name, char out[PATH_MAX],
                              struct error *err)
{
    (void)snprintf(out, PATH_MAX, "%s/templates", config->state_dir);
    if ((mkdir(config->state_dir, 0700) < 0 && errno != EEXIST) ||
        (mkdir(out, 0755) < 0 && errno != EEXIST))
        return error_set_errno(err, ERROR_INTERNAL, -errno, "Cannot make %s", out);
    (void)snprintf(out, PATH_MAX, "%s/templates/%s", config->state_dir, name);
    return 0;
}

static int template_run_build(const struct config *config, const struct template_options *o,
                              char *recipe, char *out, bool images, struct error *err)
{
    char script[PATH_MAX];
    (void)snprintf(script, sizeof(script), "%s/templates/tools/build", config->guest_dir);
    char *argv[BUILD_ARGS] = {script, recipe, out};
    int n = 3;
    if (o->mirror != NULL) {
        argv[n++] = (char *)"--mirror";
        argv[n++] = (char *)o->mirror;
    }
    if (images)
        argv[n++] = (char *)"--kvm";
    if (o->wait)
        argv[n++] = (char *)"--wait";
    int status = template_run(argv, err);
    if (status >= 0 && WIFSIGNALED(status))
        template_sweep(out);
    if (status >= 0 && !template_ran(status))
        return error_set(err, ERROR_INTERNAL, "The template was not built; nothing was changed");
    return status;
}

int template_build(const struct config *config, const struct template_options *o, struct error *err)
{
    struct template_progress progress = {.total = BUILD_PHASES, .started_ms = time_now_ms()};
    struct error reason = {0};
    char recipe[PATH_MAX], out[PATH_MAX], name[RECIPE_NAME_MAX + 1];
    if (template_begin(o, err) < 0 || template_find_recipe(config, o, recipe, name, err) < 0 ||
        template_make_dirs(config, name, out, err) < 0)
        return -EINVAL;
    if (!o->wait && template_check_unused(config, out, err) < 0)
        return -EBUSY;
    bool vms = template_uses_kvm(config, &reason), images = vms || o->kvm;
    progress.total += (images ? BUILD_KVM_PHASES : 0) + (vms ? TEMPLATE_SNAPSHOT_PHASES : 0);
    template_tell_progress(&progress);
    int rv = template_run_build(config, o, recipe, out, images, err);
    if (rv == 0)
        template_tell_server(config);
    if (rv == 0 && vms && template_kvm_state(out, config->guest_dir) != TEMPLATE_KVM_WARM) {
        progress.done = BUILD_PHASES + BUILD_KVM_PHASES;
        rv = template_snapshot_make(config, out, &progress, err);
    } else if (rv == 0 && images && !vms) {
        fprintf(stderr, "no snapshot is made here: %s\n", reason.message);
    }
    return rv;
}

static int template_run_images(const struct config *config, const struct template_options *o,
                               char *dir, struct error *err)
{
    char script[PATH_MAX];
    (void)snprintf(script, sizeof(script), "%s/templates/tools/build-kvm", config->guest_dir);
    char *argv[BUILD_ARGS] = {script, dir};
    int n = 2;
    if (o->mirror != NULL) {
        argv[n++] = (char *)"--mirror";
        argv[n++] = (char *)o->mirror;
    }
    if (o->new_kernel)
        argv[n++] = (char *)"--new-kernel";
    int status = template_run(argv, err);
    if (status >= 0 && !template_ran(status))
        return error_set(err, ERROR_INTERNAL, "The images were not made; nothing was changed");
    return status;
}

int template_snapshot(const struct config *config, const struct template_options *o,
                      struct error *err)
{
    struct template_progress progress = {.total = TEMPLATE_SNAPSHOT_PHASES,
                                         .started_ms = time_now_ms()};
    char dir[PATH_MAX], file[PATH_MAX + 16];
    if (template_begin(o, err) < 0)
        return -EINVAL;
    (void)snprintf(dir, sizeof(dir), "%s/templates/%s", config->state_dir, o->name);
    (void)snprintf(file, sizeof(file), "%s/template.json", dir);
    if (access(file, R_OK) < 0)
        return error_set(err, ERROR_TEMPLATE_NOT_FOUND, "There is no template in %s", dir);
    if (!template_uses_kvm(config, err))
        return -ENODEV;
    int rv = 0;
    if (template_kvm_state(dir, config->guest_dir) <= TEMPLATE_KVM_STALE || o->new_kernel) {
        progress.total += BUILD_KVM_PHASES;
        template_tell_progress(&progress);
        rv = template_run_images(config, o, dir, err);
        progress.done = BUILD_KVM_PHASES;
    }
    if (rv == 0)
        rv = template_snapshot_make(config, dir, &progress, err);
    if (rv == 0)
        template_tell_server(config);
    return rv;
}
