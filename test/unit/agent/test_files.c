/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's account is nobody when the test runs as root, so that rights are tested, and every
 * path lies below the agent's own directory. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "client.h"
#include "t.h"

static struct agent_proc agent;
static char path[512];

static const char *at(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", agent.work, name);
    return path;
}

static void request(enum wire_type type, const char *name, uint32_t mode, uint32_t flags,
                    struct result *r)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, type);
    wire_put_str(&b, name);
    if (type == WIRE_MKDIR)
        buf_u32(&b, mode);
    if (type == WIRE_MKDIR || type == WIRE_REMOVE)
        buf_u32(&b, flags);
    wire_end(&b, start);
    result_done(r);
    run_request(&agent, &b, r);
}

static void put_write(struct buf *b, const char *name, uint32_t mode, uint32_t flags)
{
    size_t start = wire_begin(b, WIRE_WRITE);
    wire_put_str(b, name);
    buf_u32(b, mode);
    buf_u32(b, flags);
    wire_end(b, start);
}

static void write_file(const char *name, const void *data, size_t len, uint32_t mode,
                       uint32_t flags, struct result *r)
{
    struct buf b = {0};
    put_write(&b, name, mode, flags);
    for (size_t i = 0; i < len; i += WIRE_CHUNK)
        wire_put_frame(&b, WIRE_DATA, (const char *)data + i, MIN(len - i, (size_t)WIRE_CHUNK));
    wire_put_frame(&b, WIRE_END, NULL, 0);
    result_done(r);
    run_request(&agent, &b, r);
}

static void read_file(const char *name, uint64_t offset, uint64_t length, struct result *r)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_READ);
    wire_put_str(&b, name);
    buf_u64(&b, offset);
    buf_u64(&b, length);
    wire_end(&b, start);
    result_done(r);
    run_request(&agent, &b, r);
}

static unsigned int entries(const char *name)
{
    struct result r = {0};
    request(WIRE_LIST, name, 0, 0, &r);
    T_EQ(r.error, 0);
    unsigned int n = r.entries;
    result_done(&r);
    return n;
}

static void starts(void)
{
    (void)umask(022);
    agent_start(&agent, "nobody", NULL);
}

static void writes_and_reads(void)
{
    struct result r = {0};
    write_file(at("f"), "hello", 5, 0, 0, &r);
    T_STR(r.path, at("f"));
    T_EQ(r.bytes, 5);
    read_file(at("f"), 0, UINT64_MAX, &r);
    T_TRUE(r.stat && r.ended);
    T_STR((char *)r.data.data, "hello");
    T_EQ(r.mode, 0644);
    T_EQ(r.kind, WIRE_KIND_FILE);
    read_file(at("f"), 1, 3, &r);
    T_STR((char *)r.data.data, "ell");
    read_file(at("f"), 5, UINT64_MAX, &r);
    T_EQ(r.data.len, 0);
    read_file(at("f"), 99, 1, &r);
    T_EQ(r.data.len, 0);
    T_EQ(r.error, 0);
    result_done(&r);
}

static void large_files_are_identical(void)
{
    const size_t len = 20000000;
    struct result r = {0};
    uint32_t *data = malloc(len), x = 1;
    for (size_t i = 0; i < len / 4; i++)
        data[i] = x = x * 1664525 + 1013904223;
    write_file(at("large"), data, len, 0600, 0, &r);
    T_EQ(r.bytes, len);
    read_file(at("large"), 0, UINT64_MAX, &r);
    T_MEM(r.data.data, r.data.len, data, len);
    T_EQ(r.mode, 0600);
    free(data);
    request(WIRE_REMOVE, at("large"), 0, 0, &r);
    T_TRUE(r.ok);
    result_done(&r);
}

static void parts_of_large_files(void)
{
    /* About the sizes at which a file is sent without reading it, and at which a frame ends. */
    static const uint64_t ranges[][2] = {
        {1, UINT64_MAX}, {65535, 700000},       {999999, 65537},      {1500000, 3},
        {7, 262143},     {7, 262144},           {1737856, 262144},    {1737857, UINT64_MAX},
        {3, 1048575},    {3, 1048576},          {3, 1048577},         {1, 1048576 + 262143},
        {0, UINT64_MAX}, {1, 1048576 + 262144}, {1999999, UINT64_MAX}};
    const size_t len = 2000000;
    struct result r = {0};
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    write_file(at("parts"), data, len, 0600, 0, &r);
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        read_file(at("parts"), ranges[i][0], ranges[i][1], &r);
        T_TRUE(r.ended);
        T_MEM(r.data.data, r.data.len, data + ranges[i][0], MIN(len - ranges[i][0], ranges[i][1]));
    }
    free(data);
    result_done(&r);
}

/* What has begun was promised, and cannot be kept. */
static void a_file_that_shrinks_cuts_the_answer(void)
{
    static char chunk[65536];
    struct client c;
    struct result r = {0};
    struct buf b = {0};
    const size_t len = 4000000;
    size_t got = 0;
    ssize_t n;
    void *data = calloc(1, len);
    write_file(at("shrinks"), data, len, 0666, 0, &r);
    free(data);
    size_t start = wire_begin(&b, WIRE_READ);
    wire_put_str(&b, at("shrinks"));
    buf_u64(&b, 0);
    buf_u64(&b, UINT64_MAX);
    wire_end(&b, start);
    client_open(&c, &agent);
    client_send(&c, &b);
    usleep(100000); /* the socket is full */
    T_EQ(truncate(at("shrinks"), 0), 0);
    while ((n = read(c.fd, chunk, sizeof(chunk))) > 0)
        got += (size_t)n;
    T_EQ(n, 0);
    T_TRUE(got > 0 && got < len);
    client_close(&c);
    result_done(&r);
    agent_settle(&agent);
}

static void replacing_keeps_the_mode(void)
{
    struct result r = {0};
    write_file(at("m"), "1", 1, 0750, 0, &r);
    write_file(at("m"), "22", 2, 0600, 0, &r);
    read_file(at("m"), 0, UINT64_MAX, &r);
    T_EQ(r.mode, 0750);
    T_STR((char *)r.data.data, "22");
    result_done(&r);
}

static void writes_through_links(void)
{
    struct result r = {0};
    char target[512];
    strcpy(target, at("target"));
    write_file(target, "old", 3, 0, 0, &r);
    T_EQ(symlink("target", at("link")), 0);
    write_file(at("link"), "new", 3, 0, 0, &r);
    T_STR(r.path, target);
    read_file(target, 0, UINT64_MAX, &r);
    T_STR((char *)r.data.data, "new");
    result_done(&r);
}

static void an_aborted_write_leaves_the_old_file(void)
{
    struct result r = {0};
    struct buf b = {0};
    struct client c;
    request(WIRE_MKDIR, at("abort"), 0, 0, &r);
    T_TRUE(r.ok);
    write_file(at("abort/f"), "old", 3, 0, 0, &r);
    put_write(&b, at("abort/f"), 0, 0);
    wire_put_frame(&b, WIRE_DATA, "new", 3);
    client_open(&c, &agent);
    client_send(&c, &b);
    usleep(100000);
    T_EQ(entries(at("abort")), 2); /* the hidden one is there meanwhile */
    client_close(&c);
    for (int i = 0; i < 100 && entries(at("abort")) != 1; i++)
        usleep(10000);
    T_EQ(entries(at("abort")), 1);
    read_file(at("abort/f"), 0, UINT64_MAX, &r);
    T_STR((char *)r.data.data, "old");
    result_done(&r);
}

static void a_broken_write_leaves_nothing(void)
{
    struct result r = {0};
    struct buf b = {0};
    request(WIRE_MKDIR, at("broken"), 0, 0, &r);
    put_write(&b, at("broken/f"), 0, 0);
    wire_put_frame(&b, WIRE_DATA, "new", 3);
    wire_put_frame(&b, WIRE_STDIN, "x", 1);
    result_done(&r);
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_PROTOCOL);
    T_EQ(entries(at("broken")), 0);
    result_done(&r);
}

static void refuses_to_write(void)
{
    struct result r = {0};
    write_file(agent.work, "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_IS_DIRECTORY);
    write_file(at("f/x"), "x", 1, 0, WIRE_WRITE_PARENTS, &r);
    T_EQ(r.error, WIRE_E_NOT_DIRECTORY);
    write_file(at("missing/x"), "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    write_file(at("missing/"), "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_IS_DIRECTORY);
    T_EQ(mkfifo(at("fifo"), 0666), 0);
    T_EQ(chmod(at("fifo"), 0666), 0);
    write_file(at("fifo"), "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_INVALID);
    read_file(at("fifo"), 0, UINT64_MAX, &r);
    T_EQ(r.error, WIRE_E_INVALID);
    read_file(agent.work, 0, UINT64_MAX, &r);
    T_EQ(r.error, WIRE_E_IS_DIRECTORY);
    read_file("/proc/self/environ", 0, UINT64_MAX, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    result_done(&r);
}

static void makes_parents(void)
{
    struct result r = {0};
    write_file(at("p/q/r/f"), "x", 1, 0, WIRE_WRITE_PARENTS, &r);
    T_EQ(r.error, 0);
    request(WIRE_MKDIR, at("d/e/f"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    request(WIRE_MKDIR, at("d/e/f"), 0700, WIRE_MKDIR_PARENTS, &r);
    T_TRUE(r.ok);
    request(WIRE_MKDIR, at("d/e/f"), 0, WIRE_MKDIR_PARENTS, &r);
    T_TRUE(r.ok);
    request(WIRE_MKDIR, at("d/e/f"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_EXISTS);
    request(WIRE_MKDIR, at("f/x"), 0, WIRE_MKDIR_PARENTS, &r);
    T_EQ(r.error, WIRE_E_NOT_DIRECTORY);
    request(WIRE_STAT_PATH, at("d/e/../e/f/"), 0, 0, &r);
    T_STR(r.path, at("d/e/f"));
    T_EQ(r.mode, 0700);
    T_EQ(r.kind, WIRE_KIND_DIRECTORY);
    result_done(&r);
}

static void lists_sorted(void)
{
    struct result r = {0};
    static const char *const names[] = {"l/b", "l/a", "l/.c", "l/\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        write_file(at(names[i]), "", 0, 0, WIRE_WRITE_PARENTS, &r);
    request(WIRE_LIST, at("l"), 0, 0, &r);
    T_STR((char *)r.names.data, ".c\na\nb\n\xc3\xa4\n");
    request(WIRE_LIST, at("l/a"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_NOT_DIRECTORY);
    request(WIRE_LIST, at("none"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    result_done(&r);
}

static void lists_many(void)
{
    struct result r = {0};
    char command[512];
    snprintf(command, sizeof(command), "mkdir %s/many; cd %s/many; seq 5000 | xargs touch",
             agent.work, agent.work);
    run_shell(&agent, command, &r);
    T_EQ(r.exit_code, 0);
    result_done(&r);
    T_EQ(entries(at("many")), 5000);
}

static void removes(void)
{
    struct result r = {0};
    char command[768];
    /* Deeper than there are descriptors, and with a link that must not be followed. */
    snprintf(command, sizeof(command),
             "cd %s && mkdir deep kept && touch kept/x && ln -s ../kept deep/link && "
             "mkdir -p deep/$(printf 'd/%%.0s' $(seq 1500)) && touch deep/d/d/d/a deep/d/d/b",
             agent.work);
    run_shell(&agent, command, &r);
    T_EQ(r.exit_code, 0);
    request(WIRE_REMOVE, at("deep"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_EXISTS);
    request(WIRE_REMOVE, at("deep"), 0, WIRE_REMOVE_RECURSIVE, &r);
    T_TRUE(r.ok);
    request(WIRE_STAT_PATH, at("deep"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    T_EQ(entries(at("kept")), 1);
    request(WIRE_REMOVE, at("many"), 0, WIRE_REMOVE_RECURSIVE, &r);
    T_TRUE(r.ok);
    request(WIRE_REMOVE, at("many"), 0, WIRE_REMOVE_RECURSIVE, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    result_done(&r);
}

/* root's files, in a directory of the test's own. */
static void has_the_users_rights(void)
{
    struct result r = {0};
    if (geteuid() != 0)
        return;
    T_EQ(mkdir(at("root"), 0755), 0);
    int fd = open(at("root/secret"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    T_TRUE(fd >= 0);
    close(fd);
    read_file(at("root/secret"), 0, UINT64_MAX, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    write_file(at("root/secret"), "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    write_file(at("root/new"), "x", 1, 0, 0, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    request(WIRE_MKDIR, at("root/new"), 0, WIRE_MKDIR_PARENTS, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    request(WIRE_REMOVE, at("root"), 0, WIRE_REMOVE_RECURSIVE, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    T_EQ(access(at("root/secret"), F_OK), 0);
    T_EQ(mkdir(at("locked"), 0700), 0);
    request(WIRE_LIST, at("locked"), 0, 0, &r);
    T_EQ(r.error, WIRE_E_PERMISSION);
    result_done(&r);
}

static void put_as(struct buf *b, const char *user)
{
    size_t start = wire_begin(b, WIRE_AS);
    wire_put_str(b, user);
    wire_end(b, start);
}

/* The error of `b`, which it empties. */
static uint32_t refused(struct buf *b)
{
    struct result r = {0};
    run_request(&agent, b, &r);
    uint32_t error = r.error;
    result_done(&r);
    return error;
}

static void has_the_rights_of_another_user(void)
{
    const char *self = geteuid() == 0 ? "root" : "65533";
    struct buf b = {0};
    struct result r = {0};
    struct stat st;
    put_as(&b, self);
    put_write(&b, at("owned"), 0, 0);
    wire_put_frame(&b, WIRE_END, NULL, 0);
    if (geteuid() != 0) {
        T_EQ(refused(&b), WIRE_E_PERMISSION);
        return;
    }
    run_request(&agent, &b, &r);
    T_STR(r.path, at("owned"));
    T_EQ(stat(at("owned"), &st), 0);
    T_EQ(st.st_uid, 0);
    result_done(&r);
    put_as(&b, "no-such-user");
    put_write(&b, at("owned"), 0, 0);
    T_EQ(refused(&b), WIRE_E_USER);
    put_as(&b, "");
    T_EQ(refused(&b), WIRE_E_INVALID);
    put_as(&b, "root");
    put_as(&b, "root");
    T_EQ(refused(&b), WIRE_E_PROTOCOL);
    put_as(&b, "root");
    put_shell(&b, "true", 0);
    T_EQ(refused(&b), WIRE_E_PROTOCOL);
    T_EQ(unlink(at("owned")), 0);
}

static void put_attributes(struct buf *b, const char *first, const char *second)
{
    const char *const list[] = {first, second, NULL};
    size_t start = wire_begin(b, WIRE_ATTRIBUTES);
    wire_put_list(b, list);
    wire_end(b, start);
}

/* The attributes that INFO tells of "noted", each followed by a newline. */
static void told_attributes(struct buf *ret)
{
    struct client c;
    struct wire_frame f;
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_INFO_PATH);
    wire_put_str(&b, at("noted"));
    wire_end(&b, start);
    client_open(&c, &agent);
    client_send(&c, &b);
    T_EQ(client_next(&c, &f), 1);
    T_EQ(f.type, WIRE_INFO);
    struct cursor cur = cursor_on(f.payload, f.len);
    for (int i = 0; i < 2; i++)
        (void)wire_get_span(&cur); /* name, path */
    (void)cursor_bytes(&cur, 8 + 4 + 4 + 8 + 4 + 4);
    for (int i = 0; i < 2; i++)
        (void)wire_get_span(&cur); /* owner, group */
    (void)cursor_u32(&cur);
    (void)wire_get_span(&cur); /* target */
    for (uint32_t n = cur.left > 0 ? cursor_u32(&cur) : 0; n > 0; n--) {
        struct span s = wire_get_span(&cur);
        (void)buf_append(ret, s.data, s.len);
        (void)buf_append(ret, "\n", 1);
    }
    T_TRUE(cursor_end(&cur));
    client_close(&c);
}

static void keeps_attributes(void)
{
    struct buf b = {0}, told = {0};
    struct result r = {0};
    char value[8];
    write_file(at("noted"), "", 0, 0, 0, &r);
    result_done(&r);
    T_EQ(setxattr(at("noted"), "user.probe", "1", 1, 0), 0);
    T_EQ(setxattr(at("noted"), "user.odd", "a\0b", 3, 0), 0);
    told_attributes(&told);
    T_STR(buf_cstr(&told), "probe=1\n"); /* a NUL cannot be told */
    buf_done(&told);
    put_write(&b, at("noted"), 0, 0);
    put_attributes(&b, "k=v=w", "empty=");
    wire_put_frame(&b, WIRE_DATA, "x", 1);
    wire_put_frame(&b, WIRE_END, NULL, 0);
    run_request(&agent, &b, &r);
    T_EQ(r.bytes, 1);
    result_done(&r);
    T_EQ(getxattr(at("noted"), "user.k", value, sizeof(value)), 3);
    told_attributes(&told); /* in the order of the file system, without those of the old file */
    T_TRUE(strcmp(buf_cstr(&told), "k=v=w\nempty=\n") == 0 ||
           strcmp(buf_cstr(&told), "empty=\nk=v=w\n") == 0);
    buf_done(&told);
    put_write(&b, at("noted"), 0, 0);
    put_attributes(&b, "without a value", NULL);
    T_EQ(refused(&b), WIRE_E_INVALID);
    put_write(&b, at("noted"), 0, WIRE_WRITE_APPEND);
    put_attributes(&b, "k=v", NULL);
    T_EQ(refused(&b), WIRE_E_INVALID);
    T_EQ(unlink(at("noted")), 0);
}

static void leaks_no_descriptor(void)
{
    struct result r = {0};
    for (int i = 0; i < 100; i++) {
        write_file(at("f"), "hello", 5, 0, 0, &r);
        read_file(at(i % 2 ? "f" : "nothing"), 0, UINT64_MAX, &r);
        (void)entries(agent.work);
    }
    result_done(&r);
    agent_settle(&agent);
}

static void stops(void)
{
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(writes_and_reads), T_CASE(large_files_are_identical),
       T_CASE(parts_of_large_files), T_CASE(a_file_that_shrinks_cuts_the_answer),
       T_CASE(replacing_keeps_the_mode), T_CASE(writes_through_links),
       T_CASE(an_aborted_write_leaves_the_old_file), T_CASE(a_broken_write_leaves_nothing),
       T_CASE(refuses_to_write), T_CASE(makes_parents), T_CASE(lists_sorted), T_CASE(lists_many),
       T_CASE(removes), T_CASE(has_the_users_rights), T_CASE(has_the_rights_of_another_user),
       T_CASE(keeps_attributes), T_CASE(leaks_no_descriptor), T_CASE(stops))
