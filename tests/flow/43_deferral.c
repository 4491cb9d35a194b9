/* 43_deferral: a plugin that answers later: order, limits, and what it does wrong. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

static struct server *server_with(const char *options, const char *on_error)
{
    return server_start(.threads = 2,
                        .yaml = textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/"
                                      "probe.so', on_error: %s, config: {%s}}\n",
                                      getenv("CHATUP_PLUGINS"), on_error, options));
}

static json_t *reply_of(struct publisher *publisher)
{
    return json_object_get(publisher_receive(publisher), "reply");
}

START_TEST(what_comes_behind_waits_and_others_do_not)
{
    struct server *server = server_with("mode: defer, tag: '+', wait: 300ms", "closed");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bea = publisher_enter(server, "Bea", "lobby");
    publisher_send_say(ann, "one", NULL);
    publisher_send_say(ann, "!two", NULL); /* is not deferred itself */
    publisher_send_say(ann, "three", NULL);
    publisher_send_say(ann, "!four", NULL);
    ck_assert_int_eq(publisher_say_ok(bea, "!quick"), 1);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(get_int(reply_of(ann), "offset"), i + 2);
    reader_wait_message(reader, "lobby", "!four");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"!quick\",\"one+\",\"!two\",\"three+\",\"!four\"]");
}
END_TEST

START_TEST(stale_and_second_answers_do_nothing)
{
    struct server *server = server_with("mode: defer_twice, tag: '+', wait: 1ms", "closed");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 1; i <= 200; i++)
        publisher_send_say(ann, "x", NULL);
    for (int i = 1; i <= 200; i++) {
        const json_t *reply = reply_of(ann);
        if (json_object_get(reply, "err"))
            assert_error(reply, "busy");
    }
    publisher_say_ok(ann, "!alive");
}
END_TEST

START_TEST(no_answer_is_a_failure_and_on_error_decides)
{
    struct server *closed = server_with("mode: defer_never, wait: 50ms", "closed");
    assert_json(publisher_say(publisher_enter(closed, "Ann", "lobby"), "x", NULL),
                "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":\"probe\"}");
    assert_contains(file_read(closed->log), "cancelled, why 2");
    assert_contains(http_get(closed, "/metrics")->body,
                    "chatup_plugin_faults{plugin=\"probe\"} 1\n");
    struct server *open = server_with("mode: defer_never, wait: 50ms", "open");
    ck_assert_int_eq(publisher_say_ok(publisher_enter(open, "Ann", "lobby"), "x"), 1);
}
END_TEST

START_TEST(a_bare_deferral_is_a_fault_and_one_that_was_not_used_is_forgotten)
{
    struct server *server = server_with("mode: defer_nothing", "closed");
    assert_error(publisher_say(publisher_enter(server, "Ann", "lobby"), "x", NULL),
                 "pluginUnavailable");
    server = server_with("mode: defer_accept", "closed");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 1; i <= 100; i++)
        ck_assert_int_eq(publisher_say_ok(ann, "x"), i);
}
END_TEST

START_TEST(only_so_many_wait)
{
    struct server *server =
        server_start(.yaml = textf(
                         "limits:\n  pending_says: 100\nplugins:\n  - {name: probe, file: '%s/../"
                         "test-plugins/probe.so', config: {mode: defer, wait: 500ms}}\n",
                         getenv("CHATUP_PLUGINS")));
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    int busy = 0;
    publisher_send_say(ann, "slow", NULL);
    for (int i = 0; i < 20; i++)
        publisher_send_say(ann, "!x", NULL);
    for (int i = 0; i < 21; i++) {
        const char *err = json_string_value(json_object_get(reply_of(ann), "err"));
        if (err)
            ck_assert_str_eq(err, "busy");
        busy += err != NULL;
    }
    ck_assert_int_eq(busy, 4);
}
END_TEST

START_TEST(who_leaves_has_said_it_and_the_end_cancels)
{
    struct server *server = server_with("mode: defer, tag: '+', wait: 200ms", "closed");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_send_say(ann, "last words", NULL);
    publisher_send_say(ann, "!and more", NULL);
    for (int64_t deadline = deadline_in(20); /* until both were heard */
         !strstr(http_get(server, "/metrics")->body, "chatup_messages_in 2\n");) {
        ck_assert(now_ms() < deadline);
        pause_ms(5);
    }
    publisher_cut(ann);
    reader_wait_message(reader, "lobby", "!and more");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"last words+\",\"!and more\"]");
    struct server *other = server_with("mode: defer, wait: 30s", "closed");
    struct publisher *bea = publisher_enter(other, "Bea", "lobby");
    publisher_send_say(bea, "x", NULL);
    publisher_send_say(bea, "!y", NULL);
    http_get(other, "/health");
    server_stop(other); /* well, and soon */
}
END_TEST

FLOW_MAIN("deferral", what_comes_behind_waits_and_others_do_not,
          stale_and_second_answers_do_nothing, no_answer_is_a_failure_and_on_error_decides,
          a_bare_deferral_is_a_fault_and_one_that_was_not_used_is_forgotten, only_so_many_wait,
          who_leaves_has_said_it_and_the_end_cancels)
