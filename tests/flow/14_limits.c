/* 14_limits: every limit that concerns connections and rates is reached, answered as documented,
 * and counted. (Of bytes that one frame or message has: 10 and 11; of rooms: 16.) */
#include "flow.h"
#include "follower.h"
#include "token.h"

#include <time.h>

/* ---- counters ---- */

static int64_t metric(struct server *server, const char *name)
{
    struct http_answer *answer = http_get(server, "/metrics");
    ck_assert_msg(answer->status == 200, "%s%s", answer->head, answer->body);
    const char *line = strstr(answer->body, textf("\nchatup_%s ", name));
    ck_assert_msg(line != NULL, "no chatup_%s in %s", name, answer->body);
    return strtoll(line + strlen("\nchatup_ ") + strlen(name), NULL, 10);
}

static void expect_counted(struct server *server, const char *name, int64_t least)
{
    int64_t deadline = deadline_in(20), value;
    while ((value = metric(server, name)) < least) {
        ck_assert_msg(now_ms() < deadline, "chatup_%s is %d", name, (int)value);
        pause_ms(20);
    }
}

START_TEST(metrics_are_what_prometheus_reads)
{
    struct server *server = server_start();
    http_get(server, "/stats/lobby");
    struct http_answer *answer = http_get(server, "/metrics");
    ck_assert_str_eq(http_header(answer, "content-type"),
                     "text/plain; version=0.0.4; charset=utf-8");
    int samples = 0;
    char *name = NULL, *type = NULL, *rest = strdup(answer->body);
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char a[64], b[64];
        unsigned long long value;
        if (sscanf(line, "# HELP %63s %63s", a, b) == 2)
            name = strdup(a);
        else if (sscanf(line, "# TYPE %63s %63s", a, b) == 2) {
            ck_assert_str_eq(a, name);
            type = strdup(b);
        } else {
            ck_assert_msg(sscanf(line, "%63s %llu", a, &value) == 2, "no sample: %s", line);
            ck_assert_str_eq(a, name);
            ck_assert_str_eq(type, strstr(a, "_now") ? "gauge" : "counter");
            samples++;
        }
    }
    ck_assert_int_eq(answer->body[answer->length - 1], '\n');
    ck_assert_int_gt(samples, 20);
    ck_assert_int_ge(metric(server, "requests"), 2);
    ck_assert_int_ge(metric(server, "connections"), 2);
    ck_assert_int_ge(metric(server, "connections_now"), 1);
    struct reader *reader = reader_open(server, "lobby");
    int64_t before = metric(server, "deliveries");
    reader_wait_offset(reader, "lobby",
                       publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "x"));
    ck_assert_int_ge(metric(server, "messages_in"), 1);
    ck_assert_int_gt(metric(server, "deliveries"), before);
    ck_assert_int_eq(metric(server, "websockets"), 2);
    ck_assert_int_eq(http_post(server, "/metrics", "")->status, 405);
}
END_TEST

START_TEST(metrics_are_for_those_of_metrics_from)
{
    struct server *server = server_start();
    ck_assert_int_eq(http_get(server, "/metrics")->status, 200);
    struct server *closed = server_start(.yaml = "metrics_from: \"127.0.0.2, 10.0.0.0/8\"\n");
    ck_assert_int_eq(http_get(closed, "/metrics")->status, 403);
    stream_come_from("127.0.0.2");
    ck_assert_int_eq(http_get(closed, "/metrics")->status, 200);
    stream_come_from(NULL);
    struct server *behind = server_start(.yaml = "trusted_proxies: 127.0.0.1\n");
    static const char *const headers[] = {"X-Forwarded-For: 192.0.2.7\r\n",
                                          "Forwarded: for=192.0.2.7\r\n"};
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        ck_assert_int_eq(http_call(behind, "GET", "/metrics", headers[i], NULL)->status, 403);
    ck_assert_int_eq(http_get(server_start(.yaml = "metrics_from: \"\"\n"), "/metrics")->status,
                     403);
}
END_TEST

/* ---- connections ---- */

/* What a connection is told that is not let in: before it has said anything. */
static struct http_answer *told_at_once(struct server *server)
{
    struct stream *stream = stream_open(server->port, 0);
    struct http_answer *answer = http_receive(stream, false, deadline_in(20));
    ck_assert_msg(answer != NULL, "closed without a word");
    ck_assert(stream_is_closed_by(stream, deadline_in(20)));
    stream_cut(stream);
    return answer;
}

/* A connection that has certainly been accepted: with several loops, a later one may be so before.
 */
static struct stream *come_in(struct server *server)
{
    struct stream *stream = stream_open(server->port, 0);
    char *request = http_text(server, "GET", "/health", NULL, NULL);
    stream_send(stream, request, strlen(request));
    ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 200);
    return stream;
}

/* It comes in, once there is a place again. */
static void expect_a_place(struct server *server)
{
    int64_t deadline = deadline_in(20);
    for (;;) {
        struct stream *stream = stream_open(server->port, 0);
        char *request = http_text(server, "GET", "/health", "Connection: close\r\n", NULL);
        stream_send(stream, request, strlen(request));
        struct http_answer *answer = http_receive(stream, false, deadline);
        stream_cut(stream);
        if (answer && answer->status == 200)
            return;
        ck_assert(now_ms() < deadline);
        pause_ms(20);
    }
}

START_TEST(connections_are_as_many_as_configured)
{
    struct server *server = server_start(.threads = 2, .yaml = "limits:\n  connections: 5\n");
    struct stream *streams[5];
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        streams[i] = come_in(server);
    for (int i = 0; i < 20; i++) {
        struct http_answer *answer = told_at_once(server);
        ck_assert_int_eq(answer->status, 503);
        ck_assert_str_eq(http_header(answer, "retry-after"), "5");
    }
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        stream_cut(streams[i]);
    expect_a_place(server);
    expect_counted(server, "refused_connections", 20);
    ck_assert_ptr_nonnull(strstr(file_read(server->log), "limits.connections is reached"));
}
END_TEST

START_TEST(connections_of_an_address_are_as_many_as_configured)
{
    struct server *server =
        server_start(.threads = 2,
                     .yaml = "limits:\n  connections_per_address: 4\n  exempt: \"127.0.0.1\"\n");
    stream_come_from("127.0.0.2");
    struct stream *streams[4];
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        streams[i] = come_in(server);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(told_at_once(server)->status, 503);
    stream_come_from("127.0.0.3"); /* another one is not concerned */
    expect_a_place(server);
    stream_come_from("127.0.0.2");
    stream_cut(streams[0]);
    expect_a_place(server);
    stream_come_from(NULL);
    for (int i = 0; i < 20; i++) /* nor is who is exempt */
        stream_open(server->port, 0);
    expect_counted(server, "refused_address", 10);
}
END_TEST

START_TEST(connections_of_an_address_come_so_often)
{
    struct server *server = server_start(.yaml = "limits:\n  handshakes_per_address: 1\n"
                                                 "  burst: 8s\n  exempt: \"127.0.0.1\"\n");
    stream_come_from("127.0.0.2");
    struct stream *streams[8];
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        streams[i] = stream_open(server->port, 0);
    int refused = 0;
    for (int i = 0; i < 20 && !refused; i++) {
        struct stream *stream = stream_open(server->port, 0);
        char *request = http_text(server, "GET", "/health", NULL, NULL);
        stream_send(stream, request, strlen(request));
        struct http_answer *answer = http_receive(stream, false, deadline_in(20));
        refused = answer && answer->status != 200 ? answer->status : 0;
        stream_cut(stream);
    }
    ck_assert_int_eq(refused, 503);
    char *request = http_text(server, "GET", "/health", NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(streams); i++) { /* those before are served */
        stream_send(streams[i], request, strlen(request));
        ck_assert_int_eq(http_receive(streams[i], false, deadline_in(20))->status, 200);
    }
    stream_come_from(NULL);
    expect_counted(server, "limited_handshakes", 1);
}
END_TEST

START_TEST(some_descriptors_are_kept_for_ourselves)
{
    enum { FILES = 100, RESERVED = 40 };
    struct server *server = server_start(.files = FILES, .yaml = "limits:\n  reserved_files: 40\n");
    struct stream *streams[FILES];
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        streams[i] = stream_open(server->port, 0);
    struct http_answer *answer = told_at_once(server);
    ck_assert_int_eq(answer->status, 503);
    ck_assert_uint_le(server_files(server), FILES - RESERVED + 5); /* and what it opened itself */
    for (size_t i = 0; i < COUNT_OF(streams); i++)
        stream_cut(streams[i]);
    expect_a_place(server);
    expect_counted(server, "refused_descriptors", FILES - (FILES - RESERVED));
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "hi");
}
END_TEST

/* ---- rates ---- */

START_TEST(requests_of_an_address_come_so_often)
{
    enum { BURST = 6 };
    struct server *server = server_start(
            .yaml = "limits:\n  requests_per_address: 1\n  burst: 6s\n  exempt: \"127.0.0.1\"\n");
    stream_come_from("127.0.0.2");
    struct stream *stream = stream_open(server->port, 0);
    char *many = text_repeat(http_text(server, "GET", "/health", NULL, NULL), 40);
    stream_send(stream, many, strlen(many));
    struct http_answer *answer;
    int served = 0;
    while ((answer = http_receive(stream, false, deadline_in(20)))->status == 200)
        served++;
    ck_assert_int_ge(served, BURST);
    ck_assert_int_eq(answer->status, 429);
    assert_error(answer->json, "rateLimited");
    ck_assert(json_real_value(json_object_get(answer->json, "ttw")) <= 1);
    ck_assert_str_eq(http_header(answer, "retry-after"), "1");
    ck_assert_str_eq(http_header(answer, "connection"), "close");
    ck_assert(stream_is_closed_by(stream, deadline_in(20)));
    stream_come_from("127.0.0.3");
    ck_assert_int_eq(http_get(server, "/health")->status, 200);
    stream_come_from(NULL);
    expect_counted(server, "limited_requests", 1);
}
END_TEST

/* How many of so many says at once are told that they come too often. */
static int limited_of(struct publisher *publisher, int count)
{
    int limited = 0;
    for (int i = 0; i < count; i++)
        publisher_send_say(publisher, "x", NULL);
    for (int i = 0; i < count; i++) {
        json_t *reply = json_object_get(publisher_receive(publisher), "reply");
        const char *err = json_string_value(json_object_get(reply, "err"));
        if (!err || strcmp(err, "rateLimited") != 0)
            continue;
        limited++;
        ck_assert(json_real_value(json_object_get(reply, "ttw")) > 0);
    }
    return limited;
}

START_TEST(a_connection_says_so_often)
{
    struct server *server =
        server_start(.rates = true, .yaml = "limits:\n  says_per_connection: 1\n  burst: 10s\n");
    char *token = token_user("Ann", NULL);
    struct publisher *one = publisher_open(server, token), *two = publisher_open(server, token);
    publisher_join(one, "lobby");
    publisher_join(two, "lobby");
    ck_assert_int_eq(limited_of(one, 10), 0);
    ck_assert_int_gt(limited_of(one, 30), 0);
    ck_assert_int_eq(limited_of(two, 10), 0); /* another connection: its own bucket */
    expect_counted(server, "limited_says", 1);
}
END_TEST

START_TEST(a_user_says_so_often_over_all_connections_and_loops)
{
    struct server *server = server_start(.threads = 2, .rates = true,
                                         .yaml = "limits:\n  says_per_user: 1\n  burst: 10s\n");
    char *token = token_user("Ann", "u-1");
    struct publisher *many[8];
    int limited = 0;
    for (size_t i = 0; i < COUNT_OF(many); i++) { /* on both loops, as good as surely */
        many[i] = publisher_open(server, token);
        publisher_join(many[i], "lobby");
    }
    for (size_t i = 0; i < COUNT_OF(many); i++)
        limited += limited_of(many[i], 10);
    ck_assert_int_ge(limited, flow_slow() > 1 ? 1 : 40);
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    ck_assert_int_eq(limited_of(bob, 10), 0);
}
END_TEST

START_TEST(an_address_says_so_often)
{
    struct server *server =
        server_start(.threads = 2,
                     .yaml =
                         "limits:\n  says_per_address: 1\n  burst: 10s\n  exempt: \"127.0.0.1\"\n");
    stream_come_from("127.0.0.2");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    ck_assert_int_eq(limited_of(ann, 10), 0);
    ck_assert_int_gt(limited_of(bob, 30), 0);
    stream_come_from(NULL);
    struct publisher *eve = publisher_enter(server, "Eve", "lobby");
    ck_assert_int_eq(limited_of(eve, 30), 0);
}
END_TEST

START_TEST(joins_come_so_often)
{
    static const char *const limits[] = {"joins_per_connection", "joins_per_user",
                                         "joins_per_address"};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        char *rates = textf("%s", "");
        for (size_t k = 0; k < COUNT_OF(limits); k++)
            rates = textf("%s  %s: %d\n", rates, limits[k], k == i);
        struct server *server =
            server_start(.yaml =
                             textf("limits:\n  rooms: 1\n  burst: 3s\n  exempt: \"\"\n%s", rates));
        struct publisher *bob = publisher_enter(server, "Bob", "lobby"); /* all rooms there are */
        struct publisher *ann = publisher_open(server, token_user("Ann", "u-1"));
        ck_assert_ptr_nonnull(bob);
        int limited = 0;
        for (int k = 0; k < 20; k++) {
            json_t *reply = publisher_ask(ann, "join", json_pack("{s:s}", "room", "full"));
            const char *err = get_string(reply, "err");
            limited += !strcmp(err, "rateLimited");
            if (strcmp(err, "rateLimited") != 0)
                assert_error(reply, "tooManyRooms");
        }
        ck_assert_msg(limited > 0, "%s", limits[i]);
        expect_counted(server, "limited_joins", limited);
        server_stop(server);
    }
}
END_TEST

START_TEST(frames_of_a_connection_are_slowed_and_none_is_lost)
{
    enum { SAYS = 150 };
    struct server *server = server_start(
            .rates = true,
            .yaml = "limits:\n  frames_per_connection: 50\n  burst: 1s\n  says_per_connection: 0\n"
                    "  says_per_user: 0\n  pending_says: 10000\n");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < SAYS; i++)
        publisher_send_say(ann, textf("%d", i), NULL);
    for (int i = 0; i < SAYS; i++)
        ck_assert_int_eq(get_int(json_object_get(publisher_receive(ann), "reply"), "offset"),
                         i + 1);
    reader_wait_offset(reader, "lobby", SAYS);
    account_expect_clean(reader_account(reader, "lobby"));
    expect_counted(server, "limited_frames", 1);
}
END_TEST

START_TEST(who_is_read_slowly_is_not_idle)
{
    enum { FRAMES = 8 };
    struct server *server =
        server_start(.rates = true,
                     .yaml = "limits:\n  frames_per_connection: 1\n  burst: 1s\n  idle: 2s\n");
    struct publisher *ann = publisher_open(server, token_user("Ann", "u-1"));
    for (int i = 0; i < FRAMES; i++)
        publisher_send_say(ann, "x", NULL);
    for (int i = 0; i < FRAMES; i++)
        ck_assert_ptr_nonnull(publisher_receive(ann));
}
END_TEST

START_TEST(unanswered_says_wait_and_none_is_lost)
{
    enum { SAYS = 500 };
    struct server *server = server_start(.yaml = "limits:\n  pending_says: 2\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < SAYS; i++)
        publisher_send_say(ann, "x", NULL);
    for (int i = 0; i < SAYS; i++)
        ck_assert_int_eq(get_int(json_object_get(publisher_receive(ann), "reply"), "offset"),
                         i + 1);
    expect_counted(server, "paused_says", 1);
}
END_TEST

/* ---- what is kept ---- */

/* A server's token of its own, that asks for all bans. */
static char *token_once(const char *jti, int64_t exp)
{
    return token_for("{\"aud\":\"chatup-admin\",\"exp\":%lld,\"jti\":\"%s\",\"items\":[{}]}",
                     (long long)exp, jti);
}

START_TEST(what_is_kept_is_limited_and_counted)
{
    struct server *server =
        server_start(.yaml =
                         "limits:\n  rooms: 1\n  bans: 1\n  replays: 1\n  message_bytes: 100\n");
    publisher_enter(server, "Ann", "lobby");
    char *say = textf("{\"room\":\"lobby\",\"msg\":\"%s\"}", text_repeat("x", 101));
    char *ban = token_for("[{\"channel\":\"lobby\",\"name\":\"a\"},"
                          "{\"channel\":\"lobby\",\"name\":\"b\"}]");
    int64_t exp = (int64_t)time(NULL) + 600;
    const struct {
        const char *path, *body;
        int status;
        const char *err, *counter;
    } cases[] = {
        {"/post", token_for("[{\"channel\":\"lobby\",\"msg\":\"%s\"}]", text_repeat("x", 101)), 400,
         "messageTooLong", "too_long_messages"},
        {"/post", token_for("[{\"channel\":\"other\",\"msg\":\"x\"}]"), 503, "tooManyRooms",
         "too_many_rooms"},
        {"/ban", ban, 503, "tooManyBans", "too_many_bans"},
        {"/bans", token_once("1", exp), 200, NULL, NULL},
        {"/bans", token_once("2", exp), 503, "tooManyReplays", "too_many_replays"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_answer *answer = http_post(server, cases[i].path, cases[i].body);
        ck_assert_msg(answer->status == cases[i].status, "%zu: %s%s", i, answer->head,
                      answer->body);
        if (cases[i].err)
            assert_error(answer->json, cases[i].err);
        if (cases[i].counter)
            expect_counted(server, cases[i].counter, 1);
    }
    int64_t before = metric(server, "too_long_messages");
    http_call(server, "POST", "/pub",
              textf("Authorization: Bearer %s\r\n", token_user("Ann", NULL)), say);
    expect_counted(server, "too_long_messages", before + 1);
}
END_TEST

START_TEST(what_waits_for_the_disk_is_limited_and_counted)
{
    struct server *server = server_start(
            .own_disk = true,
            .yaml = "limits:\n  store_wait: 500ms\n  store_bytes: 1MiB\n  message_bytes: 1MiB\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    server_disk(server, "slow");
    publisher_send_say(ann, text_repeat("x", 800000), NULL);
    publisher_send_say(ann, text_repeat("x", 800000), NULL);
    assert_error(json_object_get(publisher_receive(ann), "reply"), "unknown");
    expect_counted(server, "store_late", 1);
    assert_error(publisher_say(bob, "x", NULL), "unavailable");
    expect_counted(server, "store_refused", 1);
    server_disk(server, "");
}
END_TEST

/* ---- bytes ---- */

START_TEST(heads_and_bodies_and_json_and_tokens_have_a_size)
{
    struct server *server =
        server_start(.yaml = "limits:\n  header_bytes: 1KiB\n  body_bytes: 1KiB\n"
                             "  json_depth: 4\n  token_bytes: 256\n  channels: 2\n"
                             "  message_bytes: 100\n");
    char *token = token_user("Ann", NULL);
    char *fat = token_for("{\"_public\":{\"name\":\"%s\"}}", text_repeat("x", 200));
    char *long_header = textf("X: %s\r\n", text_repeat("x", 1024));
    char *long_body = textf("{\"x\":\"%s\"}", text_repeat("x", 1017));
    char *full_body = textf("{\"x\":\"%s\"}", text_repeat("x", 1016));
    char *say = textf("{\"room\":\"a\",\"msg\":\"%s\"}", text_repeat("x", 101));
    char *bearer = textf("Authorization: Bearer %s\r\n", token);
    char *fat_bearer = textf("Authorization: Bearer %s\r\n", fat);
    const struct {
        const char *method, *target, *headers, *body;
        int status;
        const char *counter; /* that moves; NULL: none */
    } cases[] = {
        {"GET", "/health", long_header, NULL, 431, "too_big_heads"},
        {"GET", textf("/%s", text_repeat("x", 1100)), NULL, NULL, 414, "too_big_heads"},
        {"POST", "/join/a", NULL, long_body, 413, "too_big_bodies"},
        {"POST", "/join/a", NULL, full_body, 200, NULL},
        {"POST", "/pub", bearer, "{\"x\":[[[[1]]]]}", 400, "too_deep_json"},
        {"GET", "/lp?channels=[[[[[1]]]]]", NULL, NULL, 400, "too_deep_json"},
        {"GET", "/lp/a/b/c", NULL, NULL, 400, "too_many_channels"},
        {"GET", "/messages/a", fat_bearer, NULL, 401, "too_big_tokens"},
        {"POST", "/pub", bearer, say, 413, "too_long_messages"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t before = cases[i].counter ? metric(server, cases[i].counter) : 0;
        struct http_answer *answer =
            http_call(server, cases[i].method, cases[i].target, cases[i].headers, cases[i].body);
        ck_assert_msg(answer->status == cases[i].status, "%zu: %s%s", i, answer->head,
                      answer->body);
        if (cases[i].counter)
            expect_counted(server, cases[i].counter, before + 1);
    }
    struct publisher *ann = publisher_connect(server);
    assert_error(publisher_ask(ann, "auth", json_string(fat)), "Wrong format");
    expect_counted(server, "too_big_tokens", 2);
    struct websocket *fat_reader = websocket_open(server, "/ws", 0, NULL);
    websocket_send(fat_reader, textf("{\"token\":\"%s\",\"channels\":[\"a\"]}", fat));
    websocket_expect_close(fat_reader, 1008);
    expect_counted(server, "too_big_tokens", 3);
    struct websocket *ws = websocket_open(server, "/ws", 0, NULL);
    websocket_send(ws, "{\"channels\":[\"a\",\"b\",\"c\"]}");
    websocket_expect_close(ws, 1008);
    expect_counted(server, "too_many_channels", 2);
    struct websocket *big = websocket_open(server, "/pub", 0, NULL);
    websocket_send(big, text_repeat("x", 70000));
    websocket_expect_close(big, 1009);
    expect_counted(server, "too_big_frames", 1);
}
END_TEST

START_TEST(a_readers_queue_has_a_size)
{
    int says = flow_slow() > 1 ? 300 : 800;
    struct server *server = server_start(.yaml = "limits:\n  queue_bytes: 64KiB\n  stall: 1h\n");
    struct reader *slow = reader_open_stalled(server, "lobby", 4096);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    wait_stats(server, "lobby", 1, 1, 1);
    for (int i = 0; i < says; i++)
        publisher_say_ok(ann, big);
    expect_counted(server, "slow_readers", 1);
    while (reader_next(slow)) /* what it had is whole, and it is told why */
        ;
    ck_assert_int_eq(slow->ws->close_code, 1013);
    ck_assert_str_eq(slow->ws->close_reason, "too slow");
    account_expect_clean(reader_account(slow, "lobby"));
}
END_TEST

/* ---- time ---- */

START_TEST(who_takes_too_long_is_told_and_closed)
{
    struct server *server =
        server_start(.yaml =
                         "limits:\n  header: 300ms\n  body: 300ms\n  auth: 300ms\n  idle: 1s\n");
    struct stream *silent = stream_open(server->port, 0);
    struct stream *head = stream_open(server->port, 0), *body = stream_open(server->port, 0);
    stream_send(head, "GET / HT", 8);
    char *half = http_text(server, "POST", "/join/a", "Content-Length: 10\r\n", NULL);
    stream_send(body, half, strlen(half));
    struct websocket *publisher = websocket_open(server, "/pub", 0, NULL);
    struct websocket *reader = websocket_open(server, "/ws", 0, NULL);
    struct reader *idle = reader_open(server, "lobby");
    ck_assert_int_eq(http_receive(head, false, deadline_in(20))->status, 408);
    ck_assert_int_eq(http_receive(body, false, deadline_in(20))->status, 408);
    ck_assert(stream_is_closed_by(head, deadline_in(20)));
    ck_assert(stream_is_closed_by(body, deadline_in(20)));
    ck_assert(stream_is_closed_by(silent, deadline_in(20)));
    websocket_expect_close(publisher, 1008);
    ck_assert_str_eq(publisher->close_reason, "not authenticated in time");
    websocket_expect_close(reader, 1008);
    ck_assert_str_eq(reader->close_reason, "no first frame in time");
    wait_stats(server, "lobby", 0, 0, 0); /* it does not answer pings */
    ck_assert_ptr_nonnull(idle);
    expect_counted(server, "timed_out_header", 1);
    expect_counted(server, "timed_out_body", 1);
    expect_counted(server, "timed_out_auth", 2);
    expect_counted(server, "timed_out_idle", 1);
}
END_TEST

START_TEST(who_answers_pings_is_not_idle)
{
    struct server *server = server_start(.yaml = "limits:\n  idle: 1s\n");
    struct reader *reader = reader_open(server, "lobby");
    int64_t until = now_ms() + 4000;
    while (now_ms() < until) /* longer than limits.idle */
        ck_assert_int_eq(websocket_receive(reader->ws, now_ms() + 100), WS_GOT_LATE);
    wait_stats(server, "lobby", 1, 0, 0);
}
END_TEST

FLOW_MAIN("limits", metrics_are_what_prometheus_reads, metrics_are_for_those_of_metrics_from,
          connections_are_as_many_as_configured,
          connections_of_an_address_are_as_many_as_configured,
          connections_of_an_address_come_so_often, some_descriptors_are_kept_for_ourselves,
          requests_of_an_address_come_so_often, a_connection_says_so_often,
          a_user_says_so_often_over_all_connections_and_loops, an_address_says_so_often,
          joins_come_so_often, frames_of_a_connection_are_slowed_and_none_is_lost,
          unanswered_says_wait_and_none_is_lost, what_is_kept_is_limited_and_counted,
          what_waits_for_the_disk_is_limited_and_counted,
          heads_and_bodies_and_json_and_tokens_have_a_size, a_readers_queue_has_a_size,
          who_takes_too_long_is_told_and_closed, who_answers_pings_is_not_idle,
          who_is_read_slowly_is_not_idle)
