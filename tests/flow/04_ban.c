/* 04_ban: who is banned does not speak, and what they said is gone on every way out. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <limits.h>

static void ban(struct server *server, const char *payload)
{
    struct http_answer *answer = http_post(server, "/ban", token_for("%s", payload));
    ck_assert_msg(answer->status == 200, "/ban of %s: %s%s", payload, answer->head, answer->body);
    ck_assert_str_eq(answer->body, "OK");
}

static void expect_banned(json_t *reply, int64_t ttl_max)
{
    assert_error(reply, "banned");
    int64_t ttl = get_int(reply, "ttl");
    ck_assert_msg(ttl_max < 0 ? ttl == -1 : ttl >= 0 && ttl <= ttl_max, "%s", json_text(reply));
}

static void expect_join_banned(struct publisher *publisher, const char *room, int64_t ttl_max)
{
    json_t *reply = publisher_ask(publisher, "join", json_pack("{s:s}", "room", room));
    ck_assert_str_eq(get_string(reply, "status"), "ok");
    ck_assert_str_eq(get_string(reply, "comment"), "banned");
    int64_t ttl = get_int(reply, "banTTL");
    ck_assert_msg(ttl_max < 0 ? ttl == -1 : ttl >= 0 && ttl <= ttl_max, "%s", json_text(reply));
}

START_TEST(a_ban_by_name_silences_and_removes)
{
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open(server, "lobby"), *away = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *mallory = publisher_enter(server, "mallory", "lobby");
    struct publisher *elsewhere = publisher_enter(server, "mallory", "other");
    publisher_say_ok(ann, "a1");
    reader_wait_message(away, "lobby", "a1");
    reader_cut(away);
    publisher_say_ok(mallory, "m1");
    publisher_say_ok(elsewhere, "m in other");
    publisher_say_ok(ann, "a2");
    publisher_say_ok(mallory, "m2");
    reader_wait_message(reader, "lobby", "m2"); /* who was there saw it */

    ban(server, "[{\"name\":\"mallory\",\"channel\":\"lobby\",\"expire\":3000}]");
    assert_json(json_object_get(reader_wait_event(reader, "lobby", "rmUserMsg"), "data"),
                "\"mallory\"");
    expect_banned(publisher_say(mallory, "m3", NULL), 3000);
    expect_join_banned(mallory, "lobby", 3000); /* who is in the room asks so */
    publisher_say_ok(ann, "a3");
    publisher_say_ok(elsewhere, "still in other");
    reader_wait_message(reader, "lobby", "a3");

    /* Gone from the history, over HTTP, for who comes and for who comes back. */
    json_t *http = http_get(server, "/messages/lobby")->json;
    json_t *join = http_post(server, "/join/lobby", "")->json;
    struct reader *fresh = reader_open(server, "lobby");
    reader_resume(away);
    ck_assert_uint_eq(reader_account(away, "lobby")->recovered, 1);
    const json_t *ways[] = {http, get_array(join, "messages"),
                            reader_account(fresh, "lobby")->messages,
                            reader_account(away, "lobby")->messages};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        char *all = json_text(ways[i]);
        for (int a = 1; a <= 3; a++)
            assert_contains(all, textf("\"a%d\"", a));
        for (int m = 1; m <= 3; m++)
            ck_assert_msg(!strstr(all, textf("\"m%d\"", m)), "way %zu: %s", i, all);
    }
    assert_json(texts_of(http_get(server, "/messages/other")->json),
                "[\"still in other\",\"m in other\"]");

    /* Another connection of theirs may come, but is not announced. */
    size_t events = json_array_size(reader_account(reader, "lobby")->events);
    struct publisher *again = publisher_open(server, token_user("mallory", NULL));
    expect_join_banned(again, "lobby", 3000);
    expect_banned(publisher_say(again, "m4", NULL), 3000);
    publisher_say_ok(ann, "a4");
    reader_wait_message(reader, "lobby", "a4");
    ck_assert_uint_eq(json_array_size(reader_account(reader, "lobby")->events), events);
    ck_assert_uint_eq(reader_account(reader, "lobby")->misplaced, 0);
    ck_assert_uint_eq(reader_account(reader, "lobby")->duplicates, 0);
}
END_TEST

START_TEST(what_is_said_while_a_ban_is_stored_does_not_stay)
{
    struct server *server = server_start(.threads = 2, .yaml = "limits:\n  pending_says: 1000\n");
    for (int round = 0; round < 10; round++) {
        char *room = textf("room %d", round);
        struct publisher *mallory = publisher_enter(server, "mallory", room);
        for (int i = 0; i < 300; i++) /* many of them are under way when the ban comes */
            publisher_send_say(mallory, "m", NULL);
        ban(server, textf("[{\"name\":\"mallory\",\"channel\":\"%s\"}]", room));
        int64_t last = publisher_send_say(mallory, "m", NULL);
        while (get_int(publisher_receive(mallory), "id") != last)
            ; /* then all that are stored are announced */
        json_t *message;
        size_t i;
        json_array_foreach(http_get(server, textf("/messages?channel=room%%20%d", round))->json, i,
                           message) ck_assert_str_eq(get_string(message, "ev"), "rmUserMsg");
        publisher_cut(mallory);
    }
}
END_TEST

START_TEST(a_ban_by_sub_is_of_one_person)
{
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *one = publisher_open(server, token_user("Same", "u-66"));
    struct publisher *two = publisher_open(server, token_user("Same", "u-67"));
    publisher_join(one, "lobby");
    publisher_join(two, "lobby");
    publisher_say_ok(one, "of 66");
    publisher_say_ok(two, "of 67");
    ban(server, "[{\"sub\":\"u-66\",\"channel\":\"lobby\"}]");
    assert_json(json_object_get(reader_wait_event(reader, "lobby", "rmUserMsg"), "data"),
                "\"u-66\"");
    expect_banned(publisher_say(one, "again", NULL), -1);
    publisher_say_ok(two, "again of 67");
    char *all = http_get(server, "/messages/lobby")->body;
    assert_contains(all, "again of 67");
    ck_assert_ptr_null(strstr(all, "\"of 66\""));
    struct publisher *back = publisher_open(server, token_user("Other name", "u-66"));
    expect_join_banned(back, "lobby", -1);
}
END_TEST

START_TEST(a_ban_ends)
{
    struct server *server = server_start();
    struct publisher *mallory = publisher_enter(server, "mallory", "lobby");
    ban(server, "[{\"name\":\"mallory\",\"channel\":\"lobby\",\"expire\":2}]");
    expect_banned(publisher_say(mallory, "now", NULL), 2);
    struct publisher *again = publisher_open(server, token_user("mallory", NULL));
    expect_join_banned(again, "lobby", 2);
    int64_t deadline = deadline_in(20);
    json_t *reply;
    while (json_object_get(reply = publisher_say(mallory, "later", NULL), "err")) {
        expect_banned(reply, 2);
        ck_assert_msg(now_ms() < deadline, "the ban does not end");
        pause_ms(50);
    }
    publisher_say_ok(again, "too");
    publisher_enter(server, "mallory", "lobby");
    assert_json(http_post(server, "/ban",
                          token_for("[{\"name\":\"mallory\",\"channel\":\"lobby\",\"expire\":0}]"))
                            ->status == 200
                    ? json_true()
                    : json_false(),
                "true");
    expect_banned(publisher_say(mallory, "never", NULL), -1);
}
END_TEST

static void restart_keeps_bans(bool killed)
{
    struct server *server = server_start();
    struct publisher *mallory = publisher_enter(server, "mallory", "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(mallory, "bad");
    publisher_say_ok(ann, "good");
    ban(server, "[{\"name\":\"mallory\",\"channel\":\"lobby\"},"
                "{\"sub\":\"u-66\",\"channel\":\"lobby\",\"expire\":3000}]");
    if (killed)
        server_kill(server);
    else
        server_stop(server);
    server_restart(server);
    char *all = http_get(server, "/messages/lobby")->body;
    assert_contains(all, "good");
    ck_assert_ptr_null(strstr(all, "\"bad\""));
    mallory = publisher_open(server, token_user("mallory", NULL));
    expect_join_banned(mallory, "lobby", -1);
    expect_banned(publisher_say(mallory, "again", NULL), -1);
    struct publisher *other = publisher_open(server, token_user("x", "u-66"));
    expect_join_banned(other, "lobby", 3000);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "fine");
}

START_TEST(a_restart_keeps_bans)
{
    restart_keeps_bans(false);
}
END_TEST

START_TEST(kill_9_after_the_answer_keeps_bans)
{
    restart_keeps_bans(true);
}
END_TEST

START_TEST(wrong_bans_are_refused_and_do_no_harm)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "hello");
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    static const char good[] = "[{\"name\":\"Ann\",\"channel\":\"lobby\"}]";
    const struct {
        int status;
        const char *body, *err;
    } bad[] = {
        {403, token_user("Ann", NULL), NULL},
        {403, token_for("{}"), NULL},
        {401, token_sign(header, good, "another secret, another secret, no"), "Wrong JWT"},
        {401, token_sign("{\"alg\":\"none\"}", good, TOKEN_SECRET), "Wrong JWT"},
        {400, "", NULL},
        {400, "garbage", NULL},
        {400, "{\"name\":\"Ann\",\"channel\":\"lobby\"}", NULL},
        {400, token_for("[{\"name\":\"Ann\"}]"), "Wrong JWT content"},
        {400, token_for("[{\"channel\":\"lobby\"}]"), "Wrong JWT content"},
        {400, token_for("[{\"name\":5,\"channel\":\"lobby\"}]"), "Wrong JWT content"},
        {400, token_for("[{\"name\":\"Ann\",\"channel\":5}]"), "Wrong JWT content"},
        {400, token_for("[{\"name\":\"Ann\",\"channel\":\"\"}]"), "Wrong JWT content"},
        {400, token_for("[{\"name\":\"Ann\",\"channel\":\"%s\"}]", text_repeat("x", 201)),
         "Wrong JWT content"},
        {400, token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\",\"expire\":\"x\"}]"),
         "Wrong JWT content"},
        {400, token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\",\"expire\":-5}]"),
         "Wrong JWT content"},
        {400, token_for("[5]"), "Wrong JWT content"},
        {400, token_for("5"), NULL},
        /* one good, one bad: neither */
        {400, token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\"},{\"name\":\"Bob\"}]"),
         "Wrong JWT content"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct http_answer *answer = http_post(server, "/ban", bad[i].body);
        ck_assert_msg(answer->status == bad[i].status, "%zu, %.80s: %d, not %d", i, bad[i].body,
                      answer->status, bad[i].status);
        ck_assert_str_eq(get_string(answer->json, "status"), "error");
        if (bad[i].err) /* perhaps with more behind it */
            ck_assert_int_eq(
                strncmp(get_string(answer->json, "err"), bad[i].err, strlen(bad[i].err)), 0);
    }
    publisher_say_ok(ann, "still here");
    ck_assert(server_is_alive(server));
}
END_TEST

/* ---- tokens made for the original ---- */

static char *data(const char *name)
{
    char *text = file_read(textf("tests/data/%s", name));
    ck_assert_msg(text != NULL, "no tests/data/%s here", name);
    text[strcspn(text, "\r\n")] = 0;
    return text;
}

START_TEST(the_tokens_of_the_original_work)
{
    char path[PATH_MAX];
    ck_assert_ptr_nonnull(realpath("tests/data/original_example.crt", path));
    struct server *server =
        server_start(.keys = textf("    - algorithm: RS256\n      file: \"%s\"\n", path));
    struct reader *reader = reader_open(server, "TestRoom");
    struct publisher *user = publisher_open(server, data("original_user.jwt"));
    publisher_join(user, "TestRoom");
    publisher_say_ok(user, "hello");
    json_t *message = reader_wait_message(reader, "TestRoom", "hello");
    assert_json(json_object_get(message, "user"), "{\"name\":\"Test 1\"}");

    struct publisher *test1 = publisher_enter(server, "test1", "TestRoom");
    struct publisher *test2 = publisher_enter(server, "test2", "TestRoom2");
    publisher_say_ok(test1, "bad");
    struct http_answer *answer = http_post(server, "/ban", data("original_ban.jwt"));
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(answer->body, "OK");
    assert_json(json_object_get(reader_wait_event(reader, "TestRoom", "rmUserMsg"), "data"),
                "\"test1\"");
    expect_banned(publisher_say(test1, "x", NULL), 30);
    expect_banned(publisher_say(test2, "x", NULL), -1);
    publisher_say_ok(user, "still");
    ck_assert_int_eq(http_post(server, "/ban", data("original_user.jwt"))->status, 403);
    ck_assert(server_is_alive(server));

    /* The certificate is no secret: what is signed with its text is a forgery. */
    struct publisher *forger = publisher_connect(server);
    char *forged =
        token_sign("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{\"_public\":{}}", file_read(path));
    assert_error(publisher_ask(forger, "auth", json_string(forged)), "Wrong JWT");
}
END_TEST

FLOW_MAIN("ban", a_ban_by_name_silences_and_removes,
          what_is_said_while_a_ban_is_stored_does_not_stay, a_ban_by_sub_is_of_one_person,
          a_ban_ends, a_restart_keeps_bans, kill_9_after_the_answer_keeps_bans,
          wrong_bans_are_refused_and_do_no_harm, the_tokens_of_the_original_work)
