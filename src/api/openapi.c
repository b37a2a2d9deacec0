/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.c - /openapi.json: the description of every route, from openapi.json in this folder.
 */
#include "api/api.h"
#include "api/openapi_json.h"

void api_openapi(struct api_call *call)
{
    struct buf body = {0};
    (void)buf_append(&body, openapi_json, openapi_json_len);
    api_reply(call, 200, &body);
}
