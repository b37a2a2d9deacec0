/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - the table of requests and a parser for each.
 *
 * A parser takes all fields of its type and returns what is wrong with them, or NULL. It does not
 * check each read: after the end of the payload a cursor gives zeros, and request_parse looks at
 * the cursor at the end. Only strings need a look before they are used, as a cursor gives NULL.
 */
#include "agent/request.h"

#include <errno.h>
#include <string.h>

#define REQUEST_HOSTNAME_MAX 64u

struct request_kind {
    enum wire_type type;
    uint32_t flags; /* known ones */
    const char *(*parse)(struct cursor *c, struct request *r);
};

static const char *parse_nothing(struct cursor *c, struct request *r);
static const char *parse_configure(struct cursor *c, struct request *r);
static const char *parse_clock(struct cursor *c, struct request *r);
static const char *parse_exec(struct cursor *c, struct request *r);
static const char *parse_keep(struct cursor *c, struct request *r);
static const char *parse_key(struct cursor *c, struct request *r);
static const char *parse_read(struct cursor *c, struct request *r);
static const char *parse_path(struct cursor *c, struct request *r);
static const char *parse_path_flags(struct cursor *c, struct request *r);
static const char *parse_path_mode_flags(struct cursor *c, struct request *r);
static const char *parse_port(struct cursor *c, struct request *r);

/* The requests that the agent reads. CODE_* and CONTEXT_* are not here: the bridge reads them. */
static const struct request_kind request_kinds[] = {
    {WIRE_PING, 0, parse_nothing},
    {WIRE_CONFIGURE, 0, parse_configure},
    {WIRE_CLOCK, 0, parse_clock},
    {WIRE_EXEC, WIRE_EXEC_SHELL | WIRE_EXEC_STDIN, parse_exec},
    {WIRE_KEEP, 0, parse_keep},
    {WIRE_ATTACH, 0, parse_key},
    {WIRE_FORGET, 0, parse_key},
    {WIRE_READ, 0, parse_read},
    {WIRE_WRITE, WIRE_WRITE_PARENTS, parse_path_mode_flags},
    {WIRE_LIST, 0, parse_path},
    {WIRE_REMOVE, WIRE_REMOVE_RECURSIVE, parse_path_flags},
    {WIRE_MKDIR, WIRE_MKDIR_PARENTS, parse_path_mode_flags},
    {WIRE_STAT_PATH, 0, parse_path},
    {WIRE_PORT, 0, parse_port},
};

static const struct request_kind *request_kind(enum wire_type type)
{
    for (size_t i = 0; i < ARRAY_SIZE(request_kinds); i++) {
        if (request_kinds[i].type == type)
            return &request_kinds[i];
    }
    return NULL;
}

int request_parse(const struct wire_frame *frame, struct request *ret, const char **ret_why)
{
    const struct request_kind *kind = request_kind(frame->type);
    if (kind == NULL)
        return -EPROTO;
    struct cursor c = cursor_on(frame->payload, frame->len);
    struct request r = {.type = frame->type};
    const char *why = kind->parse(&c, &r);
    /* A malformed frame with an invalid argument counts as malformed. */
    int rv = !cursor_end(&c) ? -EPROTO : why != NULL ? -EINVAL : 0;
    /* Refused, and not ignored: a later version may give an unknown flag a meaning. */
    if (rv == 0 && (r.flags & ~kind->flags) != 0) {
        why = "unknown flags";
        rv = -EINVAL;
    }
    if (rv < 0) {
        request_done(&r);
        *ret = (struct request){0};
        *ret_why = why;
        return rv;
    }
    *ret = r;
    return 0;
}

void request_done(struct request *r)
{
    free(r->key);
    free(r->path);
    free(r->cwd);
    free(r->user);
    free(r->hostname);
    free(r->argv);
    free(r->env);
    *r = (struct request){0};
}

/* A NUL or too many bytes in a path are the mistake of an API client, not a malformed frame. */
static const char *take_path(struct cursor *c, bool may_be_empty, char **ret)
{
    struct span s = wire_get_span(c);
    if (!cursor_ok(c))
        return NULL;
    if (memchr(s.data, '\0', s.len) != NULL)
        return "the path contains a NUL byte";
    if (s.len > REQUEST_PATH_MAX)
        return "the path is longer than 4095 bytes";
    if (s.len == 0 && !may_be_empty)
        return "the path is empty";
    *ret = strndup(s.data, s.len);
    return *ret == NULL ? "out of memory" : NULL;
}

static const char *check_env(char *const *env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        const char *eq = strchr(env[i], '=');
        if (eq == NULL || eq == env[i])
            return "an environment variable is not NAME=value";
    }
    return NULL;
}

static const char *parse_nothing(struct cursor *c, struct request *r)
{
    return NULL;
}

static const char *parse_configure(struct cursor *c, struct request *r)
{
    r->wall_ns = cursor_u64(c);
    r->entropy = wire_get_span(c);
    r->hostname = wire_get_str(c);
    r->env = wire_get_list(c);
    if (!cursor_ok(c))
        return NULL;
    if (r->entropy.len > REQUEST_ENTROPY_MAX)
        return "more than 4096 bytes of entropy";
    if (strlen(r->hostname) > REQUEST_HOSTNAME_MAX)
        return "the host name is longer than 64 bytes";
    return check_env(r->env);
}

static const char *parse_clock(struct cursor *c, struct request *r)
{
    r->wall_ns = cursor_u64(c);
    return NULL;
}

static const char *parse_exec(struct cursor *c, struct request *r)
{
    r->flags = cursor_u32(c);
    r->timeout_ms = cursor_u32(c);
    const char *why = take_path(c, true, &r->cwd);
    r->user = wire_get_str(c);
    r->argv = wire_get_list(c);
    r->env = wire_get_list(c);
    if (!cursor_ok(c) || why != NULL)
        return why;
    if (r->argv[0] == NULL)
        return "there is no command";
    if (r->argv[0][0] == '\0' && !(r->flags & WIRE_EXEC_SHELL))
        return "the command is empty";
    if ((r->flags & WIRE_EXEC_SHELL) && r->argv[1] != NULL)
        return "a shell command is one string";
    return check_env(r->env);
}

static const char *parse_key(struct cursor *c, struct request *r)
{
    r->key = wire_get_str(c);
    if (r->key == NULL)
        return NULL;
    size_t len = strlen(r->key);
    return len == 0 || len > WIRE_MAX_KEY ? "the key is not 1 to 64 bytes" : NULL;
}

static const char *parse_keep(struct cursor *c, struct request *r)
{
    const char *why = parse_key(c, r);
    r->keep = cursor_u32(c);
    if (why == NULL && r->keep > WIRE_MAX_KEEP)
        why = "more than 1 MiB of output to record";
    return why;
}

/* A kept operation may have no connection. So it must end by itself and cannot wait for input. */
int request_check_kept(const struct wire_frame *frame, const char **ret_why)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint32_t flags = 0;
    if (frame->type != WIRE_EXEC && frame->type != WIRE_CODE_RUN)
        return -EPROTO;
    if (frame->type == WIRE_EXEC && frame->len > WIRE_MAX_REQUEST)
        return -EPROTO;
    if (frame->type == WIRE_EXEC)
        flags = cursor_u32(&c);
    for (unsigned int i = 0; frame->type == WIRE_CODE_RUN && i < 3; i++)
        (void)wire_get_span(&c);
    uint32_t timeout_ms = cursor_u32(&c);
    if (!cursor_ok(&c))
        return -EPROTO;
    *ret_why = (flags & WIRE_EXEC_STDIN) ? "a kept command has no standard input"
               : timeout_ms == 0         ? "a kept operation needs a time-out"
                                         : NULL;
    return *ret_why != NULL ? -EINVAL : 0;
}

static const char *parse_read(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->offset = cursor_u64(c);
    r->length = cursor_u64(c);
    return why;
}

static const char *parse_path(struct cursor *c, struct request *r)
{
    return take_path(c, false, &r->path);
}

static const char *parse_path_flags(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->flags = cursor_u32(c);
    return why;
}

static const char *parse_path_mode_flags(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->mode = cursor_u32(c);
    r->flags = cursor_u32(c);
    if (why == NULL && r->mode > 07777)
        why = "the mode is not within 0 to 07777";
    return why;
}

static const char *parse_port(struct cursor *c, struct request *r)
{
    r->port = cursor_u16(c);
    return r->port == 0 ? "port 0 cannot be connected to" : NULL;
}
