/* SPDX-License-Identifier: Apache-2.0 */
/* aml.h - writing the few ACPI machine language constructs that a DSDT of ours needs. A package
 * (scope, device, method, ...) is opened, filled and closed; opening returns what closing needs. */
#ifndef CORRAL_VMM_AML_H
#define CORRAL_VMM_AML_H

#include "base/buf.h"

size_t aml_scope(struct buf *b, const char *name);  /* "\\_SB_" */
size_t aml_device(struct buf *b, const char *name); /* four characters */
/* `flags`: number of arguments, plus 8 for a serialized one. */
size_t aml_method(struct buf *b, const char *name, uint8_t flags);
size_t aml_if_arg0_is(struct buf *b, uint8_t value);
/* Name (NAME, Package () { count elements follow }) */
size_t aml_name_package(struct buf *b, const char *name, uint8_t count);
void aml_end(struct buf *b, size_t start);

void aml_integer(struct buf *b, uint64_t v);
void aml_name_integer(struct buf *b, const char *name, uint64_t v);
void aml_name_string(struct buf *b, const char *name, const char *value);
void aml_notify(struct buf *b, const char *path, uint8_t value);

/* Name (_CRS, ResourceTemplate () { ... }): resources are collected in a buffer of their own. */
void aml_crs_memory32(struct buf *crs, uint32_t base, uint32_t len);
void aml_crs_io(struct buf *crs, uint16_t port, uint8_t len);
void aml_crs_edge_interrupt(struct buf *crs, uint32_t gsi);
void aml_name_crs(struct buf *b, const struct buf *crs);

#endif
