/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - one sandbox, from its start to its end.
 *
 *   NEW ─▶ STARTING ─┬─▶ WARMING ─▶ READY ─▶ CONFIGURING ─▶ RUNNING
 *                    └───────────────▲                         ▲
 *   ADOPTING ─▶ HANDSHAKE ─────────────────────────────────────┘
 *                         each of them ─▶ STOPPING ─▶ ENDED
 *
 *   RUNNING ─▶ PAUSING ─▶ PAUSED ─▶ RESUMING ─▶ HANDSHAKE, or CONFIGURING ─▶ RUNNING
 *      ▲         │  ▲       ▲  ▲       │
 *      └─────────┘  │       │  └───────┘
 *                   │    ADOPTING
 *                   └── a stored one, on a failure ◀── RESUMING, CONFIGURING
 *
 * phase        waits for                              bounded by          then
 * NEW          its template's build, if it is claimed the builder         STARTING
 * STARTING     the driver's `started`                 the driver          READY if it is claimed or
 *                                                                         warm, else WARMING
 * ADOPTING     the driver's `started`                 the driver          HANDSHAKE, PAUSED
 * HANDSHAKE    PONG of the agent, where nothing else  SANDBOX_HANDSHAKE_MS RUNNING; READY after
 *              is to be asked                                             WARMING
 * WARMING      warm kernels (unclaimed only)          SANDBOX_WARMUP_MS    READY, even on failure;
 *                                                                         HANDSHAKE when the agent
 *                                                                         has said nothing
 * READY        a claim (it is in the pool, paused)    -                   CONFIGURING
 * CONFIGURING  the agent's answer to CONFIGURE, and to SANDBOX_HANDSHAKE_MS RUNNING
 *              TRUST where requests are changed        each
 * RUNNING      a kill, the expiry, its own end        timeout_at          STOPPING, or PAUSING
 * PAUSING      the driver, then the record on disk;   the driver          PAUSED, else RUNNING
 *              of a stored one the instance's end
 * PAUSED       a resume, a kill, the expiry           timeout_at          RESUMING, STOPPING
 * RESUMING     the driver                             the driver          CONFIGURING of a stored
 *                                                                         one, HANDSHAKE, else
 *                                                                         PAUSED
 * STOPPING     the driver's `stopped`, open calls     the driver          ENDED
 *
 * Every phase before STOPPING moves to STOPPING on a failure, on a kill and when the instance dies.
 * A claim during STARTING to WARMING takes effect in READY. So the first that the agent of a clone
 * hears is CONFIGURE.
 *
 * Clients see `status`: "running" in RUNNING, "stopped" while it is paused, which begins when that
 * is on its way to the disk and lasts until it runs again, and its final value from the beginning
 * of STOPPING.
 */
#ifndef CORRAL_SANDBOX_SANDBOX_H
#define CORRAL_SANDBOX_SANDBOX_H

#include <uv.h>

#include "base/list.h"
#include "core/id.h"
#include "core/space.h"
#include "isolation/driver.h"
#include "network/network.h"
#include "sandbox/owner.h"
#include "store/store.h"
#include "template/builder.h"
#include "wire/call.h"

#define SANDBOX_HANDSHAKE_MS  120000 /* for an agent that hangs, not for a slow machine */
#define SANDBOX_CLOCK_LATE_MS 50     /* a clock longer on its way than this is sent again */
#define SANDBOX_CLOCK_TRIES   10
#define SANDBOX_WARMUP_MS     120000
#define SANDBOX_UNANSWERED    3    /* each AGENT_CONNECT_TIMEOUT_MS at most */
#define SANDBOX_PIDS_MAX      1024 /* processes and threads in one sandbox */
#define SANDBOX_MAX_ENV                                                                            \
    (1u << 20) /* bytes of a run's variables: with twice as many no program                        \
                * can be started */

enum sandbox_phase {
    SANDBOX_NEW,
    SANDBOX_STARTING,
    SANDBOX_ADOPTING,
    SANDBOX_HANDSHAKE,
    SANDBOX_WARMING,
    SANDBOX_READY,
    SANDBOX_CONFIGURING,
    SANDBOX_RUNNING,
    SANDBOX_PAUSING, /* see pause.c */
    SANDBOX_PAUSED,
    SANDBOX_RESUMING,
    SANDBOX_STOPPING,
    SANDBOX_ENDED,
    SANDBOX_PHASE_COUNT
};

/* Whether its programs are to believe the authority that signs for hosts under transforms. */
enum sandbox_trust { SANDBOX_TRUST_NONE, SANDBOX_TRUST_OWED, SANDBOX_TRUST_ASKED };

enum sandbox_resting {
    SANDBOX_AWAKE,
    SANDBOX_REST_PAUSING,
    SANDBOX_RESTING,
    SANDBOX_REST_RESUMING
};

/* Stored in records: only append. */
enum sandbox_status {
    SANDBOX_STATUS_CREATING = 0,
    SANDBOX_STATUS_RUNNING = 1,
    SANDBOX_STATUS_STOPPED = 2, /* paused */
    SANDBOX_STATUS_FAILED = 3,
    SANDBOX_STATUS_TERMINATED = 4,
    SANDBOX_STATUS_TIMED_OUT = 5,
    SANDBOX_STATUS_COUNT
};

struct sandbox;
struct sandbox_capture;

const char *sandbox_status_str(enum sandbox_status status);

/* A wait for a sandbox to run or to have ended. Embedded in its owner, and taken off the list
 * before `done` is called, so that `done` may release it. Cancel it with list_del. */
struct sandbox_wait {
    struct list node;
    /* `err` is NULL on success. */
    void (*done)(struct sandbox_wait *w, struct sandbox *sb, const struct error *err);
};

/* What its owner hears of it: the pool while it is unclaimed, the table from then on. */
struct sandbox_events {
    void (*phase)(struct sandbox *sb, enum sandbox_phase old);
    void (*changed)(struct sandbox *sb); /* a stored field changed: write the record */
    void (*warmed)(struct sandbox *sb);  /* what sandbox_warm_kernels started is over */
    void (*ended)(struct sandbox *sb);   /* the last event; may free it */
    /* Calls `then` with sb->commit when what was written so far is on disk, or cannot be. */
    void (*commit)(struct sandbox *sb, void (*then)(struct store_wait *w, int status));
    /* 0, or a negative errno with `err` filled: the account has its share of paused ones. */
    int (*may_pause)(struct sandbox *sb, struct error *err);
};

struct sandbox {
    /* Stored. */
    char id[ID_SIZE];
    char template_id[ID_SIZE];
    int64_t template_ms;        /* updated_ms of the template when it was started; 0: not known */
    char snapshot_id[ID_SIZE];  /* of what it began with; "": the template alone */
    char *template_name;        /* owned, as are the strings below */
    struct sandbox_owner owner; /* empty until claimed */
    char *reason;               /* of a failure, for the log and the operator; NULL */
    enum sandbox_status status;
    int64_t created_ms;                          /* wall clock; 0: not claimed */
    int64_t started_ms, ended_ms, timeout_at_ms; /* wall clock; 0: not yet, or never */
    /* The time-out on the clock of the host's start: the wall clock may be set while it lives. 0:
     * not known, the wall clock alone counts. */
    int64_t timeout_boot_ms;
    int64_t paused_ms;     /* wall clock; 0: it is not paused */
    uint64_t disk_bytes;   /* what it holds on the host's disk while it is paused */
    bool stored;           /* it is paused, and its instance is files in `dir` */
    char boot_id[ID_SIZE]; /* the start of the host that timeout_boot_ms and `handle` belong to */
    unsigned int vcpus, memory_mb, disk_mb;
    struct instance_handle handle; /* of the instance, for adoption */
    size_t record_bytes;           /* of all of this as it was written last */

    /* Only while it lives. */
    enum sandbox_phase phase;
    bool claimed;
    bool adopted;                /* and neither runs nor is paused yet */
    bool creating;               /* claimed, and never ran */
    enum sandbox_status counted; /* by the metrics */
    bool bridge_started;         /* its kernels are warm, or on their way */
    bool warming;                /* `warmed` is owed */
    uint64_t code_expected_ns;   /* uv_hrtime() when the driver was told last; 0: it was not */
    bool bridge_heard;           /* the bridge has answered this server */
    bool bridge_silent;          /* it owes an answer */
    unsigned int unanswered;     /* questions to a suspected agent; 0: it is not suspected */
    enum sandbox_resting rest;   /* in READY; see rest.h */
    void (*awake)(struct sandbox *sb); /* what follows */
    char *dir;                         /* owned; the instance's directory */
    char *snapshot_dir;                /* owned; of snapshot_id, until it is started */
    struct instance_memory *memory;    /* a reference; of snapshot_dir, likewise */
    bool afresh;                       /* with the files of it alone, though it has processes */
    struct sandbox_capture *capture;   /* see capture.h; NULL: none */
    char *socket_path;
    struct instance *instance; /* NULL before start and after `stopped` */
    int64_t ended_boot_ms;     /* ended_ms on the clock of the host's start */
    struct agent_target target;
    const struct sandbox_host *host; /* set when it is started or adopted */
    struct network_tenant net;       /* attached while it is configured and runs */
    struct agent_call op;            /* PING, CODE_READY, CONFIGURE, CLOCK or TRUST */
    enum sandbox_trust trust;        /* in CONFIGURING, after its clock is right */
    uint64_t clock_sent_ns;          /* uv_hrtime() when the last clock went out */
    unsigned int clock_tries;        /* CLOCK requests after CONFIGURE; SANDBOX_CLOCK_TRIES */
    bool clock_late;                 /* the last clock was too long on its way */
    bool op_active;
    int op_status; /* 0 or negative errno; op_error then has the reason */
    struct error op_error;
    uv_timer_t expiry;
    bool expiry_active;
    uint64_t idle_bytes;      /* of its network, when that was looked at last */
    unsigned int pause_tries; /* by itself, since it ran */
    int64_t pause_again_ms;   /* the next one, on the clock of the host's start */
    bool resuming;            /* from RESUMING to RUNNING */
    bool resume_wanted;       /* as soon as it is paused */
    unsigned int resume_s;    /* its time-out then; 0: that of its creation */
    char *resume_from;        /* owned; the snapshot to resume from; NULL: where it was paused */
    bool resume_again;        /* when it cannot be resumed from there */
    bool resume_failed;       /* in PAUSING: why is in pause_error */
    bool keeping;             /* the instance is being put away: its end keeps the files */
    bool measuring;           /* its directory, on the pool */
    bool committed;           /* in PAUSING: the record is on disk */
    struct store_wait commit;
    struct error pause_error;
    struct list run_waits, pause_waits, end_waits; /* struct sandbox_wait */
    uint64_t cpu_asked_ns, cpu_used_ns;            /* of the last answer about its use */
    uint64_t born_ns;                              /* uv_hrtime() when it was made */
    uint64_t claimed_ns;                           /* likewise when a client asked for it */

    /* For its owner, the pool or the table. */
    const struct sandbox_events *events;
    void *table;
    struct list by_hash, by_age, in_pool;
    struct template_wait build; /* of its template, in NEW */
    const struct template *t;   /* that template */
};

/* What every sandbox of this server shares. Strings are owned by the config. */
struct sandbox_host {
    struct isolation_driver *driver;
    const char *dir;             /* absolute; sandboxes live in <dir>/<id> */
    const struct space *space;   /* of `dir` and of the database */
    const char *guest_dir;       /* agent and bridge */
    struct network *network;     /* NULL: sandboxes have none */
    unsigned int pause_expiry_s; /* how long one may stay paused */
};

/* A sandbox of `t` with a new id, not started; or an empty one, to be filled from a record. NULL:
 * out of memory. */
struct sandbox *sandbox_new(const struct template *t, const struct sandbox_events *events,
                            void *table);
struct sandbox *sandbox_alloc(const struct sandbox_events *events, void *table);
/* Makes the directory and starts the instance. 0, or a negative errno and the sandbox is as new. */
int sandbox_start(struct sandbox *sb, const struct sandbox_host *host, const struct template *t);
/* Takes over the instance that the record's handle names. A failure ends it as `failed`. */
void sandbox_adopt(struct sandbox *sb, const struct sandbox_host *host);

/* Gives it to an account and takes over `owner`. `w`, which may be NULL, is called when the sandbox
 * runs (`started_ms`, `timeout_at_ms` and `status` are set by then) or has failed. */
void sandbox_claim(struct sandbox *sb, struct sandbox_owner *owner, struct sandbox_wait *w);

/* Ends it with that final status. `w`, which may be NULL, is called when nothing is left of the
 * instance. A sandbox that is already ending keeps its first status and only gains `w`. */
void sandbox_end(struct sandbox *sb, enum sandbox_status status, const char *reason,
                 struct sandbox_wait *w);

/* Starts the kernels of a running sandbox ahead of its first code; `warmed` follows. */
void sandbox_warm_kernels(struct sandbox *sb);

/* The id of the host's present start; "" when it cannot be read. */
const char *sandbox_boot_id(void);
/* Whether its time is over. */
bool sandbox_is_expired(const struct sandbox *sb);
/* Does what the clock asks for: it ends, or it pauses. In RUNNING and PAUSED; in the other phases
 * nothing. */
void sandbox_check_expiry(struct sandbox *sb);

/* Sets the expiry to `seconds` from now, or to never (SANDBOX_NO_TIMEOUT); only while it runs. */
void sandbox_set_timeout(struct sandbox *sb, unsigned int seconds);

/* Replaces its network policy, which is taken over, in the record and for its flows; only while it
 * runs or is paused. 0 or -ENOMEM. */
int sandbox_set_network(struct sandbox *sb, struct network_policy *policy);
/* Replaces its ties in the record; takes over the text, NULL for none. */
void sandbox_set_ties(struct sandbox *sb, char *ties);

#define SANDBOX_CODE_REST_NS 1000000000ull

/* Tells the driver that code is about to run, the first or the first after a rest: a microVM then
 * makes the memory of its kernels ready ahead of it. */
static inline void sandbox_expect_code(struct sandbox *sb)
{
    uint64_t now = uv_hrtime();
    if (sb->instance != NULL && now - sb->code_expected_ns > SANDBOX_CODE_REST_NS)
        instance_expect_code(sb->instance);
    sb->code_expected_ns = now;
}

/* The bridge has answered something. */
static inline void sandbox_heard_bridge(struct sandbox *sb)
{
    sb->bridge_heard = true;
    sb->bridge_silent = false;
}

/* An operation has failed as if the agent hung: asks it, and ends the sandbox when it owes
 * SANDBOX_UNANSWERED answers. Only questions of clients lead here, so an idle sandbox sleeps. */
void sandbox_suspect(struct sandbox *sb);
/* The same for a client that hears nothing, which is usual: a warm-up is not disturbed. */
void sandbox_check(struct sandbox *sb);
/* What is wrong with a running sandbox, or why it failed; "" when nothing is known. */
const char *sandbox_trouble(const struct sandbox *sb);

/* NULL: it has none, or was not started. */
static inline struct network *sandbox_network(const struct sandbox *sb)
{
    return sb->host != NULL ? sb->host->network : NULL;
}

static inline bool sandbox_is_running(const struct sandbox *sb)
{
    return sb->phase == SANDBOX_RUNNING;
}

/* Only in NEW and ENDED, off every list. */
void sandbox_free(struct sandbox *sb);

#endif
