/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a container runtime, of which parts may come from the sandbox's own files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isolation/oci/exec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {.code = ERROR_NONE};
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/fuzz-log-%d", (int)getpid());
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)close(fd);
    oci_exec_log_error(AT_FDCWD, path, &err);
    (void)unlink(path);
    if (err.code != ERROR_NONE && memchr(err.message, '\0', sizeof(err.message)) == NULL)
        abort();
    return 0;
}
