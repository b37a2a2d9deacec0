/* SPDX-License-Identifier: Apache-2.0 */
/*
 * find.c - FIND and REPLACE: the contents of the files below a directory, as jobs of a worker.
 *
 * A file is read whole, at most FIND_FILE_MAX bytes; one that holds a NUL in its first FIND_PROBE
 * bytes is no text and is passed over. Files that the user cannot read are passed over, too. What
 * was left out for its size, or at a limit of time or matches, is in FOUND.
 *
 * REPLACE writes a file beside the old one and renames it over it, with the mode of the old one.
 * Lines are searched one by one, so no match goes across two.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/agent.h"
#include "agent/fs.h"
#include "agent/ops/ops.h"
#include "agent/worker.h"

#define FIND_FDS      32
#define FIND_FILE_MAX (32u << 20)
#define FIND_PROBE    8192u
#define FIND_GROUPS   10 /* $0 is the whole match */

/* One job a process; nftw() has no context. */
static struct find {
    struct worker *worker;
    const struct request *req;
    char root[PATH_MAX];
    regex_t regex;
    bool cut; /* a limit was reached */
    uint64_t files, hits, max, depth;
    struct buf text, changed; /* the file, and what it becomes */
} find;

static bool find_is_over(void)
{
    if (find.hits < find.max && loop_now() < find.worker->until)
        return false;
    find.cut = true;
    return true;
}

/* The next match in `line`, a C string, from `at` on. False: there is none. */
static bool find_match(const char *line, size_t at, regmatch_t m[FIND_GROUPS])
{
    bool no_case = (find.req->flags & WIRE_FIND_NO_CASE) != 0;
    if (find.req->flags & WIRE_FIND_REGEX) {
        if (regexec(&find.regex, line + at, FIND_GROUPS, m, at > 0 ? REG_NOTBOL : 0) != 0)
            return false;
        for (size_t i = 0; i < FIND_GROUPS; i++) {
            m[i].rm_so += m[i].rm_so >= 0 ? (regoff_t)at : 0;
            m[i].rm_eo += m[i].rm_eo >= 0 ? (regoff_t)at : 0;
        }
        return true;
    }
    const char *hit = no_case ? strcasestr(line + at, find.req->pattern)
                              : strstr(line + at, find.req->pattern);
    if (hit == NULL)
        return false;
    m[0].rm_so = (regoff_t)(hit - line);
    m[0].rm_eo = m[0].rm_so + (regoff_t)strlen(find.req->pattern);
    return true;
}

static void find_report(const char *path, uint64_t number, size_t column, const char *line)
{
    struct buf *out = &find.worker->out;
    size_t start = wire_begin(out, WIRE_MATCH);
    wire_put_str(out, path);
    (void)buf_u64(out, number);
    (void)buf_u64(out, column + 1);
    wire_put_span(out, line, MIN(strlen(line), (size_t)WIRE_FIND_TEXT));
    wire_end(out, start);
    worker_flush(find.worker, false);
    find.hits++;
}

/* Appends the replacement. $1 to $9 are groups, $0 the match, $$ a dollar; all else is itself. */
static void find_expand(const char *line, const regmatch_t m[FIND_GROUPS])
{
    const char *p = find.req->replacement;
    if (!(find.req->flags & WIRE_FIND_REGEX)) {
        (void)buf_append_str(&find.changed, p);
        return;
    }
    for (; *p != '\0'; p++) {
        bool group = p[0] == '$' && p[1] >= '0' && p[1] <= '9';
        if (group) {
            const regmatch_t *g = &m[*++p - '0'];
            if (g->rm_so >= 0)
                (void)buf_append(&find.changed, line + g->rm_so, (size_t)(g->rm_eo - g->rm_so));
            continue;
        }
        p += p[0] == '$' && p[1] == '$';
        (void)buf_append(&find.changed, p, 1);
    }
}

/* One line with all its matches replaced; their number. An empty match moves on by a byte. */
static uint64_t find_replace_line(const char *line)
{
    regmatch_t m[FIND_GROUPS];
    size_t at = 0, len = strlen(line);
    uint64_t count = 0;
    while (at <= len && find_match(line, at, m)) {
        (void)buf_append(&find.changed, line + at, (size_t)m[0].rm_so - at);
        find_expand(line, m);
        count++;
        at = (size_t)m[0].rm_eo;
        if (m[0].rm_eo != m[0].rm_so)
            continue;
        if (at < len)
            (void)buf_append(&find.changed, line + at, 1);
        at++;
    }
    if (at < len)
        (void)buf_append(&find.changed, line + at, len - at);
    return count;
}

/* The lines of the file as C strings. A line with a NUL is searched as far as that. */
static uint64_t find_in_text(const char *path)
{
    regmatch_t m[FIND_GROUPS];
    char *at = (char *)find.text.data, *end = at + find.text.len;
    uint64_t count = 0;
    bool replacing = find.req->type == WIRE_REPLACE;
    for (uint64_t number = 1; at < end && !find_is_over(); number++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *stop = newline != NULL ? newline : end;
        *stop = '\0'; /* the text has one byte more than the file */
        if (!replacing && find_match(at, 0, m))
            find_report(path, number, (size_t)m[0].rm_so, at);
        if (replacing) {
            count += find_replace_line(at);
            /* What is behind a NUL stays as it is. */
            size_t seen = strlen(at);
            (void)buf_append(&find.changed, at + seen, (size_t)(stop - at) - seen);
            (void)buf_append(&find.changed, "\n", newline != NULL);
        }
        at = stop + 1;
    }
    return at < end ? 0 : count; /* half a file is not written */
}

/* False: it is not a text, or cannot be read. */
static bool find_load(const char *path)
{
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    if ((uint64_t)st.st_size > FIND_FILE_MAX) {
        find.cut = true;
        return false;
    }
    size_t want = (size_t)st.st_size;
    buf_reset(&find.text);
    if (buf_reserve(&find.text, want + 1) < 0)
        return false;
    while (find.text.len < want) {
        ssize_t n = read(fd, find.text.data + find.text.len, want - find.text.len);
        if (n <= 0)
            break;
        find.text.len += (size_t)n;
    }
    return memchr(find.text.data, '\0', MIN(find.text.len, (size_t)FIND_PROBE)) == NULL;
}

static int find_write_all(int fd)
{
    for (size_t at = 0; at < find.changed.len;) {
        ssize_t n = write(fd, find.changed.data + at, find.changed.len - at);
        if (n < 0)
            return -errno;
        at += (size_t)n;
    }
    return 0;
}

/* The old file or all of the new one. */
static int find_store(const char *path, mode_t mode)
{
    char temp[PATH_MAX + 64];
    uint64_t random;
    if (find.changed.failed)
        return -ENOMEM;
    if (access(path, W_OK) < 0 || getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(temp, sizeof(temp), "%.*s/.%016llx.new", (int)(strrchr(path, '/') - path), path,
                   (unsigned long long)random);
    cleanup_close int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rv = find_write_all(fd);
    if (rv == 0 && (fchmod(fd, mode & 07777) < 0 || rename(temp, path) < 0))
        rv = -errno;
    if (rv < 0)
        (void)unlink(temp);
    return rv;
}

static int find_replace_in(const char *path, mode_t mode)
{
    struct buf *out = &find.worker->out;
    buf_reset(&find.changed);
    uint64_t count = find_in_text(path);
    if (count == 0)
        return 0;
    int rv = (find.req->flags & WIRE_FIND_DRY_RUN) ? 0 : find_store(path, mode);
    if (rv < 0)
        return rv;
    size_t start = wire_begin(out, WIRE_REPLACED);
    wire_put_str(out, path);
    (void)buf_u64(out, count);
    wire_end(out, start);
    worker_flush(find.worker, false);
    find.hits += count;
    return 0;
}

static bool find_is_wanted(const char *path, const char *name)
{
    const char *glob = find.req->glob;
    const char *below = path + strlen(find.root);
    if (glob[0] == '\0')
        return true;
    if (strchr(glob, '/') == NULL)
        return fnmatch(glob, name, 0) == 0;
    return fnmatch(glob, below + (*below == '/'), FNM_PATHNAME) == 0 ||
           fnmatch(glob, below + (*below == '/'), 0) == 0;
}

static int find_error;

static int find_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    const char *name = path + at->base;
    if (find_is_over())
        return FTW_STOP;
    if (at->level > 0 && name[0] == '.' && !(find.req->flags & WIRE_FIND_HIDDEN))
        return type == FTW_D ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
    if (type == FTW_D)
        return find.depth != 0 && (uint64_t)at->level >= find.depth ? FTW_SKIP_SUBTREE
                                                                    : FTW_CONTINUE;
    if (type != FTW_F || !S_ISREG(st->st_mode) || !find_is_wanted(path, name) || !find_load(path))
        return FTW_CONTINUE;
    find.files++;
    if (find.req->type == WIRE_FIND)
        (void)find_in_text(path);
    else
        find_error = find_replace_in(path, st->st_mode);
    return find_error < 0 ? FTW_STOP : FTW_CONTINUE;
}

static int find_compile(void)
{
    const struct request *req = find.req;
    if (!(req->flags & WIRE_FIND_REGEX))
        return 0;
    int flags = REG_EXTENDED | ((req->flags & WIRE_FIND_NO_CASE) ? REG_ICASE : 0);
    return regcomp(&find.regex, req->pattern, flags) == 0 ? 0 : -EINVAL;
}

static int find_run(struct worker *w)
{
    cleanup_fs_node struct fs_node n = {.fd = -1};
    const struct request *req = w->req;
    find.worker = w;
    find.req = req;
    find.depth = req->depth;
    find.max = req->type == WIRE_REPLACE ? UINT64_MAX
               : req->max != 0           ? req->max
                                         : WIRE_FIND_MATCHES;
    int rv = fs_resolve(w->account, req->path, &n);
    if (rv == 0)
        rv = find_compile();
    if (rv < 0)
        return rv;
    memcpy(find.root, n.path, sizeof(find.root));
    if (nftw(n.path, find_one, FIND_FDS, FTW_PHYS | FTW_ACTIONRETVAL) < 0)
        return -errno;
    if (find_error < 0)
        return find_error;
    size_t start = wire_begin(&w->out, WIRE_FOUND);
    (void)buf_u64(&w->out, find.files);
    (void)buf_u64(&w->out, find.hits);
    (void)buf_u32(&w->out, find.cut);
    wire_end(&w->out, start);
    return 0;
}

static void find_start(struct conn *c, struct request *req)
{
    static const struct worker_job job = {find_run};
    worker_start(c, req, &job);
}

const struct op op_find = {
    .type = WIRE_FIND, .start = find_start, .writable = worker_writable, .stop = worker_stop};
const struct op op_replace = {
    .type = WIRE_REPLACE, .start = find_start, .writable = worker_writable, .stop = worker_stop};
