/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - see service.h. */
#include "api/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/ties.h"
#include "base/timefmt.h"

#define SERVICE_FIELD "services" /* of the sandbox's ties */

/* One whose time is over, or that cannot be read, is as if it were not there. */
static bool service_read(const json *item, struct api_service *ret)
{
    int64_t port = 0, now_s = time_now_ms() / 1000;
    const char *mark = NULL;
    *ret = (struct api_service){.port = 0};
    if (json_get_int(item, "port", 0, 1, UINT16_MAX, &port, NULL) < 0 || port == 0 ||
        json_get_int(item, "end", 0, 0, INT64_MAX, &ret->end_s, NULL) < 0 ||
        json_get_bool(item, "public", false, &ret->is_public, NULL) < 0 ||
        json_need_str(item, "mark", &mark, NULL) < 0 || strlen(mark) != SERVICE_MARK)
        return false;
    ret->port = (uint16_t)port;
    memcpy(ret->mark, mark, sizeof(ret->mark));
    return ret->end_s > now_s;
}

static size_t services_of(const json *ties, struct api_service ret[SERVICE_MAX])
{
    const json *item = NULL;
    size_t count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(ties, SERVICE_FIELD))
    {
        if (count < SERVICE_MAX && service_read(item, &ret[count]))
            count++;
    }
    return count;
}

size_t api_services(const struct sandbox *sb, struct api_service ret[SERVICE_MAX])
{
    if (sb->owner.ties == NULL)
        return 0;
    cleanup_json json *ties = api_ties_read(sb);
    return services_of(ties, ret);
}

bool api_service_find(const struct sandbox *sb, uint16_t port, struct api_service *ret)
{
    struct api_service all[SERVICE_MAX];
    size_t count = api_services(sb, all);
    for (size_t i = 0; i < count; i++) {
        if (all[i].port == port) {
            *ret = all[i];
            return true;
        }
    }
    return false;
}

static json *service_keep(const struct api_service *s)
{
    json *item = cJSON_CreateObject();
    if (cJSON_AddNumberToObject(item, "port", s->port) != NULL &&
        cJSON_AddNumberToObject(item, "end", (double)s->end_s) != NULL &&
        cJSON_AddBoolToObject(item, "public", s->is_public) != NULL &&
        cJSON_AddStringToObject(item, "mark", s->mark) != NULL)
        return item;
    json_free_p(&item);
    return NULL;
}

static int services_write(struct sandbox *sb, json *ties, const struct api_service *all,
                          size_t count)
{
    cJSON_DeleteItemFromObjectCaseSensitive(ties, SERVICE_FIELD);
    json *list = cJSON_AddArrayToObject(ties, SERVICE_FIELD);
    for (size_t i = 0; i < count; i++) {
        json *item = service_keep(&all[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            json_free_p(&item);
            return -ENOMEM;
        }
    }
    return list != NULL ? api_ties_write(sb, ties) : -ENOMEM;
}

int api_service_open(struct sandbox *sb, const struct api_service *wanted, bool rotate,
                     struct api_service *ret, struct error *err)
{
    struct api_service all[SERVICE_MAX];
    cleanup_json json *ties = api_ties_read(sb);
    size_t count = services_of(ties, all), i = 0;
    while (i < count && all[i].port != wanted->port)
        i++;
    if (i == SERVICE_MAX)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "The sandbox has %d services already",
                         SERVICE_MAX);
    *ret = *wanted;
    if (i < count && !rotate)
        memcpy(ret->mark, all[i].mark, sizeof(ret->mark));
    else
        id_token(ret->mark, SERVICE_MARK);
    all[i] = *ret;
    return services_write(sb, ties, all, MAX(count, i + 1)) < 0
               ? error_set(err, ERROR_INTERNAL, "Out of memory")
               : 0;
}

bool api_service_close(struct sandbox *sb, uint16_t port)
{
    struct api_service all[SERVICE_MAX];
    cleanup_json json *ties = api_ties_read(sb);
    size_t count = services_of(ties, all), i = 0;
    while (i < count && all[i].port != port)
        i++;
    if (i == count)
        return false;
    all[i] = all[--count];
    return services_write(sb, ties, all, count) == 0;
}

void api_service_subject(const char *id, const struct api_service *s,
                         char out[SERVICE_SUBJECT_SIZE])
{
    (void)snprintf(out, SERVICE_SUBJECT_SIZE, "%s-%u-%s", id, s->port, s->mark);
}

void api_service_token(const struct api *api, const char *id, const struct api_service *s,
                       char out[GRANT_PASS_SIZE])
{
    char subject[SERVICE_SUBJECT_SIZE];
    api_service_subject(id, s, subject);
    grant_pass(&api->grants, GRANT_SERVICE, subject, s->end_s, out);
}
