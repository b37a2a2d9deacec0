/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - see describe.h. */
#include "stream/describe.h"

#include <stdio.h>

void describe_span(struct jsonw *w, const char *key, struct span s)
{
    jsonw_key(w, key);
    jsonw_strn(w, s.data, s.len);
}

void describe_exit(struct jsonw *w, const struct wire_exit *how)
{
    jsonw_key_int(w, "exit_code", how->code);
    jsonw_key_int(w, "duration_ms", (int64_t)(how->duration_us / 1000));
    if (how->timed_out) { /* strict clients take the key only then */
        jsonw_key_bool(w, "timed_out", true);
    } else if (how->cause == WIRE_CAUSE_MEMORY) {
        jsonw_key_str(w, "error", WIRE_NO_MEMORY_TEXT);
    } else if (how->signal != 0) {
        char text[64];
        (void)snprintf(text, sizeof(text), "The command was ended by signal %u", how->signal);
        jsonw_key_str(w, "error", text);
    }
}

const char *describe_status(const struct wire_process *p)
{
    if (!p->ended)
        return "running";
    if (p->exit.timed_out)
        return "timed_out";
    return p->exit.signal != 0 ? "killed" : "exited";
}

void describe_process(struct jsonw *w, const struct wire_process *p)
{
    struct span word;
    struct cursor list = p->argv;
    jsonw_key_int(w, "id", (int64_t)p->id);
    jsonw_key_int(w, "pid", p->pid);
    describe_span(w, "tag", p->tag);
    jsonw_key(w, "argv");
    jsonw_array(w);
    while (wire_next_word(&list, &word))
        jsonw_strn(w, word.data, word.len);
    jsonw_array_end(w);
    describe_span(w, "cwd", p->cwd);
    jsonw_key_bool(w, "shell", (p->flags & WIRE_EXEC_SHELL) != 0);
    jsonw_key_bool(w, "stdin", (p->flags & WIRE_EXEC_STDIN) != 0);
    jsonw_key_bool(w, "pty", (p->flags & WIRE_PROCESS_PTY) != 0);
    jsonw_key_str(w, "status", describe_status(p));
    jsonw_key_time(w, "started_at", p->started_ms);
    jsonw_key_int(w, "first_seq", (int64_t)p->first_seq);
    jsonw_key_int(w, "next_seq", (int64_t)p->next_seq);
    if (p->ended)
        describe_exit(w, &p->exit);
}

const char *describe_kind(uint32_t kind)
{
    static const char *const names[] = {"", "file", "directory", "symlink", "other"};
    return kind < ARRAY_SIZE(names) ? names[kind] : "";
}

/* "rw-r-xr--" */
static void describe_permissions(struct jsonw *w, uint32_t mode)
{
    char text[10] = "rwxrwxrwx";
    for (unsigned int i = 0; i < 9; i++) {
        if ((mode >> (8 - i) & 1) == 0)
            text[i] = '-';
    }
    jsonw_key_str(w, "permissions", text);
}

void describe_info(struct jsonw *w, const struct wire_info *info)
{
    const struct wire_stat *s = &info->stat;
    char mode[16];
    (void)snprintf(mode, sizeof(mode), "%04o", s->mode & 07777);
    describe_span(w, "name", s->name);
    describe_span(w, "path", s->path);
    jsonw_key_str(w, "type", describe_kind(s->kind));
    jsonw_key_bool(w, "is_dir", s->kind == WIRE_KIND_DIRECTORY);
    jsonw_key_int(w, "size", (int64_t)MIN(s->size, (uint64_t)INT64_MAX));
    jsonw_key_str(w, "mode", mode);
    describe_permissions(w, s->mode);
    describe_span(w, "owner", info->owner);
    describe_span(w, "group", info->group);
    jsonw_key_int(w, "uid", info->uid);
    jsonw_key_int(w, "gid", info->gid);
    jsonw_key_time(w, "modified_at", MAX(s->mtime_ns / 1000000, 1)); /* 0 would print as null */
    if (s->kind == WIRE_KIND_SYMLINK) {
        describe_span(w, "target", info->target);
        jsonw_key_str(w, "target_type", describe_kind(info->target_kind));
    }
}
