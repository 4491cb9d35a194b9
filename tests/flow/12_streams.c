/* 12_streams: reading without a websocket: server-sent events, lines, long polls. What is promised
 * to websockets is promised to them: a book of sequence numbers, whoever cuts and kills. */
#include "flow.h"
#include "follower.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>

static const char *const both_yaml = "history:\n  size: 100000\n"
                                     "limits:\n  queue_bytes: 64MiB\n  poll: 10s\n";

static struct follower *follow(struct server *server, enum follower_kind kind, const char *channels)
{
    struct follower *follower = follower_create(server, kind, channels);
    follower_connect(follower);
    return follower;
}

static json_t *texts_in(struct follower *follower, const char *channel)
{
    return texts_of(reader_account(follower->book, channel)->messages);
}

START_TEST(a_reader_gets_the_history_then_what_happens_and_resumes_where_it_was)
{
    struct server *server = server_start(.threads = 2);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "one");
    publisher_say_ok(ann, "two");
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        struct follower *follower = follow(server, kind, "[\"lobby\"]");
        struct account *account = reader_account(follower->book, "lobby");
        const char *live = textf("live %d", kind), *missed = textf("missed %d", kind);
        follower_next(follower);
        ck_assert_uint_eq(account->first_frames, 1);
        ck_assert_uint_eq(account->recovered, 0);
        publisher_say_ok(ann, live);
        follower_wait_message(follower, "lobby", live);
        follower_cut(follower);
        publisher_say_ok(ann, missed);
        follower_connect(follower);
        follower_wait_message(follower, "lobby", missed);
        ck_assert_uint_ge(account->recovered, 1);
        ck_assert_uint_eq(account->first_frames - account->recovered, 1);
        account_expect_clean(account);
        assert_contains(json_text(texts_in(follower, "lobby")), "[\"one\",\"two\",\"live 0\",");
        follower_cut(follower);
    }
}
END_TEST

/* ---- books ---- */

/* A publisher flat out, that repeats after a lost connection what was not answered. */
struct flood {
    struct server *server;
    const char *room;
    int count;
    pthread_mutex_t *entering; /* held by whoever connects, and by whoever kills */
    pthread_t thread;
};

static int flood_once(struct flood *flood, int answered)
{
    enum { WINDOW = 20 };
    int sent = answered;
    pthread_mutex_lock(flood->entering);
    struct publisher *ann = publisher_enter(flood->server, "Ann", flood->room);
    pthread_mutex_unlock(flood->entering);
    while (answered < flood->count) {
        while (sent < flood->count && sent - answered < WINDOW) {
            char *text = textf("%s %d", flood->room, sent++);
            publisher_send_say(ann, text, text);
            free(text);
        }
        json_t *frame = publisher_receive(ann);
        if (!frame)
            break;
        get_int(json_object_get(frame, "reply"), "offset");
        answered++;
    }
    publisher_cut(ann);
    return answered;
}

static void *flood_run(void *arg)
{
    struct flood *flood = arg;
    for (int answered = 0; answered < flood->count;)
        answered = flood_once(flood, answered);
    return NULL;
}

static const char *const rooms[] = {"a", "b/\xc3\xa4 %2F", "c,d"};
static const char all_rooms[] = "[\"a\",\"b/\xc3\xa4 %2F\",\"c,d\"]";

static void floods_start(struct flood *floods, struct server *server, int count,
                         pthread_mutex_t *entering)
{
    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        floods[i] = (struct flood){server, rooms[i], count, entering, 0};
        ck_assert_int_eq(pthread_create(&floods[i].thread, NULL, flood_run, &floods[i]), 0);
    }
}

static bool is_complete(struct follower *follower, int count)
{
    for (size_t i = 0; i < COUNT_OF(rooms); i++)
        if (reader_account(follower->book, rooms[i])->offset < count)
            return false;
    return true;
}

static void expect_whole(struct follower *follower, int count)
{
    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        struct account *account = reader_account(follower->book, rooms[i]);
        json_t *seen = json_object(), *texts = texts_of(account->messages);
        account_expect_clean(account);
        ck_assert_uint_eq(json_array_size(texts), (size_t)count);
        for (size_t k = 0; k < json_array_size(texts); k++)
            json_object_set_new(seen, json_string_value(json_array_get(texts, k)), json_true());
        ck_assert_uint_eq(json_object_size(seen), (size_t)count);
    }
}

/* A few frames, then the connection is cut: of a poll sometimes before the answer is read. */
static void read_a_little(struct follower *follower, int count, unsigned *seed)
{
    int frames = 1 + rand_r(seed) % 8;
    if (!follower->stream)
        follower_connect(follower);
    for (int i = 0; i < frames; i++) {
        if (follower->kind == FOLLOW_POLL && rand_r(seed) % 4 == 0) {
            follower_ask(follower);
            break;
        }
        if (is_complete(follower, count) || !follower_next(follower))
            break;
    }
    follower_cut(follower);
}

static void book(struct server *server, int count, int kills)
{
    struct flood floods[COUNT_OF(rooms)];
    struct follower *followers[FOLLOW_KINDS];
    pthread_mutex_t entering = PTHREAD_MUTEX_INITIALIZER;
    unsigned seed = 3;
    int at_kill = 0;
    for (int kind = 0; kind < FOLLOW_KINDS; kind++)
        followers[kind] = follower_create(server, kind, all_rooms);
    floods_start(floods, server, count, &entering);
    for (bool going = true; going;) {
        going = false;
        for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
            if (is_complete(followers[kind], count))
                continue;
            going = true;
            read_a_little(followers[kind], count, &seed);
        }
        int64_t at = reader_account(followers[0]->book, rooms[0])->offset;
        if (at_kill < kills && at > (at_kill + 1) * count / (kills + 2)) {
            at_kill++;
            pthread_mutex_lock(&entering);
            server_kill(server);
            server_restart(server);
            pthread_mutex_unlock(&entering);
        }
    }
    for (size_t i = 0; i < COUNT_OF(rooms); i++)
        pthread_join(floods[i].thread, NULL);
    for (int kind = 0; kind < FOLLOW_KINDS; kind++)
        expect_whole(followers[kind], count);
}

START_TEST(readers_that_are_cut_at_random_miss_nothing)
{
    book(server_start(.threads = 2, .yaml = both_yaml), flow_slow() > 1 ? 300 : 2000, 0);
}
END_TEST

START_TEST(readers_miss_nothing_when_the_server_is_killed)
{
    book(server_start(.threads = 2, .yaml = both_yaml), flow_slow() > 1 ? 300 : 1500, 3);
}
END_TEST

START_TEST(who_was_away_too_long_is_told_so)
{
    struct server *server = server_start(.yaml = "history:\n  size: 5\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "first");
    struct follower *followers[FOLLOW_KINDS];
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        followers[kind] = follow(server, kind, "[\"lobby\"]");
        follower_wait_message(followers[kind], "lobby", "first");
        follower_cut(followers[kind]);
    }
    for (int i = 0; i < 20; i++)
        publisher_say_ok(ann, textf("%d", i));
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        follower_connect(followers[kind]);
        follower_wait_message(followers[kind], "lobby", "19");
        struct account *account = reader_account(followers[kind]->book, "lobby");
        ck_assert_uint_eq(account->first_frames, 2);
        ck_assert_uint_eq(account->recovered, 0);
        assert_json(texts_in(followers[kind], "lobby"), "[\"15\",\"16\",\"17\",\"18\",\"19\"]");
    }
}
END_TEST

/* ---- polls ---- */

START_TEST(a_poll_without_news_is_answered_empty_and_its_connection_goes_on)
{
    struct server *server = server_start(.yaml = "limits:\n  poll: 200ms\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "one");
    struct follower *follower = follow(server, FOLLOW_POLL, "[\"lobby\",\"empty\"]");
    follower_next(follower);
    follower_wait_message(follower, "lobby", "one");
    char *since = strdup(follower->since);
    for (int i = 0; i < 2; i++) {
        json_t *answer = follower_next(follower);
        ck_assert_uint_eq(json_array_size(get_array(answer, "frames")), 0);
        ck_assert_str_eq(get_string(answer, "since"), since);
    }
    char *request = http_text(server, "GET", "/stats/lobby", NULL, NULL);
    stream_send(follower->stream, request, strlen(request));
    struct http_answer *stats = http_receive(follower->stream, false, deadline_in(10));
    ck_assert_int_eq(get_int(stats->json, "subCount"), 0);
    publisher_say_ok(ann, "two");
    follower_wait_message(follower, "lobby", "two"); /* still on the same connection */
    account_expect_clean(reader_account(follower->book, "lobby"));
}
END_TEST

START_TEST(a_poll_waits_and_is_answered_by_what_is_said)
{
    struct server *server = server_start(.threads = 2, .yaml = "limits:\n  poll: 1h\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct follower *follower = follow(server, FOLLOW_POLL, "[\"lobby\"]");
    follower_next(follower);
    for (int i = 0; i < 5; i++) {
        follower_ask(follower);
        wait_stats(server, "lobby", 1, 1, 1);
        publisher_say_ok(ann, textf("%d", i));
        ck_assert_ptr_nonnull(follower_answer(follower));
    }
    assert_json(texts_in(follower, "lobby"), "[\"0\",\"1\",\"2\",\"3\",\"4\"]");
    account_expect_clean(reader_account(follower->book, "lobby"));
}
END_TEST

START_TEST(a_history_larger_than_the_queue_comes_in_several_polls)
{
    enum { SAYS = 60 };
    struct server *server =
        server_start(.yaml = "limits:\n  queue_bytes: 8KiB\nhistory:\n  size: 1000\n");
    static const char channels[] = "[\"r0\",\"r1\",\"r2\",\"r3\",\"r4\",\"r5\"]";
    char *text = text_repeat("x", 500);
    for (int room = 0; room < 6; room++) {
        struct publisher *ann = publisher_enter(server, "Ann", textf("r%d", room));
        for (int i = 0; i < SAYS; i++)
            publisher_say_ok(ann, text);
    }
    struct follower *follower = follow(server, FOLLOW_POLL, channels);
    for (int room = 0; room < 6; room++) {
        struct account *account = reader_account(follower->book, textf("r%d", room));
        while (account->offset < SAYS)
            follower_next(follower);
        account_expect_clean(account);
        ck_assert_uint_eq(json_array_size(account->messages), SAYS);
    }
}
END_TEST

/* ---- who may, and what is asked wrongly ---- */

static char *token_of(const char *claims)
{
    return token_for("{\"sub\":\"7\",\"_public\":{\"name\":\"Ann\"}%s}", claims);
}

START_TEST(private_channels_are_private_on_every_way)
{
    struct server *server = server_start();
    char *other = token_of(",\"channels\":[\"private:y\"]");
    char *member = token_of(",\"channels\":[\"private:x\"]");
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        const char *path = follower_path(kind);
        char *both = textf("%s/lobby/private:x", path);
        struct http_answer *guest = http_get(server, both);
        ck_assert_int_eq(guest->status, 403);
        assert_error(guest->json, "unauthorized");
        struct http_answer *stranger = http_get(server, textf("%s?token=%s", both, other));
        ck_assert_int_eq(stranger->status, 403);
        assert_error(stranger->json, "forbidden");
        struct http_answer *forged = http_get(server, textf("%s?token=%sx", both, other));
        ck_assert_int_eq(forged->status, 401);
        struct follower *follower = follower_create(server, kind, "[\"lobby\",\"private:x\"]");
        follower->token = member;
        follower_connect(follower);
        follower_next(follower);
        follower_cut(follower);
        struct stream *stream = stream_open(server->port, 0);
        char *query = http_text(server, "GET", textf("%s?token=%s", both, member), NULL, NULL);
        stream_send(stream, query, strlen(query));
        while (!strstr(stream_at(stream), "\r\n\r\n"))
            ck_assert_int_eq(stream_receive(stream, deadline_in(10)), STREAM_MORE);
        assert_contains(stream_at(stream), "HTTP/1.1 200 ");
        stream_cut(stream);
    }
}
END_TEST

START_TEST(a_wrong_request_is_told_what_is_wrong)
{
    static const struct {
        const char *target; /* behind the path */
        int status;
    } wrong[] = {
        {"", 400},
        {"/", 400},
        {"?channels=", 400},
        {"?channels=lobby", 400},
        {"?channels=[]", 400},
        {"?channels={}", 400},
        {"?channels=[1]", 400},
        {"?channels=[%22%22]", 400},
        {"?channels=[%22a%22,%22a%22]", 400},
        {"?channels=[%22a%22,%22b%22,%22c%22,%22d%22]", 400},
        {"/a/b/c/d", 400},
        {"/a//b", 400},
        {"/a/a", 400},
        {"/a%00", 400},
        {"/%ff", 400},
        {"/%zz", 400},
        {"/a?since=x", 400},
        {"/a?since=x:", 400},
        {"/a?since=:1", 400},
        {"/a?since=x:-1", 400},
        {"/a?since=x:1,y:2", 200}, /* more positions than channels: of no channel */
        {"x", 404},
    };
    struct server *server = server_start(.yaml = "limits:\n  channels: 3\n  poll: 100ms\n");
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        const char *path = follower_path(kind);
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
            if (wrong[i].status == 200 && kind != FOLLOW_POLL)
                continue;
            struct http_answer *answer = http_get(server, textf("%s%s", path, wrong[i].target));
            ck_assert_msg(answer->status == wrong[i].status, "%s%s: %s%s", path, wrong[i].target,
                          answer->head, answer->body);
        }
        static const char *const methods[] = {"POST", "PUT", "DELETE", "HEAD"};
        for (size_t i = 0; i < COUNT_OF(methods); i++) {
            struct http_answer *answer =
                http_call(server, methods[i], textf("%s/a", path), NULL, NULL);
            ck_assert_msg(answer->status == 405, "%s %s: %s", methods[i], path, answer->head);
            ck_assert_str_eq(http_header(answer, "allow"), "OPTIONS, GET");
        }
    }
}
END_TEST

/* ---- how it ends ---- */

START_TEST(a_reader_whose_client_leaves_is_gone)
{
    struct server *server = server_start();
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        for (int how = 0; how < 3; how++) {
            struct follower *follower = follow(server, kind, "[\"lobby\"]");
            follower_next(follower);
            if (kind == FOLLOW_POLL)
                follower_ask(follower);
            wait_stats(server, "lobby", 1, 0, 0);
            if (how == 0)
                stream_half_close(follower->stream);
            else if (how == 1)
                stream_cut(follower->stream);
            else
                stream_reset(follower->stream);
            wait_stats(server, "lobby", 0, 0, 0);
        }
    }
}
END_TEST

START_TEST(a_server_that_goes_says_so)
{
    struct server *server = server_start(.threads = 2);
    struct follower *followers[FOLLOW_KINDS];
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        followers[kind] = follow(server, kind, "[\"lobby\"]");
        follower_next(followers[kind]);
    }
    follower_ask(followers[FOLLOW_POLL]);
    wait_stats(server, "lobby", 3, 0, 0);
    server_stop(server);
    ck_assert_ptr_nonnull(follower_answer(followers[FOLLOW_POLL]));
    for (int kind = 0; kind < FOLLOW_POLL; kind++) {
        ck_assert_ptr_null(follower_next(followers[kind]));
        ck_assert_int_eq(followers[kind]->close_code, 1001);
        ck_assert_str_eq(followers[kind]->close_reason, "going away");
    }
}
END_TEST

START_TEST(a_token_that_ends_is_told_before_and_ends_the_reader)
{
    struct server *server = server_start(.yaml = "limits:\n  poll: 1h\n");
    struct follower *followers[FOLLOW_KINDS];
    char *token =
        token_for("{\"sub\":\"7\",\"_public\":{},\"channels\":[\"private:x\"],\"exp\":%lld}",
                  (long long)time(NULL) + (flow_slow() > 1 ? 10 : 3));
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        followers[kind] = follower_create(server, kind, "[\"private:x\"]");
        followers[kind]->token = token;
        follower_connect(followers[kind]);
        follower_next(followers[kind]);
    }
    json_t *poll = follower_next(followers[FOLLOW_POLL]); /* answered when the token ends */
    ck_assert_uint_eq(json_array_size(get_array(poll, "frames")), 0);
    for (int kind = 0; kind < FOLLOW_POLL; kind++) {
        ck_assert_ptr_null(follower_next(followers[kind]));
        ck_assert_int_ge(followers[kind]->expires, 0);
        ck_assert_int_eq(followers[kind]->close_code, 1008);
        ck_assert_str_eq(followers[kind]->close_reason, "token expired");
    }
}
END_TEST

START_TEST(a_silent_stream_beats)
{
    struct server *server = server_start(.yaml = "limits:\n  idle: 1s\n");
    struct follower *followers[FOLLOW_POLL];
    for (int kind = 0; kind < FOLLOW_POLL; kind++) {
        followers[kind] = follow(server, kind, "[\"lobby\"]");
        follower_next(followers[kind]);
    }
    for (int kind = 0; kind < FOLLOW_POLL; kind++) /* longer than limits.idle, and still there */
        for (const char *beat = kind == FOLLOW_EVENTS ? ":\n\n:\n\n:\n\n" : "\n\n\n";
             stream_available(followers[kind]->stream) < strlen(beat);)
            ck_assert_int_eq(stream_receive(followers[kind]->stream, deadline_in(20)), STREAM_MORE);
    publisher_enter(server, "Ann", "lobby");
    for (int kind = 0; kind < FOLLOW_POLL; kind++) {
        ck_assert_ptr_nonnull(follower_next(followers[kind]));
        ck_assert_uint_ge(followers[kind]->heartbeats, 3);
    }
}
END_TEST

START_TEST(a_slow_stream_costs_the_room_nothing)
{
    int says = flow_slow() > 1 ? 400 : 1000;
    struct server *server = server_start(.yaml = "limits:\n  stall: 1s\n");
    for (int kind = 0; kind < FOLLOW_POLL; kind++) {
        struct stream *stalled = stream_open(server->port, 4096);
        char *request =
            http_text(server, "GET", textf("%s/lobby", follower_path(kind)), NULL, NULL);
        stream_send(stalled, request, strlen(request));
    }
    struct follower *good = follow(server, FOLLOW_EVENTS, "[\"lobby\"]");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    wait_stats(server, "lobby", 3, 1, 1);
    for (int i = 0; i < says; i++) {
        int64_t offset = publisher_say_ok(ann, big);
        while (reader_account(good->book, "lobby")->offset < offset)
            ck_assert_ptr_nonnull(follower_next(good));
    }
    account_expect_clean(reader_account(good->book, "lobby"));
    wait_stats(server, "lobby", 1, 1, 1);
    assert_contains(http_get(server, "/metrics")->body, "\nchatup_slow_readers 2\n");
}
END_TEST

START_TEST(what_a_ban_removed_does_not_come_on_resume)
{
    struct server *server = server_start(.threads = 2);
    struct publisher *eve = publisher_open(server, token_user("Eve", NULL));
    publisher_join(eve, "lobby");
    struct follower *followers[FOLLOW_KINDS];
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        followers[kind] = follow(server, kind, "[\"lobby\"]");
        follower_next(followers[kind]);
        follower_cut(followers[kind]);
    }
    publisher_say_ok(eve, "spam");
    char *ban = token_for("[{\"name\":\"Eve\",\"channel\":\"lobby\",\"expire\":60}]");
    ck_assert_int_eq(http_post(server, "/ban", ban)->status, 200);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "ham");
    for (int kind = 0; kind < FOLLOW_KINDS; kind++) {
        struct account *account = reader_account(followers[kind]->book, "lobby");
        follower_connect(followers[kind]);
        while (account->offset < 3)
            ck_assert_ptr_nonnull(follower_next(followers[kind]));
        const char *all = json_text(account->messages);
        ck_assert_msg(!strstr(all, "spam"), "%s", all);
        assert_contains(all, "rmUserMsg");
        assert_contains(all, "ham");
        ck_assert_uint_eq(account->duplicates + account->misplaced, 0);
    }
}
END_TEST

START_TEST(open_streams_cost_nothing)
{
    enum { STREAMS = 100, MEASURE_MS = 2000, TICKS_MAX = 10 };
    struct server *server = server_start(.threads = 2, .yaml = "limits:\n  poll: 1h\n");
    for (int i = 0; i < STREAMS; i++) {
        struct follower *follower = follow(server, i % FOLLOW_KINDS, "[\"lobby\",\"news\"]");
        follower_next(follower);
        if (follower->kind == FOLLOW_POLL)
            follower_ask(follower);
        if (i % 2) /* and what they send meanwhile is not asked for */
            stream_send(follower->stream, "GET /", 5);
    }
    wait_stats(server, "lobby", STREAMS, 0, 0);
    uint64_t before = server_cpu_ticks(server);
    pause_ms(MEASURE_MS);
    int ticks = (int)(server_cpu_ticks(server) - before);
    ck_assert_msg(ticks < TICKS_MAX, "%d ticks in %d ms", ticks, MEASURE_MS);
}
END_TEST

FLOW_MAIN("streams", a_reader_gets_the_history_then_what_happens_and_resumes_where_it_was,
          readers_that_are_cut_at_random_miss_nothing,
          readers_miss_nothing_when_the_server_is_killed, who_was_away_too_long_is_told_so,
          a_poll_without_news_is_answered_empty_and_its_connection_goes_on,
          a_poll_waits_and_is_answered_by_what_is_said,
          a_history_larger_than_the_queue_comes_in_several_polls,
          private_channels_are_private_on_every_way, a_wrong_request_is_told_what_is_wrong,
          a_reader_whose_client_leaves_is_gone, a_server_that_goes_says_so,
          a_token_that_ends_is_told_before_and_ends_the_reader, a_silent_stream_beats,
          a_slow_stream_costs_the_room_nothing, what_a_ban_removed_does_not_come_on_resume,
          open_streams_cost_nothing)
