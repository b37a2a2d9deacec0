/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/user.h"

#include <errno.h>
#include <string.h>

#include "base/timefmt.h"
#include "core/id.h"
#include "store/record.h"

#define USER_RECORD 1

static void user_encode(struct buf *b, const struct user *u)
{
    record_begin(b, USER_RECORD);
    record_str(b, u->account);
    (void)buf_u8(b, (uint8_t)u->role);
    (void)buf_u64(b, u->generation);
    record_i64(b, u->created_ms);
    record_i64(b, u->changed_ms);
    (void)buf_u32(b, u->password.cost);
    record_bytes(b, u->password.salt, sizeof(u->password.salt));
    record_bytes(b, u->password.hash, sizeof(u->password.hash));
}

static int user_decode(struct user *u, const void *key, size_t keylen, const void *val, size_t len)
{
    struct cursor c;
    *u = (struct user){0};
    if (keylen == 0 || keylen >= sizeof(u->name) || record_open(&c, val, len, USER_RECORD) < 0)
        return -EPROTO;
    memcpy(u->name, key, keylen);
    record_get_text(&c, u->account, sizeof(u->account));
    uint8_t role = cursor_u8(&c);
    u->role = (enum role)role;
    u->generation = cursor_u64(&c);
    u->created_ms = record_get_i64(&c);
    u->changed_ms = record_get_i64(&c);
    u->password.cost = cursor_u32(&c);
    record_get_bytes(&c, u->password.salt, sizeof(u->password.salt));
    record_get_bytes(&c, u->password.hash, sizeof(u->password.hash));
    if (role >= ROLE_COUNT || u->password.cost == 0 || u->password.cost > PASSWORD_COST_MAX)
        return -EPROTO;
    return record_end(&c);
}

int user_get(struct store *store, const char *name, struct user *ret)
{
    cleanup_buf struct buf b = {0};
    size_t len = strlen(name);
    if (len == 0 || len >= PRINCIPAL_NAME_SIZE)
        return -ENOENT;
    int rv = store_get(store, STORE_USERS, name, len, &b);
    return rv < 0 ? rv : user_decode(ret, name, len, b.data, b.len);
}

int user_put(struct store *store, const struct user *u)
{
    cleanup_buf struct buf b = {0};
    user_encode(&b, u);
    if (b.failed)
        return -ENOMEM;
    return store_put(store, STORE_USERS, u->name, strlen(u->name), b.data, b.len);
}

int user_del(struct store *store, const char *name)
{
    return store_del(store, STORE_USERS, name, strlen(name));
}

struct user_visit {
    int (*visit)(void *ctx, const struct user *u);
    void *ctx;
};

static int user_visit(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct user_visit *v = ctx;
    struct user u;
    int rv = user_decode(&u, key, keylen, val, vallen);
    return rv < 0 ? rv : v->visit(v->ctx, &u);
}

int user_each(struct store *store, int (*visit)(void *ctx, const struct user *u), void *ctx)
{
    struct user_visit v = {visit, ctx};
    return store_each(store, STORE_USERS, user_visit, &v);
}

int user_set_password(struct user *u, const char *text, struct error *err)
{
    size_t len = strlen(text);
    if (len < PASSWORD_MIN || len > PASSWORD_MAX)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The password must have %d to %d bytes",
                         PASSWORD_MIN, PASSWORD_MAX);
    int rv = password_make(&u->password, text, PASSWORD_COST);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "Cannot hash the password");
    id_random(&u->generation, sizeof(u->generation));
    u->changed_ms = time_now_ms();
    return 0;
}

void user_nobody(struct user *ret)
{
    *ret = (struct user){.password.cost = PASSWORD_COST};
    id_random(ret->password.hash, sizeof(ret->password.hash));
}
