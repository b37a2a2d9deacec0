/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - the templates on disk: STATE/templates/<name>/{template.json, rootfs/, kvm/}, made
 * by `corrald template build`. Read at start and on SIGHUP. Id and creation time are kept in the
 * store, so that they survive rebuilds.
 */
#ifndef CORRAL_TEMPLATE_TEMPLATE_H
#define CORRAL_TEMPLATE_TEMPLATE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/list.h"
#include "core/id.h"
#include "store/store.h"
#include "template/images.h"

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
    bool present; /* seen by the last load */
};

struct template_set {
    struct list templates; /* sorted by name; includes those that are not present */
    struct store *store;   /* not owned */
    char *dir;             /* owned: STATE/templates */
    const char *guest_dir; /* not owned; set when sandboxes are microVMs, otherwise NULL */
};

int template_set_init(struct template_set *set, struct store *store, const char *state_dir);
/* Reads the directory again. A template that has gone is not found any more, but its object stays:
 * the pool may point to it. A broken one is logged and skipped. Blocks for a few small files. */
int template_set_load(struct template_set *set);
/* By name, alias or id. NULL when unknown. */
const struct template *template_find(const struct template_set *set, const char *name_or_id);

#endif
