/* SPDX-License-Identifier: Apache-2.0 */
/* What template_kvm_state says of a template whose files are changed one by one. */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "t.h"
#include "template/images.h"

static char root[] = "/tmp/test-template-kvm-XXXXXX";
static char dir[100], guest[100];

__attribute__((format(printf, 2, 3))) static void put(const char *name, const char *format, ...)
{
    char path[200];
    va_list ap;
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    T_TRUE(f != NULL);
    va_start(ap, format);
    (void)vfprintf(f, format, ap);
    va_end(ap);
    T_EQ(fclose(f), 0);
}

static void put_template(int vcpus, int memory, int disk, const char *built_at)
{
    put("t/template.json",
        "{\"vcpu_count\": %d, \"memory_mb\": %d, \"disk_size_mb\": %d, \"built_at\": \"%s\","
        " \"languages\": [\"python\", \"bash\"]}",
        vcpus, memory, disk, built_at);
}

static void put_images(const char *kernel, const char *built_at, int disk)
{
    put("t/kvm/kvm.json",
        "{\"kernel\": \"%s\", \"guest_sha256\": \"abc\", \"rootfs_built_at\": \"%s\","
        " \"disk_size_mb\": %d}",
        kernel, built_at, disk);
}

/* A template, its images and the guest tree they were made with. */
static void set_up(void)
{
    char path[200];
    if (dir[0] == '\0') {
        T_TRUE(t_mkdtemp(root));
        (void)snprintf(dir, sizeof(dir), "%s/t", root);
        (void)snprintf(guest, sizeof(guest), "%s/guest", root);
        T_EQ(mkdir(dir, 0755), 0);
        T_EQ(mkdir(guest, 0755), 0);
        (void)snprintf(path, sizeof(path), "%s/kvm", dir);
        T_EQ(mkdir(path, 0755), 0);
        (void)snprintf(path, sizeof(path), "%s/kvm/snapshot", dir);
        T_EQ(mkdir(path, 0755), 0);
    }
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot/snapshot.json", dir);
    (void)unlink(path);
    put_template(2, 1024, 4096, "then");
    put_images("6.12", "then", 4096);
    put("t/kvm/manifest", "one  agent\n");
    put("guest/manifest", "one  agent\n");
}

static void seal(void)
{
    char path[200];
    struct error err;
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot.partial", dir);
    (void)mkdir(path, 0755);
    T_EQ(template_kvm_place(dir, path, &err), 0);
}

static void a_template_without_images(void)
{
    char path[200];
    set_up();
    (void)snprintf(path, sizeof(path), "%s/kvm/kvm.json", dir);
    T_EQ(unlink(path), 0);
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_NONE);
    put("t/kvm/kvm.json", "{\"kernel\": \"6.1");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_NONE);
    T_EQ(template_kvm_state("/nowhere", guest), TEMPLATE_KVM_NONE);
}

static void images_of_something_else_are_stale(void)
{
    set_up();
    put_template(2, 1024, 4096, "later");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_STALE);
    set_up();
    put_template(2, 1024, 8192, "then");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_STALE);
    set_up();
    put("guest/manifest", "two  agent\n");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_STALE);
    T_EQ(template_kvm_state(dir, "/nowhere"), TEMPLATE_KVM_STALE);
}

static void a_sealed_snapshot_is_warm(void)
{
    set_up();
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_COLD);
    seal();
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_WARM);
}

static void a_new_snapshot_takes_the_place_of_the_old(void)
{
    char path[200];
    set_up();
    put("t/kvm/snapshot/memory", "old");
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot.partial", dir);
    (void)mkdir(path, 0755);
    put("t/kvm/snapshot.partial/memory", "newer");
    seal();
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_WARM);
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot/memory", dir);
    T_TRUE(stat(path, &st) == 0 && st.st_size == 5);
    (void)snprintf(path, sizeof(path), "%s/kvm/snapshot.partial/memory", dir);
    T_TRUE(stat(path, &st) == 0 && st.st_size == 3);
    T_EQ(unlink(path), 0);
}

static void a_snapshot_of_something_else_is_not(void)
{
    set_up();
    seal();
    put_template(4, 1024, 4096, "then");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_COLD);
    put_template(2, 2048, 4096, "then");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_COLD);
    put_template(2, 1024, 4096, "then");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_WARM);
    put_images("6.13", "then", 4096);
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_COLD);
    put_images("6.12", "then", 4096);
    put("t/kvm/snapshot/snapshot.json", "[]");
    T_EQ(template_kvm_state(dir, guest), TEMPLATE_KVM_COLD);
}

static void the_shape_is_the_templates(void)
{
    struct template_kvm_shape shape;
    struct error err;
    set_up();
    T_EQ(template_kvm_shape(dir, &shape, &err), 0);
    T_EQ(shape.vcpus, 2);
    T_EQ(shape.memory_mb, 1024);
    T_EQ(shape.disk_mb, 4096);
    T_STR(shape.language, "python");
    put("t/template.json", "{\"vcpu_count\": 2, \"memory_mb\": 64, \"disk_size_mb\": 64}");
    T_EQ(template_kvm_shape(dir, &shape, &err), 0);
    T_STR(shape.language, "");
    put("t/template.json", "{\"vcpu_count\": 2}");
    T_TRUE(template_kvm_shape(dir, &shape, &err) < 0);
    put("t/template.json", "{}}");
    T_TRUE(template_kvm_shape(dir, &shape, &err) < 0);
}

T_MAIN(T_CASE(a_template_without_images), T_CASE(images_of_something_else_are_stale),
       T_CASE(a_sealed_snapshot_is_warm), T_CASE(a_new_snapshot_takes_the_place_of_the_old),
       T_CASE(a_snapshot_of_something_else_is_not), T_CASE(the_shape_is_the_templates))
