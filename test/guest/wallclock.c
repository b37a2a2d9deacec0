/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wallclock.c - preloaded into a bridge and its kernels: a wall clock that the test moves, and how
 * often each process has asked the kernel for random bytes.
 *
 * Both are in the file $CORRAL_WALLCLOCK: i64 ns to add to the time, then a u32 for each number of
 * a process. The monotonic clock is not changed.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 65536

static struct shared {
    int64_t offset_ns;
    uint32_t draws[PROCESSES];
} * shared;

__attribute__((constructor)) static void map_shared(void)
{
    const char *path = getenv("CORRAL_WALLCLOCK");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        abort();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        abort();
    (void)close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rv = syscall(SYS_clock_gettime, id, ts);
    if (rv == 0 && shared != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = ts->tv_sec * 1000000000ll + ts->tv_nsec +
                     __atomic_load_n(&shared->offset_ns, __ATOMIC_RELAXED);
        ts->tv_sec = ns / 1000000000;
        ts->tv_nsec = ns % 1000000000;
    }
    return (int)rv;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (ret != NULL)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

ssize_t getrandom(void *bytes, size_t len, unsigned int flags)
{
    if (shared != NULL)
        __atomic_add_fetch(&shared->draws[getpid() % PROCESSES], 1, __ATOMIC_RELAXED);
    return syscall(SYS_getrandom, bytes, len, flags);
}

int getentropy(void *bytes, size_t len)
{
    return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -1;
}
