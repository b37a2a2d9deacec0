/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.h - the resolver's connection of a sandbox: RESOLVE in, RESOLVED out, in any order.
 *
 * A name is judged before it is looked up, and its addresses afterwards: a name whose addresses are
 * all denied is denied itself. At most FLOW_MAX_QUERIES are under way, and nothing is read while
 * answers wait to be sent, so that both buffers stay as small as those questions.
 */
#ifndef CORRAL_EGRESS_QUERY_H
#define CORRAL_EGRESS_QUERY_H

#include "egress/flow_conn.h"

/* The first RESOLVE has been read into f->from_down. The flow may be closed afterwards. */
void query_open(struct flow *f);
void query_run(struct flow *f);
void query_close(struct flow *f);

#endif
