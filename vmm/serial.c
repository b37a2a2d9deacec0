/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - a UART that only sends.
 *
 * Linux drives it in two ways. The kernel's console polls LSR and finds the transmitter empty,
 * always. The tty of user space waits for the "transmitter empty" interrupt: without it a
 * program's first write hangs for ever. There is no FIFO to announce, so the driver takes it for
 * a 16450.
 *
 * It runs under the VM's lock, on the thread of the vCPU that writes. Every byte is an exit of
 * the guest; a guest that logs a lot slows down only itself.
 */
#include "serial.h"

#include <errno.h>
#include <string.h>

#define SERIAL_DATA 0
#define SERIAL_IER  1
#define SERIAL_IIR  2
#define SERIAL_LCR  3
#define SERIAL_MCR  4
#define SERIAL_LSR  5
#define SERIAL_MSR  6
#define SERIAL_SCR  7

#define SERIAL_IER_THRE 0x02u
#define SERIAL_LCR_DLAB 0x80u
#define SERIAL_LSR_IDLE 0x60u /* holding register and transmitter empty */
#define SERIAL_MSR_IDLE 0xb0u /* carrier, data set ready, clear to send */

static const char serial_panic_mark[] = "Kernel panic - not syncing: ";

void serial_init(struct serial *s, const struct irq_line *irq, int echo_fd)
{
    *s = (struct serial){.irq = *irq, .echo_fd = echo_fd, .dll = 1};
}

/* The kernel's last words reach no agent; this is how the end of a VM gets its reason. */
static void serial_end_line(struct serial *s)
{
    s->line[MIN(s->line_len, sizeof(s->line) - 1)] = '\0';
    const char *text = strstr(s->line, serial_panic_mark);
    if (text != NULL && s->panic[0] == '\0') {
        size_t len = strlen(text + sizeof(serial_panic_mark) - 1);
        memcpy(s->panic, text + sizeof(serial_panic_mark) - 1, len + 1);
    }
    s->line_len = 0;
}

static void serial_output(struct serial *s, uint8_t c)
{
    s->ring[s->total++ % SERIAL_RING] = c;
    if (s->echo_fd >= 0 && write(s->echo_fd, &c, 1) != 1)
        s->echo_fd = -1; /* a debugging aid only */
    if (c == '\n' || c == '\r')
        serial_end_line(s);
    else if (s->line_len < sizeof(s->line) - 1)
        s->line[s->line_len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
}

/* Sending takes no time here: whenever the interrupt is enabled, it is due. */
static void serial_thre(struct serial *s)
{
    if ((s->ier & SERIAL_IER_THRE) == 0)
        return;
    s->thre_irq = true;
    irq_raise(&s->irq);
}

static uint8_t serial_get(struct serial *s, uint64_t reg)
{
    bool latch = (s->lcr & SERIAL_LCR_DLAB) != 0;
    uint8_t v = 0;
    switch (reg) {
    case SERIAL_DATA:
        return latch ? s->dll : 0;
    case SERIAL_IER:
        return latch ? s->dlm : s->ier;
    /* Reading the register acknowledges the interrupt; bit 0 says that none is pending. */
    case SERIAL_IIR:
        v = s->thre_irq ? 0x02 : 0x01;
        s->thre_irq = false;
        return v;
    case SERIAL_LCR:
        return s->lcr;
    case SERIAL_MCR:
        return s->mcr;
    /* The kernel's console polls this register before each byte. */
    case SERIAL_LSR:
        return SERIAL_LSR_IDLE;
    case SERIAL_MSR:
        return SERIAL_MSR_IDLE;
    default:
        return s->scr;
    }
}

void serial_read(struct serial *s, uint64_t offset, void *data, uint32_t len)
{
    if (len == 1)
        *(uint8_t *)data = serial_get(s, offset);
}

void serial_write(struct serial *s, uint64_t offset, const void *data, uint32_t len)
{
    bool latch = (s->lcr & SERIAL_LCR_DLAB) != 0;
    if (len != 1)
        return;
    uint8_t v = *(const uint8_t *)data;
    switch (offset) {
    case SERIAL_DATA:
        if (latch) {
            s->dll = v;
            break;
        }
        serial_output(s, v);
        serial_thre(s);
        break;
    case SERIAL_IER:
        if (latch) {
            s->dlm = v;
            break;
        }
        s->ier = v & 0x0f;
        serial_thre(s); /* the register is empty: enabling the interrupt fires it */
        break;
    case SERIAL_LCR:
        s->lcr = v;
        break;
    case SERIAL_MCR:
        s->mcr = v & 0x1f;
        break;
    case SERIAL_SCR:
        s->scr = v;
        break;
    default:
        break;
    }
}

void serial_log(const struct serial *s, struct buf *out)
{
    size_t len = (size_t)MIN(s->total, (uint64_t)SERIAL_RING);
    size_t start = (size_t)((s->total - len) % SERIAL_RING);
    size_t first = MIN(len, SERIAL_RING - start);
    (void)buf_append(out, s->ring + start, first);
    (void)buf_append(out, s->ring, len - first);
}

/* Registers only: the log and the panic line are the origin's, not the clone's. */
void serial_save(const struct serial *s, struct buf *out)
{
    const uint8_t regs[] = {s->ier, s->lcr, s->mcr, s->scr, s->dll, s->dlm, s->thre_irq};
    (void)buf_append(out, regs, sizeof(regs));
}

int serial_load(struct serial *s, struct cursor *c)
{
    const uint8_t *regs = cursor_bytes(c, 7);
    if (regs == NULL)
        return -EINVAL;
    s->ier = regs[0] & 0x0f;
    s->lcr = regs[1];
    s->mcr = regs[2] & 0x1f;
    s->scr = regs[3];
    s->dll = regs[4];
    s->dlm = regs[5];
    s->thre_irq = regs[6] != 0;
    return 0;
}
