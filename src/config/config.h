/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the server's options: one table, read from the command line, the environment and a
 * file, in this order of precedence. Read once at start, then constant.
 *
 * Option `max-body` is the flag --max-body VALUE (or --max-body=VALUE), the variable
 * CORRAL_MAX_BODY, and the line `max-body = VALUE` of the file given with --config.
 */
#ifndef CORRAL_CONFIG_CONFIG_H
#define CORRAL_CONFIG_CONFIG_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "core/ratelimit.h"

#define ISOLATION_AUTO 0 /* the first driver that this machine can run */

/* What sandboxes without a policy may connect to; OFF: no sandbox has a network. */
enum config_unknown { CONFIG_UNKNOWN_IGNORE, CONFIG_UNKNOWN_REJECT };
enum config_egress { CONFIG_EGRESS_PUBLIC, CONFIG_EGRESS_DENY, CONFIG_EGRESS_OFF };

/* What port URLs need; AUTO: a token, unless only this machine can reach the server. */
enum config_port_auth { CONFIG_PORT_AUTH_AUTO, CONFIG_PORT_AUTH_NONE, CONFIG_PORT_AUTH_TOKEN };

/* Which templates the server builds without being asked; all but OFF: what clients ask for, too. */
enum config_templates {
    CONFIG_TEMPLATES_OFF,
    CONFIG_TEMPLATES_ASKED,
    CONFIG_TEMPLATES_DEFAULT,
    CONFIG_TEMPLATES_ALL
};

/* What becomes of a sandbox at its time-out. */
enum config_on_timeout { CONFIG_TIMEOUT_KILL, CONFIG_TIMEOUT_PAUSE };

struct config_listen {
    char host[254]; /* name or address, without brackets */
    uint16_t port;
};

struct config {
    /* Strings are owned by the config. */
    char *config_file; /* NULL when none was given */
    struct config_listen listen;
    char *tls_cert;    /* absolute, or empty: plain HTTP */
    char *tls_key;     /* absolute; set when tls_cert is */
    char *cors;        /* origins with commas between them, "*", or "off" */
    char *domain;      /* port URLs are <id>-<port>.<domain> */
    int port_auth;     /* enum config_port_auth */
    char *state_dir;   /* absolute */
    int isolation;     /* ISOLATION_AUTO, or the driver's place in isolation_types, from 1 */
    char *oci_runtime; /* name or path */
    bool allow_weak_isolation;
    char *guest_dir;               /* absolute; agent and bridge */
    char *vmm;                     /* absolute; corral-vmm */
    int egress;                    /* enum config_egress */
    char *egress_allow;            /* entries with commas between them */
    char *egress_deny;             /* the same */
    char *egress_ca;               /* absolute; authorities of servers; "": the system's alone */
    char *egress_program;          /* absolute; corral-egress */
    char *template_default;        /* template of a create that names none */
    int templates;                 /* enum config_templates */
    char *recipes;                 /* absolute; the operator's recipes */
    int64_t pool_size;             /* started sandboxes kept ready */
    int64_t max_sandboxes;         /* live at once on this host */
    int64_t max_account;           /* of one account */
    int64_t max_memory;            /* bytes that live ones may add up to; 0: any */
    int64_t max_cpus;              /* of one sandbox; 0: as many as the host has */
    int64_t max_sandbox_memory;    /* bytes of one sandbox; 0: half of the host's */
    int64_t max_sandbox_disk;      /* bytes of one sandbox */
    char *db_dir;                  /* absolute, or empty: STATE/db */
    int64_t disk_reserve;          /* bytes of the state's file system that creates leave free */
    int64_t disk_bps;              /* bytes a second of a sandbox's disk, each way; 0: any */
    int64_t disk_iops;             /* operations a second, each way; 0: any */
    int64_t share_after;           /* s without traffic, of a microVM; 0: never */
    int64_t timeout_default;       /* s, of a sandbox */
    int64_t timeout_max;           /* s; 0: any */
    bool endless;                  /* clients whose API has it may ask for no time-out */
    int64_t retention;             /* s an ended sandbox stays listed */
    int on_timeout;                /* enum config_on_timeout */
    bool auto_resume;              /* requests wake paused sandboxes up */
    int64_t idle_pause;            /* s without traffic; 0: never */
    bool pause_on_pressure;        /* idle sandboxes, before a create fails for want of memory */
    int64_t pause_expiry;          /* s one may stay paused */
    int64_t max_paused;            /* of one account */
    int64_t max_snapshots;         /* likewise */
    int64_t max_kept_disk;         /* bytes, of both together; 0: no limit */
    struct rate_limits rate_limit; /* of a key that has none of its own */
    int64_t max_address;           /* connections of one address; 0: half of all */
    int64_t max_key;               /* requests of one key side by side; 0: half of all */
    int64_t max_body;              /* bytes of a JSON body */
    int64_t max_buffered;          /* bytes of all JSON bodies at once */
    int64_t max_output;            /* bytes kept per output stream of one run */
    int64_t map_size;              /* bytes, first size of the state's map */
    int log_level;                 /* enum log_level */
    int unknown_fields;            /* enum config_unknown */
    bool metrics;                  /* serve GET /metrics */
    bool metrics_open;             /* without a key from other machines, too */
    bool banner;                   /* greet on standard output */

    char **args; /* the sub command and its arguments, NULL-terminated; points into argv */
    int n_args;
};

enum config_result {
    CONFIG_RUN = 0,
    CONFIG_EXIT = 1, /* --help or --version was answered on stdout */
};

/* CONFIG_RUN with *ret owned by the caller, CONFIG_EXIT, or -EINVAL with `err` filled.
 * The first argument that is not an option starts the sub command; options of the table are still
 * taken after it, everything else goes to `args` in order. `commands` appends the list of sub
 * commands to the text of --help. */
struct buf;
int config_load(struct config **ret, int argc, char **argv, void (*commands)(struct buf *out),
                struct error *err);
void config_free(struct config *c); /* NULL is fine */

#define CONFIG_LONGEST_TIMEOUT (365 * (int64_t)86400) /* s */

/* The longest life time in seconds that a request may name. */
static inline int64_t config_timeout_max(const struct config *c)
{
    return c->timeout_max != 0 ? c->timeout_max : CONFIG_LONGEST_TIMEOUT;
}

/* True when only this machine can reach the address. */
bool config_is_loopback(const struct config_listen *l);

/* The text of --help. */
int config_help(struct buf *out, void (*commands)(struct buf *out));

/* Parts of config_load, for tests and the fuzzer: sets options of `c` from the text of a file. */
struct config *config_new(void); /* all options at their defaults; NULL when memory ran out */
int config_parse_file(struct config *c, const char *name, const char *text, size_t len,
                      struct error *err);

#endif
