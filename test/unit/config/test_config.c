/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "config/config.h"
#include "core/file.h"
#include "t.h"

static struct error err;
static struct config *config;

/* Loads from the words of `line`; config_load's answer. */
static int load(const char *line)
{
    static char text[1024];
    static char *argv[32];
    int argc = 0;
    config_free(config);
    config = NULL;
    err = (struct error){0};
    (void)snprintf(text, sizeof(text), "corrald %s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return config_load(&config, argc, argv, cmd_help, &err);
}

static void fails(const char *line, const char *words)
{
    T_EQ(load(line), -EINVAL);
    if (strstr(err.message, words) == NULL)
        T_FAIL("'%s' does not mention '%s'", err.message, words);
}

static int parse(const char *text)
{
    config_free(config);
    config = config_new();
    err = (struct error){0};
    return config_parse_file(config, "f", text, strlen(text), &err);
}

static void file_fails(const char *text, const char *words)
{
    T_EQ(parse(text), -EINVAL);
    if (strstr(err.message, words) == NULL)
        T_FAIL("'%s' does not mention '%s'", err.message, words);
}

static void defaults(void)
{
    T_EQ(load(""), CONFIG_RUN);
    T_STR(config->listen.host, "127.0.0.1");
    T_EQ(config->listen.port, 8000);
    T_STR(config->state_dir, "/var/lib/corral");
    T_EQ(config->isolation, ISOLATION_AUTO);
    T_STR(config->oci_runtime, "runc");
    T_EQ(config->allow_weak_isolation, 0);
    T_EQ(config->guest_dir[0], '/');
    T_STR(config->template_default, "python-base-v1");
    T_EQ(config->pool_size, 2);
    T_EQ(config->max_sandboxes, 200);
    T_EQ(config->timeout_default, 300);
    T_EQ(config->timeout_max, 3600);
    T_EQ(config->retention, 86400);
    T_TRUE(config->rate_limit.enabled);
    T_EQ(config->rate_limit.per_minute, 100);
    T_EQ(config->rate_limit.per_second, 10);
    T_STR(config->domain, "localhost");
    T_EQ(config->max_output, 8 << 20);
    T_EQ(config->map_size, 1 << 30);
    T_EQ(config->log_level, LOG_INFO);
    T_TRUE(config->metrics);
    T_EQ(config->n_args, 0);
    T_TRUE(config->args[0] == NULL);
}

static void flags(void)
{
    T_EQ(load("--listen [::1]:0 --isolation=oci --allow-weak-isolation --metrics=no "
              "--max-body 1MiB --retention=2h --rate-limit off --log-level debug"),
         CONFIG_RUN);
    T_STR(config->listen.host, "::1");
    T_EQ(config->listen.port, 0);
    T_EQ(config->isolation, 2); /* auto, kvm, oci */
    T_TRUE(config->allow_weak_isolation && !config->metrics);
    T_EQ(config->max_body, 1 << 20);
    T_EQ(config->retention, 7200);
    T_TRUE(!config->rate_limit.enabled);
    T_EQ(config->log_level, LOG_DEBUG);
    T_EQ(load("--pool-size 3 --pool-size 4"), CONFIG_RUN);
    T_EQ(config->pool_size, 4);
}

static void sub_commands(void)
{
    T_EQ(load("--pool-size 3 key create --name x --state-dir /s --role admin"), CONFIG_RUN);
    T_EQ(config->n_args, 6);
    T_STR(config->args[0], "key");
    T_STR(config->args[2], "--name");
    T_STR(config->args[5], "admin");
    T_TRUE(config->args[6] == NULL);
    T_STR(config->state_dir, "/s");
    T_EQ(load("key list --help"), CONFIG_RUN);
    T_EQ(config->n_args, 3);
    T_EQ(load("key -- --state-dir"), CONFIG_RUN);
    T_EQ(config->n_args, 2);
    T_STR(config->args[1], "--state-dir");
}

static void bad_flags(void)
{
    fails("--lisen x", "did you mean 'listen'");
    fails("--max-sandbox=3", "did you mean 'max-sandboxes'");
    fails("--frobnicate", "no option 'frobnicate'");
    T_TRUE(strstr(err.message, "did you mean") == NULL);
    fails("-x", "no option 'x'");
    fails("--listen", "--listen needs a value");
    fails("--config", "--config needs a value");
    fails("--config /does/not/exist", "/does/not/exist");
    fails("--pool-size many", "pool-size: 'many' is not a whole number");
    fails("--pool-size -1", "whole number");
    fails("--pool-size 99999999999999999999", "between 0 and 1000");
    fails("--isolation vm", "auto|kvm|oci");
    fails("--metrics=maybe", "yes or no");
    fails("--listen 8000", "ADDRESS:PORT");
    fails("--listen :8000", "ADDRESS:PORT");
    fails("--listen ::1:8000", "brackets");
    fails("--listen []:8000", "ADDRESS:PORT");
    fails("--listen 127.0.0.1:65536", "ADDRESS:PORT");
    fails("--listen 127.0.0.1:", "ADDRESS:PORT");
    fails("--max-body 1XB", "size");
    fails("--max-body 9223372036854775807TiB", "between");
    fails("--retention 3w", "time");
    fails("--rate-limit 10", "rate");
    fails("--rate-limit 0/min", "rate");
    fails("--rate-limit 1/min,2/min", "rate");
    fails("--rate-limit 1/min,", "rate");
    fails("--rate-limit 1/h", "rate");
    fails("--timeout-default 2h", "longer than timeout-max");
    fails("--unknown-fields maybe", "ignore");
    fails("--domain=", "printable");
}

static void no_longest_timeout(void)
{
    T_EQ(load("--timeout-max 0 --timeout-default 30d"), CONFIG_RUN);
    T_EQ(config->timeout_max, 0);
    T_EQ(config_timeout_max(config), CONFIG_LONGEST_TIMEOUT);
}

static void rates(void)
{
    T_EQ(load("--rate-limit 600/min"), CONFIG_RUN);
    T_EQ(config->rate_limit.per_minute, 600);
    T_EQ(config->rate_limit.per_second, 0);
    T_EQ(load("--rate-limit 5/s,7/min"), CONFIG_RUN);
    T_EQ(config->rate_limit.per_minute, 7);
    T_EQ(config->rate_limit.per_second, 5);
}

static void environment(void)
{
    setenv("CORRAL_MAX_SANDBOXES", "7", 1);
    setenv("CORRAL_POOL_SIZE", "", 1); /* as if unset */
    setenv("CORRAL_URL", "http://elsewhere", 1);
    T_EQ(load(""), CONFIG_RUN);
    T_EQ(config->max_sandboxes, 7);
    T_EQ(config->pool_size, 2);
    T_EQ(load("--max-sandboxes 8"), CONFIG_RUN);
    T_EQ(config->max_sandboxes, 8);
    setenv("CORRAL_MAX_SANDBOXES", "x", 1);
    fails("", "CORRAL_MAX_SANDBOXES: max-sandboxes");
    unsetenv("CORRAL_MAX_SANDBOXES");
}

static void precedence(void)
{
    char path[] = "/tmp/corral-test-XXXXXX";
    char line[128];
    int fd = mkstemp(path);
    T_TRUE(fd >= 0);
    close(fd);
    const char *text = "pool-size = 5\nmax-sandboxes = 50\ndomain = file.example\n";
    T_EQ(file_replace(path, text, strlen(text), 0600), 0);
    setenv("CORRAL_CONFIG", path, 1);
    setenv("CORRAL_MAX_SANDBOXES", "60", 1);
    setenv("CORRAL_DOMAIN", "env.example", 1);
    T_EQ(load("--domain flag.example"), CONFIG_RUN);
    T_EQ(config->pool_size, 5);
    T_EQ(config->max_sandboxes, 60);
    T_STR(config->domain, "flag.example");
    T_STR(config->config_file, path);
    unsetenv("CORRAL_CONFIG");
    unsetenv("CORRAL_MAX_SANDBOXES");
    unsetenv("CORRAL_DOMAIN");
    (void)snprintf(line, sizeof(line), "--config=%s", path);
    T_EQ(load(line), CONFIG_RUN);
    T_STR(config->domain, "file.example");
    T_EQ(unlink(path), 0);
}

static void file_lines(void)
{
    T_EQ(parse("# a comment\r\n\n  pool-size=9   # more\r\n\tdomain\t=\t\"a # b\" # c\n"
               "rate-limit = 5/s, 7/min\nstate-dir = rel/dir#x"),
         0);
    T_EQ(config->pool_size, 9);
    T_STR(config->domain, "a # b");
    T_EQ(config->rate_limit.per_minute, 7);
    T_EQ(config->state_dir[0], '/');
    T_TRUE(strstr(config->state_dir, "/rel/dir#x") != NULL);
    T_EQ(parse(""), 0);
}

static void bad_files(void)
{
    file_fails("pool-size 3", "f:1: The line does not read 'name = value'");
    file_fails("\n\n= 3", "f:3:");
    file_fails("pool-size = 3\npool-size = 4", "f:2: pool-size is set twice");
    file_fails("poolsize = 3", "f:1: no option 'poolsize', did you mean 'pool-size'?");
    file_fails("domain = \"x", "quotes");
    file_fails("domain = \"x\" y", "quotes");
    file_fails("pool-size =", "whole number");
    file_fails("domain = \xff", "not text");
    T_EQ(config_parse_file(config, "f", "a\0b", 3, &err), -EINVAL);
    char *long_line = malloc(10000);
    memset(long_line, 'x', 9999);
    long_line[9999] = '\0';
    memcpy(long_line, "domain = ", 9);
    file_fails(long_line, "too long");
    free(long_line);
}

static void loopback(void)
{
    static const struct {
        const char *host;
        bool loopback;
    } cases[] = {
        {"127.0.0.1", true}, {"127.255.0.3", true},      {"::1", true},
        {"localhost", true}, {"0.0.0.0", false},         {"::", false},
        {"10.0.0.1", false}, {"127.0.0.1.evil", false},  {"127.evil.example", false},
        {"127.0.0", false},  {"localhost.evil", false},  {"127.0.0.256", false},
        {"127.0.0.", false}, {"::ffff:10.0.0.1", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_listen l = {0};
        memcpy(l.host, cases[i].host, strlen(cases[i].host));
        T_EQ(config_is_loopback(&l), cases[i].loopback);
    }
}

/* Each option of --help is an item of the page, `item` with its name. */
static void is_documented(const char *path, const char *item_format, size_t skip)
{
    cleanup_buf struct buf help = {0};
    cleanup_buf struct buf page = {0};
    T_EQ(config_help(&help, cmd_help), 0);
    T_EQ(file_read(path, 1 << 20, &page), 0);
    const char *man = buf_cstr(&page);
    size_t options = 0;
    for (char *p = strstr(buf_cstr(&help), "\n  --"); p != NULL; p = strstr(p + 1, "\n  --")) {
        char item[64];
        size_t len = strcspn(p + 5, " \n");
        if (options++ < skip)
            continue;
        (void)snprintf(item, sizeof(item), "%s%.*s", item_format, (int)len, p + 5);
        const char *at = strstr(man, item);
        if (at == NULL || strchr(" \n", at[strlen(item)]) == NULL)
            T_FAIL("%s has no '%s'", path, item);
    }
    T_TRUE(options > 15);
}

/* Each form of each sub command is in --help and in the man page. */
static void commands_are_documented(void)
{
    cleanup_buf struct buf help = {0};
    cleanup_buf struct buf page = {0};
    size_t forms = 0;
    T_EQ(config_help(&help, cmd_help), 0);
    T_EQ(file_read(CORRALD_MAN_PAGE, 1 << 20, &page), 0);
    for (size_t i = 0; i < cmd_table_len; i++) {
        const struct cmd *c = &cmd_table[i];
        T_TRUE(strstr(buf_cstr(&help), c->help) != NULL);
        for (const char *form = c->usage; form != NULL; form = strstr(form, " | "), forms++) {
            char item[128];
            form += strspn(form, " |");
            size_t len = strcspn(form, " ");
            (void)snprintf(item, sizeof(item), "\n  %s%s%.*s", c->name, len > 0 ? " " : "",
                           (int)len, form);
            if (strstr(buf_cstr(&help), item) == NULL)
                T_FAIL("--help has no '%s'", item + 3);
            (void)snprintf(item, sizeof(item), "\n.It Cm %s%s%.*s", c->name, len > 0 ? " " : "",
                           (int)len, form);
            if (strstr(buf_cstr(&page), item) == NULL)
                T_FAIL("%s has no '%s'", CORRALD_MAN_PAGE, item + 1);
        }
    }
    T_EQ(forms, 14);
}

static int run(const char *line)
{
    T_EQ(load(line), CONFIG_RUN);
    return cmd_run(config, &err);
}

static void wrong_arguments_show_the_usage(void)
{
    for (size_t i = 0; i < cmd_table_len; i++) {
        char line[64], usage[512];
        /* One word too many for a command without arguments, no form for the others; no store
         * is opened for either. */
        bool bare = cmd_table[i].usage[0] == '\0';
        (void)snprintf(line, sizeof(line), "%s%s", cmd_table[i].name, bare ? " more" : "");
        (void)snprintf(usage, sizeof(usage), "Usage: corrald %s%s%s", cmd_table[i].name,
                       bare ? "" : " ", cmd_table[i].usage);
        T_EQ(run(line), -EINVAL);
        T_STR(err.message, usage);
    }
    T_EQ(run("nonsense"), -EINVAL);
    T_TRUE(strstr(err.message, "Unknown command 'nonsense'") != NULL);
}

static void everything_is_documented(void)
{
    is_documented(CORRALD_MAN_PAGE, ".It Fl -", 0);
    is_documented(CORRALD_CONF_PAGE, ".It Cm ", 1); /* --config itself */
    config_free(config);
    config = NULL;
}

static void origins(void)
{
    T_EQ(load(""), CONFIG_RUN);
    T_STR(config->cors, "off");
    T_EQ(load("--cors *"), CONFIG_RUN);
    T_STR(config->cors, "*");
    T_EQ(load("--cors https://a.example,http://[::1]:3000"), CONFIG_RUN);
    T_STR(config->cors, "https://a.example,http://[::1]:3000");
    fails("--cors a.example", "is not a list of origins");
    fails("--cors https://", "is not a list of origins");
    fails("--cors https://a.example/", "is not a list of origins");
    fails("--cors https://a.example,", "is not a list of origins");
    fails("--cors https://a.example,*", "is not a list of origins");
    fails("--cors https://A.example", "is not a list of origins");
    fails("--tls-cert /a", "go together");
    fails("--tls-key /a", "go together");
}

T_MAIN(T_CASE(defaults), T_CASE(flags), T_CASE(sub_commands), T_CASE(bad_flags),
       T_CASE(no_longest_timeout), T_CASE(rates), T_CASE(environment), T_CASE(precedence),
       T_CASE(file_lines), T_CASE(bad_files), T_CASE(loopback), T_CASE(origins),
       T_CASE(commands_are_documented), T_CASE(wrong_arguments_show_the_usage),
       T_CASE(everything_is_documented))
