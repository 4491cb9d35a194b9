/* 05_post: a site's own server publishes, with a signed list. */
#include "client.h"
#include "flow.h"
#include "token.h"

static void post_ok(struct server *server, const char *headers, const char *token)
{
    struct http_answer *answer = http_call(server, "POST", "/post", headers, token);
    ck_assert_msg(answer->status == 200, "%s%s", answer->head, answer->body);
    ck_assert_str_eq(answer->body, "OK");
}

START_TEST(a_list_is_published_in_its_channels_and_order)
{
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open_path(server, "/ws/news/sport", 2);
    post_ok(server, NULL,
            token_for("[{\"channel\":\"news\",\"msg\":\"Welcome\",\"user\":{\"name\":\"Server\"}},"
                      "{\"channel\":\"sport\",\"ev\":\"score\",\"data\":{\"home\":2,\"away\":[1]}},"
                      "{\"channel\":\"news\",\"msg\":\"second\",\"user\":[1,\"x\"]},"
                      "{\"channel\":\"news\",\"ev\":\"bell\"},"
                      "{\"channel\":\"news\",\"msg\":\"third\"}]"));
    reader_wait_offset(reader, "news", 4);
    reader_wait_offset(reader, "sport", 1);
    struct account *news = reader_account(reader, "news"), *sport = reader_account(reader, "sport");
    account_expect_clean(news);
    account_expect_clean(sport);

    json_t *welcome = json_array_get(news->messages, 0);
    ck_assert_str_eq(get_string(welcome, "msg"), "Welcome");
    assert_json(json_object_get(welcome, "user"), "{\"name\":\"Server\"}");
    ck_assert_uint_eq(strlen(get_string(welcome, "i")), 36);
    ck_assert(json_is_number(json_object_get(welcome, "d")));
    ck_assert_ptr_null(json_object_get(welcome, "ev"));
    assert_json(json_object_get(json_array_get(news->messages, 1), "user"), "[1,\"x\"]");
    json_t *bell = json_array_get(news->messages, 2);
    ck_assert_str_eq(get_string(bell, "ev"), "bell");
    ck_assert_ptr_null(json_object_get(bell, "data"));
    ck_assert_ptr_null(json_object_get(bell, "msg"));
    ck_assert_str_eq(get_string(json_array_get(news->messages, 3), "msg"), "third");
    json_t *score = json_array_get(sport->messages, 0);
    ck_assert_str_eq(get_string(score, "ev"), "score");
    assert_json(json_object_get(score, "data"), "{\"home\":2,\"away\":[1]}");

    json_t *stored = http_get(server, "/messages/news")->json;
    ck_assert_uint_eq(json_array_size(stored), 4);
    ck_assert(json_equal(json_array_get(stored, 3), welcome));
    ck_assert(json_equal(json_array_get(stored, 1), bell));
}
END_TEST

START_TEST(a_repeated_idempotency_key_publishes_nothing_twice)
{
    struct server *server = server_start(.threads = 2);
    char *token = token_for("[{\"channel\":\"news\",\"msg\":\"one\"},"
                            "{\"channel\":\"news\",\"msg\":\"two\"},"
                            "{\"channel\":\"sport\",\"msg\":\"three\"}]");
    for (int i = 0; i < 3; i++)
        post_ok(server, "Idempotency-Key: k-1\r\n", token);
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"two\",\"one\"]");
    assert_json(texts_of(http_get(server, "/messages/sport")->json), "[\"three\"]");
    server_kill(server);
    server_restart(server);
    post_ok(server, "idempotency-key: k-1\r\n", token);
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"two\",\"one\"]");
    post_ok(server, "Idempotency-Key: k-2\r\n", token);
    post_ok(server, NULL, token);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/news")->json), 6);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/sport")->json), 3);
    char *key = text_repeat("k", 64);
    post_ok(server, textf("Idempotency-Key: %s\r\n", key), token);
    struct http_answer *answer =
        http_call(server, "POST", "/post", textf("Idempotency-Key: %sk\r\n", key), token);
    ck_assert_int_eq(answer->status, 400);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/sport")->json), 4);
}
END_TEST

START_TEST(content_types_do_not_matter)
{
    static const char *const types[] = {
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Content-Type: application/jwt\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "Content-Type: nonsense\r\n",
    };
    struct server *server = server_start();
    for (size_t i = 0; i < COUNT_OF(types); i++)
        post_ok(server, types[i], token_for("[{\"channel\":\"news\",\"msg\":\"%zu\"}]", i));
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/news")->json), COUNT_OF(types));
}
END_TEST

START_TEST(wrong_lists_are_refused_whole)
{
    struct server *server = server_start(.yaml = "limits:\n  message_bytes: 1000\n");
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    static const char good[] = "[{\"channel\":\"news\",\"msg\":\"x\"}]";
    const struct {
        int status;
        const char *body, *err;
    } bad[] = {
        {403, token_user("Ann", NULL), NULL},
        {401, token_sign(header, good, "another secret, another secret, no"), "Wrong JWT"},
        {400, "", NULL},
        {400, good, NULL},
        {400, "a.b.c", NULL},
        {400, token_for("[{\"channel\":\"news\"}]"),
         "Wrong JWT content: [0].msg: missing, and so is ev"},
        {400, token_for("[{\"msg\":\"x\"}]"), "Wrong JWT content: [0].channel: missing"},
        {400, token_for("[{\"channel\":5,\"msg\":\"x\"}]"),
         "Wrong JWT content: [0].channel: 1 to 200 bytes of UTF-8 expected"},
        {400, token_for("[{\"channel\":\"\",\"msg\":\"x\"}]"),
         "Wrong JWT content: [0].channel: 1 to 200 bytes of UTF-8 expected"},
        {400, token_for("[{\"channel\":\"news\",\"msg\":5}]"),
         "Wrong JWT content: [0].msg: a text expected"},
        {400, token_for("[{\"channel\":\"news\",\"ev\":5}]"),
         "Wrong JWT content: [0].ev: a text expected"},
        {400,
         token_for("[{\"channel\":\"news\",\"ev\":\"e\",\"data\":\"%s\"}]", text_repeat("x", 1001)),
         NULL},
        {400, token_for("[{\"channel\":\"news\",\"msg\":\"%s\"}]", text_repeat("x", 1001)), NULL},
        {400, token_for("[{\"channel\":\"%s\",\"msg\":\"x\"}]", text_repeat("x", 201)),
         "Wrong JWT content: [0].channel: 1 to 200 bytes of UTF-8 expected"},
        {400, token_for("[\"x\"]"), "Wrong JWT content: [0]: an object expected"},
        {400, token_for("[{\"channel\":\"news\",\"msg\":\"x\"},{\"channel\":\"news\"}]"),
         "Wrong JWT content: [1].msg: missing, and so is ev"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct http_answer *answer = http_post(server, "/post", bad[i].body);
        ck_assert_msg(answer->status == bad[i].status, "%zu, %.80s: %d, not %d", i, bad[i].body,
                      answer->status, bad[i].status);
        ck_assert_str_eq(get_string(answer->json, "status"), "error");
        if (bad[i].err)
            ck_assert_str_eq(get_string(answer->json, "err"), bad[i].err);
    }
    assert_json(http_get(server, "/messages/news")->json, "[]");
}
END_TEST

START_TEST(what_cannot_be_stored_is_503_and_can_be_repeated)
{
    if (on_redis()) /* of the embedded broker only */
        return;
    struct server *server = server_start();
    char *token = token_for("[{\"channel\":\"news\",\"msg\":\"one\"}]");
    server_disk_full(server, true);
    struct http_answer *answer =
        http_call(server, "POST", "/post", "Idempotency-Key: k\r\n", token);
    ck_assert_int_eq(answer->status, 503);
    assert_error(answer->json, "unavailable");
    server_disk_full(server, false);
    int64_t deadline = deadline_in(20);
    while (http_call(server, "POST", "/post", "Idempotency-Key: k\r\n", token)->status != 200) {
        ck_assert_msg(now_ms() < deadline, "it never stores again");
        pause_ms(50);
    }
    post_ok(server, "Idempotency-Key: k\r\n", token);
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"one\"]");
}
END_TEST

FLOW_MAIN("post", a_list_is_published_in_its_channels_and_order,
          a_repeated_idempotency_key_publishes_nothing_twice, content_types_do_not_matter,
          wrong_lists_are_refused_whole, what_cannot_be_stored_is_503_and_can_be_repeated)
