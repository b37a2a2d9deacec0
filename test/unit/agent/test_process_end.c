/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals, signals, time-outs, and the ends of whole trees. */
#include <signal.h>

#include "processes.h"
#include "t.h"

static struct agent_proc agent;

static void starts(void)
{
    agent_start(&agent, "no-such-user", NULL);
}

static void a_terminal_is_one(void)
{
    struct client c;
    struct info info;
    struct heard h = {0};
    uint32_t error;
    const struct start s = {
        .shell = "test -t 0 -a -t 1 -a -t 2 && tty && stty size && echo $TERM; trap 'seen=1; stty "
                 "size' WINCH; echo ready; until [ -n \"$seen\" ]; do sleep 0.05; done; read line; "
                 "echo got $line; exit 7",
        .flags = WIRE_PROCESS_PTY,
        .columns = 100,
        .rows = 30};
    T_TRUE(start_process(&agent, &s, &info, &error));
    attach(&c, &agent, info.id, 0, 0);
    hear_text(&c, &h, "ready");
    T_TRUE(strstr((char *)h.tty.data, "/dev/pts/") != NULL);
    T_TRUE(strstr((char *)h.tty.data, "\r\n30 100\r\n") != NULL);
    T_TRUE(strstr((char *)h.tty.data, "xterm-256color") != NULL);
    T_EQ(resize_process(&agent, info.id, 120, 40), 0);
    hear_text(&c, &h, "40 120");
    T_EQ(type_into(&agent, info.id, "word\n", 5, 0), 0);
    hear_all(&c, &h);
    T_TRUE(strstr((char *)h.tty.data, "got word\r\n") != NULL);
    T_EQ(h.exit_code, 7);
    T_TRUE(h.out.len == 0 && h.err.len == 0);
    client_close(&c);
    heard_done(&h);
    T_EQ(resize_process(&agent, info.id, 1, 1), WIRE_E_NOT_FOUND);
    T_EQ(forget_process(&agent, info.id), 0);
    agent_settle(&agent);
}

/* Until the command runs in the foreground of its terminal: keys that come before meet the shell.
 */
static void await_foreground(const char *command)
{
    char line[256];
    (void)snprintf(line, sizeof(line),
                   "timeout 60 sh -c 'until ps -eo stat=,args= | grep -q \"^S[^ ]*+ *%s$\"; do "
                   "sleep 0.02; done'",
                   command);
    T_EQ(system(line), 0);
}

static void keys_reach_the_foreground(void)
{
    struct client c;
    struct heard h = {0};
    uint64_t id = start_shell(&agent, "exec bash --norc -i", WIRE_PROCESS_PTY);
    attach(&c, &agent, id, 0, 0);
    T_EQ(type_into(&agent, id, "echo r$((1+1))\n", 15, 0), 0);
    hear_text(&c, &h, "r2");
    T_EQ(type_into(&agent, id, "sleep 100.1; echo s$((2+2))\n", 28, 0), 0);
    await_foreground("sleep 100.1");
    T_EQ(type_into(&agent, id, "\003", 1, 0), 0);
    T_EQ(type_into(&agent, id, "echo t$?\n", 9, 0), 0);
    hear_text(&c, &h, "t130");
    T_EQ(type_into(&agent, id, "sleep 101.1\n", 12, 0), 0);
    await_foreground("sleep 101.1");
    T_EQ(signal_process(&agent, id, SIGINT, WIRE_SCOPE_GROUP), 0);
    /* Before its prompt a shell may still change the terminal, and an end of input would be lost.
     */
    T_EQ(type_into(&agent, id, "echo u$?; PS1='la''st> '\n", 25, 0), 0);
    hear_text(&c, &h, "u130");
    hear_text(&c, &h, "last> ");
    T_EQ(type_into(&agent, id, "", 0, WIRE_INPUT_EOF), 0);
    hear_all(&c, &h);
    T_EQ(h.cause, WIRE_CAUSE_ITSELF);
    T_EQ(h.signal, 0);
    client_close(&c);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
    agent_settle(&agent);
}

static void a_hang_up_ends_a_terminal(void)
{
    struct client c;
    struct heard h = {0};
    uint64_t id = start_shell(&agent, "echo up; sleep 100", WIRE_PROCESS_PTY);
    attach(&c, &agent, id, 0, 0);
    hear_text(&c, &h, "up");
    T_EQ(signal_process(&agent, id, SIGHUP, WIRE_SCOPE_GROUP), 0);
    hear_all(&c, &h);
    T_EQ(h.signal, SIGHUP);
    T_EQ(h.cause, WIRE_CAUSE_KILLED);
    client_close(&c);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
}

/* What a terminal still holds when the last writer is gone is not lost. */
static void the_tail_of_a_terminal_arrives(void)
{
    for (int i = 0; i < 5; i++) {
        struct heard h;
        uint64_t id = start_shell(&agent, "head -c 1048576 /dev/zero | tr '\\0' z; printf end",
                                  WIRE_PROCESS_PTY);
        attach_to_end(&agent, id, 0, &h);
        T_EQ(h.tty.len, 1048576 + 3);
        T_STR((char *)h.tty.data + 1048576, "end");
        T_EQ(h.exit_code, 0);
        heard_done(&h);
        T_EQ(forget_process(&agent, id), 0);
    }
    agent_settle(&agent);
}

static void signals_say_what_they_did(void)
{
    struct heard h;
    uint64_t id = start_shell(&agent, "sleep 100 & wait", 0);
    T_EQ(signal_process(&agent, id, SIGTERM, WIRE_SCOPE_GROUP), 0);
    attach_to_end(&agent, id, 0, &h);
    T_EQ(h.signal, SIGTERM);
    T_EQ(h.exit_code, 128 + SIGTERM);
    T_EQ(h.cause, WIRE_CAUSE_KILLED);
    heard_done(&h);
    T_EQ(signal_process(&agent, id, SIGTERM, WIRE_SCOPE_PROCESS), WIRE_E_NOT_FOUND);
    T_EQ(forget_process(&agent, id), 0);
    T_EQ(signal_process(&agent, id, SIGTERM, WIRE_SCOPE_PROCESS), WIRE_E_NOT_FOUND);
    id = start_shell(&agent, "kill -9 $$", 0);
    attach_to_end(&agent, id, 0, &h);
    T_EQ(h.signal, SIGKILL);
    T_EQ(h.cause, WIRE_CAUSE_ITSELF);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
    T_EQ(signal_process(&agent, 1, 65, WIRE_SCOPE_PROCESS), WIRE_E_INVALID);
    T_EQ(signal_process(&agent, 1, 9, 4), WIRE_E_INVALID);
}

/* Children in sessions of their own, orphaned by a double fork. Prints their pids. */
static const char tree_of_four[] =
    "setsid sleep 300 & echo $!; (setsid sh -c 'sleep 301 & echo $!; sleep 302 & echo $!' &) ; "
    "sleep 303 & echo $!; sleep 0.3; echo built; wait; sleep 300";

static void expect_tree_gone(const char *pids)
{
    char *at;
    for (int i = 0; i < 4; i++) {
        long pid = strtol(pids, &at, 10);
        T_TRUE(pid > 1 && at != pids);
        T_TRUE(is_gone(pid));
        pids = at;
    }
}

static void trees_end_whole(void)
{
    for (int way = 0; way < 4; way++) {
        struct client c;
        struct heard h = {0};
        struct info info;
        uint32_t error;
        const struct start s = {.shell = tree_of_four, .timeout_ms = way == 0 ? 1200 : 0};
        T_TRUE(start_process(&agent, &s, &info, &error));
        attach(&c, &agent, info.id, 0, way == 1 ? WIRE_ATTACH_OWN : 0);
        hear_text(&c, &h, "built");
        if (way == 2)
            T_EQ(signal_process(&agent, info.id, SIGKILL, WIRE_SCOPE_TREE), 0);
        if (way == 3)
            T_EQ(forget_process(&agent, info.id), 0);
        if (way != 1) {
            hear_all(&c, &h);
            T_EQ(h.cause, way == 0   ? WIRE_CAUSE_TIMED_OUT
                          : way == 2 ? WIRE_CAUSE_KILLED
                                     : WIRE_CAUSE_ITSELF);
        }
        client_close(&c);
        expect_tree_gone((char *)h.out.data);
        heard_done(&h);
        if (way != 3) {
            attach_to_end(&agent, info.id, 0, &h);
            heard_done(&h);
            T_EQ(forget_process(&agent, info.id), 0);
        }
    }
    agent_settle(&agent);
}

static void background_children_outlive_an_end(void)
{
    struct heard h;
    uint64_t id = start_shell(&agent, "sleep 100 & echo $!", 0);
    attach_to_end(&agent, id, 0, &h);
    long pid = strtol((char *)h.out.data, NULL, 10);
    T_EQ(kill((pid_t)pid, 0), 0);
    T_EQ(kill((pid_t)pid, SIGKILL), 0);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
    agent_settle(&agent);
}

/* A tree that forks all the time, in sessions of its own, dies of its time-out. */
static void a_forking_tree_dies(void)
{
    struct heard h;
    struct info info;
    uint32_t error;
    const struct start s = {
        .shell =
            "f() { sleep 0.01; (setsid bash -c \"$(declare -f f); f\" &) ; (f &); sleep 0.2; };"
            " ulimit -u 400; f; sleep 100",
        .user = geteuid() == 0 ? "61234" : NULL,
        .timeout_ms = 500};
    T_TRUE(start_process(&agent, &s, &info, &error));
    attach_to_end(&agent, info.id, 0, &h);
    T_EQ(h.cause, WIRE_CAUSE_TIMED_OUT);
    heard_done(&h);
    T_EQ(forget_process(&agent, info.id), 0);
    struct result r;
    run_shell(&agent, "sleep 0.3; cat /proc/[0-9]*/status 2>/dev/null | grep -c '^Uid:.61234'", &r);
    T_STR((char *)r.out.data, "0\n");
    result_done(&r);
    agent_settle(&agent);
}

static void users_die_before_the_agent(void)
{
    struct heard h;
    uint64_t id = start_shell(&agent, "cat /proc/self/oom_score_adj", 0);
    attach_to_end(&agent, id, 0, &h);
    T_TRUE(strtol((char *)h.out.data, NULL, 10) >= 500);
    heard_done(&h);
    T_EQ(forget_process(&agent, id), 0);
}

static void stops(void)
{
    (void)start_shell(&agent, "sleep 100", WIRE_PROCESS_PTY);
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(a_terminal_is_one), T_CASE(keys_reach_the_foreground),
       T_CASE(a_hang_up_ends_a_terminal), T_CASE(the_tail_of_a_terminal_arrives),
       T_CASE(signals_say_what_they_did), T_CASE(trees_end_whole),
       T_CASE(background_children_outlive_an_end), T_CASE(a_forking_tree_dies),
       T_CASE(users_die_before_the_agent), T_CASE(stops))
