/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - makes TEMPLATE/kvm/snapshot/: boots the template's images, warms the
 * sandbox up, takes the snapshot, restores it once to see what a first request touches.
 */
#ifndef CORRAL_TEMPLATE_SNAPSHOT_H
#define CORRAL_TEMPLATE_SNAPSHOT_H

#include "config/config.h"
#include "isolation/driver.h"

/* Phases of template_snapshot_make, for who counts further ones before them. */
#define TEMPLATE_SNAPSHOT_PHASES 5

/* How far the work is when the snapshot's turn comes: lines on standard error are
 * "phase <done + 1>/<total> text (<seconds since started> s)". */
struct template_progress {
    int done, total;
    int64_t started_ms; /* time_now_ms */
};

/* Replaces the snapshot of the template in directory `dir` when the new one is complete. Runs its
 * own loop until then, or until SIGINT or SIGTERM. Needs KVM. */
int template_snapshot_make(const struct config *config, const char *dir,
                           const struct template_progress *progress, struct error *err);

#endif
