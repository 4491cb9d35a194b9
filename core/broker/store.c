#include "store.h"
#include "alloc.h"
#include "message.h"
#include "store_parts.h"

#include <sqlite3.h>

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    ROOM_TOUCH,
    ROOM_FIND,
    MESSAGE_ADD,
    MESSAGE_TRIM,
    MESSAGE_TRIM_TO,
    MESSAGE_LIST,
    ANSWER_ADD,
    ANSWER_LIST,
    BAN_ADD,
    BAN_LIST,
    BAN_END,
    REMOVE,
    REMOVE_BY_NAME,
    REMOVE_BY_SUB,
    ROOMS_BY_NAME,
    ROOMS_BY_SUB,
    ONCE_ADD,
    ONCE_FORGET,
    ONCE_LIST,
    KEPT_PUT,
    KEPT_REMOVE,
    KEPT_DELETE,
    KEPT_EXPIRE,
    KEPT_LIST,
    PURGE_ROOMS,
    PURGE_MESSAGES,
    PURGE_ANSWERS,
    PURGE_BANS,
    PURGE_ONCES,
    PURGE_KEPT,
    PROBE,
    STATEMENTS
};

#define MAY_REMOVE " removed = 0 AND (ev IS NULL OR ev NOT IN ('rmUserMsg', 'rmMsg')) "
#define REMOVE_WHERE                                                                               \
    "UPDATE message SET removed = 1, user = NULL, sub = NULL, name = NULL, msg = NULL,"            \
    " ev = NULL, data = NULL WHERE room = (SELECT id FROM room WHERE name = ?1)"                   \
    " AND" MAY_REMOVE "AND "
#define ROOMS_WHERE(who)                                                                           \
    "SELECT id, name, EXISTS(SELECT 1 FROM message WHERE room = r.id AND" MAY_REMOVE "AND " who    \
    ") FROM room r WHERE id > ?1 ORDER BY id LIMIT ?3"

/* In one go, some milliseconds. */
enum { ROOMS_LOOKED_AT = 100, MESSAGES_LOOKED_AT = 10000 };

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ROOM_TOUCH] = "INSERT INTO room(name, offset, touched) VALUES(?1, ?2, ?3) ON CONFLICT(name) "
                   "DO UPDATE SET offset = ?2, touched = ?3 RETURNING id",
    [ROOM_FIND] = "SELECT id, offset FROM room WHERE name = ?1",
    [MESSAGE_ADD] = "INSERT INTO message VALUES(?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10)",
    [MESSAGE_TRIM] = "DELETE FROM message WHERE room = ?1 AND offset <= ?2",
    [MESSAGE_TRIM_TO] = "DELETE FROM message WHERE offset <= ?2 AND"
                        " room = (SELECT id FROM room WHERE name = ?1)",
    [MESSAGE_LIST] = "SELECT offset, id, time, removed, user, sub, name, msg, ev, data FROM message"
                     " WHERE room = ?1 AND offset > ?2 AND time >= ?3 ORDER BY offset DESC",
    [ANSWER_ADD] = "INSERT OR REPLACE INTO answer VALUES(?1, ?2, ?3, ?4, ?5)",
    [ANSWER_LIST] = "SELECT client_id, offset, id, time FROM answer WHERE room = ?1 AND time >= ?2"
                    " ORDER BY offset DESC LIMIT ?3",
    [BAN_ADD] = "INSERT OR REPLACE INTO ban(room, kind, who, expires, created, reason)"
                " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [BAN_LIST] = "SELECT room, kind, who, expires, created, reason FROM ban"
                 " WHERE expires = -1 OR expires > ?1 ORDER BY id",
    [BAN_END] = "DELETE FROM ban WHERE room = ?1 AND kind = ?2 AND who = ?3",
    [REMOVE] = REMOVE_WHERE "offset = ?2",
    [REMOVE_BY_NAME] = REMOVE_WHERE "name = ?2",
    [REMOVE_BY_SUB] = REMOVE_WHERE "sub = ?2",
    [ROOMS_BY_NAME] = ROOMS_WHERE("message.name = ?2"),
    [ROOMS_BY_SUB] = ROOMS_WHERE("sub = ?2"),
    [ONCE_ADD] = "INSERT OR REPLACE INTO once VALUES(?1, ?2)",
    [ONCE_FORGET] = "DELETE FROM once WHERE key = ?1",
    [ONCE_LIST] = "SELECT key, expires FROM once",
    [KEPT_PUT] = "INSERT OR REPLACE INTO kept VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [KEPT_REMOVE] = "DELETE FROM kept WHERE space = ?1 AND grp = ?2 AND key = ?3 AND member = ?4",
    [KEPT_DELETE] = "DELETE FROM kept WHERE space = ?1 AND grp = ?2 AND key = ?3",
    [KEPT_EXPIRE] = "UPDATE kept SET expires = ?8 WHERE space = ?1 AND grp = ?2 AND key = ?3",
    [KEPT_LIST] = "SELECT space, grp, key, member, type, value, number, expires FROM kept"
                  " WHERE expires = 0 OR expires > ?1",
    [PURGE_ROOMS] = "SELECT max(id) FROM (SELECT id FROM room WHERE id > ?1 ORDER BY id LIMIT 16)",
    [PURGE_MESSAGES] = "DELETE FROM message WHERE room IN"
                       " (SELECT id FROM room WHERE id > ?2 AND id <= ?3) AND time < ?1",
    [PURGE_ANSWERS] =
        "DELETE FROM answer WHERE (room, client_id) IN"
        " (SELECT room, client_id FROM answer WHERE time < ?1 ORDER BY time LIMIT 500)",
    [PURGE_BANS] = "DELETE FROM ban WHERE expires != -1 AND expires < ?1",
    [PURGE_ONCES] = "DELETE FROM once WHERE expires < ?1",
    [PURGE_KEPT] = "DELETE FROM kept WHERE expires != 0 AND expires < ?1",
    [PROBE] = "INSERT OR REPLACE INTO meta VALUES('probe', ?1)",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct store_limits limits;
    struct store_file file;
    bool commit_failed;
    bool corrupt;        /* seen once: nothing is written to it any more */
    int64_t purged_room; /* up to which this round has come */
    char epoch[17];
};

/* ---- small steps ---- */

/* What the system said to SQLite last, about the log or the file itself. */
static int system_error(sqlite3 *db)
{
    sqlite3_file *log = NULL;
    int error = 0;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log && log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
    if (!error)
        sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
    return error ? error : sqlite3_system_errno(db);
}

bool store_failed(struct store *store, struct error *err)
{
    const char *said = sqlite3_errmsg(store->db);
    int code = sqlite3_errcode(store->db) & 0xff;
    bool by_system = code == SQLITE_IOERR || code == SQLITE_CANTOPEN;
    int system = by_system ? system_error(store->db) : 0;
    store->corrupt |= code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    if (store->corrupt)
        error_set(err,
                  "store: %s is corrupt (%s): stop chatup and put a backup in its place, or move "
                  "it away to begin anew",
                  store->file.path, said);
    else if (system)
        error_set(err, "store: %s: %s (%s)", store->file.path, said, strerror(system));
    else
        error_set(err, "store: %s: %s", store->file.path, said);
    return false;
}

static void bind_text(sqlite3_stmt *statement, int index, struct text text)
{
    if (text.at)
        sqlite3_bind_text(statement, index, text.at, (int)text.length, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, index);
}

static void bind_blob(sqlite3_stmt *statement, int index, struct text text)
{
    sqlite3_bind_blob(statement, index, text.at, (int)text.length, SQLITE_STATIC);
}

static struct text column_text(sqlite3_stmt *statement, int index)
{
    const void *at = sqlite3_column_blob(statement, index);
    size_t length = (size_t)sqlite3_column_bytes(statement, index);
    if (!at && sqlite3_column_type(statement, index) != SQLITE_NULL)
        at = ""; /* an empty text is not an absent one */
    return (struct text){at, length};
}

/* Run a statement that gives no row, or whose row does not matter. */
static bool run(struct store *store, sqlite3_stmt *statement, struct error *err)
{
    int rc = sqlite3_step(statement);
    bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;
    if (!ok)
        store_failed(store, err);
    sqlite3_reset(statement);
    return ok;
}

bool store_execute(struct store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

bool store_check(const struct store *store, struct error *err)
{
    if (store->corrupt) { /* what is written to such a file may destroy more of it */
        error_set(err,
                  "store: %s is corrupt: stop chatup and put a backup in its place, or move it "
                  "away to begin anew",
                  store->file.path);
        return false;
    }
    return store_file_check(&store->file, err);
}

/* A disk that cannot be read for a moment can look like a corrupt file to SQLite. */
bool store_recheck(struct store *store, struct error *err)
{
    sqlite3_stmt *check = NULL;
    if (!store->corrupt)
        return true;
    sqlite3_db_release_memory(store->db); /* what was read then is not to be trusted */
    bool sound =
        sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW && text_is(column_text(check, 0), "ok");
    sqlite3_finalize(check);
    store->corrupt = !sound;
    return store_check(store, err);
}

bool store_begin(struct store *store, struct error *err)
{
    return store_check(store, err) && run(store, store->statements[BEGIN], err);
}

bool store_commit(struct store *store, struct error *err)
{
    bool ok = store_check(store, err) && run(store, store->statements[COMMIT], err);
    store->commit_failed |= !ok;
    return ok;
}

static void rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->db)) /* some errors have rolled back already */
        run(store, store->statements[ROLLBACK], &(struct error){{0}});
}

/* A commit that failed in its last step, the sync, may stand whole in the log: if the process died
 * now, the next one would take it for good. The next that is written goes over it. */
static void log_overwrite(struct store *store)
{
    struct error err;
    store->commit_failed = false;
    if (!run(store, store->statements[BEGIN], &err) || !store_probe(store, 0, &err) ||
        !run(store, store->statements[COMMIT], &err))
        rollback(store);
}

void store_rollback(struct store *store)
{
    rollback(store);
    if (store->commit_failed && !store->corrupt)
        log_overwrite(store);
}

/* ---- writing ---- */

static bool room_touch(struct store *store, const struct message *message, int64_t *room_out,
                       struct error *err)
{
    sqlite3_stmt *touch = store->statements[ROOM_TOUCH];
    bind_blob(touch, 1, name_text(message->room));
    sqlite3_bind_int64(touch, 2, (int64_t)message->offset);
    sqlite3_bind_int64(touch, 3, message->fields.time_ms);
    bool ok = sqlite3_step(touch) == SQLITE_ROW;
    if (ok)
        *room_out = sqlite3_column_int64(touch, 0);
    else
        store_failed(store, err);
    sqlite3_reset(touch);
    return ok;
}

bool store_append(struct store *store, const struct message *message, struct text client_id,
                  struct error *err)
{
    const struct message_fields *fields = &message->fields;
    int64_t room;
    if (!room_touch(store, message, &room, err))
        return false;
    sqlite3_stmt *add = store->statements[MESSAGE_ADD];
    sqlite3_bind_int64(add, 1, room);
    sqlite3_bind_int64(add, 2, (int64_t)message->offset);
    bind_text(add, 3, fields->id);
    sqlite3_bind_int64(add, 4, fields->time_ms);
    const struct text columns[] = {fields->user, fields->sub, fields->name,
                                   fields->msg,  fields->ev,  fields->data};
    for (int i = 0; i < 6; i++)
        bind_text(add, 5 + i, columns[i]);
    if (!run(store, add, err))
        return false;
    if (message->offset > store->limits.history_size) {
        sqlite3_stmt *trim = store->statements[MESSAGE_TRIM];
        sqlite3_bind_int64(trim, 1, room);
        sqlite3_bind_int64(trim, 2, (int64_t)(message->offset - store->limits.history_size));
        if (!run(store, trim, err))
            return false;
    }
    if (!client_id.length)
        return true;
    sqlite3_stmt *answer = store->statements[ANSWER_ADD];
    sqlite3_bind_int64(answer, 1, room);
    bind_blob(answer, 2, client_id);
    sqlite3_bind_int64(answer, 3, (int64_t)message->offset);
    bind_text(answer, 4, fields->id);
    sqlite3_bind_int64(answer, 5, fields->time_ms);
    return run(store, answer, err);
}

bool store_trim(struct store *store, const struct name *room, uint64_t up_to, struct error *err)
{
    sqlite3_stmt *trim = store->statements[MESSAGE_TRIM_TO];
    bind_blob(trim, 1, name_text(room));
    sqlite3_bind_int64(trim, 2, (int64_t)up_to);
    return run(store, trim, err);
}

bool store_probe(struct store *store, int64_t now_ms, struct error *err)
{
    sqlite3_stmt *probe = store->statements[PROBE];
    sqlite3_bind_int64(probe, 1, now_ms);
    return run(store, probe, err);
}

/* ---- moderation ---- */

/* A NULL pointer would be NULL instead of empty. */
static void bind_ban_key(sqlite3_stmt *statement, const struct ban *ban)
{
    bind_blob(statement, 1, ban->room ? name_text(ban->room) : (struct text){"", 0});
    sqlite3_bind_int(statement, 2, ban->kind);
    bind_text(statement, 3, ban->who);
}

bool store_ban(struct store *store, const struct ban *ban, struct error *err)
{
    sqlite3_stmt *add = store->statements[BAN_ADD];
    bind_ban_key(add, ban);
    sqlite3_bind_int64(add, 4, ban->expires_ms);
    sqlite3_bind_int64(add, 5, ban->created_ms);
    bind_text(add, 6, ban->reason);
    return run(store, add, err);
}

bool store_unban(struct store *store, const struct ban *ban, struct error *err)
{
    sqlite3_stmt *end = store->statements[BAN_END];
    bind_ban_key(end, ban);
    return run(store, end, err);
}

bool store_remove(struct store *store, const struct name *room, uint64_t offset, struct error *err)
{
    sqlite3_stmt *empty = store->statements[REMOVE];
    bind_blob(empty, 1, name_text(room));
    sqlite3_bind_int64(empty, 2, (int64_t)offset);
    return run(store, empty, err);
}

bool store_once(struct store *store, const struct name *key, int64_t expires_ms, struct error *err)
{
    sqlite3_stmt *add = store->statements[ONCE_ADD];
    bind_blob(add, 1, name_text(key));
    sqlite3_bind_int64(add, 2, expires_ms);
    return run(store, add, err);
}

bool store_once_forget(struct store *store, const struct name *key, struct error *err)
{
    sqlite3_stmt *forget = store->statements[ONCE_FORGET];
    bind_blob(forget, 1, name_text(key));
    return run(store, forget, err);
}

/* An absent one is empty: no column of a key is NULL. */
static void bind_bytes(sqlite3_stmt *statement, int index, struct text text)
{
    sqlite3_bind_blob(statement, index, text.length ? text.at : "", (int)text.length,
                      SQLITE_STATIC);
}

bool store_keep(struct store *store, enum keyed_change change, const struct keyed_row *row,
                struct error *err)
{
    static const enum statement statements[] = {[KEYED_PUT] = KEPT_PUT,
                                                [KEYED_REMOVE] = KEPT_REMOVE,
                                                [KEYED_DELETE] = KEPT_DELETE,
                                                [KEYED_EXPIRE] = KEPT_EXPIRE};
    sqlite3_stmt *statement = store->statements[statements[change]];
    bind_bytes(statement, 1, row->at.space);
    bind_bytes(statement, 2, row->at.group);
    bind_bytes(statement, 3, row->at.key);
    if (change == KEYED_PUT || change == KEYED_REMOVE)
        bind_bytes(statement, 4, row->member);
    if (change == KEYED_PUT) {
        sqlite3_bind_int(statement, 5, row->type);
        bind_bytes(statement, 6, row->value);
        sqlite3_bind_int64(statement, 7, row->number);
    }
    if (change == KEYED_PUT || change == KEYED_EXPIRE)
        sqlite3_bind_int64(statement, 8, row->expires_ms);
    return run(store, statement, err);
}

bool store_remove_said(struct store *store, const struct name *room, enum ban_kind kind,
                       struct text who, struct error *err)
{
    sqlite3_stmt *empty = store->statements[kind == BAN_SUB ? REMOVE_BY_SUB : REMOVE_BY_NAME];
    bind_blob(empty, 1, name_text(room));
    bind_text(empty, 2, who);
    return run(store, empty, err);
}

void store_page_add(struct store_page *page, struct name *room)
{
    page->rooms = xrealloc(page->rooms, (page->count + 1) * sizeof *page->rooms);
    page->rooms[page->count++] = name_ref(room);
}

void store_page_finish(struct store_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        name_unref(page->rooms[i]);
    free(page->rooms);
    page->rooms = NULL;
    page->count = 0;
}

bool store_rooms_of(struct store *store, enum ban_kind kind, struct text who,
                    struct store_page *page, struct error *err)
{
    sqlite3_stmt *list = store->statements[kind == BAN_SUB ? ROOMS_BY_SUB : ROOMS_BY_NAME];
    struct store_page next = {.cursor = page->cursor};
    int rc, looked_at = 0, limit = ROOMS_LOOKED_AT;
    if (limit > MESSAGES_LOOKED_AT / ((int)store->limits.history_size + 1))
        limit = MESSAGES_LOOKED_AT / ((int)store->limits.history_size + 1) + 1;
    sqlite3_bind_int64(list, 1, page->cursor);
    bind_text(list, 2, who);
    sqlite3_bind_int(list, 3, limit);
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        struct name *room = sqlite3_column_int(list, 2) ? name_create(column_text(list, 1)) : NULL;
        next.cursor = sqlite3_column_int64(list, 0);
        if (room)
            store_page_add(&next, room);
        name_unref(room);
        looked_at++;
    }
    if (rc != SQLITE_DONE)
        store_failed(store, err);
    sqlite3_reset(list);
    next.more = looked_at == limit;
    store_page_finish(rc == SQLITE_DONE ? page : &next);
    if (rc == SQLITE_DONE)
        *page = next;
    return rc == SQLITE_DONE;
}

/* ---- forgetting ---- */

/* The next rooms of the round, into *last_out; 0: it is over. */
static bool purge_rooms(struct store *store, int64_t *last_out, struct error *err)
{
    sqlite3_stmt *rooms = store->statements[PURGE_ROOMS];
    sqlite3_bind_int64(rooms, 1, store->purged_room);
    bool ok = sqlite3_step(rooms) == SQLITE_ROW || store_failed(store, err);
    if (ok)
        *last_out = sqlite3_column_int64(rooms, 0);
    sqlite3_reset(rooms);
    return ok;
}

static bool purge(struct store *store, enum statement which, int64_t before_ms, struct error *err)
{
    sqlite3_bind_int64(store->statements[which], 1, before_ms);
    return run(store, store->statements[which], err);
}

bool store_purge(struct store *store, int64_t now_ms, bool *more_out, struct error *err)
{
    sqlite3_stmt *messages = store->statements[PURGE_MESSAGES];
    int64_t last;
    if (!purge_rooms(store, &last, err))
        return false;
    sqlite3_bind_int64(messages, 2, store->purged_room);
    sqlite3_bind_int64(messages, 3, last);
    if (!purge(store, PURGE_BANS, now_ms, err) || !purge(store, PURGE_ONCES, now_ms, err) ||
        !purge(store, PURGE_KEPT, now_ms, err) ||
        !purge(store, PURGE_MESSAGES, now_ms - store->limits.history_expire_ms, err) ||
        !purge(store, PURGE_ANSWERS, now_ms - store->limits.dedupe_ms, err))
        return false;
    *more_out = last || sqlite3_changes(store->db);
    store->purged_room = last;
    return true;
}

/* ---- reading ---- */

/* NULL without memory for it. */
static struct message *column_message(sqlite3_stmt *list, struct name *room)
{
    struct message_fields fields = {
        .id = column_text(list, 1),
        .time_ms = sqlite3_column_int64(list, 2),
        .user = column_text(list, 4),
        .sub = column_text(list, 5),
        .name = column_text(list, 6),
        .msg = column_text(list, 7),
        .ev = column_text(list, 8),
        .data = column_text(list, 9),
    };
    struct message *message = message_create(room, &fields);
    if (message) {
        message->offset = (uint64_t)sqlite3_column_int64(list, 0);
        message->removed = sqlite3_column_int(list, 3);
    }
    return message;
}

/* The newest first, as far as the limit of bytes reaches; then turned round. */
static bool load_messages(struct store *store, struct name *name, int64_t room, int64_t since_ms,
                          struct store_room *out, struct error *err)
{
    sqlite3_stmt *list = store->statements[MESSAGE_LIST];
    uint64_t size = store->limits.history_size, bytes = 0;
    sqlite3_bind_int64(list, 1, room);
    sqlite3_bind_int64(list, 2, (int64_t)(out->offset > size ? out->offset - size : 0));
    sqlite3_bind_int64(list, 3, since_ms);
    int rc;
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        struct message *message = column_message(list, name);
        struct message **messages =
            message ? realloc(out->messages, (out->message_count + 1) * sizeof *messages) : NULL;
        if (!messages) {
            message_unref(message);
            error_set(err, "no memory for the history of a room");
            break;
        }
        out->messages = messages;
        bytes += message->json.length;
        if (out->message_count && store->limits.history_bytes &&
            bytes > store->limits.history_bytes) {
            message_unref(message);
            rc = SQLITE_DONE;
            break;
        }
        out->messages[out->message_count++] = message;
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        store_failed(store, err);
    sqlite3_reset(list);
    for (size_t i = 0, j = out->message_count; i + 1 < j; i++) {
        struct message *swap = out->messages[i];
        out->messages[i] = out->messages[--j];
        out->messages[j] = swap;
    }
    return rc == SQLITE_DONE;
}

static bool load_answers(struct store *store, int64_t room, int64_t since_ms,
                         struct store_room *out, struct error *err)
{
    sqlite3_stmt *list = store->statements[ANSWER_LIST];
    sqlite3_bind_int64(list, 1, room);
    sqlite3_bind_int64(list, 2, since_ms);
    sqlite3_bind_int64(list, 3, store->limits.dedupe_entries);
    int rc;
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        struct store_answer *answers =
            realloc(out->answers, (out->answer_count + 1) * sizeof *answers);
        if (!answers) {
            error_set(err, "no memory for the client ids of a room");
            break;
        }
        out->answers = answers;
        struct store_answer *answer = &out->answers[out->answer_count++];
        struct text client_id = column_text(list, 0);
        answer->client_id = xstrndup(client_id.at, client_id.length);
        answer->length = client_id.length;
        answer->offset = (uint64_t)sqlite3_column_int64(list, 1);
        snprintf(answer->id, sizeof answer->id, "%s", (const char *)sqlite3_column_text(list, 2));
        answer->time_ms = sqlite3_column_int64(list, 3);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        store_failed(store, err);
    sqlite3_reset(list);
    for (size_t i = 0, j = out->answer_count; i + 1 < j; i++) { /* oldest first */
        struct store_answer swap = out->answers[i];
        out->answers[i] = out->answers[--j];
        out->answers[j] = swap;
    }
    return rc == SQLITE_DONE;
}

bool store_load(struct store *store, struct name *name, int64_t now_ms, struct store_room *out,
                struct error *err)
{
    struct store_room room = {0};
    sqlite3_stmt *find = store->statements[ROOM_FIND];
    bind_blob(find, 1, name_text(name));
    int rc = sqlite3_step(find);
    int64_t id = 0;
    if (rc == SQLITE_ROW) {
        id = sqlite3_column_int64(find, 0);
        room.offset = (uint64_t)sqlite3_column_int64(find, 1);
    } else if (rc != SQLITE_DONE) {
        store_failed(store, err);
    }
    sqlite3_reset(find);
    bool ok = rc == SQLITE_DONE;
    if (rc == SQLITE_ROW)
        ok = load_messages(store, name, id, now_ms - store->limits.history_expire_ms, &room, err) &&
             load_answers(store, id, now_ms - store->limits.dedupe_ms, &room, err);
    if (ok)
        *out = room;
    else
        store_room_finish(&room);
    return ok;
}

void store_room_finish(struct store_room *room)
{
    for (size_t i = 0; i < room->message_count; i++)
        message_unref(room->messages[i]);
    for (size_t i = 0; i < room->answer_count; i++)
        free(room->answers[i].client_id);
    free(room->messages);
    free(room->answers);
    *room = (struct store_room){0};
}

bool store_each_ban(struct store *store, int64_t now_ms,
                    void (*each)(void *arg, const struct ban *ban), void *arg, struct error *err)
{
    sqlite3_stmt *list = store->statements[BAN_LIST];
    sqlite3_bind_int64(list, 1, now_ms);
    int rc;
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        struct text name = column_text(list, 0);
        struct name *room = name.length ? name_create(name) : NULL;
        if (name.length && !room)
            continue;
        struct ban *ban = ban_create(&(struct ban_fields){
            .room = room,
            .kind = (enum ban_kind)sqlite3_column_int(list, 1),
            .who = column_text(list, 2),
            .expires_ms = sqlite3_column_int64(list, 3),
            .created_ms = sqlite3_column_int64(list, 4),
            .reason = column_text(list, 5),
        });
        each(arg, ban);
        ban_unref(ban);
        name_unref(room);
    }
    if (rc != SQLITE_DONE)
        store_failed(store, err);
    sqlite3_reset(list);
    return rc == SQLITE_DONE;
}

bool store_each_once(struct store *store,
                     void (*each)(void *arg, struct name *key, int64_t expires_ms), void *arg,
                     struct error *err)
{
    sqlite3_stmt *list = store->statements[ONCE_LIST];
    int rc;
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        struct name *key = name_create(column_text(list, 0));
        if (key)
            each(arg, key, sqlite3_column_int64(list, 1));
        name_unref(key);
    }
    if (rc != SQLITE_DONE)
        store_failed(store, err);
    sqlite3_reset(list);
    return rc == SQLITE_DONE;
}

static struct text column_bytes(sqlite3_stmt *list, int column)
{
    const char *at = sqlite3_column_blob(list, column);
    return (struct text){at ? at : "", (size_t)sqlite3_column_bytes(list, column)};
}

bool store_each_kept(struct store *store, int64_t now_ms,
                     void (*visit)(void *arg, const struct keyed_row *row), void *arg,
                     struct error *err)
{
    sqlite3_stmt *list = store->statements[KEPT_LIST];
    int rc;
    sqlite3_bind_int64(list, 1, now_ms);
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        const struct keyed_row row = {
            .at = {column_bytes(list, 0), column_bytes(list, 1), column_bytes(list, 2)},
            .member = column_bytes(list, 3),
            .type = (enum keyed_type)sqlite3_column_int(list, 4),
            .value = column_bytes(list, 5),
            .number = sqlite3_column_int64(list, 6),
            .expires_ms = sqlite3_column_int64(list, 7),
        };
        if (row.type >= KEYED_STRING && row.type <= KEYED_WINDOW)
            visit(arg, &row);
    }
    if (rc != SQLITE_DONE)
        store_failed(store, err);
    sqlite3_reset(list);
    return rc == SQLITE_DONE;
}

/* ---- opening ---- */

static bool open_database(struct store *store, struct error *err)
{
    long version;
    if (!store_file_check_log(&store->file, err))
        return false;
    if (sqlite3_open_v2(store->file.path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
        return store_failed(store, err);
    /* Locked first: then the index of the log is in memory, and no file beside it. */
    if (!store_execute(store, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;"))
        return store_failed(store, err);
    if (!store_read_version(store, &store->file, &version, err))
        return false;
    if (!store_execute(store,
                       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE;"
                       "ROLLBACK;")) /* makes the files */
        return store_failed(store, err);
    if (!store_file_remember(&store->file, err) ||
        !store_make_schema(store, &store->file, version, err) ||
        !store_read_meta(store, "epoch", store->epoch, sizeof store->epoch, err))
        return false;
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL))
            return store_failed(store, err);
    return true;
}

struct store *store_open(const char *dir, const struct store_limits *limits, struct error *err)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->limits = *limits;
    if (store_file_init(&store->file, dir, err) && open_database(store, err))
        return store;
    store_close(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    store_file_finish(&store->file);
    free(store);
}

void store_set_limits(struct store *store, const struct store_limits *limits)
{
    store->limits = *limits;
}

const char *store_epoch(const struct store *store)
{
    return store->epoch;
}

struct sqlite3 *store_database(struct store *store)
{
    return store->db;
}

bool store_is_corrupt(const struct store *store)
{
    return store->corrupt;
}
