/* 10_handshake: how a websocket begins, whose it is, and for how long. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <time.h>

#define KEY        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION    "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE    "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ALL        UPGRADE CONNECTION VERSION KEY

static struct http_answer *ask(struct server *server, const char *method, const char *target,
                               const char *version, const char *headers)
{
    return http_raw(server,
                    textf("%s %s HTTP/%s\r\nHost: x\r\n%s\r\n", method, target, version, headers));
}

static const struct {
    const char *method, *target, *version, *headers;
    int status;
    const char *err; /* it begins with this; NULL: 101 */
} handshakes[] = {
    {"GET", "/ws/lobby", "1.1", ALL, 101, NULL},
    {"GET", "/ws", "1.1", ALL, 101, NULL},
    {"GET", "/pub", "1.1", ALL, 101, NULL},
    {"GET", "/pub?", "1.1", ALL, 101, NULL},
    {"GET", "http://x/pub", "1.1", ALL, 101, NULL},
    {"GET", "/ws?channel=lobby", "1.1", ALL, 101, NULL},
    {"GET", "/pub", "1.1", "UPGRADE: WebSocket\r\nconnection: keep-alive,uPGRADE\r\n" VERSION KEY,
     101, NULL},
    {"GET", "/pub", "1.1", ALL "Sec-WebSocket-Extensions: permessage-deflate\r\n", 101, NULL},
    {"GET", "/pub", "1.1", ALL "Sec-WebSocket-Protocol: chat\r\n", 101, NULL},
    {"GET", "/pub", "1.1", ALL "Content-Length: 0\r\n", 101, NULL},
    {"GET", "/pub", "1.1", CONNECTION VERSION KEY, 426, "This is a websocket"},
    {"GET", "/pub", "1.1", UPGRADE VERSION KEY, 426, "This is a websocket"},
    {"GET", "/pub", "1.1", "Upgrade: h2c\r\n" CONNECTION VERSION KEY, 426, "This is a websocket"},
    {"GET", "/pub", "1.1", UPGRADE "Connection: close\r\n" VERSION KEY, 426, "This is a websocket"},
    {"GET", "/ws/lobby", "1.1", "", 426, "This is a websocket"},
    {"POST", "/ws/lobby", "1.1", "", 426, "This is a websocket"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION KEY, 426, "Websocket version 13"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n", 426,
     "Websocket version 13"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 14\r\n", 426,
     "Websocket version 13"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION KEY "Sec-WebSocket-Version:\r\n", 426,
     "Websocket version 13"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION VERSION, 400, "Sec-WebSocket-Key is not"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION VERSION "Sec-WebSocket-Key:\r\n", 400,
     "Sec-WebSocket-Key is not"},
    {"GET", "/pub", "1.1", UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: short==\r\n", 400,
     "Sec-WebSocket-Key is not"},
    {"GET", "/pub", "1.1",
     UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: ========================\r\n", 400,
     "Sec-WebSocket-Key is not"},
    {"GET", "/pub", "1.1", ALL KEY, 400, "a header that may come once"},
    {"GET", "/pub", "1.1", ALL "Origin: a\r\nOrigin: b\r\n", 400, "a header that may come once"},
    {"GET", "/pub", "1.0", ALL, 400, "A websocket begins with"},
    {"POST", "/pub", "1.1", ALL, 400, "A websocket begins with"},
    {"OPTIONS", "/pub", "1.1", ALL, 400, "A websocket begins with"},
    {"GET", "/pub", "1.1", ALL "Content-Length: 1\r\n", 400, "A websocket begins with"},
    {"GET", "/pub", "1.1", ALL "Transfer-Encoding: chunked\r\n", 411, "Length required"},
    {"GET", "/", "1.1", ALL, 404, "Not found"},
    {"GET", "/stats/lobby", "1.1", ALL, 404, "Not found"},
    {"GET", "/pub/", "1.1", ALL, 404, "Not found"},
    {"GET", "/pub/lobby", "1.1", ALL, 404, "Not found"},
    {"GET", "/wsx", "1.1", ALL, 404, "Not found"},
    {"GET", "/ws%2Flobby", "1.1", ALL, 404, "Not found"},
    {"GET", "/%77s/lobby", "1.1", ALL, 404, "Not found"},
    {"GET", "/ws//", "1.1", ALL, 400, "channels: a name is"},
    {"GET", "/ws/a/", "1.1", ALL, 400, "channels: a name is"},
    {"GET", "/ws/a//b", "1.1", ALL, 400, "channels: a name is"},
    {"GET", "/ws/%ff", "1.1", ALL, 400, "channels: a name is"},
    {"GET", "/ws/a/a", "1.1", ALL, 400, "channels: the same channel twice"},
    {"GET", "/ws/a%2", "1.1", ALL, 400, "The target is not percent-encoded"},
    {"GET", "/ws/%00", "1.1", ALL, 400, "The target is not percent-encoded"},
    {"GET", "/ws/a?since=x", "1.1", ALL, 400, "since: a position is"},
    {"GET", "/ws?channels=x", "1.1", ALL, 400, "channels: not a JSON array"},
    {"GET", "/ws?channels=", "1.1", ALL, 400, "channels: not a JSON array"},
    {"GET", "/ws?channels=[]", "1.1", ALL, 400, "channels: a list of names"},
    {"GET", "/ws?channels={}", "1.1", ALL, 400, "channels: a list of names"},
    {"GET", "/ws?channels=[1]", "1.1", ALL, 400, "channels: a name is"},
    {"GET", "/ws?channel=", "1.1", ALL, 400, "channel"},
    {"GET", "/ws/user:1", "1.1", ALL, 403, "unauthorized"},
    {"GET", "/ws/a/private:b", "1.1", ALL, 403, "unauthorized"},
    {"GET", "/ws/a?token=x", "1.1", ALL, 401, "Wrong"},
    {"GET", "/pub?token=x", "1.1", ALL, 401, "Wrong"},
    {"GET", "/pub?token=", "1.1", ALL, 401, "Wrong"},
    {"GET", "/pub", "1.1", ALL "Authorization: Bearer x\r\n", 401, "Wrong"},
    {"GET", "/pub", "1.1", ALL "Authorization: Basic eDp5\r\n", 101, NULL},
};

START_TEST(a_handshake_is_right_or_told_what_is_wrong)
{
    struct server *server = server_start();
    for (size_t i = 0; i < COUNT_OF(handshakes); i++) {
        struct http_answer *answer = ask(server, handshakes[i].method, handshakes[i].target,
                                         handshakes[i].version, handshakes[i].headers);
        ck_assert_msg(answer->status == handshakes[i].status, "case %zu, %s: %s%s", i,
                      handshakes[i].target, answer->head, answer->body);
        if (answer->status == 101) {
            ck_assert_str_eq(http_header(answer, "Upgrade"), "websocket");
            ck_assert_str_eq(http_header(answer, "Connection"), "Upgrade");
            ck_assert_str_eq(http_header(answer, "Sec-WebSocket-Accept"),
                             "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            ck_assert_ptr_null(http_header(answer, "Sec-WebSocket-Protocol"));
            continue;
        }
        ck_assert_str_eq(get_string(answer->json, "status"), "error");
        const char *err = get_string(answer->json, "err");
        ck_assert_msg(!strncmp(err, handshakes[i].err, strlen(handshakes[i].err)), "case %zu: %s",
                      i, err);
        if (answer->status == 426) {
            ck_assert_str_eq(http_header(answer, "Upgrade"), "websocket");
            ck_assert_str_eq(http_header(answer, "Sec-WebSocket-Version"), "13");
        }
        if (answer->status == 401)
            ck_assert_ptr_nonnull(http_header(answer, "WWW-Authenticate"));
    }
}
END_TEST

START_TEST(pages_elsewhere_may_not_open_one_unless_origins_says_so)
{
    struct server *server =
        server_start(.yaml = "origins: \"https://a.example, https://b.example:8443\"\n");
    static const struct {
        const char *origin;
        int status;
    } origins[] = {
        {"", 101}, /* not a page */
        {"Origin: https://a.example\r\n", 101},
        {"Origin: https://b.example:8443\r\n", 101},
        {"Origin: https://b.example\r\n", 403},
        {"Origin: http://a.example\r\n", 403},
        {"Origin: https://a.example:443\r\n", 403},
        {"Origin: https://a.example.evil.example\r\n", 403},
        {"Origin: https://evil.example/https://a.example\r\n", 403},
        {"Origin: https://a.exampl\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: *\r\n", 403},
        {"Origin:\r\n", 403},
        {"Origin: https://a.example, https://b.example:8443\r\n", 403},
    };
    static const char *const targets[] = {"/ws/a", "/pub"};
    for (size_t i = 0; i < COUNT_OF(origins); i++)
        for (size_t j = 0; j < COUNT_OF(targets); j++) {
            struct http_answer *answer =
                ask(server, "GET", targets[j], "1.1", textf("%s%s", ALL, origins[i].origin));
            ck_assert_msg(answer->status == origins[i].status, "%s: %s%s", origins[i].origin,
                          answer->head, answer->body);
            if (answer->status == 403)
                ck_assert_ptr_null(http_header(answer, "Access-Control-Allow-Origin"));
        }
}
END_TEST

/* ---- in one segment ---- */

static void append(char **all, size_t *length, const char *bytes, size_t more)
{
    *all = realloc(*all, *length + more);
    memcpy(*all + *length, bytes, more);
    *length += more;
}

static void append_frame(char **all, size_t *length, const char *text)
{
    size_t size;
    char *frame = websocket_frame(true, WS_TEXT, text, strlen(text), &size);
    append(all, length, frame, size);
}

START_TEST(frames_may_follow_the_handshake_at_once)
{
    struct server *server = server_start();
    struct reader *reader = reader_open(server, "lobby");
    char *request = textf("GET /pub HTTP/1.1\r\nHost: x\r\n%s\r\n", ALL), *all = NULL;
    char *before = http_text(server, "GET", "/stats/lobby", NULL, NULL);
    size_t length = 0, pieces[] = {1, 7, 1000000};
    append(&all, &length, before, strlen(before)); /* and it may follow another request */
    append(&all, &length, request, strlen(request));
    append_frame(&all, &length, textf("{\"id\":1,\"auth\":\"%s\"}", token_user("Ann", NULL)));
    append_frame(&all, &length, "{\"id\":2,\"join\":{\"room\":\"lobby\"}}");
    append_frame(&all, &length, "{\"id\":3,\"say\":{\"msg\":\"all at once\"}}");
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct websocket ws = {.stream = stream_open(server->port, 0)};
        for (size_t at = 0; at < length; at += pieces[i])
            stream_send(ws.stream, all + at, pieces[i] < length - at ? pieces[i] : length - at);
        ck_assert_int_eq(http_receive(ws.stream, false, deadline_in(20))->status, 200);
        ck_assert_int_eq(http_receive(ws.stream, false, deadline_in(20))->status, 101);
        for (int id = 1; id <= 3; id++) {
            ck_assert_int_eq(websocket_receive(&ws, deadline_in(20)), WS_GOT_TEXT);
            ck_assert_int_eq(get_int(json_of(ws.message), "id"), id);
        }
        reader_wait_offset(reader, "lobby", (int64_t)i + 1);
        stream_cut(ws.stream);
    }
    account_expect_clean(reader_account(reader, "lobby"));
}
END_TEST

/* ---- tokens ---- */

static struct websocket *open_with(struct server *server, const char *target, const char *headers)
{
    char *request = textf("GET %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", target, ALL, headers);
    struct websocket *ws = calloc(1, sizeof *ws);
    ws->stream = stream_open(server->port, 0);
    stream_send(ws->stream, request, strlen(request));
    struct http_answer *answer = http_receive(ws->stream, false, deadline_in(20));
    ck_assert_msg(answer && answer->status == 101, "%s: %s%s", target, answer->head, answer->body);
    return ws;
}

static json_t *ask_for(struct websocket *ws, const char *request)
{
    websocket_send(ws, request);
    do
        ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    while (!strncmp(ws->message, "{\"expires\"", 10));
    return json_object_get(json_of(ws->message), "reply");
}

START_TEST(a_token_in_the_handshake_authenticates_a_publisher)
{
    struct server *server = server_start();
    char *token = token_user("Ann", "1"), *other = token_user("Bob", "2");
    struct websocket *sockets[] = {
        open_with(server, "/pub", textf("Authorization: Bearer %s\r\n", token)),
        open_with(server, textf("/pub?token=%s", token), ""),
        open_with(server, "/pub?token=nonsense", textf("Authorization: bearer %s\r\n", token)),
    };
    for (size_t i = 0; i < COUNT_OF(sockets); i++) {
        const char *again = textf("{\"id\":1,\"auth\":\"%s\"}", token);
        const char *as_bob = textf("{\"id\":1,\"auth\":\"%s\"}", other);
        assert_json(ask_for(sockets[i], "{\"id\":1,\"join\":{\"room\":\"lobby\"}}"), "\"ok\"");
        assert_json(ask_for(sockets[i], again), "\"ok\"");
        assert_error(ask_for(sockets[i], as_bob), "Already authenticated");
        json_t *said = ask_for(sockets[i], "{\"id\":1,\"say\":{\"msg\":\"hi\"}}");
        ck_assert_str_eq(get_string(said, "status"), "ok");
    }
    json_t *messages = http_get(server, "/messages/lobby")->json;
    ck_assert_uint_eq(json_array_size(messages), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(get_string(json_array_get(messages, i), "sub"), "1");
}
END_TEST

static char *token_until(const char *sub, int64_t seconds)
{
    return token_for("{\"sub\":\"%s\",\"_public\":{},\"exp\":%lld,\"channels\":[\"private:*\"]}",
                     sub, (long long)(time(NULL) + seconds));
}

/* What is told of the end of the token, then the end itself. */
static void expect_expiry(struct websocket *ws)
{
    bool told = false;
    enum websocket_got got;
    while ((got = websocket_receive(ws, deadline_in(20))) == WS_GOT_TEXT)
        if (!strncmp(ws->message, "{\"expires\":", 11)) {
            ck_assert(!told);
            told = true;
            int64_t left = get_int(json_of(ws->message), "expires");
            ck_assert_msg(left >= 0 && left <= 10, "%s", ws->message);
        }
    ck_assert_int_eq(got, WS_GOT_CLOSE);
    ck_assert(told);
    ck_assert_int_eq(ws->close_code, 1008);
    ck_assert_str_eq(ws->close_reason, "token expired");
}

START_TEST(when_the_token_ends_the_connection_does_after_a_word)
{
    struct server *server = server_start(.keys = "  leeway: 0s\n");
    char *token = token_until("1", 3);
    char *header = textf("Authorization: Bearer %s\r\n", token);
    struct websocket *sockets[] = {
        open_with(server, "/pub", header),      open_with(server, "/ws/private:a", header),
        open_with(server, "/ws/lobby", header), /* even where none was needed */
        open_with(server, "/ws", ""),           open_with(server, "/pub", ""),
    };
    websocket_send(sockets[3], textf("{\"token\":\"%s\",\"channels\":[\"private:b\"]}", token));
    websocket_send(sockets[4], textf("{\"id\":1,\"auth\":\"%s\"}", token));
    for (size_t i = 0; i < COUNT_OF(sockets); i++)
        expect_expiry(sockets[i]);
}
END_TEST

/* Frames until one that is about expiry. */
static int64_t wait_expires(struct websocket *ws)
{
    do
        ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    while (strncmp(ws->message, "{\"expires\":", 11) != 0);
    return get_int(json_of(ws->message), "expires");
}

START_TEST(a_fresh_token_of_the_same_person_keeps_it_open)
{
    struct server *server = server_start(.keys = "  leeway: 0s\n");
    char *header = textf("Authorization: Bearer %s\r\n", token_until("1", 3));
    struct websocket *pub = open_with(server, "/pub", header);
    struct websocket *ws = open_with(server, "/ws/private:a", header);
    ck_assert_int_le(wait_expires(pub), 3);
    ck_assert_int_le(wait_expires(ws), 3);
    char *fresh = token_until("1", 40);
    assert_json(ask_for(pub, textf("{\"id\":1,\"auth\":\"%s\"}", fresh)), "\"ok\"");
    websocket_send(ws, textf("{\"token\":\"%s\"}", fresh));
    /* The next word is about the fresh one. */
    ck_assert_int_gt(wait_expires(pub), 10);
    ck_assert_int_gt(wait_expires(ws), 10);
    /* When the first one would have ended, both are still there. */
    pause_ms(3500);
    assert_json(ask_for(pub, "{\"id\":2,\"join\":{\"room\":\"private:a\"}}"), "\"ok\"");
    ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    assert_contains(ws->message, "\"join\"");
}
END_TEST

START_TEST(a_reader_may_not_become_somebody_else)
{
    struct server *server = server_start();
    static const struct {
        const char *sub, *channels; /* of the second token */
        const char *reason;         /* NULL: it stays */
    } seconds[] = {
        {"1", "[\"private:*\"]", NULL},
        {"1", "[\"private:a\"]", NULL},
        {"2", "[\"private:*\"]", "another identity"},
        {"1", "[\"private:b\"]", "forbidden"},
        {"1", "[]", "forbidden"},
    };
    char *first = token_for("{\"sub\":\"1\",\"_public\":{},\"channels\":[\"private:a\"]}");
    for (size_t i = 0; i < COUNT_OF(seconds); i++) {
        struct websocket *ws = open_with(server, textf("/ws/private:a?token=%s", first), "");
        char *second = token_for("{\"sub\":\"%s\",\"_public\":{},\"channels\":%s}", seconds[i].sub,
                                 seconds[i].channels);
        websocket_send(ws, textf("{\"token\":\"%s\"}", second));
        if (seconds[i].reason) {
            websocket_expect_close(ws, 1008);
            ck_assert_str_eq(ws->close_reason, seconds[i].reason);
        } else {
            websocket_close(ws);
        }
    }
    static const char *const wrong[] = {"\"\"", "\"x\"", "1", "null", "{}", "[\"x\"]"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct websocket *ws = open_with(server, "/ws/lobby", "");
        websocket_send(ws, textf("{\"token\":%s}", wrong[i]));
        websocket_expect_close(ws, 1008);
        ck_assert_str_eq(ws->close_reason, "Wrong JWT");
    }
    /* One that is too long is not looked at, and what is no token does not matter. */
    struct websocket *ws = open_with(server, "/ws/lobby", "");
    static const char *const ignored[] = {"", "x", "{}", "[]", "{\"channels\":[\"b\"]}", "\"x\""};
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        websocket_send(ws, ignored[i]);
    websocket_send_frame(ws, true, WS_BINARY, "\xff", 1);
    websocket_send(ws, textf("{\"token\":\"%s\"}", first)); /* a guest may say who it is */
    websocket_close(ws);
    ws = open_with(server, "/ws/lobby", "");
    char *padded = token_for("{\"sub\":\"1\",\"_public\":{\"x\":\"%s\"}}", text_repeat("x", 9000));
    websocket_send(ws, textf("{\"token\":\"%s\"}", padded));
    websocket_expect_close(ws, 1008);
}
END_TEST

/* What was allowed at first, but is not subscribed to yet, must be allowed by the second token too.
 */
START_TEST(channels_on_their_way_are_looked_at_with_a_fresh_token)
{
    struct server *server = server_start(.threads = 2);
    char *first = token_for("{\"sub\":\"1\",\"_public\":{},\"channels\":[\"private:*\"]}");
    char *second = token_for("{\"sub\":\"1\",\"_public\":{}}"), *all = NULL;
    json_t *channels = json_array();
    for (int i = 0; i < 50; i++)
        json_array_append_new(channels, json_string(textf("lobby %d", i)));
    json_array_append_new(channels, json_string("private:a"));
    size_t length = 0;
    append_frame(&all, &length,
                 textf("{\"token\":\"%s\",\"channels\":%s}", first, json_text(channels)));
    append_frame(&all, &length, textf("{\"token\":\"%s\"}", second));
    struct websocket *ws = open_with(server, "/ws", "");
    stream_send(ws->stream, all, length);
    websocket_expect_close(ws, 1008);
    ck_assert_str_eq(ws->close_reason, "forbidden");
}
END_TEST

START_TEST(who_does_not_say_anything_is_not_waited_for)
{
    struct server *server = server_start(.yaml = "limits:\n  auth: 1s\n");
    struct websocket *pub = open_with(server, "/pub", "");
    struct websocket *ws = open_with(server, "/ws", "");
    struct websocket *reader = open_with(server, "/ws/lobby", "");
    websocket_send_frame(ws, true, WS_BINARY, "{\"channels\":[\"lobby\"]}", 22); /* is none */
    assert_error(ask_for(pub, "{\"id\":1,\"auth\":\"x\"}"), "Wrong format");
    websocket_expect_close(pub, 1008);
    websocket_expect_close(ws, 1008);
    websocket_close(reader);
}
END_TEST

START_TEST(a_reader_may_ask_whether_the_server_is_still_there)
{
    struct server *server = server_start(.threads = 1);
    struct websocket *ws = open_with(server, "/ws/lobby", "");
    ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    assert_contains(ws->message, "\"recovered\"");
    websocket_send(ws, "{\"ping\":\"no integer\"}"); /* ignored */
    websocket_send(ws, "{\"ping\":-9223372036854775808}");
    ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    ck_assert_str_eq(ws->message, "{\"pong\":-9223372036854775808}");
    websocket_close(ws);
}
END_TEST

FLOW_MAIN("handshake", a_handshake_is_right_or_told_what_is_wrong,
          pages_elsewhere_may_not_open_one_unless_origins_says_so,
          frames_may_follow_the_handshake_at_once,
          a_token_in_the_handshake_authenticates_a_publisher,
          when_the_token_ends_the_connection_does_after_a_word,
          a_fresh_token_of_the_same_person_keeps_it_open, a_reader_may_not_become_somebody_else,
          channels_on_their_way_are_looked_at_with_a_fresh_token,
          who_does_not_say_anything_is_not_waited_for,
          a_reader_may_ask_whether_the_server_is_still_there)
