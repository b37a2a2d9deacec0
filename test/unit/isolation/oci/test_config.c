/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/helper.h"
#include "isolation/oci/config.h"

#include "base/json.h"

#include <errno.h>

#include "t.h"

#define ID "0a1b2c3d-0000-4000-8000-00000000abcd"

static char *const good_args[] = {"id=" ID,
                                  "dir=/s/sandboxes/" ID,
                                  "rootfs=/t/\"root\",fs:x",
                                  "guest=/g",
                                  "root=/s/oci",
                                  "runtime=runc",
                                  "images=/s/disks",
                                  "snapshot=",
                                  "vcpus=2",
                                  "memory_mb=512",
                                  "disk_mb=64",
                                  "disk_bps=1000",
                                  "disk_iops=10",
                                  "pids_max=99",
                                  "uid=0",
                                  "owner=0",
                                  "network=0",
                                  "parent=7",
                                  NULL};

static void arguments_go_there_and_back(void)
{
    struct oci_spec a = {0}, b = {0};
    struct error err = {0};
    T_EQ(oci_spec_from_argv(&a, (char **)good_args, &err), 0);
    char **argv = oci_spec_to_argv(&a, "program", "verb");
    T_STR(argv[0], "program");
    T_STR(argv[1], "verb");
    T_EQ(oci_spec_from_argv(&b, argv + 2, &err), 0);
    T_STR(b.id, ID);
    T_STR(b.rootfs, "/t/\"root\",fs:x");
    T_EQ(b.vcpus, 2);
    T_EQ(b.parent, 7);
    helper_argv_free(argv);
    oci_spec_done(&a);
    oci_spec_done(&b);
}

static void bad_arguments(void)
{
    static const struct {
        size_t index;
        const char *arg;
    } bad[] = {{0, "id=../../etc"},
               {0, "id=" ID "0"},
               {0, "id=0A1b2c3d-0000-4000-8000-00000000abcd"},
               {0, "ID=x"},
               {1, "rootfs=/x"},
               {7, "vcpus=two"},
               {8, "memory_mb=-1"},
               {12, "pids_max=4294967296"},
               {15, ""}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *args[ARRAY_SIZE(good_args)];
        struct oci_spec spec = {0};
        struct error err = {0};
        memcpy(args, good_args, sizeof(args));
        args[bad[i].index] = (char *)(uintptr_t)bad[i].arg;
        T_TRUE(oci_spec_from_argv(&spec, args, &err) < 0);
        T_TRUE(err.message[0] != '\0');
        T_TRUE(spec.id == NULL);
    }
}

static const json *at(const json *j, const char *path)
{
    char copy[128], *save = NULL;
    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *key = strtok_r(copy, ".", &save); key != NULL; key = strtok_r(NULL, ".", &save)) {
        j = cJSON_IsArray(j) ? cJSON_GetArrayItem(j, atoi(key))
                             : cJSON_GetObjectItemCaseSensitive(j, key);
        if (j == NULL)
            T_FAIL("no %s in config.json", path);
    }
    return j;
}

static json *config_on(const struct oci_host *host)
{
    struct oci_spec spec = {0};
    cleanup_buf struct buf out = {0};
    T_EQ(oci_spec_from_argv(&spec, (char **)good_args, NULL), 0);
    T_EQ(oci_config_write(&out, &spec, host), 0);
    oci_spec_done(&spec);
    struct error err = {0};
    json *j = json_parse(out.data, out.len, &err);
    if (j == NULL)
        T_FAIL("%s", err.message);
    return j;
}

static json *config(bool limit_swap)
{
    const struct oci_rootfs rootfs = {.minor = 5, .path = "/s/sandboxes/" ID "/rootfs"};
    const struct oci_host host = {.limit_swap = limit_swap, .rootfs = &rootfs};
    return config_on(&host);
}

static void disk_limits(void)
{
    static const struct {
        const char *key;
        int rate;
    } limits[] = {{"throttleReadBpsDevice", 1000},
                  {"throttleWriteBpsDevice", 1000},
                  {"throttleReadIOPSDevice", 10},
                  {"throttleWriteIOPSDevice", 10}};
    cleanup_json json *j = config(true);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const json *one = cJSON_GetArrayItem(
            cJSON_GetObjectItem(at(j, "linux.resources.blockIO"), limits[i].key), 0);
        T_EQ(at(one, "major")->valuedouble, 7);
        T_EQ(at(one, "minor")->valuedouble, 5);
        T_EQ(at(one, "rate")->valuedouble, limits[i].rate);
    }
    const struct oci_rootfs no_disk = {.minor = -1};
    const struct oci_host none = {.rootfs = &no_disk};
    cleanup_json json *k = config_on(&none);
    T_TRUE(cJSON_GetObjectItem(at(k, "linux.resources"), "blockIO") == NULL);
}

static void limits(void)
{
    cleanup_json json *j = config(true);
    T_EQ(at(j, "linux.resources.memory.limit")->valuedouble, 512 << 20);
    T_EQ(at(j, "linux.resources.memory.swap")->valuedouble, 512 << 20);
    T_EQ(at(j, "linux.resources.cpu.quota")->valuedouble, 200000);
    T_EQ(at(j, "linux.resources.cpu.period")->valuedouble, 100000);
    T_EQ(at(j, "linux.resources.pids.limit")->valuedouble, 99);
    T_TRUE(cJSON_IsFalse(at(j, "linux.resources.devices.0.allow")));
    T_EQ(cJSON_GetArraySize(at(j, "linux.resources.devices")), 1);
    cleanup_json json *k = config(false);
    T_TRUE(cJSON_GetObjectItem(at(k, "linux.resources.memory"), "swap") == NULL);
}

static void walls(void)
{
    cleanup_json json *j = config(true);
    T_STR(at(j, "root.path")->valuestring, "/s/sandboxes/" ID "/rootfs");
    T_EQ(at(j, "process.oomScoreAdj")->valuedouble, 100); /* above the server's, below users' */
    T_STR(at(j, "hostname")->valuestring, "0a1b2c3d");
    T_STR(at(j, "linux.cgroupsPath")->valuestring, "/corral-" ID);
    T_TRUE(cJSON_IsTrue(at(j, "process.noNewPrivileges")));
    T_TRUE(cJSON_IsFalse(at(j, "process.terminal")));
    T_EQ(cJSON_GetArraySize(at(j, "linux.namespaces")), 6);
    T_STR(at(j, "mounts.5.destination")->valuestring, OCI_AGENT_DIR);
    T_STR(at(j, "mounts.5.source")->valuestring, "/g");
    T_STR(at(j, "mounts.5.options.1")->valuestring, "ro");
    const struct oci_rootfs rootfs = {.minor = -1};
    const struct oci_host own = {.rootfs = &rootfs, .users = "/proc/1/ns/user"};
    cleanup_json json *k = config_on(&own); /* its root is nobody outside: sudo may work */
    T_TRUE(cJSON_IsFalse(at(k, "process.noNewPrivileges")));
}

/* Default deny, and nothing in the list twice or that must not be there. */
static void system_calls(void)
{
    static const char *const never[] = {"mount",
                                        "umount2",
                                        "pivot_root",
                                        "chroot",
                                        "unshare",
                                        "setns",
                                        "ptrace",
                                        "bpf",
                                        "keyctl",
                                        "add_key",
                                        "request_key",
                                        "perf_event_open",
                                        "reboot",
                                        "swapon",
                                        "init_module",
                                        "finit_module",
                                        "delete_module",
                                        "kexec_load",
                                        "syslog",
                                        "iopl",
                                        "ioperm",
                                        "userfaultfd",
                                        "io_uring_setup",
                                        "io_uring_enter",
                                        "settimeofday",
                                        "clock_settime",
                                        "open_by_handle_at",
                                        "process_vm_readv",
                                        "process_vm_writev",
                                        "kcmp",
                                        "pidfd_getfd",
                                        "fsopen",
                                        "fsmount",
                                        "move_mount",
                                        "open_tree",
                                        "mount_setattr",
                                        "quotactl",
                                        "acct",
                                        "lookup_dcookie",
                                        "vhangup",
                                        "kexec_file_load",
                                        "io_uring_register",
                                        "modify_ldt",
                                        "uselib",
                                        "nfsservctl"};
    cleanup_json json *j = config(true);
    T_STR(at(j, "linux.seccomp.defaultAction")->valuestring, "SCMP_ACT_ERRNO");
    T_EQ(at(j, "linux.seccomp.defaultErrnoRet")->valuedouble, EPERM);
    const char *seen[600];
    size_t n = 0;
    const json *rule = NULL, *name = NULL;
    cJSON_ArrayForEach(rule, at(j, "linux.seccomp.syscalls"))
    {
        bool has_args = cJSON_GetObjectItem(rule, "args") != NULL;
        cJSON_ArrayForEach(name, at(rule, "names"))
        {
            for (size_t i = 0; i < ARRAY_SIZE(never); i++)
                T_TRUE(strcmp(name->valuestring, never[i]) != 0);
            for (size_t i = 0; i < n; i++) {
                if (strcmp(name->valuestring, seen[i]) == 0)
                    T_FAIL("%s is in the list twice", seen[i]);
            }
            T_TRUE(n < ARRAY_SIZE(seen));
            if (!has_args)
                seen[n++] = name->valuestring;
        }
    }
    T_TRUE(n > 250);
}

T_MAIN(T_CASE(arguments_go_there_and_back), T_CASE(bad_arguments), T_CASE(limits),
       T_CASE(disk_limits), T_CASE(walls), T_CASE(system_calls))
