/* SPDX-License-Identifier: Apache-2.0 */
#include "network/events.h"

#include "base/timefmt.h"

static const char *const event_whats[] = {
    [EGRESS_FLOW_OPENED] = "flow_opened",
    [EGRESS_FLOW_DENIED] = "flow_denied",
    [EGRESS_NAME_DENIED] = "name_denied",
};

static const char *const event_reasons[EGRESS_REASON_COUNT] = {
    [EGRESS_OK] = "allowed",
    [EGRESS_BY_SYNTAX] = "syntax",
    [EGRESS_BY_OPERATOR] = "operator",
    [EGRESS_BY_FLOOR] = "floor",
    [EGRESS_BY_RULE] = "rule",
    [EGRESS_BY_DEFAULT] = "default",
    [EGRESS_BY_PORT] = "port",
    [EGRESS_BY_FLOW_LIMIT] = "flow_limit",
    [EGRESS_BY_NAME_LIMIT] = "name_limit",
    [EGRESS_BY_INTERCEPTION] = "interception",
};

const char *network_what_str(enum egress_what what)
{
    return event_whats[what];
}

const char *network_reason_str(enum egress_reason reason)
{
    return event_reasons[reason];
}

void network_events_add(struct network_events *l, struct packet_event *e)
{
    if (l->ring == NULL)
        l->ring = calloc(NETWORK_EVENTS, sizeof(*l->ring));
    if (l->ring == NULL)
        return;
    struct network_event *at = &l->ring[l->count++ % NETWORK_EVENTS];
    free(at->what.host);
    *at = (struct network_event){.time_ms = time_now_ms(), .what = *e};
    e->host = NULL;
}

static void print_event(struct jsonw *w, const struct network_event *e)
{
    const struct packet_event *p = &e->what;
    jsonw_object(w);
    jsonw_key_time(w, "time", e->time_ms);
    jsonw_key_str(w, "event", network_what_str(p->what));
    jsonw_key_str(w, "host", p->host);
    jsonw_key(w, "address");
    if (p->address[0] != '\0')
        jsonw_str(w, p->address);
    else
        jsonw_null(w);
    jsonw_key(w, "port");
    if (p->port != 0)
        jsonw_int(w, p->port);
    else
        jsonw_null(w);
    jsonw_key_str(w, "reason", network_reason_str(p->reason));
    jsonw_object_end(w);
}

void network_events_print(struct jsonw *w, const struct network_events *l)
{
    uint64_t kept = MIN(l->count, (uint64_t)NETWORK_EVENTS);
    jsonw_object(w);
    jsonw_key(w, "events");
    jsonw_array(w);
    for (uint64_t i = l->count - kept; i < l->count; i++)
        print_event(w, &l->ring[i % NETWORK_EVENTS]);
    jsonw_array_end(w);
    jsonw_key_int(w, "dropped", (int64_t)(l->count - kept));
    jsonw_object_end(w);
}

void network_events_done(struct network_events *l)
{
    for (size_t i = 0; l->ring != NULL && i < NETWORK_EVENTS; i++)
        free(l->ring[i].what.host);
    free(l->ring);
    *l = (struct network_events){.ring = NULL};
}
