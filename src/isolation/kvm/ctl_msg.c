/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/kvm/ctl_msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MSG_MAX_ERRNO     4095u /* the kernel's own bound */
#define MSG_STATS_BETWEEN 6u    /* counters that nobody here asks for */

/* The text goes into logs, records and answers of the API. */
static void msg_text(struct cursor *c, char text[KVM_CTL_TEXT])
{
    struct span s = wire_get_span(c);
    size_t len = MIN(s.len, (size_t)KVM_CTL_TEXT - 1);
    for (size_t i = 0; i < len; i++)
        text[i] = s.data[i] >= ' ' && s.data[i] <= '~' ? s.data[i] : '?';
    text[len] = '\0';
}

static int msg_hello(struct cursor *c, struct kvm_ctl_msg *m)
{
    uint32_t version = cursor_u32(c);
    uint32_t state = cursor_u32(c);
    m->state = (enum ctl_state)state;
    return version == CTL_VERSION && state <= CTL_STATE_EXITED ? 0 : -EPROTO;
}

static int msg_exited(struct cursor *c, struct kvm_ctl_msg *m)
{
    uint32_t exit = cursor_u32(c);
    m->exit = (enum ctl_exit)exit;
    msg_text(c, m->text);
    return exit <= CTL_EXIT_ERROR ? 0 : -EPROTO;
}

static int msg_error(struct cursor *c, struct kvm_ctl_msg *m)
{
    uint32_t number = cursor_u32(c);
    m->error = -(int)(number & MSG_MAX_ERRNO);
    msg_text(c, m->text);
    return number > 0 && number <= MSG_MAX_ERRNO ? 0 : -EPROTO;
}

/* Later versions append fields, which are skipped. */
static int msg_stats(struct cursor *c, struct kvm_ctl_msg *m)
{
    (void)cursor_u64(c); /* exits of vCPUs */
    m->disk_read = cursor_u64(c);
    m->disk_write = cursor_u64(c);
    (void)cursor_bytes(c, MSG_STATS_BETWEEN * sizeof(uint64_t));
    m->pause_us = cursor_u64(c);
    (void)cursor_bytes(c, c->left);
    return 0;
}

static int msg_saved(struct cursor *c, struct kvm_ctl_msg *m)
{
    m->pause_us = cursor_u64(c);
    m->saved_bytes = cursor_u64(c);
    uint32_t difference = cursor_u32(c);
    m->difference = difference == 1;
    if (c->left >= sizeof(uint64_t)) /* a VMM of before says no length: it has no room to cut off */
        m->saved_length = cursor_u64(c);
    (void)cursor_bytes(c, c->left);
    return difference <= 1 ? 0 : -EPROTO;
}

static int msg_empty(struct cursor *c, struct kvm_ctl_msg *m)
{
    (void)c;
    (void)m;
    return 0;
}

static const struct {
    enum ctl_type type;
    int (*decode)(struct cursor *c, struct kvm_ctl_msg *m);
} msg_types[] = {
    {CTL_OK, msg_empty},    {CTL_ERROR, msg_error},   {CTL_STATS_REPLY, msg_stats},
    {CTL_HELLO, msg_hello}, {CTL_EXITED, msg_exited}, {CTL_SAVED, msg_saved},
};

int kvm_ctl_msg_decode(const struct wire_frame *f, struct kvm_ctl_msg *ret)
{
    struct cursor c = cursor_on(f->payload, f->len);
    *ret = (struct kvm_ctl_msg){.type = (enum ctl_type)(uint32_t)f->type};
    for (size_t i = 0; i < ARRAY_SIZE(msg_types); i++) {
        if (msg_types[i].type != ret->type)
            continue;
        int rv = msg_types[i].decode(&c, ret);
        return rv == 0 && cursor_end(&c) ? 0 : -EPROTO;
    }
    return -EPROTO;
}

const char *kvm_ctl_msg_reason(const struct kvm_ctl_msg *exited, char *text, size_t cap)
{
    static const struct {
        const char *what;
        bool with_text;
    } reasons[] = {
        [CTL_EXIT_NONE] = {"the microVM ended", true},
        [CTL_EXIT_STOPPED] = {"the microVM was stopped", false},
        [CTL_EXIT_POWEROFF] = {"the guest powered off", false},
        [CTL_EXIT_RESET] = {"the guest rebooted", false},
        [CTL_EXIT_PANIC] = {"the guest's kernel panicked", true},
        [CTL_EXIT_ERROR] = {"the host could not run the guest", true},
    };
    bool with_text = reasons[exited->exit].with_text && exited->text[0] != '\0';
    (void)snprintf(text, cap, "%s%s%s", reasons[exited->exit].what, with_text ? ": " : "",
                   with_text ? exited->text : "");
    return text;
}
