/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h - records the answer of a kept code run (kept.h) in whole frames. */
#ifndef CORRAL_AGENT_JOURNAL_H
#define CORRAL_AGENT_JOURNAL_H

#include "agent/kept.h"

/* Cuts what has arrived into frames. 1 after the last frame; -EPROTO: it is no answer to a code
 * run. */
int journal_take(struct kept *k, const uint8_t *data, size_t len);
/* Drops a frame that has arrived in part; the error becomes the last one. */
void journal_put_error(struct kept *k, enum wire_error code, const char *message);

#endif
