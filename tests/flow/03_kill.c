/* 03_kill: what "ok" promises, proved with kill -9 while a publisher runs flat out. */
#include "flood.h"
#include "flow.h"

#include <inttypes.h>
#include <signal.h>

enum { ROUNDS = 5 };

static const char yaml[] = "history:\n"
                           "  size: 100000\n"
                           "limits:\n"
                           "  queue_bytes: 256MiB\n"
                           "  dedupe_entries: 1000000\n";

/* ---- what must be true after the restart ---- */

/* The whole history, oldest first: its offsets are 1, 2, 3 …, and no text is there twice. */
static json_t *history(struct server *server)
{
    json_t *newest_first = http_get(server, "/messages/lobby")->json, *oldest_first = json_array();
    json_t *texts = json_object();
    ck_assert_msg(json_is_array(newest_first), "no history");
    for (size_t i = json_array_size(newest_first); i-- > 0;) {
        json_t *message = json_array_get(newest_first, i);
        json_array_append(oldest_first, message);
        const char *text = get_string(message, "msg");
        ck_assert_int_eq(get_int(message, "o"), (int64_t)json_array_size(oldest_first));
        ck_assert_msg(!json_object_get(texts, text), "%s is there twice", text);
        json_object_set_new(texts, text, json_true());
    }
    json_decref(texts);
    json_decref(newest_first);
    return oldest_first;
}

static void expect_stored(json_t *stored, int64_t offset, const char *id, const char *why)
{
    json_t *message = json_array_get(stored, (size_t)(offset - 1));
    ck_assert_msg(message && !strcmp(get_string(message, "i"), id),
                  "%s, but message %" PRId64 " is %s", why, offset, json_text(message));
}

static void answered_are_stored(const struct flood *flood, json_t *stored)
{
    for (int i = 0; i < flood->answered; i++)
        expect_stored(stored, flood->answers[i].offset, flood->answers[i].id, "answered ok");
}

static void seen_are_stored(const struct account *account, json_t *stored)
{
    size_t i;
    json_t *message;
    json_array_foreach(account->messages, i, message)
        expect_stored(stored, get_int(message, "o"), get_string(message, "i"), "seen by a reader");
}

static int count_of_round(json_t *stored, int round)
{
    size_t i;
    json_t *message;
    int count = 0, which;
    json_array_foreach(stored, i, message) count +=
        sscanf(get_string(message, "msg"), "%d-", &which) == 1 && which == round;
    return count;
}

START_TEST(kill_9_loses_nothing_that_was_answered_or_seen)
{
    struct server *server = server_start(.threads = 2, .yaml = yaml);
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    char *epoch = strdup(account->epoch);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t kill_at = account->offset + (int64_t)((150 + round * 333) / flow_slow()) + 10;
        struct flood *flood = flood_start(server, "lobby", textf("%d", round), false);
        reader_wait_offset(reader, "lobby", kill_at);
        server_kill(server);
        flood_stop(flood);
        while (reader_next(reader))
            ;
        ck_assert_int_gt(flood->answered, 0);
        server_restart(server);

        json_t *stored = history(server);
        answered_are_stored(flood, stored);
        seen_are_stored(account, stored);
        json_decref(stored);

        reader_resume(reader);
        ck_assert_str_eq(account->epoch, epoch);
        ck_assert_uint_eq(account->recovered, (size_t)round + 1);
        flood_repeat(flood, server);
        stored = history(server);
        ck_assert_int_eq(count_of_round(stored, round), flood->sent);
        reader_wait_offset(reader, "lobby", (int64_t)json_array_size(stored));
        account_expect_clean(account);
        seen_are_stored(account, stored);
        ck_assert_uint_eq(json_array_size(account->messages), json_array_size(stored));
        json_decref(stored);
    }
}
END_TEST

START_TEST(a_graceful_end_loses_nothing_either)
{
    struct server *server = server_start(.threads = 2, .yaml = yaml);
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    struct flood *flood = flood_start(server, "lobby", "0", false);
    reader_wait_offset(reader, "lobby", 200);
    server_stop(server);
    flood_stop(flood);
    while (reader_next(reader))
        ;
    ck_assert_int_eq(reader->ws->close_code, 1001);
    server_restart(server);
    json_t *stored = history(server);
    answered_are_stored(flood, stored);
    seen_are_stored(account, stored);
    reader_resume(reader);
    ck_assert_uint_eq(account->recovered, 1);
    flood_repeat(flood, server);
    stored = history(server);
    ck_assert_int_eq(count_of_round(stored, 0), flood->sent);
    reader_wait_offset(reader, "lobby", flood->sent);
    account_expect_clean(account);
}
END_TEST

static void with_durability_memory(int signal)
{
    struct server *server = server_start(.yaml = "durability: memory\n");
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *epoch = strdup(account->epoch);
    for (int i = 1; i <= 20; i++)
        publisher_say_ok(ann, textf("%d", i));
    reader_wait_offset(reader, "lobby", 20);
    if (signal == SIGKILL)
        server_kill(server);
    else
        server_end(server, signal);
    server_restart(server);
    reader_resume(reader);
    ck_assert_str_ne(account->epoch, epoch);
    ck_assert_uint_eq(account->first_frames, 2);
    ck_assert_uint_eq(account->recovered, 0);
    /* Whatever it kept, it tells readers so that they can go on without a gap or a repetition. */
    struct publisher *again = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(again, "after");
    reader_wait_message(reader, "lobby", "after");
    account_expect_clean(account);
}

START_TEST(with_durability_memory_a_killed_server_has_a_new_epoch)
{
    with_durability_memory(SIGKILL);
}
END_TEST

START_TEST(with_durability_memory_every_start_has_a_new_epoch)
{
    with_durability_memory(SIGTERM);
}
END_TEST

FLOW_MAIN("kill", kill_9_loses_nothing_that_was_answered_or_seen,
          a_graceful_end_loses_nothing_either,
          with_durability_memory_a_killed_server_has_a_new_epoch,
          with_durability_memory_every_start_has_a_new_epoch)
