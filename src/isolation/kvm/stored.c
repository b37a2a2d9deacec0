/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored.c - the snapshot that a VM is put away into, in its own directory.
 *
 *   stored.new   is being written; a crash may leave it
 *   stored       complete, and on the disk; one rename makes it, another takes it away
 *   stored.old   is being removed; a crash may leave it
 *
 * Whether `stored` is of use only the sandbox's record says: that of a running one is a leftover.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "isolation/kvm/internal.h"
#include "isolation/rmtree.h"

static void stored_forget(uv_work_t *work);
static void stored_on_forgotten(uv_work_t *work, int status);

static void stored_path(const struct kvm_instance *o, const char *name, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/%s", o->launch.dir, name);
}

int kvm_stored_begin(const struct kvm_instance *o)
{
    static const char *const names[] = {KVM_STORED_NEW, KVM_STORED_NAME};
    char path[PATH_MAX];
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(names); i++) {
        stored_path(o, names[i], path);
        rv = rmtree(path);
    }
    stored_path(o, KVM_STORED_OLD, path);
    (void)rmtree(path); /* it may just be going */
    return rv;
}

/* Blocks of the files that are this sandbox's alone. Those of the template have names there. */
static uint64_t stored_bytes(const char *dir)
{
    static const char *const names[] = {CTL_STATE_NAME, CTL_MEMORY_NAME, KVM_OVERLAY_NAME,
                                        KVM_BASE_NAME, KVM_DISK_NAME};
    const nlink_t own = 2; /* here, and in the VM's directory */
    char path[PATH_MAX];
    uint64_t sum = 0;
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (lstat(path, &st) == 0 && st.st_nlink <= own)
            sum += (uint64_t)st.st_blocks * 512;
    }
    return sum;
}

static int stored_sync(const char *dir)
{
    cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}

int kvm_stored_place(struct kvm_instance *o)
{
    char made[PATH_MAX], place[PATH_MAX];
    stored_path(o, KVM_STORED_NEW, made);
    stored_path(o, KVM_STORED_NAME, place);
    o->base.stored_bytes = stored_bytes(made);
    int rv = stored_sync(made);
    if (rv == 0 && rename(made, place) < 0)
        rv = -errno;
    if (rv < 0)
        return rv;
    /* The directory, and its name in the one above, which has been there for long or not. */
    stored_path(o, "..", made);
    rv = stored_sync(o->launch.dir);
    if (rv == 0)
        rv = stored_sync(made);
    if (rv < 0)
        (void)rmtree(place);
    return rv;
}

/* --- and becomes what others start from --- */

/* No start writes to any of the files, so names are all that the copy needs. Where they are links
 * to what others have, it has links to the same. */
static const struct {
    const char *name;
    bool own;    /* written for this VM; a link to its place would not outlive it */
    bool needed; /* of the others a start misses only what it needs, and says so */
} stored_files[] = {
    {CTL_STATE_NAME, .own = true, .needed = true},
    {CTL_MEMORY_NAME, .own = true, .needed = true},
    {KVM_OVERLAY_NAME, .own = true, .needed = true},
    {KVM_DISK_NAME, .needed = true},
    {KVM_BASE_NAME},
    {CTL_WORKSET_NAME},
    {CTL_WORKSET_CODE_NAME},
};

static int stored_link(const char *dir, const char *to, size_t i, struct error *err)
{
    char from[PATH_MAX], path[PATH_MAX];
    const char *name = stored_files[i].name;
    if (snprintf(from, sizeof(from), "%s/" KVM_STORED_NAME "/%s", dir, name) >= PATH_MAX ||
        snprintf(path, sizeof(path), "%s/%s", to, name) >= PATH_MAX)
        return error_set(err, ERROR_SANDBOX_FAILED, "the directory's path is too long");
    int rv = 0;
    if (!stored_files[i].own)
        rv = kvm_launch_link(from, path);
    else if (link(from, path) < 0)
        rv = -errno;
    if (rv == 0 || (rv == -ENOENT && !stored_files[i].needed))
        return 0;
    return error_set_errno(err, rv == -ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, rv, "%s",
                           from);
}

int kvm_stored_snapshot(const char *dir, const char *to, struct error *err)
{
    if (mkdir(to, 0700) < 0)
        return error_set_errno(err, errno == ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, -errno,
                               "%s", to);
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(stored_files); i++)
        rv = stored_link(dir, to, i, err);
    if (rv < 0)
        (void)rmtree(to);
    return rv;
}

/* --- and is of no use any more --- */

/* By its new name, so that the next snapshot has nothing to wait for. */
void kvm_instance_forget_stored(struct instance *instance)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    char place[PATH_MAX], old[PATH_MAX];
    stored_path(o, KVM_STORED_NAME, place);
    stored_path(o, KVM_STORED_OLD, old);
    if (o->forgetting || o->state != KVM_RUNNING)
        return; /* the next pause removes it */
    if (rename(place, old) < 0 && access(old, F_OK) < 0)
        return;
    o->forgetting = true;
    o->forget.data = o;
    ending_ref(&o->ending);
    (void)uv_queue_work(o->base.driver->loop, &o->forget, stored_forget, stored_on_forgotten);
}

static void stored_forget(uv_work_t *work)
{
    const struct kvm_instance *o = work->data;
    char path[PATH_MAX];
    stored_path(o, KVM_STORED_OLD, path);
    int rv = rmtree(path);
    if (rv < 0)
        log_warn("the snapshot of a resumed sandbox stays", "sandbox=%s errno=%d", o->launch.id,
                 -rv);
}

static void stored_on_forgotten(uv_work_t *work, int status)
{
    struct kvm_instance *o = work->data;
    (void)status;
    o->forgetting = false;
    ending_unref(&o->ending);
}
