/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - merges the environment of a command.
 *
 * All entries are sorted by name, the latest first, and the first of each name is taken. One
 * allocation holds the vector and the text of the base variables; the caller frees one block and
 * the other strings stay where they are.
 */
#include "agent/env.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ENV_BASE_COUNT 6
#define ENV_BASE_BYTES (2 * ACCOUNT_NAME_MAX + 3 * ACCOUNT_PATH_MAX + 256)

struct env_entry {
    char *text;
    size_t name_len;
    size_t rank; /* later wins */
};

static size_t env_count(char *const *env)
{
    size_t n = 0;
    while (env != NULL && env[n] != NULL)
        n++;
    return n;
}

static int by_name_then_latest(const void *pa, const void *pb)
{
    const struct env_entry *a = pa, *b = pb;
    int order = strncmp(a->text, b->text, MIN(a->name_len, b->name_len));
    if (order != 0)
        return order;
    if (a->name_len != b->name_len)
        return a->name_len < b->name_len ? -1 : 1;
    /* qsort() is not stable, so the rank decides among equal names. */
    return a->rank > b->rank ? -1 : 1;
}

static bool same_name(const struct env_entry *a, const struct env_entry *b)
{
    return a->name_len == b->name_len && strncmp(a->text, b->text, a->name_len) == 0;
}

static void add_entries(struct env_entry *entries, size_t *count, char *const *env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        entries[*count] = (struct env_entry){
            .text = env[i], .name_len = strcspn(env[i], "="), .rank = *count};
        (*count)++;
    }
}

/* Writes the base variables into `text` (ENV_BASE_BYTES) and their addresses into `vars`. */
static void base_env(const struct account *a, char *text, char *vars[ENV_BASE_COUNT + 1])
{
    char path[ACCOUNT_PATH_MAX + sizeof("/.local/bin:" ENV_PATH)];
    const char *values[ENV_BASE_COUNT][2] = {
        {"PATH", path},       {"HOME", a->home},   {"USER", a->name},
        {"LOGNAME", a->name}, {"SHELL", a->shell}, {"LANG", "C.UTF-8"},
    };
    /* Where pip and npm put the programs of packages that the user installs. */
    (void)snprintf(path, sizeof(path), "%s/.local/bin:" ENV_PATH, a->home);
    size_t used = 0;
    for (size_t i = 0; i < ENV_BASE_COUNT; i++) {
        vars[i] = text + used;
        used += (size_t)snprintf(text + used, ENV_BASE_BYTES - used, "%s=%s", values[i][0],
                                 values[i][1]) +
                1;
    }
    vars[ENV_BASE_COUNT] = NULL;
}

char **env_merge(const struct account *a, char *const *configured, char *const *requested)
{
    size_t max = ENV_BASE_COUNT + env_count(configured) + env_count(requested);
    size_t vector = (max + 1) * sizeof(char *);
    cleanup_free struct env_entry *entries = calloc(max, sizeof(*entries));
    char **env = malloc(vector + ENV_BASE_BYTES);
    if (entries == NULL || env == NULL) {
        free(env);
        return NULL;
    }
    char *base[ENV_BASE_COUNT + 1];
    base_env(a, (char *)env + vector, base);
    size_t count = 0, kept = 0;
    add_entries(entries, &count, base);
    add_entries(entries, &count, configured);
    add_entries(entries, &count, requested);
    qsort(entries, count, sizeof(*entries), by_name_then_latest);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !same_name(&entries[i - 1], &entries[i]))
            env[kept++] = entries[i].text;
    }
    env[kept] = NULL;
    return env;
}

static bool env_has(char *const *env, const char *entry)
{
    size_t len = strcspn(entry, "=") + 1;
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        if (strncmp(env[i], entry, len) == 0)
            return true;
    }
    return false;
}

char **env_with_defaults(char *const *env, const char *const *defaults)
{
    size_t count = env_count(env), bytes = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(env[i]) + 1;
    for (size_t i = 0; defaults[i] != NULL; i++, count++)
        bytes += strlen(defaults[i]) + 1;
    char **all = malloc((count + 1) * sizeof(*all) + bytes);
    if (all == NULL)
        return NULL;
    char *text = (char *)(all + count + 1);
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        all[at++] = text;
        text = stpcpy(text, env[i]) + 1;
    }
    for (size_t i = 0; defaults[i] != NULL; i++) {
        if (env_has(env, defaults[i]))
            continue;
        all[at++] = text;
        text = stpcpy(text, defaults[i]) + 1;
    }
    all[at] = NULL;
    return all;
}

const char *env_get(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    }
    return NULL;
}
