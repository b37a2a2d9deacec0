/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.h - snapshots and forks of the call's sandbox, for every surface. What each of them
 * prints is its own. */
#ifndef CORRAL_API_SNAPSHOT_H
#define CORRAL_API_SNAPSHOT_H

#include "api/api.h"
#include "sandbox/fork.h"

/* Makes a snapshot of the call's sandbox and answers with `reply` when it is kept. It is made
 * whether or not the client waits. */
void api_snapshot_make(struct api_call *call, const struct capture_about *about,
                       void (*reply)(struct api_call *call, struct snapshot *sn));
/* The kind that a client asks for becomes part of `about`. ERROR_UNSUPPORTED with the reason when
 * this server makes none of it. `word`: what the client calls the kinds, such as snapshot_kind_str.
 */
int api_snapshot_take_kind(const struct api_call *call, enum snapshot_kind kind,
                           const char *(*word)(enum snapshot_kind kind),
                           struct capture_about *about, struct error *err);
/* The same of the field `kind` of the body, which may be absent. */
int api_snapshot_parse_kind(const struct api_call *call,
                            const char *(*word)(enum snapshot_kind kind),
                            struct capture_about *about, struct error *err);

/* What a fork asks for. The strings must stay until the answer. */
struct api_fork {
    int64_t count;
    const char *metadata; /* NULL: the parent's */
    char *const *env;
    unsigned int timeout_s; /* 0: the parent's */
};

/* The fields count, env_vars and metadata of the body. 0, or a negative errno with `err` filled. */
int api_fork_parse(struct api_call *call, struct api_fork *ret, struct error *err);
/* Forks the call's sandbox and answers with `reply` when each child has its result and the records
 * are on disk. A client that goes away first ends them. */
void api_fork_start(struct api_call *call, const struct api_fork *fork,
                    void (*reply)(struct api_call *call, const struct sandbox_fork *f));
/* The same for sandboxes that begin with a snapshot, which the account has. What the fork does not
 * say they have as `like`; NULL: as a create that says nothing. */
void api_fork_snapshot(struct api_call *call, struct snapshot *sn, const struct api_fork *fork,
                       const struct sandbox *like,
                       void (*reply)(struct api_call *call, const struct sandbox_fork *f));
/* The child as a sandbox. NULL: it does not run, and its `err` has the reason. */
const struct sandbox *api_fork_child(const struct api_call *call,
                                     const struct sandbox_fork_child *child);

/* The account's snapshot of that id or name. NULL: the call is answered. */
struct snapshot *api_snapshot_named(struct api_call *call, const char *name);
/* Drops it and answers with `reply` when its record has gone. */
void api_snapshot_remove(struct api_call *call, struct snapshot *sn,
                         void (*reply)(struct api_call *call));

/* How many sandboxes live that began with it. */
unsigned int api_snapshot_children(const struct api_call *call, const struct snapshot *sn);

#endif
