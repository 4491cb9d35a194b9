/* 16_pub: POST /pub: speaking without a websocket, with the answers of one. */
#include "client.h"
#include "flow.h"
#include "token.h"

static const char yaml[] = "channels:\n"
                           "  - {pattern: \"news\", read: anyone, join: token, say: role:editor}\n"
                           "  - {pattern: \"closed\", read: anyone, join: nobody, say: token}\n"
                           "limits:\n"
                           "  message_bytes: 100\n"
                           "  json_depth: 4\n";

static struct http_answer *pub(struct server *server, const char *token, const char *headers,
                               const char *body)
{
    char *all = textf("%s%s%s%s", token ? "Authorization: Bearer " : "", token ? token : "",
                      token ? "\r\n" : "", headers ? headers : "");
    return http_call(server, "POST", "/pub", all, body);
}

START_TEST(what_is_said_by_post_is_what_is_said_by_a_socket)
{
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open(server, "lobby");
    char *ann = token_user("Ann", "u-1");
    struct http_answer *answer =
        pub(server, ann, NULL, "{\"room\":\"lobby\",\"msg\":\"hi \\u00e4\",\"cid\":\"c-1\"}");
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(get_string(answer->json, "status"), "ok");
    ck_assert_int_eq(get_int(answer->json, "offset"), 1);
    json_t *message = reader_wait_message(reader, "lobby", "hi \xc3\xa4");
    ck_assert_str_eq(get_string(message, "i"), get_string(answer->json, "i"));
    ck_assert_str_eq(get_string(message, "sub"), "u-1");
    assert_json(json_object_get(message, "user"), "{\"name\":\"Ann\"}");
    wait_stats(server, "lobby", 1, 0, 0); /* nobody has joined */
    ck_assert_uint_eq(json_array_size(reader_account(reader, "lobby")->events), 0);
    ck_assert_int_eq(
        http_post(server, textf("/pub?token=%s", ann), "{\"channel\":\"lobby\",\"msg\":\"2\"}")
            ->status,
        200);
    reader_wait_message(reader, "lobby", "2");
}
END_TEST

START_TEST(a_repetition_is_answered_as_the_first_by_whichever_way)
{
    struct server *server = server_start(.threads = 2);
    char *ann = token_user("Ann", "u-1");
    static const char plain[] = "{\"room\":\"lobby\",\"msg\":\"hi\"}";
    static const char with_cid[] = "{\"room\":\"lobby\",\"msg\":\"hi\",\"cid\":\"k\"}";
    struct http_answer *first = pub(server, ann, "Idempotency-Key: k\r\n", plain);
    ck_assert_str_eq(pub(server, ann, "Idempotency-Key: k\r\n", plain)->body, first->body);
    ck_assert_str_eq(pub(server, ann, NULL, with_cid)->body, first->body);
    struct publisher *socket = publisher_open(server, ann);
    publisher_join(socket, "lobby");
    assert_json(publisher_say(socket, "hi", "k"), first->body);
    server_kill(server);
    server_restart(server);
    ck_assert_str_eq(pub(server, ann, "Idempotency-Key: k\r\n", with_cid)->body, first->body);
    ck_assert_int_eq(get_int(pub(server, ann, NULL, plain)->json, "offset"), 2);
    ck_assert_int_eq(get_int(pub(server, token_user("Bob", "u-2"), NULL, with_cid)->json, "offset"),
                     3);
}
END_TEST

/* In a private room too, where a ban ends reading as well. */
START_TEST(who_is_banned_is_told_for_how_long)
{
    static const char *const rooms[] = {"lobby", "private:x"};
    struct server *server = server_start();
    char *ann = token_for("{\"sub\":\"u-1\",\"_public\":{},\"channels\":[\"private:x\"]}");
    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        char *ban = token_for("[{\"sub\":\"u-1\",\"channel\":\"%s\",\"expire\":3000,"
                              "\"reason\":\"spam\"}]",
                              rooms[i]);
        ck_assert_int_eq(http_post(server, "/ban", ban)->status, 200);
        struct http_answer *answer =
            pub(server, ann, NULL, textf("{\"room\":\"%s\",\"msg\":\"x\"}", rooms[i]));
        ck_assert_int_eq(answer->status, 403);
        assert_error(answer->json, "banned");
        ck_assert_int_gt(get_int(answer->json, "ttl"), 2000);
        ck_assert_str_eq(get_string(answer->json, "reason"), "spam");
    }
}
END_TEST

START_TEST(nobody_can_take_a_client_id_from_another)
{
    struct server *server = server_start();
    char *ann = token_for("{\"sub\":\"a\\u001fb\",\"_public\":{}}");
    char *mallory = token_for("{\"sub\":\"a\",\"_public\":{}}");
    static const char theirs[] = "{\"room\":\"a\",\"msg\":\"x\",\"cid\":\"b\\u001fc\"}";
    static const char hers[] = "{\"room\":\"a\",\"msg\":\"y\",\"cid\":\"c\"}";
    ck_assert_int_eq(get_int(pub(server, mallory, NULL, theirs)->json, "offset"), 1);
    ck_assert_int_eq(get_int(pub(server, ann, NULL, hers)->json, "offset"), 2);
    char *somebody = token_for("{\"_public\":{}}"); /* who can say whether they are the same? */
    ck_assert_int_eq(get_int(pub(server, somebody, NULL, hers)->json, "offset"), 3);
    ck_assert_int_eq(get_int(pub(server, somebody, NULL, hers)->json, "offset"), 4);
}
END_TEST

START_TEST(each_mistake_has_its_answer)
{
    struct server *server = server_start(.yaml = yaml);
    char *ann = token_user("Ann", "u-1");
    char *editor = token_for("{\"sub\":\"e\",\"_public\":{},\"role\":\"editor\"}");
    char *nobody = token_for("{\"sub\":\"e\"}");
    char *old = token_for("{\"sub\":\"e\",\"_public\":{},\"exp\":1000}");
    char *member = token_for("{\"sub\":\"e\",\"_public\":{},\"channels\":[\"private:x\"]}");
    char *huge = token_for("{\"sub\":\"e\",\"_public\":{\"x\":\"%s\"}}", text_repeat("x", 7000));
    char *fits = textf("{\"room\":\"lobby\",\"msg\":\"%s\"}", text_repeat("x", 100));
    char *too_long = textf("{\"room\":\"lobby\",\"msg\":\"%s\"}", text_repeat("x", 101));
    char *name = textf("{\"room\":\"%s\",\"msg\":\"x\"}", text_repeat("n", 201));
    char *cid = textf("{\"room\":\"a\",\"msg\":\"x\",\"cid\":\"%s\"}", text_repeat("c", 65));
    const struct {
        const char *token, *headers, *body;
        int status;
        const char *err;
    } cases[] = {
        {ann, NULL, "", 400, "Wrong format"},
        {ann, NULL, "x", 400, "Wrong format"},
        {ann, NULL, "[]", 400, "Wrong format"},
        {ann, NULL, "{}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\"}", 400, "Wrong format"},
        {ann, NULL, "{\"msg\":\"x\"}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":1,\"msg\":\"x\"}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"\",\"msg\":\"x\"}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":1}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":\"\xff\"}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":\"x\",\"cid\":\"\"}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":\"x\",\"cid\":1}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":\"x\"} {}", 400, "Wrong format"},
        {ann, NULL, "{\"room\":\"lobby\",\"msg\":\"x\",\"y\":[[[[1]]]]}", 400, "Wrong format"},
        {ann, NULL, cid, 400, "Wrong format"},
        {ann, NULL, name, 400, "Wrong format"},
        {ann, "Idempotency-Key: \r\n", "{\"room\":\"a\",\"msg\":\"x\"}", 400, "Wrong format"},
        {ann, NULL, too_long, 413, "messageTooLong"},
        {ann, NULL, fits, 200, NULL},
        {NULL, NULL, fits, 403, "unauthorized"},
        {NULL, NULL, "x", 400, "Wrong format"},
        {NULL, "Authorization: Basic x\r\n", fits, 403, "unauthorized"},
        {"", NULL, fits, 401, "Wrong format"},
        {"x.y.z", NULL, fits, 401, "Wrong format"},
        {textf("%sx", ann), NULL, fits, 401, "Wrong JWT"},
        {old, NULL, fits, 401, "Wrong JWT"},
        {nobody, NULL, fits, 401, "Wrong JWT content"},
        {huge, NULL, fits, 401, "Wrong format"},
        {ann, NULL, "{\"room\":\"news\",\"msg\":\"x\"}", 403, "forbidden"},
        {editor, NULL, "{\"room\":\"news\",\"msg\":\"x\"}", 200, NULL},
        {ann, NULL, "{\"room\":\"closed\",\"msg\":\"x\"}", 403, "forbidden"},
        {NULL, NULL, "{\"room\":\"closed\",\"msg\":\"x\"}", 403, "forbidden"},
        {ann, NULL, "{\"room\":\"private:x\",\"msg\":\"x\"}", 403, "forbidden"},
        {member, NULL, "{\"room\":\"private:x\",\"msg\":\"x\"}", 200, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_answer *answer = pub(server, cases[i].token, cases[i].headers, cases[i].body);
        ck_assert_msg(answer->status == cases[i].status, "%zu %s: %s%s", i, cases[i].body,
                      answer->head, answer->body);
        if (cases[i].err)
            assert_error(answer->json, cases[i].err);
        ck_assert(!http_header(answer, "www-authenticate") == (answer->status != 401));
    }
    ck_assert_int_eq(get_int(pub(server, ann, NULL, too_long)->json, "max"), 100);
    struct http_answer *get = http_get(server, "/pub");
    ck_assert_int_eq(get->status, 426);
    ck_assert_str_eq(http_header(get, "upgrade"), "websocket");
    ck_assert_int_eq(http_post(server, "/pub/lobby", fits)->status, 404);
}
END_TEST

START_TEST(the_banned_are_refused_and_full_disks_are_told)
{
    if (on_redis()) /* of the embedded broker only */
        return;
    struct server *server = server_start();
    char *eve = token_user("Eve", NULL), *ann = token_user("Ann", NULL);
    static const char body[] = "{\"room\":\"lobby\",\"msg\":\"x\"}";
    char *ban = token_for("[{\"name\":\"Eve\",\"channel\":\"lobby\",\"expire\":60}]");
    ck_assert_int_eq(http_post(server, "/ban", ban)->status, 200);
    struct http_answer *banned = pub(server, eve, NULL, body);
    ck_assert_int_eq(banned->status, 403);
    assert_error(banned->json, "banned");
    ck_assert_int_gt(get_int(banned->json, "ttl"), 0);
    server_disk_full(server, true);
    struct http_answer *full = pub(server, ann, NULL, body);
    ck_assert_int_eq(full->status, 503);
    assert_error(full->json, "unavailable");
    server_disk_full(server, false);
    int64_t deadline = deadline_in(20);
    while (pub(server, ann, NULL, body)->status != 200)
        ck_assert(now_ms() < deadline);
}
END_TEST

START_TEST(rooms_and_rates_are_limited_as_on_a_socket)
{
    struct server *server =
        server_start(.rates = true,
                     .yaml = "limits:\n  rooms: 2\n  says_per_user: 1\n  burst: 4s\n");
    char *ann = token_user("Ann", "u-1");
    ck_assert_int_eq(pub(server, ann, NULL, "{\"room\":\"a\",\"msg\":\"x\"}")->status, 200);
    ck_assert_int_eq(pub(server, ann, NULL, "{\"room\":\"b\",\"msg\":\"x\"}")->status, 200);
    struct http_answer *third = pub(server, ann, NULL, "{\"room\":\"c\",\"msg\":\"x\"}");
    ck_assert_int_eq(third->status, 503);
    assert_error(third->json, "tooManyRooms");
    struct publisher *socket = publisher_open(server, ann); /* the same person: the same bucket */
    publisher_join(socket, "a");
    for (int i = 0; i < 20; i++)
        publisher_send_say(socket, "x", NULL);
    for (int i = 0; i < 20; i++)
        publisher_receive(socket);
    assert_error(json_object_get(socket->frame, "reply"), "rateLimited");
    struct http_answer *limited = pub(server, ann, NULL, "{\"room\":\"a\",\"msg\":\"x\"}");
    ck_assert_int_eq(limited->status, 429);
    assert_error(limited->json, "rateLimited");
    ck_assert(json_real_value(json_object_get(limited->json, "ttw")) > 0);
    ck_assert_str_eq(http_header(limited, "retry-after"), "1");
    char *bob = token_user("Bob", "u-2");
    ck_assert_int_eq(pub(server, bob, NULL, "{\"room\":\"a\",\"msg\":\"x\"}")->status, 200);
}
END_TEST

FLOW_MAIN("pub", what_is_said_by_post_is_what_is_said_by_a_socket,
          a_repetition_is_answered_as_the_first_by_whichever_way, each_mistake_has_its_answer,
          the_banned_are_refused_and_full_disks_are_told,
          rooms_and_rates_are_limited_as_on_a_socket, who_is_banned_is_told_for_how_long,
          nobody_can_take_a_client_id_from_another)
