#include "unit.h"

#include "bans.h"
#include "message.h"
#include "store.h"

#include <sqlite3.h>
#include <unistd.h>

/* What time it is, the tests say. */
enum { NOW_MS = 1000000, HISTORY_MS = 1000, DEDUPE_MS = 500, SIZE = 4, ENTRIES = 3 };

static const struct store_limits limits = {SIZE, 0, HISTORY_MS, DEDUPE_MS, ENTRIES};
static char dir[64];
static struct store *store;
static struct name *room;
static struct error err;

static void open_again(void)
{
    store_close(store);
    store = store_open(dir, &limits, &err);
    ck_assert_msg(store != NULL, "%s", err.text);
}

static void begin(void)
{
    strcpy(dir, "/tmp/chatup-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    room = name_create(text_of("room"));
    store = NULL;
    open_again();
}

static void end(void)
{
    static const char *const files[] = {"chatup.db", "chatup.db-wal", "chatup.db-shm", "lock"};
    char path[128];
    store_close(store);
    name_unref(room);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct message *made(uint64_t offset, int64_t time_ms, const char *who, const char *ev)
{
    char id[37];
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012llu", (unsigned long long)offset);
    struct message *message =
        message_create(room, &(struct message_fields){.id = text_of(id),
                                                      .time_ms = time_ms,
                                                      .user = text_of("{\"name\":\"x\"}"),
                                                      .sub = text_of(who),
                                                      .name = text_of(who),
                                                      .msg = text_of(ev ? NULL : "hello"),
                                                      .ev = text_of(ev),
                                                      .data = text_of(ev ? "{}" : NULL)});
    message->offset = offset;
    return message;
}

static void append(uint64_t offset, int64_t time_ms, const char *who, const char *ev,
                   const char *client_id)
{
    struct message *message = made(offset, time_ms, who, ev);
    ck_assert(store_begin(store, &err));
    ck_assert_msg(store_append(store, message, text_of(client_id), &err), "%s", err.text);
    ck_assert(store_commit(store, &err));
    message_unref(message);
}

static struct store_room load(int64_t now_ms)
{
    struct store_room found;
    ck_assert_msg(store_load(store, room, now_ms, &found, &err), "%s", err.text);
    return found;
}

/* That is all there is. */
static void holds(int64_t now_ms, uint64_t first, uint64_t last)
{
    struct store_room found = load(now_ms);
    ck_assert_uint_eq(found.message_count, last + 1 - first);
    for (size_t i = 0; i < found.message_count; i++)
        ck_assert_uint_eq(found.messages[i]->offset, first + i);
    store_room_finish(&found);
}

static void purge(int64_t now_ms)
{
    for (bool more = true; more;)
        ck_assert_msg(store_purge(store, now_ms, &more, &err), "%s", err.text);
}

START_TEST(what_was_appended_is_loaded_as_it_was)
{
    begin();
    append(1, NOW_MS, "alice", NULL, NULL);
    append(2, NOW_MS + 1, "", "event", NULL);
    open_again();
    struct store_room found = load(NOW_MS);
    ck_assert_uint_eq(found.offset, 2);
    ck_assert_uint_eq(found.message_count, 2);
    for (size_t i = 0; i < 2; i++) {
        struct message *was =
            made(i + 1, NOW_MS + (int64_t)i, i ? "" : "alice", i ? "event" : NULL);
        const struct message *is = found.messages[i];
        ck_assert_uint_eq(is->offset, was->offset);
        ck_assert_int_eq(is->fields.time_ms, was->fields.time_ms);
        ck_assert(!is->removed);
        ck_assert(text_equal(is->json, was->json));
        ck_assert(text_equal(is->fields.sub, was->fields.sub));
        ck_assert(text_equal(is->fields.name, was->fields.name));
        message_unref(was);
    }
    store_room_finish(&found);
    end();
}
END_TEST

START_TEST(a_room_never_heard_of_is_empty)
{
    begin();
    struct store_room found = load(NOW_MS);
    ck_assert_uint_eq(found.offset, 0);
    ck_assert_uint_eq(found.message_count, 0);
    ck_assert_uint_eq(found.answer_count, 0);
    store_room_finish(&found);
    end();
}
END_TEST

START_TEST(what_was_rolled_back_never_was)
{
    begin();
    append(1, NOW_MS, "alice", NULL, NULL);
    struct message *message = made(2, NOW_MS, "alice", NULL);
    ck_assert(store_begin(store, &err));
    ck_assert(store_append(store, message, text_of("id"), &err));
    store_rollback(store);
    store_rollback(store); /* does no harm */
    message_unref(message);
    holds(NOW_MS, 1, 1);
    append(2, NOW_MS, "alice", NULL, "id");
    holds(NOW_MS, 1, 2);
    end();
}
END_TEST

START_TEST(only_the_last_messages_are_kept)
{
    begin();
    for (uint64_t i = 1; i <= 10; i++)
        append(i, NOW_MS, "alice", NULL, NULL);
    holds(NOW_MS, 7, 10);
    end();
}
END_TEST

START_TEST(what_is_too_old_is_forgotten_but_not_the_number)
{
    begin();
    append(1, NOW_MS, "alice", NULL, "one");
    append(2, NOW_MS + 600, "alice", NULL, "two");
    holds(NOW_MS + HISTORY_MS, 1, 2);
    holds(NOW_MS + HISTORY_MS + 1, 2, 2);
    purge(NOW_MS + 5 * HISTORY_MS);
    struct store_room found = load(NOW_MS); /* not even there any more */
    ck_assert_uint_eq(found.message_count, 0);
    ck_assert_uint_eq(found.answer_count, 0);
    ck_assert_uint_eq(found.offset, 2);
    store_room_finish(&found);
    end();
}
END_TEST

START_TEST(what_is_too_old_goes_slice_by_slice_also_in_rooms_that_are_used)
{
    enum { ROOMS = 50, EACH = 3 };
    begin();
    struct name *first = name_ref(room);
    for (int r = 0; r < ROOMS; r++) {
        char name[32];
        snprintf(name, sizeof name, "room %d", r);
        name_unref(room);
        room = name_create(text_of(name));
        for (uint64_t i = 1; i <= EACH; i++)
            append(i, NOW_MS + (i == EACH ? HISTORY_MS : 0), "alice", NULL, NULL);
    }
    name_unref(room);
    room = first;
    int slices = 0;
    for (bool more = true; more; slices++)
        ck_assert(store_purge(store, NOW_MS + HISTORY_MS + 1, &more, &err));
    ck_assert_int_gt(slices, 2);
    for (int r = 0; r < ROOMS; r++) {
        char name[32];
        struct store_room found;
        snprintf(name, sizeof name, "room %d", r);
        struct name *each = name_create(text_of(name));
        ck_assert(store_load(store, each, 0, &found, &err)); /* also what is too old */
        ck_assert_uint_eq(found.message_count, 1);
        ck_assert_uint_eq(found.messages[0]->offset, EACH);
        store_room_finish(&found);
        name_unref(each);
    }
    end();
}
END_TEST

START_TEST(answers_survive_up_to_their_limits)
{
    begin();
    append(1, NOW_MS - DEDUPE_MS - 1, "alice", NULL, "too old");
    append(2, NOW_MS, "alice", NULL, "too many");
    append(3, NOW_MS, "alice", NULL, "a");
    append(4, NOW_MS, "alice", NULL, NULL);
    append(5, NOW_MS, "alice", NULL, "b");
    append(6, NOW_MS, "alice", NULL, "c");
    open_again();
    static const char *const ids[] = {"a", "b", "c"};
    static const uint64_t offsets[] = {3, 5, 6};
    struct store_room found = load(NOW_MS);
    ck_assert_uint_eq(found.answer_count, ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) {
        char id[37];
        snprintf(id, sizeof id, "00000000-0000-4000-8000-%012llu", (unsigned long long)offsets[i]);
        ck_assert(
            text_is((struct text){found.answers[i].client_id, found.answers[i].length}, ids[i]));
        ck_assert_uint_eq(found.answers[i].offset, offsets[i]);
        ck_assert_str_eq(found.answers[i].id, id);
        ck_assert_int_eq(found.answers[i].time_ms, NOW_MS);
    }
    store_room_finish(&found);
    end();
}
END_TEST

static void ban_by(enum ban_kind kind, const char *who, int64_t expires_ms)
{
    struct ban *ban = ban_create(&(struct ban_fields){.room = room,
                                                      .kind = kind,
                                                      .who = text_of(who),
                                                      .expires_ms = expires_ms,
                                                      .created_ms = NOW_MS});
    ck_assert_msg(store_ban(store, ban, &err), "%s", err.text);
    ban_unref(ban);
}

START_TEST(removal_empties_what_was_said_but_not_what_tells_of_removal)
{
    for (enum ban_kind kind = BAN_NAME; kind <= BAN_SUB; kind++) {
        begin();
        append(1, NOW_MS, "alice", NULL, NULL);
        append(2, NOW_MS, "bob", NULL, NULL);
        append(3, NOW_MS, "alice", "rmUserMsg", NULL);
        ck_assert(store_remove_said(store, room, kind, text_of("alice"), &err));
        open_again();
        struct store_room found = load(NOW_MS);
        ck_assert_uint_eq(found.message_count, 3);
        const struct message *emptied = found.messages[0];
        ck_assert(emptied->removed);
        ck_assert_uint_eq(emptied->offset, 1);
        ck_assert_int_eq(emptied->fields.time_ms, NOW_MS);
        ck_assert_uint_eq(emptied->fields.id.length, 36);
        ck_assert_ptr_null(emptied->fields.msg.at);
        ck_assert_ptr_null(emptied->fields.sub.at);
        ck_assert_ptr_null(emptied->fields.name.at);
        ck_assert_ptr_null(emptied->fields.user.at);
        ck_assert(!found.messages[1]->removed);
        ck_assert(!found.messages[2]->removed);
        store_room_finish(&found);
        end();
    }
}
END_TEST

static void ban_counted(void *arg, const struct ban *ban)
{
    int *count = arg;
    ++*count;
    ck_assert(name_equal(ban->room, room));
    ck_assert(text_is(ban->who, ban->expires_ms == BAN_FOR_EVER ? "alice" : "bob"));
    ck_assert_int_eq(ban->kind, ban->expires_ms == BAN_FOR_EVER ? BAN_SUB : BAN_NAME);
}

START_TEST(bans_survive_while_they_are_in_force)
{
    begin();
    ban_by(BAN_SUB, "alice", NOW_MS);
    ban_by(BAN_SUB, "alice", BAN_FOR_EVER); /* the latest one counts */
    ban_by(BAN_NAME, "bob", NOW_MS + 1000);
    open_again();
    const struct {
        int64_t now_ms;
        int count;
    } cases[] = {{NOW_MS, 2}, {NOW_MS + 999, 2}, {NOW_MS + 1000, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int count = 0;
        ck_assert(store_each_ban(store, cases[i].now_ms, ban_counted, &count, &err));
        ck_assert_int_eq(count, cases[i].count);
    }
    int count = 0;
    purge(NOW_MS + 2000);
    ck_assert(store_each_ban(store, NOW_MS, ban_counted, &count, &err));
    ck_assert_int_eq(count, 1);
    end();
}
END_TEST

struct onces {
    char keys[64];
    int64_t expires_ms; /* of the last */
};

static void once_note(void *arg, struct name *key, int64_t expires_ms)
{
    struct onces *onces = arg;
    strcat(onces->keys, key->at);
    strcat(onces->keys, " ");
    onces->expires_ms = expires_ms;
}

static void onces_are(const char *keys, int64_t expires_ms)
{
    struct onces onces = {{0}, 0};
    ck_assert(store_each_once(store, once_note, &onces, &err));
    ck_assert_str_eq(onces.keys, keys);
    ck_assert_int_eq(onces.expires_ms, expires_ms);
}

START_TEST(what_may_happen_once_is_known_until_it_expires)
{
    begin();
    struct name *a = name_create(text_of("a")), *b = name_create(text_of("b"));
    ck_assert(store_begin(store, &err));
    ck_assert(store_once(store, a, 1000, &err) && store_once(store, b, 2000, &err));
    ck_assert(store_once(store, b, 3000, &err));
    ck_assert(store_commit(store, &err));
    open_again();
    onces_are("a b ", 3000);
    purge(2000);
    onces_are("b ", 3000);
    ck_assert(store_once_forget(store, b, &err) && store_once_forget(store, a, &err));
    onces_are("", 0);
    name_unref(a);
    name_unref(b);

    end();
}
END_TEST

static void ban_is_whole(void *arg, const struct ban *ban)
{
    int *count = arg;
    ++*count;
    ck_assert(!ban->room);
    ck_assert_int_eq(ban->kind, BAN_ADDRESS);
    ck_assert(text_is(ban->who, "192.0.2.7"));
    ck_assert(text_is(ban->reason, "spam"));
    ck_assert_int_eq(ban->created_ms, NOW_MS);
}

START_TEST(a_ban_everywhere_keeps_its_reason_and_ends)
{
    begin();
    struct ban *ban = ban_create(&(struct ban_fields){.kind = BAN_ADDRESS,
                                                      .who = text_of("192.0.2.7"),
                                                      .expires_ms = BAN_FOR_EVER,
                                                      .created_ms = NOW_MS,
                                                      .reason = text_of("spam")});
    int count = 0;
    ck_assert(store_ban(store, ban, &err));
    open_again();
    ck_assert(store_each_ban(store, NOW_MS, ban_is_whole, &count, &err));
    ck_assert_int_eq(count, 1);
    ck_assert(store_unban(store, ban, &err));
    open_again();
    ck_assert(store_each_ban(store, NOW_MS, ban_is_whole, &count, &err));
    ck_assert_int_eq(count, 1);
    ban_unref(ban);
    end();
}
END_TEST

static void ban_of_version_2(void *arg, const struct ban *ban)
{
    int *count = arg;
    ++*count;
    ck_assert(name_equal(ban->room, room));
    ck_assert_int_eq(ban->kind, BAN_SUB);
    ck_assert(text_is(ban->who, "alice"));
    ck_assert_int_eq(ban->expires_ms, BAN_FOR_EVER);
    ck_assert_uint_eq(ban->reason.length, 0);
}

START_TEST(bans_of_an_older_version_hold)
{
    static const char version_2[] =
        "PRAGMA locking_mode = EXCLUSIVE; DROP TABLE ban; DROP TABLE kept; UPDATE meta SET value = "
        "'2'"
        " WHERE key = 'schema'; CREATE TABLE ban(room BLOB, kind INTEGER, who TEXT,"
        " expires INTEGER, PRIMARY KEY(room, kind, who)) WITHOUT ROWID;"
        "INSERT INTO ban VALUES(CAST('room' AS BLOB), 1, 'alice', -1);";
    char path[128];
    sqlite3 *db;
    int count = 0;
    begin();
    store_close(store);
    snprintf(path, sizeof path, "%s/chatup.db", dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, version_2, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    store = NULL;
    open_again();
    ck_assert(store_each_ban(store, NOW_MS, ban_of_version_2, &count, &err));
    ck_assert_int_eq(count, 1);
    ban_by(BAN_SUB, "alice", BAN_FOR_EVER); /* in its place */
    count = 0;
    ck_assert(store_each_ban(store, NOW_MS, ban_of_version_2, &count, &err));
    ck_assert_int_eq(count, 1);
    end();
}
END_TEST

START_TEST(a_directory_in_use_is_refused)
{
    begin();
    struct store *second = store_open(dir, &limits, &err);
    ck_assert_ptr_null(second);
    char expected[256];
    snprintf(expected, sizeof expected,
             "data_dir %s: another chatup is using it; stop that one or choose another directory",
             dir);
    ck_assert_str_eq(err.text, expected);
    append(1, NOW_MS, "alice", NULL, NULL); /* the first one is none the worse */
    open_again();
    end();
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_is_named)
{
    ck_assert_ptr_null(store_open("/nowhere/at/all", &limits, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "data_dir /nowhere/at/all: cannot make it: "));
}
END_TEST

START_TEST(the_epoch_stays)
{
    begin();
    char epoch[32];
    ck_assert_uint_eq(strlen(store_epoch(store)), 16);
    snprintf(epoch, sizeof epoch, "%s", store_epoch(store));
    open_again();
    ck_assert_str_eq(store_epoch(store), epoch);
    end();
    begin();
    ck_assert_str_ne(store_epoch(store), epoch);
    end();
}
END_TEST

UNIT_MAIN("store", what_was_appended_is_loaded_as_it_was, a_room_never_heard_of_is_empty,
          what_was_rolled_back_never_was, only_the_last_messages_are_kept,
          what_is_too_old_is_forgotten_but_not_the_number,
          what_is_too_old_goes_slice_by_slice_also_in_rooms_that_are_used,
          answers_survive_up_to_their_limits,
          removal_empties_what_was_said_but_not_what_tells_of_removal,
          bans_survive_while_they_are_in_force, what_may_happen_once_is_known_until_it_expires,
          a_ban_everywhere_keeps_its_reason_and_ends, bans_of_an_older_version_hold,
          a_directory_in_use_is_refused, a_directory_that_cannot_be_made_is_named, the_epoch_stays)
