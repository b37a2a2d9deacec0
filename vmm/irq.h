/* SPDX-License-Identifier: Apache-2.0 */
/* irq.h - an edge-triggered interrupt line, as a device sees it: one function to call. */
#ifndef CORRAL_VMM_IRQ_H
#define CORRAL_VMM_IRQ_H

#include <stddef.h>

struct irq_line {
    void (*raise)(void *ctx);
    void *ctx;
};

static inline void irq_raise(const struct irq_line *irq)
{
    if (irq->raise != NULL)
        irq->raise(irq->ctx);
}

#endif
