/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images.c - is what a microVM starts from made of the template as it is now?
 *
 * Each stage leaves a file of JSON that names what it was made of: template.json the root file
 * system, kvm/kvm.json the images, kvm/snapshot/snapshot.json the snapshot. The state is found by
 * comparing each with the one before, so that a build that was cut off, or an update of the guest's
 * programs, shows without any note of what happened.
 */
#include "template/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/json.h"
#include "base/jsonw.h"
#include "core/file.h"

#define KVM_PATH_SIZE 4096
#define KVM_JSON_MAX  65536

#define KVM_IMAGES_FILE   "kvm/kvm.json"
#define KVM_SNAPSHOT_FILE "kvm/snapshot/snapshot.json"

static json *kvm_read(const char *dir, const char *name, struct error *err)
{
    char path[KVM_PATH_SIZE];
    cleanup_buf struct buf text = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int rv = file_read(path, KVM_JSON_MAX, &text);
    if (rv < 0) {
        (void)error_set_errno(err, ERROR_INTERNAL, rv, "%s", path);
        return NULL;
    }
    return json_parse_object(text.data, text.len, err);
}

static const char *kvm_str(const json *j, const char *key)
{
    struct error ignored;
    const char *value = NULL;
    return json_get_str(j, key, "", &value, &ignored) == 0 ? value : "";
}

static int64_t kvm_int(const json *j, const char *key)
{
    struct error ignored;
    int64_t value = 0;
    return json_get_int(j, key, 0, 0, INT32_MAX, &value, &ignored) == 0 ? value : 0;
}

/* A value that is missing is equal to nothing, so a file that was damaged means a new build. */
static bool kvm_same_str(const json *a, const char *a_key, const json *b, const char *b_key)
{
    return kvm_str(a, a_key)[0] != '\0' && strcmp(kvm_str(a, a_key), kvm_str(b, b_key)) == 0;
}

static bool kvm_same_int(const json *a, const char *a_key, const json *b, const char *b_key)
{
    return kvm_int(a, a_key) > 0 && kvm_int(a, a_key) == kvm_int(b, b_key);
}

/* The manifest that the initramfs was made of is that of the guest tree. */
static bool kvm_same_manifest(const char *dir, const char *guest_dir)
{
    char path[KVM_PATH_SIZE];
    cleanup_buf struct buf made = {0}, now = {0};
    (void)snprintf(path, sizeof(path), "%s/kvm/manifest", dir);
    if (file_read(path, KVM_JSON_MAX, &made) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "%s/manifest", guest_dir);
    if (file_read(path, KVM_JSON_MAX, &now) < 0)
        return false;
    return made.len == now.len && memcmp(made.data, now.data, now.len) == 0;
}

enum template_kvm template_kvm_state(const char *dir, const char *guest_dir)
{
    struct error ignored;
    cleanup_json json *template = kvm_read(dir, "template.json", &ignored);
    cleanup_json json *images = kvm_read(dir, KVM_IMAGES_FILE, &ignored);
    if (template == NULL || images == NULL)
        return TEMPLATE_KVM_NONE;
    if (!kvm_same_str(images, "rootfs_built_at", template, "built_at") ||
        !kvm_same_int(images, "disk_size_mb", template, "disk_size_mb") ||
        !kvm_same_manifest(dir, guest_dir))
        return TEMPLATE_KVM_STALE;
    cleanup_json json *snapshot = kvm_read(dir, KVM_SNAPSHOT_FILE, &ignored);
    if (snapshot == NULL || !kvm_same_str(snapshot, "kernel", images, "kernel") ||
        !kvm_same_str(snapshot, "guest_sha256", images, "guest_sha256") ||
        !kvm_same_str(snapshot, "rootfs_built_at", images, "rootfs_built_at") ||
        !kvm_same_int(snapshot, "vcpus", template, "vcpu_count") ||
        !kvm_same_int(snapshot, "memory_mb", template, "memory_mb") ||
        !kvm_same_int(snapshot, "disk_mb", template, "disk_size_mb"))
        return TEMPLATE_KVM_COLD;
    return TEMPLATE_KVM_WARM;
}

const char *template_kvm_str(enum template_kvm state)
{
    static const char *const names[] = {
        [TEMPLATE_KVM_NONE] = "it has no disk image and kernel",
        [TEMPLATE_KVM_STALE] = "its images are of another root file system or guest tree",
        [TEMPLATE_KVM_COLD] = "it has no snapshot of these images",
        [TEMPLATE_KVM_WARM] = "it is up to date",
    };
    return names[state];
}

int template_kvm_shape(const char *dir, struct template_kvm_shape *ret, struct error *err)
{
    cleanup_json json *template = kvm_read(dir, "template.json", err);
    char **languages = NULL;
    if (template == NULL)
        return -EINVAL;
    *ret = (struct template_kvm_shape){.vcpus = (unsigned int)kvm_int(template, "vcpu_count"),
                                       .memory_mb = (unsigned int)kvm_int(template, "memory_mb"),
                                       .disk_mb = (unsigned int)kvm_int(template, "disk_size_mb")};
    if (ret->vcpus == 0 || ret->memory_mb == 0 || ret->disk_mb == 0)
        return error_set(err, ERROR_INTERNAL, "%s/template.json has no sizes", dir);
    if (json_get_str_list(template, "languages", &languages, err) < 0)
        return -EINVAL;
    if (languages != NULL && languages[0] != NULL)
        (void)snprintf(ret->language, sizeof(ret->language), "%s", languages[0]);
    free(languages);
    return 0;
}

int template_kvm_lock(const char *dir, struct error *err)
{
    char path[KVM_PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/kvm/.lock", dir);
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set_errno(err, ERROR_CONFLICT, -errno,
                               "Another build of this template is running: %s", path);
    return TAKE_FD(fd);
}

static void kvm_print_snapshot(struct buf *out, const json *template, const json *images)
{
    struct jsonw w = {.out = out};
    jsonw_object(&w);
    jsonw_key_int(&w, "vcpus", kvm_int(template, "vcpu_count"));
    jsonw_key_int(&w, "memory_mb", kvm_int(template, "memory_mb"));
    jsonw_key_int(&w, "disk_mb", kvm_int(template, "disk_size_mb"));
    jsonw_key_str(&w, "kernel", kvm_str(images, "kernel"));
    jsonw_key_str(&w, "guest_sha256", kvm_str(images, "guest_sha256"));
    jsonw_key_str(&w, "rootfs_built_at", kvm_str(images, "rootfs_built_at"));
    jsonw_object_end(&w);
    (void)buf_u8(out, '\n');
}

static int kvm_seal(const char *dir, const char *snapshot_dir, struct error *err)
{
    char path[KVM_PATH_SIZE];
    cleanup_buf struct buf text = {0};
    cleanup_json json *template = kvm_read(dir, "template.json", err);
    cleanup_json json *images = template != NULL ? kvm_read(dir, KVM_IMAGES_FILE, err) : NULL;
    if (images == NULL)
        return -EINVAL;
    kvm_print_snapshot(&text, template, images);
    (void)snprintf(path, sizeof(path), "%s/snapshot.json", snapshot_dir);
    int rv = text.failed ? -ENOMEM : file_replace(path, text.data, text.len, 0644);
    cleanup_close int fd = open(snapshot_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rv == 0 && (fd < 0 || syncfs(fd) < 0))
        rv = -errno;
    return rv < 0 ? error_set_errno(err, ERROR_INTERNAL, rv, "%s", path) : 0;
}

/* One rename: a sandbox that starts meanwhile finds a complete snapshot, the old or the new one. */
int template_kvm_place(const char *dir, const char *snapshot_dir, struct error *err)
{
    char path[KVM_PATH_SIZE];
    int rv = kvm_seal(dir, snapshot_dir, err);
    if (rv < 0)
        return rv;
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot", dir);
    if (renameat2(AT_FDCWD, snapshot_dir, AT_FDCWD, path, RENAME_EXCHANGE) < 0 &&
        (errno != ENOENT || rename(snapshot_dir, path) < 0))
        return error_set_errno(err, ERROR_INTERNAL, -errno, "%s", path);
    return 0;
}
