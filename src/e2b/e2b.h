/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2b.h - the server as clients of E2B see it: their names parsed, their names printed.
 *
 * One origin has three planes. The control plane makes and ends sandboxes (control.c), "envd" is
 * files and processes of one sandbox (process.c, filesystem.c, files.c), the code interpreter runs
 * code in it (code.c). dispatch.c tells them apart. What each does stands in the layers below.
 */
#ifndef CORRAL_E2B_E2B_H
#define CORRAL_E2B_E2B_H

#include "api/api.h"

struct e2b {
    struct list watchers; /* struct watcher, of all sandboxes */
};

void e2b_init(struct e2b *e);
/* For api->dispatch. */
bool e2b_dispatch(struct api_call *call);
/* Closes what no request holds open. */
void e2b_stop(struct e2b *e);

#endif
