/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_line.h - JSON text that survives clients which split lines in their own way.
 *
 * Some split at every line break of Unicode, also inside of strings; some decode each piece of the
 * network on its own. In JSON text such characters stand in strings only, so they can be escaped
 * after the text is made.
 */
#ifndef CORRAL_STREAM_JSON_LINE_H
#define CORRAL_STREAM_JSON_LINE_H

#include "base/buf.h"

/* Escapes U+0085, U+2028 and U+2029 in `out` from `start` on; with `ascii` all that is not ASCII.
 * What is there must be valid UTF-8. */
void json_line_escape(struct buf *out, size_t start, bool ascii);

#endif
