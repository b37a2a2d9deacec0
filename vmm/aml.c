/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.c - the encoding of ACPI machine language (ACPI 6.5, chapter 20; resource descriptors 6.4).
 *
 * A package carries its own length in front of its content, so opening one leaves room and
 * closing it writes the length. The buffer remembers a failure of memory: callers look at it
 * once, at the end.
 */
#include "aml.h"

#include <string.h>

#define AML_NAME_OP    0x08
#define AML_BYTE       0x0a
#define AML_WORD       0x0b
#define AML_DWORD      0x0c
#define AML_STRING     0x0d
#define AML_QWORD      0x0e
#define AML_SCOPE_OP   0x10
#define AML_BUFFER_OP  0x11
#define AML_PACKAGE_OP 0x12
#define AML_METHOD_OP  0x14
#define AML_EXT_OP     0x5b
#define AML_EXT_DEVICE 0x82
#define AML_ARG0       0x68
#define AML_NOTIFY_OP  0x86
#define AML_LEQUAL_OP  0x93
#define AML_IF_OP      0xa0

/* Every package length is written in the three-byte form: the content is not known yet. */
#define AML_PKG_LENGTH 3u

static size_t aml_open(struct buf *b)
{
    size_t start = b->len;
    static const uint8_t room[AML_PKG_LENGTH] = {0};
    (void)buf_append(b, room, sizeof(room));
    return start;
}

void aml_end(struct buf *b, size_t start)
{
    if (b->failed)
        return;
    size_t len = b->len - start; /* counts its own bytes */
    b->data[start] = (uint8_t)(0x80 | (len & 0xf));
    b->data[start + 1] = (uint8_t)(len >> 4);
    b->data[start + 2] = (uint8_t)(len >> 12);
}

size_t aml_scope(struct buf *b, const char *name)
{
    (void)buf_u8(b, AML_SCOPE_OP);
    size_t start = aml_open(b);
    (void)buf_append_str(b, name);
    return start;
}

size_t aml_device(struct buf *b, const char *name)
{
    (void)buf_u8(b, AML_EXT_OP);
    (void)buf_u8(b, AML_EXT_DEVICE);
    size_t start = aml_open(b);
    (void)buf_append_str(b, name);
    return start;
}

size_t aml_method(struct buf *b, const char *name, uint8_t flags)
{
    (void)buf_u8(b, AML_METHOD_OP);
    size_t start = aml_open(b);
    (void)buf_append_str(b, name);
    (void)buf_u8(b, flags);
    return start;
}

size_t aml_if_arg0_is(struct buf *b, uint8_t value)
{
    (void)buf_u8(b, AML_IF_OP);
    size_t start = aml_open(b);
    (void)buf_u8(b, AML_LEQUAL_OP);
    (void)buf_u8(b, AML_ARG0);
    aml_integer(b, value);
    return start;
}

static void aml_name(struct buf *b, const char *name)
{
    (void)buf_u8(b, AML_NAME_OP);
    (void)buf_append_str(b, name);
}

size_t aml_name_package(struct buf *b, const char *name, uint8_t count)
{
    aml_name(b, name);
    (void)buf_u8(b, AML_PACKAGE_OP);
    size_t start = aml_open(b);
    (void)buf_u8(b, count);
    return start;
}

void aml_integer(struct buf *b, uint64_t v)
{
    if (v <= 1) {
        (void)buf_u8(b, (uint8_t)v); /* ZeroOp, OneOp */
    } else if (v <= UINT8_MAX) {
        (void)buf_u8(b, AML_BYTE);
        (void)buf_u8(b, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        (void)buf_u8(b, AML_WORD);
        (void)buf_u16(b, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        (void)buf_u8(b, AML_DWORD);
        (void)buf_u32(b, (uint32_t)v);
    } else {
        (void)buf_u8(b, AML_QWORD);
        (void)buf_u64(b, v);
    }
}

void aml_name_integer(struct buf *b, const char *name, uint64_t v)
{
    aml_name(b, name);
    aml_integer(b, v);
}

void aml_name_string(struct buf *b, const char *name, const char *value)
{
    aml_name(b, name);
    (void)buf_u8(b, AML_STRING);
    (void)buf_append(b, value, strlen(value) + 1);
}

void aml_notify(struct buf *b, const char *path, uint8_t value)
{
    (void)buf_u8(b, AML_NOTIFY_OP);
    (void)buf_append_str(b, path);
    aml_integer(b, value);
}

void aml_crs_memory32(struct buf *crs, uint32_t base, uint32_t len)
{
    (void)buf_u8(crs, 0x86); /* 32-bit fixed memory range */
    (void)buf_u16(crs, 9);
    (void)buf_u8(crs, 1); /* read-write */
    (void)buf_u32(crs, base);
    (void)buf_u32(crs, len);
}

void aml_crs_io(struct buf *crs, uint16_t port, uint8_t len)
{
    (void)buf_u8(crs, 0x47); /* I/O port, 7 bytes */
    (void)buf_u8(crs, 1);    /* decodes 16 bits */
    (void)buf_u16(crs, port);
    (void)buf_u16(crs, port);
    (void)buf_u8(crs, 1); /* alignment */
    (void)buf_u8(crs, len);
}

void aml_crs_edge_interrupt(struct buf *crs, uint32_t gsi)
{
    (void)buf_u8(crs, 0x89); /* extended interrupt */
    (void)buf_u16(crs, 6);
    (void)buf_u8(crs, 3); /* consumer, edge, active high, exclusive */
    (void)buf_u8(crs, 1);
    (void)buf_u32(crs, gsi);
}

void aml_name_crs(struct buf *b, const struct buf *crs)
{
    aml_name(b, "_CRS");
    (void)buf_u8(b, AML_BUFFER_OP);
    size_t start = aml_open(b);
    aml_integer(b, crs->len + 2);
    (void)buf_append(b, crs->data, crs->len);
    (void)buf_u8(b, 0x79); /* end tag, checksum not used */
    (void)buf_u8(b, 0);
    aml_end(b, start);
}
