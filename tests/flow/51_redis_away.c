/* 51_redis_away: what the loss of Redis costs. Readers stay connected, publishers are told at once,
 * and afterwards every gap is filled from the history; where that is not possible, readers are told
 * so. */
#include "flood.h"
#include "flow.h"
#include "token.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static const char yaml[] = "history:\n"
                           "  size: 100000\n"
                           "  bytes: 0\n"
                           "drain_time: 0s\n"
                           "limits:\n"
                           "  queue_bytes: 256MiB\n"
                           "  dedupe_entries: 1000000\n"
                           "  store_wait: 1s\n";

static struct server *worker_start(struct redis_process *redis)
{
    return server_start(.role = "worker", .redis = redis, .threads = 2, .yaml = yaml);
}

static const char *const keeps_all[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
static const char *const keeps_nothing[] = {"--appendonly", "no", NULL};

/* Each of the loops learns for itself that Redis is gone: one of them perhaps by this, whose
 * outcome is unknown then. */
static void say_nothing(struct publisher *publisher)
{
    json_t *reply = publisher_say(publisher, "lost", NULL);
    if (!strcmp(get_string(reply, "err"), "unknown"))
        reply = publisher_say(publisher, "lost", NULL);
    assert_error(reply, "unavailable");
}

START_TEST(while_redis_is_away_publishers_are_told_and_readers_stay)
{
    struct redis_process *redis = redis_start(keeps_all);
    struct server *worker = worker_start(redis);
    struct reader *reader = reader_open(worker, "lobby");
    struct publisher *ann = publisher_enter(worker, "Ann", "lobby");
    publisher_say_ok(ann, "before");
    redis_process_kill(redis);
    wait_ready(worker, 503);
    say_nothing(ann);
    ck_assert_int_eq(http_get(worker, "/health/live")->status, 200);
    json_t *store = json_object_get(server_ask(worker, "status\n"), "store");
    ck_assert(json_is_false(json_object_get(store, "ok")));
    assert_contains(get_string(store, "err"), "redis");
    redis_process_start(redis, keeps_all);
    wait_ready(worker, 200);
    ck_assert_int_eq(publisher_say_until_ok(ann, "after"), 2);
    reader_wait_message(reader, "lobby", "after");
    struct account *account = reader_account(reader, "lobby");
    account_expect_clean(account);
    ck_assert_uint_eq(account->first_frames, 1); /* it never had to be told anything */
}
END_TEST

/* While a flood goes on, something happens to Redis; nothing that was answered is lost, nothing is
 * there twice, and no reader misses anything. */
static void through_a_fault(void (*fault)(struct redis_process *redis))
{
    struct redis_process *redis = redis_start(keeps_all);
    struct server *workers[2] = {worker_start(redis), worker_start(redis)};
    struct reader *readers[2];
    for (size_t i = 0; i < 2; i++)
        readers[i] = reader_open(workers[i], "lobby");
    struct flood *flood = flood_start(workers[0], "lobby", "a", true);
    flood_wait(flood, 500);
    fault(redis);
    wait_ready(workers[0], 200);
    wait_ready(workers[1], 200);
    flood_wait(flood, flood->answered + 200);
    flood_stop(flood);
    flood_repeat(flood, workers[1]);
    int64_t last = publisher_say_until_ok(publisher_enter(workers[0], "Ann", "lobby"), "last");
    ck_assert_int_eq(last, flood->sent + 1); /* each once */
    for (size_t i = 0; i < 2; i++) {
        struct account *account = reader_account(readers[i], "lobby");
        reader_wait_offset(readers[i], "lobby", last);
        account_expect_clean(account);
        ck_assert_uint_eq(account->first_frames, 1);
        flood_expect_there(flood, account);
    }
}

static void restart(struct redis_process *redis)
{
    redis_process_kill(redis);
    redis_process_start(redis, keeps_all);
}

START_TEST(a_restart_of_one_that_keeps_all_costs_nothing)
{
    through_a_fault(restart);
}
END_TEST

static void cut(struct redis_process *redis)
{
    for (int i = 0; i < 5; i++) {
        redis_process_ask(redis, "CLIENT KILL TYPE normal", NULL, 0);
        pause_ms(150); /* in the middle of what comes then */
    }
}

START_TEST(connections_cut_in_the_middle_of_a_pipeline_cost_nothing)
{
    through_a_fault(cut);
}
END_TEST

static void cut_channels(struct redis_process *redis)
{
    for (int i = 0; i < 5; i++) {
        redis_process_ask(redis, "CLIENT KILL TYPE pubsub", NULL, 0);
        pause_ms(150);
    }
}

START_TEST(subscriptions_that_break_leave_no_gap)
{
    through_a_fault(cut_channels);
}
END_TEST

static void stand_still(struct redis_process *redis)
{
    kill(redis->pid, SIGSTOP);
    pause_ms(10000); /* the fault is that long */
    kill(redis->pid, SIGCONT);
}

START_TEST(one_that_stands_still_costs_nothing)
{
    through_a_fault(stand_still);
}
END_TEST

static void forget_scripts(struct redis_process *redis)
{
    redis_process_ask(redis, "SCRIPT FLUSH", NULL, 0);
}

START_TEST(scripts_that_somebody_flushed_are_loaded_again)
{
    through_a_fault(forget_scripts);
}
END_TEST

START_TEST(who_cannot_follow_is_cut_off_by_redis_and_catches_up)
{
    struct redis_process *redis = redis_start(keeps_all);
    struct server *workers[2] = {worker_start(redis), worker_start(redis)};
    redis_process_ask(redis, "CONFIG SET client-output-buffer-limit \"pubsub 256kb 128kb 1\"", NULL,
                      0);
    struct reader *reader = reader_open(workers[1], "lobby");
    struct publisher *ann = publisher_enter(workers[0], "Ann", "lobby");
    kill(workers[1]->pid, SIGSTOP);
    char *text = text_repeat("x", 20000), clients[4096] = "sub=1";
    int64_t last = 0, deadline = deadline_in(30);
    while (last < 200) { /* more than the sockets between them take */
        last = publisher_say_ok(ann, text);
        ck_assert_int_lt(now_ms(), deadline);
    }
    redis_process_ask(redis, "INFO clients", clients, sizeof clients);
    kill(workers[1]->pid, SIGCONT);
    reader_wait_offset(reader, "lobby", last);
    account_expect_clean(reader_account(reader, "lobby"));
    ck_assert_uint_eq(reader_account(reader, "lobby")->first_frames, 1);
}
END_TEST

START_TEST(one_that_comes_back_empty_begins_a_new_epoch_and_readers_are_told)
{
    struct redis_process *redis = redis_start(keeps_nothing);
    struct server *worker = worker_start(redis), *other = worker_start(redis);
    struct reader *reader = reader_open(worker, "lobby"), *far = reader_open(other, "lobby");
    struct publisher *ann = publisher_enter(worker, "Ann", "lobby");
    for (int i = 0; i < 10; i++)
        publisher_say_ok(ann, textf("%d", i));
    reader_wait_offset(reader, "lobby", 10);
    reader_wait_offset(far, "lobby", 10);
    struct account *account = reader_account(reader, "lobby");
    char *epoch = strdup(account->epoch);
    redis_process_kill(redis);
    redis_process_start(redis, keeps_nothing);
    while (account->first_frames < 2) /* without anybody saying anything */
        ck_assert_ptr_nonnull(reader_next(reader));
    ck_assert_str_ne(account->epoch, epoch);
    ck_assert_uint_eq(account->recovered, 0);
    ck_assert_int_eq(publisher_say_until_ok(ann, "after"), 1);
    reader_wait_message(reader, "lobby", "after");
    struct account *elsewhere = reader_account(far, "lobby");
    while (elsewhere->first_frames < 2 || elsewhere->offset < 1)
        ck_assert_ptr_nonnull(reader_next(far));
    account_expect_clean(account);
    ck_assert_str_eq(elsewhere->epoch, account->epoch);
    wait_stats(server_start(.role = "dispatcher", .redis = redis, .yaml = yaml), "lobby", 2, 1, 1);
}
END_TEST

START_TEST(one_that_lost_its_tail_begins_a_new_epoch_too)
{
    struct redis_process *redis = redis_start(keeps_nothing);
    struct server *worker = worker_start(redis);
    struct reader *reader = reader_open(worker, "lobby");
    struct publisher *ann = publisher_enter(worker, "Ann", "lobby");
    for (int i = 1; i <= 5; i++)
        publisher_say_ok(ann, textf("%d", i));
    redis_process_ask(redis, "SAVE", NULL, 0);
    for (int i = 6; i <= 9; i++)
        publisher_say_ok(ann, textf("%d", i));
    reader_wait_offset(reader, "lobby", 9);
    struct account *account = reader_account(reader, "lobby");
    char *epoch = strdup(account->epoch);
    redis_process_kill(redis);
    redis_process_start(redis, keeps_nothing);
    while (account->first_frames < 2)
        ck_assert_ptr_nonnull(reader_next(reader));
    ck_assert_str_ne(account->epoch, epoch); /* offset 6 was told once, and will be again */
    ck_assert_int_eq(account->offset, 5);
    ck_assert_int_eq(publisher_say_until_ok(ann, "six"), 6);
    reader_wait_message(reader, "lobby", "six");
}
END_TEST

/* ---- what Redis is asked ---- */

START_TEST(nothing_is_asked_of_all_keys_and_heard_only_where_somebody_listens)
{
    struct redis_process *redis = redis_start(keeps_all);
    struct server *workers[2] = {worker_start(redis), worker_start(redis)};
    FILE *monitor =
        popen(textf("exec timeout 60 redis-cli -s %s MONITOR 2>&1", redis->socket), "r");
    char line[65536];
    ck_assert_ptr_nonnull(fgets(line, sizeof line, monitor)); /* OK */
    struct reader *reader = reader_open(workers[0], "listened");
    struct publisher *ann = publisher_enter(workers[1], "Ann", "listened");
    struct publisher *bob = publisher_enter(workers[1], "Bob", "unheard");
    publisher_say_ok(ann, "one");
    publisher_say_ok(bob, "two");
    reader_wait_message(reader, "listened", "one");
    publisher_close(ann);
    server_kill(workers[1]); /* also what is done about the dead */
    reader_wait_event(reader, "listened", "leave");
    redis_process_ask(redis, "ECHO over", NULL, 0);
    int subscribed = 0;
    do {
        ck_assert_ptr_nonnull(fgets(line, sizeof line, monitor));
        const char *command = strchr(line, '"');
        ck_assert_msg(!command || (strncasecmp(command, "\"keys\"", 6) != 0 &&
                                   strncasecmp(command, "\"psubscribe\"", 12) != 0 &&
                                   strncasecmp(command, "\"scan\"", 6) != 0),
                      "%s", line);
        subscribed += command && !strncasecmp(command, "\"subscribe\"", 11);
        ck_assert_msg(!command || strncasecmp(command, "\"subscribe\"", 11) != 0 ||
                          strstr(line, "room:listened"),
                      "%s", line);
    } while (!strcasestr(line, "\"echo\" \"over\""));
    ck_assert_int_eq(subscribed, 1); /* by the one loop that has the reader */
    pclose(monitor);
}
END_TEST

FLOW_MAIN("redis_away", while_redis_is_away_publishers_are_told_and_readers_stay,
          a_restart_of_one_that_keeps_all_costs_nothing,
          connections_cut_in_the_middle_of_a_pipeline_cost_nothing,
          subscriptions_that_break_leave_no_gap, one_that_stands_still_costs_nothing,
          scripts_that_somebody_flushed_are_loaded_again,
          who_cannot_follow_is_cut_off_by_redis_and_catches_up,
          one_that_comes_back_empty_begins_a_new_epoch_and_readers_are_told,
          one_that_lost_its_tail_begins_a_new_epoch_too,
          nothing_is_asked_of_all_keys_and_heard_only_where_somebody_listens)
