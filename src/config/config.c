/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config/types.h"
#include "core/file.h"

#define CONFIG_MAX_FILE (1u << 20)

/* Where values come from. Text is owned by argv and the environment. */
struct config_sources {
    const char *flags[CONFIG_MAX_OPTIONS]; /* NULL: not given */
    char *joined[CONFIG_MAX_OPTIONS];      /* owned; lists that were given several times */
    const char *file;                      /* --config */
    void (*commands)(struct buf *out);     /* for --help */
    enum config_result result;             /* CONFIG_EXIT once --help or --version was met */
};

static const struct config_option *config_find(const char *name, size_t len)
{
    for (size_t i = 0; i < config_table_len; i++) {
        if (strlen(config_table[i].name) == len && memcmp(config_table[i].name, name, len) == 0)
            return &config_table[i];
    }
    return NULL;
}

/* Number of single-character edits between two names, with a cap on their length. */
static size_t config_distance(const char *a, size_t a_len, const char *b)
{
    size_t row[64];
    size_t b_len = MIN(strlen(b), ARRAY_SIZE(row) - 1);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

static int config_unknown(const char *where, const char *name, size_t len, struct error *err)
{
    const char *near = NULL;
    len = MIN(len, (size_t)40);
    size_t best = 1 + len / 3;
    for (size_t i = 0; i < config_table_len; i++) {
        size_t d = config_distance(name, len, config_table[i].name);
        if (d < best + 1) {
            best = d;
            near = config_table[i].name;
        }
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "%s: no option '%.*s'%s%s%s", where, (int)len,
                     name, near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                     near != NULL ? "'?" : "");
}

static int config_set(struct config *c, const struct config_option *o, const char *where,
                      const char *text, struct error *err)
{
    int rv = config_type_parse(o, (char *)c + o->offset, text, err);
    if (rv < 0)
        error_wrap(err, "%.80s: %s", where, o->name);
    return rv;
}

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof(*c));
    for (size_t i = 0; c != NULL && i < config_table_len; i++) {
        if (config_set(c, &config_table[i], "default", config_table[i].fallback, NULL) < 0) {
            config_free(c);
            return NULL;
        }
    }
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < config_table_len; i++) {
        if (config_type_owns(&config_table[i]))
            free(*(char **)(void *)((char *)c + config_table[i].offset));
    }
    free(c->config_file);
    free(c->args);
    free(c);
}

/* Takes the value of an option from `--name=value` or the next argument. Returns how many
 * arguments were used, or -EINVAL. */
static int config_flag_value(const struct config_option *o, const char *equals, const char *next,
                             const char **ret, struct error *err)
{
    if (equals != NULL) {
        *ret = equals + 1;
        return 1;
    }
    if (o != NULL && o->type == CONFIG_BOOL) {
        *ret = "true";
        return 1;
    }
    if (next == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "--%s needs a value",
                         o != NULL ? o->name : "config");
    *ret = next;
    return 2;
}

/* A list that is given again: its entries come behind those that are there. */
static int config_flag_more(struct config_sources *src, const struct config_option *o,
                            const char *equals, const char *next, struct error *err)
{
    const char **had = &src->flags[o - config_table], *more = NULL;
    char **joined = &src->joined[o - config_table], *text = NULL;
    int used = config_flag_value(o, equals, next, &more, err);
    if (used < 0)
        return used;
    if (asprintf(&text, "%s,%s", *had, more) < 0)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "--%s", o->name);
    free(*joined);
    *had = *joined = text;
    return used;
}

/* One argument that starts with "--". Arguments used; 0 when it is not an option of corrald. */
static int config_flag(struct config_sources *src, char **argv, struct error *err)
{
    const char *name = argv[0] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct config_option *o = config_find(name, len);
    if (o != NULL && o->type == CONFIG_LIST && src->flags[o - config_table] != NULL)
        return config_flag_more(src, o, equals, argv[1], err);
    if (o != NULL)
        return config_flag_value(o, equals, argv[1], &src->flags[o - config_table], err);
    if (len == 6 && memcmp(name, "config", 6) == 0)
        return config_flag_value(NULL, equals, argv[1], &src->file, err);
    return 0;
}

static void config_answer(struct config_sources *src, const char *arg)
{
    cleanup_buf struct buf out = {0};
    src->result = CONFIG_EXIT;
    if (strcmp(arg, "--version") == 0 || strcmp(arg, "-V") == 0)
        (void)buf_append_str(&out, "corrald " CORRAL_VERSION "\n");
    else
        (void)config_help(&out, src->commands);
    (void)fwrite(out.data, 1, out.len, stdout);
    (void)fflush(stdout);
}

static bool config_is_question(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 || strcmp(arg, "--version") == 0 ||
           strcmp(arg, "-V") == 0;
}

static int config_scan_args(struct config *c, struct config_sources *src, int argc, char **argv,
                            struct error *err)
{
    bool literal = false; /* after "--" */
    c->args = calloc((size_t)argc + 1, sizeof(char *));
    if (c->args == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot read the options");
    for (int i = 1, used; i < argc; i += used) {
        used = literal || strncmp(argv[i], "--", 2) != 0 ? 0 : config_flag(src, argv + i, err);
        if (used < 0)
            return used;
        if (used > 0)
            continue;
        used = 1;
        if (!literal && strcmp(argv[i], "--") == 0) {
            literal = true;
        } else if (c->n_args > 0 || literal || argv[i][0] != '-') {
            c->args[c->n_args++] = argv[i];
        } else if (config_is_question(argv[i])) {
            config_answer(src, argv[i]);
            return 0;
        } else {
            const char *name = argv[i] + strspn(argv[i], "-");
            return config_unknown("command line", name, strcspn(name, "="), err);
        }
    }
    return 0;
}

static const char *config_environment(const struct config_option *o, char name[64])
{
    size_t n = (size_t)snprintf(name, 64, "CORRAL_%s", o->name);
    for (size_t i = 0; i < n; i++) {
        if (name[i] == '-')
            name[i] = '_';
        else if (name[i] >= 'a' && name[i] <= 'z')
            name[i] = (char)(name[i] - 'a' + 'A');
    }
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int config_apply(struct config *c, const struct config_sources *src, struct error *err)
{
    char name[64];
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_option *o = &config_table[i];
        const char *value = config_environment(o, name);
        int rv = value != NULL ? config_set(c, o, name, value, err) : 0;
        if (rv == 0 && src->flags[i] != NULL)
            rv = config_set(c, o, "command line", src->flags[i], err);
        if (rv < 0)
            return rv;
    }
    return 0;
}

/* One line without its end: "name = value", "# comment" or blank. */
static int config_line(struct config *c, const char *where, const char *line, size_t len,
                       bool seen[CONFIG_MAX_OPTIONS], struct error *err)
{
    char value[CONFIG_MAX_VALUE];
    struct config_pair pair;
    int rv = config_split_line(line, len, &pair, value, err);
    if (rv < 0) {
        error_wrap(err, "%.80s", where);
        return rv;
    }
    if (pair.name_len == 0)
        return 0;
    const struct config_option *o = config_find(pair.name, pair.name_len);
    if (o == NULL)
        return config_unknown(where, pair.name, pair.name_len, err);
    if (seen[o - config_table])
        return error_set(err, ERROR_INVALID_ARGUMENT, "%.80s: %s is set twice", where, o->name);
    seen[o - config_table] = true;
    return config_set(c, o, where, value, err);
}

int config_parse_file(struct config *c, const char *name, const char *text, size_t len,
                      struct error *err)
{
    bool seen[CONFIG_MAX_OPTIONS] = {0};
    for (unsigned int number = 1; len > 0; number++) {
        char where[128];
        const char *end = memchr(text, '\n', len);
        size_t line = end != NULL ? (size_t)(end - text) : len;
        (void)snprintf(where, sizeof(where), "%.90s:%u", name, number);
        int rv = config_line(c, where, text, line, seen, err);
        if (rv < 0)
            return rv;
        size_t used = end != NULL ? line + 1 : line;
        text += used;
        len -= used;
    }
    return 0;
}

static int config_read_file(struct config *c, const char *flag, struct error *err)
{
    const char *env = getenv("CORRAL_CONFIG");
    const char *path = flag != NULL ? flag : env;
    cleanup_buf struct buf text = {0};
    if (path == NULL || path[0] == '\0')
        return 0;
    c->config_file = strdup(path);
    int rv = c->config_file == NULL ? -ENOMEM : file_read(path, CONFIG_MAX_FILE, &text);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "Cannot read %.150s", path);
    return config_parse_file(c, path, (const char *)text.data, text.len, err);
}

static bool config_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Fills in a path that was not given. */
static bool config_look(char **path, char *(*find)(void))
{
    if (!config_given(*path)) {
        free(*path);
        *path = find();
    }
    return *path != NULL;
}

/* Checks and defaults that depend on several options or on the machine. */
static int config_finish(struct config *c, struct error *err)
{
    if (c->timeout_default > config_timeout_max(c))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "timeout-default (%ld s) is longer than timeout-max (%ld s)",
                         (long)c->timeout_default, (long)c->timeout_max);
    if (config_given(c->tls_cert) != config_given(c->tls_key))
        return error_set(err, ERROR_INVALID_ARGUMENT, "tls-cert and tls-key go together");
    bool found = config_look(&c->guest_dir, config_find_guest_dir) &&
                 config_look(&c->vmm, config_find_vmm) &&
                 config_look(&c->egress_program, config_find_egress);
    return found ? 0 : error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot find the programs");
}

static void config_sources_done(struct config_sources *src)
{
    for (size_t i = 0; i < config_table_len; i++)
        free(src->joined[i]);
}

int config_load(struct config **ret, int argc, char **argv, void (*commands)(struct buf *out),
                struct error *err)
{
    struct config_sources src = {.commands = commands};
    struct config *c = config_new();
    if (c == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot read the options");
    int rv = config_scan_args(c, &src, argc, argv, err);
    if (rv == 0 && src.result == CONFIG_EXIT) {
        config_sources_done(&src);
        config_free(c);
        return CONFIG_EXIT;
    }
    if (rv == 0)
        rv = config_read_file(c, src.file, err);
    if (rv == 0)
        rv = config_apply(c, &src, err);
    if (rv == 0)
        rv = config_finish(c, err);
    config_sources_done(&src);
    if (rv < 0) {
        config_free(c);
        return -EINVAL;
    }
    *ret = c;
    return CONFIG_RUN;
}

int config_help(struct buf *out, void (*commands)(struct buf *out))
{
    const char *group = "";
    (void)buf_append_str(
        out, "usage: corrald [OPTION...]               run the server\n"
             "       corrald [OPTION...] COMMAND ...   run a command on the server's state\n\n"
             "Commands\n");
    commands(out);
    (void)buf_append_str(
        out, "\nEvery option is also a variable (--max-body is CORRAL_MAX_BODY) and a line of the\n"
             "file given with --config (max-body = 32MiB). The command line wins over variables,\n"
             "variables win over the file.\n\n"
             "  --config FILE\n        Read options from FILE\n"
             "  -h, --help\n        Show this text\n  -V, --version\n        Show the version\n");
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_option *o = &config_table[i];
        if (strcmp(group, o->group) != 0)
            (void)buf_printf(out, "\n%s\n", o->group);
        group = o->group;
        const char *metavar = config_type_metavar(o);
        (void)buf_printf(out, "  --%s%s%s\n        %s", o->name, metavar[0] != '\0' ? " " : "",
                         metavar, o->help);
        if (o->type != CONFIG_BOOL && o->fallback[0] != '\0')
            (void)buf_printf(out, " (default: %s)", o->fallback);
        else if (o->type == CONFIG_BOOL && strcmp(o->fallback, "true") == 0)
            (void)buf_printf(out, " (default: yes; --%s=no turns it off)", o->name);
        (void)buf_append_str(out, "\n");
    }
    return out->failed ? -ENOMEM : 0;
}
