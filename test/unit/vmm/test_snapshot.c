/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of a machine without vCPUs, for which KVM answers every question with zeros. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/sparse.h"
#include "disk_cow.h"
#include "snapshot.h"
#include "t.h"

#define SIZE  MEM_MIN_SIZE
#define PAGES (SIZE / MEM_PAGE)
#define DISK  (1u << 20)

/* Of the linker's --wrap. */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static unsigned int syncs;
static int sync_error;

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    errno = ENOTTY;
    return _IOC_TYPE(request) == KVMIO ? 0 : -1;
}

int __wrap_fdatasync(int fd)
{
    syncs++;
    errno = sync_error;
    return sync_error != 0 ? -1 : __real_fdatasync(fd);
}

static struct vm vm;
static int image = -1, overlay = -1;
static const struct irq_line no_irq;

/* The two files of a snapshot, and the base that it needs. */
struct pair {
    int state, memory, base;
};

static int empty(void)
{
    int fd = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    T_TRUE(fd >= 0);
    return fd;
}

/* `overlay_fd`: a copy of it becomes the machine's, or it gets a new one. */
static void make_vm(int overlay_fd)
{
    memset(&vm, 0, sizeof(vm));
    T_EQ(vm_init(&vm), 0);
    if (image < 0) {
        image = empty();
        T_EQ(ftruncate(image, DISK), 0);
    }
    overlay = empty();
    T_EQ(overlay_fd >= 0 ? sparse_copy(overlay_fd, overlay) : disk_cow_format(image, overlay, DISK),
         0);
    T_EQ(disk_cow_open(fcntl(image, F_DUPFD_CLOEXEC, 3), fcntl(overlay, F_DUPFD_CLOEXEC, 3),
                       &vm.disk),
         0);
    serial_init(&vm.serial, &no_irq, -1);
    T_EQ(virtio_vsock_init(&vm.vsock, &vm.loop, -1, "vsock.sock", &vm.mem, &no_irq), 0);
    virtio_balloon_init(&vm.balloon, &vm.mem, &no_irq);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm.slot[i].dev = vm.slot[i].mmio.dev = &vm.balloon.dev;
    vm.state = CTL_STATE_PAUSED;
    vm.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_TRUE(vm.pagemap_fd >= 0);
}

static void end_vm(void)
{
    mem_done(&vm.mem);
    disk_close(vm.disk);
    (void)close(overlay);
    (void)close(vm.pagemap_fd);
    (void)close(vm.wake.fd);
    loop_done(&vm.loop);
}

static void boot(void)
{
    make_vm(-1);
    T_EQ(mem_init_new(&vm.mem, SIZE), 0);
    for (uint64_t i = 0; i < PAGES; i += 3)
        memset(vm.mem.base + i * MEM_PAGE, (int)(i % 250) + 1, MEM_PAGE);
}

static int save(enum snapshot_kind kind, struct pair *p, struct snapshot_saved *saved,
                struct error *err)
{
    *p = (struct pair){empty(), empty(), -1};
    return snapshot_save(&vm, kind, p->state, p->memory, saved, err);
}

static void close_pair(struct pair *p)
{
    (void)close(p->state);
    (void)close(p->memory);
}

/* The state file says of a machine that it has one vCPU; all else is as it was. */
static void give_it_a_vcpu(int state)
{
    uint8_t data[4096];
    cleanup_buf struct buf b = {0};
    struct state_meta meta;
    struct cursor sections;
    ssize_t n = pread(state, data, sizeof(data), 0);
    T_EQ(state_open(data, (size_t)n, &meta, &sections, NULL), 0);
    meta.vcpus = 1;
    state_start(&b);
    (void)buf_append(&b, sections.p, sections.left);
    T_EQ(state_finish(&b, &meta), 0);
    T_EQ(pwrite(state, b.data, b.len, 0), n);
}

static int restore(const struct pair *p, bool handed, int overlay_fd, struct error *err)
{
    struct snapshot_files files = {p->state, fcntl(p->memory, F_DUPFD_CLOEXEC, 3),
                                   fcntl(p->base, F_DUPFD_CLOEXEC, 3), handed};
    cleanup_snapshot struct snapshot s = {0};
    make_vm(overlay_fd);
    int rv = snapshot_open(&s, &files, vm.disk, err);
    if (rv == 0)
        rv = snapshot_map(&s, &vm, &files, err);
    if (rv < 0 || s.meta.difference)
        (void)close(files.memory_fd);
    if (files.base_fd >= 0 && (rv < 0 || !s.meta.difference))
        (void)close(files.base_fd);
    return rv;
}

/* A template's snapshot, and a machine restored from it. */
static struct pair template;
static int template_overlay;

static void restore_template(void)
{
    if (template_overlay == 0) {
        struct snapshot_saved saved;
        boot();
        T_EQ(save(SNAPSHOT_COMPLETE, &template, &saved, NULL), 0);
        T_TRUE(!saved.difference);
        T_EQ(saved.bytes, (PAGES + 2) / 3 * MEM_PAGE);
        template_overlay = empty();
        T_EQ(sparse_copy(overlay, template_overlay), 0);
        end_vm();
        give_it_a_vcpu(template.state);
    }
    T_EQ(restore(&template, false, template_overlay, NULL), 0);
}

static void write_something(void)
{
    uint8_t block[DISK_COW_BLOCK];
    struct iovec iov = {block, sizeof(block)};
    memset(block, 0x42, sizeof(block));
    T_EQ(vm.disk->ops->write(vm.disk, &iov, 1, 8192, sizeof(block)), 0);
    memset(vm.mem.base + 100 * MEM_PAGE, 0x17, 40 * MEM_PAGE);
    memset(vm.mem.base + 333 * MEM_PAGE, 0, MEM_PAGE);
}

static void expect_something(void)
{
    uint8_t block[DISK_COW_BLOCK];
    struct iovec iov = {block, sizeof(block)};
    T_EQ(vm.disk->ops->read(vm.disk, &iov, 1, 8192, sizeof(block)), 0);
    T_EQ(block[0], 0x42);
    for (uint64_t i = 0; i < PAGES; i++) {
        int want = i >= 100 && i < 140 ? 0x17 : i % 3 == 0 && i != 333 ? (int)(i % 250) + 1 : 0;
        T_EQ(vm.mem.base[i * MEM_PAGE + 17], want);
    }
}

/* A machine that was restored is saved as a difference, and so is what is restored from that; each
 * needs the template's memory and its own. */
static void a_difference_is_restored(void)
{
    struct snapshot_saved saved;
    struct pair first, second;
    restore_template();
    write_something();
    T_EQ(save(SNAPSHOT_DIFFERENCE, &first, &saved, NULL), 0);
    T_TRUE(saved.difference);
    T_EQ(saved.bytes, 40 * MEM_PAGE);
    give_it_a_vcpu(first.state);
    int copy = empty();
    T_EQ(sparse_copy(overlay, copy), 0);
    end_vm();
    first.base = template.memory;
    T_EQ(restore(&first, false, copy, NULL), 0);
    expect_something();
    T_EQ(save(SNAPSHOT_DIFFERENCE, &second, &saved, NULL), 0);
    T_TRUE(saved.difference);
    T_EQ(saved.bytes, 40 * MEM_PAGE);
    give_it_a_vcpu(second.state);
    T_EQ(ftruncate(copy, 0), 0);
    T_EQ(sparse_copy(overlay, copy), 0);
    end_vm();
    close_pair(&first);
    second.base = template.memory;
    T_EQ(restore(&second, false, copy, NULL), 0);
    expect_something();
    end_vm();
    close_pair(&second);
    close(copy);
}

/* It waits for no disk, and the overlay can be copied all the same. */
static void a_fork_is_restored(void)
{
    struct snapshot_saved saved;
    struct pair p;
    restore_template();
    write_something();
    syncs = 0;
    T_EQ(save(SNAPSHOT_FORK, &p, &saved, NULL), 0);
    T_TRUE(saved.difference);
    T_EQ(syncs, 0);
    give_it_a_vcpu(p.state);
    int copy = empty();
    T_EQ(sparse_copy(overlay, copy), 0);
    end_vm();
    T_EQ(fcntl(p.memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
    p.base = template.memory;
    T_EQ(restore(&p, true, copy, NULL), 0);
    expect_something();
    T_EQ(mem_origin(&vm.mem, 110), MEM_LAID);
    end_vm();
    close_pair(&p);
    close(copy);
}

static uint64_t blocks(int fd)
{
    struct stat st;
    T_EQ(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* The guest writes on between the room and the fork, and takes less or more than there is. */
static void a_fork_uses_the_room_made_for_it(void)
{
    for (uint64_t late = 0; late < 100; late += 50) {
        struct snapshot_saved saved;
        struct pair p = {empty(), empty(), template.memory};
        restore_template();
        write_something();
        memset(vm.mem.base + 200 * MEM_PAGE, 1, 30 * MEM_PAGE);
        snapshot_make_room(&vm, p.memory);
        T_TRUE(vm.room.at != NULL && vm.room.len > 70 * MEM_PAGE);
        T_EQ(blocks(p.memory), vm.room.len);
        T_EQ(mem_zap(&vm.mem, vm.mem.base + 200 * MEM_PAGE, 30 * MEM_PAGE), 0);
        memset(vm.mem.base + 400 * MEM_PAGE, 2, late * MEM_PAGE);
        T_EQ(snapshot_save(&vm, SNAPSHOT_FORK, p.state, p.memory, &saved, NULL), 0);
        T_EQ(saved.bytes, (40 + late) * MEM_PAGE);
        T_TRUE(fcntl(p.memory, F_ADD_SEALS, F_SEAL_WRITE) < 0);
        snapshot_drop_room(&vm);
        T_TRUE(saved.length <= (uint64_t)lseek(p.memory, 0, SEEK_END));
        T_EQ(ftruncate(p.memory, (off_t)saved.length), 0);
        T_EQ(blocks(p.memory), saved.length);
        give_it_a_vcpu(p.state);
        int copy = empty();
        T_EQ(sparse_copy(overlay, copy), 0);
        end_vm();
        T_EQ(fcntl(p.memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
        T_EQ(restore(&p, true, copy, NULL), 0);
        for (uint64_t i = 0; i < late; i++)
            T_EQ(vm.mem.base[(400 + i) * MEM_PAGE + 9], 2);
        T_EQ(vm.mem.base[100 * MEM_PAGE], 0x17);
        T_EQ(vm.mem.base[201 * MEM_PAGE], 0);
        end_vm();
        close_pair(&p);
        close(copy);
    }
}

/* There is none where all memory is written, and none where it cannot be. */
static void room_is_no_need(void)
{
    struct snapshot_saved saved;
    struct pair p;
    boot();
    T_EQ(save(SNAPSHOT_FORK, &p, &saved, NULL), 0);
    int fd = empty();
    snapshot_make_room(&vm, fd);
    T_TRUE(vm.room.at == NULL && vm.room.len == 0);
    T_EQ(blocks(fd), 0);
    end_vm();
    restore_template();
    write_something();
    T_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_WRITE), 0);
    snapshot_make_room(&vm, fd);
    T_TRUE(vm.room.at == NULL && vm.room.len == 0);
    end_vm();
    close_pair(&p);
    close(fd);
}

/* A flush after a fork still has the map to write. */
static void a_flush_after_a_fork_is_a_flush(void)
{
    struct snapshot_saved saved;
    struct pair p;
    restore_template();
    write_something();
    T_EQ(save(SNAPSHOT_FORK, &p, &saved, NULL), 0);
    syncs = 0;
    T_EQ(vm.disk->ops->flush(vm.disk), 0);
    T_EQ(syncs, 2);
    end_vm();
    close_pair(&p);
}

/* A machine that was booted has no base; neither has one whose complete memory is a fork's. */
static void without_a_base_it_is_complete(void)
{
    struct snapshot_saved saved;
    struct pair p, q;
    boot();
    T_EQ(save(SNAPSHOT_FORK, &p, &saved, NULL), 0);
    T_TRUE(!saved.difference);
    int copy = empty();
    T_EQ(sparse_copy(overlay, copy), 0);
    end_vm();
    give_it_a_vcpu(p.state);
    T_EQ(restore(&p, true, copy, NULL), 0);
    T_EQ(save(SNAPSHOT_DIFFERENCE, &q, &saved, NULL), 0);
    T_TRUE(!saved.difference);
    end_vm();
    close_pair(&p);
    close_pair(&q);
    close(copy);
}

static int copy_with_date(int fd, int64_t later)
{
    struct stat st;
    int copy = empty();
    T_EQ(fstat(fd, &st), 0);
    T_EQ(sparse_copy(fd, copy), 0);
    struct timespec times[] = {st.st_atim, st.st_mtim};
    times[1].tv_nsec ^= later;
    T_EQ(futimens(copy, times), 0);
    return copy;
}

static void a_wrong_base_is_refused(void)
{
    struct snapshot_saved saved;
    struct pair p, other;
    struct error err;
    restore_template();
    write_something();
    T_EQ(save(SNAPSHOT_DIFFERENCE, &p, &saved, NULL), 0);
    give_it_a_vcpu(p.state);
    int copy = empty();
    T_EQ(sparse_copy(overlay, copy), 0);
    end_vm();
    boot();
    T_EQ(save(SNAPSHOT_COMPLETE, &other, &saved, NULL), 0);
    end_vm();
    int cut = copy_with_date(template.memory, 0);
    T_EQ(ftruncate(cut, (off_t)SIZE), 0);
    const struct {
        int base;
        const char *message;
    } cases[] = {
        {-1, "the snapshot is a difference, and its base is missing"},
        {other.memory, "the memory file belongs to another snapshot"},
        {p.memory, "the base is damaged or cut short"},
        {cut, "the base is damaged or cut short"},
        {copy_with_date(template.memory, 1), "the base was written to after the snapshot"},
        {copy_with_date(template.memory, 0), NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        p.base = cases[i].base;
        T_EQ(restore(&p, false, copy, &err), cases[i].message != NULL ? -EINVAL : 0);
        if (cases[i].message != NULL)
            T_STR(err.message, cases[i].message);
        end_vm();
        if (i > 2)
            close(p.base);
    }
    close_pair(&other);
    close_pair(&p);
    close(copy);
}

/* The base is a file that others can reach: what is saved against another one is worth nothing. */
static void a_base_that_changed_is_noticed(void)
{
    struct snapshot_saved saved;
    struct pair p;
    struct stat st;
    restore_template();
    T_EQ(fstat(vm.mem.fd, &st), 0);
    vm.base.mtime--;
    T_TRUE(save(SNAPSHOT_DIFFERENCE, &p, &saved, NULL) < 0);
    T_EQ(fstat(p.state, &st), 0);
    T_EQ(st.st_size, 0);
    close_pair(&p);
    end_vm();
}

/* Whatever fails, there is no state file, which is what a snapshot begins with; and the machine is
 * as it was. */
static void a_failure_leaves_no_snapshot(void)
{
    static const enum snapshot_kind kinds[] = {SNAPSHOT_COMPLETE, SNAPSHOT_DIFFERENCE,
                                               SNAPSHOT_FORK};
    struct snapshot_saved saved;
    struct rlimit old, full;
    struct pair p;
    struct stat st;
    T_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    restore_template();
    write_something();
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct error err = {0};
        T_EQ(vm.disk->ops->flush(vm.disk), 0);
        full = (struct rlimit){30 * MEM_PAGE, old.rlim_max};
        T_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
        T_EQ(save(kinds[i], &p, &saved, &err), -EFBIG);
        T_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
        T_EQ(err.code, ERROR_NO_SPACE);
        T_EQ(fstat(p.state, &st), 0);
        T_EQ(st.st_size, 0);
        close_pair(&p);
    }
    T_EQ(save(SNAPSHOT_DIFFERENCE, &p, &saved, NULL), 0);
    close_pair(&p);
    sync_error = EIO;
    T_EQ(save(SNAPSHOT_DIFFERENCE, &p, &saved, NULL), -EIO);
    sync_error = 0;
    T_EQ(fstat(p.state, &st), 0);
    T_EQ(st.st_size, 0);
    close_pair(&p);
    end_vm();
}

T_MAIN(T_CASE(a_difference_is_restored), T_CASE(a_fork_is_restored),
       T_CASE(a_fork_uses_the_room_made_for_it), T_CASE(room_is_no_need),
       T_CASE(a_flush_after_a_fork_is_a_flush), T_CASE(without_a_base_it_is_complete),
       T_CASE(a_wrong_base_is_refused), T_CASE(a_base_that_changed_is_noticed),
       T_CASE(a_failure_leaves_no_snapshot))
