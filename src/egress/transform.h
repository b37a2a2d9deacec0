/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transform.h - what is set in the requests of a sandbox to certain hosts.
 *
 * A transform has a host (a name or *.NAME, perhaps with a port), methods, path patterns, and
 * header fields that replace those of the request; an empty value takes them out. Flows to its host
 * are intercepted, whether or not a request matches: the method and the path only decide about the
 * header fields.
 *
 * A path pattern is text in which * stands for any characters. It is compared with the path as it
 * is sent, without the query. A path that a server may read as another one ("/v1/../x", "%2e%2e",
 * "%2f", a backslash) is matched by patterns for all paths only, so that a secret for /v1/ is not
 * sent elsewhere.
 *
 * Values hold secrets. They are wiped when the list is released.
 */
#ifndef CORRAL_EGRESS_TRANSFORM_H
#define CORRAL_EGRESS_TRANSFORM_H

#include "base/wire_codec.h"
#include "egress/rule.h"
#include "egress_ctl.h"

#define TRANSFORM_MAX_VALUE  8192u /* bytes of a header field's value */
#define TRANSFORM_MAX_FIELDS 32u   /* of one transform */

/* As it came: lists are NULL-terminated, `headers` has names and values in turn. */
struct transform_text {
    const char *host;
    const char *const *methods, *const *paths, *const *headers;
};

struct transform_field {
    const char *name;
    char *value;
};

struct transform {
    struct rule host;
    const char **methods, **paths; /* NULL-terminated; an empty list is any */
    struct transform_field *fields;
    size_t n_fields;
};

struct transform_list {
    struct transform *items; /* in the policy's arena */
    size_t count;
};

/* Copies into the arena. 0, or -EINVAL with the entry named in `err`, or -ENOMEM. The list is to be
 * wiped in every case. Messages never hold a value. */
int transform_list_read(const struct transform_text *texts, size_t count, struct arena *arena,
                        struct transform_list *ret, struct error *err);
void transform_list_wipe(struct transform_list *l);

/* Whether flows to that name and port are intercepted. */
bool transform_covers(const struct transform_list *l, const char *name, uint16_t port);
/* Whether an entry for the host names this port itself. */
bool transform_names_port(const struct transform_list *l, const char *name, uint16_t port);
/* Whether the transform sets its fields in such a request. `path` has no query. */
bool transform_applies(const struct transform *t, const char *name, uint16_t port,
                       struct span method, struct span path);

/* Whether the text is a token of HTTP, which a method and a field's name must be. */
bool transform_is_token(const char *text, size_t len);
/* Fields that frame a message or belong to one connection: no transform sets them. */
bool transform_is_reserved(const char *name, size_t len);

#endif
