/* 52_redis_many: rooms over several Redis servers, and servers that Sentinels follow. */
#include "flood.h"
#include "flow.h"
#include "token.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct server *server_on(const char *role, const char *redis)
{
    return server_start(.role = role, .threads = 2,
                        .yaml = textf("drain_time: 0s\nhistory:\n  size: 100000\n  bytes: 0\n"
                                      "limits:\n  queue_bytes: 256MiB\n  dedupe_entries: 1000000\n"
                                      "redis:\n%s",
                                      redis));
}

static int keys_in(struct redis_process *redis, const char *name)
{
    char reply[64];
    redis_process_ask(redis, textf("EXISTS chatup:room:history:%s", name), reply, sizeof reply);
    return reply[1] - '0';
}

START_TEST(rooms_are_spread_over_the_servers_and_each_is_on_one)
{
    enum { ROOMS = 60 };
    struct redis_process *redis[3];
    for (size_t i = 0; i < 3; i++)
        redis[i] = redis_start(NULL);
    char *where =
        textf("  servers: \"%s, %s, %s\"\n", redis[0]->socket, redis[1]->socket, redis[2]->socket);
    struct server *workers[2] = {server_on("worker", where), server_on("worker", where)};
    struct server *dispatcher = server_on("dispatcher", where);
    int counts[3] = {0};
    for (int r = 0; r < ROOMS; r++) {
        char *name = textf("room-%d", r);
        struct reader *reader = reader_open(workers[0], name);
        struct publisher *ann = publisher_enter(workers[1], "Ann", name);
        ck_assert_int_eq(publisher_say_ok(ann, "one"), 1);
        reader_wait_message(reader, name, "one");
        wait_stats(dispatcher, name, 1, 1, 1);
        int found = 0;
        for (size_t i = 0; i < 3; i++) {
            counts[i] += keys_in(redis[i], name);
            found += keys_in(redis[i], name);
        }
        ck_assert_int_eq(found, 1);
        publisher_close(ann);
        reader_close(reader);
    }
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(counts[i] >= ROOMS / 10, "server %zu has %d rooms of %d", i, counts[i],
                      ROOMS);
    /* A ban holds in rooms of every server, and what they said is gone from all. */
    struct http_answer *banned =
        http_post(dispatcher, "/ban", token_for("[{\"name\":\"Ann\",\"everywhere\":true}]"));
    ck_assert_msg(banned->status == 200, "%d: %s", banned->status, banned->body);
    for (int r = 0; r < ROOMS; r += 7) {
        struct publisher *ann = publisher_open(workers[0], token_user("Ann", NULL));
        json_t *joined =
            publisher_ask(ann, "join", json_pack("{s:s}", "room", textf("room-%d", r)));
        ck_assert_str_eq(get_string(joined, "comment"), "banned");
        publisher_close(ann);
        json_t *history = http_get(dispatcher, textf("/messages/room-%d", r))->json;
        ck_assert_uint_eq(json_array_size(history), 1);
        ck_assert_str_eq(get_string(json_array_get(history, 0), "ev"), "rmUserMsg");
    }
    /* One that dies takes its own rooms with it for a while, and no others. */
    redis_process_kill(redis[2]);
    struct publisher *bob = publisher_open(workers[0], token_user("Bob", NULL));
    int taken = 0, refused = 0;
    for (int r = 0; r < ROOMS; r++) {
        char *token = token_for("[{\"channel\":\"room-%d\",\"msg\":\"two\"}]", r);
        int status = http_post(dispatcher, "/post", token)->status;
        taken += status == 200;
        refused += status == 503;
    }
    ck_assert_int_eq(refused, counts[2]);
    ck_assert_int_eq(taken, ROOMS - counts[2]);
    publisher_close(bob);
}
END_TEST

/* ---- Sentinels ---- */

static pid_t sentinel_run(int port, int master_port, size_t number)
{
    char *path = textf("%s/sentinel-%zu.conf", flow_dir(), number);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s/sentinel-%zu.log\n"
            "sentinel monitor chat 127.0.0.1 %d 2\nsentinel down-after-milliseconds chat 1500\n"
            "sentinel failover-timeout chat 5000\n",
            port, flow_dir(), flow_dir(), number, master_port);
    fclose(file);
    return redis_process_exec((const char *const[]){"redis-server", path, "--sentinel", NULL});
}

static void wait_role(struct redis_process *redis, const char *role)
{
    int64_t deadline = deadline_in(60);
    char info[4096];
    do {
        pause_ms(50);
        redis_process_ask(redis, "INFO replication", info, sizeof info);
        ck_assert_msg(now_ms() < deadline, "never %s: %s", role, info);
    } while (!strstr(info, role));
}

START_TEST(a_failover_is_followed_and_readers_are_told_if_something_may_be_lost)
{
    struct redis_process redis[2];
    pid_t sentinels[3];
    char *where = textf("  masters: chat\n  sentinels: \"");
    for (size_t i = 0; i < 2; i++)
        redis_process_create(&redis[i], true);
    redis_process_start(&redis[0], NULL);
    redis_process_start(&redis[1], (const char *const[]){
                                       "--replicaof", textf("127.0.0.1 %d", redis[0].port), NULL});
    wait_role(&redis[1], "master_link_status:up");
    for (size_t i = 0; i < 3; i++) {
        int port = redis_free_port();
        sentinels[i] = sentinel_run(port, redis[0].port, i);
        where = textf("%s%s127.0.0.1:%d", where, i ? ", " : "", port);
    }
    where = textf("%s\"\n", where);
    struct server *worker = server_on("worker", where);
    struct reader *reader = reader_open(worker, "lobby");
    struct publisher *ann = publisher_open(worker, token_user("Ann", NULL));
    publisher_join(ann, "lobby");
    for (int i = 0; i < 20; i++)
        publisher_say_until_ok(ann, textf("%d", i));
    reader_wait_offset(reader, "lobby", 20);
    struct account *account = reader_account(reader, "lobby");
    char *epoch = strdup(account->epoch);
    wait_role(&redis[0], "connected_slaves:1");
    redis_process_kill(&redis[0]);
    wait_role(&redis[1], "role:master");
    while (account->first_frames < 2)
        ck_assert_ptr_nonnull(reader_next(reader));
    ck_assert_str_ne(account->epoch, epoch);
    ck_assert_uint_eq(json_array_size(account->messages), (size_t)account->offset);
    int64_t last = publisher_say_until_ok(ann, "after");
    reader_wait_offset(reader, "lobby", last);
    account_expect_clean(account);
    for (size_t i = 0; i < 3; i++)
        redis_process_end(sentinels[i]);
    for (size_t i = 0; i < 2; i++)
        redis_process_destroy(&redis[i]);
}
END_TEST

FLOW_MAIN("redis_many", rooms_are_spread_over_the_servers_and_each_is_on_one,
          a_failover_is_followed_and_readers_are_told_if_something_may_be_lost)
