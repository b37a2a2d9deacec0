/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - see result.h. */
#include "stream/result.h"

#include <string.h>

/* What the kernel of Python adds (guest/kernels/ipython). */
#define RESULT_CHART "application/vnd.corral.chart+json"
#define RESULT_TABLE "application/vnd.corral.table+json"

static const struct {
    const char *mime, *name;
} result_names[] = {
    {"text/plain", "text"},        {"text/html", "html"},
    {"text/markdown", "markdown"}, {"text/latex", "latex"},
    {"image/svg+xml", "svg"},      {"image/png", "png"},
    {"image/jpeg", "jpeg"},        {"application/pdf", "pdf"},
    {"application/json", "json"},  {"application/javascript", "javascript"},
    {RESULT_CHART, "chart"},       {RESULT_TABLE, "data"},
};

static void result_member(struct jsonw *w, const char *name, const json *value)
{
    jsonw_key(w, name);
    (void)json_print(w->out, value);
    w->comma = true;
}

void result_members(struct jsonw *w, const json *data)
{
    for (size_t i = 0; data != NULL && i < ARRAY_SIZE(result_names); i++) {
        const json *value = cJSON_GetObjectItemCaseSensitive(data, result_names[i].mime);
        if (value != NULL)
            result_member(w, result_names[i].name, value);
    }
}

static bool result_is_named(const char *mime)
{
    for (size_t i = 0; i < ARRAY_SIZE(result_names); i++) {
        if (strcmp(mime, result_names[i].mime) == 0)
            return true;
    }
    return false;
}

void result_extra(struct jsonw *w, const json *data)
{
    const json *value;
    bool any = false;
    cJSON_ArrayForEach(value, data)
    {
        if (result_is_named(value->string))
            continue;
        if (!any) {
            jsonw_key(w, "extra");
            jsonw_object(w);
        }
        any = true;
        result_member(w, value->string, value);
    }
    if (any)
        jsonw_object_end(w);
}
