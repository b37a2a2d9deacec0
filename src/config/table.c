/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - every option of the server. corrald(8) and corrald.conf(5) list them, which a
 * test checks. */
#include <assert.h>

#include "config/config.h"
#include "config/types.h"

#define AT(member) offsetof(struct config, member)
#define DAY        86400
#define MEBI       ((int64_t)1 << 20)
#define GIBI       ((int64_t)1 << 30)

const struct config_option config_table[] = {
    {"listen", CONFIG_LISTEN, "Server", AT(listen), .fallback = "127.0.0.1:8000",
     .help = "Address and port to listen on"},
    {"tls-cert", CONFIG_PATH, "Server", AT(tls_cert), .fallback = "", .metavar = "FILE",
     .help = "Certificate (PEM, with its chain): speak HTTPS. SIGHUP reads it again"},
    {"tls-key", CONFIG_PATH, "Server", AT(tls_key), .fallback = "", .metavar = "FILE",
     .help = "Private key of the certificate (PEM, not encrypted)"},
    {"cors", CONFIG_ORIGINS, "Server", AT(cors), .fallback = "off", .metavar = "ORIGIN,...",
     .help = "Origins whose web pages may call the API, * for any, or off"},
    {"unknown-fields", CONFIG_CHOICE, "Server", AT(unknown_fields), .fallback = "ignore",
     .choices = "ignore|reject",
     .help = "Fields of requests that no route knows: tell the client of them, or refuse"},
    {"domain", CONFIG_STR, "Server", AT(domain), .fallback = "localhost", .metavar = "NAME",
     .help = "Domain of port URLs: <sandbox>-<port>.NAME"},
    {"state-dir", CONFIG_PATH, "Server", AT(state_dir), .fallback = "/var/lib/corral",
     .help = "Where keys, templates and sandboxes are kept"},
    {"log-level", CONFIG_CHOICE, "Server", AT(log_level), .fallback = "info",
     .choices = "debug|info|warn|error", .help = "Least important log line to write"},
    {"banner", CONFIG_BOOL, "Server", AT(banner), .fallback = "false",
     .help = "Print a first request to try on standard output"},
    {"metrics", CONFIG_BOOL, "Server", AT(metrics), .fallback = "true",
     .help = "Answer GET /metrics"},
    {"metrics-open", CONFIG_BOOL, "Server", AT(metrics_open), .fallback = "false",
     .help = "Answer GET /metrics without a key to other machines, too"},
    {"map-size", CONFIG_SIZE, "Server", AT(map_size), .fallback = "1GiB", .min = MEBI,
     .max = 1024 * GIBI, .help = "Address space for the state at first; it grows when needed"},

    {"isolation", CONFIG_CHOICE, "Sandboxes", AT(isolation), .fallback = "auto",
     .choices = CONFIG_ISOLATIONS,
     .help = "What runs a sandbox: a microVM (kvm), a container (oci), or what works (auto)"},
    {"allow-weak-isolation", CONFIG_BOOL, "Sandboxes", AT(allow_weak_isolation),
     .fallback = "false", .help = "Allow containers when other machines can reach the server"},
    {"oci-runtime", CONFIG_STR, "Sandboxes", AT(oci_runtime), .fallback = "runc",
     .metavar = "PROGRAM", .help = "OCI runtime: runc or crun"},
    {"guest-dir", CONFIG_PATH, "Sandboxes", AT(guest_dir), .fallback = "",
     .help = "Programs that run inside sandboxes (default: found beside this one)"},
    {"vmm", CONFIG_PATH, "Sandboxes", AT(vmm), .fallback = "", .metavar = "FILE",
     .help = "The program corral-vmm (default: found beside this one)"},
    {"egress", CONFIG_CHOICE, "Sandboxes", AT(egress), .fallback = "public",
     .choices = "public|deny|off",
     .help = "What sandboxes may connect to, unless they have a policy of their own"},
    {"egress-allow", CONFIG_LIST, "Sandboxes", AT(egress_allow), .fallback = "",
     .metavar = "HOST|CIDR[:PORT],...",
     .help = "Private and other special addresses that sandboxes may connect to"},
    {"egress-deny", CONFIG_LIST, "Sandboxes", AT(egress_deny), .fallback = "",
     .metavar = "HOST|CIDR[:PORT],...", .help = "What no sandbox may connect to"},
    {"egress-ca", CONFIG_PATH, "Sandboxes", AT(egress_ca), .fallback = "", .metavar = "FILE",
     .help = "Authorities (PEM) that servers behind transforms may have beside the system's"},
    {"egress-program", CONFIG_PATH, "Sandboxes", AT(egress_program), .fallback = "",
     .metavar = "FILE", .help = "The program corral-egress (default: found beside this one)"},
    {"template-default", CONFIG_STR, "Sandboxes", AT(template_default),
     .fallback = "python-base-v1", .metavar = "NAME",
     .help = "Template of a sandbox that names none"},
    {"pool-size", CONFIG_INT, "Sandboxes", AT(pool_size), .fallback = "2", .min = 0, .max = 1000,
     .help = "Started sandboxes kept ready"},
    {"timeout-default", CONFIG_TIME, "Sandboxes", AT(timeout_default), .fallback = "300s", .min = 1,
     .max = 365 * DAY, .help = "Life time of a sandbox that names none"},
    {"timeout-max", CONFIG_TIME, "Sandboxes", AT(timeout_max), .fallback = "3600s", .min = 0,
     .max = CONFIG_LONGEST_TIMEOUT, .help = "Longest life time a client may ask for, or 0 for any"},
    {"retention", CONFIG_TIME, "Sandboxes", AT(retention), .fallback = "24h", .min = 0,
     .max = 365 * DAY, .help = "How long ended sandboxes stay listed"},

    {"rate-limit", CONFIG_RATE, "Limits", AT(rate_limit), .fallback = "100/min,10/s",
     .help = "Requests of one key, per minute and per second, or off"},
    {"max-sandboxes", CONFIG_INT, "Limits", AT(max_sandboxes), .fallback = "200", .min = 1,
     .max = 100000, .help = "Live sandboxes on this host"},
    {"max-account", CONFIG_INT, "Limits", AT(max_account), .fallback = "200", .min = 1,
     .max = 100000, .help = "Live sandboxes of one account"},
    {"max-memory", CONFIG_SIZE, "Limits", AT(max_memory), .fallback = "0", .min = 0,
     .max = 1024 * GIBI * 64, .help = "Memory that live sandboxes may add up to, or 0 for any"},
    {"max-cpus", CONFIG_INT, "Limits", AT(max_cpus), .fallback = "0", .min = 0, .max = 1024,
     .help = "Processors that one sandbox may ask for, or 0 for as many as the host has"},
    {"max-sandbox-memory", CONFIG_SIZE, "Limits", AT(max_sandbox_memory), .fallback = "0", .min = 0,
     .max = 1024 * GIBI, .help = "Memory of one sandbox, or 0 for half of the host's"},
    {"max-sandbox-disk", CONFIG_SIZE, "Limits", AT(max_sandbox_disk), .fallback = "32GiB",
     .min = MEBI, .max = 1024 * GIBI, .help = "Disk of one sandbox"},
    {"max-address", CONFIG_INT, "Limits", AT(max_address), .fallback = "0", .min = 0, .max = 100000,
     .help = "Connections of one address, or 0 for half of all (this host: any)"},
    {"max-key", CONFIG_INT, "Limits", AT(max_key), .fallback = "0", .min = 0, .max = 100000,
     .help = "Requests of one key side by side, or 0 for half of all connections"},
    {"max-body", CONFIG_SIZE, "Limits", AT(max_body), .fallback = "32MiB", .min = 65536,
     .max = GIBI, .help = "Largest JSON body"},
    {"max-buffered", CONFIG_SIZE, "Limits", AT(max_buffered), .fallback = "256MiB", .min = 65536,
     .max = 1024 * GIBI, .help = "Memory for the JSON bodies of all requests at once"},
    {"max-output", CONFIG_SIZE, "Limits", AT(max_output), .fallback = "8MiB", .min = 4096,
     .max = GIBI, .help = "Bytes kept of each output stream of a command or code run"},
};

const size_t config_table_len = ARRAY_SIZE(config_table);
static_assert(ARRAY_SIZE(config_table) <= CONFIG_MAX_OPTIONS, "raise CONFIG_MAX_OPTIONS");
