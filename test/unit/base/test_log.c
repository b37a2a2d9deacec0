/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "t.h"

static char line[8192];

/* Everything written to stderr since the last call. */
static const char *written(int fd)
{
    ssize_t n = read(fd, line, sizeof(line) - 1);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void lines(void)
{
    int fds[2];
    T_EQ(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    log_info("hello", "a=%d b=%s", 1, "x");
    const char *s = written(fds[0]);
    char big[5000];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    bool plain = strstr(s, "Z level=info msg=\"hello\" a=1 b=x\n") != NULL;
    log_debug("dropped");
    log_error("bare");
    bool bare = strstr(written(fds[0]), "level=error msg=\"bare\"\n") != NULL &&
                strstr(line, "dropped") == NULL;
    log_warn("long", "v=%s", big);
    s = written(fds[0]);
    bool cut = strlen(s) < 1100 && s[strlen(s) - 1] == '\n' && strchr(s, '\n')[1] == '\0';
    log_set_level(LOG_DEBUG);
    log_debug("shown");
    bool debug = strstr(written(fds[0]), "msg=\"shown\"\n") != NULL;
    log_set_level(LOG_INFO);
    dup2(saved, STDERR_FILENO);
    T_TRUE(plain);
    T_TRUE(bare);
    T_TRUE(cut);
    T_TRUE(debug);
}

static void quotes(void)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"plain text", "\"plain text\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"x\nlevel=error msg=forged", "\"x\\x0alevel=error msg=forged\""},
        {"\x1b[31m\x7f", "\"\\x1b[31m\\x7f\""},
        {"h\xc3\xa9llo", "\"h\xc3\xa9llo\""},
        /* Not UTF-8, and a control character of the C1 set: a terminal might act on it. */
        {"\xff\xc3", "\"\\xff\\xc3\""},
        {"\xc2\x9b", "\"\\xc2\\x9b\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[64];
        T_STR(log_quote(out, sizeof(out), cases[i].in), cases[i].out);
    }
}

/* Whatever the capacity: never more bytes than it, always terminated, whole characters. */
static void quotes_within_bounds(void)
{
    static const char euros[] =
        "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";
    static const char *const in[] = {"", "abcdefghijklmnopqrstuvwxyz", "\"\"\"\"\"\"\"\"\"\"",
                                     "\x01\x02\x03\x04\x05\x06\x07\x08", euros};
    for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
        for (size_t cap = 1; cap < 40; cap++) {
            char *out = malloc(cap);
            T_TRUE(log_quote(out, cap, in[i]) == out);
            size_t len = strnlen(out, cap);
            T_TRUE(len < cap);
            T_TRUE(utf8_valid((const uint8_t *)out, len));
            free(out);
        }
    }
}

/* Every day of 400 years and more, as the C library has it. */
static void dates(void)
{
    char wanted[64], got[64];
    for (int64_t day = 0; day < 160000; day++) {
        struct timespec t = {.tv_sec = day * 86400 + day * 7919 % 86400, .tv_nsec = 42999999};
        struct tm tm;
        gmtime_r(&t.tv_sec, &tm);
        strftime(wanted, sizeof(wanted), "ts=%Y-%m-%dT%H:%M:%S.042Z", &tm);
        T_EQ(log_time(got, sizeof(got), &t), strlen(wanted));
        T_STR(got, wanted);
    }
}

T_MAIN(T_CASE(lines), T_CASE(dates), T_CASE(quotes), T_CASE(quotes_within_bounds))
