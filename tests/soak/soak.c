/* soak: much of everything comes and goes, of all kinds and in all ways to go; when all is gone,
 * nothing of it may be left in the server: no connection, no room, and no memory.
 *   SOAK_SCALE  1: 100 000 connections, as many rooms, 1 000 000 messages; 0.01: a hundredth */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <stdio.h>

enum {
    CONNECTIONS = 100000, /* each in a room of its own */
    MESSAGES = 1000000,
    PARALLEL = 3000,
    POST_ITEMS = 100,
    SPEAKERS = 10,
    LISTENERS = 2, /* of each of them */
    AT_ONCE = 50,
    GONE_SECONDS = 120,
    SLACK_KIB = 6 * 1024,
    RSS_SLACK_KIB = 32 * 1024 /* of pages that are partly used, and holes not worth it */
};

static double scale(void)
{
    const char *text = getenv("SOAK_SCALE");
    double value = text ? atof(text) : 0.01;
    return value > 0 && value <= 1 ? value : 0.01;
}

static const char yaml[] =
    "limits:\n  rooms: 300000\n  says_per_address: 0\n  joins_per_address: 0\n"
    "  joins_per_connection: 0\n  joins_per_user: 0\n  requests_per_address: 0\n"
    "  handshakes_per_address: 0\n  connections_per_address: 0\n  header: 1h\n";

/* ---- what comes and goes ---- */

struct visitor {
    struct reader *reader;
    struct publisher *publisher;
    struct stream *stream;
};

static void publisher_comes(struct server *server, struct visitor *visitor, const char *room)
{
    static char *token;
    if (!token)
        token = token_user("Ann", "u-1");
    visitor->publisher = publisher_open(server, token);
    publisher_join(visitor->publisher, room);
    publisher_say_ok(visitor->publisher, "here I am");
}

static void stream_comes(struct server *server, struct visitor *visitor, const char *request)
{
    visitor->stream = stream_open(server->port, 0);
    ck_assert(stream_send(visitor->stream, request, strlen(request)));
    if (strstr(request, "\r\n\r\n") && !strstr(request, "/lp/"))
        ck_assert_int_eq(stream_receive(visitor->stream, deadline_in(20)), STREAM_MORE);
}

static void comes(struct server *server, struct visitor *visitor, size_t i)
{
    static const char *const requests[] = {
        "GET /ev/%s HTTP/1.1\r\nHost: a\r\n\r\n", "GET /lp/%s HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /sub/%s HTTP/1.1\r\nHost: a\r\n\r\n", "POST /join/%s HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /ws/%s HTTP/1.1\r\nHost: a\r\nUpgrade: web"};
    char room[32], request[256];
    snprintf(room, sizeof room, "room-%zu", i);
    *visitor = (struct visitor){NULL, NULL, NULL};
    if (i % 10 < COUNT_OF(requests)) {
        snprintf(request, sizeof request, requests[i % 10], room);
        stream_comes(server, visitor, request);
    } else if (i % 10 == COUNT_OF(requests)) {
        publisher_comes(server, visitor, room);
    } else {
        visitor->reader = reader_open(server, room);
    }
}

/* In one of three ways: as it should, without a word, and with a reset. */
static void goes(struct visitor *visitor, size_t i)
{
    if (visitor->reader) {
        if (i % 3 == 1)
            reader_cut(visitor->reader);
        reader_close(visitor->reader);
    } else if (visitor->publisher) {
        (i % 3 ? publisher_cut : publisher_close)(visitor->publisher);
    } else if (visitor->stream) {
        (i % 3 ? stream_cut : stream_reset)(visitor->stream);
    }
    *visitor = (struct visitor){NULL, NULL, NULL};
}

static void churn(struct server *server, size_t count)
{
    struct visitor *visitors = calloc(PARALLEL, sizeof *visitors);
    for (size_t i = 0; i < count; i++) {
        goes(&visitors[i % PARALLEL], i);
        comes(server, &visitors[i % PARALLEL], i);
    }
    for (size_t i = 0; i < PARALLEL; i++)
        goes(&visitors[i], i);
    free(visitors);
    printf("%zu connections came and went\n", count);
}

/* ---- rooms ---- */

static void rooms(struct server *server, size_t count)
{
    for (size_t i = 0; i < count; i += POST_ITEMS) {
        json_t *items = json_array();
        for (size_t k = i; k < i + POST_ITEMS; k++) {
            char room[32];
            snprintf(room, sizeof room, "room-%zu", k);
            json_array_append_new(items,
                                  json_pack("{s:s,s:s}", "channel", room, "msg", "all of you"));
        }
        char *text = json_text(items), *token = token_for("%s", text);
        struct http_answer *answer = http_post(server, "/post", token);
        ck_assert_msg(answer->status == 200, "/post: %s", answer->body);
        free(text);
        free(token);
        json_decref(items);
    }
    printf("%zu rooms were spoken to\n", count);
}

/* ---- messages ---- */

struct talk {
    struct publisher *speaker;
    struct websocket *listeners[LISTENERS];
    size_t heard[LISTENERS];
};

static size_t messages_in(const char *frame)
{
    size_t count = 0;
    for (const char *p = frame; (p = strstr(p, "{\"o\":")); p++)
        count++;
    return count;
}

/* What has come, or until all has. */
static void listen_to(struct talk *talk, size_t until)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        struct websocket *ws = talk->listeners[i];
        while (websocket_receive(ws, until > talk->heard[i] ? deadline_in(20) : 0) == WS_GOT_TEXT)
            talk->heard[i] += messages_in(ws->message);
        ck_assert_uint_ge(talk->heard[i], until);
    }
}

static void say_some(struct talk *talk, size_t number)
{
    for (size_t k = 0; k < AT_ONCE; k++) {
        char text[64];
        snprintf(text, sizeof text, "this is number %zu of many", number + k);
        ck_assert_int_ne(publisher_send_say(talk->speaker, text, NULL), 0);
    }
}

static void say_answered(struct talk *talk)
{
    for (size_t k = 0; k < AT_ONCE; k++) {
        const json_t *reply = json_object_get(publisher_receive(talk->speaker), "reply");
        ck_assert_str_eq(get_string(reply, "status"), "ok");
    }
}

static void talks(struct server *server, size_t count)
{
    struct talk all[SPEAKERS] = {{0}};
    size_t each = (count + SPEAKERS * AT_ONCE - 1) / (SPEAKERS * AT_ONCE) * AT_ONCE;
    for (size_t i = 0; i < SPEAKERS; i++) {
        char *room = textf("talk-%zu", i), *target = textf("/ws/%s", room);
        all[i].speaker = publisher_enter(server, "Bob", room);
        for (size_t k = 0; k < LISTENERS; k++)
            all[i].listeners[k] = websocket_open(server, target, 0, NULL);
    }
    for (size_t said = 0; said < each; said += AT_ONCE) {
        for (size_t i = 0; i < SPEAKERS; i++)
            say_some(&all[i], said);
        for (size_t i = 0; i < SPEAKERS; i++)
            say_answered(&all[i]);
        for (size_t i = 0; i < SPEAKERS; i++)
            listen_to(&all[i], 0);
    }
    for (size_t i = 0; i < SPEAKERS; i++) {
        listen_to(&all[i], each);
        publisher_close(all[i].speaker);
        for (size_t k = 0; k < LISTENERS; k++) {
            ck_assert_uint_eq(all[i].heard[k], each);
            websocket_close(all[i].listeners[k]);
        }
    }
    printf("%zu messages were said, each heard by %d\n", each * SPEAKERS, LISTENERS);
}

/* ---- what is left ---- */

struct usage {
    int64_t heap_kib, rss_kib;
};

/* Once nobody and no room is there any more, and the server is so small again. */
static struct usage usage_at_rest(struct server *server, int64_t rss_kib)
{
    int64_t deadline = deadline_in(GONE_SECONDS);
    for (;; pause_ms(200)) {
        json_t *status = server_ask(server, "status\n");
        int64_t connections = get_int(status, "connections");
        int64_t in_memory = get_int(status, "rooms_in_memory"), read = get_int(status, "rooms");
        struct usage usage = {get_int(status, "heap") / 1024, (int64_t)server_rss_kib(server)};
        json_decref(status);
        bool rests = !connections && !in_memory && !read;
        if (rests && usage.rss_kib <= rss_kib)
            return usage;
        ck_assert_msg(!rests || now_ms() < deadline, "%d KiB are resident, not %d",
                      (int)usage.rss_kib, (int)rss_kib);
        ck_assert_msg(now_ms() < deadline, "%d connections, %d rooms, %d of them read, are left",
                      (int)connections, (int)in_memory, (int)read);
    }
}

START_TEST(what_came_and_went_leaves_nothing)
{
    struct server *server = server_start(.threads = 2, .yaml = yaml);
    size_t connections = (size_t)(CONNECTIONS * scale()), messages = (size_t)(MESSAGES * scale());
    struct usage before = usage_at_rest(server, INT64_MAX);
    churn(server, connections);
    rooms(server, connections);
    talks(server, messages);
    int64_t most_kib = (int64_t)server_rss_kib(server);
    /* sanitizers keep what was freed */
    int64_t rss_most_kib = flow_slow() > 1 ? INT64_MAX : before.rss_kib + RSS_SLACK_KIB;
    struct usage after = usage_at_rest(server, rss_most_kib);
    printf("heap: %d KiB before, %d KiB after; resident: %d, %d, and %d at the end of it\n",
           (int)before.heap_kib, (int)after.heap_kib, (int)before.rss_kib, (int)after.rss_kib,
           (int)most_kib);
    fflush(stdout);
    ck_assert_int_le(after.heap_kib, before.heap_kib + SLACK_KIB);
}
END_TEST

FLOW_MAIN("soak", what_came_and_went_leaves_nothing)
