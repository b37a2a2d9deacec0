/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of a real agent: many readers, slow ones, input, bounds. */
#include <poll.h>
#include <signal.h>

#include "processes.h"
#include "t.h"

static struct agent_proc agent;

static void starts(void)
{
    agent_start(&agent, "no-such-user", NULL);
}

static void lives_without_its_client(void)
{
    struct info info, listed[4];
    struct heard h;
    uint32_t error;
    const struct start s = {.shell = "echo out; echo err >&2; sleep 0.3; echo more; exit 3",
                            .tag = "one",
                            .cwd = agent.work};
    T_TRUE(start_process(&agent, &s, &info, &error));
    T_TRUE(info.id > 0 && info.pid > 1 && info.first == 1 && info.ended == 0);
    T_STR(info.tag, "one");
    T_STR(info.arg, s.shell);
    T_STR(info.cwd, agent.work);
    T_EQ(list_processes(&agent, listed, 4), 1);
    T_EQ(listed[0].id, info.id);
    T_EQ(listed[0].pid, info.pid);
    attach_to_end(&agent, info.id, 0, &h);
    T_STR((char *)h.out.data, "out\nmore\n");
    T_STR((char *)h.err.data, "err\n");
    T_EQ(h.exit_code, 3);
    T_EQ(h.cause, WIRE_CAUSE_ITSELF);
    T_EQ(h.gaps, 0);
    heard_done(&h);
    /* After its end, from the beginning and from a number. */
    attach_to_end(&agent, info.id, 0, &h);
    T_STR((char *)h.out.data, "out\nmore\n");
    T_EQ(h.info.ended, 1);
    T_EQ(h.info.exit_code, 3);
    uint64_t last = h.next - 1;
    heard_done(&h);
    attach_to_end(&agent, info.id, last, &h);
    T_STR((char *)h.out.data, "more\n");
    T_EQ(h.first, last);
    heard_done(&h);
    attach_to_end(&agent, info.id, WIRE_SEQ_NOW, &h);
    T_EQ(h.records, 0);
    heard_done(&h);
    T_EQ(list_processes(&agent, listed, 4), 1);
    T_EQ(listed[0].ended, 1);
    T_EQ(forget_process(&agent, info.id), 0);
    T_EQ(forget_process(&agent, info.id), WIRE_E_NOT_FOUND);
    T_EQ(list_processes(&agent, listed, 4), 0);
    agent_settle(&agent);
}

static void what_cannot_start_says_why(void)
{
    struct info info;
    struct heard h;
    uint32_t error;
    const char *const missing[] = {"no-such-command", NULL};
    T_TRUE(
        !start_process(&agent, &(struct start){.shell = "true", .cwd = "/no/such"}, &info, &error));
    T_EQ(error, WIRE_E_INVALID);
    T_TRUE(!start_process(&agent, &(struct start){.shell = "true", .user = "nobody-at-all"}, &info,
                          &error));
    T_EQ(error, WIRE_E_USER);
    T_TRUE(
        !start_process(&agent, &(struct start){.shell = "true", .columns = 70000}, &info, &error));
    T_EQ(error, WIRE_E_INVALID);
    T_TRUE(start_process(&agent, &(struct start){.argv = missing}, &info, &error));
    attach_to_end(&agent, info.id, 0, &h);
    T_EQ(h.exit_code, 127);
    T_STR((char *)h.err.data, "bash: no-such-command: command not found\n");
    heard_done(&h);
    T_EQ(forget_process(&agent, info.id), 0);
    T_EQ(list_processes(&agent, NULL, 0), 0);
    agent_settle(&agent);
}

static void a_number_is_a_user(void)
{
    struct info info;
    struct heard h;
    uint32_t error;
    if (geteuid() != 0)
        return;
    T_TRUE(start_process(&agent, &(struct start){.shell = "id -u; id -g", .user = "4242"}, &info,
                         &error));
    attach_to_end(&agent, info.id, 0, &h);
    T_STR((char *)h.out.data, "4242\n4242\n");
    heard_done(&h);
    T_EQ(forget_process(&agent, info.id), 0);
}

/* One reads as it comes, one not at all, and the process waits for neither. */
static void a_slow_reader_finds_a_gap(void)
{
    struct client slow, fast;
    struct heard h = {0}, hs = {0};
    struct info info;
    uint32_t error;
    const struct start s = {.shell = "head -c 30000000 /dev/zero; echo; echo done; sleep 0.2",
                            .ring = 1u << 20};
    T_TRUE(start_process(&agent, &s, &info, &error));
    attach(&slow, &agent, info.id, 0, 0);
    attach(&fast, &agent, info.id, 0, 0);
    hear_all(&fast, &h);
    T_EQ(h.exit_code, 0);
    T_TRUE(h.out.len >= 5 && memcmp(h.out.data + h.out.len - 5, "done\n", 5) == 0);
    hear_all(&slow, &hs);
    T_TRUE(hs.gaps > 0 && hs.out.len < 4u << 20);
    T_TRUE(memcmp(hs.out.data + hs.out.len - 5, "done\n", 5) == 0);
    T_EQ(hs.exit_code, 0);
    T_EQ(hs.next, h.next);
    client_close(&slow);
    client_close(&fast);
    heard_done(&h);
    heard_done(&hs);
    attach_to_end(&agent, info.id, 1, &h); /* the beginning is no longer there */
    T_EQ(h.gaps, 1);
    heard_done(&h);
    T_EQ(forget_process(&agent, info.id), 0);
    agent_settle(&agent);
}

static void an_owner_misses_nothing_and_ends_it(void)
{
    struct client c;
    struct heard h = {0};
    uint64_t id = start_shell(&agent, "sleep 0.2; head -c 20000000 /dev/zero | tr '\\0' x; echo",
                              0);
    attach(&c, &agent, id, 0, WIRE_ATTACH_OWN);
    usleep(700000); /* it writes and nobody reads: it waits */
    struct info info;
    T_EQ(list_processes(&agent, &info, 1), 1);
    T_EQ(info.ended, 0);
    T_TRUE(info.next * 512 < 20000000);
    hear_all(&c, &h);
    T_EQ(h.out.len, 20000001);
    T_EQ(h.gaps, 0);
    T_EQ(h.exit_code, 0);
    client_close(&c);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
    id = start_shell(&agent, "echo $$; sleep 300", 0);
    attach(&c, &agent, id, 0, WIRE_ATTACH_OWN);
    hear_text(&c, &h, "\n");
    long pid = strtol((char *)h.out.data, NULL, 10);
    client_close(&c);
    heard_done(&h);
    T_TRUE(is_gone(pid));
    attach_to_end(&agent, id, 0, &h); /* the record stays */
    T_EQ(h.cause, WIRE_CAUSE_KILLED);
    T_EQ(h.signal, SIGKILL);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
    agent_settle(&agent);
}

static void input_comes_from_any_connection(void)
{
    struct client c;
    struct heard h;
    uint64_t id = start_shell(&agent, "cat; echo over", WIRE_EXEC_STDIN);
    T_EQ(type_into(&agent, id, "a\0b\n", 4, 0), 0);
    T_EQ(type_into(&agent, id, "c\n", 2, 0), 0);
    T_EQ(type_into(&agent, id, "d\n", 2, WIRE_INPUT_EOF), 0);
    T_EQ(type_into(&agent, id, "e\n", 2, 0) == 0, 0);
    attach_to_end(&agent, id, 0, &h);
    T_MEM(h.out.data, h.out.len, "a\0b\nc\nd\nover\n", 13);
    heard_done(&h);
    T_EQ(type_into(&agent, id, "f\n", 2, 0) == 0, 0);
    T_EQ(forget_process(&agent, id), 0);
    id = start_shell(&agent, "exec 0<&-; echo closed; sleep 300", WIRE_EXEC_STDIN);
    attach(&c, &agent, id, 0, 0);
    hear_text(&c, &h, "closed");
    client_close(&c);
    heard_done(&h);
    T_EQ(type_into(&agent, id, "x", 1, 0), WIRE_E_UNAVAILABLE);
    T_EQ(forget_process(&agent, id), 0);
    id = start_shell(&agent, "cat; sleep 5", 0);
    T_EQ(type_into(&agent, id, "x", 1, 0), WIRE_E_INVALID);
    T_EQ(forget_process(&agent, id), 0);
    T_EQ(type_into(&agent, id, "x", 1, 0), WIRE_E_NOT_FOUND);
    agent_settle(&agent);
}

/* OK comes when the bytes are in the pipe, not before. */
static void input_waits_for_its_reader(void)
{
    static char big[1000000];
    struct client c;
    struct buf b = {0};
    struct heard h;
    memset(big, 'y', sizeof(big));
    uint64_t id = start_shell(&agent, "read go; wc -c", WIRE_EXEC_STDIN);
    uint64_t waits = start_shell(&agent, "sleep 0.6; wc -c", WIRE_EXEC_STDIN);
    size_t start = wire_begin(&b, WIRE_PROCESS_INPUT);
    put_which(&b, waits, 0, "");
    buf_u32(&b, WIRE_INPUT_EOF);
    wire_put_span(&b, big, sizeof(big));
    wire_end(&b, start);
    client_open(&c, &agent);
    client_send(&c, &b);
    struct pollfd p = {.fd = c.fd, .events = POLLIN};
    T_EQ(poll(&p, 1, 200), 0);
    struct result r = {0};
    client_finish(&c, &r);
    T_TRUE(r.ok);
    client_close(&c);
    result_done(&r);
    attach_to_end(&agent, waits, 0, &h);
    T_EQ(strtol((char *)h.out.data, NULL, 10), sizeof(big));
    heard_done(&h);
    T_EQ(forget_process(&agent, waits), 0);
    T_EQ(forget_process(&agent, id), 0);
    agent_settle(&agent);
}

static void frames_of_an_attached_connection(void)
{
    struct client c;
    struct buf b = {0};
    struct heard h = {0};
    uint64_t id = start_shell(&agent,
                              "trap 'echo caught' USR1; echo up; while read x; do echo $x; "
                              "done; while read x; do echo $x; done; echo bye",
                              WIRE_EXEC_STDIN);
    attach(&c, &agent, id, 0, 0);
    hear_text(&c, &h, "up");
    wire_put_frame(&b, WIRE_STDIN, "typed\n", 6);
    client_send(&c, &b);
    hear_text(&c, &h, "typed");
    size_t start = wire_begin(&b, WIRE_SIGNAL);
    buf_u32(&b, SIGUSR1);
    wire_end(&b, start);
    client_send(&c, &b);
    hear_text(&c, &h, "caught");
    wire_put_frame(&b, WIRE_STDIN_EOF, NULL, 0);
    client_send(&c, &b);
    hear_all(&c, &h);
    T_TRUE(strstr((char *)h.out.data, "bye") != NULL);
    client_close(&c);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
}

static void names_find_the_newest(void)
{
    struct info first, second;
    struct buf b = {0};
    uint32_t error;
    const struct start s = {.shell = "sleep 100", .tag = "same"};
    T_TRUE(start_process(&agent, &s, &first, &error));
    T_TRUE(start_process(&agent, &s, &second, &error));
    size_t start = wire_begin(&b, WIRE_PROCESS_FORGET);
    put_which(&b, 0, 0, "same");
    wire_end(&b, start);
    T_EQ(ask_process(&agent, &b), 0);
    T_TRUE(is_gone(second.pid));
    start = wire_begin(&b, WIRE_PROCESS_FORGET);
    put_which(&b, 0, first.pid, "");
    wire_end(&b, start);
    T_EQ(ask_process(&agent, &b), 0);
    T_TRUE(is_gone(first.pid));
    start = wire_begin(&b, WIRE_PROCESS_FORGET);
    put_which(&b, 0, 0, "");
    wire_end(&b, start);
    T_EQ(ask_process(&agent, &b), WIRE_E_INVALID);
}

/* A reader of a forgotten process is told. */
static void forgetting_tells_readers(void)
{
    struct client c;
    struct heard h = {0};
    uint64_t id = start_shell(&agent, "echo up; sleep 100", 0);
    attach(&c, &agent, id, 0, 0);
    hear_text(&c, &h, "up");
    T_EQ(forget_process(&agent, id), 0);
    hear_all(&c, &h);
    T_EQ(h.error, WIRE_E_NOT_FOUND);
    heard_done(&h);
    client_close(&c);
    attach_to_end(&agent, id, 0, &h);
    T_EQ(h.error, WIRE_E_NOT_FOUND);
    heard_done(&h);
    agent_settle(&agent);
}

/* 1,000 short processes, 50 at a time, each heard to the last byte; and as EXEC, too. */
static void a_thousand_short_ones(void)
{
    enum { ROUNDS = 20, AT_ONCE = 50 };
    uint64_t ids[AT_ONCE];
    char command[128], want[64];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++) {
            snprintf(command, sizeof(command), "seq %d %d; echo e%d >&2; exit %d", i, i + 999, i,
                     i);
            ids[i] = start_shell(&agent, command, 0);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            struct heard h;
            attach_to_end(&agent, ids[i], 0, &h);
            char *at = (char *)h.out.data;
            for (long n = i; n < i + 1000; n++) {
                T_EQ(strtol(at, &at, 10), n);
                at++;
            }
            T_EQ(*at, '\0');
            snprintf(want, sizeof(want), "e%d\n", i);
            T_STR((char *)h.err.data, want);
            T_EQ(h.exit_code, i);
            heard_done(&h);
            T_EQ(forget_process(&agent, ids[i]), 0);
        }
    }
    T_EQ(list_processes(&agent, NULL, 0), 0);
    agent_settle(&agent);
}

/* More than the table holds of ended ones: the first ends go. */
static void the_table_is_bounded(void)
{
    static struct info infos[1100];
    const char *const argv[] = {"true", NULL};
    uint64_t first = 0, last = 0;
    for (int i = 0; i < 1050; i++) {
        struct info info;
        uint32_t error;
        T_TRUE(start_process(&agent, &(struct start){.argv = argv}, &info, &error));
        first = i == 0 ? info.id : first;
        last = info.id;
    }
    for (int i = 0; i < 200 && list_processes(&agent, infos, 1100) > 1024; i++)
        usleep(20000);
    size_t n = list_processes(&agent, infos, 1100);
    T_EQ(n, 1024);
    T_TRUE(infos[0].id > first);
    T_EQ(infos[n - 1].id, last);
    for (size_t i = 0; i < n; i++)
        T_EQ(forget_process(&agent, infos[i].id), 0);
    agent_settle(&agent);
}

static void stops(void)
{
    (void)start_shell(&agent, "sleep 100", WIRE_EXEC_STDIN);
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(lives_without_its_client), T_CASE(what_cannot_start_says_why),
       T_CASE(a_number_is_a_user), T_CASE(a_slow_reader_finds_a_gap),
       T_CASE(an_owner_misses_nothing_and_ends_it), T_CASE(input_comes_from_any_connection),
       T_CASE(input_waits_for_its_reader), T_CASE(frames_of_an_attached_connection),
       T_CASE(names_find_the_newest), T_CASE(forgetting_tells_readers),
       T_CASE(a_thousand_short_ones), T_CASE(the_table_is_bounded), T_CASE(stops))
