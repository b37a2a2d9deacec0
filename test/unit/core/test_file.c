/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "t.h"

static char dir[] = "/tmp/corral-test-XXXXXX";
static char path[128];

static const char *in_dir(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void replaces(void)
{
    struct buf b = {0};
    struct stat st;
    T_TRUE(t_mkdtemp(dir));
    T_EQ(file_replace(in_dir("a"), "old", 3, 0644), 0);
    T_EQ(file_replace(in_dir("a"), "new text", 8, 0600), 0);
    T_EQ(file_read(in_dir("a"), 100, &b), 0);
    T_MEM(b.data, b.len, "new text", 8);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0600);
    T_EQ(access(in_dir("a.tmp"), F_OK), -1);
    buf_done(&b);
}

static void a_planted_link_is_not_followed(void)
{
    struct buf b = {0};
    char victim[128];
    (void)snprintf(victim, sizeof(victim), "%s/victim", dir);
    T_EQ(file_replace(victim, "keep", 4, 0600), 0);
    T_EQ(symlink(victim, in_dir("l.tmp")), 0);
    T_EQ(file_replace(in_dir("l"), "secret", 6, 0600), 0);
    T_EQ(file_read(victim, 100, &b), 0);
    T_MEM(b.data, b.len, "keep", 4);
    buf_done(&b);
}

static void reports_errors(void)
{
    struct buf b = {0};
    T_EQ(file_read(in_dir("none"), 100, &b), -ENOENT);
    T_EQ(file_read(dir, 100, &b), -EISDIR);
    T_EQ(file_replace(in_dir("none/a"), "x", 1, 0600), -ENOENT);
    T_EQ(file_replace(in_dir("big"), "12345678", 8, 0600), 0);
    T_EQ(file_read(path, 7, &b), -EFBIG);
    buf_done(&b);
}

static void makes_directories(void)
{
    struct stat st;
    T_EQ(file_make_dirs(in_dir("x/y/z"), 0700), 0);
    T_EQ(file_make_dirs(in_dir("x/y/z"), 0700), 0);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(file_make_dirs(in_dir("a/b"), 0700), -ENOTDIR);
    T_EQ(file_make_dirs(in_dir("a"), 0700), -ENOTDIR);
    T_EQ(file_make_dirs("", 0700), -ENOENT);
    char command[160];
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    T_EQ(system(command), 0);
}

T_MAIN(T_CASE(replaces), T_CASE(a_planted_link_is_not_followed), T_CASE(reports_errors),
       T_CASE(makes_directories))
