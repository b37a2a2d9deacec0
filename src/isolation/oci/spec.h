/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - what one container is made from, and its way to the processes that do the blocking
 * work: `key=value` arguments, readable in ps.
 */
#ifndef CORRAL_ISOLATION_OCI_SPEC_H
#define CORRAL_ISOLATION_OCI_SPEC_H

#include <stdbool.h>

#include "base/error.h"

#define OCI_SOCKET "vsock.sock" /* the agent's socket in the sandbox's directory */
/* A directory of its own: a mount of the socket itself would keep the one of an earlier server. */
#define OCI_NET_DIR    "net"
#define OCI_NET_SOCKET "egress.sock"
#define OCI_NET_MOUNT  "/opt/corral-net"
#define OCI_AGENT_DIR  "/opt/corral"
#define OCI_AGENT      OCI_AGENT_DIR "/corral-agent"

struct oci_spec {
    char *id;
    char *dir;       /* STATE/sandboxes/<id> */
    char *rootfs;    /* the template's */
    char *guest_dir; /* the agent's */
    char *root;      /* STATE/oci: the runtime keeps STATE/oci/<id> there */
    char *runtime;   /* name or path */
    char *images;    /* STATE/disks: an empty disk of each size */
    char *snapshot;  /* what its disk begins as, or becomes (copy.h); "": none */
    unsigned int vcpus;
    unsigned int memory_mb;
    unsigned int disk_mb;   /* of a disk of its own; 0: it writes to the file system of STATE */
    unsigned int disk_bps;  /* bytes a second, in each direction; 0: no limit */
    unsigned int disk_iops; /* operations a second, in each direction */
    unsigned int pids_max;
    unsigned int uid;     /* the host's id of its root, the first of UIDS_RANGE; 0: the host's */
    unsigned int owner;   /* the id that its root has on the disk, where that is another; else 0 */
    unsigned int network; /* whether it has one */
    unsigned int paused;  /* whether it is, and stays so */
    unsigned int parent;  /* pid of the server; the launcher ends with it */
};

#define OCI_SPEC_ARGS 19 /* one for each field */

/* Owned strings; a zeroed spec is valid. */
void oci_spec_done(struct oci_spec *spec);

/* A NULL-terminated argument vector `program verb key=value...`, to be freed with
 * helper_argv_free. NULL when memory ran out. */
char **oci_spec_to_argv(const struct oci_spec *spec, const char *program, const char *verb);

/* Reads the `key=value` arguments; all strings must be there. */
int oci_spec_from_argv(struct oci_spec *ret, char **args, struct error *err);

#endif
