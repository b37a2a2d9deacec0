/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - saves a paused VM into two files, and loads one from them.
 *
 * Memory is written as a whole, or, where a base is, as what differs from it (difference.h).
 *
 * Save: finish what the driver asked for (so that the interrupt is in the local APIC before it is
 * read), flush the disk, state, memory. Load: everything is checked before KVM sees it; then KVM
 * state, devices, a new generation id, a reset of all vsock connections, and the interrupt of each
 * device that the driver has not acknowledged, because an edge between two reads of the saving side
 * may be lost.
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#define SNAP_DRAIN_TURNS 64

/* Saving. */

/* A request whose answer came after the local APIC was read would be done in memory while its
 * interrupt is lost. Bounded, as the devices are; what is left over is still in the rings. */
static void snap_drain(struct vm *vm)
{
    for (int turn = 0; turn < SNAP_DRAIN_TURNS; turn++) {
        bool more = false;
        for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++) {
            /* The disk has answered all that it took (vm_pause), and takes no more now. */
            if (vm->slot[i].dev == &vm->blk.dev)
                continue;
            virtio_kick_all(vm->slot[i].dev);
            more |= vm->slot[i].dev->again != 0;
        }
        if (!more)
            return;
    }
}

/* The order is the format: state_section refuses any other. */
static int snap_save_state(struct vm *vm, struct buf *b)
{
    size_t start = state_begin(b, STATE_KVM);
    int rv = kvm_save(&vm->kvm, b);
    state_end(b, start);
    for (unsigned int i = 0; rv == 0 && i < vm->vcpus; i++) {
        start = state_begin(b, STATE_VCPU);
        rv = vcpu_save(&vm->vcpu[i], &vm->kvm, b);
        state_end(b, start);
    }
    start = state_begin(b, STATE_SERIAL);
    serial_save(&vm->serial, b);
    state_end(b, start);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++) {
        start = state_begin(b, STATE_VIRTIO);
        virtio_mmio_save(&vm->slot[i].mmio, b);
        state_end(b, start);
    }
    start = state_begin(b, STATE_BALLOON);
    virtio_balloon_save(&vm->balloon, b);
    state_end(b, start);
    start = state_begin(b, STATE_VSOCK);
    virtio_vsock_save(&vm->vsock, b);
    state_end(b, start);
    return rv;
}

static int snap_write_range(const struct vm *vm, int fd, uint64_t start, uint64_t end,
                            uint64_t *bytes)
{
    uint64_t off = start;
    while (off < end) {
        while (off < end && mem_page_is_zero(vm->mem.base + off))
            off += MEM_PAGE;
        uint64_t run = off;
        while (run < end && !mem_page_is_zero(vm->mem.base + run))
            run += MEM_PAGE;
        struct iovec iov = {vm->mem.base + off, run - off};
        int rv = run > off ? disk_fd_write(fd, &iov, 1, off, run - off) : 0;
        if (rv < 0)
            return rv;
        *bytes += run - off;
        off = run;
    }
    return 0;
}

static uint64_t snap_mtime(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* Only what is not zero, so that the file is as small as the guest's memory is empty. */
static int snap_save_memory(const struct vm *vm, int fd, struct state_meta *meta, uint64_t *bytes)
{
    uint8_t trailer[STATE_TRAILER];
    struct iovec iov = {trailer, sizeof(trailer)};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* What is not written reads as zeros only in a file that had nothing; the trailer gives it its
     * length. */
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return -EINVAL;
    int rv = snap_write_range(vm, fd, 0, vm->mem.size, bytes);
    if (rv < 0)
        return rv;
    state_make_trailer(trailer, meta);
    rv = disk_fd_write(fd, &iov, 1, vm->mem.size, sizeof(trailer));
    if (rv == 0 && fstat(fd, &st) < 0)
        rv = -errno;
    if (rv == 0)
        meta->memory_mtime = snap_mtime(&st);
    return rv;
}

/* Against the base, which must be as it was when this machine was restored from it. */
static int snap_save_difference(const struct vm *vm, int fd, bool sums,
                                const struct state_meta *meta, struct snapshot_saved *saved)
{
    struct diff_meta dm = {.memory_size = meta->memory_size};
    struct diff d;
    struct stat st;
    if (fstat(vm->mem.fd, &st) < 0)
        return -errno;
    if (snap_mtime(&st) != meta->memory_mtime)
        return -ESTALE;
    memcpy(dm.id, meta->id, sizeof(dm.id));
    memcpy(dm.base, meta->base, sizeof(dm.base));
    int rv = diff_collect(&d, &vm->mem, vm->pagemap_fd);
    if (rv == 0)
        rv = diff_write(&d, &vm->mem, fd, &vm->room, &dm, sums);
    saved->bytes = d.data_pages * MEM_PAGE;
    saved->length = diff_file_size(&d, sums);
    diff_done(&d);
    return rv;
}

/* Ties the overlay to the snapshot, and makes it one that can be copied. */
static int snap_save_disk(struct disk *d, enum snapshot_kind kind, const struct state_meta *meta)
{
    int rv = meta->overlay ? d->ops->bind(d, meta->id) : 0;
    if (rv < 0)
        return rv;
    if (kind != SNAPSHOT_FORK)
        return d->ops->flush(d);
    return d->ops->publish != NULL ? d->ops->publish(d) : 0;
}

static int snap_save_pages(const struct vm *vm, enum snapshot_kind kind, int fd,
                           struct state_meta *meta, struct snapshot_saved *saved)
{
    saved->length = vm->mem.size + STATE_TRAILER;
    if (!meta->difference)
        return snap_save_memory(vm, fd, meta, &saved->bytes);
    meta->memory_mtime = vm->base.mtime;
    memcpy(meta->base, vm->base.id, sizeof(meta->base));
    return snap_save_difference(vm, fd, kind != SNAPSHOT_FORK, meta, saved);
}

/*
 * A page of a memfd that is written for the first time costs several times what copying 4 KiB
 * costs: it is allocated, charged to a control group and put into the file's tree. Of 128 MiB, 48
 * ms went into a new memfd and 18 ms into one with room, beside 8 ms for a memcpy; in an emulated
 * host write(2) takes four times as long as a memcpy even then. So pages are made and mapped while
 * the processors run on, and only copied while they stand still. The guest changes its memory
 * meanwhile: what it writes in between has no room, and takes longer.
 */
void snapshot_make_room(struct vm *vm, int memory_fd)
{
    struct diff d;
    struct iovec last = {(void *)"", 1};
    if (!vm->base.known || vm->pagemap_fd < 0)
        return;
    int rv = diff_collect(&d, &vm->mem, vm->pagemap_fd);
    uint64_t len = rv == 0 ? diff_file_size(&d, false) : 0;
    diff_done(&d);
    if (len == 0 || disk_fd_write(memory_fd, &last, 1, len - 1, 1) < 0)
        return;
    vm->room = (struct diff_room){NULL, len};
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (p == MAP_FAILED)
        return;
    /* A page that cannot be had later would be a signal in the midst of the copy. */
    if (madvise(p, len, MADV_POPULATE_WRITE) < 0)
        (void)munmap(p, len);
    else
        vm->room.at = p;
}

void snapshot_drop_room(struct vm *vm)
{
    if (vm->room.at != NULL)
        (void)munmap(vm->room.at, vm->room.len);
    vm->room = (struct diff_room){0};
}

int snapshot_save(struct vm *vm, enum snapshot_kind kind, int state_fd, int memory_fd,
                  struct snapshot_saved *ret, struct error *err)
{
    cleanup_buf struct buf b = {0};
    struct state_meta meta = {
        .memory_size = vm->mem.size,
        .disk_size = vm->disk->size,
        .vcpus = vm->vcpus,
        .cpu = vm->cpu,
        .overlay = vm->disk->ops->bind != NULL,
        .difference = kind != SNAPSHOT_COMPLETE && vm->base.known && vm->pagemap_fd >= 0,
    };
    if (getrandom(meta.id, sizeof(meta.id), 0) != sizeof(meta.id))
        return error_set(err, ERROR_INTERNAL, "no random bytes");
    snap_drain(vm);
    int rv = snap_save_disk(vm->disk, kind, &meta);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the disk cannot be flushed");
    *ret = (struct snapshot_saved){.difference = meta.difference};
    state_start(&b);
    rv = snap_save_state(vm, &b);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the VM's state cannot be read");
    rv = snap_save_pages(vm, kind, memory_fd, &meta, ret);
    if (rv == 0)
        rv = state_finish(&b, &meta);
    struct iovec iov = {b.data, b.len};
    /* The state file comes last: a snapshot that is cut short has none. */
    if (rv == 0)
        rv = disk_fd_write(state_fd, &iov, 1, 0, b.len);
    if (rv < 0)
        return error_set_errno(err, ERROR_NO_SPACE, rv, "the snapshot cannot be written");
    return 0;
}

/* Loading. */

static int snap_read_state(int fd, struct buf *b, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > STATE_MAX_SIZE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the state file has no possible size");
    int rv = buf_reserve(b, (size_t)st.st_size);
    if (rv < 0)
        return rv;
    b->len = (size_t)st.st_size;
    struct iovec iov = {b->data, b->len};
    rv = disk_fd_read(fd, &iov, 1, 0, b->len);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the state file cannot be read");
    return 0;
}

/* The disk must be that of the moment of the snapshot: any other is a file system that changes
 * under the guest's feet. A snapshot of a machine without an overlay goes with a new one; what an
 * image without one holds is up to whoever starts the VM. */
static bool snap_disk_fits(const struct disk *d, const struct state_meta *meta)
{
    if (meta->disk_size != d->size || (meta->overlay && d->ops->bind == NULL))
        return false;
    return d->ops->bind == NULL ||
           memcmp(d->id, meta->overlay ? meta->id : disk_id_fresh, DISK_ID_SIZE) == 0;
}

static int snap_check_sizes(const struct state_meta *meta, struct error *err)
{
    if (meta->vcpus == 0 || meta->vcpus > LAYOUT_MAX_VCPUS || meta->memory_size < MEM_MIN_SIZE ||
        meta->memory_size > MEM_MAX_SIZE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the state file is damaged");
    return 0;
}

/* A complete memory file: of this snapshot, or of the base of it. */
static int snap_check_memory(int fd, const struct state_meta *meta, struct error *err)
{
    const char *what = meta->difference ? "base" : "memory file";
    uint8_t trailer[STATE_TRAILER];
    struct stat st;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != meta->memory_size + STATE_TRAILER)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the %s is damaged or cut short", what);
    struct iovec iov = {trailer, sizeof(trailer)};
    int rv = disk_fd_read(fd, &iov, 1, meta->memory_size, sizeof(trailer));
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the %s cannot be read", what);
    rv = state_check_trailer(trailer, meta, err);
    /* There are too many pages to checksum here; an unchanged date says that nobody has written to
     * them. */
    if (rv == 0 && snap_mtime(&st) != meta->memory_mtime)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the %s was written to after the snapshot",
                         what);
    return rv;
}

static int snap_open_difference(struct snapshot *s, const struct snapshot_files *f,
                                struct error *err)
{
    struct diff_meta dm = {.memory_size = s->meta.memory_size};
    if (f->base_fd < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "the snapshot is a difference, and its base is missing");
    memcpy(dm.id, s->meta.id, sizeof(dm.id));
    memcpy(dm.base, s->meta.base, sizeof(dm.base));
    int rv = snap_check_memory(f->base_fd, &s->meta, err);
    return rv == 0 ? diff_open(&s->diff, f->memory_fd, &dm, err) : rv;
}

static int snap_load_devices(struct vm *vm, struct cursor *sections)
{
    struct cursor c;
    int rv = state_section(sections, STATE_SERIAL, &c);
    if (rv == 0)
        rv = serial_load(&vm->serial, &c);
    for (size_t i = 0; rv == 0 && i < LAYOUT_VIRTIO_MAX; i++) {
        rv = state_section(sections, STATE_VIRTIO, &c);
        if (rv == 0)
            rv = virtio_mmio_load(&vm->slot[i].mmio, &c);
    }
    if (rv == 0)
        rv = state_section(sections, STATE_BALLOON, &c);
    if (rv == 0)
        rv = virtio_balloon_load(&vm->balloon, &c);
    if (rv == 0)
        rv = state_section(sections, STATE_VSOCK, &c);
    if (rv == 0)
        rv = virtio_vsock_load(&vm->vsock, &c);
    return rv == 0 && !cursor_end(sections) ? -EINVAL : rv;
}

static int snap_load_kvm(struct vm *vm, struct cursor *sections)
{
    struct cursor c;
    int rv = state_section(sections, STATE_KVM, &c);
    if (rv == 0)
        rv = kvm_load(&vm->kvm, &c);
    for (unsigned int i = 0; rv == 0 && i < vm->vcpus; i++) {
        rv = state_section(sections, STATE_VCPU, &c);
        cleanup_free struct kvm_cpuid2 *t = vm_cpuid(vm, i);
        if (rv == 0)
            rv = t != NULL ? vcpu_load(&vm->vcpu[i], t, &c) : -ENOMEM;
    }
    return rv;
}

/* What makes a clone another machine than its origin, before its first instruction. */
static int snap_new_generation(struct vm *vm)
{
    uint8_t id[16];
    if (getrandom(id, sizeof(id), 0) != sizeof(id))
        return -EIO;
    /* The new id first, then the interrupt: Linux reads the id when it handles it, and reseeds.
     * Without it two clones return the same "random" bytes. */
    memcpy(mem_at(&vm->mem, LAYOUT_VMGENID, sizeof(id)), id, sizeof(id));
    kvm_pulse(&vm->kvm, LAYOUT_GED_GSI);
    /* A needless interrupt is harmless; a lost one stops the device for good. */
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++) {
        if (vm->slot[i].dev->isr != 0)
            irq_raise(&vm->slot[i].dev->irq);
    }
    /* Before the first instruction: the peers of the guest's connections are not here. */
    virtio_vsock_transport_reset(&vm->vsock);
    return 0;
}

int snapshot_open(struct snapshot *s, const struct snapshot_files *f, const struct disk *disk,
                  struct error *err)
{
    int rv = snap_read_state(f->state_fd, &s->file, err);
    if (rv == 0)
        rv = state_open(s->file.data, s->file.len, &s->meta, &s->sections, err);
    if (rv == 0)
        rv = snap_check_sizes(&s->meta, err);
    if (rv == 0)
        rv = s->meta.difference ? snap_open_difference(s, f, err)
                                : snap_check_memory(f->memory_fd, &s->meta, err);
    if (rv == 0 && !snap_disk_fits(disk, &s->meta))
        return error_set(err, ERROR_INVALID_ARGUMENT, "the disk is not that of the snapshot");
    return rv;
}

int snapshot_map(const struct snapshot *s, struct vm *vm, const struct snapshot_files *f,
                 struct error *err)
{
    const struct state_meta *meta = &s->meta;
    int rv = mem_init_file(&vm->mem, meta->difference ? f->base_fd : f->memory_fd,
                           meta->memory_size);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the memory file cannot be mapped");
    /* The complete memory of a fork is nowhere but in memory. */
    vm->base = (struct vm_base){.known = meta->difference || !f->handed,
                                .mtime = meta->memory_mtime};
    memcpy(vm->base.id, meta->difference ? meta->base : meta->id, sizeof(vm->base.id));
    return meta->difference ? diff_apply(&s->diff, &vm->mem, f->memory_fd, f->handed, err) : 0;
}

int snapshot_load(struct snapshot *s, struct vm *vm, struct error *err)
{
    int rv = snap_load_kvm(vm, &s->sections);
    if (rv == 0)
        rv = snap_load_devices(vm, &s->sections);
    if (rv == 0)
        rv = snap_new_generation(vm);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the snapshot cannot be restored");
    return 0;
}

void snapshot_close_p(struct snapshot *s)
{
    buf_done(&s->file);
    diff_done(&s->diff);
}
