/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox sends for a run or a process, as a stream tells it: framing, events, and the lines
 * that the writers make of them, each of which must be one JSON document for whoever splits it. */
#include "stream/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static const struct event_writer *writers[2];
static struct buf out;

static void take(struct event_source *source, const struct event *event)
{
    (void)source;
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
        writers[i]->event(&out, event);
}

static void check_document(const char *text, size_t len)
{
    struct error err;
    json *parsed = json_parse(text, len, &err);
    /* The one thing that is JSON and that json_parse does not take. */
    if (parsed == NULL && memmem(text, len, "\\u0000", 6) == NULL &&
        strstr(err.message, "nest") == NULL)
        abort();
    json_free_p(&parsed);
}

static void check_lines(void)
{
    const char *line = buf_cstr(&out);
    static const char data[] = "data: ";
    if (line == NULL || !utf8_valid(out.data, out.len) || strstr(line, "\xc2\x85") != NULL ||
        strstr(line, "\xe2\x80\xa8") != NULL || strstr(line, "\xe2\x80\xa9") != NULL)
        abort();
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        size_t len = (size_t)(end - line), skip = sizeof(data) - 1;
        if (len > skip && memcmp(line, data, skip) == 0)
            check_document(line + skip, len - skip);
        else if (len > 0 && line[0] == '{')
            check_document(line, len);
        else if (len > 0 && strncmp(line, "id: ", 4) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader = {.max_payload = 65536};
    struct wire_frame frame;
    if (size == 0)
        return 0;
    struct event_source source = {.kind = (enum event_kind)(data[0] % (EVENTS_OF_WATCH + 1)),
                                  .text = (data[0] & 0x40) == 0,
                                  .after = data[0] >> 7,
                                  .lines = (data[0] & 0x20) != 0,
                                  .emit = take};
    bool code = source.kind == EVENTS_OF_CODE;
    writers[0] = code ? &event_sse_code : &event_sse_command;
    writers[1] = code ? &event_ndjson_code : &event_sse_command;
    if (wire_reader_feed(&reader, data + 1, size - 1) == 0) {
        while (wire_reader_next(&reader, &frame) == 1 && event_source_feed(&source, &frame) == 0) {
        }
    }
    if (out.len > 0)
        check_lines();
    event_source_done(&source);
    wire_reader_done(&reader);
    buf_done(&out);
    return 0;
}
