/* SPDX-License-Identifier: Apache-2.0 */
/* types.h - how option values are read from text; for src/config only. */
#ifndef CORRAL_CONFIG_TYPES_H
#define CORRAL_CONFIG_TYPES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

#define CONFIG_MAX_OPTIONS 64
#define CONFIG_MAX_VALUE   4096 /* bytes of a value in a file, with its NUL */

/* How the text reads and what the field in struct config is. */
enum config_type {
    CONFIG_STR,     /* char *: not empty, no control characters */
    CONFIG_PATH,    /* char *: made absolute; empty stays empty */
    CONFIG_BOOL,    /* bool: true false yes no on off 1 0 */
    CONFIG_INT,     /* int64_t */
    CONFIG_TIME,    /* int64_t, s: 90, 90s, 15m, 2h, 7d */
    CONFIG_SIZE,    /* int64_t, bytes: 65536, 64KiB, 8MiB, 1GiB */
    CONFIG_CHOICE,  /* int: index in `choices` */
    CONFIG_LISTEN,  /* struct config_listen: 127.0.0.1:8000, [::1]:8000 */
    CONFIG_ORIGINS, /* char *: https://a.example,http://b.example:8080, or *, or off */
    CONFIG_LIST,    /* char *: entries with commas between them; a further one adds to it */
    CONFIG_RATE,    /* struct rate_limits: 100/min,10/s, or off */
    CONFIG_TYPE_COUNT,
};

struct config_option {
    const char *name;
    enum config_type type;
    const char *group;    /* heading in --help */
    size_t offset;        /* in struct config */
    const char *fallback; /* default, as text */
    int64_t min, max;     /* INT, TIME, SIZE */
    const char *choices;  /* CHOICE: "a|b|c" */
    const char *metavar;  /* instead of the type's */
    const char *help;
};

extern const struct config_option config_table[];
extern const size_t config_table_len;

/* Sets the field. 0 or a negative errno with `err`. */
int config_type_parse(const struct config_option *o, void *field, const char *text,
                      struct error *err);
const char *config_type_metavar(const struct config_option *o);
bool config_type_owns(const struct config_option *o); /* the field is a string to free */

struct config_pair {
    const char *name;
    size_t name_len; /* 0: the line says nothing */
};

/* Takes "name = value  # comment" apart; a value in double quotes keeps '#' and blanks. */
int config_split_line(const char *line, size_t len, struct config_pair *ret,
                      char value[CONFIG_MAX_VALUE], struct error *err);

/* Where the programs for sandboxes are: the installed place when it exists, else `guest` in the
 * build tree of this program. Owned by the caller; NULL when memory ran out. */
char *config_find_guest_dir(void);
/* As above for corral-vmm and corral-egress, which are installed beside this program. */
char *config_find_vmm(void);
char *config_find_egress(void);

#endif
