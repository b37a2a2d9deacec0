/* SPDX-License-Identifier: Apache-2.0 */
#include "network/rules.h"

#include <errno.h>
#include <string.h>

#include "egress/transform.h"

int network_rules_add(struct network_rules *l, size_t most, const char *text, size_t len)
{
    if (l->count >= most)
        return -E2BIG;
    char **items = reallocarray(l->items, l->count + 2, sizeof(*items));
    if (items == NULL)
        return -ENOMEM;
    l->items = items;
    l->items[l->count] = strndup(text, len);
    if (l->items[l->count] == NULL)
        return -ENOMEM;
    l->items[++l->count] = NULL;
    return 0;
}

int network_rules_split(const char *text, struct network_rules *ret, struct error *err)
{
    int rv = 0;
    *ret = (struct network_rules){.items = NULL};
    while (*text != '\0' && rv == 0) {
        size_t len = strcspn(text, ", ");
        if (len > 0)
            rv = network_rules_add(ret, EGRESS_MAX_RULES, text, len);
        text += len + strspn(text + len, ", ");
    }
    if (rv == 0)
        return 0;
    network_rules_done(ret);
    return rv == -E2BIG ? error_set(err, ERROR_INVALID_ARGUMENT, "A list has more than %u entries",
                                    EGRESS_MAX_RULES)
                        : error_set_errno(err, ERROR_INTERNAL, rv, "A list");
}

void network_rules_done(struct network_rules *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free((void *)l->items);
    *l = (struct network_rules){.items = NULL};
}
