/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/apikey.h"
#include "auth/auth.h"
#include "auth/sha256.h"
#include "core/file.h"
#include "store/record.h"
#include "t.h"

static char dir[64];
static uv_loop_t loop;
static struct store *store;
static struct apikeys *keys;
static struct error err;

static void open_keys(void)
{
    T_EQ(uv_loop_init(&loop), 0);
    if (store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err) < 0)
        T_FAIL("store_open: %s", err.message);
    T_EQ(apikeys_load(&keys, store, &err), 0);
}

static void close_keys(void)
{
    apikeys_free(keys);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
}

static void hashes(void)
{
    /* FIPS 180-2, appendix B.1 */
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t out[SHA256_SIZE];
    sha256("abc", 3, out);
    T_MEM(out, sizeof(out), abc, sizeof(abc));
}

static void creates_and_verifies(void)
{
    char text[APIKEY_TEXT_SIZE];
    const struct apikey *k = NULL;
    strcpy(dir, "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(dir));
    open_keys();
    T_EQ(apikey_create(keys, &(struct apikey_params){"laptop", "team-a", NULL, ROLE_DEVELOPER},
                       text, &k, &err),
         0);
    T_EQ(strlen(text), APIKEY_TEXT_SIZE - 1);
    T_EQ(strncmp(text, "e2b_", 4), 0);
    T_EQ(strspn(text + 4, "0123456789abcdef"), 40);
    T_TRUE(apikey_verify(keys, text, strlen(text)) == k);
    T_STR(k->name, "laptop");
    T_STR(k->account, "team-a");
    for (size_t i = 0; i < APIKEY_TEXT_SIZE - 1; i++) {
        char wrong[APIKEY_TEXT_SIZE];
        memcpy(wrong, text, sizeof(wrong));
        wrong[i] ^= 1;
        T_TRUE(apikey_verify(keys, wrong, strlen(wrong)) == NULL);
    }
    for (size_t len = 0; len < APIKEY_TEXT_SIZE - 1; len++)
        T_TRUE(apikey_verify(keys, text, len) == NULL);
    T_TRUE(apikey_verify(keys, "tg_api_key_xxxxx", 16) == NULL);
    T_EQ(store_commit(store), 0);
    close_keys();
    open_keys();
    const struct apikey *again = apikey_verify(keys, text, strlen(text));
    T_TRUE(again != NULL && again->role == ROLE_DEVELOPER && again->created_at > 0);
    T_STR(again->name, "laptop");
    close_keys();
}

static void the_secret_is_not_stored(void)
{
    char text[APIKEY_TEXT_SIZE];
    char path[128];
    cleanup_buf struct buf b = {0};
    open_keys();
    T_EQ(apikey_create(keys, &(struct apikey_params){NULL, NULL, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         0);
    T_EQ(store_commit(store), 0);
    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", dir);
    T_EQ(file_read(path, 1 << 24, &b), 0);
    T_TRUE(memmem(b.data, b.len, text + 4 + APIKEY_ID_LEN, APIKEY_SECRET_LEN) == NULL);
    T_TRUE(memmem(b.data, b.len, text + 4, APIKEY_ID_LEN) != NULL);
    close_keys();
}

static void revokes(void)
{
    char text[APIKEY_TEXT_SIZE];
    char id[APIKEY_ID_LEN + 1];
    const struct apikey *k = NULL;
    open_keys();
    T_EQ(
        apikey_create(keys, &(struct apikey_params){NULL, NULL, NULL, ROLE_VIEWER}, text, &k, &err),
        0);
    memcpy(id, k->id, sizeof(id));
    T_EQ(apikey_revoke(keys, id, &err), 0);
    T_TRUE(apikey_verify(keys, text, strlen(text)) == NULL);
    T_EQ(apikey_revoke(keys, id, &err), -ENOENT);
    T_EQ(err.code, ERROR_KEY_NOT_FOUND);
    T_EQ(apikey_revoke(keys, "", &err), -ENOENT);
    T_EQ(apikey_revoke(keys, "longer than an id", &err), -ENOENT);
    T_EQ(store_commit(store), 0);
    close_keys();
    open_keys();
    T_TRUE(apikey_verify(keys, text, strlen(text)) == NULL);
    close_keys();
}

static void refuses_bad_names(void)
{
    static char longest[APIKEY_NAME_SIZE + 1];
    char text[APIKEY_TEXT_SIZE];
    memset(longest, 'n', APIKEY_NAME_SIZE);
    open_keys();
    T_EQ(apikey_create(keys, &(struct apikey_params){longest, NULL, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         -EINVAL);
    T_EQ(err.code, ERROR_INVALID_ARGUMENT);
    T_EQ(apikey_create(keys, &(struct apikey_params){longest + 1, NULL, NULL, ROLE_VIEWER}, text,
                       NULL, &err),
         0);
    T_EQ(apikey_create(keys, &(struct apikey_params){"a\nb", NULL, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         -EINVAL);
    T_EQ(apikey_create(keys, &(struct apikey_params){"\xff", NULL, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         -EINVAL);
    T_EQ(apikey_create(keys, &(struct apikey_params){"ü", NULL, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         0);
    T_EQ(
        apikey_create(keys, &(struct apikey_params){NULL, "", NULL, ROLE_VIEWER}, text, NULL, &err),
        -EINVAL);
    T_EQ(apikey_create(keys, &(struct apikey_params){NULL, "a/b", NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         -EINVAL);
    T_EQ(apikey_create(keys, &(struct apikey_params){NULL, longest, NULL, ROLE_VIEWER}, text, NULL,
                       &err),
         -EINVAL);
    close_keys();
}

static void many_keys(void)
{
    enum { N = 3000 };
    static char texts[N][APIKEY_TEXT_SIZE];
    size_t n = 0;
    open_keys();
    for (size_t i = 0; i < N; i++)
        T_EQ(apikey_create(keys, &(struct apikey_params){NULL, NULL, NULL, ROLE_VIEWER}, texts[i],
                           NULL, &err),
             0);
    T_EQ(store_commit(store), 0);
    close_keys();
    open_keys();
    for (size_t i = 0; i < N; i++)
        T_TRUE(apikey_verify(keys, texts[i], strlen(texts[i])) != NULL);
    const struct apikey **list = apikey_list(keys, &n);
    T_TRUE(n > N);
    for (size_t i = 1; i < n; i++)
        T_TRUE(list[i - 1]->created_at <= list[i]->created_at);
    free(list);
    close_keys();
}

/* Reads STATE/admin.key into `text`, without the line's end. */
static void read_admin(char text[APIKEY_TEXT_SIZE])
{
    char path[128];
    struct stat st;
    cleanup_buf struct buf b = {0};
    (void)snprintf(path, sizeof(path), "%s/admin.key", dir);
    T_EQ(file_read(path, 1000, &b), 0);
    T_EQ(b.len, APIKEY_TEXT_SIZE);
    T_EQ(b.data[b.len - 1], '\n');
    memcpy(text, b.data, APIKEY_TEXT_SIZE - 1);
    text[APIKEY_TEXT_SIZE - 1] = '\0';
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 07777, 0600);
}

static void first_start_makes_an_admin(void)
{
    char text[APIKEY_TEXT_SIZE], again[APIKEY_TEXT_SIZE];
    char path[128];
    open_keys();
    T_EQ(apikeys_ensure_admin(keys, dir, &err), 0);
    read_admin(text);
    const struct apikey *k = apikey_verify(keys, text, strlen(text));
    T_TRUE(k != NULL && k->role == ROLE_ADMIN);
    T_STR(k->account, "default");
    T_EQ(apikey_revoke(keys, k->id, &err), -EBUSY);
    T_EQ(err.code, ERROR_CONFLICT);
    close_keys();
    open_keys();
    T_EQ(apikeys_ensure_admin(keys, dir, &err), 0);
    read_admin(again);
    T_STR(text, again);
    (void)snprintf(path, sizeof(path), "%s/admin.key", dir);
    T_EQ(unlink(path), 0);
    T_EQ(apikeys_ensure_admin(keys, dir, &err), 0);
    T_EQ(access(path, F_OK), -1);
    /* With a second admin the first may go. */
    T_EQ(apikey_create(keys, &(struct apikey_params){NULL, NULL, NULL, ROLE_ADMIN}, again, NULL,
                       &err),
         0);
    k = apikey_verify(keys, text, strlen(text));
    T_EQ(apikey_revoke(keys, k->id, &err), 0);
    close_keys();
}

static int check(const char *value, struct principal *p)
{
    struct auth a = {.keys = keys};
    err = (struct error){0};
    return auth_check(&a, value, value != NULL ? strlen(value) : 0, p, &err);
}

static void reads_the_header(void)
{
    static const char *const good[] = {"Bearer %s", "bearer %s", "BEARER   %s", "  Bearer\t%s  "};
    static const char *const bad[] = {"%s",         "Basic %s",   "Bearer%s",   "Bearer %s x",
                                      "Bearer %sx", "Bearer x%s", "Bearer, %s", "Token Bearer %s"};
    char text[APIKEY_TEXT_SIZE];
    char value[128];
    struct principal p;
    const struct apikey *k = NULL;
    open_keys();
    T_EQ(apikey_create(keys, &(struct apikey_params){NULL, "acc", NULL, ROLE_DEVELOPER}, text, &k,
                       &err),
         0);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        (void)snprintf(value, sizeof(value), good[i], text);
        T_EQ(check(value, &p), 0);
        T_STR(p.account, "acc");
        T_STR(p.key_id, k->id);
        T_EQ(p.scopes, SCOPE_READ | SCOPE_RUN);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)snprintf(value, sizeof(value), bad[i], text);
        T_EQ(check(value, &p), -EACCES);
        T_EQ(err.code, ERROR_UNAUTHORIZED);
    }
    T_EQ(check(NULL, &p), -EACCES);
    T_EQ(check("", &p), -EACCES);
    T_EQ(check("Bearer", &p), -EACCES);
    T_EQ(check("Bearer ", &p), -EACCES);
    char *huge = malloc(1 << 20);
    memset(huge, 'x', 1 << 20);
    memcpy(huge, "Bearer ", 7);
    huge[(1 << 20) - 1] = '\0';
    T_EQ(check(huge, &p), -EACCES);
    free(huge);
    close_keys();
}

static void scopes_and_roles(void)
{
    enum role role;
    struct principal p = {.scopes = role_scopes(ROLE_VIEWER)};
    T_EQ(principal_require(&p, SCOPE_READ, &err), 0);
    T_EQ(principal_require(&p, SCOPE_RUN, &err), -EACCES);
    T_EQ(err.code, ERROR_FORBIDDEN);
    T_TRUE(strstr(err.message, "'run'") != NULL);
    T_EQ(role_parse("admin", &role), 0);
    T_EQ(role, ROLE_ADMIN);
    T_EQ(role_parse("Admin", &role), -EINVAL);
    T_STR(role_name(ROLE_VIEWER), "viewer");
    T_STR(role_name(ROLE_COUNT), "unknown");
    T_EQ(role_scopes(ROLE_COUNT), 0);
}

/* A record as they made it, of another form of text. */
static void keys_of_earlier_servers(void)
{
    static const char text[] = "crl_Ab3dEf6hIj9k_0123456789ABCDEFGHIJabcdefghijXY";
    struct buf b = {0};
    uint8_t hash[SHA256_SIZE];
    open_keys();
    sha256(text, strlen(text), hash);
    record_begin(&b, 1);
    record_bytes(&b, hash, sizeof(hash));
    (void)buf_u8(&b, ROLE_VIEWER);
    record_i64(&b, 1000);
    record_str(&b, "team-a");
    record_str(&b, "old");
    T_EQ(store_put(store, STORE_APIKEYS, text + 4, APIKEY_ID_LEN, b.data, b.len), 0);
    T_EQ(store_commit(store), 0);
    buf_done(&b);
    close_keys();
    open_keys();
    const struct apikey *k = apikey_verify(keys, text, strlen(text));
    T_TRUE(k != NULL && k->role == ROLE_VIEWER);
    T_TRUE(apikey_verify(keys, text, strlen(text) - 1) == NULL);
    T_EQ(apikey_revoke(keys, k->id, &err), 0);
    T_TRUE(apikey_verify(keys, text, strlen(text)) == NULL);
    T_EQ(store_commit(store), 0);
    close_keys();
}

static void a_broken_record_stops_the_start(void)
{
    char command[128];
    open_keys();
    T_EQ(store_put(store, STORE_APIKEYS, "abcdefghijkl", 12, "\x01garbage", 8), 0);
    T_EQ(store_commit(store), 0);
    struct apikeys *t = NULL;
    T_TRUE(apikeys_load(&t, store, &err) < 0);
    T_TRUE(t == NULL);
    close_keys();
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    T_EQ(system(command), 0);
}

T_MAIN(T_CASE(hashes), T_CASE(creates_and_verifies), T_CASE(the_secret_is_not_stored),
       T_CASE(revokes), T_CASE(refuses_bad_names), T_CASE(many_keys),
       T_CASE(first_start_makes_an_admin), T_CASE(reads_the_header), T_CASE(scopes_and_roles),
       T_CASE(keys_of_earlier_servers), T_CASE(a_broken_record_stops_the_start))
