/* 40_blacklist: the words, the requests that change them, and what outlives a restart. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <time.h>

static struct server *server_with(const char *options)
{
    return server_start(.threads = 3,
                        .yaml = textf("plugins:\n  - {name: blacklist, config: {%s}}\n", options));
}

static struct http_answer *change(struct server *server, const char *json)
{
    return http_post(server, "/plugin/blacklist", token_for("%s", json));
}

/* A change is everywhere soon after its answer: say it until it is so. */
static void wait_refused(struct publisher *publisher, const char *text, bool refused)
{
    for (int64_t deadline = deadline_in(10);;) {
        const json_t *reply = publisher_say(publisher, text, NULL);
        const char *err = json_string_value(json_object_get(reply, "err"));
        if ((err && !strcmp(err, "blacklistedWord")) == refused)
            return;
        ck_assert_msg(now_ms() < deadline, "%s: %s", text, json_text(reply));
        pause_ms(10);
    }
}

START_TEST(words_come_and_go_on_every_loop_and_outlive_the_process)
{
    struct server *server = server_with("");
    struct publisher *all[6];
    for (size_t i = 0; i < COUNT_OF(all); i++) /* some on each loop */
        all[i] = publisher_enter(server, textf("u%zu", i), "lobby");
    struct http_answer *answer =
        change(server, "{\"blacklistAdd\":[\"c++\",\"Bad\"],\"muteAdd\":[\"darn\"]}");
    ck_assert_int_eq(answer->status, 200);
    assert_json(answer->json, "{\"status\":\"ok\",\"changes\":3}");
    for (size_t i = 0; i < COUNT_OF(all); i++)
        wait_refused(all[i], "what is BAD", true);
    static const char *const refused[] = {"bad",
                                          "bad!",
                                          "so b\xc3\xa1"
                                          "d",
                                          "b\xe2\x80\x8b"
                                          "ad",
                                          "bad bad",
                                          "I like C++."};
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        assert_json(publisher_say(all[0], refused[i], NULL),
                    "{\"status\":\"error\",\"err\":\"blacklistedWord\"}");
    publisher_say_ok(all[0], "my badge is not bade");
    for (int64_t deadline = deadline_in(10);;) { /* the two lists may come one after the other */
        publisher_say_ok(all[1], "darn");
        json_t *newest = json_array_get(http_get(server, "/messages/lobby?limit=1")->json, 0);
        if (!strcmp(get_string(newest, "msg"), "***"))
            break;
        ck_assert(now_ms() < deadline);
        pause_ms(10);
    }
    struct reader *reader = reader_open(server, "lobby");
    publisher_say_ok(all[1], "Darn, d\xc3\xa4rn it!");
    reader_wait_message(reader, "lobby", "***, *** it!");

    server_kill(server);
    server_restart(server);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    assert_error(publisher_say(ann, "bad", NULL), "blacklistedWord"); /* at once: it waits */
    ck_assert_int_eq(change(server, "{\"blacklistRemove\":[\"Bad\"]}")->status, 200);
    wait_refused(ann, "bad", false);
    assert_error(publisher_say(ann, "c++", NULL), "blacklistedWord");
}
END_TEST

START_TEST(they_are_listed_for_servers_only)
{
    struct server *server = server_with("words: [fixed]");
    ck_assert_int_eq(
        change(server, "[{\"muteAdd\":[\"b\",\"a\"]},{\"blacklistAdd\":[\"x\"]}]")->status, 200);
    char *token = token_for("{\"aud\":\"chatup-admin\",\"exp\":%lld,\"jti\":\"one\",\"items\":[]}",
                            (long long)time(NULL) + 60);
    char *header = textf("authorization: Bearer %s\r\n", token);
    struct http_answer *answer = http_call(server, "GET", "/plugin/blacklist", header, NULL);
    ck_assert_int_eq(answer->status, 200);
    assert_json(answer->json, "{\"words\":[\"x\"],\"muted\":[\"a\",\"b\"]}");
    ck_assert_int_eq(http_call(server, "GET", "/plugin/blacklist", header, NULL)->status, 409);
    ck_assert_int_eq(http_get(server, "/plugin/blacklist")->status, 401);
    header = textf("authorization: Bearer %s\r\n", token_user("Ann", "u-1"));
    ck_assert_int_eq(http_call(server, "GET", "/plugin/blacklist", header, NULL)->status, 403);
    assert_error(publisher_say(publisher_enter(server, "Ann", "lobby"), "fixed", NULL),
                 "blacklistedWord");
}
END_TEST

START_TEST(wrong_requests_change_nothing_and_say_what_is_wrong)
{
    static const struct {
        const char *json, *err;
    } wrong[] = {
        {"{\"blacklistAd\":[\"x\"]}", "blacklistAd: not one of"},
        {"{\"blacklistAdd\":\"x\"}", "blacklistAdd: a list expected"},
        {"{\"blacklistAdd\":[\"x\",7]}", "blacklistAdd[1]: a word of 1 to 200 bytes"},
        {"{\"muteAdd\":[\"\"]}", "muteAdd[0]"},
        {"[7]", "an object of lists expected"},
        {"{\"blacklistAdd\":[\"a\",\"b\",\"c\",\"d\"]}", "tooManyWords"},
    };
    struct server *server = server_with("max_words: 3");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct http_answer *answer = change(server, wrong[i].json);
        ck_assert_int_eq(answer->status, 400);
        assert_contains(get_string(answer->json, "err"), wrong[i].err);
    }
    ck_assert_int_eq(http_post(server, "/plugin/blacklist", "nonsense")->status, 400);
    ck_assert_int_eq(
        http_post(server, "/plugin/blacklist",
                  token_sign("{\"alg\":\"HS256\"}", "{\"blacklistAdd\":[\"x\"]}", "another one"))
            ->status,
        401);
    ck_assert_int_eq(http_call(server, "PUT", "/plugin/blacklist", NULL, "x")->status, 405);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "x a b c d");
}
END_TEST

START_TEST(thousands_of_words_come_in_one_request)
{
    struct server *server =
        server_start(.threads = 2,
                     .yaml = "limits:\n  body_bytes: 1MiB\nplugins:\n  - {name: blacklist}\n");
    char *json = malloc(200000), *to = json;
    to += sprintf(to, "{\"blacklistAdd\":[\"word0\"");
    for (int i = 1; i < 10000; i++)
        to += sprintf(to, ",\"word%d\"", i);
    strcpy(to, "]}");
    struct http_answer *answer = change(server, json);
    free(json);
    ck_assert_int_eq(answer->status, 200);
    assert_json(answer->json, "{\"status\":\"ok\",\"changes\":10000}");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    wait_refused(ann, "the word9999", true);
    publisher_say_ok(ann, "the word10000");
}
END_TEST

FLOW_MAIN("blacklist", words_come_and_go_on_every_loop_and_outlive_the_process,
          they_are_listed_for_servers_only, wrong_requests_change_nothing_and_say_what_is_wrong,
          thousands_of_words_come_in_one_request)
