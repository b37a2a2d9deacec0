/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the table of options, and what is derived from it. */
#include "options.h"

#include <getopt.h>

#include "base/num.h"
#include "layout.h"
#include "mem.h"

/*
 * What a guest boots with unless --cmdline says otherwise.
 *
 *   panic=-1 reboot=t      a panic reboots at once, and a reboot is a triple fault: with
 *                          hardware-reduced ACPI the kernel's own choice hangs without an exit
 *   pci=off                no bus to probe, and no error line about its absence
 *   cryptomgr.notests      the largest single gain: self-tests of ciphers take a fifth of the boot
 *   8250.nr_uarts=1        no exits for serial ports that do not exist
 *   i8042.noprobe          the keyboard controller here can do nothing but reset
 *   tsc=reliable           no watchdog that finds the clock skewed after a restore
 *   nowatchdog, psi=0, proactive compaction off
 *                          each wakes an idle guest, the last twice a second; and who stood still
 *                          for long would be told of a soft lockup
 *   transparent_hugepage=  only for programs that ask: khugepaged would copy, in every clone, what
 *                          clones share, and the snapshot's file behind it has small pages anyway
 *   page_reporting_order=  what is free is told of in blocks of 128 KiB (balloon_report): of 2 MiB,
 *                          the kernel's choice, there are few after most programs: of 19 MiB
 *                          that one had freed 6 to 10 came back
 */
#define OPTIONS_CMDLINE                                                                            \
    "console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 "             \
    "i8042.noprobe audit=0 tsc=reliable nowatchdog psi=0 "                                         \
    "sysctl.vm.compaction_proactiveness=0 transparent_hugepage=madvise "                           \
    "page_reporting.page_reporting_order=5"
#define OPTIONS_MEMORY_MB  512
#define OPTIONS_SHARE_S    10
#define OPTIONS_MAX_SHARE  86400
#define OPTIONS_MAX_MEMORY (MEM_MAX_SIZE >> 20)

enum option_kind { OPT_STR, OPT_INT, OPT_FLAG };

#define OPT(field) offsetof(struct options, field)

static const struct {
    const char *name;
    enum option_kind kind;
    size_t field; /* offset in struct options */
    int64_t max;
    const char *help;
} option_table[] = {
    {"dir", OPT_STR, OPT(dir), 0, "the sandbox's directory: control and vsock sockets (required)"},
    {"kernel", OPT_STR, OPT(kernel), 0, "bzImage or vmlinux to boot"},
    {"initrd", OPT_STR, OPT(initrd), 0, "its initramfs"},
    {"cmdline", OPT_STR, OPT(cmdline), 0, "its command line"},
    {"restore", OPT_STR, OPT(restore), 0, "directory of a snapshot to restore instead"},
    {"handed", OPT_FLAG, OPT(handed), 0,
     "with --restore: descriptors 3 and 4 are its state and memory file"},
    {"disk", OPT_STR, OPT(disk), 0, "disk image; written in place unless there is an overlay"},
    {"overlay", OPT_STR, OPT(overlay), 0, "copy-on-write file over the disk; made when absent"},
    {"disk-size", OPT_INT, OPT(disk_mb), INT32_MAX, "least size of a new overlay in MiB"},
    {"memory", OPT_INT, OPT(memory_mb), OPTIONS_MAX_MEMORY, "guest memory in MiB (512)"},
    {"vcpus", OPT_INT, OPT(vcpus), LAYOUT_MAX_VCPUS, "virtual CPUs (1)"},
    {"disk-bps", OPT_INT, OPT(disk_bps), INT32_MAX, "disk limit in bytes per second (0: none)"},
    {"disk-iops", OPT_INT, OPT(disk_iops), INT32_MAX,
     "disk limit in requests per second (0: none)"},
    {"cgroup", OPT_STR, OPT(cgroup), 0, "cgroup directories to enter, separated by colons"},
    {"no-cgroup", OPT_FLAG, OPT(no_cgroup), 0, "as root: run without one all the same"},
    {"uid", OPT_INT, OPT(uid), INT32_MAX, "user id to run as"},
    {"gid", OPT_INT, OPT(gid), INT32_MAX, "group id to run as"},
    {"paused", OPT_FLAG, OPT(paused), 0, "wait for a START request before the guest runs"},
    {"detach", OPT_FLAG, OPT(detach), 0, "leave the VM running once it is ready; print its pid"},
    {"handover", OPT_FLAG, OPT(handover), 0,
     "with --detach: standard input is a socket that gets a descriptor of the VM's process"},
    {"share-after", OPT_INT, OPT(share_after_s), OPTIONS_MAX_SHARE,
     "seconds without traffic before pages that are the snapshot's are shared (10; 0: no)"},
    {"record", OPT_FLAG, OPT(record), 0,
     "allow WORKSET requests, which list the pages the guest has touched"},
    {"console", OPT_FLAG, OPT(console), 0, "copy the serial port to standard error"},
    {"no-jail", OPT_FLAG, OPT(no_jail), 0, "no namespaces and no filters: for debugging only"},
    {"help", OPT_FLAG, OPT(help), 0, "print this text"},
};

void options_usage(FILE *f)
{
    fprintf(f, "usage: corral-vmm --dir DIR (--kernel FILE | --restore DIR) --disk FILE ...\n");
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
        fprintf(f, "  --%-12s %s\n", option_table[i].name, option_table[i].help);
}

static int options_set(struct options *o, size_t i, const char *value, struct error *err)
{
    void *field = (uint8_t *)o + option_table[i].field;
    if (option_table[i].kind == OPT_FLAG)
        *(bool *)field = true;
    else if (option_table[i].kind == OPT_STR)
        *(const char **)field = value;
    else if (num_parse(value, 0, option_table[i].max, field) < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "--%s: not a number up to %lld",
                         option_table[i].name, (long long)option_table[i].max);
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct error *err)
{
    struct option longopts[ARRAY_SIZE(option_table) + 1] = {{0}};
    int index = 0;
    *o = (struct options){
        .cmdline = OPTIONS_CMDLINE,
        .memory_mb = OPTIONS_MEMORY_MB,
        .vcpus = 1,
        .share_after_s = OPTIONS_SHARE_S,
    };
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
        longopts[i].name = option_table[i].name;
        longopts[i].has_arg = option_table[i].kind != OPT_FLAG;
    }
    for (int c; (c = getopt_long(argc, argv, "", longopts, &index)) != -1;) {
        if (c != 0)
            return error_set(err, ERROR_INVALID_ARGUMENT, "see --help");
        int rv = options_set(o, (size_t)index, optarg, err);
        if (rv < 0)
            return rv;
    }
    o->extra = optind != argc;
    if (o->help || o->extra)
        return 0;
    if (o->dir == NULL || o->disk == NULL || (o->kernel == NULL) == (o->restore == NULL))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "--dir, --disk and one of --kernel and --restore are needed");
    if (o->handed && o->restore == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "--handed needs --restore");
    return 0;
}
