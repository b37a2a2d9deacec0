/* SPDX-License-Identifier: Apache-2.0 */
/* What a clone gives back of the pages that it has written. */
#include <fcntl.h>
#include <sys/mman.h>

#include "pagemap.h"
#include "t.h"
#include "vm.h"

#define SIZE  (64ull << 20)
#define PAGES (SIZE / MEM_PAGE)

static struct mem mem;
static struct reshare_batch batch;
static uint64_t given[PAGES / 64 + 1];
static int pagemap = -1;

/* A clone of a file in which each page begins with its number and one. */
static void setup(void)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)SIZE), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t number = page + 1;
        T_EQ(pwrite(fd, &number, sizeof(number), (off_t)(page * MEM_PAGE)), sizeof(number));
    }
    T_EQ(mem_init_file(&mem, fd, SIZE), 0);
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_TRUE(pagemap >= 0);
}

static void done(void)
{
    memset(given, 0, sizeof(given));
    mem_done(&mem);
    close(pagemap);
}

static volatile uint64_t *words(uint64_t page)
{
    return (volatile uint64_t *)(void *)(mem.base + page * MEM_PAGE);
}

static bool is_own(uint64_t page)
{
    uint64_t entry[PAGEMAP_BATCH];
    T_TRUE(pagemap_read(&mem, pagemap, page, entry) > 0);
    return pagemap_is_present(entry[0]) && !pagemap_is_file(entry[0]);
}

/* A count that goes up and down again. */
static void borrow(uint64_t page)
{
    words(page)[0]++;
    words(page)[0]--;
    T_TRUE(is_own(page));
}

/* A whole pass; the pages given back. */
static uint64_t pass(void)
{
    uint64_t page = 0, dropped = 0;
    while (page < PAGES) {
        uint64_t before = page;
        T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
        T_TRUE(page > before);
        dropped += reshare_drop(&mem, &batch, given);
    }
    return dropped;
}

static void what_is_the_same_again_is_given_back(void)
{
    setup();
    for (uint64_t page = 100; page < 110; page++)
        borrow(page);
    words(105)[511] = 7; /* between two that are the same */
    borrow(PAGES - 1);
    T_EQ(pass(), 10);
    for (uint64_t page = 100; page < 110; page++)
        T_EQ(is_own(page), page == 105);
    T_TRUE(!is_own(PAGES - 1));
    T_EQ(words(104)[0], 105);
    T_EQ(words(105)[511], 7);
    T_EQ(words(105)[0], 106);
    T_EQ(pass(), 0);
    words(104)[0] = 1; /* it can be written again */
    T_EQ(words(104)[0], 1);
    done();
}

/* More than a batch, with gaps and changes at every place of one. */
static void many_pages_go_in_batches(void)
{
    uint64_t same = 0;
    setup();
    for (uint64_t page = 0; page < 4000; page += page % 7 == 0 ? 2 : 1) {
        borrow(page);
        if (page % 5 == 0)
            words(page)[page % 512]++;
        else
            same++;
    }
    T_EQ(pass(), same);
    for (uint64_t page = 0; page < 4000; page += page % 7 == 0 ? 2 : 1) {
        T_EQ(is_own(page), page % 5 == 0);
        T_EQ(words(page)[page % 512] - (page % 512 == 0 ? page + 1 : 0), page % 5 == 0);
    }
    done();
}

/* Written after it was looked at: what counts is what it is when the guest stands still. */
static void a_late_write_is_kept(void)
{
    uint64_t page = 0;
    setup();
    borrow(10);
    borrow(11);
    T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
    T_EQ(batch.count, 2);
    words(10)[3] = 9;
    T_EQ(reshare_drop(&mem, &batch, given), 1);
    T_EQ(given[0], 1u << 11);
    T_EQ(words(10)[3], 9);
    T_TRUE(is_own(10) && !is_own(11));
    done();
}

static void a_search_ends_where_it_is_told(void)
{
    uint64_t page = 10;
    setup();
    for (uint64_t i = 5; i < 15; i++)
        borrow(i);
    T_EQ(reshare_find(&mem, pagemap, &page, 12, &batch), 0);
    T_EQ(page, 12);
    T_EQ(batch.count, 2);
    T_EQ(batch.page[0], 10);
    T_EQ(batch.page[1], 11);
    done();
}

/* Zeros in the place of the file are given back when they are zeros again, and what another file
 * was laid over is left alone. */
static void what_replaces_the_file_counts(void)
{
    int other = memfd_create("other", MFD_CLOEXEC);
    setup();
    T_EQ(ftruncate(other, 16 * MEM_PAGE), 0);
    T_EQ(mem_zap(&mem, mem.base + 64 * MEM_PAGE, 16 * MEM_PAGE), 0);
    T_EQ(mem_lay(&mem, 128, 16, other, 0), 0);
    borrow(64);
    words(65)[0] = 66; /* what the file below the zeros has */
    borrow(128);
    T_EQ(pass(), 1);
    T_TRUE(!is_own(64) && is_own(65) && is_own(128));
    T_EQ(words(64)[0], 0);
    T_EQ(words(65)[0], 66);
    close(other);
    done();
}

/* What the file does not say is not compared. */
static void what_cannot_be_read_stays(void)
{
    uint64_t page = 0;
    setup();
    borrow(20);
    int none = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = mem.fd;
    mem.fd = none;
    T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
    T_EQ(batch.count, 0);
    mem.fd = fd;
    close(none);
    T_TRUE(is_own(20));
    page = 0;
    T_TRUE(reshare_find(&mem, -1, &page, PAGES, &batch) < 0);
    done();
}

/* The pass, in a machine without KVM and without processors. */

static struct vm vm;
static const struct irq_line no_irq;

static void setup_vm(void)
{
    setup();
    memset(&vm, 0, sizeof(vm));
    T_EQ(vm_init(&vm), 0);
    virtio_balloon_init(&vm.balloon, &vm.mem, &no_irq);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm.slot[i].dev = &vm.balloon.dev; /* one device stands for all: none has a driver */
    T_EQ(disk_worker_init(&vm.disk_worker, NULL), 0);
    vm.blk.worker = &vm.disk_worker;
    vm.mem = mem;
    vm.pagemap_fd = pagemap;
    reshare_init(&vm, 1);
    vm.reshare.after_ns = 1000000;
    vm.state = CTL_STATE_RUNNING;
}

static void done_vm(void)
{
    free(vm.reshare.given);
    (void)close(vm.disk_worker.done_fd);
    (void)close(vm.wake.fd);
    loop_done(&vm.loop);
    done();
}

static void traffic(void)
{
    vm.vsock.mux.to_guest++;
    T_TRUE(loop_turn(&vm.loop, 0) >= 0);
}

/* Turns until no pass is under way and none will come. */
static void rest(void)
{
    for (int i = 0; i < 1000 && !list_empty(&vm.loop.timers); i++)
        T_TRUE(loop_turn(&vm.loop, 100) >= 0);
    T_TRUE(list_empty(&vm.loop.timers));
    T_TRUE(vm.reshare.batch == NULL);
}

static void a_pass_follows_traffic(void)
{
    setup_vm();
    for (uint64_t page = 0; page < 300; page++)
        borrow(page);
    T_TRUE(loop_turn(&vm.loop, 0) >= 0);
    T_TRUE(list_empty(&vm.loop.timers)); /* there was none */
    traffic();
    rest();
    T_EQ(vm.reshare.bytes, 300 * MEM_PAGE);
    T_EQ(vm.state, CTL_STATE_RUNNING);
    T_EQ(vm.pause_ns, 0); /* nobody has asked for it */
    T_TRUE(!is_own(0) && !is_own(299));
    reshare_take_back(&vm);
    T_TRUE(is_own(0) && is_own(299) && !is_own(300));
    T_EQ(words(299)[0], 300);
    reshare_take_back(&vm);
    traffic();
    rest();
    T_EQ(vm.reshare.bytes, 600 * MEM_PAGE);
    done_vm();
}

static void traffic_ends_a_pass_and_the_next_goes_on(void)
{
    setup_vm();
    for (uint64_t page = 0; page < 300; page++)
        borrow(page);
    traffic();
    for (int i = 0; i < 1000 && vm.reshare.bytes == 0; i++)
        T_TRUE(loop_turn(&vm.loop, 100) >= 0);
    T_TRUE(vm.reshare.batch != NULL && vm.reshare.bytes < 300 * MEM_PAGE);
    traffic();
    T_TRUE(vm.reshare.batch == NULL);
    borrow(0);
    rest();
    T_EQ(vm.reshare.bytes, 301 * MEM_PAGE); /* and round to the one that was written again */
    done_vm();
}

static void a_machine_that_is_paused_is_left_alone(void)
{
    setup_vm();
    borrow(3);
    traffic();
    vm.state = CTL_STATE_PAUSED;
    rest();
    T_EQ(vm.reshare.bytes, 0);
    T_TRUE(is_own(3));
    done_vm();
}

T_MAIN(T_CASE(what_is_the_same_again_is_given_back), T_CASE(many_pages_go_in_batches),
       T_CASE(a_late_write_is_kept), T_CASE(a_search_ends_where_it_is_told),
       T_CASE(what_replaces_the_file_counts), T_CASE(what_cannot_be_read_stays),
       T_CASE(a_pass_follows_traffic), T_CASE(traffic_ends_a_pass_and_the_next_goes_on),
       T_CASE(a_machine_that_is_paused_is_left_alone))
