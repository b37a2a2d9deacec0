/* SPDX-License-Identifier: Apache-2.0 */
/* openapi_json.h - the text of openapi.json, made into a C file by scripts/embed.py. */
#ifndef CORRAL_API_OPENAPI_JSON_H
#define CORRAL_API_OPENAPI_JSON_H

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_len;

#endif
