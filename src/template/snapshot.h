/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - makes TEMPLATE/kvm/snapshot/: boots the template's images, warms the sandbox up,
 * takes the snapshot, and restores it some times to record what a first request touches.
 */
#ifndef CORRAL_TEMPLATE_SNAPSHOT_H
#define CORRAL_TEMPLATE_SNAPSHOT_H

#include "config/config.h"
#include "isolation/driver.h"

/* How many phases template_snapshot_make reports, for a caller that has some of its own before. */
#define TEMPLATE_SNAPSHOT_PHASES 5

/* How many phases are over before the snapshot, and how many there are in all. A line on standard
 * error is "phase <done + 1>/<total> text (<seconds since started> s)". */
struct template_progress {
    int done, total;
    int64_t started_ms; /* time_now_ms */
};

/* Makes a snapshot of the template in directory `dir` and replaces the old one when the new one is
 * complete. Blocks on a loop of its own; SIGINT and SIGTERM end it early. Needs KVM. */
int template_snapshot_make(const struct config *config, const char *dir,
                           const struct template_progress *progress, struct error *err);

#endif
