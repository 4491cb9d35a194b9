/* 01_chat: joining, saying, reading: what docs/protocol.md says of them. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <time.h>

static const char *const odd_names[] = {
    "a/b",
    "what?",
    "#tag",
    "say \"hi\", 'you'",
    "\xf0\x9f\x98\x80 room",
    "100%",
    "%2F",
    "a+b",
    "..",
    ".",
    "a b",
    "a&channel=b",
    "//",
    "x=y;z",
    "a\\b",
    "<b>bold</b>",
    "m_lobby",
    "\xc3\xa4\xc3\xb6",
    "tab\there",
    "a,b",
};

START_TEST(each_room_gets_its_own_messages_only)
{
    struct server *server = server_start();
    struct reader *red = reader_open(server, "red"), *blue = reader_open(server, "blue");
    struct reader *both = reader_open_path(server, "/ws/red/blue", 2);
    struct publisher *ann = publisher_enter(server, "Ann", "red");
    struct publisher *bob = publisher_enter(server, "Bob", "blue");
    for (int i = 1; i <= 20; i++) {
        ck_assert_int_eq(publisher_say_ok(ann, textf("red %d", i)), i);
        ck_assert_int_eq(publisher_say_ok(bob, textf("blue %d", i)), i);
    }
    struct reader *readers[] = {red, blue, both, both};
    for (int i = 0; i < 4; i++) {
        const char *room = i % 2 ? "blue" : "red";
        reader_wait_offset(readers[i], room, 20);
        struct account *account = reader_account(readers[i], room);
        account_expect_clean(account);
        ck_assert_uint_eq(json_array_size(account->messages), 20);
        for (size_t o = 0; o < 20; o++)
            ck_assert_str_eq(get_string(json_array_get(account->messages, o), "msg"),
                             textf("%s %zu", room, o + 1));
    }
}
END_TEST

START_TEST(a_message_has_the_shape_of_the_protocol)
{
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_open(
        server, token_for("{\"sub\":\"u-17\",\"name\":\"n\",\"x\":1,"
                          "\"_public\":{\"name\":\"Ann\",\"color\":\"#f00\",\"n\":[1,null]}}"));
    publisher_join(ann, "lobby");
    const char *said = "hello <b>\"you\"</b> \\ \xf0\x9f\x98\x80\n\t\x01";
    json_t *reply = json_deep_copy(publisher_say(ann, said, NULL));
    assert_json(json_object_get(reply, "status"), "\"ok\"");
    ck_assert_uint_eq(strlen(get_string(reply, "i")), 36);
    ck_assert_int_eq(get_int(reply, "offset"), 1);
    ck_assert_str_eq(get_string(reply, "epoch"), reader_account(reader, "lobby")->epoch);

    json_t *message = reader_wait_message(reader, "lobby", said);
    ck_assert_uint_eq(json_object_size(message), 6);
    ck_assert_int_eq(get_int(message, "o"), 1);
    ck_assert_str_eq(get_string(message, "sub"), "u-17");
    ck_assert_str_eq(get_string(message, "i"), get_string(reply, "i"));
    assert_json(json_object_get(message, "user"),
                "{\"name\":\"Ann\",\"color\":\"#f00\",\"n\":[1,null]}");
    double sent = json_number_value(json_object_get(message, "d"));
    ck_assert(sent > (double)time(NULL) - 100 && sent < (double)time(NULL) + 10);

    json_t *stored = http_get(server, "/messages/lobby")->json;
    ck_assert_uint_eq(json_array_size(stored), 1);
    ck_assert(json_equal(json_array_get(stored, 0), message));
    ck_assert_int_eq(publisher_say_ok(ann, ""), 2); /* empty is text too */
    reader_wait_message(reader, "lobby", "");
}
END_TEST

/* sub, else name, else _public.name, else nothing */
START_TEST(a_message_says_who_sent_it)
{
    static const struct {
        const char *payload, *sub;
    } users[] = {
        {"{\"sub\":\"s\",\"name\":\"n\",\"_public\":{\"name\":\"p\"}}", "s"},
        {"{\"name\":\"n\",\"_public\":{}}", "n"},
        {"{\"_public\":{\"name\":\"p\"}}", "p"},
        {"{\"_public\":{}}", NULL},
    };
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    for (size_t i = 0; i < COUNT_OF(users); i++) {
        struct publisher *user = publisher_open(server, token_for("%s", users[i].payload));
        publisher_join(user, "lobby");
        publisher_say_ok(user, textf("%zu", i));
        json_t *message = reader_wait_message(reader, "lobby", textf("%zu", i));
        if (users[i].sub)
            ck_assert_str_eq(get_string(message, "sub"), users[i].sub);
        else
            ck_assert_ptr_null(json_object_get(message, "sub"));
    }
}
END_TEST

START_TEST(history_is_newest_first_over_http_and_oldest_first_for_readers)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    static const char *const texts[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++)
        publisher_say_ok(ann, texts[i]);

    json_t *join = http_post(server, "/join/lobby", "")->json;
    ck_assert_str_eq(get_string(join, "host"), textf("http://127.0.0.1:%d", server->port));
    ck_assert_int_eq(strncmp(get_string(join, "id"), "chatUp:chatServer:", 18), 0);
    assert_json(json_object_get(join, "channel"), "{\"subCount\":0,\"pubCount\":1}");
    ck_assert_int_eq(get_int(join, "offset"), 3);
    assert_json(texts_of(get_array(join, "messages")), "[\"c\",\"b\",\"a\"]");
    json_t *messages = http_get(server, "/messages/lobby")->json;
    ck_assert(json_equal(messages, get_array(join, "messages")));
    assert_json(http_get(server, "/messages/empty")->json, "[]");

    struct reader *fresh = reader_open(server, "lobby");
    assert_json(texts_of(reader_account(fresh, "lobby")->messages), "[\"a\",\"b\",\"c\"]");
    assert_json(json_object_get(fresh->frame, "recovered"), "false");
    ck_assert_int_eq(get_int(fresh->frame, "offset"), 3);
    ck_assert_str_eq(get_string(fresh->frame, "epoch"), get_string(join, "epoch"));

    /* The hand-over that /join is for. */
    char *since = position_of(get_string(join, "epoch"), 3);
    struct reader *reader =
        reader_open_query(server, json_pack("[{s:s,s:s}]", "channel", "lobby", "since", since));
    assert_json(json_object_get(reader->frame, "recovered"), "true");
    assert_json(get_array(reader->frame, "messages"), "[]");
    publisher_say_ok(ann, "d");
    reader_wait_message(reader, "lobby", "d");
    account_expect_clean(reader_account(reader, "lobby"));
}
END_TEST

START_TEST(the_history_keeps_as_many_as_configured)
{
    struct server *server = server_start(.yaml = "history:\n  size: 5\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 1; i <= 12; i++)
        publisher_say_ok(ann, textf("%d", i));
    json_t *messages = http_get(server, "/messages/lobby")->json;
    assert_json(texts_of(messages), "[\"12\",\"11\",\"10\",\"9\",\"8\"]");
    ck_assert_int_eq(get_int(json_array_get(messages, 0), "o"), 12);
    struct reader *reader = reader_open(server, "lobby");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"8\",\"9\",\"10\",\"11\",\"12\"]");
}
END_TEST

/* ---- errors ---- */

START_TEST(auth_has_its_errors)
{
    struct server *server = server_start();
    struct publisher *user = publisher_connect(server);
    static const char *const header = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    static const char *const ann = "{\"name\":\"Ann\",\"_public\":{\"name\":\"Ann\"}}";
    const struct {
        const char *token, *err;
    } bad[] = {
        {token_sign(header, ann, "another secret, another secret, no"), "Wrong JWT"},
        {token_sign("{\"alg\":\"none\"}", ann, TOKEN_SECRET), "Wrong JWT"},
        {token_sign("{\"alg\":\"HS512\"}", ann, TOKEN_SECRET), "Wrong JWT"},
        {token_sign("{\"alg\":\"RS256\"}", ann, TOKEN_SECRET), "Wrong JWT"},
        {token_for("{\"exp\":1000,\"_public\":{}}"), "Wrong JWT"},
        {token_for("{\"nbf\":99999999999,\"_public\":{}}"), "Wrong JWT"},
        {"", "Wrong format"},
        {"nonsense", "Wrong format"},
        {"a.b.c", "Wrong format"},
        {"...", "Wrong format"},
        {token_for("{\"name\":\"Ann\"}"), "Wrong JWT content"},
        {token_for("{\"_public\":\"Ann\"}"), "Wrong JWT content"},
        {token_for("[{\"_public\":{}}]"), "Wrong JWT content"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        json_t *reply = publisher_ask(user, "auth", json_string(bad[i].token));
        const char *err = json_string_value(json_object_get(reply, "err"));
        ck_assert_msg(err && !strcmp(err, bad[i].err), "%s: %s", bad[i].token, json_text(reply));
    }
    assert_error(publisher_ask(user, "auth", json_integer(5)), "Wrong format");
    assert_error(publisher_ask(user, "auth", json_null()), "Wrong format");
    assert_error(publisher_ask(user, "join", json_pack("{s:s}", "room", "lobby")),
                 "You need to be authenticated to join a room");
    assert_error(publisher_say(user, "hello", NULL), "Never joined a room");
    assert_json(publisher_ask(user, "auth", json_string(token_user("Ann", NULL))), "\"ok\"");
    assert_json(publisher_ask(user, "auth", json_string(token_user("Ann", NULL))), "\"ok\"");
    assert_error(publisher_ask(user, "auth", json_string(token_user("Bob", NULL))),
                 "Already authenticated");
    publisher_join(user, "lobby"); /* and none of it did harm */
    publisher_say_ok(user, "hello");
}
END_TEST

START_TEST(join_and_say_have_their_errors)
{
    struct server *server = server_start(.yaml = "limits:\n  message_bytes: 1000\n");
    struct publisher *ann = publisher_open(server, token_user("Ann", NULL));
    assert_error(publisher_say(ann, "hello", NULL), "Never joined a room");
    static const char *const joins[] = {"{}",
                                        "5",
                                        "null",
                                        "\"lobby\"",
                                        "{\"room\":5}",
                                        "{\"room\":\"\"}",
                                        "{\"room\":null}",
                                        "[\"lobby\"]"};
    for (size_t i = 0; i < COUNT_OF(joins); i++)
        assert_error(publisher_ask(ann, "join", json_of(joins[i])), "Wrong format");
    assert_error(publisher_ask(ann, "join", json_pack("{s:s}", "room", text_repeat("x", 201))),
                 "Wrong format");
    publisher_join(ann, "lobby");
    publisher_join(ann, "lobby");
    assert_error(publisher_ask(ann, "join", json_pack("{s:s}", "room", "other")),
                 "Already in another room");

    static const char *const says[] = {"{}",
                                       "5",
                                       "\"hello\"",
                                       "{\"msg\":5}",
                                       "{\"msg\":null}",
                                       "{\"msg\":[\"a\"]}",
                                       "{\"msg\":\"a\",\"cid\":\"\"}",
                                       "{\"msg\":\"a\",\"cid\":5}"};
    for (size_t i = 0; i < COUNT_OF(says); i++)
        assert_error(publisher_ask(ann, "say", json_of(says[i])), "Wrong format");
    assert_error(publisher_say(ann, "a", text_repeat("c", 65)), "Wrong format");
    json_t *reply = publisher_say(ann, text_repeat("x", 1001), NULL);
    assert_error(reply, "messageTooLong");
    ck_assert_int_eq(get_int(reply, "max"), 1000);
    ck_assert_int_eq(publisher_say_ok(ann, text_repeat("x", 1000)), 1);
    assert_json(json_object_get(publisher_say(ann, "a", text_repeat("c", 64)), "status"), "\"ok\"");
}
END_TEST

static json_t *send_text(struct publisher *publisher, const char *text)
{
    ck_assert(websocket_send(publisher->ws, text));
    json_t *frame = publisher_receive(publisher);
    ck_assert_msg(frame != NULL, "closed with %d by %.100s", publisher->ws->close_code, text);
    return frame;
}

START_TEST(what_is_no_request_is_answered_and_does_no_harm)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    static const char *const no_json[] = {"", "nonsense", "{\"id\":1,", "{\"id\":1}}",
                                          "\"\\ud800\""};
    for (size_t i = 0; i < COUNT_OF(no_json); i++)
        assert_json(send_text(ann, no_json[i]),
                    "{\"id\":null,\"reply\":{\"status\":\"error\",\"err\":\"Wrong format\"}}");
    const char *no_request[] = {
        "5",
        "null",
        "[]",
        "\"text\"",
        "{}",
        "{\"id\":7}",
        "{\"id\":7,\"shout\":{\"msg\":\"a\"}}",
        "{\"say\":{\"msg\":\"a\"}}",
        "{\"id\":{},\"say\":{\"msg\":\"a\"}}",
        "{\"id\":7,\"say\":{\"msg\":\"a\"},\"join\":{\"room\":\"lobby\"}}",
        textf("{\"id\":\"%s\",\"say\":{\"msg\":\"a\"}}", text_repeat("i", 65)),
        textf("%s%s", text_repeat("[", 5000), text_repeat("]", 5000)),
    };
    for (size_t i = 0; i < COUNT_OF(no_request); i++) {
        json_t *frame = send_text(ann, no_request[i]);
        ck_assert_msg(strstr(json_text(frame), "\"Wrong format\""), "%s: %s", no_request[i],
                      json_text(frame));
    }
    char *longest = text_repeat("i", 64);
    json_t *frame = send_text(ann, textf("{\"id\":\"%s\",\"say\":{\"msg\":\"a\"}}", longest));
    ck_assert_str_eq(get_string(frame, "id"), longest);
    ck_assert_int_eq(get_int(json_object_get(frame, "reply"), "offset"), 1);
    frame = send_text(ann, "{\"id\":\"a\\\"b\",\"say\":{\"msg\":\"a\"}}");
    ck_assert_str_eq(get_string(frame, "id"), "a\"b");
    ck_assert_int_eq(get_int(json_object_get(frame, "reply"), "offset"), 2);
}
END_TEST

START_TEST(frames_may_come_in_pieces_and_are_refused_when_wrong)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    static const char say[] = "{\"id\":9,\"say\":{\"msg\":\"in pieces\"}}";
    for (size_t i = 0; i < sizeof say - 1; i++) {
        websocket_send_frame(ann->ws, i == sizeof say - 2, i ? WS_CONTINUATION : WS_TEXT, say + i,
                             1);
        if (i % 10 == 5)
            websocket_send_frame(ann->ws, true, WS_PING, "p", 1);
    }
    json_t *frame = publisher_receive(ann);
    ck_assert_int_eq(get_int(frame, "id"), 9);
    ck_assert_int_eq(get_int(json_object_get(frame, "reply"), "offset"), 1);

    /* Binary: answered as no JSON, or refused; never a crash or silence. */
    websocket_send_frame(ann->ws, true, WS_BINARY, "\0\xff\x80", 3);
    enum websocket_got got = websocket_receive(ann->ws, deadline_in(20));
    ck_assert_int_ne(got, WS_GOT_LATE);
    if (got == WS_GOT_TEXT)
        assert_error(json_object_get(json_of(ann->ws->message), "reply"), "Wrong format");
    else
        ck_assert(ann->ws->close_code == 1003 || ann->ws->close_code == 1008 ||
                  ann->ws->close_code == 1007);

    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    websocket_send_frame(bob->ws, true, WS_TEXT, "{\"id\":1,\"say\":{\"msg\":\"\xff\xfe\"}}", 28);
    websocket_expect_close(bob->ws, 1007);
    struct publisher *eve = publisher_enter(server, "Eve", "lobby");
    char *text = text_repeat("x", 40000); /* a frame that may be, with a text that may not */
    json_t *reply = publisher_say(eve, text, NULL);
    assert_error(reply, "messageTooLong");
    ck_assert_int_eq(get_int(reply, "max"), 32 * 1024);
    char *big = text_repeat("x", 200000);
    websocket_send(eve->ws, textf("{\"id\":1,\"say\":{\"msg\":\"%s\"}}", big));
    websocket_expect_close(eve->ws, 1009);
    struct publisher *max = publisher_enter(server, "Max", "lobby"); /* the same in fragments */
    websocket_send_frame(max->ws, false, WS_TEXT, big, 50000);
    websocket_send_frame(max->ws, false, WS_CONTINUATION, big, 50000);
    websocket_send_frame(max->ws, true, WS_CONTINUATION, big, 50000);
    websocket_expect_close(max->ws, 1009);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/lobby")->json), 1);
}
END_TEST

START_TEST(who_does_not_speak_up_in_time_is_closed)
{
    struct server *server = server_start(.yaml = "limits:\n  auth: 300ms\n");
    struct websocket *silent_publisher = websocket_open(server, "/pub", 0, NULL);
    struct websocket *silent_reader = websocket_open(server, "/ws", 0, NULL);
    websocket_expect_close(silent_publisher, 1008);
    websocket_expect_close(silent_reader, 1008);
}
END_TEST

START_TEST(noise_does_not_put_off_the_time_to_speak_up)
{
    struct server *server = server_start(.yaml = "limits:\n  auth: 300ms\n");
    struct publisher *noisy = publisher_connect(server);
    while (publisher_ask(noisy, "nothing", json_true())) /* answered, until it is closed */
        ;
    ck_assert(server_is_alive(server));
}
END_TEST

START_TEST(histories_of_several_channels_reach_who_reads_them)
{
    struct server *server =
        server_start(.yaml = "limits:\n  queue_bytes: 64KiB\n  message_bytes: 32KiB\n");
    static const char *const rooms[] = {"a", "b", "c"};
    char *text = textf("%030000d", 0);
    for (size_t i = 0; i < 3; i++) {
        struct publisher *ann = publisher_enter(server, "Ann", rooms[i]);
        for (int n = 0; n < 20; n++)
            publisher_say_ok(ann, text);
    }
    struct reader *reader = reader_open_query(server, json_pack("[s,s,s]", "a", "b", "c"));
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(json_array_size(reader_account(reader, rooms[i])->messages), 20);
}
END_TEST

START_TEST(there_are_no_more_rooms_than_configured)
{
    if (on_redis()) /* of the embedded broker only */
        return;
    struct server *server = server_start(.yaml = "limits:\n  rooms: 2\n");
    struct publisher *ann = publisher_enter(server, "Ann", "one");
    struct publisher *bob = publisher_enter(server, "Bob", "two");
    publisher_say_ok(ann, "a");
    publisher_say_ok(bob, "b");
    struct publisher *eve = publisher_open(server, token_user("Eve", NULL));
    assert_error(publisher_ask(eve, "join", json_pack("{s:s}", "room", "three")), "tooManyRooms");
    publisher_join(eve, "one");
    publisher_say_ok(eve, "c");
}
END_TEST

START_TEST(what_cannot_be_stored_is_unavailable_and_not_published)
{
    if (on_redis()) /* of the embedded broker only */
        return;
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "before");
    server_disk_full(server, true);
    assert_error(publisher_say(ann, "lost", NULL), "unavailable");
    assert_error(publisher_say(ann, "lost", NULL), "unavailable");
    server_disk_full(server, false);
    /* It may need a moment to find out. */
    int64_t deadline = deadline_in(20);
    while (strcmp(get_string(publisher_say(ann, "after", NULL), "status"), "ok") != 0) {
        ck_assert_msg(now_ms() < deadline, "it never stores again");
        pause_ms(50);
    }
    reader_wait_message(reader, "lobby", "after");
    assert_json(texts_of(reader_account(reader, "lobby")->messages), "[\"before\",\"after\"]");
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"after\",\"before\"]");
    server_stop(server);
    server_restart(server);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"after\",\"before\"]");
}
END_TEST

/* ---- order, events, counts ---- */

START_TEST(replies_and_messages_keep_the_order_of_the_says)
{
    enum { SAYS = 300 };
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    int64_t first = ann->last_id + 1;
    for (int i = 0; i < SAYS; i++) /* more than limits.pending_says */
        ck_assert_int_ne(publisher_send_say(ann, textf("%d", i), NULL), 0);
    for (int i = 0; i < SAYS; i++) {
        json_t *frame = publisher_receive(ann);
        ck_assert_int_eq(get_int(frame, "id"), first + i);
        ck_assert_int_eq(get_int(json_object_get(frame, "reply"), "offset"), i + 1);
    }
    reader_wait_offset(reader, "lobby", SAYS);
    struct account *account = reader_account(reader, "lobby");
    account_expect_clean(account);
    for (int i = 0; i < SAYS; i++)
        ck_assert_str_eq(get_string(json_array_get(account->messages, (size_t)i), "msg"),
                         textf("%d", i));
}
END_TEST

START_TEST(a_repeated_client_id_is_one_message)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *again = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    char *first = json_text(publisher_say(ann, "hello", "c-1"));
    ck_assert_str_eq(json_text(publisher_say(ann, "hello", "c-1")), first);
    ck_assert_str_eq(json_text(publisher_say(again, "hello", "c-1")), first);
    ck_assert_int_eq(get_int(publisher_say(bob, "mine", "c-1"), "offset"), 2);
    ck_assert_int_eq(get_int(publisher_say(ann, "hello", "c-2"), "offset"), 3);
    /* At once, without the first answer. */
    publisher_send_say(ann, "twice", "c-3");
    publisher_send_say(ann, "twice", "c-3");
    first = json_text(json_object_get(publisher_receive(ann), "reply"));
    ck_assert_str_eq(json_text(json_object_get(publisher_receive(ann), "reply")), first);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json),
                "[\"twice\",\"hello\",\"mine\",\"hello\"]");
}
END_TEST

START_TEST(join_and_leave_are_events_that_are_not_stored)
{
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_open(server, token_user("Ann", "u-17"));
    publisher_join(ann, "lobby");
    json_t *event = reader_wait_event(reader, "lobby", "join");
    assert_json(json_object_get(event, "user"), "{\"name\":\"Ann\"}");
    ck_assert_str_eq(get_string(event, "sub"), "u-17");
    ck_assert_uint_eq(strlen(get_string(event, "i")), 36);
    ck_assert(json_is_number(json_object_get(event, "d")));
    ck_assert_ptr_null(json_object_get(event, "o"));
    ck_assert_ptr_null(json_object_get(event, "msg"));
    publisher_close(ann);
    assert_json(json_object_get(reader_wait_event(reader, "lobby", "leave"), "user"),
                "{\"name\":\"Ann\"}");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    reader_wait_event(reader, "lobby", "join");
    publisher_cut(bob);
    assert_json(json_object_get(reader_wait_event(reader, "lobby", "leave"), "user"),
                "{\"name\":\"Bob\"}");
    assert_json(http_get(server, "/messages/lobby")->json, "[]");
    account_expect_clean(reader_account(reader, "lobby"));
}
END_TEST

START_TEST(stats_count_connections_and_people)
{
    struct server *server = server_start(.threads = 2);
    struct reader *one = reader_open(server, "lobby"), *two = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *again = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    publisher_open(server, token_user("Eve", NULL)); /* has not joined */
    wait_stats(server, "lobby", 2, 3, 2);
    wait_stats(server, "other", 0, 0, 0);
    json_t *all = http_get(server, "/stats/lobby")->json;
    ck_assert_int_eq(get_int(all, "limit"), 50);
    ck_assert_int_eq(get_int(all, "skip"), 0);
    size_t clients = json_array_size(get_array(all, "clients"));
    ck_assert(clients == 2 || clients == 3);
    json_t *part = http_get(server, "/stats/lobby?limit=1&skip=1")->json;
    ck_assert_int_eq(get_int(part, "limit"), 1);
    ck_assert_int_eq(get_int(part, "skip"), 1);
    ck_assert_uint_eq(json_array_size(get_array(part, "clients")), 1);
    ck_assert_str_eq(json_text(json_array_get(get_array(part, "clients"), 0)),
                     json_text(json_array_get(get_array(all, "clients"), 1)));
    assert_json(get_array(http_get(server, "/stats/lobby?skip=10")->json, "clients"), "[]");
    json_t *join = http_post(server, "/join/lobby", "{}")->json;
    assert_json(json_object_get(join, "channel"), "{\"subCount\":2,\"pubCount\":3}");

    publisher_cut(again);
    reader_cut(two);
    wait_stats(server, "lobby", 1, 2, 2);
    publisher_close(bob);
    wait_stats(server, "lobby", 1, 1, 1);
    publisher_close(ann);
    reader_close(one);
    wait_stats(server, "lobby", 0, 0, 0);
}
END_TEST

/* ---- names ---- */

static void talk_in(struct server *server, const char *name)
{
    struct publisher *ann = publisher_enter(server, "Ann", name);
    publisher_say_ok(ann, name);
    struct reader *query = reader_open_query(server, json_pack("[s]", name));
    struct reader *frame = reader_open_frame(server, json_pack("[{s:s}]", "channel", name));
    publisher_say_ok(ann, "live");
    struct reader *readers[] = {query, frame};
    for (int i = 0; i < 2; i++) {
        reader_wait_offset(readers[i], name, 2);
        json_t *texts = texts_of(reader_account(readers[i], name)->messages);
        ck_assert_msg(json_equal(texts, json_pack("[s,s]", name, "live")), "%s in %s",
                      json_text(texts), name);
    }
    char *encoded = url_encode(name);
    json_t *join = http_post(server, textf("/join?channel=%s", encoded), "")->json;
    ck_assert_msg(join && get_int(join, "offset") == 2, "/join of %s", name);
    ck_assert(json_equal(texts_of(get_array(join, "messages")), json_pack("[s,s]", "live", name)));
    json_t *messages = http_get(server, textf("/messages?channel=%s", encoded))->json;
    ck_assert_msg(json_array_size(messages) == 2, "/messages of %s", name);
    wait_stats(server, name, 2, 1, 1);
    reader_close(query);
    reader_close(frame);
    publisher_close(ann);
}

START_TEST(any_name_makes_a_channel)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(odd_names); i++)
        talk_in(server, odd_names[i]);
    talk_in(server, text_repeat("x", 200));
    talk_in(server, text_repeat("\xc3\xa9", 100));
    ck_assert_int_eq(get_int(http_post(server, "/join/tab%09here", "")->json, "offset"), 2);
}
END_TEST

static void ws_refused(struct server *server, const char *target)
{
    struct http_answer *answer = NULL;
    struct websocket *ws = websocket_open(server, target, 0, &answer);
    ck_assert_msg(!ws, "a websocket at %s", target);
    ck_assert_msg(answer->status == 400, "%s: %s", target, answer->head);
    ck_assert_str_eq(get_string(answer->json, "status"), "error");
    ck_assert_ptr_nonnull(http_header(answer, "Access-Control-Allow-Origin"));
}

START_TEST(what_is_no_channel_is_refused_everywhere)
{
    struct server *server = server_start();
    char *too_long = text_repeat("x", 201);
    char *too_many = textf("[%s\"last\"]", text_repeat("\"c\",", 100));
    const char *bad[] = {
        "nonsense",
        "[]",
        "{}",
        "5",
        "[5]",
        "[\"\"]",
        "[null]",
        "[\"a\\u0000b\"]",
        "[{}]",
        "[\"a\"",
        "[{\"since\":\"5f1c9a0be0d34c77:1\"}]",
        "[{\"channel\":\"a\",\"since\":\"garbage\"}]",
        "[{\"channel\":\"a\",\"since\":5}]",
        "[{\"channel\":\"a\",\"since\":\"5f1c9a0be0d34c77:-1\"}]",
        textf("[\"%s\"]", too_long),
        textf("[\"a\",\"%s\"]", too_long),
        too_many,
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ws_refused(server, textf("/ws?channels=%s", url_encode(bad[i])));
        struct websocket *ws = websocket_open(server, "/ws", 0, NULL);
        websocket_send(ws, textf("{\"channels\":%s}", bad[i]));
        websocket_expect_close(ws, 1008);
        ck_assert_uint_gt(strlen(ws->close_reason), 0);
        websocket_cut(ws);
    }
    ws_refused(server, textf("/ws/%s", too_long));
    ws_refused(server, "/ws/a?since=garbage");
    static const char *const paths[] = {"/join", "/stats", "/messages"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        const char *method = i ? "GET" : "POST", *body = i ? NULL : "";
        const char *targets[] = {
            textf("%s/%s", paths[i], too_long),
            textf("%s?channel=%s", paths[i], too_long),
            textf("%s?channel=", paths[i]),
            textf("%s?channel=%%ff", paths[i]),
            paths[i],
        };
        for (size_t j = 0; j < COUNT_OF(targets); j++) {
            struct http_answer *answer = http_call(server, method, targets[j], NULL, body);
            ck_assert_msg(answer->status == 400, "%s: %s", targets[j], answer->head);
            ck_assert_str_eq(get_string(answer->json, "status"), "error");
        }
    }
}
END_TEST

FLOW_MAIN("chat", each_room_gets_its_own_messages_only, a_message_has_the_shape_of_the_protocol,
          a_message_says_who_sent_it,
          history_is_newest_first_over_http_and_oldest_first_for_readers,
          the_history_keeps_as_many_as_configured, auth_has_its_errors,
          join_and_say_have_their_errors, what_is_no_request_is_answered_and_does_no_harm,
          frames_may_come_in_pieces_and_are_refused_when_wrong,
          who_does_not_speak_up_in_time_is_closed, noise_does_not_put_off_the_time_to_speak_up,
          histories_of_several_channels_reach_who_reads_them,
          there_are_no_more_rooms_than_configured,
          what_cannot_be_stored_is_unavailable_and_not_published,
          replies_and_messages_keep_the_order_of_the_says, a_repeated_client_id_is_one_message,
          join_and_leave_are_events_that_are_not_stored, stats_count_connections_and_people,
          any_name_makes_a_channel, what_is_no_channel_is_refused_everywhere)
