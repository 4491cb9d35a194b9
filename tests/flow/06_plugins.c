/* 06_plugins: hello, the smallest plugin, does everything that a plugin can do to a message. */
#include "client.h"
#include "flow.h"
#include "token.h"

static const char hello[] = "plugins:\n"
                            "  - name: hello\n"
                            "    public_routes: true\n"
                            "    config:\n"
                            "      forbidden: \"forbidden\"\n"
                            "      hide: \"secret\"\n";

START_TEST(it_consumes_changes_and_rejects)
{
    struct server *server = server_start(.threads = 2, .yaml = hello);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    assert_json(publisher_say(ann, "/hello", NULL),
                "{\"status\":\"ok\",\"message\":\"Hello, Ann\"}");
    assert_json(publisher_say(ann, "this is forbidden", NULL),
                "{\"status\":\"error\",\"err\":\"rejected\",\"by\":\"hello\"}");
    ck_assert_int_eq(publisher_say_ok(ann, "teh end"), 1);
    ck_assert_int_eq(publisher_say_ok(ann, "plain"), 2);
    reader_wait_message(reader, "lobby", "plain");
    assert_json(texts_of(reader_account(reader, "lobby")->messages), "[\"the end\",\"plain\"]");
    account_expect_clean(reader_account(reader, "lobby"));

    /* In a row: replies keep the order of the says, whoever answers them. */
    int64_t first = ann->last_id + 1;
    static const char *const texts[] = {"/hello", "x", "forbidden", "teh", "/hello", "y"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        publisher_send_say(ann, texts[i], NULL);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        ck_assert_int_eq(get_int(publisher_receive(ann), "id"), first + (int64_t)i);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json),
                "[\"y\",\"the\",\"x\",\"plain\",\"the end\"]");
}
END_TEST

START_TEST(what_it_hides_is_hidden_on_every_way_out)
{
    struct server *server = server_start(.threads = 2, .yaml = hello);
    struct reader *live = reader_open(server, "lobby"), *away = reader_open(server, "lobby");
    reader_cut(away);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "my secret word");
    reader_wait_offset(live, "lobby", 1);
    reader_resume(away);
    struct reader *fresh = reader_open(server, "lobby");
    json_t *ways[] = {
        reader_account(live, "lobby")->messages,
        reader_account(away, "lobby")->messages,
        reader_account(fresh, "lobby")->messages,
        http_get(server, "/messages/lobby")->json,
        get_array(http_post(server, "/join/lobby", "")->json, "messages"),
    };
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        ck_assert_msg(json_equal(texts_of(ways[i]), json_of("[\"my *** word\"]")), "way %zu: %s", i,
                      json_text(ways[i]));
    ck_assert_uint_eq(reader_account(away, "lobby")->recovered, 1);
}
END_TEST

START_TEST(its_route_answers)
{
    struct server *server = server_start(.yaml = hello);
    struct http_answer *answer = http_get(server, "/plugin/hello");
    ck_assert_int_eq(answer->status, 200);
    ck_assert_uint_gt(answer->length, 0);
    ck_assert_ptr_nonnull(http_header(answer, "Access-Control-Allow-Origin"));
    answer = http_post(server, "/plugin/hello", "");
    ck_assert_int_eq(answer->status, 405);
    assert_contains(http_header(answer, "Allow"), "GET");
    static const char *const unknown[] = {"/plugin/nobody", "/plugin/", "/plugin",
                                          "/plugin/hello/there/is/nothing"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        answer = http_get(server, unknown[i]);
        ck_assert_msg(answer->status == 404, "%s: %s", unknown[i], answer->head);
        ck_assert_str_eq(get_string(answer->json, "status"), "error");
    }
}
END_TEST

/* Some answers have no body, whatever the plugin gives: what came behind it would be read as the
 * answer to the next request. */
START_TEST(an_answer_that_has_no_body_gets_none)
{
    static const int statuses[] = {200, 204, 304, 404};
    struct server *server =
        server_start(.yaml = textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/"
                                   "probe.so'}\n",
                                   getenv("CHATUP_PLUGINS")));
    struct stream *stream = stream_open(server->port, 0);
    char *next = http_text(server, "GET", "/health", NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        bool has_none = statuses[i] == 204 || statuses[i] == 304;
        char *request = textf(
            "%s%s",
            http_text(server, "POST", "/plugin/probe/status", NULL, token_for("[%d]", statuses[i])),
            next);
        stream_send(stream, request, strlen(request));
        struct http_answer *answer = http_receive(stream, has_none, deadline_in(20));
        ck_assert_int_eq(answer->status, statuses[i]);
        ck_assert(!http_header(answer, "content-length") == has_none);
        answer = http_receive(stream, false, deadline_in(20));
        ck_assert_int_eq(answer->status, 200);
        assert_json(answer->json, "{\"status\":\"ok\"}");
    }
}
END_TEST

START_TEST(a_wrong_configuration_is_refused_with_one_clear_line)
{
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"plugins:\n  - name: nowhere\n", "nowhere"},
        {"plugins:\n  - name: hello\n    file: ./missing.so\n", "missing.so"},
        {"plugins:\n  - name: hello\n    file: ./chatup.yaml\n", "chatup.yaml"},
        {"plugins:\n  - name: hello\n    public_routes: true\n    config:\n      hidde: x\n",
         "did you mean \"hide\"?"},
        {"plugins:\n  - name: hello\n    config: nonsense\n", "plugins[0].config"},
        {"plugins:\n  - name: hello\n    public_routes: true\n    config:\n      hide: [1, 2]\n",
         "plugins[0].config.hide"},
        {"plugins:\n  - name: hello\n  - name: hello\n", "plugins[1]"},
        {"plugins:\n  - name: \"he/llo\"\n", "plugins[0].name"},
        {"plugins:\n  - name: hello\n    on_error: perhaps\n", "plugins[0].on_error"},
        {"plugins:\n  - nome: hello\n", "nome"},
        {"plugins: hello\n", "plugins"},
        {"plugins:\n  - name: hello\n", "public_routes"}, /* its route is open to anybody */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_contains(serve_refused(&(struct server_options){.yaml = bad[i].yaml}), bad[i].says);
}
END_TEST

FLOW_MAIN("plugins", it_consumes_changes_and_rejects, what_it_hides_is_hidden_on_every_way_out,
          its_route_answers, a_wrong_configuration_is_refused_with_one_clear_line,
          an_answer_that_has_no_body_gets_none)
