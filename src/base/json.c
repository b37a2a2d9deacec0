/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_check.h"
#include "base/utf8.h"

void json_free_p(json **j)
{
    cJSON_Delete(*j);
}

/* Stands for U+0000 in a C string: its overlong form, which valid UTF-8 never holds. */
#define JSON_NUL "\xc0\x80"

/* A copy of sound JSON with JSON_NUL for each \u0000; empty when there is none. */
static int json_hide_nul(struct buf *out, const char *text, size_t len)
{
    static const char escape[] = "\\u0000";
    const char *end = text + len, *kept = text;
    for (const char *p = text; (p = memchr(p, '\\', (size_t)(end - p))) != NULL; p += 2) {
        if ((size_t)(end - p) < 6 || memcmp(p, escape, 6) != 0)
            continue;
        (void)buf_append(out, kept, (size_t)(p - kept));
        (void)buf_append_str(out, JSON_NUL);
        kept = p + 6;
        p += 4;
    }
    if (kept != text)
        (void)buf_append(out, kept, (size_t)(end - kept));
    return out->failed ? -ENOMEM : 0;
}

static json *json_parse_text(const void *data, size_t len, bool nul, size_t most, struct error *err)
{
    size_t at = 0;
    if (!utf8_valid(data, len)) {
        error_set(err, ERROR_INVALID_JSON, "The JSON text is not valid UTF-8");
        return NULL;
    }
    /* cJSON accepts more than JSON, and how much more depends on its release. */
    const char *why = json_check_most(data, len, nul, most, &at);
    if (why != NULL) {
        error_set(err, ERROR_INVALID_JSON, "The JSON text is malformed at byte %zu: %s", at, why);
        return NULL;
    }
    cleanup_buf struct buf text = {0};
    if (nul && json_hide_nul(&text, data, len) < 0) {
        error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    json *j = text.len > 0 ? cJSON_ParseWithLength((const char *)text.data, text.len)
                           : cJSON_ParseWithLength(data, len);
    if (j == NULL)
        error_set(err, ERROR_INVALID_JSON, "The JSON text cannot be read");
    return j;
}

json *json_parse(const void *data, size_t len, struct error *err)
{
    return json_parse_text(data, len, false, SIZE_MAX, err);
}

static json *json_parse_body(const void *data, size_t len, bool nul, size_t most, struct error *err)
{
    if (len == 0)
        return cJSON_CreateObject();
    json *j = json_parse_text(data, len, nul, most, err);
    if (j != NULL && !cJSON_IsObject(j)) {
        error_set(err, ERROR_INVALID_JSON, "The JSON body is not an object");
        cJSON_Delete(j);
        return NULL;
    }
    return j;
}

json *json_parse_object(const void *data, size_t len, struct error *err)
{
    return json_parse_body(data, len, false, SIZE_MAX, err);
}

json *json_parse_object_nul(const void *data, size_t len, struct error *err)
{
    return json_parse_body(data, len, true, SIZE_MAX, err);
}

json *json_parse_request(const void *data, size_t len, bool nul, struct error *err)
{
    return json_parse_body(data, len, nul, JSON_MAX_VALUES, err);
}

/* The field's value; NULL when absent or null. */
static const json *json_field(const json *obj, const char *field)
{
    const json *v = cJSON_GetObjectItemCaseSensitive(obj, field);
    return v == NULL || cJSON_IsNull(v) ? NULL : v;
}

static int json_mistyped(struct error *err, const char *field, const char *want)
{
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' must be %s", field, want);
}

int json_get_str(const json *obj, const char *field, const char *fallback, const char **ret,
                 struct error *err)
{
    const json *v = json_field(obj, field);
    if (v != NULL && !cJSON_IsString(v))
        return json_mistyped(err, field, "a string");
    if (v != NULL && strstr(v->valuestring, JSON_NUL) != NULL)
        return json_mistyped(err, field, "a string without U+0000");
    *ret = v != NULL ? v->valuestring : fallback;
    return 0;
}

int json_need(const json *obj, const char *field, struct error *err)
{
    if (json_field(obj, field) == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' is required", field);
    return 0;
}

int json_need_str(const json *obj, const char *field, const char **ret, struct error *err)
{
    int rv = json_need(obj, field, err);
    return rv < 0 ? rv : json_get_str(obj, field, NULL, ret, err);
}

int json_need_bytes(const json *obj, const char *field, struct buf *ret, struct error *err)
{
    int rv = json_need(obj, field, err);
    const json *v = rv == 0 ? json_field(obj, field) : NULL;
    if (rv < 0)
        return rv;
    if (!cJSON_IsString(v))
        return json_mistyped(err, field, "a string");
    const char *text = v->valuestring;
    for (const char *nul; (nul = strstr(text, JSON_NUL)) != NULL; text = nul + strlen(JSON_NUL)) {
        (void)buf_append(ret, text, (size_t)(nul - text));
        (void)buf_u8(ret, 0);
    }
    (void)buf_append_str(ret, text);
    return ret->failed ? error_set(err, ERROR_INTERNAL, "Out of memory") : 0;
}

int json_get_int(const json *obj, const char *field, int64_t fallback, int64_t min, int64_t max,
                 int64_t *ret, struct error *err)
{
    const json *v = json_field(obj, field);
    if (v == NULL) {
        *ret = fallback;
        return 0;
    }
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble))
        return json_mistyped(err, field, "an integer");
    /* INT64_MAX is not a double: it rounds up to 2^63, which no int64_t can hold. */
    if (v->valuedouble < (double)min || v->valuedouble > (double)max || v->valuedouble >= 0x1p63)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' must be between %" PRId64 " and %" PRId64, field, min, max);
    *ret = (int64_t)v->valuedouble;
    return 0;
}

int json_get_bool(const json *obj, const char *field, bool fallback, bool *ret, struct error *err)
{
    const json *v = json_field(obj, field);
    if (v != NULL && !cJSON_IsBool(v))
        return json_mistyped(err, field, "true or false");
    *ret = v != NULL ? cJSON_IsTrue(v) : fallback;
    return 0;
}

int json_get_object(const json *obj, const char *field, const json **ret, struct error *err)
{
    const json *v = json_field(obj, field);
    if (v != NULL && !cJSON_IsObject(v))
        return json_mistyped(err, field, "an object");
    *ret = v;
    return 0;
}

int json_get_array(const json *obj, const char *field, const json **ret, struct error *err)
{
    const json *v = json_field(obj, field);
    if (v != NULL && !cJSON_IsArray(v))
        return json_mistyped(err, field, "an array");
    *ret = v;
    return 0;
}

/* A vector of C strings in one allocation, filled in two passes: `text` is NULL in the first. */
struct vector {
    char **items;
    char *text;
    size_t count, bytes;
};

static void json_vector_add(struct vector *v, const char *a, const char *sep, const char *b)
{
    size_t size = strlen(a) + strlen(sep) + strlen(b) + 1;
    if (v->items != NULL) {
        v->items[v->count] = v->text;
        (void)snprintf(v->text, size, "%s%s%s", a, sep, b);
        v->text += size;
    }
    v->count++;
    v->bytes += size;
}

/* After the counting pass: allocates. After the filling pass the vector is NULL-terminated. */
static int json_vector_alloc(struct vector *v)
{
    char **items = calloc(1, (v->count + 1) * sizeof(char *) + v->bytes);
    if (items == NULL)
        return -ENOMEM;
    *v = (struct vector){.items = items, .text = (char *)(items + v->count + 1)};
    return 0;
}

static int json_env_add(struct vector *v, const char *field, const json *item, struct error *err)
{
    char number[32];
    const char *value = number;
    const char *name = item->string;
    if (name[0] == '\0' || strchr(name, '=') != NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' has a name that cannot be a "
                         "variable's",
                         field);
    if (cJSON_IsString(item))
        value = item->valuestring;
    else if (cJSON_IsBool(item))
        value = cJSON_IsTrue(item) ? "true" : "false";
    else if (cJSON_IsNumber(item))
        (void)snprintf(number, sizeof(number), "%.15g", item->valuedouble);
    else
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s.%.60s' must be a string", field,
                         name);
    json_vector_add(v, name, "=", value);
    return 0;
}

int json_get_env(const json *obj, const char *field, char ***ret, struct error *err)
{
    const json *map = NULL;
    const json *item = NULL;
    struct vector v = {0};
    int rv = json_get_object(obj, field, &map, err);
    if (rv < 0)
        return rv;
    for (int pass = 0; pass < 2; pass++) {
        cJSON_ArrayForEach(item, map)
        {
            rv = json_env_add(&v, field, item, err);
            if (rv < 0)
                return rv; /* only the first, counting pass can fail */
        }
        if (pass == 0 && json_vector_alloc(&v) < 0)
            return error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    *ret = v.items;
    return 0;
}

int json_get_str_list(const json *obj, const char *field, char ***ret, struct error *err)
{
    const json *array = NULL;
    const json *item = NULL;
    struct vector v = {0};
    int rv = json_get_array(obj, field, &array, err);
    if (rv < 0)
        return rv;
    for (int pass = 0; pass < 2; pass++) {
        cJSON_ArrayForEach(item, array)
        {
            if (!cJSON_IsString(item))
                return json_mistyped(err, field, "an array of strings");
            json_vector_add(&v, item->valuestring, "", "");
        }
        if (pass == 0 && json_vector_alloc(&v) < 0)
            return error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    *ret = v.items;
    return 0;
}

void json_merge_missing(json *into, const json *from)
{
    const json *item = NULL;
    cJSON_ArrayForEach(item, from)
    {
        if (item->string != NULL && cJSON_GetObjectItemCaseSensitive(into, item->string) == NULL)
            cJSON_AddItemToObject(into, item->string, cJSON_Duplicate(item, true));
    }
}

void json_append(json **array, const json *item)
{
    if (*array == NULL)
        *array = cJSON_CreateArray();
    cJSON_AddItemToArray(*array, cJSON_Duplicate(item, true));
}

int json_print(struct buf *out, const json *j)
{
    char *text = cJSON_PrintUnformatted(j);
    if (text == NULL) {
        out->failed = true;
        return -ENOMEM;
    }
    int rv = buf_append_str(out, text);
    cJSON_free(text);
    return rv;
}
