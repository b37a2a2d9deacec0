/* SPDX-License-Identifier: Apache-2.0 */
/* cors.h - whether web pages of other origins may call the API: the headers that tell a browser.
 * `policy` is the option --cors: origins with commas between them, "*", or "off". */
#ifndef CORRAL_API_CORS_H
#define CORRAL_API_CORS_H

#include "http/http.h"

bool cors_is_on(const char *policy);
/* Adds the headers of an answer, whatever it will be; nothing when the policy is "off". */
void cors_add_headers(struct http_request *req, const char *policy);
/* Answers OPTIONS for a path with these methods, a browser's question before the request among
 * them. After cors_add_headers. */
void cors_answer_options(struct http_request *req, const char *policy, const char *allow);

#endif
