/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/rmtree.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "t.h"

static char base[64];

static void make(const char *command)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "cd %s && %s", base, command);
    T_EQ(system(line), 0);
}

static const char *path(const char *name)
{
    static char text[128];
    (void)snprintf(text, sizeof(text), "%s/%s", base, name);
    return text;
}

static void set_up(void)
{
    (void)snprintf(base, sizeof(base), "/tmp/corral-rmtree-XXXXXX");
    T_TRUE(t_mkdtemp(base));
}

static void absent(void)
{
    T_EQ(rmtree(path("nothing")), 0);
}

static void not_a_directory(void)
{
    make("mkdir keep && touch keep/file && ln -s keep link && touch plain");
    T_EQ(rmtree(path("link")), -ENOTDIR);
    T_EQ(rmtree(path("plain")), -ENOTDIR);
    T_EQ(access(path("keep/file"), F_OK), 0);
}

static void links_are_not_followed(void)
{
    make("mkdir -p t/a/b && ln -s ../../keep t/a/out && ln -s ../keep t/out && "
         "ln -s ../../../keep t/a/b/out && ln keep/file t/a/hard && mkfifo t/a/b/fifo");
    T_EQ(rmtree(path("t")), 0);
    T_TRUE(access(path("t"), F_OK) < 0);
    T_EQ(access(path("keep/file"), F_OK), 0);
}

/* The names that the function itself would give. */
static void names_in_the_way(void)
{
    make("mkdir -p t/moved-0/x/y t/moved-1/x/y t/moved-2/moved-0/moved-0/z t/a/b/c/d && "
         "touch t/moved-3 t/a/moved-0");
    T_EQ(rmtree(path("t")), 0);
    T_TRUE(access(path("t"), F_OK) < 0);
}

static void deep_and_wide(void)
{
    int fd = -1;
    T_EQ(mkdir(path("t"), 0700), 0);
    fd = open(path("t"), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 20000; i++) {
        T_EQ(mkdirat(fd, "d", 0700), 0);
        if (i % 100 == 0)
            T_EQ(mkdirat(fd, "e", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        T_TRUE(next >= 0);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    make("mkdir -p t/w && cd t/w && for i in 1 2 3 4 5 6 7 8 9; do mkdir -p $i/$i/$i/$i; done");
    T_EQ(rmtree(path("t")), 0);
    T_TRUE(access(path("t"), F_OK) < 0);
}

/* A mount below is left alone and said. */
static void other_file_system(void)
{
    if (geteuid() != 0)
        return;
    make("mkdir -p t/a/m && mount -t tmpfs none t/a/m && mkdir t/a/m/d && touch t/a/m/d/f");
    T_TRUE(rmtree(path("t")) < 0);
    make("m=$(find . -path '*/d/f') && test -n \"$m\" && umount \"${m%/d/f}\"");
    T_EQ(rmtree(path("t")), 0);
}

static void tear_down(void)
{
    T_EQ(rmtree(base), 0);
}

T_MAIN(T_CASE(set_up), T_CASE(absent), T_CASE(not_a_directory), T_CASE(links_are_not_followed),
       T_CASE(names_in_the_way), T_CASE(deep_and_wide), T_CASE(other_file_system),
       T_CASE(tear_down))
