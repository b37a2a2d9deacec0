/* SPDX-License-Identifier: Apache-2.0 */
/* A Host, and two lines for the headers: what is an address has an id in its strict form. */
#include <string.h>

#include "e2b/address.h"
#include "e2b/filter.h"

static void check(const struct e2b_address *a, bool named)
{
    char again[ID_SIZE];
    if ((named || a->id[0] != '\0') && (id_parse(again, a->id) < 0 || strcmp(again, a->id) != 0))
        abort();
    if (a->port == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct e2b_address a;
    char *text = strndup((const char *)data, size);
    if (text == NULL)
        return 0;
    if (e2b_address_of_host(text, "localhost", &a))
        check(&a, true);
    char *second = strchr(text, '\n');
    if (second != NULL)
        *second++ = '\0';
    if (e2b_address_of_headers(text, second, &a))
        check(&a, false);
    json *pairs = e2b_filter_parse(text);
    if (pairs != NULL && pairs->child != NULL && e2b_filter_matches(pairs, "{}"))
        abort();
    json_free_p(&pairs);
    (void)e2b_filter_state(text, "paused");
    free(text);
    return 0;
}
