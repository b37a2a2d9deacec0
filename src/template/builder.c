/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.c - one child process at a time: choose a template, run the build, log what it prints.
 *
 * The happy path is: template_builder_check finds a template without a fitting snapshot,
 * builder_spawn starts `corrald template snapshot`, its exit and the end of its output close the
 * two handles, and the check is made again, until no template needs a build. Possible failure modes
 * are:
 * - The build fails. It would fail again, so the template is marked and left alone until it is read
 *   anew: on SIGHUP, or after the build of another. Its sandboxes boot cold.
 * - The VMM refuses the snapshot later. It is made again, once: the machine may have changed. A
 *   second refusal means that a new snapshot does not help.
 * - The server stops. The child gets SIGTERM and nothing is started any more.
 */
#include "template/builder.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "isolation/oom.h"

#define BUILDER_LINE_MAX 1024 /* bytes; the rest of a longer line is dropped */
#define BUILDER_READ     4096

static void builder_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret);
static void builder_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void builder_on_exit_status(uv_process_t *process, int64_t status, int signal);
static void builder_on_closed(uv_handle_t *handle);

void template_builder_init(struct template_builder *b, uv_loop_t *loop, const struct config *config,
                           struct template_set *set)
{
    *b = (struct template_builder){.loop = loop, .config = config, .set = set};
}

static bool builder_needs(const struct template_set *set, const struct template *t)
{
    return set->guest_dir != NULL && t->present && t->kvm != TEMPLATE_KVM_WARM &&
           !t->snapshot_failed;
}

/* The template that sandboxes have when they name none goes first. */
static struct template *builder_choose(const struct template_builder *b)
{
    struct template *first = NULL;
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        if (!builder_needs(b->set, t))
            continue;
        if (strcmp(t->name, b->config->template_default) == 0)
            return t;
        if (first == NULL)
            first = t;
    }
    return first;
}

static int builder_spawn(struct template_builder *b, char *name)
{
    const struct config *c = b->config;
    char *args[] = {(char *)"corrald",
                    (char *)"template",
                    (char *)"snapshot",
                    name,
                    (char *)"--state-dir",
                    c->state_dir,
                    (char *)"--guest-dir",
                    c->guest_dir,
                    (char *)"--vmm",
                    c->vmm,
                    NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&b->output},
    };
    /* In a session of its own, or Ctrl-C would reach it, too: the server ends its child itself. */
    const uv_process_options_t options = {
        .file = "/proc/self/exe",
        .args = args,
        .exit_cb = builder_on_exit_status,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = ARRAY_SIZE(stdio),
    };
    uv_pipe_init(b->loop, &b->output, 0);
    b->open = 2;
    oom_spawn_begin(OOM_SCORE_HELPER);
    int rv = uv_spawn(b->loop, &b->process, &options);
    oom_spawn_end();
    if (rv == 0)
        return uv_read_start((uv_stream_t *)&b->output, builder_on_alloc, builder_on_read);
    uv_close((uv_handle_t *)&b->process, builder_on_closed);
    uv_close((uv_handle_t *)&b->output, builder_on_closed);
    return rv;
}

void template_builder_check(struct template_builder *b)
{
    struct template *t = b->stopped || b->open > 0 ? NULL : builder_choose(b);
    if (t == NULL)
        return;
    log_info("making the template's snapshot, sandboxes boot cold until then",
             "template=%s reason=\"%s\"", t->name, template_kvm_str(t->kvm));
    b->current = t;
    int rv = builder_spawn(b, t->name);
    if (rv < 0) {
        t->snapshot_failed = true;
        log_error("the template's snapshot cannot be made", "template=%s error=\"%s\"", t->name,
                  uv_strerror(rv));
    }
}

static void builder_log_line(struct template_builder *b)
{
    char quoted[BUILDER_LINE_MAX + 64];
    if (buf_cstr(&b->line) != NULL && b->line.len > 0)
        log_info("template", "template=%s text=%s", b->current->name,
                 log_quote(quoted, sizeof(quoted), (const char *)b->line.data));
    buf_done(&b->line);
}

static void builder_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    static char data[BUILDER_READ]; /* used up before the next read */
    *ret = uv_buf_init(data, sizeof(data));
}

static void builder_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct template_builder *b = container_of((uv_pipe_t *)stream, struct template_builder, output);
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == '\n')
            builder_log_line(b);
        else if (b->line.len < BUILDER_LINE_MAX)
            (void)buf_u8(&b->line, (uint8_t)buf->base[i]);
    }
    if (n < 0 && !uv_is_closing((uv_handle_t *)stream)) {
        builder_log_line(b);
        uv_close((uv_handle_t *)stream, builder_on_closed);
    }
}

static void builder_on_exit_status(uv_process_t *process, int64_t status, int signal)
{
    struct template_builder *b = container_of(process, struct template_builder, process);
    if (status != 0 || signal != 0) {
        b->current->snapshot_failed = true;
        if (!b->stopped)
            log_error("the template's snapshot was not made, its sandboxes boot cold",
                      "template=%s status=%d signal=%d", b->current->name, (int)status, signal);
    }
    uv_close((uv_handle_t *)process, builder_on_closed);
}

static void builder_on_closed(uv_handle_t *handle)
{
    struct template_builder *b = handle->type == UV_PROCESS
                                     ? container_of((uv_process_t *)handle, struct template_builder,
                                                    process)
                                     : container_of((uv_pipe_t *)handle, struct template_builder,
                                                    output);
    /* A successful build sends SIGHUP, which may arrive before or after this. The templates are
     * read here in any case, so that the check sees the new snapshot. */
    if (--b->open == 0) {
        if (!b->current->snapshot_failed)
            (void)template_set_load(b->set);
        template_builder_check(b);
    }
}

void template_builder_refused(struct template_builder *b, const char *dir)
{
    list_for_each (it, &b->set->templates) {
        struct template *t = list_entry(it, struct template, node);
        if (t->dir == NULL || strcmp(t->dir, dir) != 0 || t->kvm != TEMPLATE_KVM_WARM)
            continue;
        t->kvm = TEMPLATE_KVM_COLD;
        /* The second refusal: a third snapshot would be refused as well. */
        t->snapshot_failed = t->refused;
        t->refused = true;
    }
    template_builder_check(b);
}

void template_builder_stop(struct template_builder *b)
{
    b->stopped = true;
    if (b->open > 0 && uv_is_active((uv_handle_t *)&b->process))
        (void)uv_process_kill(&b->process, SIGTERM);
}
