/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reshare.c - a pass over the written pages of a clone, some while after its last traffic.
 *
 *   traffic ──▶ WAITING ──▶ PASS: find, pause, compare and drop, resume; again ──▶ until traffic
 *
 * A pass goes in steps. Each reads from the file what some written pages were, while the guest
 * runs; then the guest stands still for as long as it takes to compare them. A page that is the
 * same loses its copy (MADV_DONTNEED) and is the file's page again, for the guest as for everybody.
 * Traffic ends a pass: somebody wants an answer, and will write the same pages again.
 *
 * The next run will write most of these pages again. So they are remembered, and copied together
 * before it instead of one by one.
 *
 * What it tells is nothing: a guest sees at most how long its own page took, and knows what it has
 * written there and what it began with. KSM would compare with the pages of strangers.
 */
#include "reshare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "pagemap.h"
#include "vm.h"

#define RESHARE_LOOK     65536u /* pages in one step: 256 MiB, 512 KiB of page map */
#define RESHARE_STEP_NS  2000000ull
#define RESHARE_PAUSE_MS 50u    /* a vCPU that does not come to rest by then has work to do */
#define RESHARE_MOST     32768u /* written pages in one pass: a guest may have a lot of its own */
#define RESHARE_BACK     8192u  /* pages, for one run: 32 MiB */
#define NS_PER_S         1000000000ull

static bool reshare_wants(const struct mem *m, uint64_t page, uint64_t entry)
{
    return pagemap_is_present(entry) && !pagemap_is_file(entry) && mem_origin(m, page) != MEM_LAID;
}

/* From the page cache alone: the loop does not wait for a disk. Files in memory know no such read,
 * and do not need it. */
static ssize_t reshare_read(int fd, void *to, size_t len, uint64_t off)
{
    struct iovec iov = {to, len};
    ssize_t got = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
    return got < 0 && errno == EOPNOTSUPP ? pread(fd, to, len, (off_t)off) : got;
}

/* Reads what the pages of the batch were; neighbours by one call. Those that cannot be read leave
 * it. */
static void reshare_fill(const struct mem *m, struct reshare_batch *b)
{
    uint32_t kept = 0;
    for (uint32_t i = 0, n; i < b->count; i += n) {
        enum mem_origin origin = mem_origin(m, b->page[i]);
        for (n = 1; i + n < b->count && b->page[i + n] == b->page[i] + n &&
                    mem_origin(m, b->page[i + n]) == origin;)
            n++;
        ssize_t got = (ssize_t)n * MEM_PAGE;
        if (origin == MEM_ZEROS)
            memset(b->was[kept], 0, (size_t)got);
        else
            got = reshare_read(m->fd, b->was[kept], (size_t)got, (uint64_t)b->page[i] * MEM_PAGE);
        uint32_t whole = got > 0 ? (uint32_t)got / MEM_PAGE : 0;
        memmove(&b->page[kept], &b->page[i], whole * sizeof(b->page[0]));
        kept += whole;
    }
    b->count = kept;
}

int reshare_find(const struct mem *m, int pagemap_fd, uint64_t *page, uint64_t end,
                 struct reshare_batch *b)
{
    uint64_t entry[PAGEMAP_BATCH];
    end = MIN(end, *page + RESHARE_LOOK);
    b->count = 0;
    while (*page < end && b->count < RESHARE_PAGES) {
        ssize_t got = pagemap_read(m, pagemap_fd, *page, entry);
        if (got < 0)
            return (int)got;
        for (ssize_t i = 0; i < got && *page < end && b->count < RESHARE_PAGES; i++, (*page)++) {
            if (reshare_wants(m, *page, entry[i]))
                b->page[b->count++] = (uint32_t)*page;
        }
    }
    reshare_fill(m, b);
    return 0;
}

uint32_t reshare_drop(struct mem *m, const struct reshare_batch *b, uint64_t *given)
{
    uint32_t dropped = 0;
    for (uint32_t i = 0, n; i < b->count; i += MAX(n, 1u)) {
        uint8_t *at = m->base + (uint64_t)b->page[i] * MEM_PAGE;
        for (n = 0; i + n < b->count && b->page[i + n] == b->page[i] + n &&
                    memcmp(at + (size_t)n * MEM_PAGE, b->was[i + n], MEM_PAGE) == 0;)
            n++;
        if (n == 0 || mem_drop(m, at, (uint64_t)n * MEM_PAGE) < 0)
            continue;
        mem_map_mark(given, b->page[i], n, true);
        dropped += n;
    }
    return dropped;
}

/* The pass. */

/* Mapped, not allocated: an allocator may keep what it was given back. */
static void reshare_end(struct reshare *r)
{
    if (r->batch != NULL)
        (void)munmap(r->batch, sizeof(*r->batch));
    r->batch = NULL;
}

/* False: out of memory. */
static bool reshare_begin(struct vm *vm)
{
    struct reshare *r = &vm->reshare;
    void *p = mmap(NULL, sizeof(*r->batch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    if (p == MAP_FAILED)
        return false;
    r->batch = p;
    r->left = vm->mem.size / MEM_PAGE;
    r->looked = 0;
    if (r->given == NULL)
        r->given = mem_map_new(&vm->mem);
    return r->given != NULL;
}

/* The next batch of the pass, which goes round memory once. */
static int reshare_next(struct vm *vm)
{
    struct reshare *r = &vm->reshare;
    uint64_t pages = vm->mem.size / MEM_PAGE, from = r->page;
    int rv = reshare_find(&vm->mem, vm->pagemap_fd, &r->page, MIN(pages, from + r->left), r->batch);
    r->left -= r->page - from;
    r->looked += r->batch->count;
    if (r->page == pages)
        r->page = 0;
    return rv;
}

static int reshare_step(struct vm *vm)
{
    struct reshare *r = &vm->reshare;
    uint64_t pause_ns = vm->pause_ns;
    int rv = reshare_next(vm);
    if (rv < 0 || r->batch->count == 0)
        return rv;
    rv = vm_pause_within(vm, RESHARE_PAUSE_MS);
    if (rv < 0)
        return rv;
    uint32_t dropped = reshare_drop(&vm->mem, r->batch, r->given);
    r->owing |= dropped > 0;
    r->bytes += (uint64_t)dropped * MEM_PAGE;
    vm->clock = 0; /* the guest may see the milliseconds pass */
    rv = vm_resume(vm);
    vm->pause_ns = pause_ns; /* this pause was not asked for */
    return rv;
}

static void reshare_due(struct loop_timer *t)
{
    struct reshare *r = container_of(t, struct reshare, timer);
    struct vm *vm = container_of(r, struct vm, reshare);
    if (vm->state != CTL_STATE_RUNNING) {
        reshare_end(r);
        return;
    }
    bool ok = r->batch != NULL || reshare_begin(vm);
    if (!ok || reshare_step(vm) < 0 || r->left == 0 || r->looked >= RESHARE_MOST)
        reshare_end(r);
    else
        loop_timer_set(&vm->loop, t, RESHARE_STEP_NS);
}

void reshare_init(struct vm *vm, unsigned int after_s)
{
    loop_timer_init(&vm->reshare.timer, reshare_due);
    /* A recorder counts written pages. */
    if (vm->mem.private_file && vm->pagemap_fd >= 0 && !vm->record)
        vm->reshare.after_ns = after_s * NS_PER_S;
}

void reshare_turn(struct vm *vm)
{
    struct reshare *r = &vm->reshare;
    uint64_t traffic = vm->vsock.mux.to_guest + vm->vsock.mux.to_host;
    if (r->after_ns == 0 || traffic == r->traffic)
        return;
    r->traffic = traffic;
    reshare_end(r);
    loop_timer_set(&vm->loop, &r->timer, r->after_ns);
}

void reshare_take_back(struct vm *vm)
{
    struct reshare *r = &vm->reshare;
    uint32_t taken = 0;
    for (uint64_t at = 0; r->owing && at <= vm->mem.size / MEM_PAGE / MEM_WORD; at++) {
        for (uint64_t left = r->given[at]; left != 0 && taken < RESHARE_BACK; left &= left - 1) {
            uint64_t page = at * MEM_WORD + (uint64_t)__builtin_ctzll(left);
            mem_touch(&vm->mem, page);
            taken++;
        }
        r->given[at] = 0;
    }
    r->owing = false;
}
