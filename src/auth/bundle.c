/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - see bundle.h. What a client says is copied before anything is changed, so that a
 * refusal or a lack of memory leaves the bundle as it was. */
#include "auth/bundle.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"

struct bundles {
    struct store *store;     /* not owned */
    struct secrets *secrets; /* not owned */
    struct list all;
};

/* --- start and end --- */

static void bundle_free(struct bundle *b)
{
    list_del(&b->link);
    bundle_done(b);
    free(b);
}

/* Records come in the order of ids. */
static void bundles_insert(struct bundles *s, struct bundle *b)
{
    struct list *before = &s->all;
    while (before->prev != &s->all &&
           list_entry(before->prev, struct bundle, link)->created_ms > b->created_ms)
        before = before->prev;
    list_add_tail(before, &b->link);
}

/* One that cannot be read is left on disk: a later server may know how. */
static int bundles_visit(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct bundles *s = ctx;
    struct bundle *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return -ENOMEM;
    list_init(&b->link);
    int rv = bundle_decode(b, val, vallen);
    if (rv == -ENOMEM || rv == 0) {
        bundles_insert(s, b);
        return rv;
    }
    log_error("the record of a policy or provider cannot be read", "bytes=%zu", vallen);
    bundle_free(b);
    return 0;
}

int bundles_open(struct bundles **ret, struct store *store, struct secrets *secrets,
                 struct error *err)
{
    struct bundles *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    s->store = store;
    s->secrets = secrets;
    list_init(&s->all);
    int rv = store_each(store, STORE_BUNDLES, bundles_visit, s);
    if (rv < 0) {
        bundles_free(s);
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read policies and providers");
    }
    *ret = s;
    return 0;
}

void bundles_free(struct bundles *s)
{
    if (s == NULL)
        return;
    while (!list_empty(&s->all))
        bundle_free(list_entry(s->all.next, struct bundle, link));
    free(s);
}

/* --- look-up --- */

static bool bundle_is(const struct bundle *b, enum bundle_kind kind, const char *account)
{
    return b->kind == kind && strcmp(b->account, account) == 0;
}

struct bundle *bundle_find(struct bundles *s, enum bundle_kind kind, const char *account,
                           const char *id)
{
    list_for_each (it, &s->all) {
        struct bundle *b = list_entry(it, struct bundle, link);
        if (bundle_is(b, kind, account) && strcmp(b->id, id) == 0)
            return b;
    }
    return NULL;
}

struct bundle *bundle_default(struct bundles *s, enum bundle_kind kind, const char *account)
{
    list_for_each (it, &s->all) {
        struct bundle *b = list_entry(it, struct bundle, link);
        if (bundle_is(b, kind, account) && b->is_default && b->is_active)
            return b;
    }
    return NULL;
}

unsigned int bundles_each(struct bundles *s, enum bundle_kind kind, const char *account,
                          const char *search, unsigned int offset, unsigned int limit,
                          void (*visit)(void *ctx, const struct bundle *b), void *ctx)
{
    unsigned int count = 0;
    for (struct list *it = s->all.prev; it != &s->all; it = it->prev) {
        const struct bundle *b = list_entry(it, struct bundle, link);
        if (!bundle_is(b, kind, account) || (search != NULL && strcasestr(b->name, search) == NULL))
            continue;
        if (count >= offset && count - offset < limit)
            visit(ctx, b);
        count++;
    }
    return count;
}

struct bundle_entry *bundle_entry_find(struct bundle *b, const char *id)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->entries[i].id, id) == 0)
            return &b->entries[i];
    }
    return NULL;
}

/* --- changes --- */

static int bundle_no_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "Out of memory");
}

/* The key in the store. */
static void bundle_key(struct buf *out, const struct bundle *b)
{
    (void)buf_u8(out, (uint8_t)b->kind);
    (void)buf_append(out, b->account, strlen(b->account) + 1);
    (void)buf_append_str(out, b->id);
}

static int bundle_save(struct bundles *s, const struct bundle *b, struct error *err)
{
    cleanup_buf struct buf key = {0}, record = {0};
    bundle_key(&key, b);
    bundle_encode(&record, b);
    if (key.failed || record.failed)
        return bundle_no_memory(err);
    int rv = store_put(s->store, STORE_BUNDLES, key.data, key.len, record.data, record.len);
    return rv < 0 ? error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot keep '%s'", b->name) : 0;
}

static int bundle_check(const char *field, const char *text, size_t most, struct error *err)
{
    size_t len = strlen(text);
    if (len > most)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' exceeds %zu bytes", field, most);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return error_set(err, ERROR_INVALID_ARGUMENT,
                             "Field '%s' must not hold control characters", field);
    }
    return 0;
}

static int bundle_check_fields(const struct bundle_fields *f, struct error *err)
{
    if (f->name[0] == '\0')
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'name' is empty");
    int rv = bundle_check("name", f->name, BUNDLE_MAX_NAME, err);
    if (rv == 0 && f->description != NULL && strlen(f->description) > BUNDLE_MAX_DESCRIPTION)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'description' exceeds %d bytes",
                       BUNDLE_MAX_DESCRIPTION);
    return rv;
}

/* There is one default at most: another loses that. */
static int bundle_yield_default(struct bundles *s, const struct bundle *to, struct error *err)
{
    list_for_each (it, &s->all) {
        struct bundle *b = list_entry(it, struct bundle, link);
        if (b == to || !bundle_is(b, to->kind, to->account) || !b->is_default)
            continue;
        b->is_default = false;
        if (bundle_save(s, b, err) < 0) {
            b->is_default = true;
            return -EIO;
        }
    }
    return 0;
}

int bundle_update(struct bundles *s, struct bundle *b, const struct bundle_fields *f,
                  struct error *err)
{
    struct bundle old = *b;
    if (bundle_check_fields(f, err) < 0)
        return -EINVAL;
    char *name = strdup(f->name);
    char *description = f->description != NULL ? strdup(f->description) : NULL;
    if (name == NULL || (f->description != NULL && description == NULL)) {
        free(name);
        free(description);
        return bundle_no_memory(err);
    }
    b->name = name;
    b->description = description;
    b->mode = f->mode;
    b->is_default = f->is_default;
    b->is_active = f->is_active;
    b->updated_ms = time_now_ms();
    int rv = f->is_default ? bundle_yield_default(s, b, err) : 0;
    if (rv == 0)
        rv = bundle_save(s, b, err);
    if (rv < 0) { /* its place in the list is as it was */
        free(name);
        free(description);
        *b = old;
        return rv;
    }
    free(old.name);
    free(old.description);
    return 0;
}

static void bundle_count(void *ctx, const struct bundle *b)
{
}

int bundle_create(struct bundles *s, enum bundle_kind kind, const char *account,
                  const struct bundle_fields *f, struct bundle **ret, struct error *err)
{
    if (bundles_each(s, kind, account, NULL, 0, 0, bundle_count, NULL) >= BUNDLE_MAX)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "There are %d of this kind already",
                         BUNDLE_MAX);
    struct bundle *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return bundle_no_memory(err);
    id_new(b->id);
    b->kind = kind;
    strncpy(b->account, account, sizeof(b->account) - 1);
    b->created_ms = time_now_ms();
    list_init(&b->link);
    list_add_tail(&s->all, &b->link);
    if (bundle_update(s, b, f, err) < 0) {
        bundle_free(b);
        return -EINVAL;
    }
    *ret = b;
    return 0;
}

int bundle_delete(struct bundles *s, struct bundle *b, struct error *err)
{
    cleanup_buf struct buf key = {0};
    bundle_key(&key, b);
    if (key.failed)
        return bundle_no_memory(err);
    int rv = store_del(s->store, STORE_BUNDLES, key.data, key.len);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot remove '%s'", b->name);
    bundle_free(b);
    return 0;
}

/* --- entries --- */

static int bundle_check_variable(const char *name, struct error *err)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (strspn(name, first) > 0 && strspn(name, rest) == strlen(name) &&
        strlen(name) <= BUNDLE_MAX_NAME)
        return 0;
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "Field 'key' must be the name of a variable with at most %d letters",
                     BUNDLE_MAX_NAME);
}

static int bundle_check_entry(const struct bundle *b, const struct bundle_entry *e,
                              const struct bundle_entry_fields *f, struct error *err)
{
    int rv = b->kind == BUNDLE_PROVIDER
                 ? bundle_check_variable(f->name, err)
                 : bundle_check("destination", f->name, BUNDLE_MAX_DESTINATION, err);
    if (rv == 0 && f->description != NULL && strlen(f->description) > BUNDLE_MAX_DESCRIPTION)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'description' exceeds %d bytes",
                       BUNDLE_MAX_DESCRIPTION);
    if (rv == 0 && f->value != NULL && strlen(f->value) > SECRET_MAX_VALUE)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'value' exceeds %d bytes",
                       SECRET_MAX_VALUE);
    if (rv == 0 && e == NULL && b->count >= BUNDLE_MAX_ENTRIES)
        rv = error_set(err, ERROR_QUOTA_EXCEEDED, "'%s' has %d entries already", b->name,
                       BUNDLE_MAX_ENTRIES);
    return rv;
}

/* A copy of the fields, encrypted where it is a value. */
static int bundle_make_entry(struct bundles *s, const struct bundle *b,
                             const struct bundle_entry *old, const struct bundle_entry_fields *f,
                             struct bundle_entry *ret, struct error *err)
{
    *ret = (struct bundle_entry){.port = f->port, .protocol = f->protocol};
    ret->updated_ms = time_now_ms();
    ret->created_ms = old != NULL ? old->created_ms : ret->updated_ms;
    if (old != NULL)
        memcpy(ret->id, old->id, ID_SIZE);
    else
        id_new(ret->id);
    ret->name = strdup(f->name);
    ret->description = f->description != NULL ? strdup(f->description) : NULL;
    int rv = 0;
    if (f->value != NULL)
        rv = secret_lock(s->secrets, b->id, ret->id, f->value, &ret->value);
    else if (old != NULL)
        rv = buf_append(&ret->value, old->value.data, old->value.len);
    if (rv == 0 && ret->name != NULL && (f->description == NULL || ret->description != NULL))
        return 0;
    bundle_entry_done(ret);
    return bundle_no_memory(err);
}

/* Room for one more, at the end. */
static struct bundle_entry *bundle_grow(struct bundle *b)
{
    struct bundle_entry *more = reallocarray(b->entries, b->count + 1, sizeof(*more));
    if (more == NULL)
        return NULL;
    b->entries = more;
    more[b->count] = (struct bundle_entry){.port = 0};
    return &more[b->count++];
}

int bundle_set_entry(struct bundles *s, struct bundle *b, struct bundle_entry *e,
                     const struct bundle_entry_fields *f, struct bundle_entry **ret,
                     struct error *err)
{
    struct bundle_entry made;
    bool added = e == NULL;
    if (bundle_check_entry(b, e, f, err) < 0 || bundle_make_entry(s, b, e, f, &made, err) < 0)
        return -EINVAL;
    if (added)
        e = bundle_grow(b);
    if (e == NULL) {
        bundle_entry_done(&made);
        return bundle_no_memory(err);
    }
    struct bundle_entry old = *e;
    *e = made;
    if (bundle_save(s, b, err) < 0) {
        bundle_entry_done(e);
        *e = old;
        b->count -= added;
        return -EIO;
    }
    bundle_entry_done(&old);
    if (ret != NULL)
        *ret = e;
    return 0;
}

int bundle_drop_entry(struct bundles *s, struct bundle *b, struct bundle_entry *e,
                      struct error *err)
{
    struct bundle_entry old = *e;
    size_t at = (size_t)(e - b->entries);
    size_t behind = (b->count - at - 1) * sizeof(*e);
    memmove(e, e + 1, behind);
    b->count--;
    if (bundle_save(s, b, err) < 0) {
        memmove(e + 1, e, behind);
        *e = old;
        b->count++;
        return -EIO;
    }
    bundle_entry_done(&old);
    return 0;
}

int bundle_value(struct bundles *s, const struct bundle *b, const struct bundle_entry *e,
                 struct buf *out)
{
    return secret_unlock(s->secrets, b->id, e->id, e->value.data, e->value.len, out);
}
