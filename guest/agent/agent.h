/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - what the connections and operations of one agent share. Data only: serve.c fills it
 * and empties it, and each table has functions of its own in its header. What itself needs an agent
 * is a pointer here, so that no header includes its user.
 */
#ifndef CORRAL_AGENT_AGENT_H
#define CORRAL_AGENT_AGENT_H

#include "agent/account.h"
#include "agent/listener.h"
#include "agent/loop.h"
#include "agent/process/table.h"
#include "agent/sink.h"

struct bridge;
struct conn_dispatch;
struct kepts;

struct agent {
    struct loop loop;
    struct listener listener;
    struct source signals;
    struct account account; /* the default user */
    char **env;             /* owned: from CONFIGURE; NULL: none */
    const struct conn_dispatch *dispatch;
    struct list conns;
    unsigned int conn_count;
    unsigned int greeting_count;
    struct sinks sinks;
    struct processes processes;
    struct kepts *kepts;
    struct bridge *bridge;
    uint64_t started_at; /* us, monotonic */
    bool stopping;
};

#endif
