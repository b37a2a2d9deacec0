/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - the guest of the VMM's own tests: loads the modules named in /modules, then answers one
 * command line per vsock connection on port 1024. Static; PID 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 1024
#define DISK "/dev/vda"

static volatile unsigned long ticks, reads;
static int old_conn = -1;

static long long now_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

static void *ticker(void *arg)
{
    for (;;) {
        sleep_ms(10);
        ticks++;
    }
    return arg;
}

static void load_modules(void)
{
    char name[128];
    FILE *f = fopen("/modules/order", "r");
    while (f != NULL && fgets(name, sizeof(name), f) != NULL) {
        char path[160];
        name[strcspn(name, "\n")] = '\0';
        snprintf(path, sizeof(path), "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
            fprintf(stderr, "init: %s: %s\n", name, strerror(errno));
        close(fd);
    }
    if (f != NULL)
        fclose(f);
}

static void cmd_rand(FILE *out)
{
    unsigned char b[16];
    if (getrandom(b, sizeof(b), 0) != sizeof(b))
        return;
    for (size_t i = 0; i < sizeof(b); i++)
        fprintf(out, "%02x", b[i]);
    fputc('\n', out);
}

/* Sums the bytes of a block, read past the page cache. */
static void cmd_read(FILE *out, unsigned long block)
{
    void *p = NULL;
    unsigned long sum = 0;
    int fd = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (posix_memalign(&p, 4096, 4096) != 0 || fd < 0 ||
        pread(fd, p, 4096, (off_t)block * 4096) != 4096) {
        fprintf(out, "error %s\n", strerror(errno));
    } else {
        for (int i = 0; i < 4096; i++)
            sum += ((unsigned char *)p)[i];
        fprintf(out, "%lu\n", sum);
    }
    free(p);
    close(fd);
}

static void cmd_write(FILE *out, unsigned long block, int value)
{
    void *p = NULL;
    int fd = open(DISK, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (posix_memalign(&p, 4096, 4096) != 0 || fd < 0) {
        fprintf(out, "error %s\n", strerror(errno));
        return;
    }
    memset(p, value, 4096);
    if (pwrite(fd, p, 4096, (off_t)block * 4096) != 4096 || fsync(fd) < 0)
        fprintf(out, "error %s\n", strerror(errno));
    else
        fprintf(out, "ok\n");
    free(p);
    close(fd);
}

#define MIB (1ul << 20)

static void fill(char *data, unsigned long i)
{
    memset(data, (int)(i * 7 + 1), MIB);
}

static int mount_disk(FILE *out)
{
    mkdir("/mnt", 0755);
    if (mount(DISK, "/mnt", "ext4", 0, NULL) == 0 || errno == EBUSY)
        return 0;
    fprintf(out, "error mount %s\n", strerror(errno));
    return -1;
}

/* Writes `mib` MiB of a pattern through a file system on the disk and syncs it. */
static void cmd_file(FILE *out, unsigned long mib)
{
    static char data[MIB];
    if (mount_disk(out) < 0)
        return;
    int fd = open("/mnt/file", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    for (unsigned long i = 0; i < mib; i++) {
        fill(data, i);
        if (write(fd, data, MIB) != (ssize_t)MIB) {
            fprintf(out, "error write %s\n", strerror(errno));
            return;
        }
    }
    fprintf(out, fsync(fd) < 0 ? "error fsync\n" : "ok\n");
    close(fd);
}

/* Whether the file of cmd_file is there, byte by byte. */
static void cmd_verify(FILE *out, unsigned long mib)
{
    static char data[MIB], wanted[MIB];
    if (mount_disk(out) < 0)
        return;
    int fd = open("/mnt/file", O_RDONLY | O_CLOEXEC);
    for (unsigned long i = 0; i < mib; i++) {
        fill(wanted, i);
        if (read(fd, data, MIB) != (ssize_t)MIB || memcmp(data, wanted, MIB) != 0) {
            fprintf(out, "error in MiB %lu\n", i);
            return;
        }
    }
    fprintf(out, read(fd, data, 1) == 0 ? "ok\n" : "error longer\n");
    close(fd);
}

/* Deletes the file and discards what is free. */
static void cmd_trim(FILE *out)
{
    struct fstrim_range range = {.len = UINT64_MAX};
    if (mount_disk(out) < 0)
        return;
    unlink("/mnt/file");
    sync();
    int fd = open("/mnt", O_RDONLY | O_CLOEXEC);
    fprintf(out, ioctl(fd, FITRIM, &range) < 0 ? "error trim\n" : "ok\n");
    close(fd);
    sync();
}

/* Reads past the page cache without end: there is nearly always a request under way. */
static void *reader(void *arg)
{
    void *p = NULL;
    int fd = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (posix_memalign(&p, 4096, 4096) != 0)
        return arg;
    for (unsigned long i = 0; pread(fd, p, 4096, (off_t)(i % 1000) * 4096) == 4096; i++)
        reads = i + 1;
    reads = 0;
    return arg;
}

static void cmd_busy(FILE *out)
{
    pthread_t t;
    fprintf(out, pthread_create(&t, NULL, reader, NULL) == 0 ? "ok\n" : "error\n");
}

#define LOAD_BYTES (64ul << 20) /* of the disk, that a load reads or writes */
#define LOAD_MOST  64ul         /* threads */

struct load {
    int fd;
    int writes, random;
    size_t size;
    long long end; /* us; 0: after one pass */
    unsigned long next, failed;
};

static long long now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* One request at a time, past the page cache. */
static void *load_thread(void *arg)
{
    struct load *l = arg;
    void *p = NULL;
    unsigned long count = LOAD_BYTES / l->size, draw = (unsigned long)(uintptr_t)&p | 1;
    if (posix_memalign(&p, 4096, l->size) != 0)
        return NULL;
    memset(p, 0x5a, l->size);
    while (l->end == 0 || now_us() < l->end) {
        unsigned long i = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
        if (l->end == 0 && i >= count)
            break;
        draw = draw * 6364136223846793005ul + 1442695040888963407ul;
        off_t at = (off_t)((l->random ? draw >> 33 : i) % count * l->size);
        ssize_t n = l->writes ? pwrite(l->fd, p, l->size, at) : pread(l->fd, p, l->size, at);
        if (n != (ssize_t)l->size)
            __atomic_fetch_add(&l->failed, 1, __ATOMIC_RELAXED);
    }
    free(p);
    return NULL;
}

/* Reads (r) or writes (w) at random places (r) or in order (s), `depth` requests at a time, for a
 * while, or once over the place when `ms` is 0. Tells operations, bytes and microseconds. */
static void cmd_blk(FILE *out, const char *line)
{
    pthread_t threads[LOAD_MOST];
    char kind[3] = "";
    unsigned long size = 0, depth = 0, ms = 0, started = 0;
    if (sscanf(line, "%*s %2s %lu %lu %lu", kind, &size, &depth, &ms) != 4 || size == 0 ||
        size % 4096 != 0 || depth > LOAD_MOST) {
        fprintf(out, "error usage\n");
        return;
    }
    struct load l = {.writes = kind[0] == 'w', .random = kind[1] == 'r', .size = size};
    l.fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
    long long start = now_us();
    l.end = ms == 0 ? 0 : start + (long long)ms * 1000;
    while (started < depth && pthread_create(&threads[started], NULL, load_thread, &l) == 0)
        started++;
    for (unsigned long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    unsigned long done = ms == 0 ? LOAD_BYTES / size : l.next;
    if (l.fd < 0 || l.failed != 0 || started != depth)
        fprintf(out, "error %lu of %lu failed\n", l.failed, done);
    else
        fprintf(out, "%lu %lu %lld\n", done, done * size, now_us() - start);
    close(l.fd);
}

static void cmd_cat(FILE *out, const char *path)
{
    char b[4096];
    size_t n;
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return;
    while ((n = fread(b, 1, sizeof(b), f)) > 0)
        fwrite(b, 1, n, out);
    fclose(f);
}

static void cmd_touch(FILE *out, unsigned long mib)
{
    size_t len = mib << 20;
    char *p = malloc(len);
    if (p != NULL)
        memset(p, 0x5a, len);
    free(p);
    fprintf(out, p != NULL ? "ok\n" : "error\n");
}

/* Memory that is kept, with a pattern that says which page it is. */
static unsigned char *held;
static size_t held_len;

static void cmd_hold(FILE *out, unsigned long mib, unsigned long seed)
{
    free(held);
    held_len = mib << 20;
    held = malloc(held_len);
    for (size_t i = 0; held != NULL && i < held_len; i += 64)
        memset(held + i, (int)(seed + i / 4096 * 13 + i / 64 + 1), 64);
    fprintf(out, held != NULL ? "ok\n" : "error\n");
}

static void cmd_held(FILE *out)
{
    uint64_t sum = 14695981039346656037ull;
    for (size_t i = 0; i < held_len; i += 16)
        sum = (sum ^ held[i]) * 1099511628211ull;
    fprintf(out, "%016llx\n", (unsigned long long)sum);
}

/* Sends `mib` MiB of zeros. */
static void cmd_flood(FILE *out, unsigned long mib)
{
    static const char data[1 << 16];
    for (unsigned long i = 0; i < mib * 16; i++)
        fwrite(data, 1, sizeof(data), out);
}

/* Reads to the end and tells how much came. */
static void cmd_sink(FILE *out, int fd)
{
    static char data[1 << 16];
    unsigned long long total = 0;
    ssize_t n;
    while ((n = read(fd, data, sizeof(data))) > 0)
        total += (unsigned long long)n;
    fprintf(out, "%llu\n", total);
}

/* Connects to a host port and says hello. */
static void cmd_connect(FILE *out, unsigned int port)
{
    struct sockaddr_vm sa = {.svm_family = AF_VSOCK, .svm_cid = 2, .svm_port = port};
    char line[64] = "";
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        fprintf(out, "error %s\n", strerror(errno));
        close(fd);
        return;
    }
    (void)!write(fd, "hello from the guest\n", 21);
    (void)!read(fd, line, sizeof(line) - 1);
    fprintf(out, "%s", line);
    close(fd);
}

/* Something to do for each processor. */
static void cmd_all(FILE *out)
{
    cpu_set_t set;
    for (int cpu = 0; cpu < (int)sysconf(_SC_NPROCESSORS_ONLN); cpu++) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0 || sched_getcpu() != cpu)
            return;
    }
    fprintf(out, "ok\n");
}

static void cmd_old(FILE *out)
{
    char c;
    ssize_t n = old_conn >= 0 ? recv(old_conn, &c, 1, MSG_DONTWAIT) : -2;
    fprintf(out, "%zd %s\n", n, n == -1 ? strerror(errno) : "");
}

static void command(FILE *out, int fd, char *line)
{
    char word[32] = "", text[256] = "";
    unsigned long a = 0, b = 0;
    sscanf(line, "%31s %lu %lu", word, &a, &b);
    sscanf(line, "%*s %255s", text);
    if (strcmp(word, "ping") == 0)
        fprintf(out, "pong\n");
    else if (strcmp(word, "sleep") == 0) {
        long long t = now_ms(CLOCK_MONOTONIC);
        sleep_ms((long)a);
        fprintf(out, "%lld\n", now_ms(CLOCK_MONOTONIC) - t);
    } else if (strcmp(word, "ticks") == 0)
        fprintf(out, "%lu\n", ticks);
    else if (strcmp(word, "busy") == 0)
        cmd_busy(out);
    else if (strcmp(word, "reads") == 0)
        fprintf(out, "%lu\n", reads);
    else if (strcmp(word, "rand") == 0)
        cmd_rand(out);
    else if (strcmp(word, "clocks") == 0)
        fprintf(out, "%lld %lld %lld\n", now_ms(CLOCK_REALTIME), now_ms(CLOCK_MONOTONIC),
                now_ms(CLOCK_BOOTTIME));
    else if (strcmp(word, "read") == 0)
        cmd_read(out, a);
    else if (strcmp(word, "write") == 0)
        cmd_write(out, a, (int)b);
    else if (strcmp(word, "blk") == 0)
        cmd_blk(out, line);
    else if (strcmp(word, "file") == 0)
        cmd_file(out, a);
    else if (strcmp(word, "verify") == 0)
        cmd_verify(out, a);
    else if (strcmp(word, "trim") == 0)
        cmd_trim(out);
    else if (strcmp(word, "cat") == 0)
        cmd_cat(out, text);
    else if (strcmp(word, "touch") == 0)
        cmd_touch(out, a);
    else if (strcmp(word, "hold") == 0)
        cmd_hold(out, a, b);
    else if (strcmp(word, "held") == 0)
        cmd_held(out);
    else if (strcmp(word, "flood") == 0)
        cmd_flood(out, a);
    else if (strcmp(word, "sink") == 0)
        cmd_sink(out, fd);
    else if (strcmp(word, "connect") == 0)
        cmd_connect(out, (unsigned int)a);
    else if (strcmp(word, "all") == 0)
        cmd_all(out);
    else if (strcmp(word, "old") == 0)
        cmd_old(out);
    else if (strcmp(word, "keep") == 0) {
        old_conn = dup(fd);
        fprintf(out, "ok\n");
    } else if (strcmp(word, "poweroff") == 0)
        reboot(RB_POWER_OFF);
    else if (strcmp(word, "reboot") == 0)
        reboot(RB_AUTOBOOT);
    else if (strcmp(word, "idle") == 0)
        sleep_ms(60000);
    else if (strcmp(word, "panic") == 0)
        exit(1); /* the end of PID 1 */
    else
        fprintf(out, "unknown\n");
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char line[256];
    size_t len = 0;
    /* Byte by byte: what follows the line belongs to the command. */
    while (len < sizeof(line) - 1 && read(fd, line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    FILE *out = fdopen(dup(fd), "w");
    if (out != NULL && len > 0)
        command(out, fd, line);
    if (out != NULL)
        fclose(out);
    close(fd);
    return NULL;
}

int main(void)
{
    pthread_t t;
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    signal(SIGPIPE, SIG_IGN);
    load_modules();
    struct sockaddr_vm sa = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 64) < 0) {
        fprintf(stderr, "init: vsock: %s\n", strerror(errno));
        return 1;
    }
    pthread_create(&t, NULL, ticker, NULL);
    fprintf(stderr, "init: ready\n");
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)c) == 0)
            pthread_detach(t);
    }
}
