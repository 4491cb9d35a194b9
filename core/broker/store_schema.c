/* What the database looks like, and how a file of another version, a backup or a copy becomes one
 * that this version can use. */
#include "store_parts.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Names are blobs: any UTF-8, compared byte by byte. A removed message is a row without content.
 *
 * Each step brings a file from the version of its place to the next; a new file takes all of them.
 * A step that was released is never edited: add another. */
static const char *const schema_steps[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE room(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    "  offset INTEGER NOT NULL, touched INTEGER NOT NULL);"
    "CREATE TABLE message(room INTEGER, offset INTEGER, id TEXT, time INTEGER, removed INTEGER,"
    "  user TEXT, sub TEXT, name TEXT, msg TEXT, ev TEXT, data TEXT,"
    "  PRIMARY KEY(room, offset)) WITHOUT ROWID;"
    "CREATE TABLE answer(room INTEGER, client_id BLOB, offset INTEGER, id TEXT, time INTEGER,"
    "  PRIMARY KEY(room, client_id)) WITHOUT ROWID;"
    "CREATE INDEX answer_time ON answer(time);"
    "CREATE TABLE ban(room BLOB, kind INTEGER, who TEXT, expires INTEGER,"
    "  PRIMARY KEY(room, kind, who)) WITHOUT ROWID;",
    "CREATE TABLE once(key BLOB PRIMARY KEY, expires INTEGER) WITHOUT ROWID;",
    /* A ban with an empty room holds everywhere. */
    "ALTER TABLE ban RENAME TO old_ban;"
    "CREATE TABLE ban(id INTEGER PRIMARY KEY, room BLOB, kind INTEGER, who TEXT, expires INTEGER,"
    "  created INTEGER, reason TEXT, UNIQUE(room, kind, who));"
    "INSERT INTO ban(room, kind, who, expires, created) SELECT room, kind, who, expires, 0"
    "  FROM old_ban;"
    "DROP TABLE old_ban;",
    /* What plugins keep: keyed.h. */
    "CREATE TABLE kept(space BLOB, grp BLOB, key BLOB, member BLOB, type INTEGER, value BLOB,"
    "  number INTEGER, expires INTEGER, PRIMARY KEY(space, grp, key, member)) WITHOUT ROWID;",
};

enum { SCHEMA_VERSION = sizeof schema_steps / sizeof *schema_steps };

bool store_read_meta(struct store *store, const char *key, char *out, size_t size,
                     struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(store_database(store), "SELECT value FROM meta WHERE key = ?1", -1,
                                &statement, NULL);
    *out = 0;
    if (rc == SQLITE_ERROR) /* a new file: there is no such table */
        return true;
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW)
        snprintf(out, size, "%s", (const char *)sqlite3_column_text(statement, 0));
    bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE || store_failed(store, err);
    sqlite3_finalize(statement);
    return ok;
}

bool store_read_version(struct store *store, const struct store_file *file, long *version_out,
                        struct error *err)
{
    char text[16];
    if (!store_read_meta(store, "schema", text, sizeof text, err))
        return false;
    *version_out = strtol(text, NULL, 10);
    if (*version_out >= 0 && *version_out <= SCHEMA_VERSION)
        return true;
    error_set(err,
              "store: %s is of a newer chatup (schema %s, this one knows %d): use that one, or the "
              "backup that was made before it",
              file->path, text, SCHEMA_VERSION);
    return false;
}

/* A backup says so of itself, and a copy is another file. Either may lack what was announced after
 * it was made: offsets would be given again in the same epoch. */
static bool is_copy(struct store *store, const char *inode, bool *copy_out, struct error *err)
{
    char backup[16], was[32];
    if (!store_read_meta(store, "backup", backup, sizeof backup, err) ||
        !store_read_meta(store, "inode", was, sizeof was, err))
        return false;
    *copy_out = *backup || (*was && strcmp(was, inode) != 0);
    return true;
}

bool store_make_schema(struct store *store, const struct store_file *file, long version,
                       struct error *err)
{
    char inode[32], was[32];
    bool copy;
    uint64_t random;
    snprintf(inode, sizeof inode, "%llu", (unsigned long long)file->inode);
    if (!is_copy(store, inode, &copy, err) ||
        !store_read_meta(store, "inode", was, sizeof was, err))
        return false;
    if (version == SCHEMA_VERSION && !copy && *was)
        return true;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        abort();
    bool ok = store_execute(store, "BEGIN EXCLUSIVE");
    for (long i = version; ok && i < SCHEMA_VERSION; i++)
        ok = store_execute(store, schema_steps[i]);
    if (copy)
        ok = ok && store_execute(store, "DELETE FROM meta WHERE key IN ('epoch', 'backup')");
    char *sql = sqlite3_mprintf("INSERT OR REPLACE INTO meta VALUES('schema', '%d');"
                                "INSERT OR REPLACE INTO meta VALUES('inode', '%s');"
                                "INSERT OR IGNORE INTO meta VALUES('epoch', '%016llx'); COMMIT;",
                                SCHEMA_VERSION, inode, (unsigned long long)random);
    ok = ok && store_execute(store, sql);
    sqlite3_free(sql);
    if (!ok)
        store_failed(store, err);
    if (!ok && !sqlite3_get_autocommit(store_database(store)))
        store_execute(store, "ROLLBACK");
    return ok;
}
