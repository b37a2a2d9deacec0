/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot's state file: as it is, and with its checksums made right, so that the sections behind
 * them are reached. */
#include <string.h>

#include "serial.h"
#include "state.h"
#include "virtio_balloon.h"
#include "virtio_mmio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mem mem;

static void load(struct cursor *sections)
{
    static struct serial serial;
    static struct virtio_balloon balloon;
    const struct irq_line irq = {NULL, NULL};
    struct cursor c;
    serial_init(&serial, &irq, -1);
    virtio_balloon_init(&balloon, &mem, &irq);
    struct virtio_mmio t = {.dev = &balloon.dev};
    if (state_section(sections, STATE_SERIAL, &c) == 0)
        (void)serial_load(&serial, &c);
    if (state_section(sections, STATE_VIRTIO, &c) == 0 && virtio_mmio_load(&t, &c) == 0) {
        virtio_kick_all(&balloon.dev);
        virtio_run_again(&balloon.dev);
    }
    uint8_t blob[64];
    (void)state_get_blob(sections, blob, sizeof(blob));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state_meta meta = {.memory_size = 1};
    struct cursor sections;
    cleanup_buf struct buf b = {0};
    if (mem.base == NULL && mem_init_new(&mem, MEM_MIN_SIZE) < 0)
        abort();
    if (state_open(data, size, &meta, &sections, NULL) == 0)
        load(&sections);
    state_start(&b);
    (void)buf_append(&b, data, size);
    if (state_finish(&b, &meta) < 0)
        return 0;
    if (state_open(b.data, b.len, &meta, &sections, NULL) < 0)
        abort(); /* what was just framed must open */
    load(&sections);
    return 0;
}
