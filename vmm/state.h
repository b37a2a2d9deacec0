/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the framing of a snapshot's two files. Pure functions.
 *
 * `state`:  header | section*     header: magic, version, lengths, identity, checksums
 *                                 section: u32 tag, u32 length, payload; in one fixed order
 * `memory`: the RAM, sparse, then one page that names the state file it belongs to; or what differs
 *           from such a file (difference.h)
 *
 * This program writes both and root keeps them, yet they are read as hostile input.
 */
#ifndef CORRAL_VMM_STATE_H
#define CORRAL_VMM_STATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

#define STATE_VERSION  5u
#define STATE_MAX_SIZE (1u << 20)
#define STATE_ID_SIZE  16u
#define STATE_TRAILER  4096u /* bytes behind the RAM in the memory file */

enum state_tag {
    STATE_KVM = 1,
    STATE_VCPU = 2, /* once per vCPU, in order */
    STATE_SERIAL = 3,
    STATE_VIRTIO = 4, /* once per device, in slot order */
    STATE_BALLOON = 5,
    STATE_VSOCK = 6,
};

/* What must match before a byte of the sections is looked at. */
struct state_meta {
    uint8_t id[STATE_ID_SIZE]; /* random; ties the two files together */
    uint64_t memory_size;
    uint64_t memory_mtime; /* ns, of the complete memory file; a later write to it changes it */
    uint64_t disk_size;
    uint32_t vcpus;
    uint32_t cpu;                /* cpuid_fingerprint */
    uint8_t base[STATE_ID_SIZE]; /* with `difference`: the id of the complete memory file */
    bool overlay;                /* the disk has an overlay, with the id above */
    bool difference;
};

/* Writing: start, sections, finish. Memory failure is remembered by the buffer. */
void state_start(struct buf *b);
size_t state_begin(struct buf *b, enum state_tag tag);
void state_end(struct buf *b, size_t start);
int state_finish(struct buf *b, const struct state_meta *meta);

/* Reading. -EINVAL with a reason when magic, version, size or checksum is wrong. */
int state_open(const void *data, size_t len, struct state_meta *ret, struct cursor *ret_sections,
               struct error *err);
/* The next section, which must have this tag. */
int state_section(struct cursor *sections, enum state_tag tag, struct cursor *ret);

/* A block of `size` bytes with its length; reading demands the same length. */
void state_put_blob(struct buf *b, const void *data, size_t size);
int state_get_blob(struct cursor *c, void *data, size_t size);

void state_make_trailer(uint8_t out[STATE_TRAILER], const struct state_meta *meta);
int state_check_trailer(const uint8_t in[STATE_TRAILER], const struct state_meta *meta,
                        struct error *err);

#endif
