/* 46_stages: what plugins may do before anybody is known, and what they may know of them. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <time.h>

static struct server *server_with(const char *options)
{
    return server_start(.threads = 2,
                        .yaml = textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/"
                                      "probe.so', config: {%s}}\n",
                                      getenv("CHATUP_PLUGINS"), options));
}

/* Until the server's log has it so often. */
static void wait_log(const struct server *server, const char *what, int times)
{
    for (int64_t deadline = deadline_in(20);; pause_ms(5)) {
        int found = 0;
        for (const char *at = file_read(server->log); (at = strstr(at, what)); at++)
            found++;
        if (found >= times)
            return;
        ck_assert_msg(now_ms() < deadline, "%s: %d of %d", what, found, times);
    }
}

static json_t *room(const char *name)
{
    return json_pack("{s:s}", "room", name);
}

static json_t *reply_of(struct publisher *publisher)
{
    return json_object_get(publisher_receive(publisher), "reply");
}

/* Everything that waits is resumed. */
static void go(struct server *server)
{
    assert_json(publisher_say(publisher_enter(server, "Go", "lobby"), "go", NULL),
                "{\"status\":\"ok\"}");
}

/* ---- auth and join, answered later ---- */

START_TEST(what_comes_behind_an_auth_or_a_join_waits_for_it)
{
    struct server *server = server_with("mode: later");
    struct reader *reader = reader_open(server, "later");
    struct publisher *ann = publisher_connect(server);
    publisher_send(ann, "auth", json_string(token_user("later", "u-1")));
    publisher_send(ann, "join", room("later"));
    publisher_send_say(ann, "one", NULL);
    publisher_send_say(ann, "two", NULL);
    wait_log(server, "asked", 1);
    go(server); /* the auth; the join waits in turn */
    ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    wait_log(server, "asked", 2);
    publisher_send_say(ann, "three", NULL);
    go(server);
    ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(get_int(reply_of(ann), "offset"), i + 1);
    reader_wait_message(reader, "later", "three");
    assert_json(texts_of(reader_account(reader, "later")->messages), "[\"one\",\"two\",\"three\"]");
    publisher_close(ann);
    wait_log(server, "u-1 left later", 1);
}
END_TEST

START_TEST(a_verdict_that_comes_later_is_as_good_as_one_at_once)
{
    struct server *server = server_with("mode: later");
    struct reader *reader = reader_open(server, "later-ghost");
    struct publisher *bad = publisher_connect(server);
    publisher_send(bad, "auth", json_string(token_user("later-bad", "u-1")));
    publisher_send(bad, "auth", json_string(token_user("Bad", "u-1")));
    wait_log(server, "asked", 1);
    go(server);
    assert_error(reply_of(bad), "notNow");
    ck_assert_str_eq(json_string_value(reply_of(bad)), "ok");
    publisher_send(bad, "join", room("later-bad"));
    wait_log(server, "asked", 2);
    go(server);
    assert_error(reply_of(bad), "notNow");
    publisher_send(bad, "join", room("later-ghost"));
    wait_log(server, "asked", 3);
    go(server);
    ck_assert_str_eq(json_string_value(reply_of(bad)), "ok");
    publisher_say_ok(bad, "boo");
    reader_wait_message(reader, "later-ghost", "boo");
    ck_assert_uint_eq(json_array_size(reader_account(reader, "later-ghost")->events), 0);
    struct publisher *wrong = publisher_open(server, token_user("Ann", "u-2"));
    publisher_send(wrong, "join", room("later-wrong")); /* resumed with CHATUP_DEFER */
    wait_log(server, "asked", 4);
    go(server);
    assert_error(reply_of(wrong), "pluginUnavailable");
}
END_TEST

START_TEST(without_an_answer_in_time_on_error_decides_about_who_comes)
{
    struct server *closed = server_with("mode: later, wait: 50ms");
    struct publisher *ann = publisher_connect(closed);
    assert_error(publisher_ask(ann, "auth", json_string(token_user("later-never", "u-1"))),
                 "pluginUnavailable");
    ck_assert_str_eq(
        json_string_value(publisher_ask(ann, "auth", json_string(token_user("Ann", "u-1")))), "ok");
    assert_error(publisher_ask(ann, "join", room("later-never")), "pluginUnavailable");
    wait_log(closed, "cancelled, why 2", 2);
    struct http_answer *answer =
        http_call(closed, "GET", "/messages/lobby",
                  textf("authorization: Bearer %s\r\n", token_user("later-never", "u-1")), NULL);
    ck_assert_int_eq(answer->status, 503);
    assert_error(answer->json, "pluginUnavailable");
    struct server *open = server_start(
            .yaml =
                textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/probe.so', on_error: "
                      "open, config: {mode: later, wait: 50ms}}\n",
                      getenv("CHATUP_PLUGINS")));
    ck_assert_int_eq(publisher_say_ok(publisher_enter(open, "later-never", "later-never"), "x"), 1);
}
END_TEST

START_TEST(every_way_in_with_a_token_waits_for_a_plugin)
{
    struct server *server = server_with("mode: later");
    char *token = token_user("later", "u-1");
    char *header = textf("authorization: Bearer %s\r\n", token);
    static const char *const targets[][3] = {
        {"GET", "/messages/lobby", NULL},
        {"GET", "/stats/lobby", NULL},
        {"POST", "/join/lobby", "{}"},
        {"POST", "/pub", "{\"room\":\"lobby\",\"msg\":\"x\"}"}};
    struct stream *streams[COUNT_OF(targets)];
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        const char *request =
            http_text(server, targets[i][0], targets[i][1], header, targets[i][2]);
        streams[i] = stream_open(server->port, 0);
        stream_send(streams[i], request, strlen(request));
    }
    struct stream *events = stream_open(server->port, 0);
    const char *request = http_text(server, "GET", "/ev/lobby", header, NULL);
    stream_send(events, request, strlen(request));
    struct websocket *late = websocket_open(server, "/ws", 0, NULL); /* in its first frame */
    websocket_send(late, textf("{\"token\":\"%s\",\"channels\":[\"lobby\"]}", token));
    websocket_send(late, "{\"token\":\"nonsense\"}"); /* waits too, and ends it */
    wait_log(server, "asked", (int)COUNT_OF(targets) + 2);
    go(server);
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_answer *answer = http_receive(streams[i], false, deadline_in(20));
        ck_assert_msg(answer && answer->status == 200, "%s: %s", targets[i][1],
                      answer ? answer->body : "nothing");
    }
    while (!strstr(stream_at(events), "data: {\"channel\":\"lobby\""))
        ck_assert_int_eq(stream_receive(events, deadline_in(20)), STREAM_MORE);
    websocket_expect_close(late, 1008);
    ck_assert_str_eq(late->close_reason, "Wrong JWT");
}
END_TEST

START_TEST(a_handshake_with_a_token_waits_and_goes_on_with_what_came_meanwhile)
{
    struct server *server = server_with("mode: later");
    struct stream *stream = stream_open(server->port, 0);
    size_t size;
    const char *request = textf("GET /pub?token=%s HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n"
                                "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                                "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                                token_user("later", "u-1"));
    stream_send(stream, request, strlen(request));
    const char *join = "{\"id\":1,\"join\":{\"room\":\"lobby\"}}";
    const char *frame = websocket_frame(true, WS_TEXT, join, strlen(join), &size);
    stream_send(stream, frame, size); /* too early, by the book */
    wait_log(server, "asked", 1);
    go(server);
    while (!strstr(stream_at(stream), "\"reply\":\"ok\""))
        ck_assert_int_eq(stream_receive(stream, deadline_in(20)), STREAM_MORE);
    assert_contains(stream_at(stream), "HTTP/1.1 101 ");
}
END_TEST

START_TEST(who_leaves_before_the_answer_is_told_of_and_never_came)
{
    struct server *server = server_with("mode: later");
    char *token = token_user("later", "u-1");
    struct publisher *ann = publisher_connect(server);
    publisher_send(ann, "auth", json_string(token));
    publisher_send(ann, "join", room("lobby"));
    publisher_send_say(ann, "never", NULL);
    struct publisher *bea = publisher_open(server, token_user("Bea", "u-2"));
    publisher_send(bea, "join", room("later"));
    struct websocket *cid = websocket_open(server, "/ws", 0, NULL);
    websocket_send(cid, textf("{\"token\":\"%s\",\"channels\":[\"lobby\"]}", token));
    websocket_send(cid, "{\"token\":\"nonsense\"}");
    struct stream *events = stream_open(server->port, 0);
    const char *request = http_text(server, "GET", textf("/ev/lobby?token=%s", token), NULL, NULL);
    stream_send(events, request, strlen(request));
    struct stream *get = stream_open(server->port, 0);
    request = http_text(server, "GET", textf("/messages/lobby?token=%s", token), NULL, NULL);
    stream_send(get, request, strlen(request));
    wait_log(server, "asked", 5);
    publisher_cut(ann);
    publisher_cut(bea);
    websocket_cut(cid);
    stream_cut(events);
    stream_reset(get);
    wait_log(server, "cancelled, why 4", 5);
    go(server); /* stale, all of them */
    wait_stats(server, "lobby", 0, 1, 1);
    ck_assert_ptr_null(strstr(file_read(server->log), "u-2 left later"));
    ck_assert_int_eq((int)json_array_size(
                         json_object_get(http_post(server, "/join/lobby", "{}")->json, "messages")),
                     0);
}
END_TEST

START_TEST(only_so_many_wait_behind_an_auth)
{
    struct server *server =
        server_start(.yaml = textf(
                         "limits:\n  pending_says: 100\nplugins:\n  - {name: probe, file: '%s/../"
                         "test-plugins/probe.so', config: {mode: later}}\n",
                         getenv("CHATUP_PLUGINS")));
    struct publisher *ann = publisher_connect(server);
    publisher_send(ann, "auth", json_string(token_user("later", "u-1")));
    wait_log(server, "asked", 1);
    for (int i = 0; i < 20; i++)
        publisher_send(ann, "join", room("lobby"));
    publisher_send(ann, "sing", room("lobby"));
    struct websocket *reader = websocket_open(server, "/ws", 0, NULL);
    websocket_send(reader, textf("{\"token\":\"%s\"}", token_user("later", "u-2")));
    for (int i = 0; i < 17; i++)
        websocket_send(reader, "{}");
    websocket_expect_close(reader, 1008);
    ck_assert_str_eq(reader->close_reason, "busy");
    wait_log(server, "cancelled, why 4", 1);
    go(server);
    ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    for (int i = 0; i < 16; i++)
        ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    for (int i = 0; i < 4; i++)
        assert_error(reply_of(ann), "busy");
    assert_error(reply_of(ann), "Wrong format");
}
END_TEST

START_TEST(the_end_of_the_server_waits_for_no_plugin)
{
    struct server *server = server_with("mode: later");
    struct publisher *ann = publisher_connect(server);
    publisher_send(ann, "auth", json_string(token_user("later", "u-1")));
    struct stream *stream = stream_open(server->port, 0);
    const char *request = http_text(
        server, "GET", textf("/ev/lobby?token=%s", token_user("later", "u-1")), NULL, NULL);
    stream_send(stream, request, strlen(request));
    wait_log(server, "asked", 2);
    server_stop(server);
    ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 503);
    assert_error(reply_of(ann), "unavailable");
    websocket_expect_close(ann->ws, 1001);
}
END_TEST

/* ---- roles of routes ---- */

static struct http_answer *get_as_editor(struct server *server, const char *claims, const char *jti)
{
    char *token = token_for("{\"aud\":\"chatup-admin\",\"exp\":%lld,\"jti\":\"%s\",\"items\":[]%s}",
                            (long long)time(NULL) + 60, jti, claims);
    return http_call(server, "GET", "/plugin/probe/editors",
                     textf("authorization: Bearer %s\r\n", token), NULL);
}

START_TEST(a_route_with_a_role_is_for_tokens_that_have_it)
{
    static const struct {
        const char *claims;
        int status;
    } cases[] = {{"", 403},
                 {",\"role\":\"editors\"", 403},
                 {",\"roles\":[\"dj\",\"staff\"]", 403},
                 {",\"role\":[\"editor\"]", 403}, /* not as a role is written */
                 {",\"channels\":{\"*\":[\"*\"]}", 403},
                 {",\"role\":\"editor\"", 200},
                 {",\"roles\":[\"dj\",\"editor\"]", 200}};
    struct server *server = server_with("mode: accept");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_answer *answer =
            get_as_editor(server, cases[i].claims, cases[i].status == 200 ? textf("%zu", i) : "x");
        ck_assert_msg(answer->status == cases[i].status, "%s: %s", cases[i].claims, answer->head);
        if (answer->status == 403)
            assert_error(answer->json, "forbidden");
    }
    ck_assert_int_eq(get_as_editor(server, ",\"role\":\"editor\"", "x")->status, 200);
    ck_assert_int_eq(get_as_editor(server, ",\"role\":\"editor\"", "x")->status, 409);
    ck_assert_int_eq(http_get(server, "/plugin/probe/editors")->status, 401);
}
END_TEST

FLOW_MAIN("stages", what_comes_behind_an_auth_or_a_join_waits_for_it,
          a_verdict_that_comes_later_is_as_good_as_one_at_once,
          without_an_answer_in_time_on_error_decides_about_who_comes,
          every_way_in_with_a_token_waits_for_a_plugin,
          a_handshake_with_a_token_waits_and_goes_on_with_what_came_meanwhile,
          who_leaves_before_the_answer_is_told_of_and_never_came, only_so_many_wait_behind_an_auth,
          the_end_of_the_server_waits_for_no_plugin, a_route_with_a_role_is_for_tokens_that_have_it)
