/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: what a restart keeps, what a refusal leaves, records that are broken. */
#include "auth/bundle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "t.h"

static char dir[64];
static uv_loop_t loop;
static struct store *store;
static struct secrets *secrets;
static struct bundles *bundles;
static struct error err;

static void begin(bool fresh)
{
    if (fresh) {
        strcpy(dir, "/tmp/corral-test-XXXXXX");
        T_TRUE(t_mkdtemp(dir));
    }
    T_EQ(uv_loop_init(&loop), 0);
    T_EQ(store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err), 0);
    T_EQ(secrets_open(&secrets, store, dir, &err), 0);
    T_EQ(bundles_open(&bundles, store, secrets, &err), 0);
}

static void end(void)
{
    bundles_free(bundles);
    secrets_free(secrets);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
}

static struct bundle *make(enum bundle_kind kind, const char *account, const char *name)
{
    struct bundle *b = NULL;
    const struct bundle_fields f = {.name = name, .mode = BUNDLE_ALLOWLIST, .is_active = true};
    T_EQ(bundle_create(bundles, kind, account, &f, &b, &err), 0);
    return b;
}

static struct bundle_entry *add(struct bundle *b, const char *name, const char *value)
{
    struct bundle_entry *e = NULL;
    const struct bundle_entry_fields f = {.name = name, .value = value, .port = 443};
    T_EQ(bundle_set_entry(bundles, b, NULL, &f, &e, &err), 0);
    return e;
}

static void is_value(struct bundle *b, struct bundle_entry *e, const char *want)
{
    struct buf out = {0};
    T_EQ(bundle_value(bundles, b, e, &out), 0);
    T_STR(buf_cstr(&out), want);
    secret_wipe(&out);
}

static void a_restart_keeps_all(void)
{
    char id[ID_SIZE];
    begin(true);
    struct bundle *b = make(BUNDLE_PROVIDER, "a", "keys");
    memcpy(id, b->id, ID_SIZE);
    add(b, "ONE", "first\nvalue");
    add(b, "TWO", "second");
    make(BUNDLE_POLICY, "a", "policy");
    T_EQ(store_commit(store), 0);
    end();
    begin(false);
    b = bundle_find(bundles, BUNDLE_PROVIDER, "a", id);
    T_TRUE(b != NULL);
    T_STR(b->name, "keys");
    T_EQ(b->count, 2);
    is_value(b, &b->entries[0], "first\nvalue");
    is_value(b, &b->entries[1], "second");
    T_TRUE(bundle_find(bundles, BUNDLE_POLICY, "a", id) == NULL);
    T_TRUE(bundle_find(bundles, BUNDLE_PROVIDER, "b", id) == NULL);
    T_EQ(bundle_drop_entry(bundles, b, &b->entries[0], &err), 0);
    is_value(b, &b->entries[0], "second");
    T_EQ(bundle_delete(bundles, b, &err), 0);
    T_EQ(store_commit(store), 0);
    end();
    begin(false);
    T_TRUE(bundle_find(bundles, BUNDLE_PROVIDER, "a", id) == NULL);
    end();
}

static void a_value_belongs_to_its_entry(void)
{
    struct buf out = {0};
    begin(true);
    struct bundle *b = make(BUNDLE_PROVIDER, "a", "keys");
    add(b, "ONE", "first");
    struct bundle_entry *e = add(b, "TWO", "second");
    e->id[0] = e->id[0] == 'a' ? 'b' : 'a';
    T_EQ(bundle_value(bundles, b, e, &out), -EBADMSG);
    T_EQ(out.len, 0);
    buf_done(&out);
    end();
}

static void a_refusal_changes_nothing(void)
{
    static char longest[SECRET_MAX_VALUE + 2];
    begin(true);
    struct bundle *b = make(BUNDLE_PROVIDER, "a", "keys");
    struct bundle_fields f = {.name = "", .is_active = false};
    T_TRUE(bundle_update(bundles, b, &f, &err) < 0);
    T_STR(b->name, "keys");
    T_TRUE(b->is_active);
    struct bundle_entry *e = add(b, "ONE", "first");
    memset(longest, 'x', SECRET_MAX_VALUE + 1);
    struct bundle_entry_fields set = {.name = "ONE", .value = longest};
    T_TRUE(bundle_set_entry(bundles, b, e, &set, NULL, &err) < 0);
    set = (struct bundle_entry_fields){.name = "NOT A NAME", .value = "v"};
    T_TRUE(bundle_set_entry(bundles, b, e, &set, NULL, &err) < 0);
    is_value(b, e, "first");
    set = (struct bundle_entry_fields){.name = "RENAMED"};
    T_EQ(bundle_set_entry(bundles, b, e, &set, &e, &err), 0);
    is_value(b, e, "first");
    for (int i = 1; i < BUNDLE_MAX_ENTRIES; i++)
        add(b, "MORE", "v");
    set = (struct bundle_entry_fields){.name = "LAST", .value = "v"};
    T_TRUE(bundle_set_entry(bundles, b, NULL, &set, NULL, &err) < 0);
    T_EQ(err.code, ERROR_QUOTA_EXCEEDED);
    T_EQ(b->count, BUNDLE_MAX_ENTRIES);
    end();
}

static void count_visits(void *ctx, const struct bundle *b)
{
    unsigned int *count = ctx;
    *count += 1;
}

static void one_is_the_default(void)
{
    unsigned int visits = 0;
    begin(true);
    struct bundle *first = make(BUNDLE_POLICY, "a", "First");
    struct bundle *second = make(BUNDLE_POLICY, "a", "second");
    struct bundle *other = make(BUNDLE_POLICY, "b", "first");
    struct bundle_fields f = {.name = "x", .is_default = true, .is_active = true};
    T_EQ(bundle_update(bundles, other, &f, &err), 0);
    T_EQ(bundle_update(bundles, first, &f, &err), 0);
    T_TRUE(bundle_default(bundles, BUNDLE_POLICY, "a") == first);
    T_EQ(bundle_update(bundles, second, &f, &err), 0);
    T_TRUE(bundle_default(bundles, BUNDLE_POLICY, "a") == second);
    T_TRUE(!first->is_default);
    T_TRUE(bundle_default(bundles, BUNDLE_POLICY, "b") == other);
    f.is_active = false;
    T_EQ(bundle_update(bundles, second, &f, &err), 0);
    T_TRUE(bundle_default(bundles, BUNDLE_POLICY, "a") == NULL);
    T_EQ(bundles_each(bundles, BUNDLE_POLICY, "a", NULL, 1, 5, count_visits, &visits), 2);
    T_EQ(visits, 1);
    end();
}

static void a_broken_record_is_refused(void)
{
    struct buf out = {0};
    begin(true);
    struct bundle *b = make(BUNDLE_PROVIDER, "a", "keys");
    add(b, "ONE", "first");
    bundle_encode(&out, b);
    for (size_t len = 0; len <= out.len; len++) {
        struct bundle read = {.count = 0};
        T_EQ(bundle_decode(&read, out.data, len), len == out.len ? 0 : -EPROTO);
        bundle_done(&read);
    }
    buf_done(&out);
    end();
}

T_MAIN(T_CASE(a_restart_keeps_all), T_CASE(a_value_belongs_to_its_entry),
       T_CASE(a_refusal_changes_nothing), T_CASE(one_is_the_default),
       T_CASE(a_broken_record_is_refused))
