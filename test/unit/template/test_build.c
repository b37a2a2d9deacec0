/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates/tools/build-kvm on a root file system of three files and a kernel that is kept already:
 * what comes out, what is made again and what is not. No network; mke2fs and cpio are the real
 * ones.
 */
#include <stdbool.h>
#include <unistd.h>

#include "t.h"

static char root[] = "/tmp/test-template-build-XXXXXX";

/* Runs a shell command with $R and $B set, and returns its status. */
static int sh(const char *command)
{
    T_EQ(setenv("R", root, 1), 0);
    T_EQ(setenv("B", GUEST_TREE "/templates/tools/build-kvm", 1), 0);
    return system(command);
}

/* The first line it prints. */
static const char *line_of(const char *command)
{
    static char line[256];
    line[0] = '\0';
    (void)sh("true");
    FILE *f = popen(command, "r");
    T_TRUE(f != NULL);
    (void)!fgets(line, sizeof(line), f);
    (void)pclose(f);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void set_up(void)
{
    T_TRUE(t_mkdtemp(root));
    if (geteuid() != 0)
        T_SKIP("building a template needs root");
    if (sh("PATH=$PATH:/usr/sbin:/sbin; for p in mmdebstrap mke2fs debugfs cpio modinfo xz; do"
           " command -v $p || exit 1; done >/dev/null") != 0)
        T_SKIP("a tool that templates are built with is missing");
    T_EQ(sh("mkdir -p $R/t/rootfs/etc $R/t/rootfs/opt/corral $R/k/trixie/modules && cd $R &&"
            "echo box >t/rootfs/etc/hostname && chown 1000:1000 t/rootfs/etc/hostname &&"
            "printf '{\\n  \"disk_size_mb\": 64,\\n  \"built_at\": \"then\"\\n}\\n' "
            ">t/template.json &&"
            "sed -n 's/^modules=\"\\(.*\\)\"/\\1/p' $B >k/trixie/wanted &&"
            "echo image >k/trixie/vmlinuz && echo 6.0-test >k/trixie/release &&"
            "echo virtio_blk.ko >k/trixie/modules/order && echo m >k/trixie/modules/virtio_blk.ko"),
         0);
}

static void images_are_made(void)
{
    T_EQ(sh("$B $R/t --kernels $R/k 2>$R/log || { cat $R/log; exit 1; }"), 0);
    T_STR(line_of("grep -c '^phase [123]/3 ' $R/log"), "3");
    T_STR(line_of("cat $R/t/kvm/vmlinuz"), "image");
    T_STR(line_of("sed -n 's/.*\"kernel\": \"\\(.*\\)\".*/\\1/p' $R/t/kvm/kvm.json"), "6.0-test");
    T_EQ(sh("cmp -s $R/t/kvm/manifest " GUEST_TREE "/manifest"), 0);
    T_STR(line_of("ls -A $R/t/kvm | tr '\\n' ' '"),
          ".lock disk.img initrd kvm.json manifest vmlinuz ");
}

static void the_disk_is_a_sparse_ext4_of_the_root(void)
{
    T_STR(line_of("stat -c %s $R/t/kvm/disk.img"), "67108864");
    T_EQ(sh("test $(du -k $R/t/kvm/disk.img | cut -f1) -lt 8192"), 0);
    T_EQ(sh("/usr/sbin/e2fsck -fn $R/t/kvm/disk.img >/dev/null 2>&1"), 0);
    T_STR(line_of("/usr/sbin/debugfs -R 'cat /etc/hostname' $R/t/kvm/disk.img 2>/dev/null"), "box");
    T_EQ(sh("/usr/sbin/debugfs -R 'stat /etc/hostname' $R/t/kvm/disk.img 2>/dev/null |"
            " grep -q 'User:  1000   Group:  1000'"),
         0);
    T_EQ(sh("/usr/sbin/dumpe2fs -h $R/t/kvm/disk.img 2>/dev/null |"
            " grep -q '^Reserved block count:  *0$'"),
         0);
}

static void the_initramfs_has_init_modules_and_the_guest_tree(void)
{
    T_EQ(sh("mkdir $R/i && cd $R/i && cpio -id --quiet <$R/t/kvm/initrd"), 0);
    T_EQ(sh("cmp -s $R/i/init " GUEST_TREE "/corral-init && test -x $R/i/init"), 0);
    T_STR(line_of("cat $R/i/modules/order"), "virtio_blk.ko");
    T_EQ(sh("cd $R/i/opt/corral && grep -v ' corral-init$' " GUEST_TREE "/manifest |"
            " sha256sum --quiet -c -"),
         0);
    T_EQ(sh("test ! -e $R/i/opt/corral/templates && test -d $R/i/dev"), 0);
    T_STR(line_of("stat -c '%u %a' $R/i/opt/corral/corral-agent"), "0 755");
}

static void what_is_up_to_date_stays(void)
{
    T_EQ(
        sh("stat -c '%n %i' $R/t/kvm/[a-z]* >$R/inodes && touch $R/k/trixie/modules/* && sleep 1 &&"
           "$B $R/t --kernels $R/k 2>/dev/null && stat -c '%n %i' $R/t/kvm/[a-z]* |"
           " cmp - $R/inodes"),
        0);
    T_EQ(sh("stat -c %i $R/t/kvm/disk.img >$R/inode && echo new >$R/k/trixie/vmlinuz &&"
            "mkdir $R/t/kvm/snapshot && $B $R/t --kernels $R/k 2>/dev/null"),
         0);
    T_EQ(sh("test $(stat -c %i $R/t/kvm/disk.img) = $(cat $R/inode) && test -d $R/t/kvm/snapshot"),
         0);
    T_STR(line_of("cat $R/t/kvm/vmlinuz"), "new");
    T_EQ(sh("sed -i s/then/later/ $R/t/template.json && $B $R/t --kernels $R/k 2>/dev/null"), 0);
    T_EQ(sh("test $(stat -c %i $R/t/kvm/disk.img) != $(cat $R/inode)"), 0);
    T_EQ(sh("test ! -e $R/t/kvm/snapshot && grep -q later $R/t/kvm/kvm.json"), 0);
}

/* A bzImage: the header, a payload of xz at the second sector and 100 bytes, and its size. */
static void a_kernel_is_unpacked(void)
{
    T_EQ(sh("cd $R && { printf '\\177ELF' && head -c 9996 /dev/zero && echo the end; } >elf &&"
            "xz -c --check=crc32 elf >payload && s=$(stat -c %s payload) &&"
            "le() { printf \"\\\\$(printf %o $(($1 % 256)))\\\\$(printf %o $(($1 / "
            "256)))\\\\0\\\\0\"; } &&"
            "{ head -c 497 /dev/zero && printf '\\1' && head -c 16 /dev/zero && printf HdrS &&"
            "  head -c 66 /dev/zero && le 100 && le $((s + 4)) && head -c 532 /dev/zero &&"
            "  cat payload && le 10008; } >k/trixie/vmlinuz &&"
            "$B $R/t --kernels $R/k 2>$R/log || { cat $R/log; exit 1; }"),
         0);
    T_EQ(sh("cmp $R/t/kvm/vmlinux $R/elf && cmp $R/t/kvm/vmlinuz $R/k/trixie/vmlinuz &&"
            "test $(du -k $R/t/kvm/vmlinux | cut -f1) -lt 12"),
         0);
    /* One that cannot be unpacked takes the place of both. */
    T_EQ(sh("head -c 1200 $R/k/trixie/vmlinuz >$R/short && mv $R/short $R/k/trixie/vmlinuz &&"
            "$B $R/t --kernels $R/k 2>$R/log && grep -q 'stays compressed: .*cut short' $R/log &&"
            "test ! -e $R/t/kvm/vmlinux && cmp $R/t/kvm/vmlinuz $R/k/trixie/vmlinuz"),
         0);
}

static void what_cannot_be_made_leaves_nothing(void)
{
    T_TRUE(sh("$B $R/nothing 2>/dev/null") != 0);
    T_TRUE(sh("$B 2>/dev/null") != 0);
    /* 1 GiB does not fit into 64 MiB. */
    T_EQ(sh("rm -rf $R/t/kvm && truncate -s 1G $R/t/rootfs/hole && head -c 70M /dev/urandom"
            " >$R/t/rootfs/large"),
         0);
    T_TRUE(sh("$B $R/t --kernels $R/k >$R/log 2>&1") != 0);
    T_EQ(sh("grep -q 'the disk image cannot be made' $R/log && test ! -e $R/t/kvm/kvm.json &&"
            "test -z \"$(ls $R/t/kvm)\" && test ! -e $R/t/kvm/.work"),
         0);
    T_TRUE(sh("(flock 9; $B $R/t --kernels $R/k 2>$R/log || exit 1) 9>$R/t/kvm/.lock") != 0);
    T_EQ(sh("grep -q 'another build' $R/log"), 0);
}

T_MAIN(T_CASE(set_up), T_CASE(images_are_made), T_CASE(the_disk_is_a_sparse_ext4_of_the_root),
       T_CASE(the_initramfs_has_init_modules_and_the_guest_tree), T_CASE(what_is_up_to_date_stays),
       T_CASE(a_kernel_is_unpacked), T_CASE(what_cannot_be_made_leaves_nothing))
