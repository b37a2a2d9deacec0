/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.h - guest memory: one host mapping, reached only through (guest address, length).
 *
 * Layout: RAM from 0, interrupted by the device hole below 4 GiB. The mapping has no hole:
 * what lies above 4 GiB follows directly on what lies below.
 *
 * Whatever is in guest memory may change while it is read: copy once, then judge the copy.
 */
#ifndef CORRAL_VMM_MEM_H
#define CORRAL_VMM_MEM_H

#include <stdbool.h>

#include "base/base.h"

#define MEM_HOLE_START 0xc0000000ull
#define MEM_HOLE_END   0x100000000ull
#define MEM_MIN_SIZE   (32ull << 20)
#define MEM_MAX_SIZE   (64ull << 30)
#define MEM_PAGE       4096u

struct mem {
    uint8_t *base;  /* of `size` bytes, in the mapping `reserved` */
    uint64_t size;  /* bytes of RAM, a multiple of MEM_PAGE */
    void *reserved; /* owned */
    uint64_t reserved_len;
    int fd; /* owned; the snapshot's memory file when `private_file`, else -1 */
    bool private_file;
    uint32_t pieces; /* of a private file that were replaced so far */
    /* Owned; a bit for each page of a private file that has been replaced, by zeros or by another
     * file. NULL: none has. */
    uint64_t *zeros, *laid;
};

enum mem_origin {
    MEM_FILE,  /* the private file, or the whole of fresh memory */
    MEM_ZEROS, /* nothing: the page read as zeros until it was written */
    MEM_LAID,  /* the file that mem_lay was given */
};

struct mem_region {
    uint64_t gpa, len;
    uint8_t *host;
};

/* Fresh zeroed memory. 0 or a negative errno. */
int mem_init_new(struct mem *m, uint64_t size);
/* A private view of the first `size` bytes of `fd`: clones share its clean pages. Takes ownership
 * of `fd` on success. The file must not change while it is mapped. Aligned as fresh memory is: KVM
 * gives a guest huge pages of the host only where guest and host agree on the boundary. Without it
 * reading 160 MiB that a guest had in huge pages took eight times longer in an emulated host. */
int mem_init_file(struct mem *m, int fd, uint64_t size);
void mem_done(struct mem *m);

/*@ axiomatic Ram {
  @   predicate in_ram(struct mem *m, void *p, integer len);
  @ }
  @*/

/*@ requires \valid_read(m);
  @ assigns \nothing;
  @ ensures \result != \null ==> len > 0 && in_ram(m, \result, len);
  @*/
/* The host address of [gpa, gpa + len), or NULL when that is not entirely RAM of one region or
 * `len` is zero. */
void *mem_at(const struct mem *m, uint64_t gpa, uint64_t len);

/* One or two regions, for the hypervisor and the memory map handed to the kernel. */
size_t mem_regions(const struct mem *m, struct mem_region out[2]);

/* What stands behind page number `page` of a private file, below what the guest has written. */
enum mem_origin mem_origin(const struct mem *m, uint64_t page);
bool mem_page_is_zero(const void *page);

/* A map with a bit for each page of memory, MEM_WORD in a word; to be freed. NULL: no memory. */
#define MEM_WORD 64u
uint64_t *mem_map_new(const struct mem *m);
/* Sets or clears the bits of some pages; nothing for a map that is NULL. */
void mem_map_mark(uint64_t *map, uint64_t page, uint64_t pages, bool on);

/* Makes a page the guest's own by a write that changes nothing, whatever vCPUs do. */
void mem_touch(const struct mem *m, uint64_t page);

/* Puts a private view of `fd`, from `off` on, in the place of some pages of a private file, or
 * zeros when `fd` is -1. -ENOSPC when they are too few, or such pieces too many, for a mapping of
 * their own. The file, which stays the caller's, must not change any more. */
int mem_lay(struct mem *m, uint64_t page, uint64_t pages, int fd, uint64_t off);

/* All of these pages, which mem_lay has made zeros, are about to be written: huge ones cost less.
 */
void mem_expect(const struct mem *m, uint64_t page, uint64_t pages);

/* Both take an address range that mem_at returned, and give its whole pages back to the host.
 * Afterwards the guest reads zeros (mem_zap), or zeros or the bytes of the snapshot (mem_drop).
 * mem_zap may refuse like mem_lay. */
int mem_zap(struct mem *m, void *host, uint64_t len);
int mem_drop(struct mem *m, void *host, uint64_t len);

#endif
