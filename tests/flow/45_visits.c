/* 45_visits: the stages auth, join and leave. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

static struct server *server_with(const char *options)
{
    return server_start(.threads = 2,
                        .yaml = textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/"
                                      "probe.so', config: {%s}}\n",
                                      getenv("CHATUP_PLUGINS"), options));
}

START_TEST(who_is_turned_away_is_turned_away_on_every_way_in)
{
    struct server *server = server_with("mode: visits");
    char *token = token_user("bad", "u-bad");
    struct publisher *bad = publisher_connect(server);
    assert_json(publisher_ask(bad, "auth", json_string(token)),
                "{\"status\":\"error\",\"err\":\"notYou\"}");
    assert_error(publisher_ask(bad, "join", json_pack("{s:s}", "room", "lobby")),
                 "You need to be authenticated to join a room");
    char *header = textf("authorization: Bearer %s\r\n", token);
    struct http_answer *answer =
        http_call(server, "POST", "/pub", header, "{\"room\":\"lobby\",\"msg\":\"x\"}");
    ck_assert_int_eq(answer->status, 403);
    assert_json(answer->json, "{\"status\":\"error\",\"err\":\"notYou\"}");
    ck_assert_int_eq(http_call(server, "GET", "/messages/lobby", header, NULL)->status, 403);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "fine");
}
END_TEST

START_TEST(the_public_user_is_what_a_plugin_makes_of_it)
{
    struct server *server = server_with("mode: visits");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "rename", "lobby");
    publisher_say_ok(ann, "hello");
    const json_t *message = reader_wait_message(reader, "lobby", "hello");
    assert_json(json_object_get(message, "user"), "{\"name\":\"renamed\"}");
    ck_assert_int_eq(
        http_post(server, "/ban", token_for("[{\"name\":\"renamed\",\"channel\":\"lobby\"}]"))
            ->status,
        200);
    assert_error(publisher_say(ann, "again", NULL), "banned");
}
END_TEST

START_TEST(joins_are_refused_or_silent_and_every_visitor_leaves)
{
    struct server *server = server_with("mode: visits");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_open(server, token_user("Ann", "u-ann"));
    assert_json(publisher_ask(ann, "join", json_pack("{s:s}", "room", "closed")),
                "{\"status\":\"error\",\"err\":\"rejected\",\"by\":\"probe\"}");
    publisher_join(ann, "lobby");
    reader_wait_event(reader, "lobby", "join");
    struct publisher *ghost = publisher_enter(server, "ghost", "lobby");
    publisher_say_ok(ghost, "boo");
    reader_wait_message(reader, "lobby", "boo");
    ck_assert_uint_eq(json_array_size(reader_account(reader, "lobby")->events), 1);
    publisher_close(ghost);
    publisher_cut(ann);
    reader_wait_event(reader, "lobby", "leave");
    for (int64_t deadline = deadline_in(20); !strstr(file_read(server->log), "ghost left lobby") ||
                                             !strstr(file_read(server->log), "u-ann left lobby");) {
        ck_assert(now_ms() < deadline);
        pause_ms(10);
    }
}
END_TEST

FLOW_MAIN("visits", who_is_turned_away_is_turned_away_on_every_way_in,
          the_public_user_is_what_a_plugin_makes_of_it,
          joins_are_refused_or_silent_and_every_visitor_leaves)
