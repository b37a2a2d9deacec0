/* SPDX-License-Identifier: Apache-2.0 */
/* test_request.c - what the server's encoders make, as the agent's own decoder reads it. The
 * requests of the code bridge, which the agent passes on, are read field by field. */
#include "wire/request.h"

#include <errno.h>

#include "agent/request.h"
#include "t.h"

static char *const args[] = {"-c", "print(1)", NULL};
static char *const env[] = {"A=1", "B=", NULL};

static struct wire_reader reader;
static struct wire_frame frame;
static struct request got;

/* The next frame of `b`, which is all of it unless `more`. */
static void take(struct buf *b, bool more)
{
    if (b->len > 0)
        T_EQ(wire_reader_feed(&reader, b->data, b->len), 0);
    T_TRUE(!b->failed);
    buf_done(b);
    T_EQ(wire_reader_next(&reader, &frame), 1);
    T_EQ(wire_reader_rest(&reader).len > 0, more);
}

static void agent_parses(struct buf *b, enum wire_type type)
{
    const char *why = NULL;
    take(b, false);
    T_EQ(frame.type, type);
    T_EQ(request_parse(&frame, &got, &why), 0);
    T_TRUE(why == NULL);
}

static void over(void)
{
    request_done(&got);
    wire_reader_done(&reader);
}

static void expect_str(struct cursor *c, const char *want)
{
    struct span s = wire_get_span(c);
    T_EQ(s.len, strlen(want));
    T_EQ(memcmp(s.data, want, s.len), 0);
}

static void expect_env(char **list)
{
    T_STR(list[0], "A=1");
    T_STR(list[1], "B=");
    T_TRUE(list[2] == NULL);
}

static void a_program(void)
{
    struct buf b = {0};
    wire_request_exec(&b, &(struct wire_exec_params){.command = "python3",
                                                     .args = args,
                                                     .cwd = "/tmp",
                                                     .user = "root",
                                                     .env = env,
                                                     .timeout_ms = 7000});
    agent_parses(&b, WIRE_EXEC);
    T_EQ(got.flags, 0);
    T_EQ(got.timeout_ms, 7000);
    T_STR(got.cwd, "/tmp");
    T_STR(got.user, "root");
    T_STR(got.argv[0], "python3");
    T_STR(got.argv[2], "print(1)");
    T_TRUE(got.argv[3] == NULL);
    expect_env(got.env);
    over();
}

static void a_line_for_the_shell(void)
{
    static char *const none[] = {NULL};
    for (int i = 0; i < 2; i++) {
        struct buf b = {0};
        wire_request_exec(
            &b, &(struct wire_exec_params){.command = "a | b", .args = i == 0 ? NULL : none});
        agent_parses(&b, WIRE_EXEC);
        T_EQ(got.flags, WIRE_EXEC_SHELL);
        T_STR(got.cwd, "");
        T_STR(got.user, "");
        T_STR(got.argv[0], "a | b");
        T_TRUE(got.argv[1] == NULL && got.env[0] == NULL);
        over();
    }
}

static void the_start_of_a_sandbox(void)
{
    static const uint8_t seed[] = {1, 0, 2};
    struct buf b = {0};
    wire_request_ping(&b);
    agent_parses(&b, WIRE_PING);
    over();
    wire_request_configure(&b, &(struct wire_configure_params){.wall_ns = 1ull << 60,
                                                               .seed = seed,
                                                               .seed_len = sizeof(seed),
                                                               .hostname = "h",
                                                               .env = env,
                                                               .offline = true});
    agent_parses(&b, WIRE_CONFIGURE);
    T_EQ(got.wall_ns, 1ull << 60);
    T_EQ(got.entropy.len, 3);
    T_EQ(memcmp(got.entropy.data, seed, 3), 0);
    T_STR(got.hostname, "h");
    T_EQ(got.flags, WIRE_CONFIGURE_OFFLINE);
    expect_env(got.env);
    over();
    wire_request_configure(
        &b, &(struct wire_configure_params){.hostname = "", .keep = true, .reseed = true});
    agent_parses(&b, WIRE_CONFIGURE);
    T_EQ(got.flags, WIRE_CONFIGURE_KEEP | WIRE_CONFIGURE_RESEED);
    over();
    wire_request_configure(&b, &(struct wire_configure_params){.hostname = "", .afresh = true});
    agent_parses(&b, WIRE_CONFIGURE);
    T_EQ(got.flags, WIRE_CONFIGURE_AFRESH);
    over();
    wire_request_clock(&b, 5);
    agent_parses(&b, WIRE_CLOCK);
    T_EQ(got.wall_ns, 5);
    over();
    wire_request_trust(&b, "PEM");
    agent_parses(&b, WIRE_TRUST);
    T_STR(got.pem, "PEM");
    over();
    wire_request_code_ready(&b);
    take(&b, false);
    T_EQ(frame.type, WIRE_CODE_READY);
    T_EQ(frame.len, 0);
    over();
}

static void files(void)
{
    struct buf b = {0};
    wire_request_read(&b, "/f", 3 | WIRE_READ_LAST, UINT64_MAX);
    agent_parses(&b, WIRE_READ);
    T_STR(got.path, "/f");
    T_EQ(got.offset, 3 | WIRE_READ_LAST);
    T_EQ(got.length, UINT64_MAX);
    over();
    wire_request_write(&b, "/f", 0600, WIRE_WRITE_PARENTS);
    agent_parses(&b, WIRE_WRITE);
    T_EQ(got.mode, 0600);
    T_EQ(got.flags, WIRE_WRITE_PARENTS);
    over();
    wire_request_as(&b, "root");
    agent_parses(&b, WIRE_AS);
    T_STR(got.user, "root");
    over();
    wire_request_list(&b, "/d");
    agent_parses(&b, WIRE_LIST);
    T_STR(got.path, "/d");
    over();
    wire_request_remove(&b, "/d", WIRE_REMOVE_RECURSIVE);
    agent_parses(&b, WIRE_REMOVE);
    T_EQ(got.flags, WIRE_REMOVE_RECURSIVE);
    over();
    wire_request_mkdir(&b, "/d", 0700, WIRE_MKDIR_PARENTS);
    agent_parses(&b, WIRE_MKDIR);
    T_EQ(got.mode, 0700);
    T_EQ(got.flags, WIRE_MKDIR_PARENTS);
    over();
}

static void the_end_of_a_write(void)
{
    struct buf b = {0};
    wire_request_write_end(&b, NULL);
    take(&b, false);
    T_EQ(frame.type, WIRE_END);
    T_EQ(frame.len, 0);
    over();
    wire_request_write_end(&b, "/other");
    take(&b, false);
    struct cursor c = cursor_on(frame.payload, frame.len);
    expect_str(&c, "/other");
    T_TRUE(frame.type == WIRE_END && cursor_end(&c));
    over();
}

static void what_surrounds_a_write(void)
{
    struct buf b = {0};
    char *const list[] = {"a=1", "b=", NULL};
    wire_request_write_attributes(&b, list);
    take(&b, false);
    struct cursor c = cursor_on(frame.payload, frame.len);
    T_EQ(cursor_u32(&c), 2);
    expect_str(&c, "a=1");
    expect_str(&c, "b=");
    T_TRUE(frame.type == WIRE_ATTRIBUTES && cursor_end(&c));
    over();
    wire_request_write(&b, "/f", 0, 0);
    size_t alone = b.len;
    wire_request_as(&b, "root");
    T_EQ(b.len, alone + WIRE_HEADER_SIZE + 8);
    T_EQ(b.data[4], WIRE_AS);
    T_EQ(b.data[WIRE_HEADER_SIZE + 8 + 4], WIRE_WRITE);
    buf_done(&b);
}

static void files_as_a_whole(void)
{
    struct buf b = {0};
    wire_request_info(&b, "/f");
    agent_parses(&b, WIRE_INFO_PATH);
    T_STR(got.path, "/f");
    over();
    wire_request_move(&b, "/f", "/g", WIRE_TO_OVERWRITE);
    agent_parses(&b, WIRE_MOVE);
    T_STR(got.path, "/f");
    T_STR(got.to, "/g");
    T_EQ(got.flags, WIRE_TO_OVERWRITE);
    over();
    wire_request_copy(&b, "/f", "/g", WIRE_TO_RECURSIVE);
    agent_parses(&b, WIRE_COPY);
    T_STR(got.to, "/g");
    T_EQ(got.flags, WIRE_TO_RECURSIVE);
    over();
    wire_request_chmod(&b, "/f", 0600, WIRE_TREE_RECURSIVE);
    agent_parses(&b, WIRE_CHMOD);
    T_EQ(got.mode, 0600);
    T_EQ(got.flags, WIRE_TREE_RECURSIVE);
    over();
    wire_request_chown(&b, "/f", "user", "7", 0);
    agent_parses(&b, WIRE_CHOWN);
    T_STR(got.user, "user");
    T_STR(got.group, "7");
    over();
    wire_request_watch(&b, "/d", WIRE_TREE_RECURSIVE);
    agent_parses(&b, WIRE_WATCH);
    T_EQ(got.flags, WIRE_TREE_RECURSIVE);
    over();
}

static void searches(void)
{
    const struct wire_find_params p = {.path = "/d",
                                       .pattern = "a.*b",
                                       .glob = "*.c",
                                       .replacement = "$1",
                                       .flags = WIRE_FIND_REGEX,
                                       .depth = 3,
                                       .matches = 9};
    struct buf b = {0};
    wire_request_find(&b, &p);
    agent_parses(&b, WIRE_FIND);
    T_STR(got.path, "/d");
    T_STR(got.pattern, "a.*b");
    T_STR(got.glob, "*.c");
    T_EQ(got.flags, WIRE_FIND_REGEX);
    T_EQ(got.depth, 3);
    T_EQ(got.max, 9);
    over();
    wire_request_replace(&b, &p);
    agent_parses(&b, WIRE_REPLACE);
    T_STR(got.pattern, "a.*b");
    T_STR(got.replacement, "$1");
    T_STR(got.glob, "*.c");
    T_EQ(got.depth, 3);
    over();
}

static void the_start_of_a_process(void)
{
    struct buf b = {0};
    wire_request_start(&b, &(struct wire_start_params){.run = {.command = "sh",
                                                               .args = args,
                                                               .cwd = "/tmp",
                                                               .env = env,
                                                               .timeout_ms = 5,
                                                               .has_stdin = true},
                                                       .tag = "t",
                                                       .has_terminal = true,
                                                       .columns = 80,
                                                       .rows = 24,
                                                       .keep = 9});
    agent_parses(&b, WIRE_PROCESS_START);
    T_EQ(got.flags, WIRE_EXEC_STDIN | WIRE_PROCESS_PTY);
    T_EQ(got.timeout_ms, 5);
    T_STR(got.cwd, "/tmp");
    T_STR(got.tag, "t");
    T_STR(got.argv[0], "sh");
    T_STR(got.argv[2], "print(1)");
    expect_env(got.env);
    T_EQ(got.columns, 80);
    T_EQ(got.rows, 24);
    T_EQ(got.keep, 9);
    over();
    wire_request_start(&b, &(struct wire_start_params){.run = {.command = "a | b"}});
    agent_parses(&b, WIRE_PROCESS_START);
    T_EQ(got.flags, WIRE_EXEC_SHELL);
    T_STR(got.tag, "");
    over();
}

static void processes(void)
{
    const struct wire_which which = {.id = 1ull << 40, .pid = 7, .tag = "t"};
    struct buf b = {0};
    wire_request_process_list(&b);
    agent_parses(&b, WIRE_PROCESS_LIST);
    over();
    wire_request_process_attach(&b, &which, WIRE_SEQ_NOW, WIRE_ATTACH_OWN);
    agent_parses(&b, WIRE_PROCESS_ATTACH);
    T_EQ(got.id, 1ull << 40);
    T_EQ(got.pid, 7);
    T_STR(got.tag, "t");
    T_EQ(got.seq, WIRE_SEQ_NOW);
    T_EQ(got.flags, WIRE_ATTACH_OWN);
    over();
    wire_request_process_input(&b, &which, WIRE_INPUT_EOF, "a\0b", 3);
    take(&b, false);
    const char *why = NULL;
    T_EQ(request_parse(&frame, &got, &why), 0);
    T_EQ(got.data.len, 3);
    T_EQ(memcmp(got.data.data, "a\0b", 3), 0);
    T_EQ(got.flags, WIRE_INPUT_EOF);
    over();
    wire_request_process_signal(&b, &which, 9, WIRE_SCOPE_TREE);
    agent_parses(&b, WIRE_PROCESS_SIGNAL);
    T_EQ(got.signal, 9);
    T_EQ(got.scope, WIRE_SCOPE_TREE);
    over();
    wire_request_process_resize(&b, &which, 100, 50);
    agent_parses(&b, WIRE_PROCESS_RESIZE);
    T_EQ(got.columns, 100);
    T_EQ(got.rows, 50);
    over();
    wire_request_process_forget(&b, &which);
    agent_parses(&b, WIRE_PROCESS_FORGET);
    T_EQ(got.pid, 7);
    over();
    wire_request_resize(&b, 100, 50);
    take(&b, false);
    T_EQ(frame.type, WIRE_RESIZE);
    struct cursor c = cursor_on(frame.payload, frame.len);
    T_EQ(cursor_u32(&c), 100);
    T_EQ(cursor_u32(&c), 50);
    T_TRUE(cursor_end(&c));
    over();
}

static void a_port(void)
{
    struct buf b = {0};
    wire_request_port(&b, 65535);
    agent_parses(&b, WIRE_PORT);
    T_EQ(got.port, 65535);
    over();
}

static void expect_code(uint32_t timeout_ms)
{
    struct cursor c = cursor_on(frame.payload, frame.len);
    T_EQ(frame.type, WIRE_CODE_RUN);
    expect_str(&c, "ctx");
    expect_str(&c, "python");
    expect_str(&c, "1 + 1");
    T_EQ(cursor_u32(&c), timeout_ms);
    char **list = wire_get_list(&c);
    expect_env(list);
    free(list);
    T_TRUE(cursor_end(&c));
}

static const struct wire_code_params code = {
    .context = "ctx", .language = "python", .code = "1 + 1", .env = env, .timeout_ms = 9};

static void contexts_and_code(void)
{
    struct buf b = {0};
    wire_request_code(&b, &code);
    take(&b, false);
    expect_code(9);
    over();
    wire_request_context_create(
        &b, &(struct wire_context_params){.id = "i", .language = "bash", .lifetime_s = 60});
    take(&b, false);
    struct cursor c = cursor_on(frame.payload, frame.len);
    T_EQ(frame.type, WIRE_CONTEXT_CREATE);
    expect_str(&c, "i");
    expect_str(&c, "bash");
    expect_str(&c, "");
    T_EQ(cursor_u32(&c), 60);
    T_TRUE(cursor_end(&c));
    over();
    wire_request_context_get(&b, "i");
    wire_request_context_delete(&b, "j");
    take(&b, true);
    T_EQ(frame.type, WIRE_CONTEXT_GET);
    take(&b, false);
    T_EQ(frame.type, WIRE_CONTEXT_DELETE);
    c = cursor_on(frame.payload, frame.len);
    expect_str(&c, "j");
    T_TRUE(cursor_end(&c));
    over();
}

static void acts_on_contexts(void)
{
    struct buf b = {0};
    wire_request_context_list(&b);
    wire_request_context_interrupt(&b, "i", "");
    wire_request_context_restart(&b, "", "bash");
    take(&b, true);
    T_EQ(frame.type, WIRE_CONTEXT_LIST);
    T_EQ(frame.len, 0);
    for (int i = 0; i < 2; i++) {
        take(&b, i == 0);
        T_EQ(frame.type, i == 0 ? WIRE_CONTEXT_INTERRUPT : WIRE_CONTEXT_RESTART);
        struct cursor c = cursor_on(frame.payload, frame.len);
        expect_str(&c, i == 0 ? "i" : "");
        expect_str(&c, i == 0 ? "" : "bash");
        T_TRUE(cursor_end(&c));
    }
    over();
}

static void keys(void)
{
    struct buf b = {0};
    wire_request_attach(&b, "k");
    agent_parses(&b, WIRE_ATTACH);
    T_STR(got.key, "k");
    over();
    wire_request_forget(&b, "k");
    agent_parses(&b, WIRE_FORGET);
    T_STR(got.key, "k");
    over();
    wire_request_keep(&b, "k", (size_t)WIRE_MAX_KEEP + 1);
    agent_parses(&b, WIRE_KEEP);
    T_EQ(got.keep, WIRE_MAX_KEEP);
    over();
}

/* Of a run, kept or not, command or code: nothing but that field changes. */
static void a_later_timeout(void)
{
    for (int kept = 0; kept < 2; kept++) {
        const char *why = NULL;
        struct buf b = {0};
        if (kept)
            wire_request_keep(&b, "key", 100);
        wire_request_code(&b, &code);
        wire_request_set_timeout(&b, 0x01020304);
        if (kept)
            take(&b, true);
        take(&b, false);
        expect_code(0x01020304);
        over();
        if (kept)
            wire_request_keep(&b, "key", 100);
        wire_request_exec(&b, &(struct wire_exec_params){.command = "true", .cwd = "/"});
        wire_request_set_timeout(&b, 0x01020304);
        if (kept)
            take(&b, true);
        take(&b, false);
        T_EQ(request_check_kept(&frame, &why), 0);
        T_EQ(request_parse(&frame, &got, &why), 0);
        T_EQ(got.timeout_ms, 0x01020304);
        T_STR(got.argv[0], "true");
        T_STR(got.cwd, "/");
        over();
    }
}

static void no_memory_is_no_request(void)
{
    struct buf b = {.failed = true};
    wire_request_keep(&b, "key", 100);
    wire_request_exec(&b, &(struct wire_exec_params){.command = "true"});
    wire_request_set_timeout(&b, 1);
    T_TRUE(b.failed);
    buf_done(&b);
}

T_MAIN(T_CASE(a_program), T_CASE(a_line_for_the_shell), T_CASE(the_start_of_a_sandbox),
       T_CASE(files), T_CASE(files_as_a_whole), T_CASE(searches), T_CASE(the_start_of_a_process),
       T_CASE(processes), T_CASE(acts_on_contexts), T_CASE(the_end_of_a_write),
       T_CASE(what_surrounds_a_write), T_CASE(a_port), T_CASE(contexts_and_code), T_CASE(keys),
       T_CASE(a_later_timeout), T_CASE(no_memory_is_no_request))
