/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - namespaces, mounts, capabilities and limits of a sandbox. */
#include "isolation/oci/config.h"

#include "base/jsonw.h"
#include "core/id.h"
#include "isolation/cgroup.h"
#include "isolation/oci/seccomp.h"
#include "isolation/oom.h"
#include "isolation/uids.h"

#include <errno.h>
#include <limits.h>
#include <linux/major.h>
#include <stdio.h>

#define CPU_PERIOD_US 100000
#define OCI_VERSION   "1.0.2"
#define SHM_OPTION    "size=65536k"

struct config_mount {
    const char *target, *type, *source;
    const char *const *options;
};

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct config_mount config_mounts[] = {
    {"/proc", "proc", "proc", LIST("nosuid", "noexec", "nodev")},
    {"/dev", "tmpfs", "tmpfs", LIST("nosuid", "noexec", "strictatime", "mode=755", "size=64k")},
    {"/dev/pts", "devpts", "devpts",
     LIST("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")},
    {"/dev/shm", "tmpfs", "shm", LIST("nosuid", "noexec", "nodev", "mode=1777", SHM_OPTION)},
    {"/sys", "sysfs", "sysfs", LIST("nosuid", "noexec", "nodev", "ro")},
};

/* The agent's; processes it starts as another user have none. */
static const char *const config_capabilities[] = {
    "CAP_CHOWN",            /* uploaded files belong to the sandbox's user */
    "CAP_DAC_OVERRIDE",     /* reads and writes files for the user, wherever they are */
    "CAP_FOWNER",           /* ... and sets their mode and times */
    "CAP_FSETID",           /* ... keeping set-group-id bits of directories */
    "CAP_KILL",             /* ends process groups of the user */
    "CAP_SETUID",           /* becomes the user */
    "CAP_SETGID",           /* ... and its groups */
    "CAP_NET_BIND_SERVICE", /* servers on port 80 of the sandbox's own loopback */
};

static const char *const config_namespaces[] = {"pid", "ipc", "uts", "mount", "cgroup"};

/* What would tell of the host and of its other guests; each reads as empty. The sandbox's own view
 * of memory and load cannot be had this way: a file over /proc/meminfo would be right once, and a
 * program that looks at it again would be told of the past. corrald(8) says so. */
static const char *const config_masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/cmdline",
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/partitions",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/proc/zoneinfo",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
};

static const char *const config_readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                              "/proc/sysrq-trigger"};

static void config_write_list(struct jsonw *w, const char *key, const char *const *list, size_t n)
{
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < n && list[i] != NULL; i++)
        jsonw_str(w, list[i]);
    jsonw_array_end(w);
}

static void config_write_mount(struct jsonw *w, const struct config_mount *m)
{
    jsonw_object(w);
    jsonw_key_str(w, "destination", m->target);
    jsonw_key_str(w, "type", m->type);
    jsonw_key_str(w, "source", m->source);
    config_write_list(w, "options", m->options, SIZE_MAX);
    jsonw_object_end(w);
}

static void config_write_net_mount(struct jsonw *w, const struct oci_spec *spec)
{
    char source[PATH_MAX];
    (void)snprintf(source, sizeof(source), "%s/" OCI_NET_DIR, spec->dir);
    const struct config_mount net = {OCI_NET_MOUNT, "bind", source,
                                     LIST("bind", "ro", "nosuid", "nodev", "noexec")};
    config_write_mount(w, &net);
}

static void config_write_mounts(struct jsonw *w, const struct oci_spec *spec)
{
    const struct config_mount agent = {OCI_AGENT_DIR, "bind", spec->guest_dir,
                                       LIST("bind", "ro", "nosuid", "nodev")};
    jsonw_key(w, "mounts");
    jsonw_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(config_mounts); i++)
        config_write_mount(w, &config_mounts[i]);
    config_write_mount(w, &agent);
    if (spec->network != 0)
        config_write_net_mount(w, spec);
    jsonw_array_end(w);
}

static void config_write_args(struct jsonw *w, const struct oci_spec *spec)
{
    char listen[16], net[32];
    (void)snprintf(listen, sizeof(listen), "fd:%d", OCI_FD_LISTEN);
    (void)snprintf(net, sizeof(net), "fd:%d,%d", OCI_FD_TUN, OCI_FD_FLOWS);
    config_write_list(w, "args",
                      LIST(OCI_AGENT, "--listen", listen, spec->network != 0 ? "--net" : NULL, net,
                           "--egress", "unix:" OCI_NET_MOUNT "/" OCI_NET_SOCKET),
                      SIZE_MAX);
}

static void config_write_process(struct jsonw *w, const struct oci_spec *spec,
                                 const struct oci_host *host)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    jsonw_key(w, "process");
    jsonw_object(w);
    jsonw_key_bool(w, "terminal", false);
    jsonw_key(w, "user");
    jsonw_object(w);
    jsonw_key_int(w, "uid", 0);
    jsonw_key_int(w, "gid", 0);
    jsonw_object_end(w);
    config_write_args(w, spec);
    config_write_list(w, "env",
                      LIST("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                           "HOME=/root", "LANG=C.UTF-8"),
                      SIZE_MAX);
    jsonw_key_str(w, "cwd", "/");
    /* Root of a user namespace is nobody outside, and the API starts commands as root, too: sudo
     * gains what the sandbox has anyway. Without the namespace its root is the host's. */
    jsonw_key_bool(w, "noNewPrivileges", host->users == NULL);
    jsonw_key_int(w, "oomScoreAdj", OOM_SCORE_AGENT);
    jsonw_key(w, "capabilities");
    jsonw_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        config_write_list(w, sets[i], config_capabilities, ARRAY_SIZE(config_capabilities));
    jsonw_object_end(w);
    jsonw_object_end(w);
}

/* Of the sandbox's own disk, in each direction. */
static void config_write_disk_limits(struct jsonw *w, const struct oci_spec *spec, int minor)
{
    const struct {
        const char *key;
        unsigned int rate;
    } limits[] = {{"throttleReadBpsDevice", spec->disk_bps},
                  {"throttleWriteBpsDevice", spec->disk_bps},
                  {"throttleReadIOPSDevice", spec->disk_iops},
                  {"throttleWriteIOPSDevice", spec->disk_iops}};
    if (minor < 0 || (spec->disk_bps == 0 && spec->disk_iops == 0))
        return;
    jsonw_key(w, "blockIO");
    jsonw_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].rate == 0)
            continue;
        jsonw_key(w, limits[i].key);
        jsonw_array(w);
        jsonw_object(w);
        jsonw_key_int(w, "major", LOOP_MAJOR);
        jsonw_key_int(w, "minor", minor);
        jsonw_key_int(w, "rate", limits[i].rate);
        jsonw_object_end(w);
        jsonw_array_end(w);
    }
    jsonw_object_end(w);
}

static void config_write_resources(struct jsonw *w, const struct oci_spec *spec,
                                   const struct oci_host *host)
{
    int64_t memory = (int64_t)spec->memory_mb << 20;
    jsonw_key(w, "resources");
    jsonw_object(w);
    jsonw_key(w, "devices"); /* the runtime itself adds null, zero, full, random, urandom, tty */
    jsonw_array(w);
    jsonw_object(w);
    jsonw_key_bool(w, "allow", false);
    jsonw_key_str(w, "access", "rwm");
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_key(w, "memory");
    jsonw_object(w);
    jsonw_key_int(w, "limit", memory);
    if (host->limit_swap)
        jsonw_key_int(w, "swap", memory); /* memory and swap together: no swap */
    jsonw_object_end(w);
    jsonw_key(w, "cpu");
    jsonw_object(w);
    jsonw_key_int(w, "period", CPU_PERIOD_US);
    jsonw_key_int(w, "quota", (int64_t)spec->vcpus * CPU_PERIOD_US);
    jsonw_object_end(w);
    jsonw_key(w, "pids");
    jsonw_object(w);
    jsonw_key_int(w, "limit", spec->pids_max);
    jsonw_object_end(w);
    config_write_disk_limits(w, spec, host->rootfs->minor);
    jsonw_object_end(w);
}

static void config_write_ids(struct jsonw *w, const char *key, const struct oci_spec *spec)
{
    jsonw_key(w, key);
    jsonw_array(w);
    jsonw_object(w);
    jsonw_key_int(w, "containerID", 0);
    jsonw_key_int(w, "hostID", spec->uid);
    jsonw_key_int(w, "size", UIDS_RANGE);
    jsonw_object_end(w);
    jsonw_array_end(w);
}

/* The namespace has its map already; runtimes want to be told all the same. */
static void config_write_users(struct jsonw *w, const char *users)
{
    jsonw_object(w);
    jsonw_key_str(w, "type", "user");
    jsonw_key_str(w, "path", users);
    jsonw_object_end(w);
}

static void config_write_namespaces(struct jsonw *w, const struct oci_spec *spec,
                                    const struct oci_host *host)
{
    jsonw_key(w, "namespaces");
    jsonw_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(config_namespaces); i++) {
        jsonw_object(w);
        jsonw_key_str(w, "type", config_namespaces[i]);
        jsonw_object_end(w);
    }
    /* The launcher has made the one of a sandbox with a network, and runs in it. */
    if (spec->network == 0) {
        jsonw_object(w);
        jsonw_key_str(w, "type", "network");
        jsonw_object_end(w);
    }
    if (host->users != NULL)
        config_write_users(w, host->users);
    jsonw_array_end(w);
}

static void config_write_linux(struct jsonw *w, const struct oci_spec *spec,
                               const struct oci_host *host)
{
    char cgroup[64];
    (void)snprintf(cgroup, sizeof(cgroup), CGROUP_PATH, spec->id);
    jsonw_key(w, "linux");
    jsonw_object(w);
    jsonw_key_str(w, "cgroupsPath", cgroup);
    config_write_resources(w, spec, host);
    config_write_namespaces(w, spec, host);
    if (host->users != NULL) {
        config_write_ids(w, "uidMappings", spec);
        config_write_ids(w, "gidMappings", spec);
    }
    config_write_list(w, "maskedPaths", config_masked, ARRAY_SIZE(config_masked));
    config_write_list(w, "readonlyPaths", config_readonly, ARRAY_SIZE(config_readonly));
    jsonw_key(w, "seccomp");
    oci_seccomp_write(w);
    jsonw_object_end(w);
}

int oci_config_write(struct buf *out, const struct oci_spec *spec, const struct oci_host *host)
{
    char host_name[ID_HOST_NAME_SIZE];
    struct jsonw w = {.out = out};
    jsonw_object(&w);
    jsonw_key_str(&w, "ociVersion", OCI_VERSION);
    config_write_process(&w, spec, host);
    jsonw_key(&w, "root");
    jsonw_object(&w);
    jsonw_key_str(&w, "path", host->rootfs->path);
    jsonw_key_bool(&w, "readonly", false);
    jsonw_object_end(&w);
    jsonw_key(&w, "hostname");
    id_host_name(host_name, spec->id);
    jsonw_str(&w, host_name);
    config_write_mounts(&w, spec);
    config_write_linux(&w, spec, host);
    jsonw_object_end(&w);
    return out->failed ? -ENOMEM : 0;
}
