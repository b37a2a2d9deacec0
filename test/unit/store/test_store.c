/* SPDX-License-Identifier: Apache-2.0 */
/* The real LMDB in a directory of its own; failures are real, too (a file size limit). */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/state_lock.h"
#include "store/store.h"
#include "t.h"

static char dir[64];
static uv_loop_t loop;
static struct store *store;
static bool closed;

struct waiter {
    struct store_wait wait;
    int calls;
    int status;
};

static void on_flushed(struct store_wait *w, int status)
{
    struct waiter *me = container_of(w, struct waiter, wait);
    me->calls++;
    me->status = status;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void make_dir(void)
{
    strcpy(dir, "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    T_EQ(system(command), 0);
}

static void open_store(size_t map)
{
    struct error err = {0};
    T_EQ(uv_loop_init(&loop), 0);
    if (store_open(&store, &loop, dir, NULL, map, &err) < 0)
        T_FAIL("store_open: %s", err.message);
}

/* Everything of the store is gone from the loop afterwards, or the loop could not be closed. */
static void close_store(void)
{
    closed = false;
    store_close(store, on_closed, &closed);
    T_TRUE(!closed);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    T_TRUE(closed);
    T_EQ(uv_loop_close(&loop), 0);
}

static void put(const char *key, const char *val)
{
    T_EQ(store_put(store, STORE_SANDBOXES, key, strlen(key), val, strlen(val)), 0);
}

static void expect(const char *key, const char *val)
{
    cleanup_buf struct buf b = {0};
    int rv = store_get(store, STORE_SANDBOXES, key, strlen(key), &b);
    T_EQ(rv, val != NULL ? 0 : -ENOENT);
    if (val != NULL)
        T_MEM(b.data, b.len, val, strlen(val));
}

static void flush_is_durable(void)
{
    struct waiter w = {0};
    make_dir();
    open_store(STORE_MAP_SIZE);
    put("k1", "v1");
    put("k2", "v2");
    put("k1", "v1 again");
    store_flush(store, &w.wait, on_flushed);
    expect("k1", NULL); /* not committed yet */
    T_EQ(w.calls, 0);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0); /* ends: nothing is left to do */
    T_EQ(w.calls, 1);
    T_EQ(w.status, 0);
    expect("k1", "v1 again");
    T_EQ(store_del(store, STORE_SANDBOXES, "k1", 2), 0);
    T_EQ(store_del(store, STORE_SANDBOXES, "never there", 11), 0);
    close_store(); /* commits what is pending */
    open_store(STORE_MAP_SIZE);
    expect("k1", NULL);
    expect("k2", "v2");
    close_store();
}

static void flush_without_changes(void)
{
    struct waiter w = {0};
    open_store(STORE_MAP_SIZE);
    store_flush(store, &w.wait, on_flushed);
    T_EQ(w.calls, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(w.calls, 1);
    T_EQ(w.status, 0);
    close_store();
}

static void unwaited_is_not_called(void)
{
    struct waiter a = {0}, b = {0}, never = {0};
    open_store(STORE_MAP_SIZE);
    put("x", "y");
    store_flush(store, &a.wait, on_flushed);
    store_flush(store, &b.wait, on_flushed);
    store_unwait(&a.wait);
    store_unwait(&a.wait);
    store_unwait(&never.wait);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(a.calls, 0);
    T_EQ(b.calls, 1);
    store_unwait(&b.wait);
    close_store();
}

static struct waiter chain[50];
static size_t chained;

/* Each commit's answer starts the next change, as request handlers do. */
static void on_chained(struct store_wait *w, int status)
{
    char key[16];
    T_EQ(status, 0);
    (void)w;
    if (++chained == ARRAY_SIZE(chain))
        return;
    (void)snprintf(key, sizeof(key), "chain%zu", chained);
    put(key, "x");
    store_flush(store, &chain[chained].wait, on_chained);
}

static void answers_may_put(void)
{
    open_store(STORE_MAP_SIZE);
    chained = 0;
    put("chain0", "x");
    store_flush(store, &chain[0].wait, on_chained);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(chained, ARRAY_SIZE(chain));
    expect("chain49", "x");
    close_store();
}

static int count_one(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    size_t *n = ctx;
    T_TRUE(keylen > 0 && key != NULL && val != NULL && vallen > 0);
    return ++*n == 3 ? 77 : 0;
}

static void each_stops(void)
{
    size_t n = 0;
    open_store(STORE_MAP_SIZE);
    T_EQ(store_each(store, STORE_SANDBOXES, count_one, &n), 77);
    T_EQ(n, 3);
    n = 0;
    T_EQ(store_each(store, STORE_RUNS, count_one, &n), 0);
    T_EQ(n, 0);
    close_store();
}

static void limits(void)
{
    static char big[STORE_MAX_KEY + 1];
    struct waiter w = {0};
    memset(big, 'k', sizeof(big));
    open_store(STORE_MAP_SIZE);
    T_EQ(store_put(store, STORE_META, big, STORE_MAX_KEY, NULL, 0), 0);
    T_EQ(store_put(store, STORE_META, big, STORE_MAX_KEY + 1, "v", 1), -EINVAL);
    T_EQ(store_put(store, STORE_META, "", 0, "v", 1), -EINVAL);
    char *value = calloc(1, STORE_MAX_VALUE);
    T_EQ(store_put(store, STORE_META, "big", 3, value, STORE_MAX_VALUE + 1), -EINVAL);
    for (int i = 0; i < 3; i++)
        T_EQ(store_put(store, STORE_META, "big", 3, value, STORE_MAX_VALUE), 0);
    T_EQ(store_put(store, STORE_META, "big", 3, value, STORE_MAX_VALUE), -ENOBUFS);
    store_flush(store, &w.wait, on_flushed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(w.status, 0);
    free(value);
    cleanup_buf struct buf b = {0};
    T_EQ(store_get(store, STORE_META, big, STORE_MAX_KEY, &b), 0);
    T_EQ(b.len, 0);
    close_store();
    remove_dir();
}

static void the_map_grows(void)
{
    struct waiter w = {0};
    make_dir();
    open_store(1); /* the smallest there is: 1 MiB */
    char *value = malloc(STORE_MAX_VALUE);
    memset(value, 'x', STORE_MAX_VALUE);
    T_EQ(store_put(store, STORE_RUNS, "a", 1, value, STORE_MAX_VALUE), 0);
    store_flush(store, &w.wait, on_flushed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(w.calls, 1);
    T_EQ(w.status, 0);
    /* And on the synchronous way. */
    T_EQ(store_put(store, STORE_RUNS, "b", 1, value, STORE_MAX_VALUE), 0);
    T_EQ(store_put(store, STORE_RUNS, "c", 1, value, STORE_MAX_VALUE), 0);
    T_EQ(store_commit(store), 0);
    close_store();
    /* A small map is asked for again; the file is larger. */
    open_store(1);
    cleanup_buf struct buf b = {0};
    T_EQ(store_get(store, STORE_RUNS, "c", 1, &b), 0);
    T_MEM(b.data, b.len, value, STORE_MAX_VALUE);
    put("more", "after");
    T_EQ(store_commit(store), 0);
    free(value);
    close_store();
    remove_dir();
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit r;
    T_EQ(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes;
    T_EQ(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void a_full_disk_loses_nothing(void)
{
    struct waiter first = {0}, second = {0}, third = {0};
    char path[128];
    struct stat st;
    make_dir();
    open_store(STORE_MAP_SIZE);
    put("before", "1");
    T_EQ(store_commit(store), 0);
    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", dir);
    T_EQ(stat(path, &st), 0);
    signal(SIGXFSZ, SIG_IGN);
    set_file_limit((rlim_t)st.st_size);

    char *value = calloc(1, 100000);
    T_EQ(store_put(store, STORE_RUNS, "large", 5, value, 100000), 0);
    put("before", "2");
    store_flush(store, &first.wait, on_flushed);
    while (first.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    T_TRUE(first.status < 0);
    expect("before", "1");

    put("later", "3"); /* tries at once, still no room */
    store_flush(store, &second.wait, on_flushed);
    while (second.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    T_TRUE(second.status < 0);
    T_EQ(store_commit(store) < 0, 1);

    set_file_limit(RLIM_INFINITY);
    store_flush(store, &third.wait, on_flushed);
    while (third.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    T_EQ(third.status, 0);
    T_EQ(first.calls, 1);
    expect("before", "2");
    expect("later", "3");
    cleanup_buf struct buf b = {0};
    T_EQ(store_get(store, STORE_RUNS, "large", 5, &b), 0);
    T_EQ(b.len, 100000);
    free(value);
    close_store();
}

static void the_retry_comes_by_itself(void)
{
    struct waiter w = {0};
    char path[128];
    struct stat st;
    open_store(STORE_MAP_SIZE);
    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", dir);
    T_EQ(stat(path, &st), 0);
    set_file_limit(4096);
    put("retried", "yes");
    store_flush(store, &w.wait, on_flushed);
    while (w.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    T_TRUE(w.status < 0);
    set_file_limit(RLIM_INFINITY);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* the timer keeps the loop alive until it is written */
    expect("retried", "yes");
    close_store();
    remove_dir();
}

static void one_server_per_directory(void)
{
    struct store *second = NULL;
    struct error err = {0};
    char pid[32];
    make_dir();
    open_store(STORE_MAP_SIZE);
    T_EQ(store_open(&second, &loop, dir, NULL, STORE_MAP_SIZE, &err), -EBUSY);
    (void)snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
    T_TRUE(strstr(err.message, pid) != NULL && strstr(err.message, dir) != NULL);
    T_EQ(state_lock_owner(dir), getpid());
    close_store();
    T_EQ(state_lock_owner(dir), 0);
    open_store(STORE_MAP_SIZE);
    close_store();
    remove_dir();
    T_EQ(state_lock_owner(dir), 0);
}

static void a_newer_state_is_refused(void)
{
    struct error err = {0};
    make_dir();
    open_store(STORE_MAP_SIZE);
    T_EQ(store_put(store, STORE_META, META_SCHEMA, strlen(META_SCHEMA), "\x63\0\0\0", 4), 0);
    close_store();
    T_EQ(uv_loop_init(&loop), 0);
    T_EQ(store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err), -EPROTO);
    T_TRUE(strstr(err.message, "newer") != NULL && strstr(err.message, "99") != NULL);
    T_EQ(uv_loop_close(&loop), 0);
    remove_dir();
}

static void a_broken_file_is_refused(void)
{
    struct error err = {0};
    char path[128];
    make_dir();
    (void)snprintf(path, sizeof(path), "%s/db", dir);
    T_EQ(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 20000; i++)
        T_TRUE(fputs("not a database ", f) >= 0);
    fclose(f);
    T_EQ(uv_loop_init(&loop), 0);
    T_TRUE(store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err) < 0);
    T_TRUE(strstr(err.message, dir) != NULL);
    T_TRUE(store_open(&store, &loop, "/proc/corral", NULL, STORE_MAP_SIZE, &err) < 0);
    T_EQ(uv_loop_close(&loop), 0);
    remove_dir();
}

/* The child acknowledges each number through the pipe after it was flushed, until it is killed. */
static void write_until_killed(int fd)
{
    struct waiter w = {0};
    open_store(STORE_MAP_SIZE);
    for (uint32_t i = 1;; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "n%08u", i);
        put(key, "value");
        w.calls = 0;
        store_flush(store, &w.wait, on_flushed);
        while (w.calls == 0)
            (void)uv_run(&loop, UV_RUN_ONCE);
        if (w.status != 0 || write(fd, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static void a_killed_server_keeps_what_it_acknowledged(void)
{
    int fds[2];
    uint32_t last = 0, n;
    make_dir();
    T_EQ(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        write_until_killed(fds[1]);
    close(fds[1]);
    while (last < 30 && read(fds[0], &n, sizeof(n)) == sizeof(n))
        last = n;
    T_EQ(kill(pid, SIGKILL), 0);
    T_EQ(waitpid(pid, NULL, 0), pid);
    while (read(fds[0], &n, sizeof(n)) == sizeof(n))
        last = n;
    close(fds[0]);
    T_TRUE(last >= 30);
    open_store(STORE_MAP_SIZE);
    for (n = 1; n <= last; n++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "n%08u", n);
        expect(key, "value");
    }
    close_store();
    remove_dir();
}

static bool closed_from_answer;

static void on_flushed_close(struct store_wait *w, int status)
{
    T_EQ(status, 0);
    (void)w;
    put("last", "words");
    store_close(store, on_closed, &closed_from_answer);
}

static void an_answer_may_close(void)
{
    struct waiter w = {0}, other = {0};
    make_dir();
    open_store(STORE_MAP_SIZE);
    put("a", "b");
    store_flush(store, &w.wait, on_flushed_close);
    store_flush(store, &other.wait, on_flushed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_TRUE(closed_from_answer);
    T_EQ(other.calls, 1);
    T_EQ(uv_loop_close(&loop), 0);
    open_store(STORE_MAP_SIZE);
    expect("last", "words");
    close_store();
}

/* Closed after each of the first turns of a put and flush: the answer and `closed` always come. */
static void close_at_any_turn(void)
{
    for (int turns = 0; turns < 12; turns++) {
        struct waiter w = {0}, after = {0};
        open_store(STORE_MAP_SIZE);
        put("turn", "x");
        store_flush(store, &w.wait, on_flushed);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        store_close(store, on_closed, &closed);
        T_EQ(store_put(store, STORE_META, "k", 1, "v", 1), -ECANCELED);
        store_flush(store, &after.wait, on_flushed);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        T_EQ(w.calls, 1);
        T_EQ(w.status, 0);
        T_EQ(after.calls, 1);
        T_EQ(uv_loop_close(&loop), 0);
    }
    remove_dir();
}

T_MAIN(T_CASE(flush_is_durable), T_CASE(flush_without_changes), T_CASE(unwaited_is_not_called),
       T_CASE(answers_may_put), T_CASE(each_stops), T_CASE(limits), T_CASE(the_map_grows),
       T_CASE(a_full_disk_loses_nothing), T_CASE(the_retry_comes_by_itself),
       T_CASE(one_server_per_directory), T_CASE(a_newer_state_is_refused),
       T_CASE(a_broken_file_is_refused), T_CASE(a_killed_server_keeps_what_it_acknowledged),
       T_CASE(an_answer_may_close), T_CASE(close_at_any_turn))
