/* SPDX-License-Identifier: Apache-2.0 */
/* docs_html.h - the page of scripts/docs.py, made into a C file by scripts/embed.py. */
#ifndef CORRAL_API_DOCS_HTML_H
#define CORRAL_API_DOCS_HTML_H

#include <stddef.h>

extern const char docs_html[];
extern const size_t docs_html_len;

#endif
