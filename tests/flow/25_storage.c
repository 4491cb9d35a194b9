/* 25_storage: a disk that fails, is full, stops, or is taken away: who speaks is told at once, who
 * reads goes on, nothing that was answered is lost, and it heals by itself. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text_of_say(int number)
{
    return textf("say %d", number);
}

static int count_in_log(struct server *server, const char *what)
{
    char *log = file_read(server->log);
    int count = 0;
    for (const char *at = log; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static void wait_log(struct server *server, const char *what, int count)
{
    int64_t deadline = deadline_in(20);
    while (count_in_log(server, what) < count) {
        ck_assert_msg(now_ms() < deadline, "the log never says \"%s\"", what);
        pause_ms(20);
    }
}

/* The whole history is these texts, oldest first. */
static void expect_history(struct server *server, json_t *texts)
{
    json_t *newest_first = texts_of(http_get(server, "/messages/lobby")->json);
    size_t count = json_array_size(texts);
    ck_assert_msg(json_array_size(newest_first) == count, "%s, not %s reversed",
                  json_text(newest_first), json_text(texts));
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(json_string_value(json_array_get(newest_first, count - 1 - i)),
                         json_string_value(json_array_get(texts, i)));
}

/* ---- errors ---- */

static void fails_and_heals(const char *how)
{
    struct server *server = server_start(.threads = 2, .own_disk = true);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    json_t *kept = json_array();
    for (int round = 0; round < 3; round++) {
        const char *good = text_of_say(round * 2), *lost = text_of_say(round * 2 + 1);
        publisher_say_ok(ann, good);
        json_array_append_new(kept, json_string(good));
        server_disk(server, how);
        for (int i = 0; i < 20; i++)
            assert_error(publisher_say(ann, lost, lost), "unavailable");
        struct http_answer *ready = wait_ready(server, 503);
        assert_contains(get_string(ready->json, "err"), "store: cannot be written since 20");
        ck_assert_ptr_null(strstr(ready->body, server->dir)); /* paths are nobody's business */
        json_t *store = json_object_get(server_ask(server, "status\n"), "store");
        ck_assert(json_is_false(json_object_get(store, "ok")));
        assert_contains(get_string(store, "err"), "chatup.db");
        ck_assert_int_gt(get_int(store, "since"), 0);
        ck_assert_int_eq(http_get(server, "/health/live")->status, 200);
        ck_assert_int_eq(http_get(server, "/health")->status, 200);
        expect_history(server, kept); /* readers go on, also those that come now */
        reader_close(reader_open(server, "lobby"));
        server_disk(server, "");
        wait_log(server, "it can be written again", round + 1); /* nobody has to speak for that */
        wait_ready(server, 200);
    }
    publisher_say_ok(ann, "after");
    json_array_append_new(kept, json_string("after"));
    reader_wait_message(reader, "lobby", "after");
    struct account *account = reader_account(reader, "lobby");
    account_expect_clean(account);
    ck_assert(json_equal(texts_of(account->messages), kept));
    ck_assert_int_eq(account->offset, (int64_t)json_array_size(kept));
    server_disk(server, how); /* what was refused is not there after the worst of ends either */
    assert_error(publisher_say(ann, "refused", "refused"), "unavailable");
    server_kill(server);
    server_disk(server, "");
    server_restart(server);
    expect_history(server, kept);
    reader_cut(reader);
    reader_resume(reader);
    ck_assert_uint_eq(account->recovered, 1);
    ck_assert_int_eq(count_in_log(server, "nothing can be published"), 4);
    ck_assert_int_eq(count_in_log(server, "it can be written again"), 3);
}

START_TEST(a_broken_disk_is_told_of_at_once_and_heals_by_itself)
{
    fails_and_heals("eio");
    assert_contains(file_read(textf("%s/server-0.log", flow_dir())), "Input/output error");
}
END_TEST

START_TEST(a_disk_that_cannot_sync_is_a_broken_one)
{
    fails_and_heals("eio-sync");
}
END_TEST

START_TEST(a_full_disk_is_told_of_at_once_and_heals_by_itself)
{
    fails_and_heals("enospc");
}
END_TEST

START_TEST(a_read_only_disk_is_told_of_at_once_and_heals_by_itself)
{
    fails_and_heals("erofs");
}
END_TEST

START_TEST(a_disk_that_cannot_be_read_costs_only_what_is_not_in_memory)
{
    struct server *server = server_start(.own_disk = true);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 50; i++) /* more than the cache of the database holds */
        http_get(server, textf("/messages/room-%d", i));
    publisher_say_ok(ann, "here");
    server_stop(server);
    server_restart(server);
    struct reader *reader = reader_open(server, "lobby");
    server_disk(server, "eio-read");
    for (int i = 0; i < 20; i++) {
        int status = http_get(server, textf("/messages/new-%d", i))->status;
        ck_assert_msg(status == 200 || status == 503, "%d", status);
    }
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"here\"]");
    server_disk(server, "");
    wait_ready(server, 200);
    ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "still");
    reader_wait_message(reader, "lobby", "still");
    account_expect_clean(reader_account(reader, "lobby"));
}
END_TEST

/* ---- the book ---- */

enum { BOOK_SAYS = 600, BOOK_WINDOW = 20 };

struct book { /* of what was said: the answer that each text got */
    int64_t offset[BOOK_SAYS];
    char id[BOOK_SAYS][37];
    size_t unavailable, unknown;
};

/* returns  whether it was answered ok; if it had been before, the answer is the same */
static bool book_answer(struct book *book, int number, json_t *reply)
{
    if (!json_object_get(reply, "offset")) {
        bool unknown = strcmp(get_string(reply, "err"), "unknown") == 0;
        if (!unknown)
            assert_error(reply, "unavailable");
        ck_assert_msg(!book->offset[number], "%d was ok, now %s", number, json_text(reply));
        unknown ? book->unknown++ : book->unavailable++;
        return false;
    }
    if (book->offset[number]) {
        ck_assert_int_eq(get_int(reply, "offset"), book->offset[number]);
        ck_assert_str_eq(get_string(reply, "i"), book->id[number]);
    }
    book->offset[number] = get_int(reply, "offset");
    snprintf(book->id[number], sizeof book->id[number], "%s", get_string(reply, "i"));
    return true;
}

static void book_say(struct book *book, struct publisher *ann, int from, const char *on_the_way,
                     struct server *server)
{
    for (int i = from; i < from + BOOK_WINDOW; i++) {
        publisher_send_say(ann, text_of_say(i), text_of_say(i));
        if (i == from + BOOK_WINDOW / 2)
            server_disk(server, on_the_way);
    }
    for (int i = from; i < from + BOOK_WINDOW; i++)
        book_answer(book, i, json_object_get(publisher_receive(ann), "reply"));
}

START_TEST(whatever_the_disk_does_each_message_is_there_once_as_it_was_answered)
{
    static const char *const orders[] = {"eio", "enospc", "eio-sync", "slow", "erofs"};
    struct book *book = calloc(1, sizeof *book);
    struct server *server =
        server_start(.threads = 2, .own_disk = true,
                     .yaml = "limits:\n  store_wait: 100ms\nhistory:\n  size: 10000\n");
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int from = 0; from < BOOK_SAYS; from += BOOK_WINDOW) {
        const char *order = orders[from / BOOK_WINDOW % (int)COUNT_OF(orders)];
        book_say(book, ann, from, order, server);
        book_say(book, ann, from, "", server); /* all again, while it is mended */
        if (from == BOOK_SAYS / 2) {
            server_disk(server, order);
            server_kill(server);
            server_disk(server, "");
            while (reader_next(reader))
                ;
            server_restart(server);
            reader_resume(reader);
            ck_assert_uint_eq(account->recovered, 1);
            ann = publisher_enter(server, "Ann", "lobby");
        }
    }
    int64_t deadline = deadline_in(30);
    for (int i = 0; i < BOOK_SAYS; i++)
        while (!book_answer(book, i, publisher_say(ann, text_of_say(i), text_of_say(i))))
            ck_assert_int_lt(now_ms(), deadline);
    ck_assert_uint_gt(book->unavailable, 0);
    reader_wait_offset(reader, "lobby", BOOK_SAYS);
    account_expect_clean(account);
    ck_assert_uint_eq(json_array_size(account->messages), BOOK_SAYS);
    json_t *stored = http_get(server, "/messages/lobby")->json; /* newest first */
    ck_assert_uint_eq(json_array_size(stored), BOOK_SAYS);
    for (int i = 0; i < BOOK_SAYS; i++) {
        size_t offset = (size_t)book->offset[i];
        ck_assert_int_le(offset, BOOK_SAYS);
        json_t *seen = json_array_get(account->messages, offset - 1);
        ck_assert_str_eq(get_string(seen, "msg"), text_of_say(i));
        ck_assert_str_eq(get_string(seen, "i"), book->id[i]);
        ck_assert(json_equal(json_array_get(stored, BOOK_SAYS - offset), seen));
    }
}
END_TEST

/* ---- a disk that says nothing ---- */

START_TEST(a_disk_that_stops_keeps_nobody_waiting_and_loses_nothing)
{
    enum { SAYS = 30 };
    struct server *server =
        server_start(.threads = 2, .own_disk = true, .yaml = "limits:\n  store_wait: 300ms\n");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    publisher_say_ok(ann, "before");
    server_disk(server, "slow");
    for (int i = 0; i < SAYS; i++)
        publisher_send_say(ann, text_of_say(i), text_of_say(i));
    for (int i = 0; i < SAYS; i++) /* nobody knows what will become of them */
        assert_error(json_object_get(publisher_receive(ann), "reply"), "unknown");

    /* From now on it is not given more: that is known not to be published. */
    assert_error(publisher_say(bob, "lost", "lost"), "unavailable");
    assert_error(publisher_say(ann, text_of_say(0), text_of_say(0)), "unknown");
    struct publisher *eve = publisher_open(server, token_user("Eve", NULL));
    assert_error(publisher_ask(eve, "join", json_pack("{s:s}", "room", "elsewhere")),
                 "unavailable");
    ck_assert_int_eq(http_get(server, "/messages/elsewhere")->status, 503);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"before\"]");
    assert_error(wait_ready(server, 503)->json, "store: no answer");
    ck_assert_int_eq(http_get(server, "/health/live")->status, 200);

    server_disk(server, "");
    wait_ready(server, 200);
    for (int i = 0; i < SAYS; i++) /* the same client id: the answer of the first one */
        ck_assert_int_eq(get_int(publisher_say(ann, text_of_say(i), text_of_say(i)), "offset"),
                         i + 2);
    int64_t offset = publisher_say_ok(bob, "after");
    ck_assert_int_eq(offset, SAYS + 2);
    reader_wait_offset(reader, "lobby", offset);
    account_expect_clean(reader_account(reader, "lobby"));
    json_t *texts = texts_of(reader_account(reader, "lobby")->messages);
    ck_assert_uint_eq(json_array_size(texts), SAYS + 2);
    server_kill(server);
    server_restart(server);
    expect_history(server, texts);
    wait_log(server, "store: it answers again", 1);
    ck_assert_int_eq(count_in_log(server, "store: no answer for"), 1);
    ck_assert_int_eq(count_in_log(server, "store: it answers again"), 1);
}
END_TEST

START_TEST(a_disk_that_stops_does_not_keep_the_process_from_ending)
{
    struct server *server =
        server_start(.own_disk = true, .yaml = "limits:\n  store_wait: 300ms\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "before");
    server_disk(server, "slow");
    assert_error(publisher_say(ann, "stuck", "stuck"), "unknown");
    kill(server->pid, SIGTERM);
    int64_t deadline = deadline_in(30);
    while (server_is_alive(server)) {
        ck_assert_msg(now_ms() < deadline, "it waits for its disk for ever");
        pause_ms(10);
    }
    waitpid(server->pid, NULL, 0);
    close(server->out);
    server->pid = 0;
    server_disk(server, "");
    server_restart(server);
    json_t *texts = texts_of(http_get(server, "/messages/lobby")->json);
    assert_contains(json_text(texts), "\"before\"");
}
END_TEST

START_TEST(a_room_that_cannot_be_loaded_keeps_nobody_waiting)
{
    struct server *server =
        server_start(.own_disk = true, .yaml = "limits:\n  store_wait: 200ms\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_open(server, token_user("Bob", NULL));
    server_disk(server, "slow");
    publisher_send_say(ann, "stuck", "stuck");
    int64_t deadline = deadline_in(20);
    for (int i = 0; http_get(server, textf("/messages/room-%d", i))->status != 503; i++)
        ck_assert_int_lt(now_ms(), deadline); /* loaded in time, while that is so */
    assert_error(publisher_ask(bob, "join", json_pack("{s:s}", "room", "other")), "unavailable");
    assert_error(json_object_get(publisher_receive(ann), "reply"), "unknown");
    server_disk(server, "");
    wait_ready(server, 200);
    publisher_join(bob, "other"); /* it was not in there, and is now */
    wait_stats(server, "other", 0, 1, 1);
    ck_assert_int_eq(get_int(publisher_say(ann, "stuck", "stuck"), "offset"), 1);
}
END_TEST

START_TEST(what_waits_for_the_disk_is_limited)
{
    enum { SPEAKERS = 60 };
    struct server *server =
        server_start(.own_disk = true, .yaml = "limits:\n  store_wait: 10m\n  store_bytes: 1MiB\n");
    struct publisher *speakers[SPEAKERS];
    char *big = text_repeat("x", 30000);
    int count = 0, kept = 0, refused = 0;
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "before");
    server_disk(server, "slow");
    while (refused == 0) { /* each has one to say; most of them have to wait for the answer */
        ck_assert_int_lt(count, SPEAKERS);
        speakers[count] = publisher_enter(server, "Bob", "lobby");
        publisher_send_say(speakers[count++], big, NULL);
        pause_ms(10);
        for (int i = 0; i < count; i++)
            refused += stream_receive(speakers[i]->ws->stream, now_ms()) == STREAM_MORE;
    }
    server_disk(server, "");
    refused = 0;
    for (int i = 0; i < count; i++) {
        json_t *reply = json_object_get(publisher_receive(speakers[i]), "reply");
        if (json_object_get(reply, "offset"))
            kept++;
        else
            assert_error(reply, "unavailable");
        refused += !json_object_get(reply, "offset");
    }
    ck_assert_int_ge(kept, 10);
    ck_assert_int_ge(refused, 1);
    ck_assert_int_eq(publisher_say_ok(speakers[0], "after"), kept + 2);
}
END_TEST

/* ---- files that are taken away ---- */

START_TEST(a_deleted_database_is_noticed_before_anything_is_lost_in_it)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    const char *path = textf("%s/data/chatup.db", server->dir), *aside = textf("%s.aside", path);
    publisher_say_ok(ann, "before");
    ck_assert_int_eq(rename(path, aside), 0);
    assert_error(publisher_say(ann, "lost", NULL), "unavailable");
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"before\"]");
    FILE *other = fopen(path, "w");
    fclose(other);
    assert_error(publisher_say(ann, "lost", NULL), "unavailable"); /* nor in another one */
    ck_assert_int_eq(rename(aside, path), 0);
    wait_ready(server, 200);
    publisher_say_ok(ann, "after");
    server_stop(server);
    server_restart(server);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"after\",\"before\"]");
}
END_TEST

static void spoil(const char *path, long at)
{
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, at, SEEK_SET);
    for (int i = 0; i < 4096; i++)
        fputc('x', file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(a_corrupt_database_is_refused_at_the_start_and_says_what_to_do)
{
    struct server *server = server_start();
    const char *path = textf("%s/data/chatup.db", server->dir);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "before");
    server_stop(server);
    spoil(path, 0);
    struct run run = chatup("serve", "-c", server->config);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, path);
    assert_contains(run.err, "is corrupt");
    assert_contains(run.err, "put a backup in its place");
    unlink(path);
    server_restart(server);
    assert_json(http_get(server, "/messages/lobby")->json, "[]");
}
END_TEST

START_TEST(a_copy_of_the_database_begins_a_new_epoch)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    const char *path = textf("%s/data/chatup.db", server->dir), *copy = textf("%s.copy", path);
    publisher_say_ok(ann, "kept");
    server_stop(server);
    ck_assert_int_eq(system(textf("cp %s %s", path, copy)), 0);
    server_restart(server);
    reader_resume(reader);
    ck_assert_uint_eq(account->recovered, 1);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "not in the copy");
    reader_wait_message(reader, "lobby", "not in the copy");
    server_stop(server);
    ck_assert_int_eq(rename(copy, path), 0);
    server_restart(server);
    reader_resume(reader); /* offset 2 of the old epoch is not the next one's */
    ck_assert_uint_eq(account->recovered, 1);
    ck_assert_uint_eq(account->first_frames, 3);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"kept\"]");
    ck_assert_int_eq(publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "again"), 2);
}
END_TEST

/* ---- backup ---- */

static void put_in_place(struct server *server, const char *backup)
{
    unlink(textf("%s/data/chatup.db-wal", server->dir));
    ck_assert_int_eq(rename(backup, textf("%s/data/chatup.db", server->dir)), 0);
}

START_TEST(a_backup_is_made_while_publishing_goes_on_and_can_be_started_from)
{
    enum { BEFORE = 50, MEANWHILE = 40 };
    struct server *server = server_start(.threads = 2);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    const char *backup = textf("%s/backup", server->dir);
    for (int i = 0; i < BEFORE; i++)
        publisher_say_ok(ann, text_of_say(i));
    ck_assert_int_eq(
        http_post(server, "/ban", token_for("[{\"sub\":\"u-66\",\"everywhere\":true}]"))->status,
        200);
    for (int i = BEFORE; i < BEFORE + MEANWHILE; i++)
        publisher_send_say(ann, text_of_say(i), NULL);
    struct run run = chatup("backup", "-c", server->config, backup);
    ck_assert_msg(run.code == 0, "%s", run.err);
    ck_assert_str_eq(run.out, "backed up\n");
    for (int i = BEFORE; i < BEFORE + MEANWHILE; i++)
        get_int(json_object_get(publisher_receive(ann), "reply"), "offset");
    publisher_say_ok(ann, "not in the backup");
    reader_wait_message(reader, "lobby", "not in the backup");
    account_expect_clean(account);
    ck_assert_uint_eq(json_array_size(account->messages), BEFORE + MEANWHILE + 1);

    run = chatup("backup", "-c", server->config, backup); /* it replaces nothing */
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "is there already");
    json_t *store = json_object_get(server_ask(server, "status\n"), "store");
    assert_json(store, "{\"ok\":true}");

    server_stop(server);
    put_in_place(server, backup);
    server_restart(server);
    char *epoch = textf("%s", account->epoch);
    reader_resume(reader); /* its offsets are of another epoch */
    ck_assert_uint_eq(account->recovered, 0);
    ck_assert_str_ne(account->epoch, epoch);
    json_t *newest_first = texts_of(http_get(server, "/messages/lobby")->json);
    size_t count = json_array_size(newest_first);
    ck_assert_msg(count >= BEFORE && count <= BEFORE + MEANWHILE, "%zu", count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(json_string_value(json_array_get(newest_first, count - 1 - i)),
                         text_of_say((int)i));
    ck_assert_int_eq(publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "again"),
                     (int64_t)count + 1);
    struct publisher *mallory = publisher_open(server, token_user("Mallory", "u-66"));
    json_t *joined = publisher_ask(mallory, "join", json_pack("{s:s}", "room", "lobby"));
    ck_assert_str_eq(get_string(joined, "comment"), "banned");
}
END_TEST

START_TEST(a_backup_that_the_end_interrupts_is_there_whole_or_not_at_all)
{
    enum { SAYS = 400 };
    struct server *server = server_start(.yaml = "history:\n  size: 1000\n  bytes: 64MiB\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    const char *backup = textf("%s/backup", server->dir), *part = textf("%s.part", backup);
    const char *request = textf("backup %s\n", backup), *big = text_repeat("x", 30000);
    for (int i = 0; i < SAYS; i++)
        publisher_say_ok(ann, big);
    int fd = control_open(server);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(send(fd, request, strlen(request), 0), 0);
    for (int64_t deadline = deadline_in(20); access(part, F_OK) && access(backup, F_OK);)
        ck_assert_int_lt(now_ms(), deadline);
    server_stop(server);
    json_t *ok = json_object_get(json_of(control_read(fd)), "ok");
    bool made = json_is_true(ok);
    ck_assert_int_eq(access(part, F_OK), -1);
    ck_assert_int_eq(access(backup, F_OK), made ? 0 : -1);
    if (made)
        put_in_place(server, backup);
    server_restart(server);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/lobby")->json), SAYS);
}
END_TEST

FLOW_MAIN("storage", a_broken_disk_is_told_of_at_once_and_heals_by_itself,
          a_disk_that_cannot_sync_is_a_broken_one,
          a_full_disk_is_told_of_at_once_and_heals_by_itself,
          a_read_only_disk_is_told_of_at_once_and_heals_by_itself,
          a_disk_that_cannot_be_read_costs_only_what_is_not_in_memory,
          whatever_the_disk_does_each_message_is_there_once_as_it_was_answered,
          a_disk_that_stops_keeps_nobody_waiting_and_loses_nothing,
          a_disk_that_stops_does_not_keep_the_process_from_ending,
          a_room_that_cannot_be_loaded_keeps_nobody_waiting, what_waits_for_the_disk_is_limited,
          a_deleted_database_is_noticed_before_anything_is_lost_in_it,
          a_corrupt_database_is_refused_at_the_start_and_says_what_to_do,
          a_copy_of_the_database_begins_a_new_epoch,
          a_backup_is_made_while_publishing_goes_on_and_can_be_started_from,
          a_backup_that_the_end_interrupts_is_there_whole_or_not_at_all)
