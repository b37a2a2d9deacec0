/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of corral-init that need no microVM: copying and emptying trees, reading ext4. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "init/grow.h"
#include "init/tree.h"
#include "t.h"

static int sh(const char *command)
{
    return system(command);
}

static void a_tree_is_copied_with_modes_and_times(void)
{
    T_EQ(sh("rm -rf /tmp/test-boot && mkdir -p /tmp/test-boot/a/deep/er /tmp/test-boot/b &&"
            "cd /tmp/test-boot/a && echo one >one && head -c 3000000 /dev/urandom >deep/er/big &&"
            "chmod 755 one && chmod 700 deep && touch -d @1000000 one"),
         0);
    T_EQ(tree_copy("/tmp/test-boot/a", "/tmp/test-boot/b"), 0);
    T_EQ(sh("cd /tmp/test-boot && diff -r a b && test \"$(stat -c '%a %Y' b/one)\" = '755 1000000'"
            " && test \"$(stat -c %a b/deep)\" = 700"),
         0);
    T_EQ(tree_copy("/tmp/test-boot/a", "/tmp/test-boot/b"), -EEXIST);
}

static void a_tree_with_anything_else_is_refused(void)
{
    T_EQ(sh("rm -rf /tmp/test-boot/b && mkdir /tmp/test-boot/b && ln -s one /tmp/test-boot/a/link"),
         0);
    T_EQ(tree_copy("/tmp/test-boot/a", "/tmp/test-boot/b"), -EINVAL);
    T_EQ(tree_copy("/tmp/test-boot/nothing", "/tmp/test-boot/b"), -ENOENT);
}

static void a_tree_is_emptied(void)
{
    T_EQ(sh("ln -s /etc /tmp/test-boot/a/deep/etc && ls /etc/passwd >/dev/null"), 0);
    tree_remove_contents("/tmp/test-boot");
    T_EQ(sh("test -z \"$(ls -A /tmp/test-boot)\" && test -e /etc/passwd"), 0);
    T_EQ(rmdir("/tmp/test-boot"), 0);
    tree_remove_contents("/tmp/test-boot"); /* not there: nothing to do */
}

/* The superblock that mke2fs writes. */
static bool superblock_of(const char *arguments, uint8_t sb[1024])
{
    char command[256];
    (void)snprintf(command, sizeof(command),
                   "rm -f /tmp/test-boot.img && PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 %s "
                   "/tmp/test-boot.img 100M 2>/dev/null >&2",
                   arguments);
    if (sh(command) != 0)
        return false;
    cleanup_close int fd = open("/tmp/test-boot.img", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && pread(fd, sb, 1024, 1024) == 1024;
    (void)unlink("/tmp/test-boot.img");
    return ok;
}

static void an_ext4_tells_its_size(void)
{
    uint8_t sb[1024];
    uint64_t blocks = 0;
    uint32_t size = 0;
    if (!superblock_of("-b 4096", sb))
        T_SKIP("mke2fs is missing");
    T_EQ(grow_read_superblock(sb, &blocks, &size), 0);
    T_EQ(blocks, 25600);
    T_EQ(size, 4096);
    T_TRUE(superblock_of("-b 1024", sb));
    T_EQ(grow_read_superblock(sb, &blocks, &size), 0);
    T_EQ(blocks, 102400);
    T_EQ(size, 1024);
    sb[0x18] = 7;
    T_EQ(grow_read_superblock(sb, &blocks, &size), -EINVAL);
    sb[0x18] = 0;
    sb[0x38] = 0;
    T_EQ(grow_read_superblock(sb, &blocks, &size), -EINVAL);
}

static void a_large_ext4_needs_64_bits(void)
{
    uint8_t sb[1024] = {[0x38] = 0x53, [0x39] = 0xef, [0x18] = 2, [0x60] = 0x80};
    uint64_t blocks = 0;
    uint32_t size = 0;
    sb[0x04] = 1;
    sb[0x150] = 3;
    T_EQ(grow_read_superblock(sb, &blocks, &size), 0);
    T_TRUE(blocks == (3ull << 32) + 1);
    sb[0x60] = 0; /* then the upper half means nothing */
    T_EQ(grow_read_superblock(sb, &blocks, &size), 0);
    T_EQ(blocks, 1);
}

static void a_disk_that_is_none_does_not_grow(void)
{
    T_EQ(grow_ext4("/nowhere", "/"), -ENOENT);
    T_EQ(grow_ext4("/dev/null", "/"), -ENOTTY);
}

T_MAIN(T_CASE(a_tree_is_copied_with_modes_and_times), T_CASE(a_tree_with_anything_else_is_refused),
       T_CASE(a_tree_is_emptied), T_CASE(an_ext4_tells_its_size),
       T_CASE(a_large_ext4_needs_64_bits), T_CASE(a_disk_that_is_none_does_not_grow))
