/* SPDX-License-Identifier: Apache-2.0 */
/* Real containers: needs root and runc, and is skipped elsewhere. */
#include "isolation/oci/driver.h"
#include "isolation/oci/exec.h"
#include "isolation/oci/users.h"
#include "isolation/proc.h"
#include "isolation/rmtree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "t_instance.h"

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

/* The environment may name another than the default. */
static const char *runtime(void)
{
    const char *name = getenv("CORRAL_TEST_OCI_RUNTIME");
    return name != NULL ? name : "runc";
}

static void t_instance_init_with(struct t_instance *b, unsigned int n, const char *root)
{
    t_instance_new(
        b, n,
        (struct instance_spec){
            .rootfs = root, .guest_dir = guest_dir, .vcpus = 1, .memory_mb = 64, .pids_max = 32});
}

static void t_instance_init(struct t_instance *b, unsigned int n)
{
    t_instance_init_with(b, n, rootfs);
}

static void t_instance_start(struct t_instance *b, unsigned int n)
{
    t_instance_init(b, n);
    T_EQ(instance_start(b->instance), 0);
    T_EQ(b->started, 0);
    run_until(&b->started);
    if (b->status != 0)
        T_FAIL("start: %s", b->error);
}

static int t_instance_connect(const struct t_instance *b)
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
static const char *t_instance_ask(const struct t_instance *b, const char *line)
{
    static char answer[256];
    int fd = t_instance_connect(b);
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
    struct t_instance b;
    struct instance_stats stats = {0};
    struct traces before = traces_now();
    t_instance_start(&b, 1);
    T_STR(t_instance_ask(&b, "ping\n"), "pong 1");
    T_STR(t_instance_ask(&b, "host\n"), "s00000001");
    T_TRUE(b.instance->handle.pid > 1);
    T_EQ(instance_stats(b.instance, &stats), 0);
    T_TRUE(stats.cpu_ns > 0 && stats.memory_bytes > 0);
    T_EQ(traces_now().mounts, before.mounts);
    T_EQ(traces_now().processes, before.processes + 1);
    t_instance_stop(&b);
    T_EQ(b.exited, 0);
    traces_equal(before);
}

static void walls(void)
{
    static const char *const refused[] = {"mount", "unshare",  "clone", "ptrace",
                                          "bpf",   "io_uring", "vsock", "mknod"};
    struct t_instance b;
    char line[64], want[64];
    t_instance_start(&b, 1);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        (void)snprintf(line, sizeof(line), "try %s\n", refused[i]);
        (void)snprintf(want, sizeof(want), "%s %d", refused[i], EPERM);
        T_STR(t_instance_ask(&b, line), want);
    }
    (void)snprintf(want, sizeof(want), "clone3 %d", ENOSYS);
    T_STR(t_instance_ask(&b, "try clone3\n"), want);
    (void)snprintf(want, sizeof(want), "kill %d", ESRCH);
    T_STR(t_instance_ask(&b, "try kill\n"), want);
    (void)snprintf(want, sizeof(want), "agent %d", EROFS);
    T_STR(t_instance_ask(&b, "try agent\n"), want);
    /* The files belong to the host's root, who is somebody else in a user namespace. */
    bool users = oci_users_of(b.instance->handle.pid) != 0;
    (void)snprintf(want, sizeof(want), "sysctl %d", users ? EACCES : EROFS);
    T_STR(t_instance_ask(&b, "try sysctl\n"), want);
    T_STR(t_instance_ask(&b, "try setuid\n"), "setuid 0");
    T_STR(t_instance_ask(&b, "try file\n"), "file 0");
    (void)snprintf(want, sizeof(want), "NoNewPrivs:\t%d", users ? 0 : 1);
    T_STR(t_instance_ask(&b, "line /proc/self/status:NoNewPrivs\n"), want);
    T_STR(t_instance_ask(&b, "line /proc/self/status:CapBnd\n"), "CapBnd:\t00000000000004fb");
    T_STR(t_instance_ask(&b, "line /proc/self/status:CapInh\n"), "CapInh:\t0000000000000000");
    T_STR(t_instance_ask(&b, "line /proc/self/status:Seccomp\n"), "Seccomp:\t2");
    t_instance_stop(&b);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/tmp/file", rootfs);
    T_TRUE(access(path, F_OK) < 0); /* the template is never written */
}

static void limits_processes(void)
{
    struct t_instance b;
    struct traces before = traces_now();
    t_instance_start(&b, 1);
    T_STR(t_instance_ask(&b, "fork\n"), "31");
    t_instance_stop(&b);
    traces_equal(before);
}

static void out_of_memory(void)
{
    struct t_instance b;
    struct traces before = traces_now();
    t_instance_start(&b, 1);
    (void)t_instance_ask(&b, "eat\n");
    run_until(&b.exited);
    T_STR(b.reason, "out of memory");
    t_instance_stop(&b);
    T_EQ(b.exited, 1);
    traces_equal(before);
}

static void ends_by_itself(void)
{
    struct t_instance b;
    t_instance_start(&b, 1);
    (void)t_instance_ask(&b, "exit\n");
    run_until(&b.exited);
    T_STR(b.reason, "the agent ended");
    t_instance_stop(&b);
    T_EQ(b.exited, 1);
}

static void hostile_tree(void)
{
    struct t_instance b;
    struct traces before = traces_now();
    t_instance_start(&b, 1);
    T_STR(t_instance_ask(&b, "mess\n"), "3000");
    t_instance_stop(&b);
    traces_equal(before);
}

static void stop_in_every_state(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    t_instance_init(&b, 1);
    t_instance_stop(&b); /* never started */
    T_EQ(b.started, 0);
    /* At many points of the launch: after some turns of the loop, then after some milliseconds. */
    for (unsigned int ms = 0; ms < 120; ms += 6) {
        t_instance_init(&b, 2);
        T_EQ(instance_start(b.instance), 0);
        for (unsigned int waited = 0; waited < ms && b.started == 0; waited += 2) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
            (void)usleep(2000);
        }
        int started = b.started;
        instance_stop(b.instance);
        instance_stop(b.instance);
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
    struct t_instance b;
    t_instance_init_with(&b, 1, "/nonexistent");
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    T_TRUE(b.status < 0);
    T_STR(b.error, "/nonexistent: No such file or directory");
    t_instance_stop(&b);
    T_EQ(b.started, 1);
    /* The runtime's own reason comes through: no agent in this directory. */
    char agent[128], hidden[128];
    (void)snprintf(agent, sizeof(agent), "%s/corral-agent", guest_dir);
    (void)snprintf(hidden, sizeof(hidden), "%s/hidden", guest_dir);
    T_EQ(rename(agent, hidden), 0);
    t_instance_init(&b, 2);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    T_EQ(rename(hidden, agent), 0);
    T_TRUE(b.status < 0);
    T_TRUE(strstr(b.error, "corral-agent") != NULL);
    T_TRUE(strcasestr(b.error, "no such file") != NULL);
    t_instance_stop(&b);
    traces_equal(before);
}

static void many_at_once(void)
{
    struct traces before = traces_now();
    static struct t_instance instances[IDS];
    for (unsigned int i = 0; i < IDS; i++) {
        t_instance_init(&instances[i], i);
        T_EQ(instance_start(instances[i].instance), 0);
    }
    for (unsigned int i = 0; i < IDS; i++) {
        run_until(&instances[i].started);
        if (instances[i].status != 0)
            T_FAIL("start: %s", instances[i].error);
        T_STR(t_instance_ask(&instances[i], "ping\n"), "pong 1");
    }
    for (unsigned int i = 0; i < IDS; i++)
        instance_stop(instances[i].instance);
    for (unsigned int i = 0; i < IDS; i++)
        run_until(&instances[i].stopped);
    traces_equal(before);
}

static void fifty_cycles(void)
{
    struct traces before = traces_now();
    uint64_t start_ns = 0, stop_ns = 0;
    for (unsigned int i = 0; i < 50; i++) {
        struct t_instance b;
        uint64_t t0 = uv_hrtime();
        t_instance_start(&b, i);
        T_STR(t_instance_ask(&b, "ping\n"), "pong 1");
        uint64_t t1 = uv_hrtime();
        t_instance_stop(&b);
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
    struct t_instance b, again;
    t_instance_start(&b, 1);
    struct instance_handle handle = b.instance->handle;
    t_instance_init(&again, 1);
    T_EQ(instance_adopt(again.instance, &handle), 0);
    T_EQ(again.started, 0);
    run_until(&again.started);
    T_EQ(again.status, 0);
    T_STR(t_instance_ask(&again, "ping\n"), "pong 1");
    t_instance_stop(&again);
    run_until(&b.exited);
    t_instance_stop(&b);

    handle.start_time++;
    t_instance_init(&b, 1);
    T_EQ(instance_adopt(b.instance, &handle), 0);
    run_until(&b.started);
    T_TRUE(b.status < 0);
    t_instance_stop(&b);

    /* Of one that is left, while another process has its number. */
    t_instance_start(&b, 1);
    handle = b.instance->handle;
    handle.start_time++;
    t_instance_init(&again, 1);
    T_EQ(instance_adopt(again.instance, &handle), 0);
    run_until(&again.started);
    T_STR(again.error, "the agent ended while no server watched it");
    t_instance_stop(&again);
    run_until(&b.exited);
    t_instance_stop(&b);
    traces_equal(before);
}

static bool keep_two(void *ctx, const char *id)
{
    return strncmp(id, "00000002", 8) == 0;
}

static void on_done(void *ctx, int status, const struct error *err)
{
    struct t_instance *b = ctx;
    b->done++;
    b->done_status = status;
}

/* Whether an answer comes while it is frozen is seen at once: the byte waits in the socket. */
static int t_instance_send_ping(const struct t_instance *b)
{
    int fd = t_instance_connect(b);
    T_EQ(write(fd, "ping\n", 5), 5);
    return fd;
}

static bool t_instance_is_silent(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void pauses(void)
{
    struct traces before = traces_now();
    struct t_instance b, again;
    char text[16] = "";
    t_instance_start(&b, 1);
    for (int i = 0; i < 3; i++) {
        b.done = 0;
        T_EQ(instance_pause(b.instance, on_done), 0);
        T_EQ(instance_resume(b.instance, on_done), -EBUSY);
        run_until(&b.done);
        T_EQ(b.done_status, 0);
        T_TRUE(b.instance->handle.paused);
        int fd = t_instance_send_ping(&b);
        T_TRUE(t_instance_is_silent(fd));
        b.done = 0;
        T_EQ(instance_resume(b.instance, on_done), 0);
        run_until(&b.done);
        T_TRUE(TEMP_FAILURE_RETRY(read(fd, text, sizeof(text) - 1)) > 0);
        (void)close(fd);
    }
    /* A later server finds it as its record says, whatever state it is in. */
    struct instance_handle handle = b.instance->handle;
    handle.paused = true;
    t_instance_init(&again, 1);
    T_EQ(instance_adopt(again.instance, &handle), 0);
    run_until(&again.started);
    T_EQ(instance_pause(again.instance, on_done), 0);
    run_until(&again.done);
    T_EQ(again.done_status, 0);
    /* What is frozen ends all the same, also in the midst of it. */
    t_instance_stop(&again);
    run_until(&b.exited);
    t_instance_stop(&b);
    t_instance_start(&b, 2);
    T_EQ(instance_pause(b.instance, on_done), 0);
    t_instance_stop(&b);
    T_EQ(b.done, 0);
    traces_equal(before);
}

static void a_frozen_one_is_swept(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    t_instance_start(&b, 1);
    T_EQ(instance_pause(b.instance, on_done), 0);
    run_until(&b.done);
    isolation_sweep(driver, keep_two, NULL);
    run_until(&b.exited);
    t_instance_stop(&b);
    traces_equal(before);
}

static void sweeping(void)
{
    struct traces before = traces_now();
    struct t_instance a, b, c;
    t_instance_start(&a, 1);
    t_instance_start(&b, 2);
    t_instance_start(&c, 3);
    isolation_sweep(driver, keep_two, NULL);
    run_until(&a.exited);
    run_until(&c.exited);
    T_STR(t_instance_ask(&b, "ping\n"), "pong 1");
    T_EQ(b.exited, 0);
    T_TRUE(access(a.dir, F_OK) < 0);
    T_TRUE(access(b.dir, F_OK) == 0);
    t_instance_stop(&a);
    t_instance_stop(&b);
    t_instance_stop(&c);
    traces_equal(before);
}

/* Starts five sandboxes and dies after `ms`, at whatever point of their start that is. */
static void server_that_crashes(const char *state, unsigned int ms, const char *program)
{
    static struct t_instance instances[5];
    (void)snprintf(state_dir, sizeof(state_dir), "%s", state);
    (void)snprintf(rootfs, sizeof(rootfs), "%s/root,fs:x", state_dir);
    (void)snprintf(guest_dir, sizeof(guest_dir), "%s/guest", state_dir);
    id_suffix = (unsigned int)getppid();
    (void)uv_loop_init(&loop);
    driver = oci_driver_new(&loop, state_dir, program, NULL);
    for (unsigned int i = 0; i < ARRAY_SIZE(instances); i++) {
        t_instance_init(&instances[i], i);
        (void)instance_start(instances[i].instance);
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
        isolation_sweep(driver, keep_none, NULL);
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
    isolation_sweep(driver, keep_none, NULL);
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
    struct instance_spec spec = {.id = "../../etc", .dir = "/", .rootfs = "/", .guest_dir = "/"};
    T_TRUE(instance_new(driver, &spec, &events, NULL) == NULL);
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
    T_TRUE(t_mkdtemp(state_dir));
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
    struct t_instance b;
    t_instance_init(&b, 0);
    t_instance_stop(&b);
}

static void tear_down(void)
{
    isolation_driver_free(driver);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    T_EQ(uv_loop_close(&loop), 0);
    T_EQ(rmtree(state_dir), 0);
}

T_MAIN(T_CASE(set_up), T_CASE(refuses), T_CASE(start_ask_stop), T_CASE(walls),
       T_CASE(limits_processes), T_CASE(out_of_memory), T_CASE(ends_by_itself),
       T_CASE(hostile_tree), T_CASE(stop_in_every_state), T_CASE(failed_start),
       T_CASE(many_at_once), T_CASE(fifty_cycles), T_CASE(adoption), T_CASE(pauses),
       T_CASE(a_frozen_one_is_swept), T_CASE(sweeping), T_CASE(crash_of_the_server),
       T_CASE(slow_runtime_of_a_crash), T_CASE(tear_down))
