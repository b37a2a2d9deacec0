/* SPDX-License-Identifier: Apache-2.0 */
/* recipe.c - see recipe.h. The builder reads the same file with a shell, so what is no
 * KEY="value" line here is refused rather than guessed at. */
#include "template/recipe.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/num.h"
#include "core/file.h"

#define RECIPE_SUFFIX ".recipe"

bool recipe_name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    return n > 0 && n <= RECIPE_NAME_MAX && name[n] == '\0' && name[0] != '.' && name[0] != '-';
}

void recipe_done(struct recipe *r)
{
    free(r->name);
    free(r->description);
    free(r->aliases);
    *r = (struct recipe){0};
}

/* The text that is left, and where in the file it stands. */
struct recipe_text {
    const char *p, *end;
    unsigned int line;
};

static bool recipe_more(const struct recipe_text *t)
{
    return t->p < t->end;
}

static char recipe_next(struct recipe_text *t)
{
    t->line += *t->p == '\n';
    return *t->p++;
}

/* Over blanks, empty lines and comments. */
static void recipe_skip(struct recipe_text *t)
{
    while (recipe_more(t) && (*t->p == ' ' || *t->p == '\t' || *t->p == '\n' || *t->p == '#')) {
        bool comment = *t->p == '#';
        while (comment && recipe_more(t) && *t->p != '\n')
            t->p++;
        if (recipe_more(t))
            (void)recipe_next(t);
    }
}

static bool recipe_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Inside double quotes a backslash keeps its meaning for these alone, as in a shell. */
static bool recipe_is_escaped(const struct recipe_text *t)
{
    return t->end - t->p > 1 && strchr("\"\\$`", t->p[1]) != NULL && t->p[1] != '\0';
}

/* The value behind the equals sign. False when it does not end. */
static bool recipe_value(struct recipe_text *t, struct buf *out)
{
    char quote = recipe_more(t) && (*t->p == '"' || *t->p == '\'') ? recipe_next(t) : '\0';
    while (recipe_more(t)) {
        if (quote != '\0' ? *t->p == quote : strchr(" \t\n", *t->p) != NULL)
            break;
        if (quote == '"' && *t->p == '\\' && recipe_is_escaped(t))
            t->p++;
        (void)buf_u8(out, (uint8_t)recipe_next(t));
    }
    if (quote == '\0')
        return true;
    if (!recipe_more(t))
        return false;
    t->p++;
    return !recipe_more(t) || strchr(" \t\n", *t->p) != NULL;
}

static int recipe_take_str(char **field, const char *value)
{
    free(*field);
    *field = strdup(value);
    return *field != NULL ? 0 : -ENOMEM;
}

/* Words with blanks between them, in one allocation behind the vector. */
static int recipe_take_words(char ***field, const char *value)
{
    size_t len = strlen(value) + 1, most = len / 2 + 1;
    char **words = calloc(1, (most + 1) * sizeof(*words) + len);
    if (words == NULL)
        return -ENOMEM;
    char *text = memcpy(&words[most + 1], value, len), *save = NULL;
    size_t n = 0;
    for (char *w = strtok_r(text, " \t\n", &save); w != NULL; w = strtok_r(NULL, " \t\n", &save))
        words[n++] = w;
    free(*field);
    *field = words;
    return 0;
}

static int recipe_take(struct recipe *r, const char *key, const char *value)
{
    const struct {
        const char *key;
        unsigned int *field;
        int64_t min, max;
    } numbers[] = {
        {"vcpus", &r->vcpus, 1, 8},
        {"memory_mb", &r->memory_mb, 64, 1 << 20},
        {"disk_size_mb", &r->disk_mb, 64, 1 << 24},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        int64_t n = 0;
        if (strcmp(key, numbers[i].key) != 0)
            continue;
        int rv = num_parse(value, numbers[i].min, numbers[i].max, &n);
        *numbers[i].field = (unsigned int)n;
        return rv;
    }
    if (strcmp(key, "name") == 0)
        return recipe_name_ok(value) ? recipe_take_str(&r->name, value) : -EINVAL;
    if (strcmp(key, "description") == 0)
        return recipe_take_str(&r->description, value);
    return strcmp(key, "aliases") == 0 ? recipe_take_words(&r->aliases, value) : 0;
}

/* One KEY=value. 0, or -EINVAL. */
static int recipe_entry(struct recipe *r, struct recipe_text *t)
{
    char key[64];
    size_t n = 0;
    cleanup_buf struct buf value = {0};
    while (recipe_more(t) && recipe_is_word(*t->p) && n < sizeof(key) - 1)
        key[n++] = *t->p++;
    key[n] = '\0';
    if (n == 0 || !recipe_more(t) || *t->p != '=')
        return -EINVAL;
    t->p++;
    if (!recipe_value(t, &value))
        return -EINVAL;
    const char *text = buf_cstr(&value);
    if (text == NULL)
        return -ENOMEM;
    return strlen(text) == value.len ? recipe_take(r, key, text) : -EINVAL;
}

int recipe_parse(struct recipe *ret, const char *text, size_t len, struct error *err)
{
    struct recipe_text t = {.p = text, .end = text + len, .line = 1};
    *ret = (struct recipe){.vcpus = 2, .memory_mb = 2048, .disk_mb = 10240};
    for (recipe_skip(&t); recipe_more(&t); recipe_skip(&t)) {
        unsigned int line = t.line;
        if (recipe_entry(ret, &t) == 0)
            continue;
        recipe_done(ret);
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Line %u is not KEY=\"value\", or the value cannot be used", line);
    }
    if (ret->name != NULL && ret->description != NULL)
        return 0;
    (void)error_set(err, ERROR_INVALID_ARGUMENT, "The key '%s' is missing",
                    ret->name == NULL ? "name" : "description");
    recipe_done(ret);
    return -EINVAL;
}

int recipe_read(struct recipe *ret, const char *path, struct error *err)
{
    struct stat st;
    cleanup_buf struct buf text = {0};
    *ret = (struct recipe){0};
    int rv = stat(path, &st) < 0 ? -errno : file_read(path, RECIPE_MAX, &text);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "%.150s", path);
    struct error reason = {0};
    rv = recipe_parse(ret, text.data != NULL ? (const char *)text.data : "", text.len, &reason);
    if (rv < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "%.150s: %s", path, reason.message);
    ret->changed_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    return 0;
}

static size_t recipe_dirs(const struct recipe_places *places, char ret[2][PATH_MAX])
{
    (void)snprintf(ret[0], PATH_MAX, "%.4000s", places->own);
    (void)snprintf(ret[1], PATH_MAX, "%.4000s/templates", places->guest_dir);
    return 2;
}

int recipe_find(const struct recipe_places *places, const char *name, char ret[PATH_MAX])
{
    char dirs[2][PATH_MAX];
    size_t n = recipe_dirs(places, dirs);
    for (size_t i = 0; recipe_name_ok(name) && i < n; i++) {
        (void)snprintf(ret, PATH_MAX, "%.4000s/%s" RECIPE_SUFFIX, dirs[i], name);
        if (dirs[i][0] != '\0' && access(ret, R_OK) == 0)
            return 0;
    }
    return -ENOENT;
}

static int recipe_is_file(const struct dirent *e)
{
    size_t len = strlen(e->d_name), suffix = sizeof(RECIPE_SUFFIX) - 1;
    return len > suffix && e->d_name[0] != '.' &&
           strcmp(e->d_name + len - suffix, RECIPE_SUFFIX) == 0;
}

/* A recipe is found by the name of its file, so the name inside must be the same. */
static int recipe_read_named(struct recipe *ret, const char *dir, const char *file,
                             struct error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.3800s/%.255s", dir, file);
    int rv = recipe_read(ret, path, err);
    size_t len = strlen(file) - (sizeof(RECIPE_SUFFIX) - 1);
    if (rv < 0 || (strlen(ret->name) == len && strncmp(ret->name, file, len) == 0))
        return rv;
    (void)error_set(err, ERROR_INVALID_ARGUMENT, "%.150s: its name is '%s', unlike the file's",
                    path, ret->name);
    recipe_done(ret);
    return -EINVAL;
}

void recipe_each(const struct recipe_places *places,
                 void (*visit)(void *ctx, const struct recipe *r, const struct error *err),
                 void *ctx)
{
    char dirs[2][PATH_MAX];
    size_t n = recipe_dirs(places, dirs);
    for (size_t i = 0; i < n; i++) {
        struct dirent **entries = NULL;
        int count = dirs[i][0] != '\0' ? scandir(dirs[i], &entries, recipe_is_file, alphasort) : -1;
        for (int k = 0; k < count; k++) {
            cleanup_recipe struct recipe r = {0};
            struct error err = {0};
            if (k < RECIPES_MAX) {
                int rv = recipe_read_named(&r, dirs[i], entries[k]->d_name, &err);
                visit(ctx, rv == 0 ? &r : NULL, &err);
            }
            free(entries[k]);
        }
        free(entries);
    }
}
