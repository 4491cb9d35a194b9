/* 41_ratelimit: the plugin on a server with several loops: its count is one count. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

static bool is_limited(const json_t *reply)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    return error && !strcmp(error, "rateLimited");
}

START_TEST(exactly_so_many_pass_whatever_loops_they_come_by)
{
    enum { CONNECTIONS = 6, SAYS = 12, ALLOWED = 25 };
    struct server *server =
        server_start(.threads = 3,
                     .yaml = "plugins:\n  - name: ratelimit\n    config:\n      rules: [{messages: "
                             "25, per: 10m}]\n      levels: [5m, 10m]\n");
    struct publisher *ann[CONNECTIONS];
    int passed = 0, limited = 0;
    for (size_t i = 0; i < CONNECTIONS; i++)
        ann[i] = publisher_enter(server, "Ann", i % 2 ? "lobby" : "kitchen");
    for (size_t n = 0; n < SAYS; n++)
        for (size_t i = 0; i < CONNECTIONS; i++)
            publisher_send_say(ann[i], "x", NULL);
    for (size_t n = 0; n < SAYS; n++)
        for (size_t i = 0; i < CONNECTIONS; i++) {
            const json_t *reply = json_object_get(publisher_receive(ann[i]), "reply");
            passed += json_is_integer(json_object_get(reply, "offset"));
            if (!is_limited(reply))
                continue;
            limited++;
            ck_assert_str_eq(get_string(reply, "status"), "err");
            ck_assert_int_ge(get_int(reply, "ttw"), 1);
            ck_assert_int_le(get_int(reply, "ttw"), 300);
        }
    ck_assert_int_eq(passed, ALLOWED);
    ck_assert_int_eq(limited, CONNECTIONS * SAYS - ALLOWED);
    /* Somebody else has a count of their own. */
    publisher_say_ok(publisher_enter(server, "Bea", "lobby"), "hello");
    assert_contains(http_get(server, "/metrics")->body, "chatup_plugin_ratelimit_limited 47\n");
}
END_TEST

START_TEST(a_restart_forgets_and_posts_are_not_limited)
{
    if (on_redis()) /* which outlives it */
        return;
    struct server *server = server_start(
            .yaml = "plugins:\n  - name: ratelimit\n    config: {rules: [{messages: 1, per: 1h}], "
                    "levels: [1h]}\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "one");
    ck_assert(is_limited(publisher_say(ann, "two", NULL)));
    ck_assert(is_limited(publisher_say(ann, "three", NULL)));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            http_post(server, "/post", token_for("[{\"channel\":\"lobby\",\"msg\":\"by server\"}]"))
                ->status,
            200);
    server_kill(server);
    server_restart(server);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "again");
}
END_TEST

FLOW_MAIN("ratelimit", exactly_so_many_pass_whatever_loops_they_come_by,
          a_restart_forgets_and_posts_are_not_limited)
