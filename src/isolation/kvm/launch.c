/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.c - prepares the start of one microVM, on the pool.
 *
 * Directory, control groups and arguments are made in this order, and a failure leaves what was
 * made before it: the cleaner removes it with the rest. A snapshot is chosen when its sizes are
 * those that are asked for; whether it fits the machine only corral-vmm knows. When it does not,
 * kvm_launch_prepare is called a second time with `cold` set.
 */
#include "isolation/kvm/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "core/file.h"
#include "isolation/helper.h"
#include "isolation/kvm/cgroup.h"

#define LAUNCH_ARGS     48
#define LAUNCH_JSON_MAX 65536
#define LAUNCH_CMDLINE  2000 /* the kernel takes 2047 */

static int launch_copy(char **ret, const char *value)
{
    *ret = value != NULL ? strdup(value) : NULL;
    return value != NULL && *ret == NULL ? -ENOMEM : 0;
}

int kvm_launch_init(struct kvm_launch *l, const struct instance_spec *spec)
{
    *l = (struct kvm_launch){.vcpus = spec->vcpus,
                             .memory_mb = spec->memory_mb,
                             .disk_mb = spec->disk_mb,
                             .cold = spec->cold,
                             .record = spec->record,
                             .stored = spec->stored,
                             .memory = instance_memory_get(spec->memory),
                             .handed = spec->memory != NULL,
                             .lock_fd = -1};
    int rv = launch_copy(&l->id, spec->id);
    if (rv == 0)
        rv = launch_copy(&l->dir, spec->dir);
    if (rv == 0)
        rv = launch_copy(&l->template_dir, spec->template_dir);
    return rv == 0 ? launch_copy(&l->snapshot_dir, spec->snapshot_dir) : rv;
}

void kvm_launch_done(struct kvm_launch *l)
{
    base_close_p(&l->lock_fd);
    helper_argv_free(l->argv);
    instance_memory_put(&l->memory);
    free(l->id);
    free(l->dir);
    free(l->template_dir);
    free(l->snapshot_dir);
    *l = (struct kvm_launch){.lock_fd = -1};
}

/* The directory belongs to the server also when the VM has a uid of its own: a VMM that its guest
 * has taken over must not put a link to somewhere else in the place of its sockets. */
static int launch_directory(struct kvm_launch *l, struct error *err)
{
    char overlay[PATH_MAX];
    if (mkdir(l->dir, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", l->dir);
    if (l->uid != 0 && (chown(l->dir, 0, (gid_t)l->uid) < 0 || chmod(l->dir, 0710) < 0))
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", l->dir);
    /* A VM of a template build: the lock tells the sweep of a server that the build lives. */
    if (l->lock && l->lock_fd < 0) {
        l->lock_fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (l->lock_fd < 0 || flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0)
            return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", l->dir);
    }
    /* Of a first try, whose snapshot was refused. */
    (void)snprintf(overlay, sizeof(overlay), "%s/" KVM_OVERLAY_NAME, l->dir);
    if (unlink(overlay) < 0 && errno != ENOENT)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", overlay);
    return 0;
}

/* A restored guest has the processors, memory and disk of its snapshot; they cannot be changed. */
static bool snapshot_fits(const struct kvm_launch *l, const char *dir)
{
    char path[PATH_MAX];
    cleanup_buf struct buf text = {0};
    int64_t vcpus = 0, memory = 0, disk = 0;
    (void)snprintf(path, sizeof(path), "%s/snapshot.json", dir);
    if (file_read(path, LAUNCH_JSON_MAX, &text) < 0)
        return false;
    cleanup_json json *j = json_parse_object(text.data, text.len, NULL);
    return j != NULL && json_get_int(j, "vcpus", 0, 0, UINT_MAX, &vcpus, NULL) == 0 &&
           json_get_int(j, "memory_mb", 0, 0, UINT_MAX, &memory, NULL) == 0 &&
           json_get_int(j, "disk_mb", 0, 0, UINT_MAX, &disk, NULL) == 0 && vcpus == l->vcpus &&
           memory == l->memory_mb && disk == l->disk_mb;
}

/* True, and its directory in `dir`, when there is a snapshot to restore. */
static bool launch_snapshot(const struct kvm_launch *l, char dir[PATH_MAX])
{
    if (l->snapshot_dir != NULL)
        return snprintf(dir, PATH_MAX, "%s", l->snapshot_dir) < PATH_MAX;
    if (l->stored)
        return snprintf(dir, PATH_MAX, "%s/" KVM_STORED_NAME, l->dir) < PATH_MAX;
    return !l->cold && snprintf(dir, PATH_MAX, "%s/kvm/snapshot", l->template_dir) < PATH_MAX &&
           snapshot_fits(l, dir);
}

int kvm_launch_link(const char *from, const char *to)
{
    char real[PATH_MAX];
    if (realpath(from, real) == NULL)
        return -errno;
    /* Another file system, or too many links of one file. */
    return link(real, to) == 0 || symlink(real, to) == 0 ? 0 : -errno;
}

/* The first of the files in `from` that is there becomes `name` of the sandbox's directory. */
static bool launch_keep(const struct kvm_launch *l, const char *name, const char *from,
                        const char *const *files)
{
    char path[PATH_MAX], to[PATH_MAX];
    (void)snprintf(to, sizeof(to), "%s/%s", l->dir, name);
    (void)unlink(to);
    for (; *files != NULL; files++) {
        if (snprintf(path, sizeof(path), "%s/%s", from, *files) < (int)sizeof(path) &&
            kvm_launch_link(path, to) == 0)
            return true;
    }
    return false;
}

/* What a snapshot of this VM will need. A file that cannot be had is missed when the VM is put
 * away, and not now: the complete memory file below the snapshot, and the working sets, which are
 * advice.
 */
static void launch_keep_snapshot(const struct kvm_launch *l, const char *snapshot)
{
    static const char *const base[] = {KVM_BASE_NAME, CTL_MEMORY_NAME, NULL};
    static const char *const soon[] = {CTL_WORKSET_NAME, NULL};
    static const char *const code[] = {CTL_WORKSET_CODE_NAME, NULL};
    (void)launch_keep(l, KVM_BASE_NAME, snapshot, base);
    (void)launch_keep(l, CTL_WORKSET_NAME, snapshot, soon);
    (void)launch_keep(l, CTL_WORKSET_CODE_NAME, snapshot, code);
}

/* The image below the overlay: that of the snapshot, or else the template's. */
static void launch_keep_disk(const struct kvm_launch *l, const char *snapshot, char path[PATH_MAX])
{
    static const char *const own[] = {KVM_DISK_NAME, NULL};
    static const char *const image[] = {"kvm/disk.img", NULL};
    bool kept = kvm_launch_must_restore(l) && launch_keep(l, KVM_DISK_NAME, snapshot, own);
    kept = kept ||
           (l->template_dir != NULL && launch_keep(l, KVM_DISK_NAME, l->template_dir, image));
    if (kept || l->template_dir == NULL)
        (void)snprintf(path, PATH_MAX, "%s/" KVM_DISK_NAME, l->dir);
    else
        (void)snprintf(path, PATH_MAX, "%s/kvm/disk.img", l->template_dir);
}

/* An argument vector in the making; `failed` once memory ran out. */
struct launch_args {
    char **argv;
    size_t n;
    bool failed;
};

static void PRINTF_LIKE(2, 3) launch_arg(struct launch_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (a->n + 1 >= LAUNCH_ARGS || vasprintf(&a->argv[a->n], fmt, ap) < 0) {
        a->argv[a->n] = NULL;
        a->failed = true;
    } else {
        a->n++;
    }
    va_end(ap);
}

#define launch_option(a, name, ...) (launch_arg(a, "--%s", name), launch_arg(a, __VA_ARGS__))

/* Uncompressed where there is such a file: unpacking costs each boot time and memory. */
static const char *launch_kernel(const struct kvm_launch *l)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/kvm/vmlinux", l->template_dir);
    return access(path, R_OK) == 0 ? "vmlinux" : "vmlinuz";
}

static void launch_boot(const struct kvm_launch *l, struct launch_args *a)
{
    char path[PATH_MAX];
    cleanup_buf struct buf cmdline = {0};
    launch_option(a, "kernel", "%s/kvm/%s", l->template_dir, launch_kernel(l));
    launch_option(a, "initrd", "%s/kvm/initrd", l->template_dir);
    launch_option(a, "memory", "%u", l->memory_mb);
    launch_option(a, "vcpus", "%u", l->vcpus);
    launch_option(a, "disk-size", "%u", l->disk_mb);
    (void)snprintf(path, sizeof(path), "%s/kvm/cmdline", l->template_dir);
    if (file_read(path, LAUNCH_CMDLINE, &cmdline) == 0 && buf_cstr(&cmdline) != NULL) {
        char *text = (char *)cmdline.data;
        text[strcspn(text, "\n")] = '\0';
        launch_option(a, "cmdline", "%s", text);
    }
}

static int launch_argv(struct kvm_launch *l, const char *cgroup_dirs, struct error *err)
{
    char snapshot[PATH_MAX], disk[PATH_MAX];
    struct launch_args a = {.argv = calloc(LAUNCH_ARGS, sizeof(*a.argv))};
    if (a.argv == NULL)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -ENOMEM, "arguments");
    launch_arg(&a, "%s", l->vmm);
    launch_arg(&a, "--detach");
    launch_arg(&a, "--handover");
    l->restored = launch_snapshot(l, snapshot);
    launch_keep_disk(l, snapshot, disk);
    launch_option(&a, "dir", "%s", l->dir);
    launch_option(&a, "disk", "%s", disk);
    launch_option(&a, "overlay", "%s/" KVM_OVERLAY_NAME, l->dir);
    if (l->restored) {
        launch_option(&a, "restore", "%s", snapshot);
        if (l->handed)
            launch_arg(&a, "--handed");
        launch_keep_snapshot(l, snapshot);
    } else {
        launch_boot(l, &a);
    }
    if (l->disk_bps > 0)
        launch_option(&a, "disk-bps", "%u", l->disk_bps);
    if (l->disk_iops > 0)
        launch_option(&a, "disk-iops", "%u", l->disk_iops);
    if (l->restored)
        launch_option(&a, "share-after", "%u", l->share_after_s);
    if (l->record)
        launch_arg(&a, "--record");
    if (cgroup_dirs != NULL)
        launch_option(&a, "cgroup", "%s", cgroup_dirs);
    else
        launch_arg(&a, "--no-cgroup"); /* this machine has none; driver.c has said so */
    if (l->uid != 0) {
        launch_option(&a, "uid", "%u", l->uid);
        launch_option(&a, "gid", "%u", l->uid);
    }
    helper_argv_free(l->argv);
    l->argv = a.argv;
    return a.failed ? error_set_errno(err, ERROR_SANDBOX_FAILED, -ENOMEM, "arguments") : 0;
}

int kvm_launch_prepare(struct kvm_launch *l, struct error *err)
{
    cleanup_free char *cgroup_dirs = NULL;
    if (l->template_dir == NULL && !kvm_launch_must_restore(l))
        return error_set(err, ERROR_SANDBOX_FAILED, "no template is named");
    int rv = launch_directory(l, err);
    if (rv == 0 && l->cgroups != NULL)
        rv = kvm_cgroup_make(l->cgroups, l->id, l->vcpus, l->memory_mb, &cgroup_dirs, err);
    return rv == 0 ? launch_argv(l, cgroup_dirs, err) : rv;
}
