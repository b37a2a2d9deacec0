/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov.c - walks over scattered buffers.
 *
 * A driver may cut a request into buffers in any way it likes (virtio 1.2, 2.7.4: message
 * framing): no device may take a header for one buffer. Everything that reads a request goes
 * through here.
 */
#include "iov.h"

#include <string.h>

enum iov_op { IOV_READ, IOV_WRITE, IOV_ZERO };

static size_t iov_walk(const struct iovec *iov, size_t n, size_t offset, uint8_t *host, size_t len,
                       enum iov_op op)
{
    size_t done = 0;
    for (size_t i = 0; i < n && done < len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        uint8_t *p = (uint8_t *)iov[i].iov_base + offset;
        size_t part = MIN(len - done, iov[i].iov_len - offset);
        if (op == IOV_READ)
            memcpy(host + done, p, part);
        else if (op == IOV_WRITE)
            memcpy(p, host + done, part);
        else
            memset(p, 0, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, size_t n, size_t offset, void *dst, size_t len)
{
    return iov_walk(iov, n, offset, dst, len, IOV_READ);
}

size_t iov_write(const struct iovec *iov, size_t n, size_t offset, const void *src, size_t len)
{
    return iov_walk(iov, n, offset, (uint8_t *)(uintptr_t)src, len, IOV_WRITE);
}

size_t iov_zero(const struct iovec *iov, size_t n, size_t offset, size_t len)
{
    return iov_walk(iov, n, offset, NULL, len, IOV_ZERO);
}

size_t iov_size(const struct iovec *iov, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += iov[i].iov_len;
    return size;
}

/* The part of an element of `size` bytes that lies in [offset, offset + len) of what begins with
 * it: its length, 0 when there is none. */
/*@ assigns \nothing;
  @ ensures inside: \result > 0 ==> offset + \result <= size;
  @ ensures wanted: \result <= len;
  @ ensures all: len > 0 && offset < size ==> \result > 0;
  @*/
static size_t iov_part(size_t size, size_t offset, size_t len)
{
    return offset < size ? MIN(len, size - offset) : 0;
}

/*@ requires n > 0 ==> \valid_read(iov + (0 .. n - 1)) && \valid(out + (0 .. n - 1));
  @ requires \separated(iov + (0 .. n - 1), out + (0 .. n - 1));
  @ assigns out[0 .. n - 1];
  @ ensures fits: \result <= n;
  @ ensures parts: \forall integer k; 0 <= k < \result ==> 0 < out[k].iov_len <= len;
  @*/
size_t iov_slice(const struct iovec *iov, size_t n, size_t offset, size_t len, struct iovec *out)
{
    size_t used = 0;
    /*@ loop invariant 0 <= used <= i <= n;
      @ loop invariant len <= \at(len, Pre);
      @ loop invariant \forall integer k; 0 <= k < used ==> 0 < out[k].iov_len <= \at(len, Pre);
      @ loop assigns i, used, offset, len, out[0 .. n - 1];
      @ loop variant n - i;
      @*/
    for (size_t i = 0; i < n && len > 0; i++) {
        size_t part = iov_part(iov[i].iov_len, offset, len);
        if (part == 0) {
            offset -= iov[i].iov_len;
            continue;
        }
        out[used].iov_base = (uint8_t *)iov[i].iov_base + offset;
        out[used++].iov_len = part;
        len -= part;
        offset = 0;
    }
    return used;
}
