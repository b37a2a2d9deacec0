/* SPDX-License-Identifier: Apache-2.0 */
/* Real containers: needs root and runc, and is skipped elsewhere. */
#include "isolation/oci/exec.h"
#include "isolation/proc.h"
#include "isolation/rmtree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "t_iso.h"

#define IDS 20

static char rootfs[96], guest_dir[96];

static void server_that_crashes(const char *state, unsigned int ms, const char *program);

/* The driver starts this very program as its helper; one test starts it as a second server. */
__attribute__((constructor)) static void helper(int argc, char **argv)
{
    int status = 0;
    if (driver_helper_main(argc, argv, &status))
        _exit(status);
    if (argc == 5 && strcmp(argv[1], "crash") == 0)
        server_that_crashes(argv[2], (unsigned int)atoi(argv[3]), argv[4]);
}

/* Another one than the default is tested by naming it. */
static const char *runtime(void)
{
    const char *name = getenv("CORRAL_TEST_OCI_RUNTIME");
    return name != NULL ? name : "runc";
}

static void box_init_with(struct box *b, unsigned int n, const char *root)
{
    box_new(
        b, n,
        (struct iso_spec){
            .rootfs = root, .guest_dir = guest_dir, .vcpus = 1, .memory_mb = 64, .pids_max = 32});
}

static void box_init(struct box *b, unsigned int n)
{
    box_init_with(b, n, rootfs);
}

static void box_start(struct box *b, unsigned int n)
{
    box_init(b, n);
    T_EQ(iso_start(b->iso), 0);
    T_EQ(b->started, 0);
    run_until(&b->started);
    if (b->status != 0)
        T_FAIL("start: %s", b->error);
}

static int box_connect(const struct box *b)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" OCI_SOCKET, b->dir);
    T_TRUE(n < (int)sizeof(addr.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 10},
                     sizeof(struct timeval));
    T_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* The answer to one line, in static memory. */
static const char *box_ask(const struct box *b, const char *line)
{
    static char answer[256];
    int fd = box_connect(b);
    T_EQ(write(fd, line, strlen(line)), (ssize_t)strlen(line));
    /* With a receive time-out set, helpers that end interrupt it. */
    ssize_t n = TEMP_FAILURE_RETRY(read(fd, answer, sizeof(answer) - 1));
    answer[n > 0 ? n - 1 : 0] = '\0';
    (void)close(fd);
    return answer;
}

/* What a sandbox could leave behind. */
struct traces {
    int processes, mounts, cgroups, fds, files;
};

static int count_lines(const char *path)
{
    int n = 0;
    FILE *f = fopen(path, "re");
    T_TRUE(f != NULL);
    for (int c = fgetc(f); c != EOF; c = fgetc(f))
        n += c == '\n';
    (void)fclose(f);
    return n;
}

static bool file_contains(const char *pid, const char *name, const char *what)
{
    char path[300], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
    FILE *f = fopen(path, "re");
    size_t len = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        (void)fclose(f);
    text[len] = '\0';
    return strstr(text, what) != NULL;
}

/* What lives in our containers; the machine has other business as well. An ended process is not
 * counted: its parent, the machine's process 1, takes its status in its own time. */
static int count_processes(void)
{
    int n = 0;
    char suffix[32];
    (void)snprintf(suffix, sizeof(suffix), "-%012x", id_suffix);
    DIR *d = opendir("/proc");
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += file_contains(e->d_name, "cgroup", suffix) &&
             !file_contains(e->d_name, "stat", ") Z ");
    (void)closedir(d);
    return n;
}

static struct traces traces_now(void)
{
    return (struct traces){.processes = count_processes(),
                           .mounts = count_lines("/proc/self/mounts"),
                           .cgroups = count_cgroups(),
                           .fds = count_entries("/proc/self/fd", ""),
                           .files = count_state_files("sandboxes") + count_state_files("oci")};
}

static void traces_equal(struct traces a)
{
    struct traces b = traces_now();
    T_EQ(b.processes, a.processes);
    T_EQ(b.mounts, a.mounts);
    T_EQ(b.cgroups, a.cgroups);
    T_EQ(b.fds, a.fds);
    T_EQ(b.files, a.files);
}

static void start_ask_stop(void)
{
    struct box b;
    struct iso_stats stats = {0};
    struct traces before = traces_now();
    box_start(&b, 1);
    T_STR(box_ask(&b, "ping\n"), "pong 1");
    T_STR(box_ask(&b, "host\n"), "00000001");
    T_TRUE(b.iso->handle.pid > 1);
    T_EQ(iso_stats(b.iso, &stats), 0);
    T_TRUE(stats.cpu_ns > 0 && stats.memory_bytes > 0);
    T_EQ(traces_now().mounts, before.mounts);
    T_EQ(traces_now().processes, before.processes + 1);
    box_stop(&b);
    T_EQ(b.exited, 0);
    traces_equal(before);
}

static void walls(void)
{
    static const char *const refused[] = {"mount", "unshare",  "clone", "ptrace",
                                          "bpf",   "io_uring", "vsock", "mknod"};
    struct box b;
    char line[64], want[64];
    box_start(&b, 1);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        (void)snprintf(line, sizeof(line), "try %s\n", refused[i]);
        (void)snprintf(want, sizeof(want), "%s %d", refused[i], EPERM);
        T_STR(box_ask(&b, line), want);
    }
    (void)snprintf(want, sizeof(want), "clone3 %d", ENOSYS);
    T_STR(box_ask(&b, "try clone3\n"), want);
    (void)snprintf(want, sizeof(want), "kill %d", ESRCH);
    T_STR(box_ask(&b, "try kill\n"), want);
    (void)snprintf(want, sizeof(want), "agent %d", EROFS);
    T_STR(box_ask(&b, "try agent\n"), want);
    (void)snprintf(want, sizeof(want), "sysctl %d", EROFS);
    T_STR(box_ask(&b, "try sysctl\n"), want);
    T_STR(box_ask(&b, "try setuid\n"), "setuid 0");
    T_STR(box_ask(&b, "try file\n"), "file 0");
    T_STR(box_ask(&b, "line /proc/self/status:NoNewPrivs\n"), "NoNewPrivs:\t1");
    T_STR(box_ask(&b, "line /proc/self/status:CapBnd\n"), "CapBnd:\t00000000000004fb");
    T_STR(box_ask(&b, "line /proc/self/status:CapInh\n"), "CapInh:\t0000000000000000");
    T_STR(box_ask(&b, "line /proc/self/status:Seccomp\n"), "Seccomp:\t2");
    box_stop(&b);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/tmp/file", rootfs);
    T_TRUE(access(path, F_OK) < 0); /* the template is never written */
}

static void limits_processes(void)
{
    struct box b;
    struct traces before = traces_now();
    box_start(&b, 1);
    T_STR(box_ask(&b, "fork\n"), "31");
    box_stop(&b);
    traces_equal(before);
}

static void out_of_memory(void)
{
    struct box b;
    struct traces before = traces_now();
    box_start(&b, 1);
    (void)box_ask(&b, "eat\n");
    run_until(&b.exited);
    T_STR(b.reason, "out of memory");
    box_stop(&b);
    T_EQ(b.exited, 1);
    traces_equal(before);
}

static void ends_by_itself(void)
{
    struct box b;
    box_start(&b, 1);
    (void)box_ask(&b, "exit\n");
    run_until(&b.exited);
    T_STR(b.reason, "the agent ended");
    box_stop(&b);
    T_EQ(b.exited, 1);
}

static void hostile_tree(void)
{
    struct box b;
    struct traces before = traces_now();
    box_start(&b, 1);
    T_STR(box_ask(&b, "mess\n"), "3000");
    box_stop(&b);
    traces_equal(before);
}

static void stop_in_every_state(void)
{
    struct traces before = traces_now();
    struct box b;
    box_init(&b, 1);
    box_stop(&b); /* never started */
    T_EQ(b.started, 0);
    /* Whatever point the launcher has reached: turns of the loop, then a few milliseconds. */
    for (unsigned int ms = 0; ms < 120; ms += 6) {
        box_init(&b, 2);
        T_EQ(iso_start(b.iso), 0);
        for (unsigned int waited = 0; waited < ms && b.started == 0; waited += 2) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
            (void)usleep(2000);
        }
        int started = b.started;
        iso_stop(b.iso);
        iso_stop(b.iso);
        run_until(&b.stopped);
        T_EQ(b.started, started);
        T_EQ(b.stopped, 1);
        T_TRUE(access(b.dir, F_OK) < 0);
    }
    traces_equal(before);
}

static void failed_start(void)
{
    struct traces before = traces_now();
    struct box b;
    box_init_with(&b, 1, "/nonexistent");
    T_EQ(iso_start(b.iso), 0);
    run_until(&b.started);
    T_TRUE(b.status < 0);
    T_STR(b.error, "/nonexistent: No such file or directory");
    box_stop(&b);
    T_EQ(b.started, 1);
    /* The runtime's own reason comes through: no agent in this directory. */
    char agent[128], hidden[128];
    (void)snprintf(agent, sizeof(agent), "%s/corral-agent", guest_dir);
    (void)snprintf(hidden, sizeof(hidden), "%s/hidden", guest_dir);
    T_EQ(rename(agent, hidden), 0);
    box_init(&b, 2);
    T_EQ(iso_start(b.iso), 0);
    run_until(&b.started);
    T_EQ(rename(hidden, agent), 0);
    T_TRUE(b.status < 0);
    T_TRUE(strstr(b.error, "corral-agent") != NULL);
    T_TRUE(strcasestr(b.error, "no such file") != NULL);
    box_stop(&b);
    traces_equal(before);
}

static void many_at_once(void)
{
    struct traces before = traces_now();
    static struct box boxes[IDS];
    for (unsigned int i = 0; i < IDS; i++) {
        box_init(&boxes[i], i);
        T_EQ(iso_start(boxes[i].iso), 0);
    }
    for (unsigned int i = 0; i < IDS; i++) {
        run_until(&boxes[i].started);
        if (boxes[i].status != 0)
            T_FAIL("start: %s", boxes[i].error);
        T_STR(box_ask(&boxes[i], "ping\n"), "pong 1");
    }
    for (unsigned int i = 0; i < IDS; i++)
        iso_stop(boxes[i].iso);
    for (unsigned int i = 0; i < IDS; i++)
        run_until(&boxes[i].stopped);
    traces_equal(before);
}

static void fifty_cycles(void)
{
    struct traces before = traces_now();
    uint64_t start_ns = 0, stop_ns = 0;
    for (unsigned int i = 0; i < 50; i++) {
        struct box b;
        uint64_t t0 = uv_hrtime();
        box_start(&b, i);
        T_STR(box_ask(&b, "ping\n"), "pong 1");
        uint64_t t1 = uv_hrtime();
        box_stop(&b);
        start_ns += t1 - t0;
        stop_ns += uv_hrtime() - t1;
    }
    printf("# start to first answer %.1f ms, stop %.1f ms\n", (double)start_ns / 50e6,
           (double)stop_ns / 50e6);
    traces_equal(before);
}

/* Another driver object stands for the server after a restart. */
static void adoption(void)
{
    struct traces before = traces_now();
    struct box b, again;
    box_start(&b, 1);
    struct iso_handle handle = b.iso->handle;
    box_init(&again, 1);
    T_EQ(iso_adopt(again.iso, &handle), 0);
    T_EQ(again.started, 0);
    run_until(&again.started);
    T_EQ(again.status, 0);
    T_STR(box_ask(&again, "ping\n"), "pong 1");
    box_stop(&again);
    run_until(&b.exited);
    box_stop(&b);

    handle.start_time++;
    box_init(&b, 1);
    T_EQ(iso_adopt(b.iso, &handle), 0);
    run_until(&b.started);
    T_TRUE(b.status < 0);
    box_stop(&b);
    traces_equal(before);
}

static bool keep_two(void *ctx, const char *id)
{
    return strncmp(id, "00000002", 8) == 0;
}

static void sweeping(void)
{
    struct traces before = traces_now();
    struct box a, b, c;
    box_start(&a, 1);
    box_start(&b, 2);
    box_start(&c, 3);
    iso_sweep(driver, keep_two, NULL);
    run_until(&a.exited);
    run_until(&c.exited);
    T_STR(box_ask(&b, "ping\n"), "pong 1");
    T_EQ(b.exited, 0);
    T_TRUE(access(a.dir, F_OK) < 0);
    T_TRUE(access(b.dir, F_OK) == 0);
    box_stop(&a);
    box_stop(&b);
    box_stop(&c);
    traces_equal(before);
}

/* Starts five sandboxes and is gone after `ms`, whatever they have come to by then. */
static void server_that_crashes(const char *state, unsigned int ms, const char *program)
{
    static struct box boxes[5];
    (void)snprintf(state_dir, sizeof(state_dir), "%s", state);
    (void)snprintf(rootfs, sizeof(rootfs), "%s/root,fs:x", state_dir);
    (void)snprintf(guest_dir, sizeof(guest_dir), "%s/guest", state_dir);
    id_suffix = (unsigned int)getppid();
    (void)uv_loop_init(&loop);
    driver = oci_driver_new(&loop, state_dir, program, NULL);
    for (unsigned int i = 0; i < ARRAY_SIZE(boxes); i++) {
        box_init(&boxes[i], i);
        (void)iso_start(boxes[i].iso);
    }
    for (unsigned int waited = 0; waited < ms; waited += 2) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(2000);
    }
    (void)kill(getpid(), SIGKILL);
}

static bool keep_none(void *ctx, const char *id)
{
    return false;
}

static void crash_of_the_server(void)
{
    struct traces before = traces_now();
    for (unsigned int ms = 0; ms < 200; ms += 10) {
        pid_t pid = fork();
        if (pid == 0) {
            char text[16];
            (void)snprintf(text, sizeof(text), "%u", ms);
            (void)execl("/proc/self/exe", "test_oci", "crash", state_dir, text, runtime(), NULL);
            _exit(1);
        }
        int status = 0;
        T_EQ(waitpid(pid, &status, 0), pid);
        T_TRUE(WIFSIGNALED(status));
        iso_sweep(driver, keep_none, NULL);
        traces_equal(before);
    }
}

/* A runtime that outlives its launcher, as any does for a moment on a busy machine. */
static void slow_runtime_of_a_crash(void)
{
    struct traces before = traces_now();
    char script[128], log[160], command[512];
    (void)snprintf(script, sizeof(script), "%s/slow", state_dir);
    (void)snprintf(log, sizeof(log), "%s/begun", state_dir);
    (void)snprintf(command, sizeof(command),
                   "printf '#!/bin/sh\n(echo >>%s; sleep 1; mkdir -p %s/oci/made) & wait\n' >%s "
                   "&& chmod +x %s",
                   log, state_dir, script, script);
    T_EQ(system(command), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/proc/self/exe", "test_oci", "crash", state_dir, "30000", script, NULL);
        _exit(1);
    }
    while (access(log, F_OK) < 0)
        (void)usleep(10000);
    (void)kill(pid, SIGKILL);
    T_EQ(waitpid(pid, NULL, 0), pid);
    iso_sweep(driver, keep_none, NULL);
    traces_equal(before);
    (void)sleep(2);
    traces_equal(before);
}

static void refuses(void)
{
    struct error err = {0};
    T_TRUE(oci_driver_new(&loop, state_dir, "no-such-runtime", &err) == NULL);
    T_STR(err.message, "the OCI runtime no-such-runtime is not installed");
    T_TRUE(oci_driver_new(&loop, "relative", "runc", &err) == NULL);
    struct iso_spec spec = {.id = "../../etc", .dir = "/", .rootfs = "/", .guest_dir = "/"};
    T_TRUE(iso_new(driver, &spec, &events, NULL) == NULL);
}

static void copy_guest(void)
{
    char command[512];
    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/tmp %s && cp " OCI_GUEST " %s/corral-agent", rootfs, guest_dir,
                   guest_dir);
    T_EQ(system(command), 0);
}

static void set_up(void)
{
    struct error err = {0};
    if (geteuid() != 0)
        T_SKIP("not root");
    id_suffix = (unsigned int)getpid();
    (void)snprintf(state_dir, sizeof(state_dir), "/var/tmp/corral-test-XXXXXX");
    T_TRUE(mkdtemp(state_dir) != NULL);
    (void)snprintf(rootfs, sizeof(rootfs), "%s/root,fs:x", state_dir);
    (void)snprintf(guest_dir, sizeof(guest_dir), "%s/guest", state_dir);
    copy_guest();
    T_EQ(uv_loop_init(&loop), 0);
    driver = oci_driver_new(&loop, state_dir, runtime(), &err);
    if (driver == NULL) {
        (void)rmtree(state_dir);
        T_SKIP(err.message);
    }
    /* Opened once and kept by libuv; not a trace of a sandbox. */
    struct box b;
    box_init(&b, 0);
    box_stop(&b);
}

static void tear_down(void)
{
    iso_driver_free(driver);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    T_EQ(uv_loop_close(&loop), 0);
    T_EQ(rmtree(state_dir), 0);
}

T_MAIN(T_CASE(set_up), T_CASE(refuses), T_CASE(start_ask_stop), T_CASE(walls),
       T_CASE(limits_processes), T_CASE(out_of_memory), T_CASE(ends_by_itself),
       T_CASE(hostile_tree), T_CASE(stop_in_every_state), T_CASE(failed_start),
       T_CASE(many_at_once), T_CASE(fifty_cycles), T_CASE(adoption), T_CASE(sweeping),
       T_CASE(crash_of_the_server), T_CASE(slow_runtime_of_a_crash), T_CASE(tear_down))
