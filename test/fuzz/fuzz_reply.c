/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox answers to any operation, a file's, a command's, a kept one's: each frame goes to
 * every decoder. What one takes lies inside the frame. The first byte chooses the type of the
 * frames when it is one of them, so that a payload need not find its decoder by its own type. */
#include "wire/reply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wire_frame *frame;

static void require(bool what)
{
    if (!what)
        abort();
}

static void inside(struct span s)
{
    const char *from = (const char *)frame->payload;
    require(s.len <= frame->len);
    require(s.len == 0 || (s.data >= from && s.data + s.len <= from + frame->len));
}

static void words(struct cursor list)
{
    struct span word;
    size_t n = 0;
    while (wire_next_word(&list, &word)) {
        inside(word);
        require(++n <= frame->len);
    }
}

static void files(void)
{
    struct wire_stat stat;
    struct wire_info info;
    struct wire_match match;
    struct wire_replaced replaced;
    struct wire_found found;
    struct wire_changed changed;
    struct wire_written written;
    struct wire_unpacked unpacked;
    if (wire_reply_stat(frame, &stat)) {
        inside(stat.name);
        inside(stat.path);
    }
    if (wire_reply_info(frame, &info)) {
        inside(info.stat.path);
        inside(info.owner);
        inside(info.group);
        inside(info.target);
        words(info.attributes);
    }
    if (wire_reply_match(frame, &match)) {
        inside(match.path);
        inside(match.text);
    }
    if (wire_reply_replaced(frame, &replaced))
        inside(replaced.path);
    (void)wire_reply_found(frame, &found);
    if (wire_reply_change(frame, &changed)) {
        inside(changed.path);
        inside(changed.new_path);
    }
    if (wire_reply_written(frame, &written))
        inside(written.path);
    (void)wire_reply_unpacked(frame, &unpacked);
}

static void runs(void)
{
    struct wire_exit end;
    struct wire_process process;
    struct wire_output output;
    struct wire_kept kept;
    uint64_t seq;
    (void)wire_reply_exit(frame, &end);
    (void)wire_reply_process_exit(frame, &end);
    (void)wire_reply_gap(frame, &seq);
    (void)wire_reply_kept(frame, &kept);
    (void)wire_reply_configured(frame, &seq);
    (void)wire_reply_pong(frame);
    if (wire_reply_process(frame, &process)) {
        inside(process.tag);
        inside(process.cwd);
        words(process.argv);
    }
    if (wire_reply_output(frame, &output))
        inside(output.bytes);
}

static void code(void)
{
    char text[WIRE_DEATH_TEXT_MAX];
    struct wire_code_stream stream;
    struct wire_code_data result;
    struct wire_code_error error;
    struct wire_code_done done;
    struct wire_context context;
    uint32_t count;
    if (wire_reply_code_stream(frame, &stream))
        inside(stream.text);
    if (wire_reply_code_data(frame, &result))
        inside(result.bundle);
    if (wire_reply_code_error(frame, &error)) {
        inside(error.name);
        inside(error.value);
        inside(error.traceback);
    }
    (void)wire_reply_code_begun(frame, &count);
    if (wire_reply_code_done(frame, &done)) {
        wire_reply_death(&done, text);
        require(memchr(text, '\0', sizeof(text)) != NULL);
    }
    if (wire_reply_context(frame, &context)) {
        inside(context.id);
        inside(context.language);
        inside(context.cwd);
        inside(context.status);
    }
}

static void failure(void)
{
    struct wire_failure failed;
    struct error err;
    if (wire_reply_failure(frame, &failed))
        inside(failed.message);
    wire_reply_error(frame, &err);
    require(err.code != ERROR_NONE && memchr(err.message, '\0', sizeof(err.message)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader = {.max_payload = 4096};
    struct wire_frame f;
    if (size < 1)
        return 0;
    uint8_t type = data[0];
    if (wire_reader_feed(&reader, data + 1, size - 1) < 0)
        abort();
    while (wire_reader_next(&reader, &f) == 1) {
        if (type != 0)
            f.type = (enum wire_type)type;
        frame = &f;
        files();
        runs();
        code();
        failure();
    }
    wire_reader_done(&reader);
    return 0;
}
