/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h. Fields are written in the order of the table in wire.h. */
#include "wire/request.h"

#include <string.h>

static void put_str(struct buf *b, const char *s)
{
    wire_put_str(b, s != NULL ? s : "");
}

static void put_list(struct buf *b, char *const *items)
{
    wire_put_list(b, (const char *const *)items);
}

/* The many requests whose first field, or only one, is a string. */
static size_t begin_str(struct buf *b, enum wire_type type, const char *s)
{
    size_t start = wire_begin(b, type);
    wire_put_str(b, s);
    return start;
}

/* Those that begin with two strings and have a number at most behind them. */
static void put_two_strs(struct buf *b, enum wire_type type, const char *first, const char *second,
                         const uint32_t *number)
{
    size_t start = begin_str(b, type, first);
    put_str(b, second);
    if (number != NULL)
        (void)buf_u32(b, *number);
    wire_end(b, start);
}

static void put_one_str(struct buf *b, enum wire_type type, const char *s)
{
    wire_end(b, begin_str(b, type, s));
}

void wire_request_ping(struct buf *b)
{
    (void)wire_put_frame(b, WIRE_PING, NULL, 0);
}

void wire_request_configure(struct buf *b, const struct wire_configure_params *p)
{
    size_t start = wire_begin(b, WIRE_CONFIGURE);
    (void)buf_u64(b, p->wall_ns);
    wire_put_span(b, p->seed, p->seed_len);
    put_str(b, p->hostname);
    put_list(b, p->env);
    (void)buf_u32(
        b, (p->offline ? WIRE_CONFIGURE_OFFLINE : 0) | (p->keep ? WIRE_CONFIGURE_KEEP : 0) |
               (p->reseed ? WIRE_CONFIGURE_RESEED : 0) | (p->afresh ? WIRE_CONFIGURE_AFRESH : 0));
    wire_end(b, start);
}

void wire_request_trust(struct buf *b, const char *pem)
{
    put_one_str(b, WIRE_TRUST, pem);
}

void wire_request_clock(struct buf *b, uint64_t wall_ns)
{
    size_t start = wire_begin(b, WIRE_CLOCK);
    (void)buf_u64(b, wall_ns);
    wire_end(b, start);
}

static void put_argv(struct buf *b, const char *command, char *const *args, uint32_t n_args)
{
    (void)buf_u32(b, n_args + 1);
    wire_put_str(b, command);
    for (uint32_t i = 0; i < n_args; i++)
        wire_put_str(b, args[i]);
}

static uint32_t count_args(const struct wire_exec_params *p)
{
    uint32_t n = 0;
    while (p->args != NULL && p->args[n] != NULL)
        n++;
    return n;
}

static uint32_t exec_flags(const struct wire_exec_params *p, uint32_t n_args)
{
    return (n_args == 0 ? WIRE_EXEC_SHELL : 0) | (p->has_stdin ? WIRE_EXEC_STDIN : 0);
}

void wire_request_exec(struct buf *b, const struct wire_exec_params *p)
{
    uint32_t n_args = count_args(p);
    size_t start = wire_begin(b, WIRE_EXEC);
    (void)buf_u32(b, exec_flags(p, n_args));
    (void)buf_u32(b, p->timeout_ms);
    put_str(b, p->cwd);
    put_str(b, p->user);
    put_argv(b, p->command, p->args, n_args);
    put_list(b, p->env);
    wire_end(b, start);
}

void wire_request_start(struct buf *b, const struct wire_start_params *p)
{
    uint32_t n_args = count_args(&p->run);
    uint32_t flags = exec_flags(&p->run, n_args) | (p->has_terminal ? WIRE_PROCESS_PTY : 0);
    size_t start = wire_begin(b, WIRE_PROCESS_START);
    (void)buf_u32(b, flags);
    (void)buf_u32(b, p->run.timeout_ms);
    put_str(b, p->run.cwd);
    put_str(b, p->run.user);
    put_str(b, p->tag);
    put_argv(b, p->run.command, p->run.args, n_args);
    put_list(b, p->run.env);
    (void)buf_u32(b, p->columns);
    (void)buf_u32(b, p->rows);
    (void)buf_u32(b, p->keep);
    wire_end(b, start);
}

void wire_request_process_list(struct buf *b)
{
    (void)wire_put_frame(b, WIRE_PROCESS_LIST, NULL, 0);
}

/* The many requests whose first field is a process. */
static size_t begin_which(struct buf *b, enum wire_type type, const struct wire_which *which)
{
    size_t start = wire_begin(b, type);
    (void)buf_u64(b, which->id);
    (void)buf_u32(b, which->pid);
    put_str(b, which->tag);
    return start;
}

void wire_request_process_attach(struct buf *b, const struct wire_which *which, uint64_t first_seq,
                                 uint32_t flags)
{
    size_t start = begin_which(b, WIRE_PROCESS_ATTACH, which);
    (void)buf_u64(b, first_seq);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_process_input(struct buf *b, const struct wire_which *which, uint32_t flags,
                                const void *data, size_t len)
{
    size_t start = begin_which(b, WIRE_PROCESS_INPUT, which);
    (void)buf_u32(b, flags);
    wire_put_span(b, data, len);
    wire_end(b, start);
}

void wire_request_process_signal(struct buf *b, const struct wire_which *which, uint32_t signal,
                                 enum wire_scope scope)
{
    size_t start = begin_which(b, WIRE_PROCESS_SIGNAL, which);
    (void)buf_u32(b, signal);
    (void)buf_u32(b, scope);
    wire_end(b, start);
}

void wire_request_process_resize(struct buf *b, const struct wire_which *which, uint32_t columns,
                                 uint32_t rows)
{
    size_t start = begin_which(b, WIRE_PROCESS_RESIZE, which);
    (void)buf_u32(b, columns);
    (void)buf_u32(b, rows);
    wire_end(b, start);
}

void wire_request_process_forget(struct buf *b, const struct wire_which *which)
{
    wire_end(b, begin_which(b, WIRE_PROCESS_FORGET, which));
}

void wire_request_resize(struct buf *b, uint32_t columns, uint32_t rows)
{
    size_t start = wire_begin(b, WIRE_RESIZE);
    (void)buf_u32(b, columns);
    (void)buf_u32(b, rows);
    wire_end(b, start);
}

void wire_request_code(struct buf *b, const struct wire_code_params *p)
{
    size_t start = wire_begin(b, WIRE_CODE_RUN);
    put_str(b, p->context);
    put_str(b, p->language);
    put_str(b, p->code);
    (void)buf_u32(b, p->timeout_ms);
    put_list(b, p->env);
    wire_end(b, start);
}

void wire_request_set_timeout(struct buf *b, uint32_t timeout_ms)
{
    struct cursor c = cursor_on(b->data, b->len);
    uint32_t len = cursor_u32(&c);
    uint16_t type = cursor_u16(&c);
    (void)cursor_u16(&c);
    if (type == WIRE_KEEP) {
        (void)cursor_bytes(&c, len);
        (void)cursor_u32(&c);
        type = cursor_u16(&c);
        (void)cursor_u16(&c);
    }
    if (type == WIRE_EXEC) {
        (void)cursor_u32(&c); /* flags */
    } else {
        (void)wire_get_span(&c); /* context */
        (void)wire_get_span(&c); /* language */
        (void)wire_get_span(&c); /* code */
    }
    size_t at = b->len - c.left;
    (void)cursor_u32(&c);
    if (!cursor_ok(&c))
        return; /* a buffer that ran out of memory, which the call refuses */
    for (size_t i = 0; i < 4; i++)
        b->data[at + i] = (uint8_t)(timeout_ms >> (8 * i));
}

void wire_request_code_ready(struct buf *b)
{
    (void)wire_put_frame(b, WIRE_CODE_READY, NULL, 0);
}

void wire_request_keep(struct buf *b, const char *key, size_t record)
{
    size_t start = begin_str(b, WIRE_KEEP, key);
    (void)buf_u32(b, (uint32_t)MIN(record, (size_t)WIRE_MAX_KEEP));
    wire_end(b, start);
}

void wire_request_attach(struct buf *b, const char *key)
{
    put_one_str(b, WIRE_ATTACH, key);
}

void wire_request_forget(struct buf *b, const char *key)
{
    put_one_str(b, WIRE_FORGET, key);
}

void wire_request_context_create(struct buf *b, const struct wire_context_params *p)
{
    size_t start = begin_str(b, WIRE_CONTEXT_CREATE, p->id);
    put_str(b, p->language);
    put_str(b, p->cwd);
    (void)buf_u32(b, p->lifetime_s);
    wire_end(b, start);
}

void wire_request_context_get(struct buf *b, const char *id)
{
    put_one_str(b, WIRE_CONTEXT_GET, id);
}

void wire_request_context_delete(struct buf *b, const char *id)
{
    put_one_str(b, WIRE_CONTEXT_DELETE, id);
}

void wire_request_context_list(struct buf *b)
{
    (void)wire_put_frame(b, WIRE_CONTEXT_LIST, NULL, 0);
}

void wire_request_context_interrupt(struct buf *b, const char *id, const char *language)
{
    put_two_strs(b, WIRE_CONTEXT_INTERRUPT, id, language, NULL);
}

void wire_request_context_restart(struct buf *b, const char *id, const char *language)
{
    put_two_strs(b, WIRE_CONTEXT_RESTART, id, language, NULL);
}

void wire_request_as(struct buf *b, const char *user)
{
    struct buf whole = {0};
    put_one_str(&whole, WIRE_AS, user);
    (void)buf_append(&whole, b->data, b->len);
    whole.failed = whole.failed || b->failed;
    buf_done(b);
    *b = whole;
}

void wire_request_write_attributes(struct buf *b, char *const *attributes)
{
    size_t start = wire_begin(b, WIRE_ATTRIBUTES);
    put_list(b, attributes);
    wire_end(b, start);
}

void wire_request_read(struct buf *b, const char *path, uint64_t offset, uint64_t length)
{
    size_t start = begin_str(b, WIRE_READ, path);
    (void)buf_u64(b, offset);
    (void)buf_u64(b, length);
    wire_end(b, start);
}

void wire_request_pack(struct buf *b, const char *path)
{
    wire_end(b, begin_str(b, WIRE_PACK, path));
}

void wire_request_unpack(struct buf *b, const char *path)
{
    wire_end(b, begin_str(b, WIRE_UNPACK, path));
}

void wire_request_write(struct buf *b, const char *path, uint32_t mode, uint32_t flags)
{
    size_t start = begin_str(b, WIRE_WRITE, path);
    (void)buf_u32(b, mode);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_write_end(struct buf *b, const char *path)
{
    if (path != NULL)
        put_one_str(b, WIRE_END, path);
    else
        (void)wire_put_frame(b, WIRE_END, NULL, 0);
}

void wire_request_list(struct buf *b, const char *path)
{
    put_one_str(b, WIRE_LIST, path);
}

void wire_request_list_tree(struct buf *b, const char *path, uint32_t depth)
{
    size_t start = wire_begin(b, WIRE_LIST_TREE);
    put_str(b, path);
    (void)buf_u32(b, depth);
    wire_end(b, start);
}

void wire_request_remove(struct buf *b, const char *path, uint32_t flags)
{
    size_t start = begin_str(b, WIRE_REMOVE, path);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_mkdir(struct buf *b, const char *path, uint32_t mode, uint32_t flags)
{
    size_t start = begin_str(b, WIRE_MKDIR, path);
    (void)buf_u32(b, mode);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_info(struct buf *b, const char *path)
{
    put_one_str(b, WIRE_INFO_PATH, path);
}

void wire_request_move(struct buf *b, const char *source, const char *destination, uint32_t flags)
{
    put_two_strs(b, WIRE_MOVE, source, destination, &flags);
}

void wire_request_copy(struct buf *b, const char *source, const char *destination, uint32_t flags)
{
    put_two_strs(b, WIRE_COPY, source, destination, &flags);
}

void wire_request_chmod(struct buf *b, const char *path, uint32_t mode, uint32_t flags)
{
    size_t start = begin_str(b, WIRE_CHMOD, path);
    (void)buf_u32(b, mode);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_chown(struct buf *b, const char *path, const char *user, const char *group,
                        uint32_t flags)
{
    size_t start = begin_str(b, WIRE_CHOWN, path);
    put_str(b, user);
    put_str(b, group);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_find(struct buf *b, const struct wire_find_params *p)
{
    size_t start = begin_str(b, WIRE_FIND, p->path);
    put_str(b, p->pattern);
    put_str(b, p->glob);
    (void)buf_u32(b, p->flags);
    (void)buf_u32(b, p->depth);
    (void)buf_u32(b, p->matches);
    wire_end(b, start);
}

void wire_request_replace(struct buf *b, const struct wire_find_params *p)
{
    size_t start = begin_str(b, WIRE_REPLACE, p->path);
    put_str(b, p->pattern);
    put_str(b, p->replacement);
    put_str(b, p->glob);
    (void)buf_u32(b, p->flags);
    (void)buf_u32(b, p->depth);
    wire_end(b, start);
}

void wire_request_watch(struct buf *b, const char *path, uint32_t flags)
{
    size_t start = begin_str(b, WIRE_WATCH, path);
    (void)buf_u32(b, flags);
    wire_end(b, start);
}

void wire_request_port(struct buf *b, uint16_t port)
{
    size_t start = wire_begin(b, WIRE_PORT);
    (void)buf_u16(b, port);
    wire_end(b, start);
}
