/* SPDX-License-Identifier: Apache-2.0 */
/* The kvm driver against a VMM that fails on purpose (fake_vmm.c). Real microVMs are for the
 * emulated host: see test/api. */
#include "isolation/kvm/driver.h"
#include "isolation/kvm/internal.h"
#include "isolation/proc.h"
#include "isolation/reaper.h"
#include "isolation/rmtree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "t_instance.h"

__attribute__((constructor)) static void helper(int argc, char **argv)
{
    int status = 0;
    if (driver_helper_main(argc, argv, &status))
        _exit(status);
}

static void on_done(void *ctx, int status, const struct error *err)
{
    struct t_instance *b = ctx;
    b->done++;
    b->done_status = status;
    (void)snprintf(b->error, sizeof(b->error), "%s", err != NULL ? err->message : "");
}

/* The name of the template's directory tells the VMM which fault to have. */
static void t_instance_init(struct t_instance *b, unsigned int n, const char *mode)
{
    char template_dir[128];
    (void)snprintf(template_dir, sizeof(template_dir), "%s/mode-%s", state_dir, mode);
    t_instance_new(b, n,
                   (struct instance_spec){.rootfs = "/",
                                          .guest_dir = "/",
                                          .template_dir = template_dir,
                                          .vcpus = 1,
                                          .memory_mb = 64,
                                          .disk_mb = 64});
}

static void t_instance_start(struct t_instance *b, unsigned int n, const char *mode)
{
    t_instance_init(b, n, mode);
    T_EQ(instance_start(b->instance), 0);
    T_EQ(b->started, 0);
    run_until(&b->started);
}

static void t_instance_run(struct t_instance *b, unsigned int n, const char *mode)
{
    t_instance_start(b, n, mode);
    if (b->status != 0)
        T_FAIL("start: %s", b->error);
}

/* What an instance could leave behind. */
struct traces {
    int cgroups, fds, files, processes;
};

static int count_processes(void)
{
    int n = 0;
    char path[300], text[4096];
    DIR *d = opendir("/proc");
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
        FILE *f = fopen(path, "re");
        size_t len = f != NULL ? fread(text, 1, sizeof(text), f) : 0;
        if (f != NULL)
            (void)fclose(f);
        n += memmem(text, len, state_dir, strlen(state_dir)) != NULL;
    }
    (void)closedir(d);
    return n;
}

static struct traces traces_now(void)
{
    return (struct traces){.cgroups = count_cgroups(),
                           .fds = count_entries("/proc/self/fd", ""),
                           .files = count_state_files("sandboxes"),
                           .processes = count_processes()};
}

static void traces_equal(struct traces a)
{
    struct traces b = traces_now();
    T_EQ(b.cgroups, a.cgroups);
    T_EQ(b.fds, a.fds);
    T_EQ(b.files, a.files);
    T_EQ(b.processes, a.processes);
}

static void refuses(void)
{
    struct error err = {0};
    T_TRUE(kvm_driver_new(&loop, state_dir, "/no/such/vmm", &err) == NULL);
    T_STR(err.message, "/no/such/vmm: No such file or directory");
    T_TRUE(kvm_driver_new(&loop, "relative", FAKE_VMM, &err) == NULL);
    struct instance_spec spec = {.id = "../../etc", .dir = "/"};
    T_TRUE(instance_new(driver, &spec, &events, NULL) == NULL);
    spec.id = "00000001-0000-4000-8000-000000000001";
    spec.dir = "/var/lib/other";
    T_TRUE(instance_new(driver, &spec, &events, NULL) == NULL);
}

static void starts_and_stops(void)
{
    struct traces before = traces_now();
    struct instance_stats stats = {0};
    struct stat st;
    struct t_instance b;
    t_instance_run(&b, 1, "good");
    T_TRUE(b.instance->handle.pid > 1 && b.instance->handle.start_time > 0);
    T_EQ(stat(b.dir, &st), 0);
    T_EQ(st.st_uid, geteuid());
    T_EQ(st.st_mode & 07777, geteuid() == 0 ? 0710 : 0700);
    T_EQ(instance_stats(b.instance, &stats), 0);
    for (int i = 0; i < 100 && stats.disk_write == 0; i++) {
        (void)usleep(2000);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        T_EQ(instance_stats(b.instance, &stats), 0);
    }
    T_EQ(stats.disk_read, 4096);
    T_EQ(stats.disk_write, 8192);
    T_TRUE(stats.memory_bytes > 0);
    t_instance_stop(&b);
    T_EQ(b.exited, 0);
    traces_equal(before);
}

/* What it prints is not believed: the process is the one that was handed over. */
static void the_process_is_the_one_handed_over(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    t_instance_run(&b, 1, "names-another");
    T_TRUE(b.instance->handle.pid > 1 && b.instance->handle.pid != getpid());
    t_instance_stop(&b);
    traces_equal(before);
}

static void start_fails(void)
{
    static const struct {
        const char *mode, *error;
    } faults[] = {
        {"die-start", "there is no such thing"},
        {"die-silent", "corral-vmm ended with status 3"},
        {"no-pid", "corral-vmm ended with status 0"},
        {"names-a-stranger", "corral-vmm ended with status 0"},
        {"no-pidfd", "corral-vmm ended with status 0"},
        {"no-ctl", "the VMM's control socket: No such file or directory"},
        {"bad-hello", "the VMM's control connection: Protocol error"},
        {"bad-frame", "the VMM's control connection: Protocol error"},
        {"exit-before", "the guest's kernel panicked: Kernel panic - ?[1mno init found"},
    };
    struct traces before = traces_now();
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct t_instance b;
        t_instance_start(&b, 1, faults[i].mode);
        T_TRUE(b.status < 0);
        T_STR(b.error, faults[i].error);
        t_instance_stop(&b);
        T_EQ(b.started, 1);
        T_EQ(b.exited, 0);
        traces_equal(before);
    }
}

static void late_agents(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    t_instance_run(&b, 1, "late-agent");
    t_instance_stop(&b);
    traces_equal(before);
}

static void give_time(unsigned int ms)
{
    for (uint64_t end = uv_hrtime() + ms * 1000000ull; uv_hrtime() < end; (void)usleep(1000))
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* At many points of the start, and in every state that waits. */
static void stops_in_every_state(void)
{
    static const char *const modes[] = {"hang", "mute", "silent-agent", "noisy-agent", "good"};
    struct traces before = traces_now();
    struct t_instance b;
    t_instance_init(&b, 1, "good");
    t_instance_stop(&b); /* never started */
    T_EQ(b.started, 0);
    for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
        for (unsigned int ms = 0; ms < 60; ms += 6) {
            t_instance_init(&b, 2, modes[m]);
            T_EQ(instance_start(b.instance), 0);
            give_time(ms);
            T_TRUE(m == 4 || b.started == 0);
            int started = b.started;
            instance_stop(b.instance);
            instance_stop(b.instance);
            run_until(&b.stopped);
            T_EQ(b.started, started);
            T_EQ(b.stopped, 1);
            T_TRUE(access(b.dir, F_OK) < 0);
        }
    }
    traces_equal(before);
}

/* Returns within a second, with the reason. */
static void ends_within_a_second(struct t_instance *b, const char *reason)
{
    uint64_t start = uv_hrtime();
    run_until(&b->exited);
    T_TRUE(uv_hrtime() - start < 1000000000u);
    T_STR(b->reason, reason);
    t_instance_stop(b);
    T_EQ(b->exited, 1);
}

static void ends_are_told(void)
{
    struct traces before = traces_now();
    struct t_instance b, other;
    t_instance_run(&other, 2, "good");
    t_instance_run(&b, 1, "good");
    T_EQ(kill(b.instance->handle.pid, SIGKILL), 0);
    ends_within_a_second(&b, "the VMM was killed");
    t_instance_run(&b, 1, "good");
    T_EQ(kill(b.instance->handle.pid, SIGUSR1), 0);
    ends_within_a_second(&b, "the guest's kernel panicked: sysrq triggered crash");
    t_instance_run(&b, 1, "good");
    T_EQ(kill(b.instance->handle.pid, SIGUSR2), 0);
    ends_within_a_second(&b, "the VMM's control connection: Protocol error");
    t_instance_run(&b, 1, "exits-for-ever");
    T_EQ(kill(b.instance->handle.pid, SIGUSR1), 0);
    ends_within_a_second(&b, "the guest's kernel panicked: sysrq triggered crash");
    T_EQ(other.exited, 0);
    t_instance_stop(&other);
    traces_equal(before);
}

/* A machine whose snapshot is of another processor boots. */
static char refused[128];

static void on_refused(void *ctx, const char *template_dir)
{
    (void)ctx;
    (void)snprintf(refused, sizeof(refused), "%s", template_dir);
}

static void boots_without_snapshot(void)
{
    static const char json[] = "{\"vcpus\":1,\"memory_mb\":64,\"disk_mb\":64}";
    struct traces before = traces_now();
    struct t_instance b;
    char command[512];
    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/mode-refuse-restore/kvm/snapshot && "
                   "echo '%s' >%s/mode-refuse-restore/kvm/snapshot/snapshot.json",
                   state_dir, json, state_dir);
    T_EQ(system(command), 0);
    driver->refused = on_refused;
    t_instance_run(&b, 1, "refuse-restore");
    T_TRUE(strstr(refused, "/mode-refuse-restore") != NULL);
    driver->refused = NULL;
    t_instance_stop(&b);
    traces_equal(before);
}

static void wait_op(struct t_instance *b, int rv)
{
    T_EQ(rv, 0);
    T_EQ(b->done, 0);
    run_until(&b->done);
    T_EQ(b->done, 1);
    b->done = 0;
}

static void operations(void)
{
    static const char *const names[] = {"state", "memory", "overlay"};
    struct traces before = traces_now();
    struct t_instance b;
    char dir[128], path[256];
    struct stat st;
    (void)snprintf(dir, sizeof(dir), "%s/snap", state_dir);
    t_instance_init(&b, 1, "good");
    T_EQ(instance_pause(b.instance, on_done), -EINVAL);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    instance_expect_code(b.instance); /* beside an operation, whose answer it does not take */
    wait_op(&b, instance_pause(b.instance, on_done));
    T_EQ(b.done_status, 0);
    instance_expect_code(b.instance);
    wait_op(&b, instance_resume(b.instance, on_done));
    T_EQ(instance_snapshot(b.instance, dir, on_done), 0);
    T_EQ(instance_pause(b.instance, on_done), -EBUSY);
    wait_op(&b, 0);
    T_STR(b.error, "");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        T_EQ(stat(path, &st), 0);
        T_EQ(st.st_size, i < 2 ? 4 : 0);
    }
    (void)snprintf(path, sizeof(path), "%s/workset", dir);
    wait_op(&b, instance_workset(b.instance, path, on_done));
    T_EQ(b.done_status, 0);
    T_EQ(stat(path, &st), 0);
    wait_op(&b, instance_workset(b.instance, path, on_done));
    T_EQ(b.done_status, -EEXIST);
    wait_op(&b, instance_snapshot(b.instance, dir, on_done)); /* it is there already, and stays */
    T_EQ(b.done_status, -EEXIST);
    T_EQ(stat(path, &st), 0);
    t_instance_stop(&b);
    T_EQ(rmtree(dir), 0);
    traces_equal(before);
}

/* The base of a difference stays, whatever becomes of the snapshot that the VM started from. */
static void a_difference_keeps_its_base(void)
{
    static const char json[] = "{\"vcpus\":1,\"memory_mb\":64,\"disk_mb\":64}";
    struct traces before = traces_now();
    struct t_instance b;
    char command[512], dir[128], base[256], template[256], path[256];
    struct stat st, origin;
    (void)snprintf(template, sizeof(template), "%s/mode-clone/kvm/snapshot", state_dir);
    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s && echo '%s' >%s/snapshot.json && echo memory >%s/memory", template,
                   json, template, template);
    T_EQ(system(command), 0);
    (void)snprintf(path, sizeof(path), "%s/memory", template);
    T_EQ(stat(path, &origin), 0);
    (void)snprintf(dir, sizeof(dir), "%s/snap", state_dir);
    (void)snprintf(base, sizeof(base), "%s/base", dir);
    t_instance_run(&b, 1, "clone");
    T_EQ(rmtree(template), 0);
    wait_op(&b, instance_snapshot(b.instance, dir, on_done));
    T_STR(b.error, "");
    T_EQ(stat(base, &st), 0);
    T_EQ(st.st_ino, origin.st_ino);
    T_EQ(rmtree(dir), 0);
    /* Without it there is no snapshot. */
    (void)snprintf(path, sizeof(path), "%s/base", b.dir);
    T_EQ(unlink(path), 0);
    wait_op(&b, instance_snapshot(b.instance, dir, on_done));
    T_EQ(b.done_status, -ENOENT);
    T_TRUE(access(dir, F_OK) < 0);
    t_instance_stop(&b);
    traces_equal(before);
}

/* Of what it was put away into, nothing but its files. */
static void only_stored(const struct t_instance *b)
{
    char path[256];
    T_EQ(count_entries(b->dir, ""), 2 + 1); /* the dots are counted, too */
    (void)snprintf(path, sizeof(path), "%s/stored", b->dir);
    T_EQ(count_entries(path, ""), 2 + 4);
    T_EQ(count_entries(path, "state") + count_entries(path, "memory") +
             count_entries(path, "overlay") + count_entries(path, "disk"),
         4);
}

/* Another instance goes on from the files, with nothing else of the template. */
static void again(struct t_instance *b)
{
    t_instance_new(b, 1,
                   (struct instance_spec){.stored = true,
                                          .rootfs = "/",
                                          .guest_dir = "/",
                                          .vcpus = 1,
                                          .memory_mb = 64,
                                          .disk_mb = 64});
}

static void put_away(struct t_instance *b)
{
    instance_put_away(b->instance);
    run_until(&b->stopped);
    only_stored(b);
}

static void make_template(const char *mode)
{
    char command[512];
    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/mode-put/kvm && printf %s >%s/mode-put/kvm/disk.img", state_dir,
                   mode, state_dir);
    T_EQ(system(command), 0);
}

static void it_is_put_away_and_goes_on(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    char stored[256];
    make_template("good");
    t_instance_run(&b, 1, "put");
    (void)snprintf(stored, sizeof(stored), "%s/stored", b.dir);
    wait_op(&b, instance_store(b.instance, on_done));
    T_STR(b.error, "");
    T_TRUE(b.instance->stored_bytes >= 8192);
    T_TRUE(access(stored, F_OK) == 0);
    /* It may go on instead, and the files are of no use. */
    wait_op(&b, instance_resume(b.instance, on_done));
    instance_forget_stored(b.instance);
    T_TRUE(access(stored, F_OK) < 0);
    wait_op(&b, instance_store(b.instance, on_done));
    T_STR(b.error, "");
    put_away(&b);
    struct traces away = traces_now();
    T_EQ(away.processes, before.processes);
    T_EQ(away.cgroups, before.cgroups);
    reaper_look(driver->reaper); /* no instance has it, and yet it is nobody's leftover */
    T_TRUE(!reaper_owes(driver->reaper, b.id));
    for (int i = 0; i < 3; i++) {
        again(&b);
        if (i > 0) { /* a start is given up, or was never made */
            T_EQ(instance_start(b.instance), 0);
            run_until(&b.started);
            T_STR(b.error, "");
        }
        put_away(&b);
    }
    again(&b);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    instance_forget_stored(b.instance);
    wait_op(&b, instance_store(b.instance, on_done));
    T_STR(b.error, "");
    t_instance_stop(&b);
    traces_equal(before);
}

/* Others start from what it was put away into, and it goes on from the same files. */
static void what_is_stored_becomes_a_snapshot(void)
{
    static const char *const names[] = {"state", "memory", "overlay", "disk"};
    struct traces before = traces_now();
    struct t_instance b;
    struct error err;
    char to[128], path[512];
    struct stat st, origin;
    (void)snprintf(to, sizeof(to), "%s/of-stored", state_dir);
    make_template("good");
    t_instance_run(&b, 1, "put");
    T_EQ(isolation_snapshot_stored(b.instance->driver, b.dir, to, &err), -ENOENT);
    T_TRUE(access(to, F_OK) < 0);
    wait_op(&b, instance_store(b.instance, on_done));
    T_STR(b.error, "");
    put_away(&b);
    T_EQ(isolation_snapshot_stored(driver, b.dir, to, &err), 0);
    T_EQ(isolation_snapshot_stored(driver, b.dir, to, &err), -EEXIST);
    T_EQ(count_entries(to, ""), 2 + 4);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/stored/%s", b.dir, names[i]);
        T_EQ(stat(path, &origin), 0);
        (void)snprintf(path, sizeof(path), "%s/%s", to, names[i]);
        T_EQ(lstat(path, &st), 0);
        T_EQ(st.st_ino, origin.st_ino);
    }
    only_stored(&b);
    again(&b);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    T_STR(b.error, "");
    t_instance_stop(&b);
    T_EQ(count_entries(to, ""), 2 + 4);
    T_EQ(rmtree(to), 0);
    traces_equal(before);
}

static void what_is_stored_may_be_unusable(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    make_template("refuse-restore");
    t_instance_run(&b, 1, "put");
    wait_op(&b, instance_store(b.instance, on_done));
    T_STR(b.error, "");
    put_away(&b);
    again(&b);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    T_STR(b.error, "it is of another processor");
    put_away(&b); /* and it stays */
    again(&b);
    t_instance_stop(&b);
    traces_equal(before);
}

static void a_store_that_fails_leaves_nothing(void)
{
    static const char *const modes[] = {"error-reply", "bad-reply", "die-in-snapshot"};
    struct traces before = traces_now();
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct t_instance b;
        make_template(modes[i]);
        t_instance_run(&b, 1, "put");
        wait_op(&b, instance_store(b.instance, on_done));
        T_TRUE(b.done_status < 0);
        T_EQ(count_entries(b.dir, "stored"), 0);
        if (i > 0)
            run_until(&b.exited);
        else
            wait_op(&b, instance_pause(b.instance, on_done)); /* it runs */
        t_instance_stop(&b);
    }
    /* Without its disk nothing could go on. */
    struct t_instance b;
    t_instance_run(&b, 1, "good");
    wait_op(&b, instance_store(b.instance, on_done));
    T_EQ(b.done_status, -ENOENT);
    T_EQ(count_entries(b.dir, "stored"), 0);
    t_instance_stop(&b);
    traces_equal(before);
}

static void operations_fail(void)
{
    static const struct {
        const char *mode, *error;
        bool ends;
    } faults[] = {
        {"error-reply", "no space for it", false},
        {"bad-reply", "the VMM's control connection: Protocol error", true},
        {"die-in-snapshot", "the VMM's control connection ended", true},
        {"short-saved", "the VMM's control connection: Protocol error", true},
    };
    struct traces before = traces_now();
    char dir[128];
    (void)snprintf(dir, sizeof(dir), "%s/snap", state_dir);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct t_instance b;
        t_instance_run(&b, 1, faults[i].mode);
        wait_op(&b, instance_snapshot(b.instance, dir, on_done));
        T_TRUE(b.done_status < 0);
        T_STR(b.error, faults[i].error);
        T_TRUE(access(dir, F_OK) < 0);
        if (faults[i].ends)
            run_until(&b.exited);
        t_instance_stop(&b);
        traces_equal(before);
    }
}

/* A child of the fork in `dir`. */
static void fork_child(struct t_instance *b, unsigned int n, const char *dir,
                       struct instance_memory *m)
{
    t_instance_new(b, n,
                   (struct instance_spec){.snapshot_dir = dir,
                                          .memory = m,
                                          .rootfs = "/",
                                          .guest_dir = "/",
                                          .vcpus = 1,
                                          .memory_mb = 64,
                                          .disk_mb = 64});
    T_EQ(instance_start(b->instance), 0);
}

static void forks_go_by_memory(void)
{
    enum { N = 3 };
    struct traces before = traces_now();
    struct t_instance b, child[N];
    char dir[128];
    struct instance_memory *m = instance_memory_new();
    (void)snprintf(dir, sizeof(dir), "%s/fork", state_dir);
    make_template("good");
    t_instance_run(&b, 1, "put");
    wait_op(&b, instance_fork(b.instance, dir, m, on_done));
    T_STR(b.error, "");
    T_EQ(m->refs, 1);
    T_EQ(m->bytes, 4096);
    T_EQ(m->pause_us, 9);
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++)
        T_EQ(fcntl(m->fds[i], F_GET_SEALS),
             F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    T_EQ(count_entries(dir, "state") + count_entries(dir, "memory"), 0);
    T_EQ(count_entries(dir, "overlay") + count_entries(dir, "disk"), 2);
    for (unsigned int i = 0; i < N; i++)
        fork_child(&child[i], 2 + i, dir, m);
    T_EQ(m->refs, 1 + N);
    t_instance_stop(&child[0]); /* in the midst of its start */
    for (unsigned int i = 1; i < N; i++) {
        run_until(&child[i].started);
        T_STR(child[i].error, "");
    }
    T_EQ(m->refs, 1);
    instance_memory_put(&m);
    T_EQ(rmtree(dir), 0);
    t_instance_stop(&b); /* its children do not need it */
    for (unsigned int i = 1; i < N; i++) {
        T_EQ(child[i].exited, 0);
        t_instance_stop(&child[i]);
    }
    traces_equal(before);
}

static void forks_that_fail_leave_nothing(void)
{
    static const char *const modes[] = {"error-reply", "keeps-map", "bad-reply", "die-in-snapshot",
                                        "no-reply"};
    struct traces before = traces_now();
    char dir[128];
    (void)snprintf(dir, sizeof(dir), "%s/fork", state_dir);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct t_instance b;
        struct instance_memory *m = instance_memory_new();
        make_template(modes[i]);
        t_instance_run(&b, 1, "put");
        if (i == 4) { /* it is stopped in the midst */
            T_EQ(instance_fork(b.instance, dir, m, on_done), 0);
            give_time(5);
        } else {
            wait_op(&b, instance_fork(b.instance, dir, m, on_done));
            T_TRUE(b.done_status < 0);
            T_EQ(m->fds[0], -1);
            T_TRUE(access(dir, F_OK) < 0);
            if (i < 2)
                wait_op(&b, instance_pause(b.instance, on_done)); /* it runs */
        }
        t_instance_stop(&b);
        T_EQ(m->refs, 1);
        instance_memory_put(&m);
        (void)rmtree(dir);
        traces_equal(before);
    }
    T_EQ(container_of(driver, struct kvm_driver, base)->forks, 0);
    T_EQ(container_of(driver, struct kvm_driver, base)->fork_room, 0);
}

static void forks_need_room(void)
{
    enum { N = 5 };
    struct traces before = traces_now();
    struct t_instance b[N];
    char dir[N][128];
    struct instance_memory *m = instance_memory_new();
    make_template("no-reply");
    for (unsigned int i = 0; i < N; i++) {
        (void)snprintf(dir[i], sizeof(dir[i]), "%s/fork%u", state_dir, i);
        t_instance_run(&b[i], 1 + i, "put");
    }
    struct kvm_instance *o = container_of(b[0].instance, struct kvm_instance, base);
    o->adopted = true;
    o->launch.memory_mb = 1u << 30;
    T_EQ(instance_fork(b[0].instance, dir[0], m, on_done), -EDQUOT);
    o->adopted = false;
    o->launch.memory_mb = 64;
    for (unsigned int i = 0; i < N; i++)
        T_EQ(instance_fork(b[i].instance, dir[i], m, on_done), i < 4 ? 0 : -EAGAIN);
    for (unsigned int i = 0; i < N; i++) {
        t_instance_stop(&b[i]);
        (void)rmtree(dir[i]);
    }
    T_EQ(m->refs, 1);
    instance_memory_put(&m);
    traces_equal(before);
}

/* One that is slow to tell its figures is asked once, and can be asked for other things. */
static void late_figures_end_nothing(void)
{
    struct traces before = traces_now();
    struct instance_stats stats;
    struct t_instance b;
    t_instance_run(&b, 1, "silent-stats");
    const struct kvm_ctl *c = &container_of(b.instance, struct kvm_instance, base)->ctl;
    for (int i = 0; i < 4; i++) {
        give_time(600);
        T_EQ(instance_stats(b.instance, &stats), 0);
        T_EQ(c->n_pending, 1);
    }
    T_TRUE(!uv_is_active((const uv_handle_t *)&c->timer));
    T_EQ(instance_pause(b.instance, on_done), 0);
    T_EQ(uv_timer_get_due_in(&c->timer) > 20000, 1); /* the pause has its own */
    give_time(50);
    T_EQ(b.exited, 0);
    t_instance_stop(&b);
    traces_equal(before);
}

static void stop_during_operation(void)
{
    struct traces before = traces_now();
    char dir[128];
    (void)snprintf(dir, sizeof(dir), "%s/snap", state_dir);
    for (unsigned int ms = 0; ms < 20; ms += 2) {
        struct t_instance b;
        t_instance_run(&b, 1, ms < 10 ? "good" : "no-reply");
        T_EQ(instance_snapshot(b.instance, dir, on_done), 0);
        give_time(ms);
        int done = b.done;
        t_instance_stop(&b);
        T_EQ(b.done, done);
        (void)rmtree(dir);
    }
    traces_equal(before);
}

/* Another instance stands for the server after a restart. */
static void adoption(void)
{
    struct traces before = traces_now();
    struct t_instance b, again;
    t_instance_run(&b, 1, "good");
    struct instance_handle handle = b.instance->handle;
    t_instance_init(&again, 1, "good");
    T_EQ(instance_adopt(again.instance, &handle), 0);
    T_EQ(again.started, 0);
    run_until(&again.started);
    T_EQ(again.status, 0);
    t_instance_stop(&again);
    run_until(&b.exited);
    t_instance_stop(&b);

    t_instance_run(&b, 1, "good");
    handle = b.instance->handle;
    handle.start_time++;
    t_instance_init(&again, 3, "good");
    T_EQ(instance_adopt(again.instance, &handle), 0);
    run_until(&again.started);
    T_TRUE(again.status < 0);
    t_instance_stop(&again);
    T_EQ(b.exited, 0);
    t_instance_stop(&b);
    traces_equal(before);
}

static bool keep_two(void *ctx, const char *id)
{
    (void)ctx;
    return strncmp(id, "00000002", 8) == 0;
}

static void sweeping(void)
{
    struct traces before = traces_now();
    struct t_instance a, b;
    t_instance_run(&a, 1, "good");
    t_instance_run(&b, 2, "good");
    isolation_sweep(driver, keep_two, NULL);
    run_until(&a.exited);
    T_EQ(b.exited, 0);
    T_TRUE(access(a.dir, F_OK) < 0);
    T_TRUE(access(b.dir, F_OK) == 0);
    t_instance_stop(&a);
    t_instance_stop(&b);
    traces_equal(before);
}

/* A builder that was killed leaves its VM; one that lives keeps it. */
static void sweeping_builds(void)
{
    struct traces before = traces_now();
    struct t_instance b;
    char dir[160], template_dir[128];
    t_instance_init(&b, 1, "good");
    t_instance_stop(&b);
    (void)snprintf(dir, sizeof(dir), "%s/templates/.build/%s", state_dir, b.id);
    (void)snprintf(template_dir, sizeof(template_dir), "%s/mode-good", state_dir);
    (void)snprintf(b.dir, sizeof(b.dir), "mkdir -p %s/templates/.build", state_dir);
    T_EQ(system(b.dir), 0);
    struct instance_spec spec = {.id = b.id,
                                 .dir = dir,
                                 .template_dir = template_dir,
                                 .vcpus = 1,
                                 .memory_mb = 64,
                                 .disk_mb = 64};
    b.stopped = 0;
    b.instance = instance_new(driver, &spec, &events, &b);
    T_EQ(instance_start(b.instance), 0);
    run_until(&b.started);
    isolation_sweep(driver, keep_two, NULL);
    T_TRUE(access(dir, F_OK) == 0);
    base_close_p(&container_of(b.instance, struct kvm_instance, base)->launch.lock_fd);
    container_of(b.instance, struct kvm_instance, base)->launch.lock_fd = -1;
    isolation_sweep(driver, keep_two, NULL);
    T_TRUE(access(dir, F_OK) < 0);
    run_until(&b.exited);
    instance_stop(b.instance);
    run_until(&b.stopped);
    traces_equal(before);
}

static void many_at_once(void)
{
    enum { N = 24 };
    static struct t_instance instances[N];
    struct traces before = traces_now();
    for (unsigned int i = 0; i < N; i++) {
        t_instance_init(&instances[i], i, i % 5 == 4 ? "die-start" : "good");
        T_EQ(instance_start(instances[i].instance), 0);
    }
    for (unsigned int i = 0; i < N; i++) {
        if (i % 7 != 6)
            run_until(&instances[i].started);
        instance_stop(instances[i].instance);
    }
    for (unsigned int i = 0; i < N; i++)
        run_until(&instances[i].stopped);
    traces_equal(before);
}

static void set_up(void)
{
    struct error err = {0};
    id_suffix = (unsigned int)getpid();
    (void)snprintf(state_dir, sizeof(state_dir), "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(state_dir));
    T_EQ(uv_loop_init(&loop), 0);
    driver = kvm_driver_new(&loop, state_dir, FAKE_VMM, &err);
    if (driver == NULL)
        T_FAIL("%s", err.message);
    /* Opened once and kept by libuv; not a trace of an instance. */
    struct t_instance b;
    t_instance_start(&b, 0, "good");
    t_instance_stop(&b);
}

static void tear_down(void)
{
    isolation_driver_free(driver);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    T_EQ(uv_loop_close(&loop), 0);
    T_EQ(rmtree(state_dir), 0);
}

T_MAIN(T_CASE(set_up), T_CASE(refuses), T_CASE(starts_and_stops),
       T_CASE(the_process_is_the_one_handed_over), T_CASE(start_fails), T_CASE(late_agents),
       T_CASE(stops_in_every_state), T_CASE(ends_are_told), T_CASE(boots_without_snapshot),
       T_CASE(operations), T_CASE(a_difference_keeps_its_base), T_CASE(it_is_put_away_and_goes_on),
       T_CASE(what_is_stored_becomes_a_snapshot), T_CASE(what_is_stored_may_be_unusable),
       T_CASE(a_store_that_fails_leaves_nothing), T_CASE(forks_go_by_memory),
       T_CASE(forks_that_fail_leave_nothing), T_CASE(forks_need_room), T_CASE(operations_fail),
       T_CASE(late_figures_end_nothing), T_CASE(stop_during_operation), T_CASE(adoption),
       T_CASE(sweeping), T_CASE(sweeping_builds), T_CASE(many_at_once), T_CASE(tear_down))
