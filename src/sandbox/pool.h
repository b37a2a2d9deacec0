/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - sandboxes started ahead of time, so that a create finds one that is warm.
 *
 * For the template given at the start and for each template that a client has asked for since, the
 * pool keeps `size` sandboxes started and unclaimed. After a failed start it waits before it tries
 * again, twice as long each time up to POOL_RETRY_MAX_MS. Of a template that is not built there are
 * none. A full pool does not wake the loop.
 */
#ifndef CORRAL_SANDBOX_POOL_H
#define CORRAL_SANDBOX_POOL_H

#include "sandbox/sandbox.h"

#define POOL_RETRY_MS     1000
#define POOL_RETRY_MAX_MS 60000

struct pool;

/* `empty` is called when the last sandbox of a stopped pool has ended. NULL: out of memory. */
struct pool *pool_new(uv_loop_t *loop, const struct sandbox_host *host,
                      struct template_set *templates, unsigned int size, void (*empty)(void *ctx),
                      void *ctx);
void pool_start(struct pool *p, const struct template *warm);
/* Looks again at what is missing: a template may have been built. */
void pool_refill(struct pool *p);

/* The sandbox of the template that has come furthest, or NULL. It is the caller's from now on, with
 * the caller's events. Its replacement is started on the next turn of the loop. */
struct sandbox *pool_take(struct pool *p, const struct template *tpl,
                          const struct sandbox_events *events, void *table);

/* Ends every sandbox of the pool and starts no more. */
void pool_stop(struct pool *p);
bool pool_is_empty(const struct pool *p);

#endif
