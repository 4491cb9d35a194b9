/* 24_presence: who is there, when many come at once, and when they go without a word. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(one_user_on_many_connections_is_one_user)
{
    enum { EACH = 3 };
    struct server *server = server_start(.threads = 2);
    struct publisher *ann[EACH], *bob[EACH];
    for (int i = 0; i < EACH; i++) { /* the kernel spreads them over the loops */
        ann[i] = publisher_open(server, token_user(textf("Ann %d", i), "u-17"));
        bob[i] = publisher_open(server, token_user("Ann", textf("u-%d", i)));
        publisher_join(ann[i], "lobby");
        publisher_join(bob[i], "lobby");
    }
    wait_stats(server, "lobby", 0, 2 * EACH, 1 + EACH);
    publisher_cut(ann[0]);
    publisher_cut(bob[0]);
    wait_stats(server, "lobby", 0, 2 * EACH - 2, EACH);
    publisher_close(ann[1]);
    wait_stats(server, "lobby", 0, 2 * EACH - 3, EACH);
    stream_reset(ann[2]->ws->stream);
    wait_stats(server, "lobby", 0, 2 * EACH - 4, EACH - 1);
}
END_TEST

/* In a process of its own, which is killed. */
static pid_t clients_start(struct server *server, int count)
{
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        for (int i = 0; i < count; i++) {
            reader_open(server, "lobby");
            publisher_enter(server, textf("user %d", i / 2), "lobby");
        }
        if (write(ready[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

START_TEST(stats_are_right_after_clients_crash)
{
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open(server, "lobby");
    publisher_enter(server, "Ann", "lobby");
    pid_t pid = clients_start(server, 10);
    wait_stats(server, "lobby", 11, 11, 6);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    wait_stats(server, "lobby", 1, 1, 1);
    for (int i = 0; i < 10; i++)
        reader_wait_event(reader, "lobby", "leave");
    json_t *clients = get_array(http_get(server, "/stats/lobby")->json, "clients");
    assert_json(clients, "[{\"name\":\"Ann\"}]");
}
END_TEST

static size_t events_of(const struct account *account, const char *ev)
{
    size_t count = 0, i;
    const json_t *event;
    json_array_foreach(account->events, i, event) count += !strcmp(get_string(event, "ev"), ev);
    return count;
}

START_TEST(a_storm_of_joins_costs_few_events)
{
    enum { STORM = 200, FEW = 10 };
    struct server *server =
        server_start(.threads = 2,
                     .yaml = textf("rooms:\n  presence_events: %d\n  presence_gap: 50ms\n", FEW));
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    struct publisher *publishers[STORM];
    for (int i = 0; i < STORM; i++) {
        publishers[i] = publisher_open(server, token_user("x", textf("u-%d", i / 2)));
        publisher_join(publishers[i], "lobby");
    }
    json_t *last;
    do
        last = reader_wait_event(reader, "lobby", "presence");
    while (get_int(json_object_get(last, "data"), "pubCount") < STORM);
    ck_assert_int_eq(get_int(json_object_get(last, "data"), "users"), STORM / 2);
    ck_assert(!json_object_get(last, "o"));
    ck_assert_uint_eq(events_of(account, "join"), FEW);
    for (int i = 1; i < STORM; i++)
        publisher_cut(publishers[i]);
    reader_wait_event(reader, "lobby", "leave"); /* few again: each is told */
    wait_stats(server, "lobby", 1, 1, 1);
    publisher_say_ok(publishers[0], "quiet now");
    reader_wait_message(reader, "lobby", "quiet now");
    ck_assert_uint_eq(events_of(account, "join"), FEW);
    ck_assert_uint_le(events_of(account, "leave"), FEW);
    account_expect_clean(account);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"quiet now\"]");
}
END_TEST

FLOW_MAIN("presence", one_user_on_many_connections_is_one_user, stats_are_right_after_clients_crash,
          a_storm_of_joins_costs_few_events)
