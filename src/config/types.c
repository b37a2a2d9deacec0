/* SPDX-License-Identifier: Apache-2.0 */
#include "config/types.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/utf8.h"
#include "config/config.h"
#include "core/ratelimit.h"

static int config_bad(struct error *err, const char *text, const char *want)
{
    return error_set(err, ERROR_INVALID_ARGUMENT, "'%.60s' is not %s", text, want);
}

static int config_replace(char **field, char *value)
{
    if (value == NULL)
        return -ENOMEM;
    free(*field);
    *field = value;
    return 0;
}

static int config_parse_str(const struct config_option *o, void *field, const char *text,
                            struct error *err)
{
    size_t len = strlen(text);
    bool plain = len > 0 && len < CONFIG_MAX_VALUE && utf8_valid((const uint8_t *)text, len);
    for (size_t i = 0; i < len; i++)
        plain = plain && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
    if (!plain)
        return config_bad(err, text, "a text of printable characters");
    return config_replace(field, strdup(text));
}

static int config_parse_path(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    char cwd[PATH_MAX];
    char *path = NULL;
    if (strlen(text) >= PATH_MAX / 2)
        return config_bad(err, text, "a path of reasonable length");
    if (text[0] == '/' || text[0] == '\0')
        return config_replace(field, strdup(text));
    if (getcwd(cwd, sizeof(cwd)) == NULL)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, -errno, "The working directory");
    if (asprintf(&path, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, text) < 0)
        return -ENOMEM;
    return config_replace(field, path);
}

/* The entries are read by those who use them. */
static int config_parse_list(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    return text[0] == '\0' ? config_replace(field, strdup(""))
                           : config_parse_str(o, field, text, err);
}

static int config_parse_bool(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *(bool *)field = i % 2 == 1;
            return 0;
        }
    }
    return config_bad(err, text, "yes or no");
}

struct config_unit {
    const char *name;
    int64_t factor;
};

/* A number with one of the units, the first of which may be left out, within the bounds of `o`. */
static int config_parse_unit(const struct config_option *o, int64_t *field, const char *text,
                             const struct config_unit *units, const char *want, struct error *err)
{
    char digits[24];
    int64_t n;
    int64_t value;
    size_t len = strspn(text, "0123456789");
    const char *unit = text + len;
    if (len == 0 || len >= sizeof(digits))
        return config_bad(err, text, want);
    memcpy(digits, text, len);
    digits[len] = '\0';
    unit += strspn(unit, " ");
    const struct config_unit *u = units;
    while (u->name != NULL && strcasecmp(u->name, unit) != 0)
        u++;
    if (unit[0] == '\0')
        u = units;
    if (u->name == NULL)
        return config_bad(err, text, want);
    if (num_parse(digits, 0, INT64_MAX, &n) < 0 || __builtin_mul_overflow(n, u->factor, &value) ||
        value < o->min || value > o->max)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "'%.60s' is not between %" PRId64 " and %" PRId64 "%s%s", text, o->min,
                         o->max, units->name[0] != '\0' ? " " : "", units->name);
    *field = value;
    return 0;
}

static int config_parse_int(const struct config_option *o, void *field, const char *text,
                            struct error *err)
{
    static const struct config_unit units[] = {{"", 1}, {NULL, 0}};
    return config_parse_unit(o, field, text, units, "a whole number", err);
}

static int config_parse_time(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    static const struct config_unit units[] = {{"s", 1},    {"sec", 1},   {"m", 60}, {"min", 60},
                                               {"h", 3600}, {"d", 86400}, {NULL, 0}};
    return config_parse_unit(o, field, text, units, "a time such as 90s, 15m, 2h or 7d", err);
}

static int config_parse_size(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    static const struct config_unit units[] = {
        {"B", 1},
        {"KiB", 1 << 10},
        {"K", 1 << 10},
        {"MiB", 1 << 20},
        {"M", 1 << 20},
        {"GiB", 1 << 30},
        {"G", 1 << 30},
        {"TiB", (int64_t)1 << 40},
        {"T", (int64_t)1 << 40},
        {NULL, 0},
    };
    return config_parse_unit(o, field, text, units, "a size such as 65536, 64KiB, 8MiB or 1GiB",
                             err);
}

static int config_parse_choice(const struct config_option *o, void *field, const char *text,
                               struct error *err)
{
    int index = 0;
    size_t len = strlen(text);
    for (const char *p = o->choices;; index++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, text, n) == 0) {
            *(int *)field = index;
            return 0;
        }
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "'%.60s' is not one of %s", text, o->choices);
}

static int config_parse_listen(const struct config_option *o, void *field, const char *text,
                               struct error *err)
{
    struct config_listen *l = field;
    int64_t port = 0;
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) != NULL) {
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "'%.60s': an IPv6 address goes into brackets, as in [::1]:8000", text);
    }
    if (len == 0 || len >= sizeof(l->host) || memchr(host, '/', len) != NULL ||
        num_parse(colon + 1, 0, UINT16_MAX, &port) < 0)
        return config_bad(err, text, "ADDRESS:PORT, as in 127.0.0.1:8000");
    memcpy(l->host, host, len);
    l->host[len] = '\0';
    l->port = (uint16_t)port;
    return 0;
}

static int config_parse_rate(const struct config_option *o, void *field, const char *text,
                             struct error *err)
{
    if (ratelimit_parse(text, field) < 0)
        return config_bad(err, text, "a rate such as 100/min,10/s, or off");
    return 0;
}

/* "https://name.example:8443": what browsers send, so lower case and no path. */
static bool config_is_origin(const char *text, size_t len)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : 7;
    if (scheme == 7 && strncmp(text, "http://", 7) != 0)
        return false;
    for (size_t i = scheme; i < len; i++) {
        if (islower((unsigned char)text[i]) == 0 && isdigit((unsigned char)text[i]) == 0 &&
            memchr(".-_:[]", text[i], 6) == NULL)
            return false;
    }
    return len > scheme;
}

static int config_parse_origins(const struct config_option *o, void *field, const char *text,
                                struct error *err)
{
    bool one_word = strcmp(text, "*") == 0 || strcmp(text, "off") == 0;
    for (const char *p = text; !one_word;) {
        size_t len = strcspn(p, ",");
        if (!config_is_origin(p, len))
            return config_bad(err, text,
                              "a list of origins such as https://a.example, with commas between "
                              "them and no blanks, or *, or off");
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    return config_replace(field, strdup(text));
}

static const struct {
    int (*parse)(const struct config_option *o, void *field, const char *text, struct error *err);
    const char *metavar;
} config_types[CONFIG_TYPE_COUNT] = {
    [CONFIG_STR] = {config_parse_str, "TEXT"},
    [CONFIG_PATH] = {config_parse_path, "DIR"},
    [CONFIG_BOOL] = {config_parse_bool, ""},
    [CONFIG_INT] = {config_parse_int, "N"},
    [CONFIG_TIME] = {config_parse_time, "TIME"},
    [CONFIG_SIZE] = {config_parse_size, "SIZE"},
    [CONFIG_CHOICE] = {config_parse_choice, ""},
    [CONFIG_LISTEN] = {config_parse_listen, "ADDR:PORT"},
    [CONFIG_LIST] = {config_parse_list, "ENTRY,..."},
    [CONFIG_ORIGINS] = {config_parse_origins, "ORIGIN,..."},
    [CONFIG_RATE] = {config_parse_rate, "N/min,N/s"},
};

int config_type_parse(const struct config_option *o, void *field, const char *text,
                      struct error *err)
{
    int rv = config_types[o->type].parse(o, field, text, err);
    if (rv == -ENOMEM)
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
    return rv;
}

const char *config_type_metavar(const struct config_option *o)
{
    if (o->metavar != NULL)
        return o->metavar;
    return o->type == CONFIG_CHOICE ? o->choices : config_types[o->type].metavar;
}

bool config_type_owns(const struct config_option *o)
{
    return o->type == CONFIG_STR || o->type == CONFIG_PATH || o->type == CONFIG_ORIGINS ||
           o->type == CONFIG_LIST;
}

/* Shrinks [*p, *p + *len) by the blanks at both ends. */
static void config_trim(const char **p, size_t *len)
{
    while (*len > 0 && strchr(" \t\r", **p) != NULL) {
        (*p)++;
        (*len)--;
    }
    while (*len > 0 && strchr(" \t\r", (*p)[*len - 1]) != NULL)
        (*len)--;
}

/* The value without a comment: '#' starts one at the front or after a blank. */
static size_t config_without_comment(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '#' && (i == 0 || p[i - 1] == ' ' || p[i - 1] == '\t'))
            return i;
    }
    return len;
}

static int config_unquote(const char **p, size_t *len)
{
    const char *end = memchr(*p + 1, '"', *len - 1);
    if (end == NULL)
        return -EINVAL;
    const char *rest = end + 1;
    size_t left = *len - (size_t)(rest - *p);
    config_trim(&rest, &left);
    if (left > 0 && rest[0] != '#')
        return -EINVAL;
    (*p)++;
    *len = (size_t)(end - *p);
    return 0;
}

int config_split_line(const char *line, size_t len, struct config_pair *ret,
                      char value[CONFIG_MAX_VALUE], struct error *err)
{
    *ret = (struct config_pair){.name = line};
    if (memchr(line, '\0', len) != NULL || !utf8_valid((const uint8_t *)line, len))
        return error_set(err, ERROR_INVALID_ARGUMENT, "The line is not text");
    config_trim(&line, &len);
    if (len == 0 || line[0] == '#')
        return 0;
    const char *equals = memchr(line, '=', len);
    if (equals == NULL || equals == line)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The line does not read 'name = value'");
    ret->name = line;
    ret->name_len = (size_t)(equals - line);
    config_trim(&ret->name, &ret->name_len);
    const char *v = equals + 1;
    size_t n = len - (size_t)(v - line);
    config_trim(&v, &n);
    if (n > 0 && v[0] == '"') {
        if (config_unquote(&v, &n) < 0)
            return error_set(err, ERROR_INVALID_ARGUMENT, "The quotes do not match");
    } else {
        n = config_without_comment(v, n);
        config_trim(&v, &n);
    }
    if (n >= CONFIG_MAX_VALUE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The value is too long");
    memcpy(value, v, n);
    value[n] = '\0';
    return 0;
}
