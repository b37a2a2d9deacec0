/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply.c - each reply whole, cut at every byte, with a byte too many, and under every other
 * type. */
#include "wire/reply.h"

#include "t.h"

static struct buf payload;
static struct wire_frame frame;

/* A copy of exactly that size, so that the sanitizer sees a read past its end. */
static bool decodes(bool (*decode)(void), size_t len)
{
    uint8_t *copy = calloc(1, MAX(len, (size_t)1));
    for (size_t i = 0; i < MIN(len, payload.len); i++)
        copy[i] = payload.data[i];
    frame.payload = copy;
    frame.len = len;
    bool ok = decode();
    free(copy);
    return ok;
}

/* `decode` is given `frame` and checks the fields when the frame is whole. */
static void check(enum wire_type type, enum wire_type sibling, bool (*decode)(void))
{
    T_TRUE(!payload.failed);
    frame.type = type;
    for (size_t len = 0; len < payload.len; len++)
        T_TRUE(!decodes(decode, len));
    T_TRUE(decodes(decode, payload.len));
    T_TRUE(!decodes(decode, payload.len + 1));
    for (unsigned int other = 0; other < 256; other++) {
        frame.type = (enum wire_type)other;
        if (other != type && other != sibling)
            T_TRUE(!decodes(decode, payload.len));
    }
    buf_done(&payload);
}

static void expect_span(struct span s, const char *want)
{
    T_EQ(s.len, strlen(want));
    T_EQ(memcmp(s.data, want, s.len), 0);
}

static bool decode_ok(void)
{
    return wire_reply_is(&frame, WIRE_OK);
}

static bool decode_pong(void)
{
    return wire_reply_pong(&frame);
}

static bool decode_configured(void)
{
    uint64_t age = 0;
    bool ok = wire_reply_configured(&frame, &age);
    if (ok)
        T_EQ(age, 1ull << 40);
    return ok;
}

static bool decode_exit(void)
{
    struct wire_exit e;
    bool ok = wire_reply_exit(&frame, &e);
    if (ok) {
        T_EQ(e.code, -3);
        T_EQ(e.signal, 9);
        T_TRUE(e.timed_out);
        T_EQ(e.duration_us, 1ull << 40);
    }
    return ok;
}

static bool decode_process_exit(void)
{
    struct wire_exit e;
    bool ok = wire_reply_process_exit(&frame, &e);
    if (ok)
        T_EQ(e.cause, WIRE_CAUSE_KILLED);
    return ok;
}

static bool decode_kept(void)
{
    struct wire_kept k;
    bool ok = wire_reply_kept(&frame, &k);
    if (ok) {
        T_EQ(k.ran_us, 1ull << 40);
        T_TRUE(k.ended);
    }
    return ok;
}

static bool decode_stat(void)
{
    struct wire_stat s;
    bool ok = wire_reply_stat(&frame, &s);
    if (ok) {
        expect_span(s.name, "n");
        expect_span(s.path, "/d/n");
        T_EQ(s.size, UINT64_MAX);
        T_EQ(s.kind, WIRE_KIND_SYMLINK);
        T_EQ(s.mode, 0777);
        T_EQ(s.mtime_ns, -1);
    }
    return ok;
}

static bool decode_written(void)
{
    struct wire_written w;
    bool ok = wire_reply_written(&frame, &w);
    if (ok) {
        expect_span(w.path, "/f");
        T_EQ(w.size, 1ull << 40);
    }
    return ok;
}

static void small_replies(void)
{
    check(WIRE_OK, WIRE_OK, decode_ok);
    (void)buf_u32(&payload, WIRE_VERSION);
    (void)buf_u64(&payload, 1);
    check(WIRE_PONG, WIRE_PONG, decode_pong);
    (void)buf_u64(&payload, 1ull << 40);
    check(WIRE_CONFIGURED, WIRE_CONFIGURED, decode_configured);
    (void)buf_u64(&payload, 1ull << 40);
    (void)buf_u32(&payload, 1);
    check(WIRE_KEPT, WIRE_KEPT, decode_kept);
    wire_put_str(&payload, "/f");
    (void)buf_u64(&payload, 1ull << 40);
    check(WIRE_WRITTEN, WIRE_WRITTEN, decode_written);
}

static void put_exit(uint32_t timed_out)
{
    (void)buf_u32(&payload, (uint32_t)-3);
    (void)buf_u32(&payload, 9);
    (void)buf_u32(&payload, timed_out);
    (void)buf_u64(&payload, 1ull << 40);
}

static void the_end_of_a_command(void)
{
    put_exit(1);
    check(WIRE_EXIT, WIRE_EXIT, decode_exit);
    put_exit(WIRE_CAUSE_KILLED);
    check(WIRE_PROCESS_EXIT, WIRE_PROCESS_EXIT, decode_process_exit);
    put_exit(WIRE_CAUSE_KILLED + 1);
    frame.type = WIRE_EXIT;
    T_TRUE(!decodes(decode_exit, payload.len));
    buf_done(&payload);
}

static void put_stat(uint32_t kind)
{
    wire_put_str(&payload, "n");
    wire_put_str(&payload, "/d/n");
    (void)buf_u64(&payload, UINT64_MAX);
    (void)buf_u32(&payload, kind);
    (void)buf_u32(&payload, 0777);
    (void)buf_u64(&payload, UINT64_MAX);
}

static void files(void)
{
    static const uint32_t wrong[] = {0, WIRE_KIND_OTHER + 1, UINT32_MAX};
    put_stat(WIRE_KIND_SYMLINK);
    check(WIRE_STAT, WIRE_ENTRY, decode_stat);
    put_stat(WIRE_KIND_SYMLINK);
    check(WIRE_ENTRY, WIRE_STAT, decode_stat);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        put_stat(wrong[i]);
        frame.type = WIRE_STAT;
        T_TRUE(!decodes(decode_stat, payload.len));
        buf_done(&payload);
    }
}

static bool ended;

static bool decode_process(void)
{
    struct wire_process p;
    struct span word;
    if (!wire_reply_process(&frame, &p))
        return false;
    T_EQ(p.id, 1ull << 40);
    T_EQ(p.pid, 7);
    expect_span(p.tag, "tag");
    T_TRUE(wire_next_word(&p.argv, &word));
    expect_span(word, "sh");
    T_TRUE(wire_next_word(&p.argv, &word));
    expect_span(word, "");
    T_TRUE(!wire_next_word(&p.argv, &word));
    expect_span(p.cwd, "/");
    T_EQ(p.flags, WIRE_PROCESS_PTY);
    T_EQ(p.started_ms, -1);
    T_EQ(p.first_seq, 3);
    T_EQ(p.next_seq, 4);
    T_EQ(p.ended, ended);
    T_EQ(p.exit.signal, ended ? 9 : 0);
    return true;
}

static void put_process(uint32_t words, uint32_t is_ended)
{
    (void)buf_u64(&payload, 1ull << 40);
    (void)buf_u32(&payload, 7);
    wire_put_str(&payload, "tag");
    (void)buf_u32(&payload, words);
    wire_put_str(&payload, "sh");
    wire_put_str(&payload, "");
    wire_put_str(&payload, "/");
    (void)buf_u32(&payload, WIRE_PROCESS_PTY);
    (void)buf_u64(&payload, UINT64_MAX);
    (void)buf_u64(&payload, 3);
    (void)buf_u64(&payload, 4);
    (void)buf_u32(&payload, is_ended);
    if (is_ended == 1)
        put_exit(WIRE_CAUSE_KILLED);
    ended = is_ended == 1;
}

static void processes(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        put_process(2, i);
        check(WIRE_PROCESS, WIRE_PROCESS, decode_process);
    }
    struct wire_process sized;
    put_process(2, 0);
    (void)buf_u32(&payload, 132);
    (void)buf_u32(&payload, 43);
    frame = (struct wire_frame){
        .type = WIRE_PROCESS, .payload = payload.data, .len = (uint32_t)payload.len};
    T_TRUE(wire_reply_process(&frame, &sized));
    T_EQ(sized.columns, 132);
    T_EQ(sized.rows, 43);
    frame.len -= 4;
    T_TRUE(!wire_reply_process(&frame, &sized));
    buf_done(&payload);
    static const uint32_t wrong[] = {0, 1, 3, WIRE_MAX_LIST + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        put_process(wrong[i], 0);
        frame.type = WIRE_PROCESS;
        T_TRUE(!decodes(decode_process, payload.len));
        buf_done(&payload);
    }
}

static bool decode_output(void)
{
    struct wire_output o;
    bool ok = wire_reply_output(&frame, &o) && o.bytes.len == 2;
    if (ok) {
        T_EQ(o.seq, 5);
        T_EQ(o.stream, WIRE_STREAM_PTY);
        expect_span(o.bytes, "ab");
    }
    return ok;
}

static bool decode_gap(void)
{
    uint64_t next = 0;
    bool ok = wire_reply_gap(&frame, &next);
    T_EQ(next, ok ? 5 : next);
    return ok;
}

static void output_of_processes(void)
{
    (void)buf_u64(&payload, 5);
    (void)buf_u32(&payload, WIRE_STREAM_PTY);
    (void)buf_append(&payload, "ab", 2);
    check(WIRE_OUTPUT, WIRE_OUTPUT, decode_output);
    (void)buf_u64(&payload, 5);
    check(WIRE_GAP, WIRE_GAP, decode_gap);
}

static bool decode_info(void)
{
    struct wire_info i;
    bool ok = wire_reply_info(&frame, &i);
    if (ok) {
        expect_span(i.stat.path, "/d/n");
        T_EQ(i.uid, 1);
        T_EQ(i.gid, 2);
        expect_span(i.owner, "u");
        expect_span(i.group, "g");
        T_EQ(i.target_kind, WIRE_KIND_DIRECTORY);
        expect_span(i.target, "/t");
    }
    return ok;
}

static bool decode_match(void)
{
    struct wire_match m;
    bool ok = wire_reply_match(&frame, &m);
    if (ok) {
        expect_span(m.path, "/f");
        T_EQ(m.line, 1);
        T_EQ(m.column, 2);
        expect_span(m.text, "x");
    }
    return ok;
}

static bool decode_replaced(void)
{
    struct wire_replaced r;
    bool ok = wire_reply_replaced(&frame, &r);
    if (ok) {
        expect_span(r.path, "/f");
        T_EQ(r.count, 3);
    }
    return ok;
}

static bool decode_found(void)
{
    struct wire_found f;
    bool ok = wire_reply_found(&frame, &f);
    if (ok) {
        T_EQ(f.files, 1);
        T_EQ(f.count, 2);
        T_TRUE(f.cut);
    }
    return ok;
}

static bool decode_change(void)
{
    struct wire_changed ch;
    bool ok = wire_reply_change(&frame, &ch);
    if (ok) {
        T_EQ(ch.what, WIRE_CHANGE_RENAME);
        T_EQ(ch.kind, 0);
        expect_span(ch.path, "a");
        expect_span(ch.new_path, "b");
    }
    return ok;
}

static void put_info(void)
{
    put_stat(WIRE_KIND_SYMLINK);
    (void)buf_u32(&payload, 1);
    (void)buf_u32(&payload, 2);
    wire_put_str(&payload, "u");
    wire_put_str(&payload, "g");
    (void)buf_u32(&payload, WIRE_KIND_DIRECTORY);
    wire_put_str(&payload, "/t");
}

static bool decode_noted(void)
{
    struct wire_info info;
    struct span note;
    bool ok = wire_reply_info(&frame, &info);
    if (ok) {
        T_TRUE(wire_next_word(&info.attributes, &note));
        expect_span(note, "k=v");
        T_TRUE(!wire_next_word(&info.attributes, &note));
    }
    return ok;
}

static void attributes(void)
{
    put_info();
    (void)buf_u32(&payload, 1);
    wire_put_str(&payload, "k=v");
    frame.type = WIRE_INFO;
    T_TRUE(decodes(decode_noted, payload.len));
    T_TRUE(!decodes(decode_noted, payload.len - 1));
    T_TRUE(!decodes(decode_noted, payload.len + 1));
    buf_done(&payload);
}

static void trees_of_files(void)
{
    put_info();
    check(WIRE_INFO, WIRE_INFO, decode_info);
    wire_put_str(&payload, "/f");
    (void)buf_u64(&payload, 1);
    (void)buf_u64(&payload, 2);
    wire_put_str(&payload, "x");
    check(WIRE_MATCH, WIRE_MATCH, decode_match);
    wire_put_str(&payload, "/f");
    (void)buf_u64(&payload, 3);
    check(WIRE_REPLACED, WIRE_REPLACED, decode_replaced);
    (void)buf_u64(&payload, 1);
    (void)buf_u64(&payload, 2);
    (void)buf_u32(&payload, 1);
    check(WIRE_FOUND, WIRE_FOUND, decode_found);
    (void)buf_u32(&payload, WIRE_CHANGE_RENAME);
    (void)buf_u32(&payload, 0);
    wire_put_str(&payload, "a");
    wire_put_str(&payload, "b");
    check(WIRE_CHANGE, WIRE_CHANGE, decode_change);
}

static bool decode_stream(void)
{
    struct wire_code_stream s;
    bool ok = wire_reply_code_stream(&frame, &s);
    if (ok) {
        T_TRUE(s.is_stderr);
        T_EQ(s.time_ms, 1700000000000);
        expect_span(s.text, "text");
    }
    return ok;
}

static bool decode_data(void)
{
    struct wire_code_data d;
    bool ok = wire_reply_code_data(&frame, &d);
    if (ok) {
        T_EQ(d.execution_count, frame.type == WIRE_CODE_RESULT ? 4 : 0);
        expect_span(d.bundle, "{}");
    }
    return ok;
}

static bool decode_raised(void)
{
    struct wire_code_error e;
    bool ok = wire_reply_code_error(&frame, &e);
    if (ok) {
        expect_span(e.name, "ValueError");
        expect_span(e.value, "");
        expect_span(e.traceback, "at");
    }
    return ok;
}

static bool decode_done(void)
{
    struct wire_code_done d;
    bool ok = wire_reply_code_done(&frame, &d);
    if (ok) {
        T_EQ(d.status, WIRE_CODE_KERNEL_DIED);
        T_EQ(d.execution_count, 5);
        T_EQ(d.how.code, -3);
        T_EQ(d.how.signal, 9);
        T_EQ(d.how.cause, WIRE_CAUSE_MEMORY);
    }
    return ok;
}

static void put_stream(uint8_t which)
{
    (void)buf_u8(&payload, which);
    (void)buf_u64(&payload, 1700000000000);
    wire_put_str(&payload, "text");
}

static void code(void)
{
    put_stream(2);
    check(WIRE_CODE_STREAM, WIRE_CODE_STREAM, decode_stream);
    put_stream(3);
    frame.type = WIRE_CODE_STREAM;
    T_TRUE(!decodes(decode_stream, payload.len));
    buf_done(&payload);
    (void)buf_u32(&payload, 4);
    wire_put_str(&payload, "{}");
    check(WIRE_CODE_RESULT, WIRE_CODE_RESULT, decode_data);
    wire_put_str(&payload, "{}");
    check(WIRE_CODE_DISPLAY, WIRE_CODE_DISPLAY, decode_data);
    wire_put_str(&payload, "ValueError");
    wire_put_str(&payload, "");
    wire_put_str(&payload, "at");
    check(WIRE_CODE_ERROR, WIRE_CODE_ERROR, decode_raised);
}

static void the_end_of_code(void)
{
    (void)buf_u32(&payload, WIRE_CODE_KERNEL_DIED);
    (void)buf_u32(&payload, 5);
    put_exit(WIRE_CAUSE_MEMORY);
    check(WIRE_CODE_DONE, WIRE_CODE_DONE, decode_done);
    (void)buf_u32(&payload, WIRE_CODE_KERNEL_DIED + 1);
    (void)buf_u32(&payload, 5);
    frame.type = WIRE_CODE_DONE;
    T_TRUE(!decodes(decode_done, payload.len));
    buf_done(&payload);
}

static bool decode_context(void)
{
    struct wire_context x;
    bool ok = wire_reply_context(&frame, &x);
    if (ok) {
        expect_span(x.id, "i");
        expect_span(x.language, "python");
        expect_span(x.cwd, "/");
        expect_span(x.status, "busy");
        T_EQ(x.created_ms, 1);
        T_EQ(x.expires_ms, 2);
        T_EQ(x.last_used_ms, 3);
    }
    return ok;
}

static void contexts(void)
{
    wire_put_str(&payload, "i");
    wire_put_str(&payload, "python");
    wire_put_str(&payload, "/");
    wire_put_str(&payload, "busy");
    for (uint64_t i = 1; i <= 3; i++)
        (void)buf_u64(&payload, i);
    check(WIRE_CONTEXT, WIRE_CONTEXT, decode_context);
}

static bool decode_failure(void)
{
    struct wire_failure f;
    bool ok = wire_reply_failure(&frame, &f);
    if (ok) {
        T_EQ(f.code, WIRE_E_NOT_FOUND);
        expect_span(f.message, "x: No such file");
    }
    return ok;
}

static void put_failure(uint32_t code)
{
    (void)buf_u32(&payload, code);
    wire_put_str(&payload, "x: No such file");
}

static void failures(void)
{
    static const uint32_t wrong[] = {0, WIRE_E_LAST + 1, 255, UINT32_MAX};
    put_failure(WIRE_E_NOT_FOUND);
    check(WIRE_ERROR, WIRE_ERROR, decode_failure);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        put_failure(wrong[i]);
        frame.type = WIRE_ERROR;
        T_TRUE(!decodes(decode_failure, payload.len));
        buf_done(&payload);
    }
}

static void errors_of_the_agent(void)
{
    struct buf b = {0};
    struct error err;
    T_EQ(wire_put_error(&b, WIRE_E_NOT_FOUND, "x: No such file"), 0);
    struct wire_frame f = {WIRE_ERROR, b.data + WIRE_HEADER_SIZE, b.len - WIRE_HEADER_SIZE};
    wire_reply_error(&f, &err);
    T_EQ(err.code, ERROR_FILE_NOT_FOUND);
    T_STR(err.message, "x: No such file");
    f.len--;
    wire_reply_error(&f, &err);
    T_EQ(err.code, ERROR_INTERNAL);
    f = (struct wire_frame){WIRE_ERROR, (const uint8_t *)"\xff\0\0\0\0\0\0\0", 8};
    wire_reply_error(&f, &err);
    T_EQ(err.code, ERROR_INTERNAL);
    buf_done(&b);
}

T_MAIN(T_CASE(small_replies), T_CASE(the_end_of_a_command), T_CASE(files), T_CASE(trees_of_files),
       T_CASE(attributes), T_CASE(processes), T_CASE(output_of_processes), T_CASE(code),
       T_CASE(the_end_of_code), T_CASE(contexts), T_CASE(failures), T_CASE(errors_of_the_agent))
