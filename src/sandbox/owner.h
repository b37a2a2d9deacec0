/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.h - the account that a sandbox belongs to and what the client chose for it: the parameters
 * of a create, and the copy of them that the sandbox keeps.
 */
#ifndef CORRAL_SANDBOX_OWNER_H
#define CORRAL_SANDBOX_OWNER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct snapshot;

#define SANDBOX_NO_TIMEOUT UINT_MAX /* it lives until somebody ends it */

/* What becomes of it when nobody looks after it. */
struct sandbox_life {
    bool pause_at_timeout; /* instead of an end */
    bool auto_resume;      /* a request to it wakes it up */
    unsigned int idle_s;   /* without traffic before it is paused; 0: never */
};

/* What a client chooses. Strings are copied by the claim. */
struct sandbox_params {
    const char *account;
    const char *provider, *region;
    char *const *env;       /* NULL-terminated "NAME=value", or NULL */
    const char *metadata;   /* JSON object text */
    unsigned int timeout_s; /* or SANDBOX_NO_TIMEOUT */
    struct sandbox_life life;
    const char *idempotency_key; /* NULL: none */
    uint64_t request_hash;       /* of the request that the key stands for */
    const char *network;         /* its policy, JSON text; NULL: what the server has */
    const char *ties;            /* JSON text as below; NULL: none */
    const char *name;            /* of an environment; NULL: none. Recorded while it is created */
    unsigned int vcpus, memory_mb, disk_mb; /* 0: what the template says */
    struct snapshot *snapshot;              /* what it begins with; NULL: the template alone */
};

/* The copy. */
struct sandbox_owner {
    char *account; /* owned, as are the strings below */
    char *provider, *region;
    char *metadata;
    char *idempotency_key; /* NULL: none */
    uint64_t request_hash;
    char *name;    /* NULL: none */
    char *network; /* its policy, JSON text as network_policy_print has it; NULL: the server's */
    char *ties;    /* to what else the account has: JSON text of api/ties.h; NULL: none */
    unsigned int timeout_s; /* or SANDBOX_NO_TIMEOUT */
    struct sandbox_life life;
    char *const *env; /* one allocation; dropped once the agent has it */
};

/* 0, or -ENOMEM with nothing to release. */
int sandbox_owner_init(struct sandbox_owner *o, const struct sandbox_params *params);
/* Releases the strings; the owner is empty after it. */
void sandbox_owner_done(struct sandbox_owner *o);

#endif
