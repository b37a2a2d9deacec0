/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/rule.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "egress_ctl.h"

#define RULE_TEXT (NAME_SIZE + 16) /* a name, "*." and ":65535", and more than an address */

static int rule_bad(struct error *err, const char *text, const char *reason)
{
    char quoted[96];
    return error_set(err, ERROR_INVALID_ARGUMENT, "the entry %s %s",
                     log_quote(quoted, sizeof(quoted), text), reason);
}

/* Cuts ":port" off. An IPv6 address without brackets has colons and no port. */
static int rule_cut_port(char *text, uint16_t *ret)
{
    char *first = strchr(text, ':'), *last = strrchr(text, ':');
    int64_t port;
    *ret = 0;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        last = end == NULL ? NULL : strchr(end, ':');
    } else if (first != last) {
        return 0;
    }
    if (last == NULL)
        return 0;
    if (num_parse(last + 1, 1, 65535, &port) < 0)
        return -EINVAL;
    *last = '\0';
    *ret = (uint16_t)port;
    return 0;
}

/* Takes the brackets off an IPv6 address, which may be followed by a prefix length. */
static int rule_cut_brackets(char *text)
{
    char *end = strchr(text, ']');
    if (text[0] != '[')
        return end == NULL && strchr(text, '[') == NULL ? 0 : -EINVAL;
    if (end == NULL || (end[1] != '\0' && end[1] != '/'))
        return -EINVAL;
    memmove(end, end + 1, strlen(end + 1) + 1);
    memmove(text, text + 1, strlen(text + 1) + 1);
    return strchr(text, ':') == NULL ? -EINVAL : 0;
}

static bool rule_is_clean(const struct rule *r)
{
    for (unsigned int bit = r->bits; bit < (r->net.v6 ? 128u : 32u); bit++)
        if ((r->net.bytes[bit / 8] & (0x80u >> (bit % 8))) != 0)
            return false;
    return true;
}

/* 1 when it is a network, 0 when it may be a name, -EINVAL when it is a broken network. */
static int rule_read_net(char *text, struct rule *r, const char **reason)
{
    char *slash = strchr(text, '/');
    int64_t bits;
    if (slash != NULL)
        *slash = '\0';
    if (address_read(text, &r->net) < 0) {
        *reason = "is no network: before the slash stands no address";
        return slash != NULL ? -EINVAL : 0;
    }
    int64_t most = r->net.v6 ? 128 : 32;
    bits = most;
    if (slash != NULL && num_parse(slash + 1, 0, most, &bits) < 0) {
        *reason = "has a prefix length that its address cannot have";
        return -EINVAL;
    }
    r->bits = (unsigned int)bits;
    *reason = "has bits set behind its prefix length";
    if (!rule_is_clean(r))
        return -EINVAL;
    r->kind = !r->net.v6 && bits == 0 ? RULE_ANY : RULE_NET;
    return 1;
}

static int rule_read_host(char *text, struct arena *arena, struct rule *r, const char **reason)
{
    char name[NAME_SIZE];
    if (strcmp(text, "*") == 0) {
        r->kind = RULE_ANY;
        return 0;
    }
    if (rule_cut_brackets(text) < 0) {
        *reason = "has brackets that do not enclose an IPv6 address";
        return -EINVAL;
    }
    int rv = rule_read_net(text, r, reason);
    if (rv != 0)
        return rv < 0 ? rv : 0;
    r->kind = strncmp(text, "*.", 2) == 0 ? RULE_BELOW : RULE_NAME;
    const char *host = r->kind == RULE_BELOW ? text + 2 : text;
    *reason = "is neither a host name, nor *.NAME, nor an address, nor a network";
    if (name_read(host, strlen(host), name) < 0)
        return -EINVAL;
    r->name = arena_strndup(arena, name, strlen(name));
    return r->name == NULL ? -ENOMEM : 0;
}

int rule_read(const char *text, struct arena *arena, struct rule *ret, struct error *err)
{
    char copy[RULE_TEXT];
    const char *reason = "";
    *ret = (struct rule){.kind = RULE_ANY};
    if (text[0] == '\0' || strlen(text) >= sizeof(copy))
        return rule_bad(err, text, "is empty or too long");
    memcpy(copy, text, strlen(text) + 1);
    if (rule_cut_port(copy, &ret->port) < 0)
        return rule_bad(err, text, "has no port from 1 to 65535 behind its colon");
    int rv = rule_read_host(copy, arena, ret, &reason);
    if (rv == -ENOMEM)
        return error_set_errno(err, ERROR_INTERNAL, rv, "an entry of a list");
    return rv < 0 ? rule_bad(err, text, reason) : 0;
}

int rule_list_read(const char *const *texts, struct arena *arena, struct rule_list *ret,
                   struct error *err)
{
    size_t count = 0;
    *ret = (struct rule_list){.rules = NULL};
    while (texts != NULL && texts[count] != NULL)
        count++;
    if (count > EGRESS_MAX_RULES)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a list has %zu entries, more than %u", count,
                         EGRESS_MAX_RULES);
    if (count == 0)
        return 0;
    ret->rules = arena_alloc(arena, count * sizeof(struct rule));
    if (ret->rules == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "a list");
    for (size_t i = 0; i < count; i++) {
        int rv = rule_read(texts[i], arena, &ret->rules[i], err);
        if (rv < 0)
            return rv;
    }
    ret->count = count;
    return 0;
}

bool rule_covers(const struct rule *r, const struct rule_target *t)
{
    switch (r->kind) {
    case RULE_ANY:
        return true;
    case RULE_NAME:
        return strcmp(t->name, r->name) == 0;
    case RULE_BELOW:
        return name_below(t->name, r->name);
    case RULE_NET:
        return t->address != NULL && address_in(t->address, &r->net, r->bits);
    default:
        return false;
    }
}

bool rule_is_exact(const struct rule *r)
{
    return r->port != 0 &&
           (r->kind == RULE_NAME || (r->kind == RULE_NET && r->bits == (r->net.v6 ? 128u : 32u)));
}
