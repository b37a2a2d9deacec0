/* SPDX-License-Identifier: Apache-2.0 */
/* Stages of the walls, each tried in a child of its own; and what files.c opens around them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "difference.h"
#include "files.h"
#include "isolate.h"
#include "t.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FRAME   ((1ull << 55) - 1)

static int in_child(int (*call)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(call());
    T_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static int write_beyond_the_limit(void)
{
    struct error err = {0};
    int fd = memfd_create("file", MFD_CLOEXEC);
    if (isolate_limits(65536, &err) < 0 || pwrite(fd, "x", 1, 65535) != 1)
        return 1;
    return pwrite(fd, "x", 1, 65536) == -1 && errno == EFBIG ? 0 : 2;
}

static void files_have_a_largest_size(void)
{
    const struct vm_config none = {
        .state_fd = -1, .memory_fd = -1, .base_fd = -1, .disk_fd = -1, .overlay_fd = -1};
    T_EQ(in_child(write_beyond_the_limit), 0);
    T_EQ(files_largest(&none), STATE_MAX_SIZE);
    struct vm_config c = none;
    c.memory = 64u << 20;
    T_EQ(files_largest(&c), (64u << 20) + STATE_TRAILER);
    c.disk_fd = memfd_create("disk", MFD_CLOEXEC);
    T_EQ(ftruncate(c.disk_fd, 128ll << 20), 0);
    T_EQ(files_largest(&c), 128u << 20);
    c.overlay_fd = memfd_create("overlay", MFD_CLOEXEC);
    T_EQ(files_largest(&c), (64u << 20) + STATE_TRAILER);
    c.state_fd = c.overlay_fd;
    c.base_fd = c.disk_fd;
    T_EQ(files_largest(&c), (128u << 20) + DIFF_ROOM);
    (void)close(c.disk_fd);
    (void)close(c.overlay_fd);
}

/* Behind the walls nothing may be learned of where in the host's memory a page is. */
static int look_at_the_pagemap(void)
{
    static volatile int here;
    const struct options o = {.record = true};
    struct vm_config c = {.pagemap_fd = -1, .seccomp = true, .record = true};
    struct error err = {0};
    uint64_t entry = 0;
    int proc_fd;
    here = 1;
    if (files_open_proc(&o, &proc_fd, &err) < 0)
        return 1;
    if (geteuid() == 0 && isolate_identity(12345, 12345, &err) < 0)
        return 2;
    if (files_open_pagemap(proc_fd, &c, &err) < 0)
        return 3;
    if (geteuid() != 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 4;
    off_t at = (off_t)((uintptr_t)&here / 4096 * sizeof(entry));
    if (pread(c.pagemap_fd, &entry, sizeof(entry), at) != sizeof(entry))
        return 5;
    if ((entry & PAGEMAP_PRESENT) == 0)
        return 6;
    return (entry & PAGEMAP_FRAME) == 0 ? 0 : 7;
}

static void the_page_map_tells_no_frames(void)
{
    if (geteuid() != 0)
        T_SKIP("only root could see them");
    T_EQ(in_child(look_at_the_pagemap), 0);
}

T_MAIN(T_CASE(files_have_a_largest_size), T_CASE(the_page_map_tells_no_frames))
