/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - whole small files, blocking: for start-up and pool threads. */
#ifndef CORRAL_CORE_FILE_H
#define CORRAL_CORE_FILE_H

#include <sys/types.h>

#include "base/buf.h"

/* Appends the file's bytes to `out`. -EFBIG when there are more than `max`. */
int file_read(const char *path, size_t max, struct buf *out);

/* The file has the old or the new bytes, never a mixture, also after a power failure. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode);

/* Makes `path` with `mode` and missing parents with 0755. A directory that exists is fine. */
int file_make_dirs(const char *path, mode_t mode);

/* Makes entries created or renamed in a directory survive a power failure. */
int file_sync_dir(const char *path);

#endif
