/* SPDX-License-Identifier: Apache-2.0 */
/* What the doctor says of machines that are made of files. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/doctor.h"
#include "core/file.h"
#include "t.h"

static char root[] = "/tmp/test-doctor-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[256], dir[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(full, '/') - full), full);
    T_EQ(file_make_dirs(dir, 0755), 0);
    T_EQ(file_replace(full, text, strlen(text), 0644), 0);
}

/* How many points are bad; each line of `lines` must begin one that is printed. */
static unsigned int look(const char *const *lines)
{
    cleanup_buf struct buf out = {0};
    T_EQ(buf_u8(&out, '\n'), 0);
    unsigned int bad = doctor_look(root, &out);
    for (const char *const *line = lines; *line != NULL; line++) {
        char wanted[128];
        snprintf(wanted, sizeof(wanted), "\n%s", *line);
        if (strstr(buf_cstr(&out), wanted) == NULL)
            T_FAIL("'%s' is not in:%s", *line, buf_cstr(&out));
    }
    return bad;
}

static void an_empty_machine_lacks_what_must_be_there(void)
{
    static const char *const lines[] = {"slow  control groups: version 1",
                                        "weak  loop devices: ", NULL};
    T_TRUE(t_mkdtemp(root));
    T_EQ(look(lines), 2);
}

static void a_good_machine_is_told_so(void)
{
    static const char *const lines[] = {"ok    nested paging\n",
                                        "ok    nx_huge_pages\n",
                                        "ok    huge pages\n",
                                        "ok    favordynmods\n",
                                        "ok    SMT\n",
                                        "ok    KSM\n",
                                        "ok    swap\n",
                                        "ok    control groups\n",
                                        "ok    loop devices\n",
                                        "ok    user namespaces\n",
                                        NULL};
    put("/sys/module/kvm_amd/parameters/npt", "Y\n");
    put("/sys/module/kvm/parameters/nx_huge_pages", "N\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate,favordynmods 0 0\n");
    put("/sys/devices/system/cpu/smt/active", "0\n");
    put("/sys/kernel/mm/ksm/run", "0\n");
    put("/proc/swaps", "Filename Type Size Used Priority\n");
    put("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    put("/dev/loop-control", "");
    put("/proc/sys/user/max_user_namespaces", "96000\n");
    T_EQ(look(lines), 0);
}

static void each_fault_is_named(void)
{
    static const char *const lines[] = {"slow  nested paging: ",
                                        "slow  nx_huge_pages: ",
                                        "slow  huge pages: ",
                                        "slow  favordynmods: ",
                                        "slow  SMT: ",
                                        "slow  KSM: ",
                                        "slow  swap: ",
                                        "weak  user namespaces: ",
                                        NULL};
    put("/sys/module/kvm_amd/parameters/npt", "0\n");
    put("/sys/module/kvm/parameters/nx_huge_pages", "Y\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    put("/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
    put("/sys/devices/system/cpu/smt/active", "1\n");
    put("/sys/kernel/mm/ksm/run", "1\n");
    put("/proc/swaps", "Filename Type Size Used Priority\n/dev/vdb partition 1 0 -2\n");
    put("/proc/sys/user/max_user_namespaces", "0\n");
    T_EQ(look(lines), 8);
    put("/proc/swaps", "");
    put("/sys/kernel/mm/ksm/run", "");
    T_EQ(look(lines + 7), 6);
}

static void leave(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", root);
    T_EQ(system(command), 0);
}

T_MAIN(T_CASE(an_empty_machine_lacks_what_must_be_there), T_CASE(a_good_machine_is_told_so),
       T_CASE(each_fault_is_named), T_CASE(leave))
