/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/timefmt.h"
#include "core/file.h"

#define DB_MIN_MAP ((size_t)1 << 20)
#define DB_MAX_MAP ((size_t)1 << 40) /* bytes of address space; the disk ends earlier */
#define DB_AHEAD   ((size_t)4 << 20) /* bytes of the file that the disk has promised */

struct db {
    MDB_env *env;
    MDB_dbi tables[STORE_TABLE_COUNT];
    size_t map_size;
    size_t promised; /* bytes of the file that have blocks, and so need no free space */
};

static const char *const db_table_names[STORE_TABLE_COUNT] = {
#define X(name, file, key) file,
    STORE_TABLES(X)
#undef X
};

/* LMDB's own codes are negative, its errno values positive. */
static int db_errno(int rc)
{
    static const struct {
        int rc;
        int err;
    } map[] = {
        {MDB_NOTFOUND, -ENOENT},          {MDB_MAP_FULL, -EXFULL},       {MDB_BAD_VALSIZE, -EINVAL},
        {MDB_CORRUPTED, -EBADMSG},        {MDB_PAGE_NOTFOUND, -EBADMSG}, {MDB_INVALID, -EBADMSG},
        {MDB_VERSION_MISMATCH, -EBADMSG}, {MDB_READERS_FULL, -EAGAIN},
    };
    if (rc >= 0)
        return -rc;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (map[i].rc == rc)
            return map[i].err;
    }
    return -EIO;
}

static MDB_val db_val(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

static int db_put_schema(struct db *db, MDB_txn *txn)
{
    const struct {
        const char *key;
        uint64_t value;
        size_t size;
    } facts[] = {{META_SCHEMA, SCHEMA_VERSION, 4}, {META_TIME, (uint64_t)time_now_ms(), 8}};
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        cleanup_buf struct buf b = {0};
        int rv = facts[i].size == 4 ? buf_u32(&b, (uint32_t)facts[i].value)
                                    : buf_u64(&b, facts[i].value);
        if (rv < 0)
            return rv;
        MDB_val key = db_val(facts[i].key, strlen(facts[i].key));
        MDB_val val = db_val(b.data, b.len);
        rv = db_errno(mdb_put(txn, db->tables[STORE_META], &key, &val, 0));
        if (rv < 0)
            return rv;
    }
    return 0;
}

static int db_check_schema(struct db *db, MDB_txn *txn, struct error *err)
{
    MDB_val val;
    MDB_val key = db_val(META_SCHEMA, strlen(META_SCHEMA));
    int rc = mdb_get(txn, db->tables[STORE_META], &key, &val);
    if (rc == MDB_NOTFOUND)
        return db_put_schema(db, txn);
    if (rc != 0)
        return db_errno(rc);
    struct cursor c = cursor_on(val.mv_data, val.mv_size);
    uint32_t version = cursor_u32(&c);
    if (cursor_end(&c) && version >= 1 && version <= SCHEMA_VERSION)
        return 0;
    (void)error_set(err, ERROR_STORAGE_FAILED,
                    "The state was written by a newer corrald (schema %u, this one knows %u)",
                    version, SCHEMA_VERSION);
    return -EPROTO;
}

static int db_open_tables(struct db *db, struct error *err)
{
    MDB_txn *txn = NULL;
    int rv = db_errno(mdb_txn_begin(db->env, NULL, 0, &txn));
    if (rv < 0)
        return rv;
    for (size_t i = 0; i < STORE_TABLE_COUNT && rv == 0; i++)
        rv = db_errno(mdb_dbi_open(txn, db_table_names[i], MDB_CREATE, &db->tables[i]));
    if (rv == 0)
        rv = db_check_schema(db, txn, err);
    if (rv < 0) {
        mdb_txn_abort(txn);
        return rv;
    }
    return db_errno(mdb_txn_commit(txn));
}

static int db_open_env(struct db *db, const char *path)
{
    int dead;
    int rc = mdb_env_create(&db->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(db->env, STORE_TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_mapsize(db->env, db->map_size);
    if (rc == 0)
        rc = mdb_env_open(db->env, path, MDB_NOTLS, 0600);
    if (rc == 0)
        rc = mdb_reader_check(db->env, &dead);
    return db_errno(rc);
}

/* The map is at least as large as what the file already uses. */
static size_t db_first_map(size_t asked, const char *path)
{
    char file[4096];
    struct stat st;
    size_t size = MIN(MAX(asked, DB_MIN_MAP), DB_MAX_MAP);
    int n = snprintf(file, sizeof(file), "%s/data.mdb", path);
    if (n > 0 && (size_t)n < sizeof(file) && stat(file, &st) == 0) {
        while (size < DB_MAX_MAP && size / 2 < (size_t)st.st_size)
            size *= 2;
    }
    return size & ~((size_t)65535);
}

/* On a full disk ends of sandboxes and other small changes must still be written: blocks behind the
 * end of the file are asked for ahead. Where there are none, the next commit asks again. */
static void db_promise(struct db *db)
{
    MDB_envinfo info;
    MDB_stat stat;
    int fd;
    if (mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &stat) != 0 ||
        mdb_env_get_fd(db->env, &fd) != 0)
        return;
    size_t used = (info.me_last_pgno + 1) * stat.ms_psize;
    if (used + DB_AHEAD / 2 <= db->promised)
        return;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(used + DB_AHEAD)) == 0)
        db->promised = used + DB_AHEAD;
}

int db_open(struct db **ret, const char *path, size_t map_size, struct error *err)
{
    struct error why = {0};
    struct db *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot open the state");
    int rv = file_make_dirs(path, 0700);
    db->map_size = db_first_map(map_size, path);
    if (rv == 0)
        rv = db_open_env(db, path);
    if (rv == 0)
        rv = db_open_tables(db, &why);
    if (rv == 0)
        rv = file_sync_dir(path);
    if (rv < 0) {
        db_close(db);
        if (why.code == ERROR_NONE)
            return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot open the state in %.100s",
                                   path);
        if (err != NULL)
            *err = why;
        return rv;
    }
    db_promise(db);
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    if (db->env != NULL)
        mdb_env_close(db->env);
    free(db);
}

int db_get(struct db *db, enum store_table table, const void *key, size_t keylen, struct buf *ret)
{
    MDB_txn *txn = NULL;
    MDB_val val;
    MDB_val k = db_val(key, keylen);
    int rv = db_errno(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));
    if (rv < 0)
        return rv;
    rv = db_errno(mdb_get(txn, db->tables[table], &k, &val));
    if (rv == 0)
        rv = buf_append(ret, val.mv_data, val.mv_size);
    mdb_txn_abort(txn);
    return rv;
}

int db_each(struct db *db, enum store_table table,
            int (*visit)(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen),
            void *ctx)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, val;
    int rv = db_errno(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));
    if (rv < 0)
        return rv;
    rv = db_errno(mdb_cursor_open(txn, db->tables[table], &cursor));
    if (rv == 0) {
        while (rv == 0) {
            rv = db_errno(mdb_cursor_get(cursor, &key, &val, MDB_NEXT));
            if (rv == -ENOENT) {
                rv = 0;
                break;
            }
            if (rv == 0)
                rv = visit(ctx, key.mv_data, key.mv_size, val.mv_data, val.mv_size);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rv;
}

/* A change in a batch: u8 table, u8 1 put | 0 delete, u32 key length, u32 value length, key, value.
 */
int db_batch_add(struct buf *batch, enum store_table table, const void *key, size_t keylen,
                 const void *val, size_t vallen)
{
    /* Reserved first, so that the appends below cannot fail half-way. */
    if (buf_reserve(batch, 10 + keylen + vallen) < 0) {
        batch->failed = false;
        return -ENOMEM;
    }
    (void)buf_u8(batch, (uint8_t)table);
    (void)buf_u8(batch, val != NULL);
    (void)buf_u32(batch, (uint32_t)keylen);
    (void)buf_u32(batch, (uint32_t)vallen);
    (void)buf_append(batch, key, keylen);
    (void)buf_append(batch, val, vallen);
    return 0;
}

static int db_apply(struct db *db, MDB_txn *txn, struct cursor *c)
{
    uint8_t table = cursor_u8(c);
    bool put = cursor_u8(c) != 0;
    size_t keylen = cursor_u32(c);
    size_t vallen = cursor_u32(c);
    MDB_val key = db_val(cursor_bytes(c, keylen), keylen);
    MDB_val val = db_val(cursor_bytes(c, vallen), vallen);
    if (!cursor_ok(c) || table >= STORE_TABLE_COUNT)
        return -EPROTO;
    if (put)
        return db_errno(mdb_put(txn, db->tables[table], &key, &val, 0));
    int rv = db_errno(mdb_del(txn, db->tables[table], &key, NULL));
    return rv == -ENOENT ? 0 : rv;
}

int db_commit(struct db *db, const struct buf *batch)
{
    MDB_txn *txn = NULL;
    struct cursor c = cursor_on(batch->data, batch->len);
    int rv = db_errno(mdb_txn_begin(db->env, NULL, 0, &txn));
    if (rv < 0)
        return rv;
    while (rv == 0 && c.left > 0)
        rv = db_apply(db, txn, &c);
    if (rv < 0) {
        mdb_txn_abort(txn);
        return rv;
    }
    rv = db_errno(mdb_txn_commit(txn));
    if (rv == 0)
        db_promise(db);
    return rv;
}

int db_grow(struct db *db)
{
    if (db->map_size > DB_MAX_MAP / 2)
        return -ENOSPC;
    int rv = db_errno(mdb_env_set_mapsize(db->env, db->map_size * 2));
    if (rv == 0)
        db->map_size *= 2;
    return rv;
}

size_t db_map_size(const struct db *db)
{
    return db->map_size;
}
