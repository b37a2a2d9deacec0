/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "client.h"
#include "t.h"

static struct agent_proc agent;

static void run_argv(const char *const *argv, struct result *r)
{
    struct buf b = {0};
    put_exec(&b, &(struct exec_request){.argv = argv});
    run_request(&agent, &b, r);
}

static void starts(void)
{
    struct buf b = {0};
    struct result r;
    agent_start(&agent, "no-such-user", NULL);
    wire_put_frame(&b, WIRE_PING, NULL, 0);
    run_request(&agent, &b, &r);
    T_TRUE(r.ok);
    result_done(&r);
}

static void runs_argv_without_a_shell(void)
{
    struct result r;
    const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "", NULL};
    run_argv(argv, &r);
    T_TRUE(r.started && r.exited);
    T_STR((char *)r.out.data, "a b|$HOME||");
    T_EQ(r.exit_code, 0);
    result_done(&r);
}

static void runs_a_shell_string(void)
{
    struct result r;
    run_shell(&agent, "echo out; echo err >&2; exit 3", &r);
    T_STR((char *)r.out.data, "out\n");
    T_STR((char *)r.err.data, "err\n");
    T_EQ(r.exit_code, 3);
    result_done(&r);
}

static void reports_a_missing_command_as_a_shell_does(void)
{
    struct result r;
    const char *const missing[] = {"no-such-command", NULL};
    run_argv(missing, &r);
    T_EQ(r.exit_code, 127);
    T_STR((char *)r.err.data, "bash: no-such-command: command not found\n");
    result_done(&r);
    const char *const directory[] = {"/tmp", NULL};
    run_argv(directory, &r);
    T_EQ(r.exit_code, 126);
    T_STR((char *)r.err.data, "bash: /tmp: Permission denied\n");
    result_done(&r);
}

static void runs_a_script_without_interpreter_line(void)
{
    struct result r;
    char command[512], script[256];
    snprintf(script, sizeof(script), "%s/script", agent.work);
    snprintf(command, sizeof(command), "printf 'echo got $1' > %s; chmod +x %s", script, script);
    run_shell(&agent, command, &r);
    T_EQ(r.exit_code, 0);
    result_done(&r);
    const char *const argv[] = {script, "this", NULL};
    run_argv(argv, &r);
    T_STR((char *)r.out.data, "got this\n");
    result_done(&r);
}

static void enters_the_directory(void)
{
    struct buf b = {0};
    struct result r;
    const char *const argv[] = {"pwd", NULL};
    put_exec(&b, &(struct exec_request){.argv = argv, .cwd = agent.work});
    run_request(&agent, &b, &r);
    T_EQ(strncmp((char *)r.out.data, agent.work, strlen(agent.work)), 0);
    result_done(&r);
    put_exec(&b, &(struct exec_request){.argv = argv, .cwd = "/no/such/place"});
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_NOT_FOUND);
    T_TRUE(!r.started);
    result_done(&r);
}

static void send_configure(uint32_t flags, const char *const *env, struct result *ret)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_CONFIGURE);
    buf_u64(&b, 0);
    wire_put_str(&b, "entropy");
    wire_put_str(&b, "");
    wire_put_list(&b, env);
    buf_u32(&b, flags);
    wire_end(&b, start);
    run_request(&agent, &b, ret);
}

static void configure_with(uint32_t flags, const char *const *env)
{
    struct result r;
    send_configure(flags, env, &r);
    T_TRUE(r.ok);
    result_done(&r);
}

static void configure(const char *const *env)
{
    configure_with(0, env);
}

static void one_that_wakes_up_keeps_its_environment(void)
{
    static const uint32_t flags[] = {WIRE_CONFIGURE_KEEP,
                                     WIRE_CONFIGURE_KEEP | WIRE_CONFIGURE_RESEED};
    const char *const configured[] = {"A=kept", NULL};
    const char *const argv[] = {"echo $A", NULL};
    struct buf b = {0};
    struct result r;
    configure(configured);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        configure_with(flags[i], NULL);
        put_exec(&b, &(struct exec_request){.flags = WIRE_EXEC_SHELL, .argv = argv});
        run_request(&agent, &b, &r);
        T_EQ(r.out.len, 5);
        T_EQ(memcmp(r.out.data, "kept\n", 5), 0);
        result_done(&r);
    }
    configure(NULL);
}

/* Nor would it end what is not its own: here it is not process 1. */
static void only_process_1_begins_afresh(void)
{
    const char *const before[] = {"A=before", NULL}, *const after[] = {"A=after", NULL};
    const char *const argv[] = {"echo $A", NULL};
    struct buf b = {0};
    struct result r;
    configure(before);
    send_configure(WIRE_CONFIGURE_AFRESH, after, &r);
    T_TRUE(!r.ok && r.error != 0);
    result_done(&r);
    send_configure(WIRE_CONFIGURE_AFRESH << 1, after, &r);
    T_TRUE(!r.ok && r.error != 0);
    result_done(&r);
    put_exec(&b, &(struct exec_request){.flags = WIRE_EXEC_SHELL, .argv = argv});
    run_request(&agent, &b, &r);
    T_EQ(r.out.len, 7);
    T_EQ(memcmp(r.out.data, "before\n", 7), 0);
    result_done(&r);
    configure(NULL);
}

static void merges_the_environment(void)
{
    struct buf b = {0};
    struct result r;
    const char *const configured[] = {"A=sandbox", "B=sandbox", "LANG=de", NULL};
    const char *const requested[] = {"B=request", "C=request", NULL};
    const char *const argv[] = {"echo $A $B $C $LANG $USER ${TERM-none}; env | grep -c ^B=", NULL};
    configure(configured);
    put_exec(&b, &(struct exec_request){.flags = WIRE_EXEC_SHELL, .argv = argv, .env = requested});
    run_request(&agent, &b, &r);
    T_EQ(strncmp((char *)r.out.data, "sandbox request request de ", 27), 0);
    T_TRUE(strstr((char *)r.out.data, " none\n1\n") != NULL ||
           strstr((char *)r.out.data, " dumb\n1\n") != NULL);
    result_done(&r);
    configure(NULL);
}

/* 50 MB in a known order, read slowly: complete, in order, and before EXIT. */
static void output_is_complete_before_exit(void)
{
    struct buf b = {0};
    struct client c;
    struct wire_frame f;
    size_t total = 0;
    unsigned int frames = 0;
    bool exited = false;
    put_shell(&b, "seq -f %015.0f 0 3124999", 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    while (client_next(&c, &f)) {
        T_TRUE(!exited);
        exited = f.type == WIRE_EXIT;
        if (f.type != WIRE_STDOUT)
            continue;
        /* Byte i belongs to line i / 16. */
        for (size_t i = (16 - total % 16) % 16; i + 16 <= f.len; i += 16) {
            char line[17];
            snprintf(line, sizeof(line), "%015zu\n", (total + i) / 16);
            T_EQ(memcmp(f.payload + i, line, 16), 0);
        }
        total += f.len;
        if (frames++ % 64 == 0)
            usleep(10000);
    }
    T_TRUE(exited);
    T_EQ(total, 50000000);
    client_close(&c);
}

static bool pid_is_gone(long pid)
{
    for (int i = 0; i < 300; i++) {
        if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            return true;
        usleep(10000);
    }
    return false;
}

static void a_time_out_kills_grandchildren(void)
{
    struct buf b = {0};
    struct result r;
    put_shell(&b, "set -m; sleep 300 & echo $!; (sleep 301 & echo $!; wait); wait", 400);
    run_request(&agent, &b, &r);
    T_EQ(r.timed_out, 1);
    T_EQ(r.exit_code, 128 + SIGKILL);
    T_EQ(r.signal, SIGKILL);
    char *next;
    long first = strtol((char *)r.out.data, &next, 10), second = strtol(next, NULL, 10);
    T_TRUE(first > 1 && second > 1);
    T_TRUE(pid_is_gone(first) && pid_is_gone(second));
    result_done(&r);
}

/* `reads`: whether the client has taken the output so far. */
static void lose_client(const char *command, bool reads)
{
    struct buf b = {0};
    struct client c;
    struct wire_frame f;
    put_shell(&b, command, 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    T_EQ(client_next(&c, &f), 1);
    T_EQ(f.type, WIRE_STARTED);
    T_EQ(client_next(&c, &f), 1);
    T_EQ(f.type, WIRE_STDOUT);
    long pid = strtol((const char *)f.payload, NULL, 10);
    T_TRUE(pid > 1);
    if (!reads)
        usleep(200000);
    client_close(&c);
    T_TRUE(pid_is_gone(pid));
}

static void a_lost_client_kills_the_group(void)
{
    lose_client("sleep 300 & echo $!; wait", true);
    lose_client("sleep 300 & echo $!; sleep .1; yes", false);
}

static void a_background_child_lives_on(void)
{
    struct result r;
    char command[512];
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    /* It keeps writing to the pipe nobody reads; SIGPIPE would end it before it leaves its mark. */
    snprintf(command, sizeof(command),
             "(sleep .5; for i in 1 2 3; do seq 50000; sleep .05; done; touch %s/mark; sleep 300)& "
             "echo $!",
             agent.work);
    run_shell(&agent, command, &r);
    clock_gettime(CLOCK_MONOTONIC, &end);
    T_EQ(r.exit_code, 0);
    T_TRUE(end.tv_sec - start.tv_sec < 2);
    long pid = strtol((char *)r.out.data, NULL, 10);
    result_done(&r);
    snprintf(command, sizeof(command),
             "for i in $(seq 100); do test -e %s/mark && exit 0; sleep .05; done; exit 1",
             agent.work);
    run_shell(&agent, command, &r);
    T_EQ(r.exit_code, 0);
    result_done(&r);
    T_EQ(kill((pid_t)pid, 0), 0);
    T_EQ(kill((pid_t)pid, SIGKILL), 0);
    T_TRUE(pid_is_gone(pid));
}

static void feeds_stdin(void)
{
    struct buf b = {0};
    struct client c;
    struct result r = {0};
    const char *const argv[] = {"sh", "-c", "sleep .2; md5sum", NULL};
    static char block[WIRE_CHUNK];
    put_exec(&b, &(struct exec_request){.flags = WIRE_EXEC_STDIN, .argv = argv});
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 16; i++)
        wire_put_frame(&b, WIRE_STDIN, block, sizeof(block));
    wire_put_frame(&b, WIRE_STDIN_EOF, NULL, 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    client_finish(&c, &r);
    client_close(&c);
    T_EQ(strncmp((char *)r.out.data, "b561f87202d04959e37588ee05cf5b10", 32), 0);
    T_EQ(r.out.len, 36);
    T_EQ(r.exit_code, 0);
    result_done(&r);
    /* A command that does not read its input ends like any other. */
    const char *const deaf[] = {"true", NULL};
    put_exec(&b, &(struct exec_request){.flags = WIRE_EXEC_STDIN, .argv = deaf});
    wire_put_frame(&b, WIRE_STDIN, block, sizeof(block));
    run_request(&agent, &b, &r);
    T_EQ(r.exit_code, 0);
    result_done(&r);
}

static void has_empty_stdin_otherwise(void)
{
    struct result r;
    run_shell(&agent, "wc -c", &r);
    T_STR((char *)r.out.data, "0\n");
    result_done(&r);
}

static void delivers_signals(void)
{
    struct buf b = {0};
    struct client c;
    struct wire_frame f;
    struct result r = {0};
    put_shell(&b, "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep .05; done", 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    do
        T_EQ(client_next(&c, &f), 1);
    while (f.type != WIRE_STDOUT);
    size_t start = wire_begin(&b, WIRE_SIGNAL);
    buf_u32(&b, SIGUSR1);
    wire_end(&b, start);
    client_send(&c, &b);
    client_finish(&c, &r);
    T_TRUE(strstr((char *)r.out.data, "caught\n") != NULL);
    T_TRUE(r.exit_code == 7 || r.exit_code == 128 + SIGUSR1);
    client_close(&c);
    result_done(&r);
}

static void runs_many_at_once(void)
{
    enum { MANY = 60 };
    static struct client clients[MANY];
    struct result r = {0};
    for (int i = 0; i < MANY; i++) {
        char command[64];
        struct buf b = {0};
        snprintf(command, sizeof(command), "sleep .2; echo %d", i);
        put_shell(&b, command, 0);
        client_open(&clients[i], &agent);
        client_send(&clients[i], &b);
    }
    for (int i = 0; i < MANY; i++) {
        client_finish(&clients[i], &r);
        T_EQ(strtol((char *)r.out.data, NULL, 10), i);
        result_done(&r);
        client_close(&clients[i]);
    }
}

static void inherits_nothing_of_the_agent(void)
{
    struct result r;
    run_shell(&agent, "ls /proc/self/fd | wc -l; umask; grep SigIgn /proc/self/status; ulimit -n",
              &r);
    T_EQ(strncmp((char *)r.out.data, "4\n0022\nSigIgn:\t0000000000000000\n", 32), 0);
    result_done(&r);
}

static void leaks_no_descriptor(void)
{
    struct result r;
    for (int i = 0; i < 200; i++) {
        if (i % 4 == 0) {
            struct client c;
            struct buf b = {0};
            put_shell(&b, "sleep 300", 0);
            client_open(&c, &agent);
            client_send(&c, &b);
            client_close(&c);
            continue;
        }
        run_shell(&agent, i % 4 == 1 ? "no-such-command" : "echo x", &r);
        result_done(&r);
    }
    agent_settle(&agent);
}

static void rejects_bad_requests(void)
{
    struct buf b = {0};
    struct result r;
    const char *const none[] = {NULL}, *const one[] = {"true", NULL}, *const bad[] = {"=x", NULL};
    put_exec(&b, &(struct exec_request){.argv = none});
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_INVALID);
    result_done(&r);
    put_exec(&b, &(struct exec_request){.argv = one, .env = bad});
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_INVALID);
    result_done(&r);
    put_exec(&b, &(struct exec_request){.argv = one, .user = "no-such-user-either"});
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_USER);
    result_done(&r);
    put_exec(&b, &(struct exec_request){.argv = one, .flags = 0x80});
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_INVALID);
    result_done(&r);
}

static void stops(void)
{
    agent_stop(&agent);
}

static void drops_its_rights(void)
{
    struct result r;
    if (geteuid() != 0)
        return;
    agent_start(&agent, "nobody", NULL);
    run_shell(&agent,
              "id -u; id -G; grep -c 'CapEff:.0000000000000000' /proc/self/status; echo $USER", &r);
    T_STR((char *)r.out.data, "65534\n65534\n1\nnobody\n");
    result_done(&r);
    struct buf b = {0};
    const char *const argv[] = {"id", "-u", NULL};
    put_exec(&b, &(struct exec_request){.argv = argv, .user = "root"});
    run_request(&agent, &b, &r);
    T_STR((char *)r.out.data, "0\n");
    result_done(&r);
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(runs_argv_without_a_shell), T_CASE(runs_a_shell_string),
       T_CASE(reports_a_missing_command_as_a_shell_does),
       T_CASE(runs_a_script_without_interpreter_line), T_CASE(enters_the_directory),
       T_CASE(one_that_wakes_up_keeps_its_environment), T_CASE(only_process_1_begins_afresh),
       T_CASE(merges_the_environment), T_CASE(output_is_complete_before_exit),
       T_CASE(a_time_out_kills_grandchildren), T_CASE(a_lost_client_kills_the_group),
       T_CASE(a_background_child_lives_on), T_CASE(feeds_stdin), T_CASE(has_empty_stdin_otherwise),
       T_CASE(delivers_signals), T_CASE(runs_many_at_once), T_CASE(inherits_nothing_of_the_agent),
       T_CASE(leaks_no_descriptor), T_CASE(rejects_bad_requests), T_CASE(stops),
       T_CASE(drops_its_rights))
