/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.c - a table of points, each a file of the kernel and how to read it.
 *
 * Only what has been seen to cost something is in it, and every line says what may be done. Whether
 * KVM can run a guest at all is not read from a file (isolation/kvm/probe.h).
 */
#include "cmd/doctor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "core/file.h"
#include "isolation/kvm/probe.h"

#define DOCTOR_FILE_MAX 65536

enum doctor_how {
    DOCTOR_BEGINS, /* bad when the file begins with one of the letters in `what` */
    DOCTOR_HAS,    /* bad when `what` is in the file */
    DOCTOR_LACKS,  /* bad when it is not */
    DOCTOR_LINES,  /* bad when there is a second line */
    DOCTOR_EXISTS, /* bad when the file is not there */
};

static const struct doctor_point {
    const char *name, *file;
    enum doctor_how how;
    const char *what;
    const char *word; /* what it makes of sandboxes */
    const char *advice;
} doctor_points[] = {
    {"nested paging", "/sys/module/kvm_intel/parameters/ept", DOCTOR_BEGINS, "N0", "slow",
     "KVM keeps page tables of its own for each guest, and a guest's changes in its own are exits; "
     "load kvm_intel with ept=1"},
    {"nested paging", "/sys/module/kvm_amd/parameters/npt", DOCTOR_BEGINS, "N0", "slow",
     "KVM keeps page tables of its own for each guest, and a guest's changes in its own are exits; "
     "load kvm_amd with npt=1"},
    {"nx_huge_pages", "/sys/module/kvm/parameters/nx_huge_pages", DOCTOR_BEGINS, "Y1", "slow",
     "a huge page is split when a guest runs code in it, and each microVM has a thread that undoes "
     "it: needed on processors with iTLB multihit; on others load kvm with nx_huge_pages=off"},
    {"huge pages", "/sys/kernel/mm/transparent_hugepage/enabled", DOCTOR_HAS, "[never]", "slow",
     "the memory of a guest that boots is mapped in small pieces; write madvise to "
     "/sys/kernel/mm/transparent_hugepage/enabled"},
    {"favordynmods", "/proc/mounts", DOCTOR_LACKS, "favordynmods", "slow",
     "each process that is moved into a control group waits for all processors, several times in a "
     "start; mount -o remount,favordynmods /sys/fs/cgroup"},
    {"SMT", "/sys/devices/system/cpu/smt/active", DOCTOR_BEGINS, "1", "slow",
     "two guests may share a core: each is slower beside the other, and can measure it; write off "
     "to /sys/devices/system/cpu/smt/control"},
    {"KSM", "/sys/kernel/mm/ksm/run", DOCTOR_BEGINS, "1", "slow",
     "the kernel compares pages all the time, and clones share theirs without it; write 2 to "
     "/sys/kernel/mm/ksm/run"},
    {"swap", "/proc/swaps", DOCTOR_LINES, "", "slow",
     "what an idle sandbox has in memory may be on a disk when it is wanted; swapoff -a, or swap "
     "into compressed memory"},
    {"control groups", "/sys/fs/cgroup/cgroup.controllers", DOCTOR_EXISTS, "", "slow",
     "version 1 takes a directory and a move for each controller; boot with "
     "systemd.unified_cgroup_hierarchy=1"},
    {"loop devices", "/dev/loop-control", DOCTOR_EXISTS, "", "weak",
     "a container has no disk of its own, and writes to that of the state directory; modprobe "
     "loop"},
    {"user namespaces", "/proc/sys/user/max_user_namespaces", DOCTOR_BEGINS, "0", "weak",
     "root in a container is root outside, with fewer rights; raise "
     "/proc/sys/user/max_user_namespaces"},
};

static bool doctor_is_bad(const struct doctor_point *p, const char *text)
{
    const char *line = strchr(text, '\n');
    switch (p->how) {
    case DOCTOR_BEGINS:
        return text[0] != '\0' && strchr(p->what, text[0]) != NULL;
    case DOCTOR_HAS:
        return strstr(text, p->what) != NULL;
    case DOCTOR_LACKS:
        return strstr(text, p->what) == NULL;
    case DOCTOR_LINES:
        return line != NULL && line[1] != '\0';
    case DOCTOR_EXISTS:
        break;
    }
    return false;
}

static void doctor_say(struct buf *out, const char *word, const char *name, const char *advice)
{
    (void)buf_printf(out, "%-5s %s%s%s\n", word, name, advice[0] != '\0' ? ": " : "", advice);
}

static bool doctor_point_is_bad(const struct doctor_point *p, const char *root, struct buf *out)
{
    char path[PATH_MAX];
    cleanup_buf struct buf text = {0};
    (void)snprintf(path, sizeof(path), "%s%s", root, p->file);
    if (p->how == DOCTOR_EXISTS) {
        bool there = access(path, F_OK) == 0;
        doctor_say(out, there ? "ok" : p->word, p->name, there ? "" : p->advice);
        return !there;
    }
    if (file_read(path, DOCTOR_FILE_MAX, &text) < 0 || buf_cstr(&text) == NULL)
        return false;
    bool bad = doctor_is_bad(p, (const char *)text.data);
    doctor_say(out, bad ? p->word : "ok", p->name, bad ? p->advice : "");
    return bad;
}

unsigned int doctor_look(const char *root, struct buf *out)
{
    unsigned int bad = 0;
    for (size_t i = 0; i < ARRAY_SIZE(doctor_points); i++)
        bad += doctor_point_is_bad(&doctor_points[i], root, out);
    return bad;
}

int doctor_cmd(const struct config *config, struct error *err)
{
    struct kvm_probe_result probe;
    struct error reason = {0};
    cleanup_buf struct buf out = {0};
    if (config->n_args > 1)
        return CMD_USAGE;
    bool usable = kvm_probe(&probe, &reason) == 0;
    doctor_say(&out, usable ? "ok" : "weak", "KVM",
               usable ? "" : "sandboxes are containers, a weaker wall with a cold start");
    unsigned int bad = doctor_look("", &out) + (usable ? 0 : 1);
    if (buf_cstr(&out) == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "doctor");
    printf("%s", (const char *)out.data);
    if (!usable)
        printf("KVM cannot be used here: %s\n", reason.message);
    return bad == 0 ? 0
                    : error_set(err, ERROR_UNAVAILABLE,
                                "Slower or weaker than it could be, by %u points", bad);
}
