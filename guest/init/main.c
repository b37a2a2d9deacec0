/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corral-init - /init of a microVM's initramfs: from the kernel's first user process to the agent.
 *
 * The initramfs has /modules/order (a module's file name per line, in loading order), the modules,
 * and the guest tree at /opt/corral. The disk gets the guest tree as a small read-only file system
 * of its own, so that no image depends on it.
 *
 * The happy path is: mount /dev, load the modules, wait for the disk and mount it, grow its file
 * system, copy the guest tree, make the disk the root, execute the agent as the same process 1.
 * Possible failure modes are: a module that does not load, no disk within DISK_WAIT_MS, a disk
 * without an ext4, a root without /opt/corral. Each ends in one line on the console and a
 * power-off, which the VMM reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/base.h"
#include "init/grow.h"
#include "init/tree.h"

#define DISK         "/dev/vda"
#define DISK_WAIT_MS 30000
#define DISK_STEP_MS 2
#define NEW_ROOT     "/newroot"
#define GUEST_DIR    "/opt/corral"
#define GUEST_SIZE   "size=32m,nr_inodes=1024,mode=0755"
#define AGENT        GUEST_DIR "/corral-agent"

static const char agent[] = AGENT;
static const char *const agent_argv[] = {agent,      "--listen", "vsock:1024", "--net",
                                         "tun:eth0", "--egress", "vsock:1025", NULL};

__attribute__((format(printf, 1, 2))) static _Noreturn void init_fail(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)fprintf(stderr, "corral-init: ");
    (void)vfprintf(stderr, format, ap);
    (void)fprintf(stderr, "\n");
    va_end(ap);
    sync();
    (void)reboot(RB_POWER_OFF);
    _exit(1); /* the end of process 1 is a panic, which the VMM sees as well */
}

static void init_mount(const char *type, const char *target, unsigned long flags, const char *data)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        init_fail("cannot make %s: %s", target, strerror(errno));
    if (mount(type, target, type, flags, data) < 0)
        init_fail("cannot mount %s: %s", target, strerror(errno));
}

static void init_module(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "/modules/%s", name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        init_fail("the module %s does not load: %s", name, strerror(errno));
}

static void init_modules(void)
{
    char name[128];
    FILE *order = fopen("/modules/order", "re");
    if (order == NULL)
        init_fail("there is no /modules/order");
    while (fgets(name, sizeof(name), order) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        init_module(name);
    }
    (void)fclose(order);
}

/* The driver finds the disk some time after its module is loaded. */
static void init_disk(void)
{
    const struct timespec step = {.tv_nsec = DISK_STEP_MS * 1000000L};
    for (int waited = 0; access(DISK, F_OK) < 0; waited += DISK_STEP_MS) {
        if (waited >= DISK_WAIT_MS)
            init_fail("there is no disk after %d s", DISK_WAIT_MS / 1000);
        (void)nanosleep(&step, NULL);
    }
    if (mkdir(NEW_ROOT, 0755) < 0 && errno != EEXIST)
        init_fail("cannot make " NEW_ROOT ": %s", strerror(errno));
    /* The inode tables that mke2fs did not write read as zeros. To initialise them in the
     * background would only fill the overlay of every sandbox. */
    if (mount(DISK, NEW_ROOT, "ext4", MS_NOATIME, "noinit_itable") < 0)
        init_fail("the disk is not a usable ext4: %s", strerror(errno));
    int rv = grow_ext4(DISK, NEW_ROOT);
    if (rv < 0)
        (void)fprintf(stderr, "corral-init: the file system does not grow, ignoring: %s\n",
                      strerror(-rv));
}

static void init_guest_dir(void)
{
    if (mount("corral", NEW_ROOT GUEST_DIR, "tmpfs", MS_NOSUID | MS_NODEV, GUEST_SIZE) < 0)
        init_fail("the disk has no usable " GUEST_DIR ": %s", strerror(errno));
    int rv = tree_copy(GUEST_DIR, NEW_ROOT GUEST_DIR);
    if (rv < 0)
        init_fail("the guest tree cannot be copied: %s", strerror(-rv));
    if (mount(NULL, NEW_ROOT GUEST_DIR, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
        0)
        init_fail("cannot make " GUEST_DIR " read-only: %s", strerror(errno));
}

static void init_switch_root(void)
{
    struct statfs fs;
    if (mount("/dev", NEW_ROOT "/dev", NULL, MS_MOVE, NULL) < 0)
        init_fail("cannot move /dev: %s", strerror(errno));
    /* Empties a file system in memory only: a start by mistake elsewhere destroys nothing. */
    if (statfs("/", &fs) < 0 || (fs.f_type != RAMFS_MAGIC && fs.f_type != TMPFS_MAGIC))
        init_fail("this is not an initramfs");
    tree_remove_contents("/");
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        init_fail("cannot switch to the disk: %s", strerror(errno));
}

int main(void)
{
    if (getpid() != 1) {
        (void)fprintf(stderr, "corral-init: this is the first program of a microVM\n");
        return 2;
    }
    init_mount("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755");
    init_modules();
    init_disk();
    init_guest_dir();
    init_switch_root();
    (void)execv(AGENT, (char *const *)agent_argv);
    init_fail("cannot start " AGENT ": %s", strerror(errno));
}
