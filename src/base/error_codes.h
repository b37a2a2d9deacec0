/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error_codes.h - every error a client can be told about, in one table.
 *
 * X(NAME, "code in the JSON body", HTTP status, "meaning"). Codes are stable: clients match on
 * them. corral-api(7) lists this table; test/api/test_openapi.py checks that they agree.
 */
#ifndef CORRAL_BASE_ERROR_CODES_H
#define CORRAL_BASE_ERROR_CODES_H

#define ERROR_CODES(X)                                                                             \
    X(INVALID_REQUEST, "invalid_request", 400, "The request is malformed")                         \
    X(INVALID_JSON, "invalid_json", 400, "The body is not a JSON object")                          \
    X(INVALID_ARGUMENT, "invalid_argument", 400, "A field is missing, mistyped or out of range")   \
    X(INVALID_ID, "invalid_id", 400, "The id in the path is not a UUID")                           \
    X(INVALID_STATE, "invalid_state", 400, "The object's state does not allow this")               \
    X(INVALID_PATH, "invalid_path", 400, "The path cannot be used for this")                       \
    X(INVALID_WORKFLOW, "invalid_workflow", 400, "The definition has faults")                      \
    X(UNSUPPORTED_LANGUAGE, "unsupported_language", 400, "The template has no such kernel")        \
    X(UNKNOWN_USER, "unknown_user", 400, "The sandbox has no such user")                           \
    X(UNAUTHORIZED, "unauthorized", 401, "The credential is missing or wrong")                     \
    X(FORBIDDEN, "forbidden", 403, "The credential does not allow this")                           \
    X(PERMISSION_DENIED, "permission_denied", 403, "The sandbox user may not do this")             \
    X(NOT_FOUND, "not_found", 404, "No such route")                                                \
    X(SANDBOX_NOT_FOUND, "sandbox_not_found", 404, "No such sandbox")                              \
    X(TEMPLATE_NOT_FOUND, "template_not_found", 404, "No such template")                           \
    X(ENVIRONMENT_NOT_FOUND, "environment_not_found", 404, "No such environment")                  \
    X(WORKFLOW_NOT_FOUND, "workflow_not_found", 404, "No such workflow or run")                    \
    X(CONTEXT_NOT_FOUND, "context_not_found", 404, "No such code context")                         \
    X(FILE_NOT_FOUND, "file_not_found", 404, "No such file or directory in the sandbox")           \
    X(PROCESS_NOT_FOUND, "process_not_found", 404, "No such process in the sandbox")               \
    X(KEY_NOT_FOUND, "key_not_found", 404, "No such API key")                                      \
    X(SECRET_NOT_FOUND, "secret_not_found", 404, "No such secret")                                 \
    X(SNAPSHOT_NOT_FOUND, "snapshot_not_found", 404, "No such snapshot")                           \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "The route has no such method")               \
    X(TIMEOUT, "timeout", 408, "The operation took longer than its time-out")                      \
    X(REQUEST_TIMEOUT, "request_timeout", 408, "The request did not arrive in time")               \
    X(CONFLICT, "conflict", 409, "Another object or operation is in the way")                      \
    X(SANDBOX_PAUSED, "sandbox_paused", 409, "The sandbox is paused; resume it first")             \
    X(SANDBOX_GONE, "sandbox_gone", 410, "The sandbox has ended")                                  \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body exceeds the limit of the route")            \
    X(URI_TOO_LONG, "uri_too_long", 414, "The request target exceeds its limit")                   \
    X(RANGE_INVALID, "range_not_satisfiable", 416, "The range lies outside the file")              \
    X(EXPECTATION_FAILED, "expectation_failed", 417, "Only 100-continue can be expected")          \
    X(UPGRADE_REQUIRED, "upgrade_required", 426, "The route wants another protocol")               \
    X(RATE_LIMITED, "rate_limited", 429, "Too many requests")                                      \
    X(QUOTA_EXCEEDED, "quota_exceeded", 429, "A limit of the account or the host is reached")      \
    X(HEADERS_TOO_LARGE, "headers_too_large", 431, "The header section exceeds its limit")         \
    X(INTERNAL, "internal", 500, "The server failed")                                              \
    X(SANDBOX_FAILED, "sandbox_failed", 500, "The sandbox could not be started or died")           \
    X(SNAPSHOT_UNUSABLE, "snapshot_unusable", 500, "What it would start from cannot be restored")  \
    X(STORAGE_FAILED, "storage_failed", 500, "The state could not be written")                     \
    X(NO_SPACE, "no_space", 500, "No space left in the sandbox or on the host")                    \
    X(NOT_IMPLEMENTED, "not_implemented", 501, "The method is not known")                          \
    X(UNSUPPORTED, "unsupported", 501, "Sandboxes of this kind cannot do this")                    \
    X(BAD_GATEWAY, "bad_gateway", 502, "Nothing answers on this port of the sandbox")              \
    X(UNAVAILABLE, "unavailable", 503, "The server is stopping or cannot take more now")           \
    X(TEMPLATE_BUILDING, "template_building", 503, "The template is being built; ask again")       \
    X(TEMPLATE_BUILD_FAILED, "template_build_failed", 503, "The template could not be built")      \
    X(TEMPLATE_NOT_BUILT, "template_not_built", 503, "The template has to be built by hand")       \
    X(HOST_FULL, "host_full", 503, "The host's disk is full, but for its reserve")                 \
    X(HTTP_VERSION, "http_version_not_supported", 505, "Only HTTP/1.0 and HTTP/1.1 are spoken")

#endif
