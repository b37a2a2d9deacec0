/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of pages as corral-vmm writes them, joined. */
#include "template/recordings.h"

#include <errno.h>
#include <unistd.h>

#include "core/file.h"
#include "t.h"
#include "vmm_ctl.h"

static char dir[] = "/tmp/test-recordings-XXXXXX";

static void put(const char *name, uint32_t mark, const uint32_t *runs, size_t n)
{
    cleanup_buf struct buf b = {0};
    char path[100];
    static bool made;
    T_TRUE(made || t_mkdtemp(dir));
    made = true;
    for (size_t i = 0; i < CTL_WORKSET_HEAD / 4; i++)
        (void)buf_u32(&b, mark);
    for (size_t i = 0; i < n; i++)
        (void)buf_u32(&b, runs[i]);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    T_EQ(file_replace(path, b.data, b.len, 0600), 0);
}

static void expect(uint32_t mark, const uint32_t *runs, size_t n)
{
    cleanup_buf struct buf got = {0};
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/set", dir);
    T_EQ(file_read(path, 1 << 20, &got), 0);
    struct cursor c = cursor_on(got.data, got.len);
    for (size_t i = 0; i < CTL_WORKSET_HEAD / 4; i++)
        T_EQ(cursor_u32(&c), mark);
    for (size_t i = 0; i < n; i++)
        T_EQ(cursor_u32(&c), runs[i]);
    T_TRUE(cursor_end(&c));
    T_EQ(unlink(path), 0);
}

static bool is_there(const char *name)
{
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void what_all_wrote_is_kept(void)
{
    static const uint32_t a[] = {1, 10, 20, 5, 40, 1, 100, 100};
    static const uint32_t b[] = {0, 3, 5, 2, 9, 12, 30, 80, 199, 1000};
    static const uint32_t c[] = {2, 150};
    static const uint32_t both[] = {1, 2, 5, 2, 9, 2, 20, 1, 40, 1, 100, 10, 199, 1};
    static const uint32_t all[] = {2, 1, 5, 2, 9, 2, 20, 1, 40, 1, 100, 10};
    put("set.0", 1, a, ARRAY_SIZE(a));
    put("set.1", 2, b, ARRAY_SIZE(b));
    T_EQ(template_recordings_join(dir, "set", 2), 0);
    expect(2, both, ARRAY_SIZE(both));
    T_TRUE(!is_there("set.0") && !is_there("set.1"));
    put("set.0", 1, a, ARRAY_SIZE(a));
    put("set.1", 2, b, ARRAY_SIZE(b));
    put("set.2", 3, c, ARRAY_SIZE(c));
    T_EQ(template_recordings_join(dir, "set", 3), 0);
    expect(3, all, ARRAY_SIZE(all));
    put("set.0", 1, a, ARRAY_SIZE(a));
    T_EQ(template_recordings_join(dir, "set", 1), 0);
    expect(1, a, ARRAY_SIZE(a));
}

/* What comes after a pair that cannot be one does not count, and no sum wraps. */
static void lists_that_make_no_sense(void)
{
    static const uint32_t whole[] = {0, UINT32_MAX}, late[] = {7, 1, 3, 0, 9, 1};
    static const uint32_t far[] = {UINT32_MAX, UINT32_MAX}, last[] = {UINT32_MAX, 1};
    static const uint32_t seven[] = {7, 1};
    put("set.0", 1, whole, ARRAY_SIZE(whole));
    put("set.1", 2, late, ARRAY_SIZE(late));
    T_EQ(template_recordings_join(dir, "set", 2), 0);
    expect(2, seven, ARRAY_SIZE(seven));
    put("set.0", 1, far, ARRAY_SIZE(far));
    put("set.1", 2, last, ARRAY_SIZE(last));
    T_EQ(template_recordings_join(dir, "set", 2), 0);
    expect(2, last, ARRAY_SIZE(last));
    put("set.0", 1, whole, 1); /* half a pair */
    put("set.1", 2, whole, ARRAY_SIZE(whole));
    T_EQ(template_recordings_join(dir, "set", 2), 0);
    expect(2, NULL, 0);
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/set.0", dir);
    T_EQ(file_replace(path, "short", 5, 0600), 0);
    put("set.1", 2, whole, ARRAY_SIZE(whole));
    T_EQ(template_recordings_join(dir, "set", 2), -EINVAL);
    T_EQ(template_recordings_join(dir, "other", 2), -ENOENT);
    T_TRUE(!is_there("set") && !is_there("other"));
    (void)snprintf(path, sizeof(path), "rm -r %s", dir);
    T_EQ(system(path), 0);
}

T_MAIN(T_CASE(what_all_wrote_is_kept), T_CASE(lists_that_make_no_sense))
