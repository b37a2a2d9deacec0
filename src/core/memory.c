/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

#define MEMORY_TEXT 4096
#define MEMORY_KEY  "MemAvailable:"

uint64_t memory_available_in(const char *text)
{
    const char *at = strstr(text, MEMORY_KEY);
    char *end = NULL;
    if (at == NULL || (at != text && at[-1] != '\n'))
        return UINT64_MAX;
    unsigned long long kib = strtoull(at + strlen(MEMORY_KEY), &end, 10);
    return strncmp(end, " kB", 3) == 0 ? (uint64_t)kib << 10 : UINT64_MAX;
}

uint64_t memory_available(void)
{
    char text[MEMORY_TEXT];
    cleanup_close int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    text[MAX(n, 0)] = '\0';
    return memory_available_in(text);
}
