/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - reading JSON from outside and building answers; the tree's only user of cJSON.
 *
 * Getters of fields fill `err` (ERROR_INVALID_ARGUMENT, naming the field) and return a negative
 * errno when the field is mistyped, and return 0 with the default when it is absent or null. The
 * `required` ones also fail when it is absent.
 */
#ifndef CORRAL_BASE_JSON_H
#define CORRAL_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

#define JSON_MAX_DEPTH  64     /* nesting accepted from outside: JSON_CHECK_MAX_DEPTH */
#define JSON_MAX_VALUES 131072 /* values and names accepted in a request: some 10 MiB parsed */

typedef struct cJSON json;

#define cleanup_json __attribute__((cleanup(json_free_p)))
void json_free_p(json **j);

/* Parses exactly one JSON value of `len` bytes (any depth up to JSON_MAX_DEPTH, no trailing bytes,
 * valid UTF-8, no "\u0000" in strings). */
json *json_parse(const void *data, size_t len, struct error *err);
/* As json_parse for an object; an empty body is an empty object. */
json *json_parse_object(const void *data, size_t len, struct error *err);
/* As json_parse_object for the body of a request: at most JSON_MAX_VALUES values. With `nul` like
 * json_parse_object_nul. May be called from any thread. */
json *json_parse_request(const void *data, size_t len, bool nul, struct error *err);
/* As json_parse_object, but accepts "\u0000": json_need_bytes returns it, and every other getter
 * refuses a string that holds it. */
json *json_parse_object_nul(const void *data, size_t len, struct error *err);

/* Fails when the field is absent or null. */
int json_need(const json *obj, const char *field, struct error *err);
/* Strings stay owned by the JSON value. */
int json_get_str(const json *obj, const char *field, const char *fallback, const char **ret,
                 struct error *err);
int json_need_str(const json *obj, const char *field, const char **ret, struct error *err);
/* Appends the string's bytes. */
int json_need_bytes(const json *obj, const char *field, struct buf *ret, struct error *err);
int json_get_int(const json *obj, const char *field, int64_t fallback, int64_t min, int64_t max,
                 int64_t *ret, struct error *err);
int json_get_bool(const json *obj, const char *field, bool fallback, bool *ret, struct error *err);
/* *ret is NULL when absent or null. */
int json_get_object(const json *obj, const char *field, const json **ret, struct error *err);
int json_get_array(const json *obj, const char *field, const json **ret, struct error *err);
/* A NULL-terminated vector of "NAME=value" in one allocation from an object of strings (numbers and
 * booleans are taken as their text). Names must be non-empty without '=' or NUL. */
int json_get_env(const json *obj, const char *field, char ***ret, struct error *err);
/* A NULL-terminated vector of strings in one allocation. */
int json_get_str_list(const json *obj, const char *field, char ***ret, struct error *err);

/* Copies the members of `from` that `into` does not have. */
void json_merge_missing(json *into, const json *from);

/* Appends a copy of `item` to the array `*array`, which is made when it is NULL. */
void json_append(json **array, const json *item);

/* Appends the compact text of `j`. */
int json_print(struct buf *out, const json *j);

#endif
