/* 23_moderation: bans by person and by address, of a room and of all; their list and their end;
 * what is removed is gone on every way out; and the history, page by page. */
#include "client.h"
#include "flow.h"
#include "token.h"

#define LOOPS .threads = 2

static struct http_answer *signed_post(struct server *server, const char *route, const char *items)
{
    return http_post(server, route, token_for("%s", items));
}

/* 200, with that body. */
static void moderate(struct server *server, const char *route, const char *items,
                     const char *expected)
{
    struct http_answer *answer = signed_post(server, route, items);
    ck_assert_msg(answer->status == 200, "%s of %s: %s%s", route, items, answer->head,
                  answer->body);
    ck_assert_str_eq(answer->body, expected);
}

#define ban(server, items)            moderate(server, "/ban", items, "OK")
#define unban(server, items, count)   moderate(server, "/unban", items, COUNTED("unbanned", count))
#define removes(server, items, count) moderate(server, "/remove", items, COUNTED("removed", count))
#define COUNTED(what, count)          "{\"status\":\"ok\",\"" what "\":" #count "}"

static void expect_banned(json_t *reply, const char *reason)
{
    assert_error(reply, "banned");
    int64_t ttl = get_int(reply, "ttl");
    ck_assert_msg(ttl > 2000 && ttl <= 3000, "%s", json_text(reply));
    if (reason)
        ck_assert_str_eq(get_string(reply, "reason"), reason);
    else
        ck_assert_ptr_null(json_object_get(reply, "reason"));
}

static void expect_join_banned(struct publisher *publisher, const char *room, const char *reason)
{
    json_t *reply = publisher_ask(publisher, "join", json_pack("{s:s}", "room", room));
    ck_assert_str_eq(get_string(reply, "comment"), "banned");
    ck_assert_int_gt(get_int(reply, "banTTL"), 2000);
    if (reason)
        ck_assert_str_eq(get_string(reply, "reason"), reason);
    else
        ck_assert_ptr_null(json_object_get(reply, "reason"));
}

static void expect_history(struct server *server, const char *target, const char *texts)
{
    assert_json(texts_of(http_get(server, target)->json), texts);
}

/* ---- bans ---- */

START_TEST(a_ban_everywhere_silences_and_removes_in_every_room)
{
    struct server *server = server_start(LOOPS);
    struct reader *lobby = reader_open(server, "lobby"), *news = reader_open(server, "news");
    struct publisher *in_lobby = publisher_open(server, token_user("Mallory", "u-66"));
    struct publisher *in_news = publisher_open(server, token_user("Mal", "u-66"));
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_join(in_lobby, "lobby");
    publisher_join(in_news, "news");
    publisher_say_ok(in_lobby, "m1");
    publisher_say_ok(in_news, "m2");
    publisher_say_ok(ann, "a1");

    ban(server,
        "[{\"sub\":\"u-66\",\"everywhere\":true,\"expire\":3000,\"reason\":\"\\\"spam\\\"\"}]");
    expect_banned(publisher_say(in_lobby, "m3", NULL), "\"spam\"");
    expect_banned(publisher_say(in_news, "m4", NULL), "\"spam\"");
    assert_json(json_object_get(reader_wait_event(lobby, "lobby", "rmUserMsg"), "data"),
                "\"u-66\"");
    assert_json(json_object_get(reader_wait_event(news, "news", "rmUserMsg"), "data"), "\"u-66\"");
    publisher_say_ok(ann, "a2");
    for (int restarted = 0; restarted < 2; restarted++) {
        char *all = http_get(server, "/messages/lobby")->body;
        assert_contains(all, "\"a1\"");
        assert_contains(all, "\"a2\"");
        ck_assert_ptr_null(strstr(all, "\"m1\""));
        ck_assert_ptr_null(strstr(http_get(server, "/messages/news")->body, "\"m2\""));
        struct publisher *elsewhere = publisher_open(server, token_user("Other", "u-66"));
        expect_join_banned(elsewhere, "never seen", "\"spam\"");
        expect_banned(publisher_say(elsewhere, "m5", NULL), "\"spam\"");
        if (restarted)
            break;
        server_kill(server);
        server_restart(server);
    }
    unban(server, "[{\"sub\":\"u-66\",\"channel\":\"lobby\"}]", 0);
    unban(server, "[{\"sub\":\"u-66\",\"everywhere\":true}]", 1);
    unban(server, "[{\"sub\":\"u-66\",\"everywhere\":true}]", 0);
    struct publisher *back = publisher_open(server, token_user("Mallory", "u-66"));
    publisher_join(back, "lobby");
    publisher_say_ok(back, "sorry");
}
END_TEST

START_TEST(a_ban_by_address_is_of_everybody_there)
{
    struct server *server = server_start(LOOPS);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    struct publisher *other = publisher_enter(server, "Bob", "other");
    publisher_say_ok(ann, "one");
    ban(server, "[{\"address\":\"127.0.0.1\",\"channel\":\"lobby\",\"expire\":3000}]");
    expect_banned(publisher_say(ann, "two", NULL), NULL);
    expect_banned(publisher_say(bob, "two", NULL), NULL);
    expect_join_banned(publisher_open(server, token_user("Carl", NULL)), "lobby", NULL);
    publisher_say_ok(other, "two");
    expect_history(server, "/messages/lobby", "[\"one\"]"); /* messages do not know theirs */
    unban(server, "[{\"address\":\"::ffff:127.0.0.1\",\"channel\":\"lobby\"}]", 1);
    publisher_say_ok(ann, "three");
    ban(server, "[{\"address\":\"127.0.0.1\",\"everywhere\":true,\"expire\":3000}]");
    expect_banned(publisher_say(ann, "four", NULL), NULL);
    expect_banned(publisher_say(other, "four", NULL), NULL);
    ck_assert_int_eq(
        signed_post(server, "/post", "[{\"channel\":\"lobby\",\"msg\":\"mine\"}]")->status, 200);
}
END_TEST

START_TEST(names_with_colons_are_not_mixed_up)
{
    struct server *server = server_start();
    struct publisher *other = publisher_enter(server, "a", "b:c");
    ban(server, "[{\"name\":\"a:b\",\"channel\":\"c\"},{\"name\":\"c\",\"channel\":\"a:b\"}]");
    publisher_say_ok(other, "hi");
    expect_history(server, "/messages?channel=b%3Ac", "[\"hi\"]");
}
END_TEST

static json_t *bans(struct server *server, const char *item)
{
    struct http_answer *answer = signed_post(server, "/bans", textf("[%s]", item));
    ck_assert_msg(answer->status == 200, "/bans of %s: %s", item, answer->body);
    json_t *who = json_array(), *ban;
    size_t i;
    json_array_foreach(get_array(answer->json, "bans"), i, ban)
        json_array_append(who, json_object_get(ban, "sub"));
    return json_pack("[o,O]", who, json_object_get(answer->json, "total"));
}

START_TEST(the_list_of_bans_can_be_paged_and_sent_back)
{
    struct server *server = server_start(LOOPS, .yaml = "limits:\n  bans: 5\n");
    for (int i = 1; i <= 5; i++)
        ban(server, textf("[{\"sub\":\"u-%d\",%s,\"expire\":3000,\"reason\":\"no %d\"}]", i,
                          i % 2 ? "\"channel\":\"lobby\"" : "\"everywhere\":true", i));
    struct http_answer *full =
        signed_post(server, "/ban", "[{\"sub\":\"u-6\",\"channel\":\"lobby\"}]");
    ck_assert_int_eq(full->status, 503);
    assert_error(full->json, "tooManyBans");
    for (int restarted = 0; restarted < 2; restarted++) {
        assert_json(bans(server, "{}"), "[[\"u-1\",\"u-2\",\"u-3\",\"u-4\",\"u-5\"],5]");
        assert_json(bans(server, "{\"limit\":2}"), "[[\"u-1\",\"u-2\"],5]");
        assert_json(bans(server, "{\"limit\":2,\"skip\":4}"), "[[\"u-5\"],5]");
        assert_json(bans(server, "{\"channel\":\"lobby\"}"), "[[\"u-1\",\"u-3\",\"u-5\"],3]");
        assert_json(bans(server, "{\"everywhere\":true}"), "[[\"u-2\",\"u-4\"],2]");
        assert_json(bans(server, "{\"channel\":\"news\"}"), "[[],0]");
        if (restarted)
            break;
        server_kill(server);
        server_restart(server);
    }
    json_t *all = signed_post(server, "/bans", "[{}]")->json, *first;
    first = json_array_get(get_array(all, "bans"), 0);
    ck_assert_str_eq(get_string(first, "reason"), "no 1");
    double created = json_number_value(json_object_get(first, "created"));
    double expires = json_number_value(json_object_get(first, "expires"));
    ck_assert(expires - created > 2999 && expires - created < 3001);
    moderate(server, "/unban", json_text(get_array(all, "bans")), COUNTED("unbanned", 5));
    assert_json(bans(server, "{}"), "[[],0]");
}
END_TEST

/* ---- rooms that need a token to read ---- */

#define PRIVATE(name, sub)                                                                         \
    "{\"sub\":\"" sub "\",\"_public\":{\"name\":\"" name "\"},\"channels\":[\"private:*\"]}"

static struct websocket *websocket_reads(struct server *server, const char *target)
{
    struct websocket *ws = websocket_open(server, target, 0, NULL);
    ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    return ws;
}

static void wait_text(struct stream *stream, const char *text)
{
    int64_t deadline = deadline_in(20);
    while (!strstr(stream_at(stream), text))
        ck_assert_msg(stream_receive(stream, deadline) == STREAM_MORE, "no \"%s\" in: %s", text,
                      stream_at(stream));
}

static struct stream *events_read(struct server *server, const char *target)
{
    struct stream *stream = stream_open(server->port, 0);
    const char *request = http_text(server, "GET", target, NULL, NULL);
    ck_assert(stream_send(stream, request, strlen(request)));
    wait_text(stream, "data: {\"channel\"");
    return stream;
}

static void expect_closed(struct websocket *ws, const char *reason)
{
    websocket_expect_close(ws, 1008);
    ck_assert_str_eq(ws->close_reason, reason);
}

/* Every way to read private:a with that token.
 *   err  NULL: all are open */
static void expect_ways_in(struct server *server, const char *token, const char *err)
{
    static const char *const ways[] = {"/ev", "/sub", "/lp", "/messages", "/stats"};
    struct http_answer *answer =
        http_call(server, "POST", textf("/join/private:a?token=%s", token), NULL, "");
    ck_assert_int_eq(answer->status, err ? 403 : 200);
    for (size_t i = 0; err && i < COUNT_OF(ways); i++) {
        answer = http_get(server, textf("%s/private:a?token=%s", ways[i], token));
        ck_assert_msg(answer->status == 403, "%s: %s", ways[i], answer->head);
        assert_error(answer->json, err);
    }
    const char *target = textf("/ws/private:a?token=%s", token);
    if (err) {
        ck_assert_ptr_null(websocket_open(server, target, 0, &answer));
        ck_assert_int_eq(answer->status, 403);
        assert_error(answer->json, err);
    } else {
        websocket_close(websocket_reads(server, target));
    }
    struct websocket *ws = websocket_open(server, "/ws", 0, NULL);
    websocket_send(ws, textf("{\"token\":\"%s\",\"channels\":[\"private:a\"]}", token));
    if (err)
        expect_closed(ws, err);
    else
        ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
}

static void ends_reading_and_keeps_out(const char *whom)
{
    enum { EACH = 4 }; /* the kernel spreads them over the loops */
    struct server *server = server_start(LOOPS);
    char *ann = token_for(PRIVATE("Ann", "u-1")), *mallory = token_for(PRIVATE("Mallory", "u-66"));
    const char *where = textf("/private:a?token=%s", mallory);
    struct websocket *sockets[EACH];
    struct stream *events[EACH];
    struct reader *public = reader_open(server, "lobby");
    for (int i = 0; i < EACH; i++) {
        sockets[i] = websocket_reads(server, textf("/ws%s", where));
        events[i] = events_read(server, textf("/ev%s", where));
    }
    struct websocket *other = websocket_reads(server, textf("/ws/private:b?token=%s", mallory));
    const char *items = textf("[{%s,\"channel\":\"private:a\"}]", whom);
    ban(server, items);
    for (int i = 0; i < EACH; i++) {
        expect_closed(sockets[i], "banned");
        wait_text(events[i], "event: close\ndata: {\"close\":1008,\"reason\":\"banned\"}");
        ck_assert(stream_is_closed_by(events[i], deadline_in(20)));
    }
    for (int i = 0; i < EACH; i++)
        expect_ways_in(server, mallory, "banned");
    struct publisher *speaker = publisher_open(server, ann);
    if (!strstr(whom, "address")) { /* where Ann is, too */
        expect_ways_in(server, ann, NULL);
        publisher_join(speaker, "private:b");
        publisher_say_ok(speaker, "not about this room");
        ck_assert_int_eq(websocket_receive(other, deadline_in(20)), WS_GOT_TEXT);
    }
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    publisher_say_ok(bob, "anybody may read here");
    reader_wait_message(public, "lobby", "anybody may read here");
    unban(server, items, 1);
    for (int i = 0; i < EACH; i++)
        expect_ways_in(server, mallory, NULL);
}

START_TEST(in_a_private_room_a_ban_ends_reading_and_keeps_out)
{
    ends_reading_and_keeps_out("\"sub\":\"u-66\"");
    ends_reading_and_keeps_out("\"name\":\"Mallory\"");
}
END_TEST

START_TEST(in_a_private_room_a_ban_by_address_ends_reading_and_keeps_out)
{
    ends_reading_and_keeps_out("\"address\":\"127.0.0.1\"");
}
END_TEST

START_TEST(a_ban_is_seen_by_who_waits_for_a_private_room)
{
    enum { SAYS = 200, BYTES = 30000, SLOW = 65536 }; /* more than any socket takes at once */
    struct server *server =
        server_start(LOOPS, .yaml = "history:\n  size: 200\n  bytes: 16MiB\n"
                                    "limits:\n  queue_bytes: 64MiB\n  stall: 1h\n");
    struct publisher *ann = publisher_enter(server, "Ann", "big");
    char *big = text_repeat("x", BYTES);
    for (int i = 0; i < SAYS; i++)
        publisher_say_ok(ann, big);
    const char *channels = url_encode("[\"big\",\"private:a\"]");
    const char *target =
        textf("/ws?channels=%s&token=%s", channels, token_for(PRIVATE("Mallory", "u-66")));
    struct websocket *ws = websocket_open(server, target, SLOW, NULL);
    wait_stats(server, "big", 1, 1, 1);
    ban(server, "[{\"sub\":\"u-66\",\"channel\":\"private:a\"}]");
    ck_assert_int_eq(websocket_receive(ws, deadline_in(60)), WS_GOT_TEXT);
    assert_contains(ws->message, "{\"channel\":\"big\"");
    expect_closed(ws, "banned");
    assert_contains(ws->message, "{\"channel\":\"big\""); /* nothing came after it */
}
END_TEST

/* ---- kicks ---- */

START_TEST(a_kick_ends_speaking_and_reading)
{
    struct server *server = server_start(LOOPS);
    char *mallory = token_for(PRIVATE("Mallory", "u-66"));
    struct publisher *speaker = publisher_open(server, mallory);
    struct websocket *ws = websocket_reads(server, textf("/ws/lobby?token=%s", mallory));
    struct websocket *private = websocket_reads(server, textf("/ws/private:a?token=%s", mallory));
    struct stream *events = events_read(server, textf("/ev/lobby?token=%s", mallory));
    struct reader *guest = reader_open(server, "lobby");
    publisher_join(speaker, "lobby");
    moderate(server, "/kick", "[{\"name\":\"Mallory\",\"channel\":\"lobby\"}]", "OK");
    expect_closed(ws, "kicked");
    expect_closed(speaker->ws, "kicked");
    wait_text(events, "event: close\ndata: {\"close\":1008,\"reason\":\"kicked\"}");
    ck_assert(stream_is_closed_by(events, deadline_in(20)));
    moderate(server, "/kick", "[{\"sub\":\"u-66\",\"everywhere\":true}]", "OK");
    expect_closed(private, "kicked");
    websocket_close(websocket_reads(server, textf("/ws/private:a?token=%s", mallory)));
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "hello");
    reader_wait_message(guest, "lobby", "hello");
}
END_TEST

START_TEST(a_kick_closes_their_connections_on_every_loop)
{
    enum { EACH = 4 };
    struct server *server = server_start(LOOPS);
    struct publisher *mallory[EACH], *elsewhere, *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < EACH; i++) { /* the kernel spreads them over the loops */
        mallory[i] = publisher_open(server, token_user("Mallory", "u-66"));
        publisher_join(mallory[i], "lobby");
    }
    elsewhere = publisher_open(server, token_user("Mallory", "u-66"));
    publisher_join(elsewhere, "news");
    wait_stats(server, "lobby", 0, EACH + 1, 2);
    moderate(server, "/kick", "[{\"sub\":\"u-66\",\"channel\":\"lobby\"}]", "OK");
    for (int i = 0; i < EACH; i++) {
        websocket_expect_close(mallory[i]->ws, 1008);
        ck_assert_str_eq(mallory[i]->ws->close_reason, "kicked");
    }
    wait_stats(server, "lobby", 0, 1, 1);
    publisher_say_ok(elsewhere, "here still");
    struct publisher *back = publisher_open(server, token_user("Mallory", "u-66"));
    publisher_join(back, "lobby"); /* it is no ban */
    moderate(server, "/kick", "[{\"name\":\"Mallory\",\"everywhere\":true}]", "OK");
    websocket_expect_close(elsewhere->ws, 1008);
    websocket_expect_close(back->ws, 1008);
    publisher_say_ok(ann, "alone at last");
    moderate(server, "/kick", "[{\"address\":\"127.0.0.1\",\"channel\":\"lobby\"}]", "OK");
    websocket_expect_close(ann->ws, 1008);
}
END_TEST

/* ---- removal ---- */

START_TEST(a_removed_message_is_never_seen_again)
{
    struct server *server = server_start(LOOPS);
    struct reader *reader = reader_open(server, "lobby"), *away = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "zero");
    reader_wait_message(away, "lobby", "zero");
    reader_cut(away);
    json_t *first = json_deep_copy(publisher_say(ann, "one", "c-1"));
    publisher_say_ok(ann, "two");
    publisher_say_ok(ann, "three");
    json_t *message = reader_wait_message(reader, "lobby", "three");
    removes(server, textf("[{\"channel\":\"lobby\",\"i\":\"%s\"}]", get_string(first, "i")), 1);
    json_t *told = json_object_get(reader_wait_event(reader, "lobby", "rmMsg"), "data");
    ck_assert_str_eq(get_string(told, "i"), get_string(first, "i"));
    ck_assert_int_eq(get_int(told, "o"), get_int(first, "offset"));
    removes(server, textf("[{\"channel\":\"lobby\",\"offset\":%d}]", (int)get_int(message, "o")),
            1);
    removes(server, textf("[{\"channel\":\"lobby\",\"i\":\"%s\"}]", get_string(first, "i")), 0);
    for (int restarted = 0; restarted < 2; restarted++) {
        struct reader *fresh = reader_open(server, "lobby");
        reader_resume(away);
        ck_assert_uint_eq(reader_account(away, "lobby")->recovered, restarted ? 2 : 1);
        char *join = http_post(server, "/join/lobby", "")->body;
        const char *ways[] = {http_get(server, "/messages/lobby")->body, join,
                              json_text(reader_account(fresh, "lobby")->messages),
                              json_text(reader_account(away, "lobby")->messages)};
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            assert_contains(ways[i], "\"zero\"");
            assert_contains(ways[i], "\"two\"");
            assert_contains(ways[i], "\"rmMsg\"");
            ck_assert_msg(!strstr(ways[i], "\"one\""), "way %zu: %s", i, ways[i]);
            ck_assert_msg(!strstr(ways[i], "\"three\""), "way %zu: %s", i, ways[i]);
        }
        reader_cut(away);
        if (restarted)
            break;
        server_kill(server);
        server_restart(server);
    }
    /* What was said was said: its repetition is not a new message. */
    ann = publisher_enter(server, "Ann", "lobby");
    json_t *again = publisher_say(ann, "one", "c-1");
    ck_assert_str_eq(get_string(again, "i"), get_string(first, "i"));
    ck_assert_int_eq(get_int(again, "offset"), get_int(first, "offset"));
    ck_assert_ptr_null(strstr(http_get(server, "/messages/lobby")->body, "\"one\""));
}
END_TEST

START_TEST(what_a_person_said_is_removed_here_or_everywhere)
{
    struct server *server = server_start(LOOPS);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *mallory = publisher_enter(server, "mallory", "lobby");
    struct publisher *elsewhere = publisher_enter(server, "mallory", "news");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(mallory, "m1");
    publisher_say_ok(ann, "a1");
    publisher_say_ok(mallory, "m2");
    publisher_say_ok(elsewhere, "m3");
    removes(server, "[{\"channel\":\"lobby\",\"name\":\"mallory\"}]", 2);
    assert_json(json_object_get(reader_wait_event(reader, "lobby", "rmUserMsg"), "data"),
                "\"mallory\"");
    publisher_say_ok(mallory, "m4"); /* no ban */
    char *all = http_get(server, "/messages/lobby")->body;
    assert_contains(all, "\"m4\"");
    ck_assert_ptr_null(strstr(all, "\"m1\""));
    expect_history(server, "/messages/news", "[\"m3\"]");
    removes(server, "[{\"everywhere\":true,\"name\":\"mallory\"}]", 2);
    ck_assert_ptr_null(strstr(http_get(server, "/messages/lobby")->body, "\"m4\""));
    ck_assert_ptr_null(strstr(http_get(server, "/messages/news")->body, "\"m3\""));
}
END_TEST

/* ---- the calls ---- */

START_TEST(wrong_calls_are_refused_and_do_no_harm)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "hello");
    static const char *const routes[] = {"/ban", "/unban", "/bans", "/kick", "/remove"};
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    static const char good[] = "[{\"name\":\"Ann\",\"channel\":\"lobby\"}]";
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        const struct {
            int status;
            const char *body, *err;
        } bad[] = {
            {403, token_user("Ann", NULL), "Wrong JWT content"},
            {401, token_sign(header, good, "another secret, another secret, no"), "Wrong JWT"},
            {401, token_sign("{\"alg\":\"none\"}", good, TOKEN_SECRET), "Wrong JWT"},
            {400, "garbage", "Wrong format"},
            {400, token_for("[5]"), NULL},
            {400, token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\"},[]]"), NULL},
        };
        for (size_t k = 0; k < COUNT_OF(bad); k++) {
            struct http_answer *answer = http_post(server, routes[i], bad[k].body);
            ck_assert_msg(answer->status == bad[k].status, "%s %zu: %d %s", routes[i], k,
                          answer->status, answer->body);
            if (bad[k].err)
                assert_error(answer->json, bad[k].err);
            else
                assert_contains(get_string(answer->json, "err"), "Wrong JWT content: ");
        }
        ck_assert_int_eq(http_get(server, routes[i])->status, 405);
    }
    publisher_say_ok(ann, "still here");
    expect_history(server, "/messages/lobby", "[\"still here\",\"hello\"]");
    moderate(server, "/kick", "[{\"name\":\"nobody\",\"channel\":\"lobby\"}]", "OK");
    ck_assert(server_is_alive(server));
}
END_TEST

/* ---- the history, page by page ---- */

START_TEST(the_history_is_paged_by_offset)
{
    enum { SAID = 25 };
    struct server *server = server_start(LOOPS);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 1; i <= SAID; i++)
        publisher_say_ok(ann, textf("%d", i));
    removes(server, "[{\"channel\":\"lobby\",\"offset\":7},{\"channel\":\"lobby\",\"offset\":8}]",
            2);
    for (int forward = 0; forward < 2; forward++) {
        json_t *all = json_array(), *page = NULL;
        const char *argument = forward ? "after=0" : "before=99";
        do {
            page = http_get(server, textf("/messages/lobby?limit=4&%s", argument))->json;
            ck_assert(json_is_array(page));
            ck_assert_uint_le(json_array_size(page), 4);
            json_array_extend(all, page);
            if (json_array_size(page))
                argument =
                    textf("%s=%d", forward ? "after" : "before",
                          (int)get_int(json_array_get(page, json_array_size(page) - 1), "o"));
        } while (json_array_size(page));
        ck_assert_uint_eq(json_array_size(all), SAID); /* two are gone, two tell so */
        int64_t last = forward ? 0 : SAID + 3;
        for (size_t i = 0; i < json_array_size(all); i++) {
            int64_t offset = get_int(json_array_get(all, i), "o");
            ck_assert(forward ? offset > last : offset < last);
            ck_assert(offset != 7 && offset != 8);
            last = offset;
        }
    }
    expect_history(server, "/messages/lobby?before=4", "[\"3\",\"2\",\"1\"]");
    expect_history(server, "/messages/lobby?after=22&limit=2", "[\"23\",\"24\"]");
    expect_history(server, "/messages/lobby?before=1", "[]");
    expect_history(server, "/messages/nobody?after=0", "[]");
    static const char *const wrong[] = {"before=x", "before=",   "after=-1",
                                        "limit=0",  "limit=1e3", "before=5&after=1"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct http_answer *answer = http_get(server, textf("/messages/lobby?%s", wrong[i]));
        ck_assert_msg(answer->status == 400, "%s: %d", wrong[i], answer->status);
        assert_contains(get_string(answer->json, "err"), "Wrong ");
    }
}
END_TEST

FLOW_MAIN("moderation", a_ban_everywhere_silences_and_removes_in_every_room,
          a_ban_by_address_is_of_everybody_there, names_with_colons_are_not_mixed_up,
          the_list_of_bans_can_be_paged_and_sent_back,
          in_a_private_room_a_ban_ends_reading_and_keeps_out,
          in_a_private_room_a_ban_by_address_ends_reading_and_keeps_out,
          a_ban_is_seen_by_who_waits_for_a_private_room, a_kick_ends_speaking_and_reading,
          a_kick_closes_their_connections_on_every_loop, a_removed_message_is_never_seen_again,
          what_a_person_said_is_removed_here_or_everywhere, wrong_calls_are_refused_and_do_no_harm,
          the_history_is_paged_by_offset)
