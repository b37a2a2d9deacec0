/* SPDX-License-Identifier: Apache-2.0 */
/* What the checker lets through, the parser must read, print, and read again with the same result;
 * no getter may trip over it. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int truth)
{
    if (!truth)
        abort();
}

static void use_fields(const json *j)
{
    const char *s;
    int64_t n;
    bool b;
    char **list = NULL;
    (void)json_get_str(j, "a", "", &s, NULL);
    (void)json_get_int(j, "a", 0, INT64_MIN, INT64_MAX, &n, NULL);
    (void)json_get_bool(j, "a", false, &b, NULL);
    if (json_get_env(j, "a", &list, NULL) == 0)
        free(list);
    if (json_get_str_list(j, "a", &list, NULL) == 0)
        free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    cleanup_buf struct buf first = {0};
    cleanup_buf struct buf second = {0};
    cleanup_buf struct buf bytes = {0};
    cleanup_json json *nul = json_parse_object_nul(data, size, &err);
    if (nul != NULL)
        (void)json_need_bytes(nul, "a", &bytes, &err);
    cleanup_json json *j = json_parse(data, size, &err);
    if (j == NULL) {
        require(err.code == ERROR_INVALID_JSON);
        return 0;
    }
    require(nul != NULL || !cJSON_IsObject(j));
    if (cJSON_IsObject(j))
        use_fields(j);
    require(json_print(&first, j) == 0);
    cleanup_json json *again = json_parse(first.data, first.len, &err);
    require(again != NULL);
    require(json_print(&second, again) == 0);
    require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    return 0;
}
