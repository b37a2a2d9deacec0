/* SPDX-License-Identifier: Apache-2.0 */
/* A path, and the same text as a Referer and as cookies: what is taken has an id in its strict form
 * and a prefix inside of the path; what is stripped holds none of our cookies. */
#include "api/port_path.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct port_path *p)
{
    char again[ID_SIZE];
    if (id_parse(again, p->id) < 0 || strcmp(again, p->id) != 0 || p->port == 0)
        abort();
}

static bool has_token(const char *cookies)
{
    struct port_token token;
    bool found = false;
    const char *end = cookies + strlen(cookies);
    while (port_path_next_token(&cookies, "550e8400-e29b-41d4-a716-446655440000", 80, &token)) {
        found = true;
        if (token.text + token.len > end)
            abort();
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct port_path p, none;
    struct buf kept = {0};
    char *text = strndup((const char *)data, size);
    if (text == NULL)
        return 0;
    size_t len = strlen(text);
    if (port_path_parse(text, len, &p)) {
        check(&p);
        if (p.prefix > len || (p.prefix < len && text[p.prefix] != '/'))
            abort();
    }
    if (port_path_of_referer(text, "localhost:8000", &p))
        check(&p);
    if (port_path_of_cookies(text, &p))
        check(&p);
    port_path_strip(&kept, text);
    if (kept.len > 0 && buf_cstr(&kept) != NULL &&
        (port_path_of_cookies(buf_cstr(&kept), &none) || has_token(buf_cstr(&kept))))
        abort();
    (void)has_token(text);
    buf_done(&kept);
    free(text);
    return 0;
}
