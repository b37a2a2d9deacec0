/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* Offsets and lengths of the fields of a ustar header. */
#define TAR_NAME     0, 100
#define TAR_MODE     100, 8
#define TAR_UID      108, 8
#define TAR_GID      116, 8
#define TAR_SIZE     124, 12
#define TAR_MTIME    136, 12
#define TAR_CHECKSUM 148, 8
#define TAR_TYPE     156
#define TAR_LINK     157, 100
#define TAR_MAGIC    257
#define TAR_PREFIX   345, 155

#define TAR_OCTAL_MAX ((1ull << 33) - 1) /* eleven digits */
#define TAR_FILE_MAX  ((uint64_t)INT64_MAX / 2)

/* --- writing --- */

static void tar_octal(uint8_t *block, size_t at, size_t len, uint64_t value)
{
    for (size_t i = len - 1; i-- > 0; value >>= 3)
        block[at + i] = (uint8_t)('0' + (value & 7));
}

static uint32_t tar_sum(const uint8_t *block)
{
    uint32_t sum = 8 * ' ';
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0 : block[i];
    return sum;
}

static void tar_block(uint8_t block[TAR_BLOCK], char type, const char *path, const char *target,
                      const struct tar_entry *e, uint64_t size)
{
    memset(block, 0, TAR_BLOCK);
    memcpy(block, path, strnlen(path, 100));
    memcpy(block + 157, target, strnlen(target, 100));
    tar_octal(block, TAR_MODE, e->mode & 07777);
    tar_octal(block, TAR_UID, 0);
    tar_octal(block, TAR_GID, 0);
    tar_octal(block, TAR_SIZE, MIN(size, TAR_OCTAL_MAX));
    tar_octal(block, TAR_MTIME, e->mtime_s < 0 ? 0 : MIN((uint64_t)e->mtime_s, TAR_OCTAL_MAX));
    block[TAR_TYPE] = (uint8_t)type;
    memcpy(block + TAR_MAGIC, "ustar\00000", 8);
    tar_octal(block, 148, 7, tar_sum(block));
    block[155] = ' ';
}

/* "<length> key=value\n", where the length counts its own digits. */
static void tar_record(struct buf *out, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3, len = rest;
    for (int i = 0; i < 3; i++)
        len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
    (void)buf_printf(out, "%zu %s=%s\n", len, key, value);
}

static void tar_records(struct buf *records, const struct tar_entry *e, const char *path,
                        const char *target, uint64_t size)
{
    char text[48];
    if (strlen(path) > 100)
        tar_record(records, "path", path);
    if (strlen(target) > 100)
        tar_record(records, "linkpath", target);
    if (size > TAR_OCTAL_MAX) {
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
        tar_record(records, "size", text);
    }
    if (e->mtime_s >= 0 && (e->mtime_ns != 0 || (uint64_t)e->mtime_s > TAR_OCTAL_MAX)) {
        (void)snprintf(text, sizeof(text), "%lld.%09u", (long long)e->mtime_s, e->mtime_ns);
        tar_record(records, "mtime", text);
    }
}

int tar_put_header(struct buf *out, const struct tar_entry *e)
{
    static const char types[] = {
        [TAR_FILE] = '0', [TAR_DIRECTORY] = '5', [TAR_SYMLINK] = '2', [TAR_HARDLINK] = '1'};
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t block[TAR_BLOCK];
    char path[PATH_MAX + 2];
    cleanup_buf struct buf records = {0};
    const char *target = e->target != NULL ? e->target : "";
    uint64_t size = e->type == TAR_FILE ? e->size : 0;
    (void)snprintf(path, sizeof(path), "%s%s", e->path, e->type == TAR_DIRECTORY ? "/" : "");
    tar_records(&records, e, path, target, size);
    if (records.len > 0) {
        const struct tar_entry plain = {.mode = 0644};
        tar_block(block, 'x', "pax", "", &plain, records.len);
        (void)buf_append(out, block, sizeof(block));
        (void)buf_append(out, records.data, records.len);
        (void)buf_append(out, zeros, tar_padding(records.len));
    }
    tar_block(block, types[e->type], path, target, e, size);
    (void)buf_append(out, block, sizeof(block));
    return out->failed || records.failed ? -ENOMEM : 0;
}

int tar_put_end(struct buf *out)
{
    static const uint8_t zeros[2 * TAR_BLOCK];
    return buf_append(out, zeros, sizeof(zeros));
}

/* --- paths --- */

int tar_clean_path(const char *path, char ret[PATH_MAX])
{
    size_t len = 0, depth = 0;
    if (path[0] == '/' || path[0] == '\0')
        return -EINVAL;
    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, "/");
        bool here = n == 0 || (n == 1 && p[0] == '.');
        if (n > NAME_MAX || (n == 2 && p[0] == '.' && p[1] == '.'))
            return -EINVAL;
        if (!here) {
            if (len + n + 2 > PATH_MAX || ++depth > TAR_DEPTH)
                return -EINVAL;
            if (len > 0)
                ret[len++] = '/';
            memcpy(ret + len, p, n);
            len += n;
        }
        p += n + (p[n] == '/');
    }
    if (len == 0)
        ret[len++] = '.';
    ret[len] = '\0';
    return 0;
}

bool tar_link_stays(const char *path, const char *target)
{
    size_t above = 0;
    bool down = false;
    if (target[0] == '/' || target[0] == '\0' || strlen(target) >= PATH_MAX)
        return false;
    for (const char *p = path; *p != '\0'; p++)
        above += *p == '/';
    for (const char *p = target; *p != '\0';) {
        size_t n = strcspn(p, "/");
        bool up = n == 2 && p[0] == '.' && p[1] == '.';
        if (up && (down || above-- == 0))
            return false;
        /* Behind a name that is a link ".." would lead to that link's parent. */
        down = down || (!up && n > 0 && !(n == 1 && p[0] == '.'));
        p += n + (p[n] == '/');
    }
    return true;
}

/* --- reading --- */

void tar_reader_init(struct tar_reader *r, const struct tar_handler *handler)
{
    memset(r, 0, sizeof(*r));
    r->handler = handler;
}

void tar_reader_done(struct tar_reader *r)
{
    buf_done(&r->text);
}

static int tar_fault(struct tar_reader *r, int rv, const char *path, const char *what)
{
    (void)snprintf(r->why, sizeof(r->why), "The archive's entry '%.120s' %s", path, what);
    return rv;
}

static int tar_malformed(struct tar_reader *r, const char *what)
{
    (void)snprintf(r->why, sizeof(r->why), "The archive is malformed: %s", what);
    return -EPROTO;
}

/* A number in octal digits, or in base 256 when the first bit is set. False: neither. */
static bool tar_number(const uint8_t *block, size_t at, size_t len, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;
    if (block[at] == 0x80) {
        for (i = 1; i < len; i++) {
            if (value >> 55 != 0)
                return false;
            value = value << 8 | block[at + i];
        }
        *ret = value;
        return true;
    }
    while (i < len && block[at + i] == ' ')
        i++;
    for (; i < len && block[at + i] >= '0' && block[at + i] <= '7'; i++)
        value = value << 3 | (uint64_t)(block[at + i] - '0');
    *ret = value;
    return i == len || block[at + i] == ' ' || block[at + i] == '\0';
}

static void tar_text(const uint8_t *block, size_t at, size_t len, char *ret)
{
    size_t n = strnlen((const char *)block + at, len);
    memcpy(ret, block + at, n);
    ret[n] = '\0';
}

static int tar_meta_time(struct tar_reader *r, char *value)
{
    int64_t s = 0, ns = 0;
    char *dot = strchr(value, '.');
    if (dot != NULL) {
        char digits[10] = "000000000";
        memcpy(digits, dot + 1, MIN(strlen(dot + 1), (size_t)9));
        *dot = '\0';
        if (num_parse(digits, 0, 999999999, &ns) < 0)
            return tar_malformed(r, "a time is no number");
    }
    if (num_parse(value, INT64_MIN / 4, INT64_MAX / 4, &s) < 0)
        return tar_malformed(r, "a time is no number");
    r->meta.has_mtime = true;
    r->meta.mtime_s = s;
    r->meta.mtime_ns = (uint32_t)ns;
    return 0;
}

static int tar_meta_path(struct tar_reader *r, char field[PATH_MAX], const char *value, size_t len)
{
    if (len == 0 || len >= PATH_MAX || memchr(value, '\0', len) != NULL)
        return tar_malformed(r, "a name is too long, empty or has a NUL");
    memcpy(field, value, len);
    field[len] = '\0';
    return 0;
}

static int tar_meta_record(struct tar_reader *r, const char *key, char *value, size_t len)
{
    int64_t size = 0;
    if (strcmp(key, "path") == 0)
        return tar_meta_path(r, r->meta.path, value, len);
    if (strcmp(key, "linkpath") == 0)
        return tar_meta_path(r, r->meta.target, value, len);
    if (strcmp(key, "mtime") == 0)
        return tar_meta_time(r, value);
    if (strncmp(key, "GNU.sparse.", 11) == 0)
        return tar_fault(r, -EINVAL, r->meta.path, "is sparse, which is not supported");
    if (strcmp(key, "size") != 0)
        return 0;
    if (num_parse(value, 0, (int64_t)TAR_FILE_MAX, &size) < 0)
        return tar_malformed(r, "a size is no number");
    r->meta.has_size = true;
    r->meta.size = (uint64_t)size;
    return 0;
}

/* The records of a pax header. Each is cut out of the text in place. */
static int tar_take_records(struct tar_reader *r)
{
    char *p = (char *)r->text.data;
    char *const end = r->text.len > 0 ? p + r->text.len : p; /* no text has no address to add to */
    while (p < end) {
        size_t digits = 0, len = 0;
        while (p + digits < end && p[digits] >= '0' && p[digits] <= '9' && digits < 6)
            len = len * 10 + (size_t)(p[digits++] - '0');
        if (digits == 0 || len <= digits + 2 || len > (size_t)(end - p) || p[digits] != ' ' ||
            p[len - 1] != '\n')
            return tar_malformed(r, "a record has a wrong length");
        char *key = p + digits + 1, *equals = memchr(key, '=', len - digits - 2);
        if (equals == NULL)
            return tar_malformed(r, "a record has no value");
        *equals = '\0';
        p[len - 1] = '\0';
        int rv = tar_meta_record(r, key, equals + 1, (size_t)(p + len - 1 - (equals + 1)));
        if (rv < 0)
            return rv;
        p += len;
    }
    return 0;
}

static int tar_take_meta(struct tar_reader *r)
{
    int rv = 0;
    const char *text = (const char *)r->text.data;
    size_t len = r->text.len > 0 ? strnlen(text, r->text.len) : 0;
    if (r->record == 'x')
        rv = tar_take_records(r);
    else if (r->record == 'L')
        rv = tar_meta_path(r, r->meta.path, text, len);
    else if (r->record == 'K')
        rv = tar_meta_path(r, r->meta.target, text, len);
    buf_reset(&r->text);
    r->record = '\0';
    return rv; /* 'g' says what holds for all, which nothing here needs */
}

static bool tar_type_of(uint8_t flag, const char *path, enum tar_type *ret)
{
    size_t len = strlen(path);
    switch (flag) {
    case '\0':
    case '0':
    case '7':
        *ret = len > 0 && path[len - 1] == '/' ? TAR_DIRECTORY : TAR_FILE;
        return true;
    case '1':
        *ret = TAR_HARDLINK;
        return true;
    case '2':
        *ret = TAR_SYMLINK;
        return true;
    case '5':
        *ret = TAR_DIRECTORY;
        return true;
    default:
        return false;
    }
}

static int tar_check_target(struct tar_reader *r, struct tar_entry *e, char clean[PATH_MAX])
{
    if (e->type == TAR_SYMLINK && !tar_link_stays(e->path, e->target))
        return tar_fault(r, -EINVAL, e->path, "is a link out of the tree");
    if (e->type == TAR_HARDLINK) {
        if (tar_clean_path(e->target, clean) < 0)
            return tar_fault(r, -EINVAL, e->path, "is a link out of the tree");
        e->target = clean;
    }
    return 0;
}

static int tar_begin_entry(struct tar_reader *r, uint64_t size, uint64_t mode, uint64_t mtime)
{
    const uint8_t *b = r->block;
    char own[300], path[PATH_MAX], target[PATH_MAX], clean[PATH_MAX];
    const char *raw = r->meta.path[0] != '\0' ? r->meta.path : own;
    struct tar_entry e = {.path = path, .target = target, .mode = (uint32_t)mode & 07777};
    tar_text(b, TAR_PREFIX, own);
    size_t prefix = memcmp(b + TAR_MAGIC, "ustar", 6) == 0 ? strlen(own)
                                                           : 0; /* GNU has times here */
    if (prefix > 0)
        own[prefix++] = '/';
    tar_text(b, TAR_NAME, own + prefix);
    tar_text(b, TAR_LINK, target);
    if (r->meta.target[0] != '\0')
        (void)snprintf(target, sizeof(target), "%s", r->meta.target);
    if (!tar_type_of(b[TAR_TYPE], raw, &e.type))
        return tar_fault(r, -EINVAL, raw, "is neither file, directory nor link");
    if (tar_clean_path(raw, path) < 0)
        return tar_fault(r, -EINVAL, raw, "has a path that leads out of the tree or is too long");
    if (strcmp(path, ".") == 0 && e.type != TAR_DIRECTORY)
        return tar_fault(r, -EINVAL, raw, "stands for the tree and is no directory");
    int rv = tar_check_target(r, &e, clean);
    if (rv < 0)
        return rv;
    e.mtime_s = r->meta.has_mtime ? r->meta.mtime_s : (int64_t)MIN(mtime, (uint64_t)INT64_MAX / 4);
    e.mtime_ns = r->meta.has_mtime ? r->meta.mtime_ns : 0;
    e.size = e.type == TAR_FILE ? size : 0;
    r->left = e.size;
    r->padding = tar_padding(e.size);
    r->in_entry = true;
    memset(&r->meta, 0, sizeof(r->meta));
    return r->handler->entry(r, &e);
}

static int tar_take_header(struct tar_reader *r)
{
    const uint8_t *b = r->block;
    uint64_t sum = 0, size = 0, mode = 0, mtime = 0;
    char type = (char)b[TAR_TYPE];
    if (!tar_number(b, TAR_CHECKSUM, &sum) || sum != tar_sum(b))
        return tar_malformed(r, "a header has a wrong sum");
    if (!tar_number(b, TAR_SIZE, &size) || !tar_number(b, TAR_MODE, &mode) || size > TAR_FILE_MAX)
        return tar_malformed(r, "a header has a field that is no number");
    if (!tar_number(b, TAR_MTIME, &mtime))
        mtime = 0; /* before 1970 */
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
        if (size > TAR_META_MAX)
            return tar_malformed(r, "the records of an entry are too long");
        r->record = type;
        r->left = size;
        r->padding = tar_padding(size);
        return size == 0 ? tar_take_meta(r) : 0;
    }
    return tar_begin_entry(r, r->meta.has_size ? r->meta.size : size, mode, mtime);
}

static int tar_take_block(struct tar_reader *r)
{
    static const uint8_t zeros[TAR_BLOCK];
    r->have = 0;
    if (memcmp(r->block, zeros, TAR_BLOCK) != 0) {
        r->zeros = 0;
        return tar_take_header(r);
    }
    r->ended = ++r->zeros == 2;
    return 0;
}

/* Behind the last byte of data or records. */
static int tar_finish(struct tar_reader *r)
{
    if (r->record != '\0')
        return tar_take_meta(r);
    if (!r->in_entry)
        return 0;
    r->in_entry = false;
    return r->handler->end(r);
}

/* Data or records. How many of the bytes it has taken, or a negative errno. */
static ssize_t tar_take_data(struct tar_reader *r, const uint8_t *data, size_t len)
{
    size_t n = (size_t)MIN((uint64_t)len, r->left);
    int rv = r->record != '\0' ? buf_append(&r->text, data, n) : r->handler->data(r, data, n);
    if (rv < 0)
        return rv;
    r->left -= n;
    rv = r->left == 0 ? tar_finish(r) : 0;
    return rv < 0 ? rv : (ssize_t)n;
}

static ssize_t tar_take(struct tar_reader *r, const uint8_t *data, size_t len)
{
    size_t n = 0;
    if (r->left > 0)
        return tar_take_data(r, data, len);
    if (r->padding > 0) {
        n = MIN(len, r->padding);
        r->padding -= n;
        return (ssize_t)n;
    }
    n = MIN(len, TAR_BLOCK - r->have);
    memcpy(r->block + r->have, data, n);
    r->have += n;
    int rv = r->have == TAR_BLOCK ? tar_take_block(r) : 0;
    if (rv == 0 && r->in_entry && r->left == 0)
        rv = tar_finish(r);
    return rv < 0 ? rv : (ssize_t)n;
}

int tar_feed(struct tar_reader *r, const uint8_t *data, size_t len)
{
    while (len > 0 && !r->ended) {
        ssize_t n = tar_take(r, data, len);
        if (n < 0)
            return (int)n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}
