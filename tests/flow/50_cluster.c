/* 50_cluster: several processes on one Redis, and what the death of one of them costs: nothing that
 * was answered ok or seen. */
#include "flood.h"
#include "flow.h"
#include "token.h"

#include <inttypes.h>
#include <signal.h>

static const char yaml[] = "history:\n"
                           "  size: 100000\n"
                           "  bytes: 0\n"
                           "drain_time: 500ms\n"
                           "limits:\n"
                           "  queue_bytes: 256MiB\n"
                           "  dedupe_entries: 1000000\n";

struct cluster {
    struct redis_process *redis;
    struct server *dispatchers[2], *workers[3];
};

static struct server *worker_start(struct redis_process *redis)
{
    return server_start(.role = "worker", .redis = redis, .threads = 2, .yaml = yaml);
}

/* ---- where clients go ---- */

static char *host_of(const struct server *worker)
{
    return textf("http://127.0.0.1:%d", worker->port);
}

/* What /join says; NULL: no worker is there. */
static const char *placed(struct server *dispatcher, const char *body)
{
    struct http_answer *answer = http_post(dispatcher, "/join/lobby", body);
    if (answer->status == 418)
        return NULL;
    ck_assert_int_eq(answer->status, 200);
    return get_string(answer->json, "host");
}

/* Ask until the answer is one, or none, of these hosts. */
static void wait_placed(struct server *dispatcher, const char *host, bool is)
{
    int64_t deadline = deadline_in(20);
    for (;;) {
        int same = 0;
        for (int i = 0; i < 4; i++) {
            const char *got = placed(dispatcher, "");
            same += got && host ? !strcmp(got, host) : got == host;
        }
        if (is ? same == 4 : !same)
            return;
        ck_assert_msg(now_ms() < deadline, "/join still %s %s", is ? "never names" : "names",
                      host ? host : "nobody");
        pause_ms(50);
    }
}

static struct cluster cluster_start(void)
{
    struct cluster cluster = {.redis = redis_start(NULL)};
    for (size_t i = 0; i < COUNT_OF(cluster.dispatchers); i++)
        cluster.dispatchers[i] =
            server_start(.role = "dispatcher", .redis = cluster.redis, .yaml = yaml);
    for (size_t i = 0; i < COUNT_OF(cluster.workers); i++)
        cluster.workers[i] = worker_start(cluster.redis);
    for (size_t i = 0; i < COUNT_OF(cluster.dispatchers); i++)
        wait_placed(cluster.dispatchers[i], NULL, false);
    return cluster;
}

START_TEST(clients_are_spread_over_the_workers_that_live)
{
    struct cluster cluster = cluster_start();
    struct server *dispatcher = cluster.dispatchers[1];
    char *hosts[3];
    int counts[3] = {0};
    for (size_t i = 0; i < 3; i++)
        hosts[i] = host_of(cluster.workers[i]);
    int64_t deadline = deadline_in(20);
    for (bool all = false; !all; pause_ms(20)) { /* until it knows all of them */
        memset(counts, 0, sizeof counts);
        for (int k = 0; k < 30; k++) {
            const char *host = placed(dispatcher, "");
            for (size_t i = 0; host && i < 3; i++)
                counts[i] += !strcmp(host, hosts[i]);
        }
        all = counts[0] && counts[1] && counts[2];
        ck_assert_int_lt(now_ms(), deadline);
    }
    /* One that failed a client is not named to it again. */
    json_t *answer = http_post(dispatcher, "/join/lobby", "")->json;
    const char *failed = get_string(answer, "host");
    char *body = textf("{\"type\":\"workerSubConnect\",\"worker\":{\"id\":\"%s\"}}",
                       get_string(answer, "id"));
    for (int i = 0; i < 20; i++)
        ck_assert_str_ne(placed(dispatcher, body), failed);
    /* One with many connections gets no more of them. */
    for (int i = 0; i < 20; i++)
        reader_open(cluster.workers[0], "lobby");
    wait_placed(dispatcher, hosts[0], false);
    /* The dead are out; with the last of them, 418. */
    server_kill(cluster.workers[1]);
    wait_placed(dispatcher, hosts[2], true);
    server_kill(cluster.workers[2]);
    wait_placed(dispatcher, hosts[0], true);
    server_kill(cluster.workers[0]);
    wait_placed(dispatcher, NULL, true);
    struct http_answer *none = http_post(dispatcher, "/join/lobby", "");
    ck_assert_int_eq(none->status, 418);
    assert_json(none->json, "{\"error\":\"No workers available\"}");
}
END_TEST

START_TEST(what_join_says_is_where_a_worker_goes_on_also_in_a_new_room)
{
    struct cluster cluster = cluster_start();
    static const char *const first[] = {"", "one"};
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        char *room = textf("room-%zu", i), *since;
        if (*first[i])
            publisher_say_ok(publisher_enter(cluster.workers[0], "Ann", room), first[i]);
        json_t *joined = http_post(cluster.dispatchers[0], textf("/join/%s", room), "")->json;
        since = position_of(get_string(joined, "epoch"), get_int(joined, "offset"));
        struct reader *reader = reader_open_query(
            cluster.workers[1], json_pack("[{s:s,s:s}]", "channel", room, "since", since));
        ck_assert_uint_eq(reader_account(reader, room)->recovered, 1);
        ck_assert_str_eq(reader_account(reader, room)->epoch, get_string(joined, "epoch"));
        publisher_say_ok(publisher_enter(cluster.workers[2], "Bob", room), "two");
        reader_wait_message(reader, room, "two");
    }
    /* An epoch that nobody knows is the beginning. */
    struct reader *reader = reader_open_query(
        cluster.workers[1], json_pack("[{s:s,s:s}]", "channel", "room-1", "since", ":0"));
    ck_assert_uint_eq(reader_account(reader, "room-1")->recovered, 0);
}
END_TEST

START_TEST(each_role_has_what_is_its_own)
{
    struct cluster cluster = cluster_start();
    struct server *dispatcher = cluster.dispatchers[0], *worker = cluster.workers[0];
    struct http_answer *refused;
    ck_assert_ptr_null(websocket_open(dispatcher, "/ws/lobby", 0, &refused));
    ck_assert_int_eq(refused->status, 404);
    assert_contains(refused->body, "/join/");
    ck_assert_int_eq(http_get(dispatcher, "/ev/lobby")->status, 404);
    ck_assert_int_eq(http_get(worker, "/stats/lobby")->status, 404);
    ck_assert_int_eq(http_post(worker, "/join/lobby", "")->status, 404);
    ck_assert_int_eq(http_get(worker, "/health/ready")->status, 200);
    ck_assert_int_eq(http_get(dispatcher, "/health/ready")->status, 200);
}
END_TEST

/* ---- one order everywhere ---- */

/* The same messages, and nothing wrong with them. */
static void accounts_agree(struct reader *const *readers, size_t count)
{
    const struct account *first = reader_account(readers[0], "lobby");
    for (size_t i = 0; i < count; i++) {
        const struct account *account = reader_account(readers[i], "lobby");
        account_expect_clean(account);
        ck_assert_uint_eq(json_array_size(account->messages), json_array_size(first->messages));
        for (size_t k = 0; k < json_array_size(first->messages); k++)
            ck_assert_str_eq(get_string(json_array_get(account->messages, k), "i"),
                             get_string(json_array_get(first->messages, k), "i"));
    }
}

static int64_t last_offset(struct server *dispatcher)
{
    return get_int(http_post(dispatcher, "/join/lobby", "")->json, "offset");
}

/* No text twice, and so many. */
static void texts_are_unique(const struct account *account, int count)
{
    json_t *seen = json_object();
    size_t i;
    json_t *message;
    json_array_foreach(account->messages, i, message)
    {
        const char *text = get_string(message, "msg");
        ck_assert_msg(!json_object_get(seen, text), "%s is there twice", text);
        json_object_set_new(seen, text, json_true());
    }
    ck_assert_int_eq((int)json_object_size(seen), count);
    json_decref(seen);
}

START_TEST(what_two_workers_take_three_deliver_in_one_order)
{
    struct cluster cluster = cluster_start();
    struct reader *readers[3];
    struct flood *floods[2];
    for (size_t i = 0; i < 3; i++)
        readers[i] = reader_open(cluster.workers[i], "lobby");
    for (size_t i = 0; i < 2; i++)
        floods[i] = flood_start(cluster.workers[i], "lobby", i ? "b" : "a", false);
    for (size_t i = 0; i < 2; i++)
        flood_wait(floods[i], 1000);
    for (size_t i = 0; i < 2; i++)
        flood_stop(floods[i]);
    int64_t last = floods[0]->sent + floods[1]->sent;
    for (size_t i = 0; i < 3; i++)
        reader_wait_offset(readers[i], "lobby", last);
    accounts_agree(readers, 3);
    flood_expect_there(floods[0], reader_account(readers[2], "lobby"));
    flood_expect_there(floods[1], reader_account(readers[2], "lobby"));
    ck_assert_int_eq(last_offset(cluster.dispatchers[0]), last);
}
END_TEST

/* ---- the death of a worker, of a dispatcher ---- */

START_TEST(a_killed_worker_costs_nobody_a_message)
{
    struct cluster cluster = cluster_start();
    struct reader *stays = reader_open(cluster.workers[1], "lobby");
    struct reader *moves = reader_open(cluster.workers[0], "lobby");
    struct flood *flood = flood_start(cluster.workers[0], "lobby", "a", false);
    flood_wait(flood, 500);
    server_kill(cluster.workers[0]);
    flood_stop(flood);
    while (reader_next(moves))
        ;
    moves->server = cluster.workers[2];
    reader_resume(moves);
    ck_assert_uint_eq(reader_account(moves, "lobby")->recovered, 1);
    flood_repeat(flood, cluster.workers[1]);
    struct reader *readers[2] = {stays, moves};
    for (size_t i = 0; i < 2; i++)
        reader_wait_offset(readers[i], "lobby", flood->sent);
    accounts_agree(readers, 2);
    flood_expect_there(flood, reader_account(stays, "lobby"));
    texts_are_unique(reader_account(stays, "lobby"), flood->sent);
}
END_TEST

START_TEST(who_was_on_a_killed_worker_leaves)
{
    struct cluster cluster = cluster_start();
    struct reader *reader = reader_open(cluster.workers[1], "lobby");
    publisher_enter(cluster.workers[0], "Ann", "lobby");
    publisher_enter(cluster.workers[1], "Bob", "lobby");
    reader_open(cluster.workers[0], "lobby");
    wait_stats(cluster.dispatchers[0], "lobby", 2, 2, 2);
    server_kill(cluster.workers[0]);
    json_t *left = reader_wait_event(reader, "lobby", "leave");
    ck_assert_str_eq(get_string(json_object_get(left, "user"), "name"), "Ann");
    wait_stats(cluster.dispatchers[1], "lobby", 1, 1, 1);
}
END_TEST

START_TEST(a_user_in_two_places_counts_once)
{
    struct cluster cluster = cluster_start();
    publisher_enter(cluster.workers[0], "Ann", "lobby");
    publisher_enter(cluster.workers[1], "Ann", "lobby");
    wait_stats(cluster.dispatchers[0], "lobby", 0, 2, 1);
}
END_TEST

static char *post_of(const char *text)
{
    return token_for("[{\"channel\":\"lobby\",\"msg\":\"%s\"}]", text);
}

START_TEST(a_killed_dispatcher_costs_nothing_that_is_posted_again_elsewhere)
{
    enum { POSTS = 40 };
    struct cluster cluster = cluster_start();
    struct reader *reader = reader_open(cluster.workers[0], "lobby");
    for (int i = 0; i < POSTS; i++) {
        struct server *first = cluster.dispatchers[0], *second = cluster.dispatchers[1];
        char *key = textf("Idempotency-Key: post-%d\r\n", i), *token = post_of(textf("p-%d", i));
        if (i == POSTS / 2) { /* it takes one more, and nobody sees the answer */
            struct stream *stream = stream_open(first->port, 0);
            char *text = http_text(first, "POST", "/post", key, token);
            stream_send(stream, text, strlen(text));
            server_kill(first);
            stream_cut(stream);
        }
        struct http_answer *answer =
            http_call(i < POSTS / 2 ? first : second, "POST", "/post", key, token);
        ck_assert_int_eq(answer->status, 200);
        if (i < POSTS / 2) /* whoever repeats it, wherever */
            ck_assert_int_eq(http_call(second, "POST", "/post", key, token)->status, 200);
    }
    reader_wait_offset(reader, "lobby", POSTS);
    account_expect_clean(reader_account(reader, "lobby"));
    texts_are_unique(reader_account(reader, "lobby"), POSTS);
}
END_TEST

START_TEST(a_ban_holds_on_every_worker_and_after_their_restart)
{
    struct cluster cluster = cluster_start();
    struct publisher *ann[3];
    for (size_t i = 0; i < 3; i++)
        ann[i] = publisher_enter(cluster.workers[i], "Ann", "lobby");
    struct reader *reader = reader_open(cluster.workers[2], "lobby");
    publisher_say_ok(ann[0], "bad");
    char *token = token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\"}]");
    ck_assert_int_eq(http_post(cluster.dispatchers[0], "/ban", token)->status, 200);
    for (size_t i = 0; i < 3; i++) /* refused where it is numbered, however little a loop knows */
        assert_error(publisher_say(ann[i], "worse", NULL), "banned");
    reader_wait_event(reader, "lobby", "rmUserMsg");
    server_stop(cluster.workers[1]);
    server_restart(cluster.workers[1]);
    struct publisher *again = publisher_open(cluster.workers[1], token_user("Ann", NULL));
    json_t *joined = publisher_ask(again, "join", json_pack("{s:s}", "room", "lobby"));
    ck_assert_str_eq(get_string(joined, "comment"), "banned");
}
END_TEST

static char *blacklist_of(const char *verb, const char *word)
{
    return token_for("{\"%s\":[\"%s\"]}", verb, word);
}

START_TEST(a_word_that_is_forbidden_is_so_on_every_worker)
{
    struct redis_process *redis = redis_start(NULL);
    char *with_plugin = textf("%splugins:\n  - name: blacklist\n", yaml);
    struct server *dispatcher =
        server_start(.role = "dispatcher", .redis = redis, .yaml = with_plugin);
    struct publisher *ann[2];
    for (size_t i = 0; i < 2; i++)
        ann[i] = publisher_enter(
            server_start(.role = "worker", .redis = redis, .threads = 2, .yaml = with_plugin),
            "Ann", "lobby");
    ck_assert_int_eq(
        http_post(dispatcher, "/plugin/blacklist", blacklist_of("blacklistAdd", "apple"))->status,
        200);
    for (size_t i = 0; i < 2; i++) {
        int64_t deadline = deadline_in(10);
        for (json_t *reply = NULL; !reply || json_object_get(reply, "offset");) {
            reply = publisher_say(ann[i], "an apple", NULL);
            ck_assert_int_lt(now_ms(), deadline);
        }
        assert_error(publisher_say(ann[i], "an apple", NULL), "blacklistedWord");
        publisher_say_ok(ann[i], "a pear");
    }
}
END_TEST

/* ---- draining ---- */

START_TEST(a_drained_worker_sends_its_clients_away_and_answers_what_they_said)
{
    struct cluster cluster = cluster_start();
    struct server *worker = cluster.workers[0];
    struct reader *reader = reader_open(worker, "lobby");
    struct flood *flood = flood_start(worker, "lobby", "a", false);
    flood_wait(flood, 100);
    assert_json(server_ask(worker, "drain\n"), "{\"ok\":true}");
    int64_t deadline = deadline_in(10);
    struct http_answer *ready;
    do { /* it says so before anything else */
        ready = server_is_alive(worker) ? http_get(cluster.workers[1], "/health/ready") : NULL;
        ck_assert_int_lt(now_ms(), deadline);
    } while (ready && ready->status != 200);
    flood_stop(flood);
    ck_assert_int_eq(flood->answered, flood->sent); /* none was left open */
    while (reader_next(reader))
        ;
    ck_assert_int_eq(reader->ws->close_code, 1001);
    assert_contains(reader->ws->close_reason, "reconnect in");
    wait_placed(cluster.dispatchers[0], host_of(worker), false);
}
END_TEST

static void reader_follow(struct reader *reader, struct server *to, int64_t offset)
{
    struct account *account = reader_account(reader, "lobby");
    while (account->offset < offset) {
        if (reader_next(reader))
            continue;
        reader->server = to; /* its worker went */
        reader_resume(reader);
    }
}

START_TEST(a_rolling_restart_under_load_loses_and_repeats_nothing)
{
    struct cluster cluster = cluster_start();
    struct server *steady = cluster.workers[2];
    struct flood *flood = flood_start(steady, "lobby", "a", false);
    flood->slow = true;
    struct reader *readers[4];
    for (size_t i = 0; i < 4; i++)
        readers[i] = reader_open(cluster.workers[i % 2], "lobby");
    for (size_t i = 0; i < 2; i++) {
        server_stop(cluster.workers[i]);
        flood_wait(flood, flood->answered + 100);
        server_restart(cluster.workers[i]);
        for (size_t k = 0; k < 4; k++)
            if (readers[k]->server == cluster.workers[i])
                reader_follow(readers[k], cluster.workers[1 - i], flood->answered);
    }
    flood_stop(flood);
    for (size_t k = 0; k < 4; k++)
        reader_follow(readers[k], steady, flood->sent);
    accounts_agree(readers, 4);
    for (size_t k = 0; k < 4; k++)
        ck_assert_uint_eq(reader_account(readers[k], "lobby")->recovered,
                          reader_account(readers[k], "lobby")->first_frames - 1);
    flood_expect_there(flood, reader_account(readers[0], "lobby"));
}
END_TEST

START_TEST(readers_that_flap_between_workers_miss_nothing)
{
    enum { READERS = 6 };
    size_t rounds = flow_slow() > 1 ? 8 : 40;
    struct cluster cluster = cluster_start();
    struct reader *readers[READERS];
    struct flood *floods[2];
    for (size_t i = 0; i < READERS; i++)
        readers[i] = reader_open(cluster.workers[i % 3], "lobby");
    for (size_t i = 0; i < 2; i++) {
        floods[i] = flood_start(cluster.workers[i], "lobby", i ? "b" : "a", false);
        floods[i]->slow = true;
    }
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < READERS;
             i++) { /* some after a message, some after many, some none */
            for (size_t k = 0; k < (round + i) % 4; k++)
                ck_assert_ptr_nonnull(reader_next(readers[i]));
            readers[i]->server = cluster.workers[(round + i) % 3];
            reader_resume(readers[i]);
        }
    for (size_t i = 0; i < 2; i++)
        flood_stop(floods[i]);
    int64_t last = floods[0]->sent + floods[1]->sent;
    for (size_t i = 0; i < READERS; i++) {
        const struct account *account = reader_account(readers[i], "lobby");
        reader_wait_offset(readers[i], "lobby", last);
        ck_assert_uint_eq(account->recovered, account->first_frames - 1);
    }
    accounts_agree(readers, READERS);
    flood_expect_there(floods[0], reader_account(readers[0], "lobby"));
    flood_expect_there(floods[1], reader_account(readers[READERS - 1], "lobby"));
}
END_TEST

FLOW_MAIN("cluster", readers_that_flap_between_workers_miss_nothing,
          clients_are_spread_over_the_workers_that_live,
          what_join_says_is_where_a_worker_goes_on_also_in_a_new_room,
          each_role_has_what_is_its_own, what_two_workers_take_three_deliver_in_one_order,
          a_killed_worker_costs_nobody_a_message, who_was_on_a_killed_worker_leaves,
          a_user_in_two_places_counts_once,
          a_killed_dispatcher_costs_nothing_that_is_posted_again_elsewhere,
          a_ban_holds_on_every_worker_and_after_their_restart,
          a_word_that_is_forbidden_is_so_on_every_worker,
          a_drained_worker_sends_its_clients_away_and_answers_what_they_said,
          a_rolling_restart_under_load_loses_and_repeats_nothing)
