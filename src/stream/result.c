/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - see result.h. */
#include "stream/result.h"

static const struct {
    const char *mime, *name;
} result_names[] = {
    {"text/plain", "text"},        {"text/html", "html"},
    {"text/markdown", "markdown"}, {"text/latex", "latex"},
    {"image/svg+xml", "svg"},      {"image/png", "png"},
    {"image/jpeg", "jpeg"},        {"application/pdf", "pdf"},
    {"application/json", "json"},  {"application/javascript", "javascript"},
};

void result_members(struct jsonw *w, struct span bundle)
{
    cleanup_json json *data = json_parse_object(bundle.data, bundle.len, NULL);
    for (size_t i = 0; data != NULL && i < ARRAY_SIZE(result_names); i++) {
        const json *value = cJSON_GetObjectItemCaseSensitive(data, result_names[i].mime);
        if (value == NULL)
            continue;
        jsonw_key(w, result_names[i].name);
        (void)json_print(w->out, value);
        w->comma = true;
    }
}
