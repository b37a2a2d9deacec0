/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and names: lines of text, the first one a host, the others entries of a list. What a list
 * says of the host must not depend on the host's spelling. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "egress/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_LINES 32

static enum egress_reason judge(const char *const *rules, const char *host, bool *ret_name)
{
    char name[NAME_SIZE];
    struct address a;
    struct policy p;
    struct policy_operator op = {.arena = {0}};
    enum egress_reason why = EGRESS_BY_SYNTAX;
    if (policy_read(&p, rules, NULL, NULL) < 0)
        return why;
    *ret_name = name_read(host, strlen(host), name) == 0;
    if (*ret_name) {
        why = policy_may_resolve(&op, &p, name);
        if (address_read_loose(name, &a) == 0)
            abort(); /* an address is no name */
    } else if (address_read_loose(host, &a) == 0) {
        why = policy_check(&op, &p, &(struct rule_target){.name = "", .address = &a, .port = 80},
                           false);
    }
    policy_done(&p);
    return why;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *lines[MAX_LINES + 1];
    size_t count = 0;
    bool name = false;
    char *text = malloc(size + 1), *save;
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = strtok_r(text, "\n", &save); line != NULL && count < MAX_LINES;
         line = strtok_r(NULL, "\n", &save))
        lines[count++] = line;
    lines[count] = NULL;
    if (count > 0) {
        enum egress_reason why = judge(lines + 1, lines[0], &name);
        for (char *c = text; name && *c != '\0'; c++)
            *c = (char)toupper((unsigned char)*c);
        if (name && judge(lines + 1, lines[0], &name) != why)
            abort();
    }
    free(text);
    return 0;
}
