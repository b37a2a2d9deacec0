/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16450 serial port whose output goes into a bounded ring; nothing can be typed.
 *
 * The oldest bytes give way to new ones. The port remembers a line that announces a kernel panic:
 * it explains the end of the guest.
 */
#ifndef CORRAL_VMM_SERIAL_H
#define CORRAL_VMM_SERIAL_H

#include <stdbool.h>

#include "base/buf.h"
#include "irq.h"

#define SERIAL_RING  16384u
#define SERIAL_PORTS 8u
#define SERIAL_LINE  160u

struct serial {
    struct irq_line irq;
    uint8_t ier, lcr, mcr, scr, dll, dlm;
    bool thre_irq; /* the "transmitter empty" interrupt is pending */
    int echo_fd;   /* also written there; -1: no. Not owned */
    uint8_t ring[SERIAL_RING];
    uint64_t total; /* bytes ever written */
    char line[SERIAL_LINE];
    size_t line_len;
    char panic[SERIAL_LINE]; /* text of the panic, "" if none was seen */
};

void serial_init(struct serial *s, const struct irq_line *irq, int echo_fd);
void serial_read(struct serial *s, uint64_t offset, void *data, uint32_t len);
void serial_write(struct serial *s, uint64_t offset, const void *data, uint32_t len);
/* Appends what the ring holds, oldest first. */
void serial_log(const struct serial *s, struct buf *out);

void serial_save(const struct serial *s, struct buf *out);
int serial_load(struct serial *s, struct cursor *c);

#endif
