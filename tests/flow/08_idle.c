/* 08_idle: whatever clients leave half done, the server waits for it without work or memory. The
 * one place where time has to pass: idleness cannot be seen in an instant. */
#include "client.h"
#include "flow.h"
#include "token.h"

enum { MEASURE_MS = 2000, TICKS_MAX = 10, BIG = 30000 };

static void expect_idle(struct server *server, const char *when)
{
    http_get(server, "/stats/lobby"); /* what was sent before has arrived by now */
    http_get(server, "/stats/lobby");
    uint64_t before = server_cpu_ticks(server);
    pause_ms(MEASURE_MS);
    uint64_t ticks = server_cpu_ticks(server) - before;
    ck_assert_msg(ticks < TICKS_MAX, "%s: %d ticks in %d ms", when, (int)ticks, MEASURE_MS);
}

static struct stream *send_bytes(struct server *server, const char *bytes, size_t length)
{
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, bytes, length);
    return stream;
}

static struct stream *send_text(struct server *server, const char *text)
{
    return send_bytes(server, text, strlen(text));
}

/* What a client may stop in the middle of. */
static const char *const stalls[] = {
    "",
    "P",
    "POST /join/lobby HTT",
    "GET /stats/lobby HTTP/1.1\r\n",
    "GET /stats/lobby HTTP/1.1\r\nHost: x\r\nX-Half",
    "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf a body",
    "POST /join/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{",
    "GET /ws/lobby HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
    "GET /stats/lobby HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /stats/lobby HTTP/1.1\r\nHost: x\r\n\r\nGET /sta",
};

/* Publisher or reader, stopped in a frame after `length` bytes of it. */
static struct websocket *stall_in_frame(struct server *server, const char *target, size_t length)
{
    size_t size;
    char *frame = websocket_frame(true, WS_TEXT, "{\"id\":1,\"auth\":\"x\"}", 19, &size);
    struct websocket *ws = websocket_open(server, target, 0, NULL);
    stream_send(ws->stream, frame, length);
    free(frame);
    return ws;
}

START_TEST(stalled_clients_cost_nothing)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(stalls); i++) {
        send_text(server, stalls[i]);
        stream_half_close(send_text(server, stalls[i]));
    }
    static const char *const targets[] = {"/pub", "/ws", "/ws/lobby"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (size_t length = 0; length < 20; length += length < 8 ? 1 : 6) {
            stall_in_frame(server, targets[i], length);
            stream_half_close(stall_in_frame(server, targets[i], length)->stream);
        }
    expect_idle(server, "clients stall");
}
END_TEST

START_TEST(clients_that_vanish_cost_nothing)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(stalls); i++) {
        stream_cut(send_text(server, stalls[i]));
        stream_reset(send_text(server, stalls[i]));
    }
    static const char *const targets[] = {"/pub", "/ws", "/ws/lobby"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (size_t length = 0; length < 20; length += 4) {
            websocket_cut(stall_in_frame(server, targets[i], length));
            stream_reset(stall_in_frame(server, targets[i], length)->stream);
        }
    for (int i = 0; i < 20; i++)
        publisher_cut(publisher_enter(server, "Ann", "lobby"));
    wait_stats(server, "lobby", 0, 0, 0);
    expect_idle(server, "clients have vanished");
}
END_TEST

START_TEST(pipelining_clients_that_do_not_read_cost_nothing)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 50; i++)
        publisher_say_ok(ann, text_repeat("x", 1000));
    char *one = http_text(server, "GET", "/messages/lobby", NULL, NULL);
    char *many = text_repeat(one, 200);
    for (int i = 0; i < 4; i++) {
        struct stream *stream = stream_open(server->port, 4096);
        stream_send(stream, many, strlen(many)); /* 10 MB of answers, read by nobody */
        if (i % 2)
            stream_half_close(stream);
    }
    expect_idle(server, "clients pipeline and do not read");
    stream_reset(send_text(server, many));
    stream_cut(send_text(server, many));
    expect_idle(server, "clients pipeline and are gone");
}
END_TEST

START_TEST(open_connections_cost_nothing)
{
    struct server *server = server_start(.threads = 2);
    for (int i = 0; i < 50; i++) {
        reader_open(server, "lobby");
        publisher_enter(server, textf("user %d", i), "lobby");
    }
    expect_idle(server, "readers and publishers are silent");
}
END_TEST

START_TEST(a_slow_reader_costs_the_others_nothing)
{
    int says = flow_slow() > 1 ? 400 : 1300; /* 12 or 39 MB */
    struct server *server = server_start(.yaml = "limits:\n  stall: 2s\n");
    struct reader *slow = reader_open_stalled(server, "lobby", 4096);
    struct reader *good = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", BIG);
    wait_stats(server, "lobby", 2, 1, 1);
    for (int i = 0; i < 150; i++) /* the history is full: what grows from now on is a queue */
        reader_wait_offset(good, "lobby", publisher_say_ok(ann, big));
    uint64_t before = server_rss_kib(server), most = before;
    for (int i = 150; i < says; i++) {
        reader_wait_offset(good, "lobby", publisher_say_ok(ann, big));
        uint64_t now = i % 20 ? most : server_rss_kib(server);
        most = now > most ? now : most;
    }
    account_expect_clean(reader_account(good, "lobby"));
    ck_assert_uint_eq(json_array_size(reader_account(good, "lobby")->messages), (size_t)says);
    if (flow_slow() == 1) /* a sanitizer keeps what was freed */
        ck_assert_msg(most - before < 12 * 1024, "%d KiB more memory", (int)(most - before));

    wait_stats(server, "lobby", 1, 1, 1);
    while (reader_next(slow)) /* what reached it was whole and in order */
        ;
    account_expect_clean(reader_account(slow, "lobby"));
    ck_assert_msg(slow->ws->close_code == 1013 || slow->ws->close_code == 1006, "closed with %d",
                  slow->ws->close_code);
    publisher_say_ok(ann, "the end");
    reader_wait_message(good, "lobby", "the end");
}
END_TEST

START_TEST(a_reader_that_is_waited_for_costs_nothing)
{
    struct server *server = server_start(.yaml = "limits:\n  queue_bytes: 64MiB\n  stall: 1h\n");
    struct reader *slow = reader_open_stalled(server, "lobby", 4096);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", BIG);
    enum { SAYS = 400 };
    wait_stats(server, "lobby", 1, 1, 1);
    for (int i = 0; i < SAYS; i++)
        publisher_say_ok(ann, big);
    expect_idle(server, "a reader is slow");
    reader_wait_offset(slow, "lobby", SAYS); /* and when it reads, all is there */
    account_expect_clean(reader_account(slow, "lobby"));
    ck_assert_uint_eq(json_array_size(reader_account(slow, "lobby")->messages), SAYS);
    expect_idle(server, "a reader has caught up");
}
END_TEST

FLOW_MAIN("idle", stalled_clients_cost_nothing, clients_that_vanish_cost_nothing,
          pipelining_clients_that_do_not_read_cost_nothing, open_connections_cost_nothing,
          a_slow_reader_costs_the_others_nothing, a_reader_that_is_waited_for_costs_nothing)
