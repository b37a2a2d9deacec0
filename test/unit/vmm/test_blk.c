/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "disk_cow.h"
#include "test_ring.h"
#include "virtio_blk.h"

#define DISK_SIZE (1u << 20)
#define HEADER    0x100000u
#define DATA      0x101000u
#define STATUS    0x1000000u

static struct virtio_blk b;
static struct disk_worker worker; /* without a thread, but for the tests of it */
static struct virtio_mmio t;
static struct ring r;
static struct disk *disk;
static uint64_t clock_ns, wake_ns;

static int file_with(size_t size, int fill)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);
    static uint8_t block[4096];
    T_EQ(ftruncate(fd, (off_t)size), 0);
    memset(block, fill, sizeof(block));
    for (size_t off = 0; fill != 0 && off < size; off += sizeof(block))
        T_EQ(pwrite(fd, block, MIN(sizeof(block), size - off), (off_t)off),
             (long long)MIN(sizeof(block), size - off));
    return fd;
}

static uint64_t test_now(void *ctx)
{
    (void)ctx;
    return clock_ns;
}

static void test_wake_after(void *ctx, uint64_t ns)
{
    (void)ctx;
    wake_ns = ns;
}

static void setup_limited(const struct virtio_blk_limits *limits)
{
    static const struct virtio_blk_timer timer = {test_now, test_wake_after, NULL};
    if (disk != NULL)
        disk_worker_done(&worker);
    disk_close(disk);
    ring_setup();
    T_EQ(disk_raw_open(file_with(DISK_SIZE, 0), &disk), 0);
    T_EQ(disk_worker_init(&worker, disk), 0);
    virtio_blk_init(&b, &worker, limits, &timer, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &b.dev};
    ring_start(&t, &r, 1, 0);
}

static void setup(void)
{
    static const struct virtio_blk_limits none;
    setup_limited(&none);
}

/* Posts a request; `len` bytes of data, from or to the device by type. */
static void post(uint32_t type, uint64_t sector, uint32_t len, bool to_device)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } h = {type, 0, sector};
    memcpy(ring_at(HEADER), &h, sizeof(h));
    *(uint8_t *)ring_at(STATUS) = 0xff;
    struct ring_desc part[3] = {{HEADER, sizeof(h), 0, 0}};
    size_t n = 1;
    if (len > 0)
        part[n++] = (struct ring_desc){DATA, len, to_device ? 0 : VRING_DESC_F_WRITE, 0};
    part[n++] = (struct ring_desc){STATUS, 1, VRING_DESC_F_WRITE, 0};
    ring_post(&r, part, n);
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool to_device)
{
    post(type, sector, len, to_device);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_TRUE(ring_done(&r, NULL) >= 1);
    return *(uint8_t *)ring_at(STATUS);
}

static void writes_come_back(void)
{
    setup();
    memset(ring_at(DATA), 0x5a, 8192);
    T_EQ(request(VIRTIO_BLK_T_OUT, 3, 8192, true), 0);
    memset(ring_at(DATA), 0, 8192);
    T_EQ(request(VIRTIO_BLK_T_IN, 3, 8192, false), 0);
    T_EQ(*(uint8_t *)ring_at(DATA), 0x5a);
    T_EQ(*(uint8_t *)ring_at(DATA + 8191), 0x5a);
    T_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0, true), 0);
    T_EQ(request(VIRTIO_BLK_T_GET_ID, 0, 20, false), 0);
    T_STR((char *)ring_at(DATA), "corral-disk");
    T_EQ(b.written_bytes, 8192);
}

static void the_header_may_be_in_pieces(void)
{
    setup();
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } h = {VIRTIO_BLK_T_OUT, 0, 0};
    memcpy(ring_at(HEADER), &h, sizeof(h));
    memset(ring_at(DATA), 7, 512);
    const struct ring_desc part[] = {{HEADER, 3, 0, 0},
                                     {HEADER + 3, 13, 0, 0},
                                     {DATA, 100, 0, 0},
                                     {DATA + 100, 412, 0, 0},
                                     {STATUS, 1, VRING_DESC_F_WRITE, 0}};
    ring_post(&r, part, ARRAY_SIZE(part));
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(*(uint8_t *)ring_at(STATUS), 0);
    T_EQ(request(VIRTIO_BLK_T_IN, 0, 512, false), 0);
    T_EQ(*(uint8_t *)ring_at(DATA + 511), 7);
}

static void wrong_requests_fail_alone(void)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t len;
        bool to_device;
        uint8_t status;
    } bad[] = {
        {VIRTIO_BLK_T_IN, DISK_SIZE / 512, 512, false, 1},
        {VIRTIO_BLK_T_IN, DISK_SIZE / 512 - 1, 1024, false, 1},
        {VIRTIO_BLK_T_IN, UINT64_MAX, 512, false, 1},
        {VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512, true, 1},
        {VIRTIO_BLK_T_IN, 0, 511, false, 1},
        {VIRTIO_BLK_T_OUT, 0, 0, true, 1},
        {VIRTIO_BLK_T_GET_ID, 0, 19, false, 1},
        {VIRTIO_BLK_T_DISCARD, 0, 15, true, 1},
        {VIRTIO_BLK_T_DISCARD, 0, 0, true, 1},
        {99, 0, 512, true, 2},
    };
    setup();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        T_EQ(request(bad[i].type, bad[i].sector, bad[i].len, bad[i].to_device), bad[i].status);
    T_EQ(request(VIRTIO_BLK_T_IN, 0, 512, false), 0);
}

static void a_chain_that_is_no_request_breaks(void)
{
    setup();
    const struct ring_desc part = {HEADER, 16, 0, 0}; /* no status byte */
    ring_post(&r, &part, 1);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_EQ(ring_done(&r, NULL), -1);
    T_TRUE(b.dev.broken);
}

static void discard_checks_its_segments(void)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } seg = {8, 8, 0};
    setup();
    memset(ring_at(DATA), 1, 4096);
    T_EQ(request(VIRTIO_BLK_T_OUT, 8, 4096, true), 0);
    memcpy(ring_at(DATA), &seg, sizeof(seg));
    T_EQ(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(seg), true), 0);
    T_EQ(request(VIRTIO_BLK_T_IN, 8, 4096, false), 0);
    T_EQ(*(uint8_t *)ring_at(DATA + 4095), 0);
    seg.sector = DISK_SIZE / 512;
    memcpy(ring_at(DATA), &seg, sizeof(seg));
    T_EQ(request(VIRTIO_BLK_T_DISCARD, 0, sizeof(seg), true), 1);
    seg.sector = 0;
    seg.flags = 2;
    memcpy(ring_at(DATA), &seg, sizeof(seg));
    T_EQ(request(VIRTIO_BLK_T_DISCARD, 0, sizeof(seg), true), 2);
}

static void limits_hold_requests_back(void)
{
    const struct virtio_blk_limits limits = {.bytes_per_second = 4096};
    clock_ns = wake_ns = 0;
    setup_limited(&limits);
    for (int i = 0; i < 3; i++)
        post(VIRTIO_BLK_T_IN, 0, 8192, false);
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    T_TRUE(ring_done(&r, NULL) > 0); /* the first goes, in debt */
    T_EQ(ring_done(&r, NULL), -1);
    T_TRUE(wake_ns > 0);
    clock_ns += 3000000000ull;
    virtio_blk_resume(&b);
    T_TRUE(ring_done(&r, NULL) > 0);
    T_EQ(ring_done(&r, NULL), -1);
}

/* A segment of a discard counts as an operation, and it costs bytes, but not all that it names. */
static void limits_count_discards(void)
{
    const struct virtio_blk_limits limits = {.bytes_per_second = 65536, .ops_per_second = 1000};
    const struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } segs[] = {{0, 256, 0}, {512, 256, 0}};
    clock_ns = wake_ns = 0;
    setup_limited(&limits);
    const int64_t bytes = b.bytes.tokens, ops = b.ops.tokens;
    memcpy(ring_at(DATA), segs, sizeof(segs));
    T_EQ(request(VIRTIO_BLK_T_DISCARD, 0, sizeof(segs), true), 0);
    T_EQ(ops - b.ops.tokens, 2);
    T_TRUE(bytes - b.bytes.tokens >= 2 * 8192);
    T_TRUE(bytes - b.bytes.tokens < 2 * 256 * 512);
}

/* The disk's thread. */

/* A disk that is as slow as the test wants: requests wait at a gate, in order. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static unsigned int gate_open, gate_waiting, gate_passed;

static void gate_pass(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_waiting++;
    pthread_cond_broadcast(&gate_moved);
    while (gate_open == 0)
        pthread_cond_wait(&gate_moved, &gate_lock);
    gate_open--;
    gate_waiting--;
    gate_passed++;
    pthread_mutex_unlock(&gate_lock);
}

static void gate_let(unsigned int n)
{
    pthread_mutex_lock(&gate_lock);
    gate_open += n;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static void gate_wait_for_one(void)
{
    pthread_mutex_lock(&gate_lock);
    while (gate_waiting == 0)
        pthread_cond_wait(&gate_moved, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

static int slow_read(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    (void)d;
    (void)off;
    (void)len;
    gate_pass();
    memset(iov[0].iov_base, 'r', n > 0 ? 1 : 0);
    return 0;
}

static int slow_flush(struct disk *d)
{
    (void)d;
    gate_pass();
    return 0;
}

static void setup_slow(void)
{
    static const struct disk_ops ops = {.read = slow_read, .flush = slow_flush};
    static struct disk slow = {.ops = &ops, .size = 64u << 20};
    static const struct virtio_blk_timer timer = {NULL, NULL, NULL};
    static const struct virtio_blk_limits none;
    if (disk != NULL)
        disk_worker_done(&worker);
    disk_close(disk);
    disk = NULL;
    ring_setup();
    gate_open = gate_waiting = gate_passed = 0;
    T_EQ(disk_worker_init(&worker, &slow), 0);
    T_EQ(disk_worker_start(&worker, NULL, NULL), 0);
    virtio_blk_init(&b, &worker, &none, &timer, &ring_mem, &ring_irq);
    t = (struct virtio_mmio){.dev = &b.dev};
    ring_start(&t, &r, 1, 0);
}

static void notify(void)
{
    ring_reg(&t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

/* As the loop waits for the worker. */
static bool wait_done(int ms)
{
    uint64_t count;
    struct pollfd p = {.fd = worker.done_fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1 && read(worker.done_fd, &count, sizeof(count)) == sizeof(count);
}

static void the_loop_does_not_wait_for_the_disk(void)
{
    struct timespec before, after;
    setup_slow();
    for (int i = 0; i < 5; i++)
        post(VIRTIO_BLK_T_IN, 0, 8u << 20, false);
    clock_gettime(CLOCK_MONOTONIC, &before);
    notify();
    clock_gettime(CLOCK_MONOTONIC, &after);
    T_TRUE(after.tv_sec - before.tv_sec <= 1); /* the gate is shut: it would be for ever */
    T_EQ(ring_done(&r, NULL), -1);
    T_TRUE(!wait_done(0));
    gate_let(1);
    T_TRUE(wait_done(10000));
    virtio_blk_resume(&b);
    T_EQ(ring_done(&r, NULL), (8 << 20) + 1);
    T_EQ(ring_done(&r, NULL), -1);
    gate_let(4);
    for (int i = 0; i < 4;) {
        T_TRUE(wait_done(10000));
        virtio_blk_resume(&b);
        while (ring_done(&r, NULL) >= 0)
            i++;
    }
    T_TRUE(disk_worker_idle(&worker));
    T_TRUE(ring_irqs > 0);
    disk_worker_done(&worker);
}

/* Lets the request under way pass when those behind it are dropped, and not before: a second one
 * would begin and wait for ever. */
static void *let_one_when_dropped(void *unused)
{
    (void)unused;
    for (bool dropped = false; !dropped; usleep(1000)) {
        pthread_mutex_lock(&worker.lock);
        dropped = list_empty(&worker.todo);
        pthread_mutex_unlock(&worker.lock);
    }
    gate_let(1);
    return NULL;
}

/* What has not begun is dropped, what has is waited for, and nothing of it shows in the new ring.
 */
static void a_reset_waits_for_one_request(void)
{
    pthread_t helper;
    setup_slow();
    for (int i = 0; i < 5; i++)
        post(VIRTIO_BLK_T_IN, 0, 512, false);
    notify();
    gate_wait_for_one();
    T_EQ(pthread_create(&helper, NULL, let_one_when_dropped, NULL), 0);
    ring_reg(&t, VIRTIO_MMIO_STATUS, 0);
    T_EQ(pthread_join(helper, NULL), 0);
    T_EQ(gate_passed, 1);
    T_EQ(gate_waiting, 0);
    *(uint8_t *)ring_at(DATA) = 0;
    ring_setup();
    ring_start(&t, &r, 1, 0);
    gate_let(1);
    (void)wait_done(50);
    virtio_blk_resume(&b);
    T_EQ(ring_done(&r, NULL), -1);
    T_EQ(*(uint8_t *)ring_at(DATA), 0);
    post(VIRTIO_BLK_T_FLUSH, 0, 0, true);
    notify();
    T_TRUE(wait_done(10000));
    virtio_blk_resume(&b);
    T_EQ(ring_done(&r, NULL), 1);
    T_EQ(gate_passed, 2);
    disk_worker_done(&worker);
}

/* A pause: the thread comes to rest or it does not, all answers are given, no request is taken. */
static void a_pause_waits_for_the_disk(void)
{
    struct timespec until;
    setup_slow();
    post(VIRTIO_BLK_T_IN, 0, 512, false);
    notify();
    gate_wait_for_one();
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec--;
    T_EQ(disk_worker_wait(&worker, &until), -ETIMEDOUT);
    gate_let(1);
    until.tv_sec += 20;
    T_EQ(disk_worker_wait(&worker, &until), 0);
    post(VIRTIO_BLK_T_IN, 0, 512, false);
    virtio_blk_settle(&b);
    T_EQ(ring_done(&r, NULL), 513);
    T_TRUE(disk_worker_idle(&worker));
    T_EQ(ring_done(&r, NULL), -1);
    disk_worker_done(&worker);
}

/* More than may be under way at once, and more than one turn may take. */
static void many_requests_go_through_few_places(void)
{
    setup_slow();
    unsigned int posted = 0, done = 0;
    gate_let(1000);
    while (done < 200) {
        while (posted < 200 && posted - done < RING_SIZE / 4) {
            post(VIRTIO_BLK_T_IN, 0, 512, false);
            posted++;
        }
        notify();
        if (posted > done)
            (void)wait_done(20);
        virtio_blk_resume(&b);
        while (ring_done(&r, NULL) >= 0)
            done++;
    }
    T_EQ(done, 200);
    disk_worker_done(&worker);
}

/* The copy-on-write disk. */

static void io(struct disk *d, bool write, uint64_t off, uint8_t *p, size_t len)
{
    struct iovec iov = {p, len};
    T_EQ(write ? d->ops->write(d, &iov, 1, off, len) : d->ops->read(d, &iov, 1, off, len), 0);
}

static uint8_t byte_at(struct disk *d, uint64_t off)
{
    uint8_t sector[512];
    io(d, false, off / 512 * 512, sector, sizeof(sector));
    return sector[off % 512];
}

static struct disk *cow(int base, int overlay)
{
    struct disk *d = NULL;
    T_EQ(disk_cow_open(dup(base), dup(overlay), &d), 0);
    return d;
}

static void cow_keeps_the_base(void)
{
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    uint8_t buf[8192];
    T_EQ(disk_cow_format(base, over, 2 * DISK_SIZE), 0);
    struct disk *d = cow(base, over);
    T_EQ(byte_at(d, 0), 'b');
    T_EQ(byte_at(d, DISK_SIZE), 0); /* beyond the base */
    memset(buf, 'n', sizeof(buf));
    io(d, true, 512, buf, 512); /* part of a block */
    T_EQ(byte_at(d, 511), 'b');
    T_EQ(byte_at(d, 512), 'n');
    T_EQ(byte_at(d, 1024), 'b');
    io(d, true, 4096 * 3 - 512, buf, 1024); /* across two blocks */
    T_EQ(byte_at(d, 4096 * 3 - 513), 'b');
    T_EQ(byte_at(d, 4096 * 3 - 1), 'n');
    T_EQ(byte_at(d, 4096 * 3 + 511), 'n');
    T_EQ(byte_at(d, 4096 * 3 + 512), 'b');
    T_EQ(d->ops->flush(d), 0);
    disk_close(d);
    d = cow(base, over);
    T_EQ(byte_at(d, 512), 'n');
    T_EQ(byte_at(d, 4096 * 3 - 513), 'b');
    disk_close(d);
    uint8_t c;
    T_EQ(pread(base, &c, 1, 512), 1);
    T_EQ(c, 'b');
}

static void cow_zero_and_discard(void)
{
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    uint8_t buf[4096];
    T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
    struct disk *d = cow(base, over);
    T_EQ(d->ops->zero(d, 512, 4096 * 2, false), 0);
    T_EQ(byte_at(d, 511), 'b');
    T_EQ(byte_at(d, 512), 0);
    T_EQ(byte_at(d, 4096), 0);
    T_EQ(byte_at(d, 4096 * 2 + 511), 0);
    T_EQ(byte_at(d, 4096 * 2 + 512), 'b');
    T_EQ(d->ops->zero(d, 4096 * 5 + 512, 512, false), 0); /* inside one block */
    T_EQ(byte_at(d, 4096 * 5 + 511), 'b');
    T_EQ(byte_at(d, 4096 * 5 + 512), 0);
    T_EQ(byte_at(d, 4096 * 5 + 1024), 'b');
    T_EQ(d->ops->zero(d, 4096 * 8 + 512, 4096, true), 0); /* a discard of no whole block */
    T_EQ(byte_at(d, 4096 * 8 + 512), 'b');
    T_EQ(d->ops->zero(d, 4096 * 8, 4096, true), 0);
    T_EQ(byte_at(d, 4096 * 8), 0);
    memset(buf, 'w', sizeof(buf));
    io(d, true, 4096 * 8, buf, 512);
    T_EQ(byte_at(d, 4096 * 8), 'w');
    T_EQ(byte_at(d, 4096 * 8 + 512), 0); /* the rest of a zero block is zero, not base */
    disk_close(d);
}

/* A process that dies without a flush leaves the disk of the last one. */
static void cow_survives_a_kill(void)
{
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
    pid_t pid = fork();
    if (pid == 0) {
        uint8_t buf[4096];
        struct disk *d = cow(base, over);
        memset(buf, '1', sizeof(buf));
        io(d, true, 0, buf, sizeof(buf));
        (void)d->ops->flush(d);
        memset(buf, '2', sizeof(buf));
        io(d, true, 4096, buf, sizeof(buf));
        _exit(0);
    }
    T_EQ(waitpid(pid, NULL, 0), pid);
    struct disk *d = cow(base, over);
    T_EQ(byte_at(d, 0), '1');
    T_EQ(byte_at(d, 4096), 'b');
    disk_close(d);
}

/* The id of a snapshot is there until the first change, and no longer. */
static void cow_is_bound_to_a_snapshot(void)
{
    static const uint8_t id[DISK_ID_SIZE] = "a snapshot's id", none[DISK_ID_SIZE];
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    uint8_t buf[4096] = {0};
    T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
    struct disk *d = cow(base, over);
    T_MEM(d->id, DISK_ID_SIZE, disk_id_fresh, DISK_ID_SIZE);
    for (int i = 0; i < 3; i++) {
        T_EQ(d->ops->bind(d, id), 0);
        T_EQ(byte_at(d, 5), 'b'); /* a read is no change, nor is a flush */
        T_EQ(d->ops->flush(d), 0);
        disk_close(d);
        d = cow(base, over);
        T_MEM(d->id, DISK_ID_SIZE, id, DISK_ID_SIZE);
        if (i == 0)
            io(d, true, 4096, buf, 512);
        else
            T_EQ(d->ops->zero(d, 0, 4096, i == 1), 0);
        T_MEM(d->id, DISK_ID_SIZE, none, DISK_ID_SIZE);
        disk_close(d);
        d = cow(base, over);
        T_MEM(d->id, DISK_ID_SIZE, none, DISK_ID_SIZE);
    }
    disk_close(d);
}

/* In the place of the C library's, see meson.build. */
int __wrap_fdatasync(int fd);
int __real_fdatasync(int fd);
static int syncs_to_fail;

int __wrap_fdatasync(int fd)
{
    if (syncs_to_fail > 0 && --syncs_to_fail == 0) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

/* The kernel tells of lost pages once. */
static void a_failed_flush_stays_failed(void)
{
    uint8_t buf[4096] = {0};
    for (int i = 0; i < 3; i++) {
        int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
        struct disk *d = NULL;
        T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
        if (i == 2)
            T_EQ(disk_raw_open(over, &d), 0);
        else
            d = cow(base, over);
        T_EQ(d->ops->flush(d), 0);
        io(d, true, 8192, buf, sizeof(buf));
        syncs_to_fail = i == 1 ? 2 : 1; /* that of the blocks, or that of the map */
        T_EQ(d->ops->flush(d), -EIO);
        T_EQ(d->ops->flush(d), -EIO);
        T_EQ(syncs_to_fail, 0);
        disk_close(d);
    }
}

/* Against a plain array, with random operations and reopenings. */
static void cow_agrees_with_a_model(void)
{
    static uint8_t model[DISK_SIZE], buf[65536], seen[65536];
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    unsigned int seed = 1;
    memset(model, 'b', sizeof(model));
    T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
    struct disk *d = cow(base, over);
    for (int i = 0; i < 3000; i++) {
        uint64_t off = (uint64_t)(rand_r(&seed) % (DISK_SIZE / 512)) * 512;
        size_t len = (size_t)(rand_r(&seed) % 64 + 1) * 512;
        len = MIN(len, DISK_SIZE - off);
        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            memset(buf, rand_r(&seed), len);
            io(d, true, off, buf, len);
            memcpy(model + off, buf, len);
            break;
        case 3:
            T_EQ(d->ops->zero(d, off, len, false), 0);
            memset(model + off, 0, len);
            break;
        case 4:
            if (i % 50 == 0) {
                T_EQ(d->ops->flush(d), 0);
                disk_close(d);
                d = cow(base, over);
            }
            break;
        default:
            io(d, false, off, seen, len);
            T_MEM(seen, len, model + off, len);
        }
    }
    disk_close(d);
}

static void cow_refuses_what_is_not_its_own(void)
{
    int base = file_with(DISK_SIZE, 'b'), over = memfd_create("over", MFD_CLOEXEC);
    int small = file_with(DISK_SIZE / 2, 'b');
    struct disk *d = NULL, *second = NULL;
    T_EQ(disk_cow_format(base, over, DISK_SIZE + 1), -EINVAL);
    T_EQ(disk_cow_format(base, over, DISK_SIZE / 2), -EINVAL);
    T_EQ(disk_cow_open(base, over, &d), -EBADMSG); /* an empty file */
    T_EQ(disk_cow_format(base, over, DISK_SIZE), 0);
    T_EQ(disk_cow_open(small, over, &d), -ESTALE);
    T_EQ(disk_cow_open(file_with(DISK_SIZE, 'c'), over, &d), -ESTALE);
    for (int off = 0; off < 48; off++) {
        uint8_t c;
        T_EQ(pread(over, &c, 1, off), 1);
        c ^= 4;
        T_EQ(pwrite(over, &c, 1, off), 1);
        T_EQ(disk_cow_open(base, over, &d), -EBADMSG);
        c ^= 4;
        T_EQ(pwrite(over, &c, 1, off), 1);
    }
    T_EQ(pwrite(over, "\xff", 1, 4096), 1); /* a state that does not exist */
    T_EQ(disk_cow_open(base, over, &d), -EBADMSG);
    T_EQ(pwrite(over, "\x01", 1, 4096), 1);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", over);
    int other = open(path, O_RDWR | O_CLOEXEC);
    T_EQ(disk_cow_open(base, over, &d), 0);
    T_EQ(disk_cow_open(base, other, &second), -EBUSY);
    disk_close(d);
}

T_MAIN(T_CASE(writes_come_back), T_CASE(the_header_may_be_in_pieces),
       T_CASE(wrong_requests_fail_alone), T_CASE(a_chain_that_is_no_request_breaks),
       T_CASE(discard_checks_its_segments), T_CASE(limits_hold_requests_back),
       T_CASE(limits_count_discards), T_CASE(the_loop_does_not_wait_for_the_disk),
       T_CASE(a_reset_waits_for_one_request), T_CASE(a_pause_waits_for_the_disk),
       T_CASE(many_requests_go_through_few_places), T_CASE(cow_keeps_the_base),
       T_CASE(cow_zero_and_discard), T_CASE(cow_survives_a_kill),
       T_CASE(cow_is_bound_to_a_snapshot), T_CASE(a_failed_flush_stays_failed),
       T_CASE(cow_agrees_with_a_model), T_CASE(cow_refuses_what_is_not_its_own))
