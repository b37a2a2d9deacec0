/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - what the loop tells a WATCH: its inotify descriptor has events. */
#ifndef CORRAL_AGENT_OPS_WATCH_H
#define CORRAL_AGENT_OPS_WATCH_H

#include "agent/loop.h"

void watch_handle_event(struct source *s);

#endif
