/* SPDX-License-Identifier: Apache-2.0 */
/* What a real agent does to files and trees at once: attributes, moves, copies, searches, watches.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "client.h"
#include "t.h"

static struct agent_proc agent;

/* The answer to one request: a line for each frame. */
struct answer {
    struct buf lines;
    uint32_t error;
    uint64_t files, hits;
    uint32_t cut;
    bool ok;
};

static void starts(void)
{
    agent_start(&agent, "no-such-user", NULL);
}

static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", agent.work, name);
    return path;
}

static void shell(const char *command)
{
    char whole[2048];
    struct result r;
    snprintf(whole, sizeof(whole), "set -e; cd %s; %s", agent.work, command);
    run_shell(&agent, whole, &r);
    T_EQ(r.exit_code, 0);
    result_done(&r);
}

static void expect_output(const char *command, const char *want)
{
    char whole[2048];
    struct result r;
    snprintf(whole, sizeof(whole), "cd %s; %s", agent.work, command);
    run_shell(&agent, whole, &r);
    T_STR((char *)r.out.data, want);
    result_done(&r);
}

static void span_to(struct buf *b, struct span s)
{
    buf_append(b, s.data, s.len);
    buf_append_str(b, " ");
}

static void take_info(struct buf *lines, struct cursor *c)
{
    span_to(lines, wire_get_span(c));
    (void)wire_get_span(c); /* path */
    uint64_t size = cursor_u64(c);
    uint32_t kind = cursor_u32(c), mode = cursor_u32(c);
    T_TRUE(cursor_u64(c) != 0);
    uint32_t uid = cursor_u32(c), gid = cursor_u32(c);
    buf_printf(lines, "%u %o %u:%u ", kind, mode, uid, gid);
    span_to(lines, wire_get_span(c));
    span_to(lines, wire_get_span(c));
    uint32_t to = cursor_u32(c);
    struct span target = wire_get_span(c);
    if (target.len > 0)
        buf_printf(lines, "-> %u %.*s", to, (int)target.len, target.data);
    else
        buf_printf(lines, "%llu", kind == WIRE_KIND_FILE ? (unsigned long long)size : 0);
    T_TRUE(cursor_end(c));
}

static void take(struct answer *a, const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    switch (f->type) {
    case WIRE_ERROR:
        a->error = cursor_u32(&c);
        return;
    case WIRE_OK:
    case WIRE_END:
        a->ok = true;
        return;
    case WIRE_FOUND:
        a->files = cursor_u64(&c);
        a->hits = cursor_u64(&c);
        a->cut = cursor_u32(&c);
        T_TRUE(cursor_end(&c));
        a->ok = true;
        return;
    case WIRE_INFO:
        take_info(&a->lines, &c);
        break;
    case WIRE_MATCH:
    case WIRE_REPLACED: {
        struct span path = wire_get_span(&c);
        size_t cut = strlen(agent.work) + 1;
        buf_append(&a->lines, path.data + cut, path.len - cut);
        buf_printf(&a->lines, ":%llu", (unsigned long long)cursor_u64(&c));
        if (f->type == WIRE_MATCH)
            buf_printf(&a->lines, ":%llu:", (unsigned long long)cursor_u64(&c));
        if (f->type == WIRE_MATCH)
            span_to(&a->lines, wire_get_span(&c));
        T_TRUE(cursor_end(&c));
        break;
    }
    default:
        T_FAIL("unexpected frame 0x%x", (unsigned)f->type);
    }
    buf_append_str(&a->lines, "\n");
}

static struct answer ask(struct buf *b)
{
    struct client c;
    struct wire_frame f;
    struct answer a = {0};
    client_open(&c, &agent);
    client_send(&c, b);
    while (client_next(&c, &f))
        take(&a, &f);
    client_close(&c);
    T_TRUE(a.ok || a.error != 0 || a.lines.len > 0);
    buf_cstr(&a.lines);
    return a;
}

static struct answer ask_path(enum wire_type type, const char *path)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, type);
    wire_put_str(&b, path);
    wire_end(&b, start);
    return ask(&b);
}

/* CHMOD has a number and flags behind the path, LIST_TREE a number alone. */
static struct answer ask_numbers(enum wire_type type, const char *path, uint32_t n,
                                 const uint32_t *flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, type);
    wire_put_str(&b, path);
    buf_u32(&b, n);
    if (flags != NULL)
        buf_u32(&b, *flags);
    wire_end(&b, start);
    return ask(&b);
}

static struct answer ask_to(enum wire_type type, const char *from, const char *to, uint32_t flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, type);
    wire_put_str(&b, from);
    wire_put_str(&b, to);
    buf_u32(&b, flags);
    wire_end(&b, start);
    return ask(&b);
}

static struct answer ask_chown(const char *path, const char *user, const char *group,
                               uint32_t flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_CHOWN);
    wire_put_str(&b, path);
    wire_put_str(&b, user);
    wire_put_str(&b, group);
    buf_u32(&b, flags);
    wire_end(&b, start);
    return ask(&b);
}

static void expect(struct answer a, uint32_t error)
{
    T_EQ(a.error, error);
    buf_done(&a.lines);
}

static void expect_lines(struct answer a, const char *want)
{
    T_EQ(a.error, 0);
    T_STR((char *)a.lines.data, want);
    buf_done(&a.lines);
}

static void says_whose_a_file_is(void)
{
    char want[512];
    shell("echo four > file; chmod 640 file; ln -s file link; ln -s nowhere broken; mkdir dir");
    if (geteuid() != 0)
        return;
    expect_lines(ask_path(WIRE_INFO_PATH, at("file")), "file 1 640 0:0 root root 5\n");
    snprintf(want, sizeof(want), "link 3 777 0:0 root root -> 1 %s\n", at("file"));
    expect_lines(ask_path(WIRE_INFO_PATH, at("link")), want);
    expect_lines(ask_path(WIRE_INFO_PATH, at("broken")),
                 "broken 3 777 0:0 root root -> 0 nowhere\n");
    expect_lines(ask_path(WIRE_INFO_PATH, at("dir")), "dir 2 755 0:0 root root 0\n");
    expect(ask_path(WIRE_INFO_PATH, at("absent")), WIRE_E_NOT_FOUND);
    expect(ask_chown(at("file"), "4321", "4322", 0), 0);
    expect_lines(ask_path(WIRE_INFO_PATH, at("file")), "file 1 640 4321:4322 4321 4322 5\n");
    expect(ask_chown(at("file"), "root", "", 0), 0);
    expect_lines(ask_path(WIRE_INFO_PATH, at("file")), "file 1 640 0:4322 root 4322 5\n");
    expect(ask_chown(at("file"), "no-such-user-here", "", 0), WIRE_E_INVALID);
    expect(ask_chown(at("absent"), "root", "", 0), WIRE_E_NOT_FOUND);
    shell("rm -r file link broken dir");
}

static void changes_whole_trees(void)
{
    const uint32_t alone = 0, all = WIRE_TREE_RECURSIVE;
    shell("mkdir -p t/a/b; touch t/1 t/a/2 t/a/b/3; ln -s /etc/passwd t/a/out");
    expect(ask_numbers(WIRE_CHMOD, at("t/1"), 0600, &alone), 0);
    expect_output("stat -c %a t/1 t/a/2", "600\n644\n");
    expect(ask_numbers(WIRE_CHMOD, at("t"), 0750, &all), 0);
    expect_output("stat -c %a t t/1 t/a t/a/2 t/a/b/3; stat -c %a /etc/passwd",
                  "750\n750\n750\n750\n750\n644\n");
    expect(ask_numbers(WIRE_CHMOD, at("t"), 010000, &all), WIRE_E_INVALID);
    if (geteuid() == 0) {
        expect(ask_chown(at("t"), "77", "78", WIRE_TREE_RECURSIVE), 0);
        expect_output("stat -c %u:%g t t/a/b/3 t/a/out; stat -c %u /etc/passwd",
                      "77:78\n77:78\n77:78\n0\n");
    }
    struct answer a = ask_numbers(WIRE_LIST_TREE, at("t"), 1, NULL);
    T_TRUE(a.ok);
    T_TRUE(strstr((char *)a.lines.data, "1 1 750") != NULL);
    T_TRUE(strstr((char *)a.lines.data, "2 1 750") == NULL);
    buf_done(&a.lines);
    a = ask_numbers(WIRE_LIST_TREE, at("t"), 9, NULL);
    T_TRUE(strstr((char *)a.lines.data, "3 1 750") != NULL);
    buf_done(&a.lines);
    expect(ask_numbers(WIRE_LIST_TREE, at("t/1"), 1, NULL), WIRE_E_NOT_DIRECTORY);
    shell("rm -r t");
}

static void moves_and_copies(void)
{
    const uint32_t tree = WIRE_TO_RECURSIVE;
    shell("mkdir -p s/in; echo one > s/1; echo two > s/in/2; chmod 4711 s/in/2; ln -s in s/l; "
          "echo old > old; touch -d @1000 s/1");
    expect(ask_to(WIRE_COPY, at("s"), at("d"), 0), WIRE_E_IS_DIRECTORY);
    struct answer a = ask_to(WIRE_COPY, at("s"), at("d"), tree);
    T_EQ(strncmp((char *)a.lines.data, "d 2 ", 4), 0);
    buf_done(&a.lines);
    expect_output("cat d/1 d/in/2; readlink d/l; stat -c %a d/in/2; stat -c %Y d/1; ls -A | tr "
                  "'\\n' ' '",
                  "one\ntwo\nin\n4711\n1000\nd old s ");
    expect(ask_to(WIRE_COPY, at("s"), at("s/in/s"), tree), WIRE_E_INVALID);
    expect(ask_to(WIRE_COPY, at("s/1"), at("old"), 0), WIRE_E_EXISTS);
    expect(ask_to(WIRE_COPY, at("s/1"), at("old"), WIRE_TO_OVERWRITE), 0);
    expect_output("cat old", "one\n");
    expect(ask_to(WIRE_COPY, at("s/1"), at("d"), WIRE_TO_OVERWRITE), WIRE_E_IS_DIRECTORY);
    expect(ask_to(WIRE_COPY, at("absent"), at("x"), 0), WIRE_E_NOT_FOUND);
    expect(ask_to(WIRE_MOVE, at("d"), at("new/deep/d"), 0), WIRE_E_NOT_FOUND);
    expect(ask_to(WIRE_MOVE, at("d"), at("new/deep/d"), WIRE_TO_PARENTS), 0);
    expect(ask_to(WIRE_MOVE, at("old"), at("s/1"), 0), WIRE_E_EXISTS);
    expect(ask_to(WIRE_MOVE, at("s/in/2"), at("s/1"), WIRE_TO_OVERWRITE), 0);
    expect_output("cat s/1 new/deep/d/in/2; ls -A", "two\ntwo\nnew\nold\ns\n");
    struct stat here, shm;
    if (stat(agent.work, &here) == 0 && stat("/dev/shm", &shm) == 0 &&
        here.st_dev != shm.st_dev) { /* to another file system and back */
        char far[64];
        snprintf(far, sizeof(far), "/dev/shm/corral-test-%d", agent.pid);
        expect(ask_to(WIRE_MOVE, at("new"), far, 0), 0);
        expect_output("ls -A", "old\ns\n");
        expect(ask_to(WIRE_MOVE, far, at("back"), 0), 0);
        T_TRUE(access(far, F_OK) < 0);
        expect_output("cat back/deep/d/1", "one\n");
    }
    shell("rm -r *");
    agent_settle(&agent);
}

static void put_find(struct buf *b, const char *pattern, const char *glob, uint32_t flags,
                     uint32_t depth, uint32_t max)
{
    size_t start = wire_begin(b, WIRE_FIND);
    wire_put_str(b, agent.work);
    wire_put_str(b, pattern);
    wire_put_str(b, glob);
    buf_u32(b, flags);
    buf_u32(b, depth);
    buf_u32(b, max);
    wire_end(b, start);
}

static struct answer find(const char *pattern, const char *glob, uint32_t flags, uint32_t depth,
                          uint32_t max)
{
    struct buf b = {0};
    put_find(&b, pattern, glob, flags, depth, max);
    return ask(&b);
}

static void finds_in_contents(void)
{
    shell("mkdir -p a/.hid; printf 'x\\n  Needle here\\nneedle' > a/f.txt; echo needle > a/.hid/h; "
          "echo 'a.c n33dle' > g.c; printf 'needle\\0' > bin");
    expect_lines(find("needle", "", 0, 0, 0), "a/f.txt:3:1:needle \n");
    expect_lines(find("needle", "", WIRE_FIND_NO_CASE, 0, 1), "a/f.txt:2:3:  Needle here \n");
    struct answer a = find("needle", "", WIRE_FIND_NO_CASE, 0, 1);
    T_EQ(a.cut, 1);
    T_EQ(a.hits, 1);
    buf_done(&a.lines);
    a = find("needle", "", WIRE_FIND_HIDDEN, 0, 0);
    T_EQ(a.hits, 2);
    T_EQ(a.files, 3);
    T_EQ(a.cut, 0);
    buf_done(&a.lines);
    expect_lines(find("n[0-9]+dle", "", WIRE_FIND_REGEX, 0, 0), "g.c:1:5:a.c n33dle \n");
    expect_lines(find("n", "*.c", 0, 0, 0), "g.c:1:5:a.c n33dle \n");
    expect_lines(find("needle", "a/*.txt", 0, 0, 0), "a/f.txt:3:1:needle \n");
    expect_lines(find("needle", "", 0, 1, 0), "");
    expect(find("(", "", WIRE_FIND_REGEX, 0, 0), WIRE_E_INVALID);
    expect(find("", "", 0, 0, 0), WIRE_E_INVALID);
    shell("rm -r a g.c bin");
}

static struct answer replace(const char *pattern, const char *with, uint32_t flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_REPLACE);
    wire_put_str(&b, agent.work);
    wire_put_str(&b, pattern);
    wire_put_str(&b, with);
    wire_put_str(&b, "");
    buf_u32(&b, flags);
    buf_u32(&b, 0);
    wire_end(&b, start);
    return ask(&b);
}

static void replaces_in_contents(void)
{
    shell("printf 'a.b a.b\\nend a.b' > f; echo none > g; chmod 751 f");
    expect_lines(replace("a.b", "c$1", WIRE_FIND_DRY_RUN), "f:3\n");
    expect_output("cat f", "a.b a.b\nend a.b");
    expect_lines(replace("a.b", "c$1", 0), "f:3\n");
    expect_output("cat f; stat -c %a f; ls -A", "c$1 c$1\nend c$1751\nf\ng\n");
    expect_lines(replace("c(.)1", "<$1|$$|$0>", WIRE_FIND_REGEX), "f:3\n");
    expect_output("head -1 f", "<$|$|c$1> <$|$|c$1>\n");
    expect_lines(replace("^", "> ", WIRE_FIND_REGEX), "f:2\ng:1\n");
    expect_output("cat g", "> none\n");
    shell("rm f g");
}

/* A search that takes long holds up nobody, and ends with its client. */
static void a_long_search_delays_nobody(void)
{
    struct client c;
    struct buf b = {0};
    struct result r;
    shell(
        "head -c 20000000 /dev/zero | tr '\\0' a | fold -w 200 > big; for i in 1 2 3 4 5 6; do ln "
        "big big$i; done");
    put_find(&b, "(a|aa)*(a|aaa)*b", "", WIRE_FIND_REGEX, 0, 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    usleep(100000);
    for (int i = 0; i < 20; i++) {
        wire_put_frame(&b, WIRE_PING, NULL, 0);
        run_request(&agent, &b, &r);
        T_TRUE(r.ok);
        result_done(&r);
    }
    client_close(&c);
    agent_settle(&agent);
    expect_output("sleep 0.2; pgrep -c -P $PPID; true", "1\n"); /* this shell alone */
    shell("rm big*");
}

static void appends(void)
{
    for (int i = 0; i < 2; i++) {
        struct buf b = {0};
        struct result r;
        size_t start = wire_begin(&b, WIRE_WRITE);
        wire_put_str(&b, at("log"));
        buf_u32(&b, 0);
        buf_u32(&b, WIRE_WRITE_APPEND);
        wire_end(&b, start);
        wire_put_frame(&b, WIRE_DATA, "line\n", 5);
        wire_put_frame(&b, WIRE_END, NULL, 0);
        run_request(&agent, &b, &r);
        T_EQ(r.bytes, 5);
        T_STR(r.path, at("log"));
        result_done(&r);
    }
    expect_output("cat log; ls -A", "line\nline\nlog\n");
    shell("rm log");
    agent_settle(&agent);
}

static void hear_change(struct client *c, const char *want)
{
    struct wire_frame f;
    char got[512];
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_CHANGE);
    struct cursor cur = cursor_on(f.payload, f.len);
    uint32_t what = cursor_u32(&cur), kind = cursor_u32(&cur);
    struct span path = wire_get_span(&cur), to = wire_get_span(&cur);
    T_TRUE(cursor_end(&cur));
    snprintf(got, sizeof(got), "%u %u %.*s %.*s", what, kind, (int)path.len, path.data, (int)to.len,
             to.data);
    T_STR(got, want);
}

static void watch(struct client *c, const char *path, uint32_t flags)
{
    struct buf b = {0};
    struct wire_frame f;
    size_t start = wire_begin(&b, WIRE_WATCH);
    wire_put_str(&b, path);
    buf_u32(&b, flags);
    wire_end(&b, start);
    client_open(c, &agent);
    client_send(c, &b);
    T_EQ(client_next(c, &f), 1);
    T_EQ(f.type, WIRE_OK);
}

static void watches(void)
{
    struct client c;
    shell("mkdir -p w/sub");
    watch(&c, at("w"), WIRE_TREE_RECURSIVE);
    shell("echo 1 > w/f");
    hear_change(&c, "1 1 f ");
    hear_change(&c, "2 1 f ");
    shell("chmod 600 w/f");
    hear_change(&c, "5 1 f ");
    shell("mv w/f w/sub/g");
    hear_change(&c, "4 1 f sub/g");
    shell("mv w/sub w/other");
    hear_change(&c, "4 2 sub other");
    shell("rm w/other/g");
    hear_change(&c, "3 1 other/g ");
    shell("mkdir w/new; sleep 0.2; touch w/new/x");
    hear_change(&c, "1 2 new ");
    hear_change(&c, "1 1 new/x ");
    hear_change(&c, "5 1 new/x ");
    shell("mv w/new/x .");
    hear_change(&c, "4 1 new/x ");
    client_close(&c);
    agent_settle(&agent);
    watch(&c, at("w"), 0); /* this directory alone */
    shell("touch w/other/y; mkdir w/z");
    hear_change(&c, "1 2 z ");
    client_close(&c);
    expect(ask_to(WIRE_MOVE, at("w"), at("w2"), 0), 0);
    agent_settle(&agent);
    shell("rm -r *");
}

static void stops(void)
{
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(says_whose_a_file_is), T_CASE(changes_whole_trees),
       T_CASE(moves_and_copies), T_CASE(finds_in_contents), T_CASE(replaces_in_contents),
       T_CASE(a_long_search_delays_nobody), T_CASE(appends), T_CASE(watches), T_CASE(stops))
