/* SPDX-License-Identifier: Apache-2.0 */
/* Kept operations against a real agent: clients that leave, come back or come twice, and records
 * that fill up. The code bridge is this program itself, started by the agent with the word
 * "bridge". */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "client.h"
#include "t.h"

#define KEEP_BYTES   (3u * WIRE_CHUNK)
#define DISPLAY_SIZE (3u << 20)

static struct agent_proc agent;

static void bridge_put_text(struct buf *b, uint8_t which, const char *text)
{
    size_t start = wire_begin(b, WIRE_CODE_STREAM);
    buf_u8(b, which);
    buf_u64(b, 0);
    wire_put_str(b, text);
    wire_end(b, start);
}

/* Says "begun", a display of 3 MiB, waits for a second unless the agent closes, says "through" on
 * stderr, and ends; or, for a request of the language "dies", ends without a last frame. */
static void bridge_serve(int fd)
{
    struct wire_reader reader = {0};
    struct wire_frame f;
    struct buf out = {0};
    static uint8_t chunk[65536];
    ssize_t n = 0;
    int rv;
    for (;;) {
        while ((rv = wire_reader_next(&reader, &f)) == 0 &&
               (n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
            (void)wire_reader_feed(&reader, chunk, (size_t)n);
        if (rv <= 0)
            _exit(0);
        if (f.type != WIRE_CODE_ENV)
            break;
        wire_put_frame(&out, WIRE_OK, NULL, 0);
        (void)send(fd, out.data, out.len, MSG_NOSIGNAL);
        buf_reset(&out);
    }
    struct cursor c = cursor_on(f.payload, f.len);
    (void)wire_get_span(&c);
    struct span language = wire_get_span(&c);
    bridge_put_text(&out, 1, "begun");
    size_t start = wire_begin(&out, WIRE_CODE_DISPLAY);
    buf_reserve(&out, DISPLAY_SIZE);
    memset(out.data + out.len, 'x', DISPLAY_SIZE);
    out.len += DISPLAY_SIZE;
    wire_end(&out, start);
    (void)send(fd, out.data, out.len, MSG_NOSIGNAL);
    if (language.len == 4 && memcmp(language.data, "dies", 4) == 0)
        _exit(0);
    const struct timeval second = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    if (recv(fd, chunk, 1, 0) >= 0)
        _exit(0); /* interrupted */
    buf_reset(&out);
    bridge_put_text(&out, 2, "through");
    start = wire_begin(&out, WIRE_CODE_DONE);
    buf_u32(&out, WIRE_CODE_OK);
    buf_u32(&out, 1);
    wire_end(&out, start);
    (void)send(fd, out.data, out.len, MSG_NOSIGNAL);
    _exit(0);
}

__attribute__((constructor)) static void bridge_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "bridge") != 0)
        return;
    (void)signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(3, NULL, NULL);
        if (fd < 0)
            _exit(2);
        if (fork() == 0)
            bridge_serve(fd);
        close(fd);
    }
}

static void starts(void)
{
    char self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    T_TRUE(n > 0);
    self[n] = '\0';
    const char *const command[] = {self, "bridge", NULL};
    agent_start(&agent, "no-such-user", command);
}

static void put_keep(struct buf *b, const char *key, uint32_t bytes)
{
    size_t start = wire_begin(b, WIRE_KEEP);
    wire_put_str(b, key);
    buf_u32(b, bytes);
    wire_end(b, start);
}

static void put_key(struct buf *b, enum wire_type type, const char *key)
{
    size_t start = wire_begin(b, type);
    wire_put_str(b, key);
    wire_end(b, start);
}

static void put_code(struct buf *b, const char *language)
{
    size_t start = wire_begin(b, WIRE_CODE_RUN);
    wire_put_str(b, "");
    wire_put_str(b, language);
    wire_put_str(b, "1");
    buf_u32(b, 20000);
    wire_put_list(b, NULL);
    wire_end(b, start);
}

/* Starts a kept command and returns with its connection once it runs. */
static void keep_shell(struct client *c, const char *key, const char *command, uint32_t timeout_ms)
{
    struct buf b = {0};
    struct wire_frame f;
    put_keep(&b, key, KEEP_BYTES);
    put_shell(&b, command, timeout_ms);
    client_open(c, &agent);
    client_send(c, &b);
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_KEPT);
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_STARTED);
}

static void ask(enum wire_type type, const char *key, struct result *r)
{
    struct buf b = {0};
    put_key(&b, type, key);
    run_request(&agent, &b, r);
}

static void expect_forget(const char *key, bool known)
{
    struct result r;
    ask(WIRE_FORGET, key, &r);
    T_EQ(r.ok, known);
    T_EQ(r.error, known ? 0u : (uint32_t)WIRE_E_NOT_FOUND);
    result_done(&r);
}

static bool exists(const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", agent.work, name);
    return stat(path, &st) == 0;
}

static void client_killed_midway(void)
{
    struct client c;
    struct result r;
    char command[512];
    snprintf(command, sizeof(command),
             "cd %s; echo a >> log; sleep 0.4; echo e >&2; echo b >> log; cat log; exit 3",
             agent.work);
    keep_shell(&c, "midway", command, 20000);
    client_close(&c);
    ask(WIRE_ATTACH, "midway", &r); /* while it runs */
    T_TRUE(r.kept && r.started && r.exited);
    T_EQ(r.kept_ended, 0u);
    T_STR((char *)r.out.data, "a\nb\n");
    T_STR((char *)r.err.data, "e\n");
    T_EQ(r.exit_code, 3);
    result_done(&r);
    for (int i = 0; i < 2; i++) { /* after its end, as often as one likes */
        ask(WIRE_ATTACH, "midway", &r);
        T_TRUE(r.kept && r.started && r.exited);
        T_EQ(r.kept_ended, 1u);
        T_TRUE(r.kept_us >= 400000 && r.kept_us < 20000000);
        T_STR((char *)r.out.data, "a\nb\n");
        result_done(&r);
    }
    expect_forget("midway", true);
    expect_forget("midway", false);
    ask(WIRE_ATTACH, "midway", &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    result_done(&r);
    agent_settle(&agent);
}

static void two_look_on_and_a_third_may_not_start(void)
{
    struct client a, b;
    struct result ra = {0}, rb = {0}, r;
    struct buf again = {0}, attach = {0};
    keep_shell(&a, "twice", "sleep 0.3; echo here", 20000);
    put_key(&attach, WIRE_ATTACH, "twice");
    client_open(&b, &agent);
    client_send(&b, &attach);
    put_keep(&again, "twice", KEEP_BYTES);
    put_shell(&again, "echo never", 20000);
    run_request(&agent, &again, &r);
    T_EQ(r.error, WIRE_E_BUSY);
    result_done(&r);
    client_finish(&a, &ra);
    client_finish(&b, &rb);
    T_STR((char *)ra.out.data, "here\n");
    T_STR((char *)rb.out.data, "here\n");
    result_done(&ra);
    result_done(&rb);
    client_close(&a);
    client_close(&b);
    /* The key is taken after the end, too, until it is forgotten. */
    put_keep(&again, "twice", KEEP_BYTES);
    put_shell(&again, "echo never", 20000);
    run_request(&agent, &again, &r);
    T_EQ(r.error, WIRE_E_BUSY);
    result_done(&r);
    expect_forget("twice", true);
    agent_settle(&agent);
}

static void forgetting_ends_it(void)
{
    struct client c;
    struct buf b = {0};
    struct result r = {0};
    char command[512];
    snprintf(command, sizeof(command), "cd %s; (sleep 1; touch late) & sleep 1; touch late; wait",
             agent.work);
    keep_shell(&c, "cancel", command, 20000); /* by its own connection, in order */
    put_key(&b, WIRE_FORGET, "cancel");
    client_send(&c, &b);
    client_finish(&c, &r);
    T_TRUE(r.ok && !r.exited);
    result_done(&r);
    client_close(&c);
    keep_shell(&c, "cancel", command, 20000); /* by another; who looks on is told */
    expect_forget("cancel", true);
    r = (struct result){0};
    client_finish(&c, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    result_done(&r);
    client_close(&c);
    usleep(1300000);
    T_TRUE(!exists("late"));
    agent_settle(&agent);
}

static void its_time_out_holds_without_a_client(void)
{
    struct client c;
    struct result r;
    keep_shell(&c, "slow", "echo on; sleep 60", 500);
    client_close(&c);
    ask(WIRE_ATTACH, "slow", &r);
    T_TRUE(r.exited);
    T_EQ(r.timed_out, 1u);
    T_STR((char *)r.out.data, "on\n");
    result_done(&r);
    expect_forget("slow", true);
    agent_settle(&agent);
}

static void a_full_record_leaves_out_what_follows(void)
{
    struct client c;
    struct result r = {0};
    keep_shell(&c, "full",
               "head -c 1000000 /dev/zero | tr '\\0' x; sleep 0.2; echo late; echo err >&2; exit 4",
               20000);
    client_finish(&c, &r);
    T_TRUE(r.out.len > 0 && r.out.len <= KEEP_BYTES);
    T_EQ(r.out.data[r.out.len - 1], 'x');
    T_STR((char *)r.err.data, "err\n"); /* each kind has its own room */
    T_EQ(r.exit_code, 4);
    client_close(&c);
    struct result again;
    ask(WIRE_ATTACH, "full", &again);
    T_EQ(again.out.len, r.out.len);
    T_EQ(again.exit_code, 4);
    result_done(&again);
    result_done(&r);
    expect_forget("full", true);
    agent_settle(&agent);
}

static void the_oldest_that_ended_makes_room(void)
{
    struct client c, running;
    struct result r;
    char key[32];
    keep_shell(&running, "runs", "sleep 60", 60000);
    for (int i = 0; i < 64; i++) {
        snprintf(key, sizeof(key), "many-%d", i);
        keep_shell(&c, key, "echo $$", 20000);
        r = (struct result){.kept = true, .started = true};
        client_finish(&c, &r);
        T_TRUE(r.exited);
        result_done(&r);
        client_close(&c);
    }
    ask(WIRE_ATTACH, "many-0", &r); /* it was there, which is not the same as NOT_FOUND */
    T_EQ(r.error, WIRE_E_EXISTS);
    result_done(&r);
    struct buf b = {0};
    put_keep(&b, "many-0", KEEP_BYTES);
    put_shell(&b, "echo twice", 20000);
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_BUSY);
    result_done(&r);
    for (int i = 1; i < 64; i++) {
        snprintf(key, sizeof(key), "many-%d", i);
        expect_forget(key, true);
    }
    expect_forget("runs", true);
    client_close(&running);
    agent_settle(&agent);
}

/* The frames of an attached code run as text: one letter each, and the text of the streams. */
static void attach_code(const char *key, struct buf *said, uint32_t *error)
{
    struct client c;
    struct wire_frame f;
    struct buf b = {0};
    put_key(&b, WIRE_ATTACH, key);
    client_open(&c, &agent);
    client_send(&c, &b);
    *error = 0;
    while (client_next(&c, &f)) {
        struct cursor cur = cursor_on(f.payload, f.len);
        if (f.type == WIRE_CODE_STREAM) {
            (void)buf_printf(said, "%u", cursor_u8(&cur));
            (void)cursor_u64(&cur);
            struct span text = wire_get_span(&cur);
            buf_append(said, text.data, text.len);
        } else if (f.type == WIRE_CODE_DISPLAY) {
            buf_append_str(said, "D");
        } else if (f.type == WIRE_CODE_DONE) {
            buf_append_str(said, ".");
        } else if (f.type == WIRE_ERROR) {
            *error = cursor_u32(&cur);
        }
    }
    buf_cstr(said);
    client_close(&c);
}

static void keep_code(struct client *c, const char *key, const char *language)
{
    struct buf b = {0};
    struct wire_frame f;
    put_keep(&b, key, KEEP_BYTES);
    put_code(&b, language);
    client_open(c, &agent);
    client_send(c, &b);
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_KEPT);
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_CODE_STREAM);
}

static void code_goes_on_without_its_client(void)
{
    struct client c;
    struct buf said = {0};
    uint32_t error;
    keep_code(&c, "code", "python");
    client_close(&c);
    for (int i = 0; i < 2; i++) {
        attach_code("code", &said, &error);
        T_STR((char *)said.data, "1begun2through."); /* the display of 3 MiB has no room */
        T_EQ(error, 0u);
        buf_done(&said);
    }
    expect_forget("code", true);
    keep_code(&c, "dies", "dies");
    client_close(&c);
    attach_code("dies", &said, &error);
    T_STR((char *)said.data, "1begun");
    T_EQ(error, WIRE_E_INTERNAL);
    buf_done(&said);
    expect_forget("dies", true);
}

static void expect_refused(struct buf *b, uint32_t error)
{
    struct result r;
    run_request(&agent, b, &r);
    T_EQ(r.error, error);
    result_done(&r);
}

static void what_cannot_be_kept_is_refused(void)
{
    struct buf b = {0};
    const char *const argv[] = {"cat", NULL};
    put_keep(&b, "k", KEEP_BYTES);
    put_shell(&b, "true", 0); /* no time-out */
    expect_refused(&b, WIRE_E_INVALID);
    put_keep(&b, "k", KEEP_BYTES);
    put_exec(&b,
             &(struct exec_request){.flags = WIRE_EXEC_STDIN, .timeout_ms = 1000, .argv = argv});
    expect_refused(&b, WIRE_E_INVALID);
    put_keep(&b, "k", KEEP_BYTES);
    put_key(&b, WIRE_LIST, "/");
    expect_refused(&b, WIRE_E_PROTOCOL);
    put_keep(&b, "k", WIRE_MAX_KEEP + 1);
    expect_refused(&b, WIRE_E_INVALID);
    put_key(&b, WIRE_ATTACH, "");
    expect_refused(&b, WIRE_E_INVALID);
    put_keep(&b, "k", KEEP_BYTES); /* a request that is not one is answered and kept as such */
    size_t start = wire_begin(&b, WIRE_EXEC);
    buf_u32(&b, 0);
    buf_u32(&b, 1000);
    wire_end(&b, start);
    expect_refused(&b, WIRE_E_PROTOCOL);
    expect_forget("k", true);
    agent_settle(&agent);
}

static void stops(void)
{
    struct client c;
    keep_shell(&c, "at the end", "sleep 60", 60000);
    agent_stop(&agent);
    client_close(&c);
}

T_MAIN(T_CASE(starts), T_CASE(client_killed_midway), T_CASE(two_look_on_and_a_third_may_not_start),
       T_CASE(forgetting_ends_it), T_CASE(its_time_out_holds_without_a_client),
       T_CASE(a_full_record_leaves_out_what_follows), T_CASE(the_oldest_that_ended_makes_room),
       T_CASE(what_cannot_be_kept_is_refused), T_CASE(code_goes_on_without_its_client),
       T_CASE(stops))
