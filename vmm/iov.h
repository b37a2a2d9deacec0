/* SPDX-License-Identifier: Apache-2.0 */
/* iov.h - copying into, out of and between parts of scattered buffers. */
#ifndef CORRAL_VMM_IOV_H
#define CORRAL_VMM_IOV_H

#include <sys/uio.h>

#include "base/base.h"

/* Copy up to `len` bytes from or to byte `offset` of the buffers; returns what fitted. */
size_t iov_read(const struct iovec *iov, size_t n, size_t offset, void *dst, size_t len);
size_t iov_write(const struct iovec *iov, size_t n, size_t offset, const void *src, size_t len);
size_t iov_zero(const struct iovec *iov, size_t n, size_t offset, size_t len);
/* Their bytes in all. */
size_t iov_size(const struct iovec *iov, size_t n);
/* Describes bytes [offset, offset + len) of `iov` in `out`, which has room for `n` elements.
 * Returns the number of elements used; they may cover less when `iov` ends early. */
size_t iov_slice(const struct iovec *iov, size_t n, size_t offset, size_t len, struct iovec *out);

#endif
