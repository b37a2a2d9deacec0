/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - the templates on disk: STATE/templates/<name>/{template.json, rootfs/, kvm/}, made
 * by `corrald template build`, and those that could be built, because there is a recipe. Read at
 * start and on SIGHUP. Id and creation time are kept in the store, so that they survive rebuilds.
 */
#ifndef CORRAL_TEMPLATE_TEMPLATE_H
#define CORRAL_TEMPLATE_TEMPLATE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/list.h"
#include "core/id.h"
#include "store/store.h"
#include "template/images.h"
#include "template/recipe.h"

struct template_builder;

/* What the builder knows of a template; its own. */
struct template_build {
    struct list waits;    /* struct template_wait, the oldest first */
    uint64_t asked_ns;    /* uv_hrtime() when a client asked for it; 0: nobody has since it ended */
    unsigned int tries;   /* builds that have failed, one after the other */
    uint64_t retry_at_ms; /* uv_now() from which on it may be tried again */
    bool running;
    char phase[128];   /* of the build under way: "3/8 downloading the base system (4 s)" */
    char *log;         /* owned: the last lines of the build that failed; NULL */
    int64_t recipe_ms; /* of the recipe that failed */
};

struct template
{
    struct list node;
    char id[ID_SIZE];
    char *name; /* owned, as are the strings below */
    char *description;
    char **aliases;        /* NULL-terminated, one allocation */
    char *dir;             /* absolute path: STATE/templates/<name> */
    char *rootfs;          /* its root file system */
    enum template_kvm kvm; /* what microVMs find in it; NONE for a server without microVMs */
    bool snapshot_failed;  /* a build of the snapshot has failed since the template was read */
    bool refused;          /* the VMM has refused a snapshot of it since the server started */
    unsigned int vcpus, memory_mb, disk_mb;
    int64_t created_ms, updated_ms;
    bool present; /* seen by the last load: built, or with a recipe */
    bool built;   /* sandboxes can start from it */
    struct template_build build;
};

struct template_set {
    struct list templates;        /* sorted by name; includes those that are not present */
    struct store *store;          /* not owned */
    char *dir;                    /* owned: STATE/templates */
    const char *guest_dir;        /* not owned; set when sandboxes are microVMs, otherwise NULL */
    struct recipe_places recipes; /* not owned */
    struct template_builder *builder; /* not owned; NULL: nothing is built here */
};

int template_set_init(struct template_set *set, struct store *store, const char *state_dir,
                      const struct recipe_places *recipes);
/* Reads the directories again. A template that has gone is not found any more, but its object
 * stays: the pool may point to it. A broken one is logged and skipped. Blocks for a few small
 * files. */
int template_set_load(struct template_set *set);
/* By name, alias or id, built or not. NULL when unknown. */
const struct template *template_find(const struct template_set *set, const char *name_or_id);

#endif
