/* SPDX-License-Identifier: Apache-2.0 */
/* A tree that is packed and unpacked is the same; what GNU tar makes is read, and the other way
 * round; what an archive may not hold is refused, and nothing appears outside of the tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/tar_pack.h"
#include "base/tar_unpack.h"
#include "t.h"

static char root[] = "/tmp/test-tar-XXXXXX";

static int sh(const char *command)
{
    T_EQ(setenv("R", root, 1), 0);
    return system(command);
}

static int open_dir(const char *name)
{
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_TRUE(fd >= 0);
    return fd;
}

static void set_up(void)
{
    T_TRUE(t_mkdtemp(root));
    T_EQ(sh("set -e; cd $R; mkdir -p from/a/b from/empty to; echo hello >from/a/file;"
            "head -c 70000 /dev/urandom >from/a/b/big; : >from/none; chmod 751 from/a;"
            "chmod 640 from/a/file; ln -s ../a/file from/empty/link; ln -s nowhere from/broken;"
            "touch -d '2001-02-03 04:05:06.789' from/a/file;"
            "n=$(printf 'long%.0s' $(seq 40)); mkdir -p from/$n/$n; echo x >from/$n/$n/$n;"
            "ln -s $n/$n/$n from/long_link; mkfifo from/pipe"),
         0);
}

struct packing {
    struct tar_pack tar;
    struct buf all;
};

static int keep(struct tar_pack *p, const uint8_t *data, size_t len)
{
    return buf_append(&container_of(p, struct packing, tar)->all, data, len);
}

static int unpack(const char *to, const struct buf *archive, size_t piece, struct tar_unpack *u)
{
    int fd = open_dir(to), rv = 0;
    tar_unpack_init(u, fd);
    for (size_t at = 0; at < archive->len && rv == 0; at += piece)
        rv = tar_unpack_feed(u, archive->data + at, MIN(piece, archive->len - at));
    if (rv == 0)
        rv = tar_unpack_end(u);
    tar_unpack_done(u);
    (void)close(fd);
    return rv;
}

static void there_and_back(void)
{
    static struct packing p;
    static struct tar_unpack u;
    int fd = open_dir("from");
    p.tar.put = keep;
    T_EQ(tar_pack_directory(&p.tar, fd), 0);
    (void)close(fd);
    T_EQ(p.tar.skipped, 1u); /* the pipe */
    static const size_t pieces[] = {1u << 20, 512, 61, 4099};
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        T_EQ(unpack("to", &p.all, pieces[i], &u), 0);
        T_EQ(u.entries, p.tar.entries);
        T_EQ(u.bytes, p.tar.bytes);
    }
    T_EQ(sh("cd $R && rm -f from/pipe && diff -r --no-dereference from to &&"
            "test $(stat -c '%a %Y' to/a/file | tr ' ' _) = $(stat -c %a_%Y from/a/file) &&"
            "test $(stat -c %a to/a) = 751 && stat -c %y to/a/file | grep -q '06.789'"),
         0);
    /* Another program reads it as well. */
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/ours.tar", root);
    FILE *f = fopen(path, "w");
    T_TRUE(f != NULL && fwrite(p.all.data, 1, p.all.len, f) == p.all.len && fclose(f) == 0);
    T_EQ(sh("cd $R && mkdir gnu && tar xf ours.tar -C gnu 2>tar.err && test ! -s tar.err &&"
            "diff -r --no-dereference from gnu"),
         0);
    buf_done(&p.all);
}

static void load(const char *name, struct buf *out)
{
    char path[200];
    uint8_t chunk[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "r");
    T_TRUE(f != NULL);
    for (size_t n = 1; n > 0;) {
        n = fread(chunk, 1, sizeof(chunk), f);
        T_EQ(buf_append(out, chunk, n), 0);
    }
    (void)fclose(f);
}

static void archives_of_other_programs(void)
{
    static const char *const formats[] = {"gnu", "pax", "ustar", "v7"};
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        static struct tar_unpack u;
        cleanup_buf struct buf archive = {0};
        T_EQ(setenv("F", formats[i], 1), 0);
        T_EQ(sh("cd $R && rm -rf other src && mkdir other src; cp -al from/a src "
                "2>/dev/null;"
                "ln -f src/a/file src/hard; case $F in gnu | pax) cp -a from/long* src;; esac;"
                "tar cf other.tar --format=$F -C src ."),
             0);
        load("other.tar", &archive);
        T_EQ(unpack("other", &archive, 777, &u), 0);
        T_EQ(sh("cd $R && diff -r --no-dereference src other &&"
                "test $(stat -c %h other/hard) = 2"),
             0);
    }
}

static void put(struct buf *out, const struct tar_entry *e, const char *data)
{
    static const uint8_t zeros[TAR_BLOCK];
    T_EQ(tar_put_header(out, e), 0);
    (void)buf_append(out, data, strlen(data));
    (void)buf_append(out, zeros, tar_padding(strlen(data)));
}

/* Each is refused, behind an entry that is fine. */
static void what_leads_out_is_refused(void)
{
    static const struct tar_entry bad[] = {
        {.type = TAR_FILE, .path = "/tmp/test-tar-out", .mode = 0644},
        {.type = TAR_FILE, .path = "../out", .mode = 0644},
        {.type = TAR_FILE, .path = "a/../../out", .mode = 0644},
        {.type = TAR_FILE, .path = ".", .mode = 0644},
        {.type = TAR_SYMLINK, .path = "l", .target = "/etc/passwd"},
        {.type = TAR_SYMLINK, .path = "l", .target = "../x"},
        {.type = TAR_SYMLINK, .path = "d/l", .target = "../../x"},
        {.type = TAR_SYMLINK, .path = "d/l", .target = "x/../../y"},
        {.type = TAR_SYMLINK, .path = "l", .target = ""},
        {.type = TAR_HARDLINK, .path = "h", .target = "../out"},
        {.type = TAR_HARDLINK, .path = "h", .target = "/etc/passwd"},
        {.type = TAR_HARDLINK, .path = "h", .target = "to_a_link"},
        {.type = TAR_FILE, .path = "through/x", .mode = 0644},
        {.type = TAR_DIRECTORY, .path = "through/x", .mode = 0755},
        {.type = TAR_DIRECTORY, .path = "through", .mode = 0755},
        {.type = TAR_FILE, .path = "fine/x", .mode = 0644},
    };
    T_EQ(sh("cd $R && mkdir out in && ln -s ../out in/through && ln -s fine in/to_a_link"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        static struct tar_unpack u;
        cleanup_buf struct buf archive = {0};
        const struct tar_entry fine = {.path = "fine", .mode = 04755, .size = 2};
        put(&archive, &fine, "ok");
        put(&archive, &bad[i], "");
        T_EQ(tar_put_end(&archive), 0);
        T_TRUE(unpack("in", &archive, 300, &u) < 0);
        T_TRUE(u.reader.why[0] != '\0');
        T_EQ(sh("cd $R && test -z \"$(ls -A out)\" && test \"$(ls -A in | tr '\\n' ' ')\" = "
                "'fine through to_a_link ' && test $(stat -c %a in/fine) = 755"),
             0);
    }
    T_TRUE(access("/tmp/test-tar-out", F_OK) < 0);
}

static void a_link_is_replaced_and_not_followed(void)
{
    static struct tar_unpack u;
    cleanup_buf struct buf archive = {0};
    const struct tar_entry e = {.path = "through", .mode = 0600, .size = 2};
    put(&archive, &e, "ok");
    T_EQ(tar_put_end(&archive), 0);
    T_EQ(unpack("in", &archive, 300, &u), 0);
    T_EQ(sh("cd $R && test -z \"$(ls -A out)\" && test -f in/through && test ! -L in/through"), 0);
}

static void what_ends_early_leaves_no_half_file(void)
{
    static struct tar_unpack u;
    cleanup_buf struct buf archive = {0};
    const struct tar_entry e = {.path = "half", .mode = 0600, .size = 9000};
    T_EQ(tar_put_header(&archive, &e), 0);
    T_EQ(buf_append(&archive, root, sizeof(root)), 0);
    T_EQ(unpack("in", &archive, 4000, &u), -EPROTO);
    T_EQ(sh("cd $R && test ! -e in/half && ! ls -A in | grep -q corral"), 0);
    buf_reset(&archive);
    T_EQ(unpack("in", &archive, 1, &u), -EPROTO); /* nothing is no archive */
    T_EQ(buf_append_str(&archive, "this is text and no archive, "), 0);
    while (archive.len < 2000)
        T_EQ(buf_append_str(&archive, "again and again "), 0);
    T_EQ(unpack("in", &archive, 100, &u), -EPROTO);
    T_TRUE(strstr(u.reader.why, "malformed") != NULL);
}

T_MAIN(T_CASE(set_up), T_CASE(there_and_back), T_CASE(archives_of_other_programs),
       T_CASE(what_leads_out_is_refused), T_CASE(a_link_is_replaced_and_not_followed),
       T_CASE(what_ends_early_leaves_no_half_file))
