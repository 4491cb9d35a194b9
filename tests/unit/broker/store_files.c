/* The store's file: old ones, new ones, broken ones, copies. Its disk is tests/disk/disk.c. */
#include "unit.h"

#include "bans.h"
#include "message.h"
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOW_MS = 1000000, PATH = 128 };

static struct store_limits limits = {1000, 0, 1000, 1000, 1000};
static char dir[64], database[PATH], copy[PATH], orders[PATH];
static struct store *store;
static struct name *room;
static struct error err;

static void begin(void)
{
    strcpy(dir, "/tmp/chatup-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(database, sizeof database, "%s/chatup.db", dir);
    snprintf(copy, sizeof copy, "%s/chatup.db.copy", dir); /* its disk fails as well */
    snprintf(orders, sizeof orders, "%s/disk", dir);
    setenv("CHATUP_DISK", orders, 1);
    room = name_create(text_of("room"));
    limits.history_bytes = 0;
    store = NULL;
}

static void end(void)
{
    char command[PATH];
    store_close(store);
    name_unref(room);
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static void disk(const char *how)
{
    FILE *file = fopen(orders, "w");
    ck_assert_ptr_nonnull(file);
    fputs(how, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void open_store(void)
{
    store_close(store);
    store = store_open(dir, &limits, &err);
    ck_assert_msg(store != NULL, "%s", err.text);
}

static void close_store(void)
{
    store_close(store);
    store = NULL;
}

static void refused(const char *why)
{
    ck_assert_ptr_null(store_open(dir, &limits, &err));
    ck_assert_msg(strstr(err.text, why) && strstr(err.text, database), "%s", err.text);
}

static bool append(uint64_t offset, size_t bytes)
{
    char id[37], text[2000];
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012llu", (unsigned long long)offset);
    memset(text, 'x', bytes);
    struct message *message = message_create(room, &(struct message_fields){.id = text_of(id),
                                                                            .time_ms = NOW_MS,
                                                                            .sub = text_of("alice"),
                                                                            .msg = {text, bytes}});
    message->offset = offset;
    bool ok = store_begin(store, &err) && store_append(store, message, text_of(id), &err) &&
              store_commit(store, &err);
    if (!ok)
        store_rollback(store);
    message_unref(message);
    return ok;
}

static void append_all(uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++)
        ck_assert_msg(append(i, 100), "%s", err.text);
}

static void holds(uint64_t first, uint64_t last)
{
    struct store_room found;
    ck_assert_msg(store_load(store, room, NOW_MS, &found, &err), "%s", err.text);
    ck_assert_uint_eq(found.offset, last);
    ck_assert_uint_eq(found.message_count, last + 1 - first);
    for (size_t i = 0; i < found.message_count; i++)
        ck_assert_uint_eq(found.messages[i]->offset, first + i);
    store_room_finish(&found);
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    char *why = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, text, NULL, NULL, &why);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", text, why);
    sqlite3_close(db);
}

static int sql_number(const char *path, const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK, "%s: %s", text,
                  sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

static bool is_there(const char *path)
{
    struct stat there;
    return lstat(path, &there) == 0;
}

/* ---- versions ---- */

/* As version 1 made it. */
static void file_of_version_1(void)
{
    sql(database,
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
        "CREATE TABLE room(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
        "  offset INTEGER NOT NULL, touched INTEGER NOT NULL);"
        "CREATE TABLE message(room INTEGER, offset INTEGER, id TEXT, time INTEGER,"
        "  removed INTEGER, user TEXT, sub TEXT, name TEXT, msg TEXT, ev TEXT, data TEXT,"
        "  PRIMARY KEY(room, offset)) WITHOUT ROWID;"
        "CREATE TABLE answer(room INTEGER, client_id BLOB, offset INTEGER, id TEXT,"
        "  time INTEGER, PRIMARY KEY(room, client_id)) WITHOUT ROWID;"
        "CREATE INDEX answer_time ON answer(time);"
        "CREATE TABLE ban(room BLOB, kind INTEGER, who TEXT, expires INTEGER,"
        "  PRIMARY KEY(room, kind, who)) WITHOUT ROWID;"
        "INSERT INTO meta VALUES('schema', '1'), ('epoch', '0123456789abcdef');"
        "INSERT INTO room VALUES(7, CAST('room' AS BLOB), 3, 1000000);"
        "INSERT INTO message VALUES(7, 2, '00000000-0000-4000-8000-000000000002', 1000000,"
        "  1, NULL, NULL, NULL, NULL, NULL, NULL);"
        "INSERT INTO message VALUES(7, 3, '00000000-0000-4000-8000-000000000003', 1000000,"
        "  0, '{\"name\":\"Ann\"}', 'u-1', 'Ann', 'hello', NULL, NULL);"
        "INSERT INTO answer VALUES(7, CAST('c-1' AS BLOB), 3,"
        "  '00000000-0000-4000-8000-000000000003', 1000000);"
        "INSERT INTO ban VALUES(CAST('room' AS BLOB), 1, 'u-2', -1);");
}

static void ban_counted(void *arg, const struct ban *ban)
{
    ck_assert(name_equal(ban->room, room));
    ck_assert(text_is(ban->who, "u-2"));
    ++*(int *)arg;
}

static void holds_what_version_1_had(void)
{
    struct store_room found;
    int bans = 0;
    ck_assert_str_eq(store_epoch(store), "0123456789abcdef");
    ck_assert(store_load(store, room, NOW_MS, &found, &err));
    ck_assert_uint_eq(found.offset, 3);
    ck_assert_uint_eq(found.message_count, 2);
    ck_assert(found.messages[0]->removed);
    ck_assert(text_is(found.messages[1]->fields.msg, "hello"));
    ck_assert(text_is(found.messages[1]->fields.sub, "u-1"));
    ck_assert_uint_eq(found.answer_count, 1);
    ck_assert_uint_eq(found.answers[0].offset, 3);
    store_room_finish(&found);
    ck_assert(store_each_ban(store, NOW_MS, ban_counted, &bans, &err));
    ck_assert_int_eq(bans, 1);
}

START_TEST(a_file_of_version_1_is_upgraded_with_all_it_holds)
{
    file_of_version_1();
    open_store();
    holds_what_version_1_had();
    ck_assert_msg(append(4, 10), "%s", err.text);
    open_store();
    ck_assert_str_eq(store_epoch(store), "0123456789abcdef");
    holds(2, 4);
}
END_TEST

START_TEST(an_upgrade_that_fails_leaves_the_file_as_it_was)
{
    file_of_version_1();
    disk("enospc");
    ck_assert_ptr_null(store_open(dir, &limits, &err));
    disk("");
    ck_assert_int_eq(sql_number(database, "SELECT value FROM meta WHERE key = 'schema'"), 1);
    ck_assert_int_eq(sql_number(database, "SELECT count(*) FROM message"), 2);
    open_store();
    holds_what_version_1_had();
}
END_TEST

START_TEST(a_step_that_fails_takes_those_before_it_back)
{
    sql(database, "CREATE TABLE ban(other TEXT); INSERT INTO ban VALUES('kept')");
    refused("ban already exists");
    ck_assert_int_eq(sql_number(database, "SELECT count(*) FROM ban WHERE other = 'kept'"), 1);
    ck_assert_int_eq(sql_number(database, "SELECT count(*) FROM sqlite_master"), 1);
}
END_TEST

static char *slurp(const char *path, long *size_out)
{
    FILE *file = fopen(path, "r");
    char *bytes = malloc(1 << 20);
    ck_assert_ptr_nonnull(file);
    *size_out = (long)fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

START_TEST(a_file_of_a_newer_version_is_refused_and_not_touched)
{
    long before_size, after_size;
    open_store();
    append_all(1, 3);
    close_store();
    sql(database, "PRAGMA journal_mode = DELETE; UPDATE meta SET value = '999'"
                  " WHERE key = 'schema'");
    char *before = slurp(database, &before_size);
    refused("of a newer chatup (schema 999");
    char *after = slurp(database, &after_size);
    ck_assert_int_eq(after_size, before_size);
    ck_assert_int_eq(memcmp(before, after, (size_t)after_size), 0);
    free(before);
    free(after);
}
END_TEST

/* ---- broken ---- */

static void spoil(long at, int bytes)
{
    FILE *file = fopen(database, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, at, SEEK_SET);
    for (int i = 0; i < bytes; i++)
        fputc('x', file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(what_is_no_database_is_refused_and_says_what_to_do)
{
    open_store();
    append_all(1, 3);
    close_store();
    spoil(0, 100);
    refused("is corrupt");
    ck_assert_ptr_nonnull(strstr(err.text, "put a backup in its place"));
}
END_TEST

START_TEST(once_a_page_is_found_corrupt_nothing_is_written_any_more)
{
    open_store();
    append_all(1, 900);
    close_store();
    struct stat file;
    ck_assert_int_eq(stat(database, &file), 0);
    open_store(); /* reads the first pages only */
    spoil(file.st_size / 8 * 4 / 4096 * 4096, (int)(file.st_size / 2));
    struct store_room found;
    ck_assert(!store_load(store, room, NOW_MS, &found, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "is corrupt"));
    for (int i = 0; i < 3; i++) {
        ck_assert(!append(901, 10));
        ck_assert_ptr_nonnull(strstr(err.text, "put a backup in its place"));
    }
    ck_assert_ptr_null(store_backup_open(store, copy, &err)); /* nor is it worth a copy */
    ck_assert(!store_recheck(store, &err));
    ck_assert(!append(901, 10));
}
END_TEST

START_TEST(a_write_that_fails_says_why_and_the_next_goes_well)
{
    static const struct {
        const char *order, *why;
    } cases[] = {{"eio", "Input/output error"},
                 {"eio-sync", "Input/output error"},
                 {"erofs", "Read-only file system"},
                 {"enospc", "full"}};
    uint64_t offset = 0;
    open_store();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            append_all(offset + 1, offset + 20);
            offset += 20;
            disk(cases[i].order);
            for (int again = 0; again < 3; again++) {
                ck_assert(!append(offset + 1, 10));
                ck_assert_msg(strstr(err.text, cases[i].why), "%s", err.text);
            }
            disk("");
        }
        ck_assert(append(++offset, 10));
    }
    holds(1, offset);
    open_store();
    holds(1, offset);
    close_store();
    ck_assert_int_eq(sql_number(database, "SELECT integrity_check = 'ok' FROM"
                                          " pragma_integrity_check"),
                     1);
}
END_TEST

/* What a process would find that starts after this one was killed now. */
START_TEST(a_commit_that_could_not_be_synced_is_gone_after_a_crash_too)
{
    char command[4 * PATH];
    open_store();
    append_all(1, 3);
    disk("eio-sync");
    for (int i = 0; i < 3; i++)
        ck_assert(!append(4, 1500));
    snprintf(command, sizeof command, "mkdir %s/later && cp %s %s-wal %s/later", dir, database,
             database, dir);
    ck_assert_int_eq(system(command), 0);
    disk("");
    holds(1, 3);
    close_store();
    snprintf(command, sizeof command, "%s/later", dir);
    store = store_open(command, &limits, &err);
    ck_assert_msg(store != NULL, "%s", err.text);
    holds(1, 3);
}
END_TEST

START_TEST(a_file_that_is_not_in_its_place_takes_nothing)
{
    open_store();
    append_all(1, 3);
    ck_assert_int_eq(rename(database, copy), 0);
    ck_assert(!append(4, 10));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    FILE *other = fopen(database, "w");
    fclose(other);
    ck_assert(!append(4, 10));
    ck_assert_ptr_nonnull(strstr(err.text, "was replaced"));
    ck_assert_int_eq(rename(copy, database), 0);
    append_all(4, 4);
    holds(1, 4);
}
END_TEST

/* ---- copies ---- */

static void backup_made(void)
{
    struct store_backup *backup = store_backup_open(store, copy, &err);
    enum store_backup_step step;
    uint64_t offset = 1001;
    ck_assert_msg(backup != NULL, "%s", err.text);
    while ((step = store_backup_step(backup, &err)) == STORE_BACKUP_MORE)
        append_all(offset, offset), offset++; /* publishing goes on */
    ck_assert_msg(step == STORE_BACKUP_DONE, "%s", err.text);
    store_backup_close(backup);
    ck_assert_uint_gt(offset, 1001);
}

START_TEST(a_backup_is_whole_though_publishing_goes_on)
{
    char part[PATH + 8], wal[PATH + 8];
    open_store();
    for (uint64_t i = 1; i <= 1000; i++)
        ck_assert(append(i, 1500));
    backup_made();
    ck_assert_int_eq(sql_number(copy, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"),
                     1);
    int last = sql_number(copy, "SELECT max(offset) FROM message");
    ck_assert_int_gt(last, 1000);
    ck_assert_int_eq(sql_number(copy, "SELECT min(offset) FROM message"), last - 999);
    ck_assert_int_eq(sql_number(copy, "SELECT count(*) FROM message"), 1000);
    ck_assert_int_eq(sql_number(copy, "SELECT offset FROM room"), last);
    snprintf(part, sizeof part, "%s.part", copy);
    snprintf(wal, sizeof wal, "%s-wal", copy);
    ck_assert(!is_there(part) && !is_there(wal));
    struct stat file;
    ck_assert_int_eq(stat(copy, &file), 0);
    ck_assert_int_eq(file.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_backup_that_is_put_in_place_begins_a_new_epoch_once)
{
    char old[32], new[32];
    open_store();
    append_all(1, 3);
    snprintf(old, sizeof old, "%s", store_epoch(store));
    struct store_backup *backup = store_backup_open(store, copy, &err);
    while (store_backup_step(backup, &err) == STORE_BACKUP_MORE)
        ;
    store_backup_close(backup);
    append_all(4, 5); /* announced, and not in the backup */
    open_store();
    ck_assert_str_eq(store_epoch(store), old);
    close_store();
    ck_assert_int_eq(rename(copy, database), 0);
    open_store();
    snprintf(new, sizeof new, "%s", store_epoch(store));
    ck_assert_str_ne(new, old);
    holds(1, 3);
    append_all(4, 4);
    open_store();
    ck_assert_str_eq(store_epoch(store), new);
    holds(1, 4);
}
END_TEST

/* As "cp" does, onto the file that is there: it is the same file then, but marked. */
START_TEST(a_backup_that_is_written_over_the_file_begins_a_new_epoch_too)
{
    char old[32], command[3 * PATH];
    open_store();
    append_all(1, 3);
    snprintf(old, sizeof old, "%s", store_epoch(store));
    struct store_backup *backup = store_backup_open(store, copy, &err);
    while (store_backup_step(backup, &err) == STORE_BACKUP_MORE)
        ;
    store_backup_close(backup);
    close_store();
    snprintf(command, sizeof command, "cp %s %s", copy, database);
    ck_assert_int_eq(system(command), 0);
    open_store();
    ck_assert_str_ne(store_epoch(store), old);
    holds(1, 3);
}
END_TEST

START_TEST(a_backup_is_not_spoilt_by_the_log_of_the_file_that_was_there)
{
    char log[PATH + 8], aside[PATH + 16], command[4 * PATH];
    open_store();
    append_all(1, 3);
    struct store_backup *backup = store_backup_open(store, copy, &err);
    while (store_backup_step(backup, &err) == STORE_BACKUP_MORE)
        ;
    store_backup_close(backup);
    append_all(4, 5);
    snprintf(log, sizeof log, "%s-wal", database);
    snprintf(aside, sizeof aside, "%s.aside", log);
    snprintf(command, sizeof command, "cp %s %s", log, aside);
    ck_assert_int_eq(system(command), 0);
    close_store();
    ck_assert_int_eq(rename(copy, database), 0);
    ck_assert_int_eq(rename(aside, log), 0); /* as a crash would have left it */
    refused("is not of the file that is there now");
    ck_assert_int_eq(unlink(log), 0);
    open_store();
    holds(1, 3);
}
END_TEST

START_TEST(a_backup_replaces_nothing_and_leaves_nothing_when_it_fails)
{
    char part[PATH + 8];
    open_store();
    append_all(1, 3);
    ck_assert_ptr_null(store_backup_open(store, "relative.db", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "must be an absolute path"));
    ck_assert_ptr_null(store_backup_open(store, database, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "is there already"));
    ck_assert_ptr_null(store_backup_open(store, "/nowhere/at/all", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));

    struct store_backup *backup = store_backup_open(store, copy, &err);
    disk("enospc");
    enum store_backup_step step;
    while ((step = store_backup_step(backup, &err)) == STORE_BACKUP_MORE)
        ;
    ck_assert_int_eq(step, STORE_BACKUP_FAILED);
    store_backup_close(backup);
    disk("");
    snprintf(part, sizeof part, "%s.part", copy);
    ck_assert(!is_there(part) && !is_there(copy));

    backup = store_backup_open(store, copy, &err);
    sql(copy, "CREATE TABLE mine(x)"); /* somebody was quicker */
    while ((step = store_backup_step(backup, &err)) == STORE_BACKUP_MORE)
        ;
    ck_assert_int_eq(step, STORE_BACKUP_FAILED);
    store_backup_close(backup);
    ck_assert_int_eq(sql_number(copy, "SELECT count(*) FROM mine"), 0);
    append_all(4, 4);
    holds(1, 4);
}
END_TEST

/* ---- history by bytes ---- */

START_TEST(only_so_many_bytes_are_loaded_but_always_the_newest)
{
    open_store();
    for (uint64_t i = 1; i <= 10; i++)
        ck_assert(append(i, 900));
    limits.history_bytes = 2500; /* each has some 1000 with its JSON */
    open_store();
    holds(9, 10);
    limits.history_bytes = 10;
    open_store();
    holds(10, 10);
}
END_TEST

START_TEST(what_is_trimmed_is_gone_from_the_disk)
{
    open_store();
    append_all(1, 10);
    ck_assert(store_begin(store, &err) && store_trim(store, room, 7, &err) &&
              store_commit(store, &err));
    holds(8, 10);
    open_store();
    holds(8, 10);
}
END_TEST

UNIT_MAIN_IN("store_files", begin, end, a_file_of_version_1_is_upgraded_with_all_it_holds,
             an_upgrade_that_fails_leaves_the_file_as_it_was,
             a_step_that_fails_takes_those_before_it_back,
             a_file_of_a_newer_version_is_refused_and_not_touched,
             what_is_no_database_is_refused_and_says_what_to_do,
             once_a_page_is_found_corrupt_nothing_is_written_any_more,
             a_write_that_fails_says_why_and_the_next_goes_well,
             a_commit_that_could_not_be_synced_is_gone_after_a_crash_too,
             a_file_that_is_not_in_its_place_takes_nothing,
             a_backup_is_whole_though_publishing_goes_on,
             a_backup_that_is_put_in_place_begins_a_new_epoch_once,
             a_backup_that_is_written_over_the_file_begins_a_new_epoch_too,
             a_backup_is_not_spoilt_by_the_log_of_the_file_that_was_there,
             a_backup_replaces_nothing_and_leaves_nothing_when_it_fails,
             only_so_many_bytes_are_loaded_but_always_the_newest,
             what_is_trimmed_is_gone_from_the_disk)
