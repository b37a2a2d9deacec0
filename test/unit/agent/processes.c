/* SPDX-License-Identifier: Apache-2.0 */
#include "processes.h"

#include <errno.h>
#include <signal.h>

#include "t.h"

static void copy(char *out, size_t cap, struct span s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.data);
}

static void take_ending(struct cursor *c, int *code, uint32_t *sig, uint32_t *cause)
{
    *code = (int)cursor_u32(c);
    *sig = cursor_u32(c);
    *cause = cursor_u32(c);
    (void)cursor_u64(c);
    T_TRUE(*cause <= WIRE_CAUSE_KILLED);
}

static void take_info(const struct wire_frame *f, struct info *ret)
{
    struct cursor c = cursor_on(f->payload, f->len);
    *ret = (struct info){.id = cursor_u64(&c), .pid = cursor_u32(&c)};
    copy(ret->tag, sizeof(ret->tag), wire_get_span(&c));
    uint32_t args = cursor_u32(&c);
    for (uint32_t i = 0; i < args; i++) {
        struct span arg = wire_get_span(&c);
        if (i == 0)
            copy(ret->arg, sizeof(ret->arg), arg);
    }
    copy(ret->cwd, sizeof(ret->cwd), wire_get_span(&c));
    ret->flags = cursor_u32(&c);
    T_TRUE(cursor_u64(&c) > 1600000000000u); /* ms since 1970 */
    ret->first = cursor_u64(&c);
    ret->next = cursor_u64(&c);
    ret->ended = cursor_u32(&c);
    if (ret->ended)
        take_ending(&c, &ret->exit_code, &ret->signal, &ret->cause);
    if (ret->flags & WIRE_PROCESS_PTY) {
        ret->columns = cursor_u32(&c);
        ret->rows = cursor_u32(&c);
    }
    T_TRUE(cursor_end(&c));
}

static uint32_t take_error(const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    T_EQ(f->type, WIRE_ERROR);
    return cursor_u32(&c);
}

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

bool start_process(const struct agent_proc *a, const struct start *s, struct info *ret,
                   uint32_t *ret_error)
{
    struct client c;
    struct wire_frame f;
    struct buf b = {0};
    const char *const line[] = {s->shell, NULL};
    size_t start = wire_begin(&b, WIRE_PROCESS_START);
    buf_u32(&b, s->flags | (s->shell != NULL ? WIRE_EXEC_SHELL : 0));
    buf_u32(&b, s->timeout_ms);
    wire_put_str(&b, or_empty(s->cwd));
    wire_put_str(&b, or_empty(s->user));
    wire_put_str(&b, or_empty(s->tag));
    wire_put_list(&b, s->shell != NULL ? line : s->argv);
    wire_put_list(&b, s->env);
    buf_u32(&b, s->columns);
    buf_u32(&b, s->rows);
    buf_u32(&b, s->ring);
    wire_end(&b, start);
    client_open(&c, a);
    client_send(&c, &b);
    T_EQ(client_next(&c, &f), 1);
    bool started = f.type == WIRE_PROCESS;
    *ret_error = started ? 0 : take_error(&f);
    if (started)
        take_info(&f, ret);
    T_EQ(client_next(&c, &f), 0);
    client_close(&c);
    return started;
}

uint64_t start_shell(const struct agent_proc *a, const char *command, uint32_t flags)
{
    struct info info;
    uint32_t error;
    T_TRUE(start_process(a, &(struct start){.shell = command, .flags = flags}, &info, &error));
    return info.id;
}

void put_which(struct buf *b, uint64_t id, uint32_t pid, const char *tag)
{
    buf_u64(b, id);
    buf_u32(b, pid);
    wire_put_str(b, tag);
}

uint32_t ask_process(const struct agent_proc *a, struct buf *b)
{
    struct result r;
    run_request(a, b, &r);
    uint32_t error = r.error;
    T_TRUE(error != 0 || r.ok);
    result_done(&r);
    return error;
}

uint32_t signal_process(const struct agent_proc *a, uint64_t id, uint32_t sig, uint32_t scope)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_PROCESS_SIGNAL);
    put_which(&b, id, 0, "");
    buf_u32(&b, sig);
    buf_u32(&b, scope);
    wire_end(&b, start);
    return ask_process(a, &b);
}

uint32_t type_into(const struct agent_proc *a, uint64_t id, const char *text, size_t len,
                   uint32_t flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_PROCESS_INPUT);
    put_which(&b, id, 0, "");
    buf_u32(&b, flags);
    wire_put_span(&b, text, len);
    wire_end(&b, start);
    return ask_process(a, &b);
}

uint32_t forget_process(const struct agent_proc *a, uint64_t id)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_PROCESS_FORGET);
    put_which(&b, id, 0, "");
    wire_end(&b, start);
    return ask_process(a, &b);
}

uint32_t resize_process(const struct agent_proc *a, uint64_t id, uint32_t columns, uint32_t rows)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_PROCESS_RESIZE);
    put_which(&b, id, 0, "");
    buf_u32(&b, columns);
    buf_u32(&b, rows);
    wire_end(&b, start);
    return ask_process(a, &b);
}

size_t list_processes(const struct agent_proc *a, struct info *ret, size_t cap)
{
    struct client c;
    struct wire_frame f;
    struct buf b = {0};
    size_t n = 0;
    wire_put_frame(&b, WIRE_PROCESS_LIST, NULL, 0);
    client_open(&c, a);
    client_send(&c, &b);
    while (client_next(&c, &f) && f.type != WIRE_END) {
        struct info info;
        T_EQ(f.type, WIRE_PROCESS);
        take_info(&f, &info);
        if (n < cap)
            ret[n] = info;
        n++;
    }
    T_EQ(f.type, WIRE_END);
    client_close(&c);
    return n;
}

void attach(struct client *c, const struct agent_proc *a, uint64_t id, uint64_t seq, uint32_t flags)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, WIRE_PROCESS_ATTACH);
    put_which(&b, id, 0, "");
    buf_u64(&b, seq);
    buf_u32(&b, flags);
    wire_end(&b, start);
    client_open(c, a);
    client_send(c, &b);
}

static void take_output(struct heard *h, struct cursor *c)
{
    uint64_t seq = cursor_u64(c);
    uint32_t stream = cursor_u32(c);
    struct buf *b = stream == WIRE_STREAM_STDOUT   ? &h->out
                    : stream == WIRE_STREAM_STDERR ? &h->err
                                                   : &h->tty;
    T_TRUE(stream >= WIRE_STREAM_STDOUT && stream <= WIRE_STREAM_PTY);
    T_TRUE(c->left > 0 && c->left <= WIRE_CHUNK);
    if (h->records++ == 0)
        h->first = seq;
    else
        T_EQ(seq, h->next); /* without holes, but for those that a GAP tells of */
    h->next = seq + 1;
    buf_append(b, c->p, c->left);
    c->left = 0;
    buf_cstr(b);
}

bool hear(struct client *c, struct heard *h)
{
    struct wire_frame f;
    if (!client_next(c, &f))
        return false;
    struct cursor cur = cursor_on(f.payload, f.len);
    T_TRUE(!h->ended && h->error == 0);
    switch (f.type) {
    case WIRE_PROCESS:
        T_EQ(h->info.id, 0);
        take_info(&f, &h->info);
        return true;
    case WIRE_OUTPUT:
        T_TRUE(h->info.id != 0);
        take_output(h, &cur);
        break;
    case WIRE_GAP:
        h->gaps++;
        h->next = cursor_u64(&cur);
        break;
    case WIRE_PROCESS_EXIT:
        h->ended = true;
        take_ending(&cur, &h->exit_code, &h->signal, &h->cause);
        break;
    default:
        h->error = take_error(&f);
        return true;
    }
    T_TRUE(cursor_end(&cur));
    return true;
}

void hear_text(struct client *c, struct heard *h, const char *text)
{
    while ((h->out.data == NULL || strstr((char *)h->out.data, text) == NULL) &&
           (h->tty.data == NULL || strstr((char *)h->tty.data, text) == NULL)) {
        if (!hear(c, h))
            T_FAIL("the connection ended before it said \"%s\"", text);
    }
}

void hear_all(struct client *c, struct heard *h)
{
    while (hear(c, h))
        ;
    T_TRUE(h->ended || h->error != 0);
    buf_cstr(&h->out);
    buf_cstr(&h->err);
    buf_cstr(&h->tty);
}

void attach_to_end(const struct agent_proc *a, uint64_t id, uint64_t seq, struct heard *h)
{
    struct client c;
    *h = (struct heard){0};
    attach(&c, a, id, seq, 0);
    hear_all(&c, h);
    client_close(&c);
}

void heard_done(struct heard *h)
{
    buf_done(&h->out);
    buf_done(&h->err);
    buf_done(&h->tty);
    *h = (struct heard){0};
}

bool is_gone(long pid)
{
    for (int i = 0; i < 500; i++) {
        if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            return true;
        usleep(10000);
    }
    return false;
}
