/* 46_stages: what plugins may do before anybody is known, and what they may know of them. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <stdio.h>
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

/* ---- connect ---- */

/* The ways to open something, with these further headers. */
static const char *const targets[] = {"/pub", "/ws/a%2Fb", "/ev/lobby", "/sub/lobby", "/lp/lobby"};

static char *opening(struct server *server, const char *target, const char *headers)
{
    bool websocket = target[1] == 'p' || target[1] == 'w';
    return http_text(server, "GET", target,
                     textf("%s%s",
                           websocket ? "connection: upgrade\r\nupgrade: websocket\r\n"
                                       "sec-websocket-version: 13\r\n"
                                       "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                     : "",
                           headers),
                     NULL);
}

static struct stream *open_as(struct server *server, const char *target, const char *headers)
{
    struct stream *stream = stream_open(server->port, 0);
    const char *text = opening(server, target, headers);
    stream_send(stream, text, strlen(text));
    return stream;
}

static void wait_text(struct stream *stream, const char *text)
{
    while (!strstr(stream_at(stream), text))
        ck_assert_msg(stream_receive(stream, deadline_in(20)) == STREAM_MORE, "not %s but %s", text,
                      stream_at(stream));
}

START_TEST(a_plugin_sees_who_opens_what_before_any_token_is_looked_at)
{
    struct server *server =
        server_start(.yaml = textf(
                         "trusted_proxies: 127.0.0.1\nplugins:\n  - {name: probe, file: '%s/../"
                         "test-plugins/probe.so', config: {mode: connect}}\n",
                         getenv("CHATUP_PLUGINS")));
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct stream *stream =
            open_as(server, textf("%s?token=nonsense", targets[i]),
                    "x-forwarded-for: 192.0.2.7\r\nuser-agent: tester/1 \"x\"\r\n"
                    "origin: https://a.example\r\n");
        wait_text(stream, "HTTP/1.1 401 ");
        stream_cut(stream);
        wait_log(server,
                 textf("opens %zu %s from 192.0.2.7, page https://a.example, agent tester/1 \"x\"",
                       i + 1, targets[i]),
                 1);
    }
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "x");
    wait_log(server, "opens 1 /pub from 127.0.0.1, page none, agent none", 1);
    wait_text(open_as(server, "/ev/lobby", "user-agent: \xff\r\n"), "text/event-stream");
    wait_log(server, "opens 3 /ev/lobby from 127.0.0.1, page none, agent none", 1);
    ck_assert_int_eq(http_get(server, "/messages/lobby")->status, 200); /* opens nothing */
    ck_assert_ptr_null(strstr(file_read(server->log), "opens 0"));
    assert_contains(http_get(server, "/metrics")->body, "hook=\"connect\"");
    struct run list = chatup("plugin", "list", "-c", server->config);
    ck_assert_int_eq(list.code, 0);
    assert_contains(list.out, "connect ");
}
END_TEST

START_TEST(who_is_turned_away_gets_the_plugins_words_before_the_upgrade)
{
    struct server *server = server_with("mode: connect");
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_answer *answer =
            http_raw(server, opening(server, targets[i], "user-agent: bad\r\n"));
        ck_assert_int_eq(answer->status, 403);
        assert_json(answer->json, "{\"status\":\"error\",\"err\":\"notHere\"}");
        answer = http_raw(server, opening(server, targets[i], "user-agent: plain\r\n"));
        ck_assert_int_eq(answer->status, 403);
        assert_json(answer->json, "{\"status\":\"error\",\"err\":\"rejected\",\"by\":\"probe\"}");
        answer = http_raw(server, opening(server, targets[i], "user-agent: ghost\r\n"));
        ck_assert_int_eq(answer->status, 503); /* nobody can be let in in silence */
        assert_json(answer->json,
                    "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":\"probe\"}");
    }
    assert_contains(http_get(server, "/metrics")->body,
                    "chatup_plugin_faults{plugin=\"probe\"} 5\n");
    struct stream *poll = open_as(server, "/lp/lobby", "user-agent: bad\r\n");
    ck_assert_int_eq(http_receive(poll, false, deadline_in(20))->status, 403);
    const char *next = http_text(server, "GET", "/health", NULL, NULL);
    stream_send(poll, next, strlen(next)); /* the connection is good for more */
    ck_assert_int_eq(http_receive(poll, false, deadline_in(20))->status, 200);
}
END_TEST

START_TEST(a_handshake_waits_for_a_plugin_and_is_told_of_if_its_client_leaves)
{
    static const char *const heads[] = {"101 ", "101 ", "text/event-stream", "x-ndjson"};
    struct server *server = server_with("mode: later, wait: 50ms");
    struct stream *streams[COUNT_OF(heads)];
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        streams[i] = open_as(server, targets[i], "user-agent: later\r\n");
    struct stream *bad = open_as(server, "/pub", "user-agent: later-bad\r\n");
    struct stream *poll = open_as(server, "/lp/lobby", "user-agent: later-bad\r\n");
    wait_log(server, "asked", (int)COUNT_OF(heads) + 2);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        ck_assert_uint_eq(stream_available(streams[i]), 0);
    go(server);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        wait_text(streams[i], heads[i]);
    wait_text(bad, "403 Forbidden");
    wait_text(bad, "notNow");
    wait_text(poll, "notNow");

    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct stream *stream = open_as(server, targets[i], "user-agent: later\r\n");
        wait_log(server, "asked", (int)(COUNT_OF(heads) + 3 + i));
        if (i % 2)
            stream_reset(stream);
        else
            stream_cut(stream);
        wait_log(server, "cancelled, why 4", (int)i + 1);
    }
    go(server);
    struct http_answer *answer =
        http_raw(server, opening(server, "/pub", "user-agent: later-never\r\n"));
    ck_assert_int_eq(answer->status, 503);
    assert_error(answer->json, "pluginUnavailable");
    wait_log(server, "cancelled, why 2", 1);
}
END_TEST

START_TEST(those_who_wait_for_a_plugin_count_as_connections_of_their_address)
{
    struct server *server = server_start(
            .yaml = textf(
                "trusted_proxies: 127.0.0.1\nlimits:\n  connections_per_address: 2\nplugins:\n"
                "  - {name: probe, file: '%s/../test-plugins/probe.so', config: {mode: later}}\n",
                getenv("CHATUP_PLUGINS")));
    static const char from[] = "user-agent: later\r\nx-forwarded-for: 192.0.2.7\r\n";
    struct stream *first = open_as(server, "/ev/lobby", from);
    open_as(server, "/pub", from);
    wait_log(server, "asked", 2);
    ck_assert_int_eq(http_raw(server, opening(server, "/ws/lobby", from))->status, 429);
    stream_cut(first);
    wait_log(server, "cancelled, why 4", 1);
    open_as(server, "/ws/lobby", from);
    wait_log(server, "asked", 3);
}
END_TEST

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
    static const char *const asked[][3] = {{"GET", "/messages/lobby", NULL},
                                           {"GET", "/stats/lobby", NULL},
                                           {"POST", "/join/lobby", "{}"},
                                           {"POST", "/pub", "{\"room\":\"lobby\",\"msg\":\"x\"}"}};
    struct stream *streams[COUNT_OF(asked)];
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        const char *request = http_text(server, asked[i][0], asked[i][1], header, asked[i][2]);
        streams[i] = stream_open(server->port, 0);
        stream_send(streams[i], request, strlen(request));
    }
    struct stream *events = stream_open(server->port, 0);
    const char *request = http_text(server, "GET", "/ev/lobby", header, NULL);
    stream_send(events, request, strlen(request));
    struct websocket *late = websocket_open(server, "/ws", 0, NULL); /* in its first frame */
    websocket_send(late, textf("{\"token\":\"%s\",\"channels\":[\"lobby\"]}", token));
    websocket_send(late, "{\"token\":\"nonsense\"}"); /* waits too, and ends it */
    wait_log(server, "asked", (int)COUNT_OF(asked) + 2);
    go(server);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct http_answer *answer = http_receive(streams[i], false, deadline_in(20));
        ck_assert_msg(answer && answer->status == 200, "%s: %s", asked[i][1],
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

START_TEST(a_token_that_expires_while_a_plugin_thinks_is_no_good)
{
    struct server *server =
        server_start(.keys = "  leeway: 0s\n",
                     .yaml = textf(
                         "plugins:\n  - {name: probe, file: '%s/../test-plugins/probe.so', config: "
                         "{mode: later}}\n",
                         getenv("CHATUP_PLUGINS")));
    static const char claims[] = "{\"sub\":\"u-1\",\"_public\":{\"name\":\"%s\"},\"exp\":%lld}";
    long long exp = (long long)time(NULL) + (flow_slow() > 1 ? 6 : 2);
    const char *target = textf("/messages/lobby?token=%s", token_for(claims, "later", exp));
    const char *other = textf("/messages/lobby?token=%s", token_for(claims, "Ann", exp));
    const char *request = http_text(server, "GET", target, NULL, NULL);
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, request, strlen(request));
    wait_log(server, "asked", 1);
    for (int64_t deadline = deadline_in(20); http_get(server, other)->status != 401;) {
        ck_assert(now_ms() < deadline);
        pause_ms(20);
    }
    go(server);
    ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 401);
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

START_TEST(a_plugin_is_told_that_a_sender_has_left_and_the_message_goes_on)
{
    struct server *server = server_with("mode: later");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_send_say(ann, "later one", NULL);
    publisher_send_say(ann, "later two", NULL); /* waits, and is deferred when she is gone */
    wait_log(server, "parked", 1);
    for (int64_t deadline = deadline_in(20); /* until both were heard */
         !strstr(http_get(server, "/metrics")->body, "chatup_messages_in 2\n");) {
        ck_assert(now_ms() < deadline);
        pause_ms(5);
    }
    publisher_cut(ann);
    wait_log(server, "the sender has left", 1);
    go(server);
    wait_log(server, "parked", 2);
    wait_log(server, "the sender has left", 2);
    go(server);
    reader_wait_message(reader, "lobby", "later two");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"later one\",\"later two\"]");
    struct stream *post = stream_open(server->port, 0);
    const char *request = http_text(server, "POST", "/pub",
                                    textf("authorization: Bearer %s\r\n", token_user("Bea", "u-2")),
                                    "{\"room\":\"lobby\",\"msg\":\"later three\"}");
    stream_send(post, request, strlen(request));
    wait_log(server, "parked", 3);
    stream_reset(post);
    wait_log(server, "the sender has left", 3);
    go(server);
    reader_wait_message(reader, "lobby", "later three");
    ck_assert_ptr_null(strstr(file_read(server->log), "cancelled"));
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
    reader = websocket_open(server, "/ws", 0, NULL);
    websocket_send(reader, textf("{\"token\":\"%s\"}", token_user("later", "u-3")));
    for (int i = 0; i < 2; i++)
        websocket_send(reader, text_repeat("x", 40000));
    websocket_expect_close(reader, 1008);
    wait_log(server, "cancelled, why 4", 2);
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

START_TEST(whoever_waits_at_a_reload_ends_with_the_plugins_with_which_they_began)
{
    struct server *server = server_start(/* with one loop: none goes over before another */
                                             .yaml = textf("plugins:\n  - {name: probe, file: "
                                                           "'%s/../test-plugins/probe.so', config: "
                                                           "{mode: later}}\n",
                                                           getenv("CHATUP_PLUGINS")));
    struct publisher *ann = publisher_connect(server);
    publisher_send(ann, "auth", json_string(token_user("later", "u-1")));
    publisher_send(ann, "join", room("closed"));
    publisher_send(ann, "join", room("lobby"));
    struct stream *stream = open_as(server, "/ev/lobby", "user-agent: later-bad\r\n");
    wait_log(server, "asked", 2);
    char *text = file_read(server->config), *mode = strstr(text, "mode: later");
    ck_assert_ptr_nonnull(mode);
    FILE *file = fopen(server->config, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%.*smode: visits%s", (int)(mode - text), text, mode + strlen("mode: later"));
    ck_assert_int_eq(fclose(file), 0);
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_msg(run.code == 0, "%s", run.err); /* the old one is told to drain, and resumes */
    ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    wait_text(stream, "notNow");
    assert_error(reply_of(ann), "rejected"); /* by the new one */
    ck_assert_str_eq(json_string_value(reply_of(ann)), "ok");
    publisher_say_ok(ann, "here");
    ck_assert_ptr_null(strstr(file_read(server->log), "cancelled"));
}
END_TEST

START_TEST(the_check_of_a_plugin_calls_all_of_it_and_waits_for_what_it_defers)
{
    struct run run =
        chatup("plugin", "check", textf("%s/../test-plugins/probe.so", getenv("CHATUP_PLUGINS")),
               "--options", "{mode: soon}");
    ck_assert_msg(run.code == 0, "%s", run.out);
    assert_contains(run.out, "connect: a page (deferred)\n");
    assert_contains(run.out, "connect: who says nothing of itself (deferred)\n");
    assert_contains(run.out, "auth: a user (deferred)\n");
    assert_contains(run.out, "join: a user without identity and name (deferred)\n");
    run = chatup("plugin", "info", textf("%s/../test-plugins/probe.so", getenv("CHATUP_PLUGINS")));
    assert_contains(run.out, " connect auth join leave ");
    assert_contains(run.out, "/editors (a server's token in the header, with the role editor)\n");
}
END_TEST

/* ---- tags ---- */

static void stream_send_text(struct stream *stream, const char *text)
{
    size_t size;
    const char *frame = websocket_frame(true, WS_TEXT, text, strlen(text), &size);
    stream_send(stream, frame, size);
}

START_TEST(a_tag_stays_with_the_connection_or_until_the_next_token)
{
    struct server *server = server_start(
            .rates = true,
            .yaml = textf(
                "plugins:\n  - {name: probe, file: '%s/../test-plugins/probe.so', config: "
                "{mode: tag_visits}}\n  - {name: ratelimit, config: {rules: [{messages: 1, per: "
                "1h}], levels: [1h], exempt: [vip, robot]}}\n",
                getenv("CHATUP_PLUGINS")));
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "one");
    ck_assert_str_eq(get_string(publisher_say(ann, "two", NULL), "error"), "rateLimited");
    struct publisher *vip = publisher_open(server, token_user("vip", "u-1"));
    publisher_join(vip, "lobby");
    for (int i = 0; i < 3; i++)
        publisher_say_ok(vip, "hello");
    ck_assert_str_eq(
        json_string_value(publisher_ask(vip, "auth", json_string(token_user("Bob", "u-1")))),
        "ok"); /* the same person, by another name */
    publisher_say_ok(vip, "hello");
    ck_assert_str_eq(get_string(publisher_say(vip, "hello", NULL), "error"), "rateLimited");

    struct stream *robot = open_as(server, "/pub", "user-agent: robot\r\n");
    wait_text(robot, "101 ");
    stream_send_text(robot, textf("{\"id\":1,\"auth\":\"%s\"}", token_user("Cid", "u-3")));
    stream_send_text(robot, "{\"id\":2,\"join\":{\"room\":\"lobby\"}}");
    stream_send_text(robot, textf("{\"id\":3,\"auth\":\"%s\"}", token_user("Cid", "u-3")));
    for (int i = 4; i < 8; i++)
        stream_send_text(robot, textf("{\"id\":%d,\"say\":{\"msg\":\"beep\"}}", i));
    for (int i = 4; i < 8; i++)
        wait_text(robot, textf("{\"id\":%d,\"reply\":{\"status\":\"ok\"", i));
    assert_contains(http_get(server, "/metrics")->body,
                    "chatup_plugin_faults{plugin=\"probe\"} 0\n");
}
END_TEST

START_TEST(a_tag_waits_with_its_message)
{
    struct server *server = server_start(
            .yaml = textf(
                "plugins:\n"
                "  - {name: a, file: '%s/../test-plugins/probe.so', config: {mode: tag_visits}}\n"
                "  - {name: b, file: '%s/../test-plugins/probe.so', config: {mode: later}}\n"
                "  - {name: c, file: '%s/../test-plugins/probe.so', config: {mode: if_tag, tag: "
                "vip}}\n",
                getenv("CHATUP_PLUGINS"), getenv("CHATUP_PLUGINS"), getenv("CHATUP_PLUGINS")));
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *vip = publisher_enter(server, "vip", "lobby");
    publisher_send_say(vip, "later ", NULL);
    publisher_send_say(vip, "behind ", NULL);
    wait_log(server, "parked", 1);
    for (int64_t deadline = deadline_in(20);
         !strstr(http_get(server, "/metrics")->body, "chatup_messages_in 2\n");) {
        ck_assert(now_ms() < deadline);
        pause_ms(5);
    }
    publisher_cut(vip); /* nothing of her is left but what waits */
    wait_log(server, "the sender has left", 1);
    go(server);
    reader_wait_message(reader, "lobby", "behind vip");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"later vip\",\"behind vip\"]");
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

FLOW_MAIN("stages", a_plugin_sees_who_opens_what_before_any_token_is_looked_at,
          who_is_turned_away_gets_the_plugins_words_before_the_upgrade,
          a_handshake_waits_for_a_plugin_and_is_told_of_if_its_client_leaves,
          those_who_wait_for_a_plugin_count_as_connections_of_their_address,
          what_comes_behind_an_auth_or_a_join_waits_for_it,
          a_verdict_that_comes_later_is_as_good_as_one_at_once,
          without_an_answer_in_time_on_error_decides_about_who_comes,
          every_way_in_with_a_token_waits_for_a_plugin,
          a_handshake_with_a_token_waits_and_goes_on_with_what_came_meanwhile,
          a_token_that_expires_while_a_plugin_thinks_is_no_good,
          who_leaves_before_the_answer_is_told_of_and_never_came,
          a_plugin_is_told_that_a_sender_has_left_and_the_message_goes_on,
          only_so_many_wait_behind_an_auth, the_end_of_the_server_waits_for_no_plugin,
          whoever_waits_at_a_reload_ends_with_the_plugins_with_which_they_began,
          a_tag_stays_with_the_connection_or_until_the_next_token, a_tag_waits_with_its_message,
          the_check_of_a_plugin_calls_all_of_it_and_waits_for_what_it_defers,
          a_route_with_a_role_is_for_tokens_that_have_it)
