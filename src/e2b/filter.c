/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - see filter.h. */
#include "e2b/filter.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Decodes in place; with `plus` "+" is a space. False for a broken escape or an encoded NUL. */
static bool filter_decode(char *text, bool plus)
{
    char *out = text;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '+' && plus) {
            *out++ = ' ';
        } else if (*p != '%') {
            *out++ = *p;
        } else {
            char hex[3] = {p[1], p[1] != '\0' ? p[2] : '\0', '\0'};
            if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
                return false;
            *out++ = (char)strtol(hex, NULL, 16);
            p += 2;
            if (out[-1] == '\0')
                return false;
        }
    }
    *out = '\0';
    return utf8_valid((const uint8_t *)text, (size_t)(out - text));
}

/* A form's decoding, then that of the client. */
static bool filter_side(char *text)
{
    return filter_decode(text, true) && filter_decode(text, false);
}

static bool filter_pair(json *pairs, char *pair)
{
    char *value = strchr(pair, '=');
    if (value != NULL)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    return filter_side(pair) && filter_side(value) &&
           cJSON_AddStringToObject(pairs, pair, value) != NULL;
}

json *e2b_filter_parse(const char *form)
{
    cleanup_free char *copy = strdup(form);
    json *pairs = cJSON_CreateObject();
    bool good = copy != NULL && pairs != NULL;
    char *rest = NULL;
    char *pair = good ? strtok_r(copy, "&", &rest) : NULL;
    for (; pair != NULL && good; pair = strtok_r(NULL, "&", &rest))
        good = filter_pair(pairs, pair);
    if (!good)
        json_free_p(&pairs);
    return good ? pairs : NULL;
}

bool e2b_filter_matches(const json *pairs, const char *metadata)
{
    if (pairs == NULL)
        return true;
    cleanup_json json *has = json_parse_object(metadata, strlen(metadata), NULL);
    const json *wanted;
    cJSON_ArrayForEach(wanted, pairs)
    {
        const json *value = cJSON_GetObjectItemCaseSensitive(has, wanted->string);
        if (!cJSON_IsString(value) || strcmp(value->valuestring, wanted->valuestring) != 0)
            return false;
    }
    return true;
}

bool e2b_filter_state(const char *states, const char *state)
{
    const size_t len = strlen(state);
    for (const char *p = states; p != NULL && *p != '\0'; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n == len && memcmp(p, state, len) == 0)
            return true;
        p += n;
    }
    return states == NULL || *states == '\0';
}
