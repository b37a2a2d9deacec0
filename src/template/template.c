/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - reads the templates.
 *
 * A load marks every template as not present, reads the directory, and marks what it finds; then it
 * adds what has only a recipe. Objects
 * are never freed: the pool and the builder point to them, so a template that has gone stays in
 * memory until the server ends. A template that is there again takes its old object.
 * The id of a name is looked up in the store, and made there at the first sight of the name.
 * Possible failure modes are: template.json is missing, too long or wrong. The template is then
 * skipped with a line in the log, and the others are read.
 */
#include "template/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "store/record.h"

#define TEMPLATE_FILE_MAX 65536 /* bytes of template.json */
#define TEMPLATE_RECORD   1

int template_set_init(struct template_set *set, struct store *store, const char *state_dir,
                      const struct recipe_places *recipes)
{
    *set = (struct template_set){.store = store, .recipes = *recipes};
    list_init(&set->templates);
    if (asprintf(&set->dir, "%s/templates", state_dir) < 0) {
        set->dir = NULL;
        return -ENOMEM;
    }
    return 0;
}

static void template_clear(struct template *t)
{
    free(t->description);
    free(t->aliases);
    free(t->dir);
    free(t->rootfs);
    t->description = NULL;
    t->aliases = NULL;
    t->dir = NULL;
    t->rootfs = NULL;
    t->snapshot_failed = false;
}

static int template_read_file(const char *path, struct buf *ret)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rv = buf_reserve(ret, TEMPLATE_FILE_MAX);
    if (rv < 0)
        return rv;
    ssize_t n = read(fd, ret->data, TEMPLATE_FILE_MAX);
    if (n < 0)
        return -errno;
    ret->len = (size_t)n;
    return n == TEMPLATE_FILE_MAX ? -EFBIG : 0;
}

static int template_apply(struct template *t, const json *j, struct error *err)
{
    const char *description = NULL;
    int64_t vcpus = 0, memory = 0, disk = 0;
    int rv = json_need_str(j, "description", &description, err);
    if (rv == 0)
        rv = json_get_int(j, "vcpu_count", 2, 1, 8, &vcpus, err);
    if (rv == 0)
        rv = json_get_int(j, "memory_mb", 2048, 64, 1 << 20, &memory, err);
    if (rv == 0)
        rv = json_get_int(j, "disk_size_mb", 10240, 64, 1 << 24, &disk, err);
    if (rv == 0)
        rv = json_get_str_list(j, "aliases", &t->aliases, err);
    if (rv < 0)
        return rv;
    t->description = strdup(description);
    t->vcpus = (unsigned int)vcpus;
    t->memory_mb = (unsigned int)memory;
    t->disk_mb = (unsigned int)disk;
    return t->description != NULL ? 0 : -ENOMEM;
}

struct template_lookup {
    const char *name;
    struct template *t;
};

static int template_match_record(void *ctx, const void *key, size_t keylen, const void *val,
                                 size_t vallen)
{
    struct template_lookup *l = ctx;
    struct cursor c = cursor_on(val, vallen);
    if (keylen != ID_SIZE - 1 || record_open(&c, val, vallen, TEMPLATE_RECORD) < 0)
        return 0;
    cleanup_free char *name = record_get_str(&c);
    int64_t created = record_get_i64(&c);
    if (record_end(&c) < 0 || name == NULL || strcmp(name, l->name) != 0)
        return 0;
    memcpy(l->t->id, key, keylen);
    l->t->created_ms = created;
    return 1;
}

/* The id of a template of this name that was seen before, or a new one. Clients may keep the id, so
 * a template that is built again has the old one. */
static int template_identify(struct template_set *set, struct template *t)
{
    struct template_lookup lookup = {.name = t->name, .t = t};
    int rv = store_each(set->store, STORE_TEMPLATES, template_match_record, &lookup);
    if (rv != 0)
        return rv < 0 ? rv : 0;
    struct buf record = {0};
    id_new(t->id);
    t->created_ms = t->updated_ms;
    record_begin(&record, TEMPLATE_RECORD);
    record_str(&record, t->name);
    record_i64(&record, t->created_ms);
    rv = record.failed
             ? -ENOMEM
             : store_put(set->store, STORE_TEMPLATES, t->id, ID_SIZE - 1, record.data, record.len);
    buf_done(&record);
    return rv;
}

static struct template *template_by_name(const struct template_set *set, const char *name)
{
    list_for_each (it, &set->templates) {
        struct template *t = list_entry(it, struct template, node);
        if (strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

static struct template *template_add(struct template_set *set, const char *name)
{
    struct template *t = calloc(1, sizeof(*t));
    if (t == NULL || (t->name = strdup(name)) == NULL) {
        free(t);
        return NULL;
    }
    list_init(&t->build.waits);
    struct list *pos = set->templates.next;
    while (pos != &set->templates && strcmp(list_entry(pos, struct template, node)->name, name) < 0)
        pos = pos->next;
    list_add_tail(pos, &t->node);
    return t;
}

static int template_locate(const struct template_set *set, struct template *t)
{
    if (asprintf(&t->dir, "%s/%s", set->dir, t->name) < 0)
        t->dir = NULL;
    if (asprintf(&t->rootfs, "%s/%s/rootfs", set->dir, t->name) < 0)
        t->rootfs = NULL;
    if (t->dir == NULL || t->rootfs == NULL)
        return -ENOMEM;
    t->kvm = set->guest_dir != NULL ? template_kvm_state(t->dir, set->guest_dir)
                                    : TEMPLATE_KVM_NONE;
    return 0;
}

static int template_load(struct template_set *set, const char *name, struct error *err)
{
    char path[4096];
    struct stat st;
    struct buf text = {0};
    (void)snprintf(path, sizeof(path), "%s/%s/template.json", set->dir, name);
    int rv = stat(path, &st) < 0 ? -errno : template_read_file(path, &text);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "%s", path);
    cleanup_json json *j = json_parse_object(text.data, text.len, err);
    buf_done(&text);
    if (j == NULL)
        return -EINVAL;
    struct template *t = template_by_name(set, name);
    if (t == NULL)
        t = template_add(set, name);
    if (t == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "%s", path);
    template_clear(t);
    t->updated_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    rv = template_apply(t, j, err);
    if (rv == 0)
        rv = template_locate(set, t);
    if (rv == 0 && t->id[0] == '\0')
        rv = template_identify(set, t);
    t->present = t->built = rv == 0;
    return rv;
}

static void template_skipped(const char *name, const struct error *err)
{
    char quoted[256];
    log_warn("template skipped", "template=%s error=%s", name,
             log_quote(quoted, sizeof(quoted), err->message));
}

/* A build works in <name>.partial, moves the old one to <name>.old, logs to <name>.log and locks
 * <name>.lock. */
static bool template_is_work(const char *file)
{
    static const char *const suffixes[] = {".partial", ".old", ".log", ".lock"};
    size_t len = strlen(file);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (len > n && strcmp(file + len - n, suffixes[i]) == 0)
            return true;
    }
    return file[0] == '.';
}

static int template_load_built(struct template_set *set)
{
    DIR *dir = opendir(set->dir);
    if (dir == NULL)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct error err = {0};
        if (!template_is_work(e->d_name) && template_load(set, e->d_name, &err) < 0)
            template_skipped(e->d_name, &err);
    }
    closedir(dir);
    return 0;
}

static char **template_copy_words(char *const *words)
{
    size_t n = 0, bytes = 0;
    for (; words != NULL && words[n] != NULL; n++)
        bytes += strlen(words[n]) + 1;
    char **copy = malloc((n + 1) * sizeof(*copy) + bytes);
    if (copy == NULL)
        return NULL;
    char *text = (char *)&copy[n + 1];
    for (size_t i = 0; i < n; i++) {
        copy[i] = text;
        text = stpcpy(text, words[i]) + 1;
    }
    copy[n] = NULL;
    return copy;
}

static int template_apply_recipe(struct template_set *set, struct template *t,
                                 const struct recipe *r)
{
    template_clear(t);
    t->description = strdup(r->description);
    t->aliases = template_copy_words(r->aliases);
    t->vcpus = r->vcpus;
    t->memory_mb = r->memory_mb;
    t->disk_mb = r->disk_mb;
    t->updated_ms = r->changed_ms;
    if (t->description == NULL || t->aliases == NULL)
        return -ENOMEM;
    int rv = template_locate(set, t);
    return rv == 0 && t->id[0] == '\0' ? template_identify(set, t) : rv;
}

static void template_load_recipe(void *ctx, const struct recipe *r, const struct error *reason)
{
    struct template_set *set = ctx;
    if (r == NULL) {
        template_skipped("-", reason);
        return;
    }
    struct template *t = template_by_name(set, r->name);
    if (t != NULL && t->present)
        return; /* built, or of a recipe that comes first */
    if (t == NULL)
        t = template_add(set, r->name);
    int rv = t != NULL ? template_apply_recipe(set, t, r) : -ENOMEM;
    if (rv < 0) {
        log_warn("template skipped", "template=%s error=\"%s\"", r->name, strerror(-rv));
        return;
    }
    t->present = true;
    if (t->build.recipe_ms != r->changed_ms)
        t->build.tries = 0; /* another recipe may do better */
    t->build.recipe_ms = r->changed_ms;
}

int template_set_load(struct template_set *set)
{
    list_for_each (it, &set->templates) {
        struct template *t = list_entry(it, struct template, node);
        t->present = t->built = false;
    }
    int rv = template_load_built(set);
    recipe_each(&set->recipes, template_load_recipe, set);
    return rv;
}

static bool template_is_called(const struct template *t, const char *name)
{
    if (strcmp(t->name, name) == 0 || strcasecmp(t->id, name) == 0)
        return true;
    for (char **alias = t->aliases; alias != NULL && *alias != NULL; alias++) {
        if (strcmp(*alias, name) == 0)
            return true;
    }
    return false;
}

const struct template *template_find(const struct template_set *set, const char *name_or_id)
{
    list_for_each (it, &set->templates) {
        const struct template *t = list_entry(it, struct template, node);
        if (t->present && template_is_called(t, name_or_id))
            return t;
    }
    return NULL;
}
