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
static const char *parse_trust(struct cursor *c, struct request *r);
static const char *parse_exec(struct cursor *c, struct request *r);
static const char *parse_keep(struct cursor *c, struct request *r);
static const char *parse_key(struct cursor *c, struct request *r);
static const char *parse_read(struct cursor *c, struct request *r);
static const char *parse_as(struct cursor *c, struct request *r);
static const char *parse_path(struct cursor *c, struct request *r);
static const char *parse_path_flags(struct cursor *c, struct request *r);
static const char *parse_path_mode_flags(struct cursor *c, struct request *r);
static const char *parse_port(struct cursor *c, struct request *r);
static const char *parse_to(struct cursor *c, struct request *r);
static const char *parse_chown(struct cursor *c, struct request *r);
static const char *parse_list_tree(struct cursor *c, struct request *r);
static const char *parse_find(struct cursor *c, struct request *r);
static const char *parse_replace(struct cursor *c, struct request *r);
static const char *parse_process_start(struct cursor *c, struct request *r);
static const char *parse_process_attach(struct cursor *c, struct request *r);
static const char *parse_process_input(struct cursor *c, struct request *r);
static const char *parse_process_signal(struct cursor *c, struct request *r);
static const char *parse_process_resize(struct cursor *c, struct request *r);
static const char *parse_which(struct cursor *c, struct request *r);

#define FIND_FLAGS (WIRE_FIND_REGEX | WIRE_FIND_NO_CASE | WIRE_FIND_HIDDEN)

/* The requests that the agent reads. CODE_* and CONTEXT_* are not here: the bridge reads them. */
static const struct request_kind request_kinds[] = {
    {WIRE_PING, 0, parse_nothing},
    {WIRE_CONFIGURE,
     WIRE_CONFIGURE_OFFLINE | WIRE_CONFIGURE_KEEP | WIRE_CONFIGURE_RESEED | WIRE_CONFIGURE_AFRESH,
     parse_configure},
    {WIRE_CLOCK, 0, parse_clock},
    {WIRE_TRUST, 0, parse_trust},
    {WIRE_EXEC, WIRE_EXEC_SHELL | WIRE_EXEC_STDIN, parse_exec},
    {WIRE_KEEP, 0, parse_keep},
    {WIRE_ATTACH, 0, parse_key},
    {WIRE_FORGET, 0, parse_key},
    {WIRE_READ, 0, parse_read},
    {WIRE_WRITE, WIRE_WRITE_PARENTS | WIRE_WRITE_APPEND, parse_path_mode_flags},
    {WIRE_LIST, 0, parse_path},
    {WIRE_REMOVE, WIRE_REMOVE_RECURSIVE, parse_path_flags},
    {WIRE_MKDIR, WIRE_MKDIR_PARENTS, parse_path_mode_flags},
    {WIRE_STAT_PATH, 0, parse_path},
    {WIRE_INFO_PATH, 0, parse_path},
    {WIRE_LIST_TREE, 0, parse_list_tree},
    {WIRE_MOVE, WIRE_TO_OVERWRITE | WIRE_TO_PARENTS, parse_to},
    {WIRE_COPY, WIRE_TO_OVERWRITE | WIRE_TO_PARENTS | WIRE_TO_RECURSIVE, parse_to},
    {WIRE_CHMOD, WIRE_TREE_RECURSIVE, parse_path_mode_flags},
    {WIRE_CHOWN, WIRE_TREE_RECURSIVE, parse_chown},
    {WIRE_FIND, FIND_FLAGS, parse_find},
    {WIRE_REPLACE, FIND_FLAGS | WIRE_FIND_DRY_RUN, parse_replace},
    {WIRE_WATCH, WIRE_TREE_RECURSIVE, parse_path_flags},
    {WIRE_AS, 0, parse_as},
    {WIRE_PACK, 0, parse_path},
    {WIRE_UNPACK, 0, parse_path},
    {WIRE_PORT, 0, parse_port},
    {WIRE_PROCESS_START, WIRE_EXEC_SHELL | WIRE_EXEC_STDIN | WIRE_PROCESS_PTY, parse_process_start},
    {WIRE_PROCESS_LIST, 0, parse_nothing},
    {WIRE_PROCESS_ATTACH, WIRE_ATTACH_OWN, parse_process_attach},
    {WIRE_PROCESS_INPUT, WIRE_INPUT_EOF, parse_process_input},
    {WIRE_PROCESS_SIGNAL, 0, parse_process_signal},
    {WIRE_PROCESS_RESIZE, 0, parse_process_resize},
    {WIRE_PROCESS_FORGET, 0, parse_which},
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
    char *const strings[] = {r->key,   r->tag,      r->path,    r->to,          r->cwd,  r->user,
                             r->group, r->hostname, r->pattern, r->replacement, r->glob, r->pem};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
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
    r->flags = cursor_u32(c);
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

static const char *check_command(const struct request *r)
{
    if (r->argv[0] == NULL)
        return "there is no command";
    if (r->argv[0][0] == '\0' && !(r->flags & WIRE_EXEC_SHELL))
        return "the command is empty";
    if ((r->flags & WIRE_EXEC_SHELL) && r->argv[1] != NULL)
        return "a shell command is one string";
    return check_env(r->env);
}

static const char *parse_trust(struct cursor *c, struct request *r)
{
    r->pem = wire_get_str(c);
    if (r->pem == NULL)
        return NULL;
    size_t len = strlen(r->pem);
    return len == 0 || len > REQUEST_PEM_MAX ? "the certificate is not 1 to 16384 bytes" : NULL;
}

static const char *parse_exec(struct cursor *c, struct request *r)
{
    r->flags = cursor_u32(c);
    r->timeout_ms = cursor_u32(c);
    const char *why = take_path(c, true, &r->cwd);
    r->user = wire_get_str(c);
    r->argv = wire_get_list(c);
    r->env = wire_get_list(c);
    return !cursor_ok(c) || why != NULL ? why : check_command(r);
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

static const char *parse_as(struct cursor *c, struct request *r)
{
    r->user = wire_get_str(c);
    return r->user != NULL && r->user[0] == '\0' ? "the user has no name" : NULL;
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

static const char *parse_to(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    const char *why_to = take_path(c, false, &r->to);
    r->flags = cursor_u32(c);
    return why != NULL ? why : why_to;
}

static const char *parse_chown(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->user = wire_get_str(c);
    r->group = wire_get_str(c);
    r->flags = cursor_u32(c);
    return why;
}

static const char *parse_list_tree(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->depth = cursor_u32(c);
    return why;
}

static const char *check_pattern(const struct cursor *c, const struct request *r)
{
    if (!cursor_ok(c))
        return NULL;
    if (r->pattern[0] == '\0')
        return "the pattern is empty";
    if (strlen(r->pattern) > WIRE_MAX_PATTERN || strlen(r->glob) > WIRE_MAX_PATTERN)
        return "the pattern is longer than 4096 bytes";
    return NULL;
}

static const char *parse_find(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->pattern = wire_get_str(c);
    r->glob = wire_get_str(c);
    r->flags = cursor_u32(c);
    r->depth = cursor_u32(c);
    r->max = cursor_u32(c);
    return why != NULL ? why : check_pattern(c, r);
}

static const char *parse_replace(struct cursor *c, struct request *r)
{
    const char *why = take_path(c, false, &r->path);
    r->pattern = wire_get_str(c);
    r->replacement = wire_get_str(c);
    r->glob = wire_get_str(c);
    r->flags = cursor_u32(c);
    r->depth = cursor_u32(c);
    return why != NULL ? why : check_pattern(c, r);
}

static const char *take_tag(struct cursor *c, struct request *r)
{
    r->tag = wire_get_str(c);
    return r->tag != NULL && strlen(r->tag) > WIRE_MAX_TAG ? "the tag is longer than 256 bytes"
                                                           : NULL;
}

static const char *take_window(struct cursor *c, struct request *r)
{
    r->columns = cursor_u32(c);
    r->rows = cursor_u32(c);
    return r->columns > REQUEST_WINDOW_MAX || r->rows > REQUEST_WINDOW_MAX
               ? "the terminal is larger than 65535 columns or rows"
               : NULL;
}

static const char *parse_process_start(struct cursor *c, struct request *r)
{
    r->flags = cursor_u32(c);
    r->timeout_ms = cursor_u32(c);
    const char *why = take_path(c, true, &r->cwd);
    r->user = wire_get_str(c);
    const char *why_tag = take_tag(c, r);
    r->argv = wire_get_list(c);
    r->env = wire_get_list(c);
    const char *why_window = take_window(c, r);
    r->keep = cursor_u32(c);
    if (!cursor_ok(c) || why != NULL)
        return why;
    if (why_tag != NULL || why_window != NULL)
        return why_tag != NULL ? why_tag : why_window;
    if (r->keep > WIRE_PROCESS_RING)
        return "more than 16 MiB of output to keep";
    return check_command(r);
}

static const char *parse_which(struct cursor *c, struct request *r)
{
    r->id = cursor_u64(c);
    r->pid = cursor_u32(c);
    const char *why = take_tag(c, r);
    if (why == NULL && cursor_ok(c) && r->id == 0 && r->pid == 0 && r->tag[0] == '\0')
        why = "no process is named";
    return why;
}

static const char *parse_process_attach(struct cursor *c, struct request *r)
{
    const char *why = parse_which(c, r);
    r->seq = cursor_u64(c);
    r->flags = cursor_u32(c);
    return why;
}

static const char *parse_process_input(struct cursor *c, struct request *r)
{
    const char *why = parse_which(c, r);
    r->flags = cursor_u32(c);
    r->data = wire_get_span(c);
    return why;
}

static const char *parse_process_signal(struct cursor *c, struct request *r)
{
    const char *why = parse_which(c, r);
    r->signal = cursor_u32(c);
    r->scope = cursor_u32(c);
    if (why == NULL && (r->signal == 0 || r->signal > REQUEST_SIGNAL_MAX))
        why = "the signal is not within 1 to 64";
    if (why == NULL && (r->scope < WIRE_SCOPE_PROCESS || r->scope > WIRE_SCOPE_TREE))
        why = "a signal is for the process, its group or its tree";
    return why;
}

static const char *parse_process_resize(struct cursor *c, struct request *r)
{
    const char *why = parse_which(c, r);
    const char *why_window = take_window(c, r);
    return why != NULL ? why : why_window;
}
