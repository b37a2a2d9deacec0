/* SPDX-License-Identifier: Apache-2.0 */
#include "network/transforms.h"

#include <errno.h>
#include <string.h>

#include "egress/transform.h"

#define TRANSFORMS_LIST   64u /* methods, or path patterns, of one transform */
#define TRANSFORMS_HEADER 12u /* bytes that each list and its strings have beside their text */
#define TRANSFORMS_NAMED  60  /* characters of a host in a message */

static int transforms_bad(struct error *err, const char *host, const char *reason)
{
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'transforms': the entry for %.*s %s",
                     TRANSFORMS_NAMED, host, reason);
}

static int transforms_failed(struct error *err, const char *host, int rv)
{
    return rv == -E2BIG ? transforms_bad(err, host, "has too many methods, paths or headers")
                        : error_set_errno(err, ERROR_INTERNAL, rv, "Field 'transforms'");
}

static void transform_done(struct network_transform *t)
{
    free(t->host);
    network_rules_done(&t->methods);
    network_rules_done(&t->paths);
    network_rules_done(&t->headers);
}

void network_transforms_done(struct network_transforms *t)
{
    for (size_t i = 0; i < t->count; i++)
        transform_done(&t->items[i]);
    free(t->items);
    *t = (struct network_transforms){.items = NULL};
}

static int transforms_known(const json *item, struct error *err)
{
    static const char *const fields[] = {"host", "methods", "paths", "headers"};
    const json *field = NULL;
    cJSON_ArrayForEach(field, item)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(fields) && strcmp(fields[i], field->string) != 0)
            i++;
        if (i == ARRAY_SIZE(fields))
            return error_set(err, ERROR_INVALID_ARGUMENT,
                             "Field '%.60s' is not known in an entry of 'transforms'",
                             field->string);
    }
    return 0;
}

static int transforms_list(const json *item, const char *field, const char *host,
                           struct network_rules *ret, struct error *err)
{
    const json *list = NULL, *entry = NULL;
    int rv = json_get_array(item, field, &list, err);
    if (rv < 0)
        return rv;
    cJSON_ArrayForEach(entry, list)
    {
        if (!cJSON_IsString(entry))
            return transforms_bad(err, host, "has a method or a path that is no string");
        rv = network_rules_add(ret, TRANSFORMS_LIST, entry->valuestring,
                               strlen(entry->valuestring));
        if (rv < 0)
            return transforms_failed(err, host, rv);
    }
    return 0;
}

static int transforms_headers(const json *item, const char *host, struct network_rules *ret,
                              struct error *err)
{
    const json *headers = NULL, *field = NULL;
    const size_t most = 2 * (size_t)TRANSFORM_MAX_FIELDS;
    int rv = json_need(item, "headers", err);
    if (rv == 0)
        rv = json_get_object(item, "headers", &headers, err);
    if (rv < 0)
        return rv;
    cJSON_ArrayForEach(field, headers)
    {
        if (!cJSON_IsString(field))
            return transforms_bad(err, host, "has a header whose value is no string");
        rv = network_rules_add(ret, most, field->string, strlen(field->string));
        if (rv == 0)
            rv = network_rules_add(ret, most, field->valuestring, strlen(field->valuestring));
        if (rv < 0)
            return transforms_failed(err, host, rv);
    }
    return 0;
}

static int transforms_read_one(const json *item, struct network_transform *t, struct error *err)
{
    const char *host = NULL;
    if (!cJSON_IsObject(item))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'transforms' has an entry that is no object");
    int rv = transforms_known(item, err);
    if (rv == 0)
        rv = json_need_str(item, "host", &host, err);
    if (rv < 0 || host == NULL)
        return rv;
    t->host = strdup(host);
    if (t->host == NULL)
        return transforms_failed(err, host, -ENOMEM);
    rv = transforms_list(item, "methods", host, &t->methods, err);
    if (rv == 0)
        rv = transforms_list(item, "paths", host, &t->paths, err);
    return rv == 0 ? transforms_headers(item, host, &t->headers, err) : rv;
}

/* As corral-egress will. */
static int transforms_check(const struct network_transforms *t, struct error *err)
{
    struct transform_text texts[EGRESS_MAX_TRANSFORMS];
    struct transform_list list;
    struct arena arena = {0};
    for (size_t i = 0; i < t->count; i++) {
        const struct network_transform *one = &t->items[i];
        texts[i] = (struct transform_text){
            .host = one->host,
            .methods = (const char *const *)one->methods.items,
            .paths = (const char *const *)one->paths.items,
            .headers = (const char *const *)one->headers.items,
        };
    }
    int rv = transform_list_read(texts, t->count, &arena, &list, err);
    transform_list_wipe(&list);
    arena_done(&arena);
    return rv;
}

int network_transforms_read(const json *policy, struct network_transforms *ret, struct error *err)
{
    const json *list = NULL, *item = NULL;
    *ret = (struct network_transforms){.items = NULL};
    int rv = json_get_array(policy, "transforms", &list, err);
    size_t count = (size_t)cJSON_GetArraySize(list);
    if (rv < 0 || count == 0)
        return rv;
    if (count > EGRESS_MAX_TRANSFORMS)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'transforms' has more than %u entries",
                         EGRESS_MAX_TRANSFORMS);
    ret->items = calloc(count, sizeof(*ret->items));
    if (ret->items == NULL)
        return transforms_failed(err, "", -ENOMEM);
    cJSON_ArrayForEach(item, list)
    {
        rv = transforms_read_one(item, &ret->items[ret->count++], err);
        if (rv < 0)
            return rv;
    }
    return transforms_check(ret, err);
}

static void transforms_print_list(struct jsonw *w, const char *key, const struct network_rules *l)
{
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < l->count; i++)
        jsonw_str(w, l->items[i]);
    jsonw_array_end(w);
}

void network_transforms_print(struct jsonw *w, const struct network_transforms *t)
{
    jsonw_array(w);
    for (size_t i = 0; i < t->count; i++) {
        const struct network_transform *one = &t->items[i];
        jsonw_object(w);
        jsonw_key_str(w, "host", one->host);
        transforms_print_list(w, "methods", &one->methods);
        transforms_print_list(w, "paths", &one->paths);
        jsonw_key(w, "headers");
        jsonw_object(w);
        for (size_t k = 0; k + 1 < one->headers.count; k += 2)
            jsonw_key_str(w, one->headers.items[k], one->headers.items[k + 1]);
        jsonw_object_end(w);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

bool network_transforms_use(const struct network_transforms *t, const char *secret)
{
    for (size_t i = 0; i < t->count; i++)
        for (size_t k = 1; k < t->items[i].headers.count; k += 2)
            if (secret_is_in(t->items[i].headers.items[k], secret))
                return true;
    return false;
}

int network_transforms_check(const struct network_transforms *t, struct secrets *secrets,
                             const char *account, struct error *err)
{
    int rv = 0;
    for (size_t i = 0; i < t->count && rv == 0; i++) {
        const struct network_rules *headers = &t->items[i].headers;
        for (size_t k = 1; k < headers->count && rv == 0; k += 2) {
            struct buf value = {0};
            rv = secret_fill(secrets, account, headers->items[k], &value, err);
            if (rv == 0 && value.len > TRANSFORM_MAX_VALUE)
                rv = transforms_bad(err, t->items[i].host, "has a value that is too long");
            secret_wipe(&value);
        }
    }
    return rv;
}

/* Without the secret the field must not come from the sandbox instead. */
static void transforms_put_value(struct buf *b, const char *text, struct secrets *secrets,
                                 const char *account)
{
    size_t at = b->len;
    if (secrets == NULL) {
        wire_put_str(b, text);
        return;
    }
    (void)buf_u32(b, 0);
    if (b->failed || secret_fill(secrets, account, text, b, NULL) < 0)
        return;
    size_t len = b->len - at - sizeof(uint32_t);
    if (len > TRANSFORM_MAX_VALUE) {
        explicit_bzero(b->data + at + sizeof(uint32_t), len);
        b->len -= len;
        len = 0;
    }
    for (size_t i = 0; i < sizeof(uint32_t); i++)
        b->data[at + i] = (uint8_t)(len >> (8 * i));
}

void network_transforms_put(struct buf *b, const struct network_transforms *t,
                            struct secrets *secrets, const char *account)
{
    /* A buffer that grew behind a secret would leave a copy of it. */
    (void)buf_reserve(b, network_transforms_room(t) + sizeof(uint32_t));
    (void)buf_u32(b, (uint32_t)t->count);
    for (size_t i = 0; i < t->count; i++) {
        const struct network_rules *headers = &t->items[i].headers;
        wire_put_str(b, t->items[i].host);
        wire_put_list(b, (const char *const *)t->items[i].methods.items);
        wire_put_list(b, (const char *const *)t->items[i].paths.items);
        (void)buf_u32(b, (uint32_t)headers->count);
        for (size_t k = 0; k + 1 < headers->count; k += 2) {
            wire_put_str(b, headers->items[k]);
            transforms_put_value(b, headers->items[k + 1], secrets, account);
        }
    }
}

static size_t transforms_list_room(const struct network_rules *l)
{
    size_t room = TRANSFORMS_HEADER;
    for (size_t i = 0; i < l->count; i++)
        room += strlen(l->items[i]) + sizeof(uint32_t);
    return room;
}

size_t network_transforms_room(const struct network_transforms *t)
{
    size_t room = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct network_transform *one = &t->items[i];
        room += strlen(one->host) + TRANSFORMS_HEADER + transforms_list_room(&one->methods) +
                transforms_list_room(&one->paths) + transforms_list_room(&one->headers);
        for (size_t k = 1; k < one->headers.count; k += 2)
            room += secret_room(one->headers.items[k]);
    }
    return room;
}
