/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sparse.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Copies some bytes at *at, and moves it on. copy_file_range lets the file system share blocks, but
 * mostly refuses to go from one to another. */
static ssize_t sparse_copy_some(int from, int to, off_t *at, size_t len)
{
    off_t out = *at;
    ssize_t n = copy_file_range(from, at, to, &out, len, 0);
    if (n >= 0 || (errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS))
        return n;
    return lseek(to, *at, SEEK_SET) < 0 ? -1 : sendfile(to, from, at, len);
}

int sparse_copy(int from, int to)
{
    struct stat st;
    off_t at = 0;
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
        return -errno;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE);
        while (at < end) {
            ssize_t n = sparse_copy_some(from, to, &at, (size_t)(end - at));
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
        }
    }
    return errno == ENXIO ? 0 : -errno;
}
