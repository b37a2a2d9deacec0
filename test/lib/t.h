/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t.h - unit tests: a table of cases, asserts that print both values, one process per program.
 *
 *   static void adds(void) { T_EQ(1 + 1, 2); }
 *   T_MAIN(T_CASE(adds))
 *
 * A failed assert ends the program with status 1. T_SKIP(reason) ends it with 77. The programs
 * speak TAP, one line per case. What t_mkdtemp made is removed when the program ends.
 */
#ifndef CORRAL_T_H
#define CORRAL_T_H

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T_DIRS_MAX 64

struct t_case {
    const char *name;
    void (*run)(void);
};

#define T_CASE(fn)                                                                                 \
    {                                                                                              \
#fn, fn                                                                                    \
    }

#define T_FAIL(...)                                                                                \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)

#define T_TRUE(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            T_FAIL("not true: %s", #x);                                                            \
    } while (0)

#define T_EQ(a, b)                                                                                 \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            T_FAIL("%s is %lld, expected %s = %lld", #a, a_, #b, b_);                              \
    } while (0)

#define T_STR(a, b)                                                                                \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (a_ == NULL || b_ == NULL || strcmp(a_, b_) != 0)                                       \
            T_FAIL("%s is \"%s\", expected \"%s\"", #a, a_ ? a_ : "(null)", b_ ? b_ : "(null)");   \
    } while (0)

#define T_MEM(a, a_len, b, b_len)                                                                  \
    do {                                                                                           \
        size_t al_ = (a_len), bl_ = (b_len);                                                       \
        if (al_ != bl_ || memcmp((a), (b), al_) != 0)                                              \
            T_FAIL("%s (%zu bytes) differs from %s (%zu bytes)", #a, al_, #b, bl_);                \
    } while (0)

#define T_SKIP(reason)                                                                             \
    do {                                                                                           \
        printf("1..0 # SKIP %s\n", reason);                                                        \
        exit(77);                                                                                  \
    } while (0)

struct t_dirs {
    char path[T_DIRS_MAX][64];
    size_t n;
    pid_t owner; /* a child that ends takes nothing away */
};

static inline struct t_dirs *t_dirs(void)
{
    static struct t_dirs dirs;
    return &dirs;
}

static inline int t_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    (void)remove(path);
    return 0;
}

static inline void t_remove_dirs(void)
{
    struct t_dirs *d = t_dirs();
    for (size_t i = 0; i < d->n && getpid() == d->owner; i++)
        (void)nftw(d->path[i], t_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* `path` is removed, with what is in it, when the program ends. */
static inline bool t_remove_at_end(const char *path)
{
    struct t_dirs *d = t_dirs();
    if (d->n == T_DIRS_MAX || strlen(path) >= sizeof(d->path[0]) ||
        (d->n == 0 && atexit(t_remove_dirs) != 0))
        return false;
    d->owner = getpid();
    (void)strcpy(d->path[d->n++], path);
    return true;
}

/* mkdtemp(3) of a directory that is removed at the end. */
static inline bool t_mkdtemp(char *path)
{
    return mkdtemp(path) != NULL && t_remove_at_end(path);
}

#define T_MAIN(...)                                                                                \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct t_case cases[] = {__VA_ARGS__};                                        \
        const size_t n = sizeof(cases) / sizeof(cases[0]);                                         \
        setvbuf(stdout, NULL, _IOLBF, 0);                                                          \
        printf("1..%zu\n", n);                                                                     \
        for (size_t i = 0; i < n; i++) {                                                           \
            cases[i].run();                                                                        \
            printf("ok %zu - %s\n", i + 1, cases[i].name);                                         \
        }                                                                                          \
        return 0;                                                                                  \
    }

#endif
