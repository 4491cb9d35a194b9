/* 10_websocket: RFC 6455 over real sockets, on both ends of the chat. What the reader of frames
 * does with each byte is proved in unit/protocol/websocket.c; here, what becomes of the connection.
 */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <time.h>

#define S(string) string, sizeof(string) - 1
#define NO_MASK   "\0\0\0\0" /* a mask that changes nothing */

static const char *const targets[] = {"/ws/lobby", "/ws", "/pub"};

/* ---- frames as they come ---- */

struct got {
    int opcode;
    size_t length;
    char payload[200];
};

/* The next frame, whatever it is; false if the connection is over. */
static bool frame_next(struct websocket *ws, struct got *got)
{
    int64_t deadline = deadline_in(20);
    for (;;) {
        const unsigned char *p = (const unsigned char *)stream_at(ws->stream);
        size_t available = stream_available(ws->stream);
        if (available >= 2 && p[1] < 126 && available >= 2 + (size_t)p[1]) {
            *got = (struct got){.opcode = p[0] & 15, .length = p[1]};
            memcpy(got->payload, p + 2, p[1]);
            stream_take(ws->stream, 2 + got->length);
            return true;
        }
        enum stream_got more = stream_receive(ws->stream, deadline);
        ck_assert_msg(more != STREAM_LATE, "no frame comes");
        if (more == STREAM_ENDED)
            return false;
    }
}

static void send_bytewise(struct stream *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        stream_send(stream, bytes + i, 1); /* it may be closed before all is sent */
}

/* Skip what rooms say. */
static void expect_frame(struct websocket *ws, int opcode, const char *payload, size_t length)
{
    struct got got;
    do
        ck_assert_msg(frame_next(ws, &got), "closed instead of a frame with opcode %d", opcode);
    while (got.opcode == WS_TEXT);
    ck_assert_int_eq(got.opcode, opcode);
    ck_assert_uint_eq(got.length, length);
    ck_assert_mem_eq(got.payload, payload, length);
}

/* ---- what is wrong ---- */

static const struct {
    const char *bytes;
    size_t length;
    int code;
} wrong[] = {
    {S("\x81\x01"), 1002},             /* no mask */
    {S("\xc1\x81" NO_MASK "a"), 1002}, /* RSV1: no extension was agreed */
    {S("\xa1\x81" NO_MASK "a"), 1002}, /* RSV2 */
    {S("\x99\x80" NO_MASK), 1002},     /* RSV3 */
    {S("\x83\x80" NO_MASK), 1002},     /* opcodes that are none */
    {S("\x87\x81" NO_MASK "a"), 1002},
    {S("\x8b\x80" NO_MASK), 1002},
    {S("\x8f\x81" NO_MASK "a"), 1002},
    {S("\x09\x80" NO_MASK), 1002}, /* a ping in fragments */
    {S("\x08\x80" NO_MASK), 1002},
    {S("\x89\xfe\x00\x7e" NO_MASK), 1002}, /* a ping of 126 bytes */
    {S("\x80\x81" NO_MASK "a"), 1002},     /* a continuation of nothing */
    {S("\x00\x80" NO_MASK), 1002},
    {S("\x01\x81" NO_MASK "a\x81\x81" NO_MASK "b"), 1002}, /* a message within a message */
    {S("\x02\x80" NO_MASK "\x02\x80" NO_MASK), 1002},
    {S("\x81\xfe\x00\x01" NO_MASK "a"), 1002}, /* a length in the wrong form */
    {S("\x81\xff\0\0\0\0\0\0\0\x01" NO_MASK "a"), 1002},
    {S("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" NO_MASK), 1002},
    {S("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" NO_MASK),
     1009}, /* before a byte of it has come */
    {S("\x81\x82" NO_MASK "\xc3("), 1007},
    {S("\x81\x81" NO_MASK "\xc3"), 1007},
    {S("\x01\x81" NO_MASK "\xc3\x80\x81" NO_MASK "("), 1007},
    {S("\x01\x84" NO_MASK "\xed\xa0"), 1007}, /* it is known before the frame ends */
    {S("\x01\x90" NO_MASK "\xf8"), 1007},
    {S("\x88\x81" NO_MASK "a"), 1002}, /* close frames that are none */
    {S("\x88\x82" NO_MASK "\x00\x00"), 1002},
    {S("\x88\x82" NO_MASK "\x03\xe7"), 1002},
    {S("\x88\x82" NO_MASK "\x03\xec"), 1002}, /* 1004, 1005, 1006, 1015 are not sent */
    {S("\x88\x82" NO_MASK "\x03\xed"), 1002},
    {S("\x88\x82" NO_MASK "\x03\xee"), 1002},
    {S("\x88\x82" NO_MASK "\x03\xf7"), 1002},
    {S("\x88\x82" NO_MASK "\x04\x4c"), 1002},
    {S("\x88\x82" NO_MASK "\x0b\xb7"), 1002},
    {S("\x88\x82" NO_MASK "\x13\x88"), 1002},
    {S("\x88\x82" NO_MASK "\xff\xff"), 1002},
    {S("\x88\x84" NO_MASK "\x03\xe8\xc3("), 1007},
    {S("\x88\x83" NO_MASK "\x03\xe8\xc3"), 1007},
    {S("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1002}, /* a second request */
};

START_TEST(what_breaks_the_protocol_is_told_and_ends)
{
    struct server *server = server_start();
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        for (size_t j = 0; j < COUNT_OF(targets); j++)
            for (int bytewise = 0; bytewise < 2; bytewise++) {
                struct websocket *ws = websocket_open(server, targets[j], 0, NULL);
                if (bytewise)
                    send_bytewise(ws->stream, wrong[i].bytes, wrong[i].length);
                else
                    stream_send(ws->stream, wrong[i].bytes, wrong[i].length);
                int64_t deadline = deadline_in(20);
                while (websocket_receive(ws, deadline) == WS_GOT_TEXT)
                    ;
                ck_assert_msg(ws->close_code == wrong[i].code, "case %zu, %s: %d \"%s\"", i,
                              targets[j], ws->close_code, ws->close_reason);
                ck_assert(*ws->close_reason != 0);
                ck_assert_msg(stream_is_closed_by(ws->stream, deadline_in(20)),
                              "case %zu: still open", i);
                websocket_cut(ws);
            }
}
END_TEST

/* Half of them wait for more of the frame, the others for an answer to their close. */
START_TEST(what_breaks_the_protocol_leaves_no_work_behind)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        for (size_t j = 0; j < COUNT_OF(targets); j++) {
            struct websocket *all = websocket_open(server, targets[j], 0, NULL);
            struct websocket *half = websocket_open(server, targets[j], 0, NULL);
            stream_send(all->stream, wrong[i].bytes, wrong[i].length);
            stream_send(half->stream, wrong[i].bytes, wrong[i].length / 2);
            if (i % 2) {
                stream_half_close(all->stream);
                stream_half_close(half->stream);
            }
        }
    enum { MEASURE_MS = 1000, TICKS_MAX = 10 };
    http_get(server, "/stats/lobby");
    uint64_t before = server_cpu_ticks(server);
    pause_ms(MEASURE_MS);
    ck_assert_uint_lt(server_cpu_ticks(server) - before, TICKS_MAX);
}
END_TEST

/* ---- the end, in order ---- */

START_TEST(a_close_is_answered_with_its_code_and_the_server_hangs_up)
{
    struct server *server = server_start();
    static const int codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
                                1012, 1013, 1014, 3000, 3999, 4000, 4999, 0};
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        for (size_t j = 0; j < COUNT_OF(targets); j++) {
            struct websocket *ws = websocket_open(server, targets[j], 0, NULL);
            char payload[] = {(char)(codes[i] >> 8), (char)codes[i], 'b', 'y', 'e'};
            size_t length = codes[i] ? (i % 2 ? 5 : 2) : 0;
            websocket_send_frame(ws, true, WS_CLOSE, payload, length);
            expect_frame(ws, WS_CLOSE, payload, codes[i] ? 2 : 0);
            struct got got;
            ck_assert_msg(!frame_next(ws, &got), "a frame after the close");
            websocket_cut(ws);
        }
}
END_TEST

START_TEST(nothing_behind_a_close_is_heard)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    size_t size, more;
    char *close = websocket_frame(true, WS_CLOSE, "\x03\xe8", 2, &size);
    const char *say = "{\"id\":9,\"say\":{\"msg\":\"too late\"}}";
    char *late = websocket_frame(true, WS_TEXT, say, strlen(say), &more);
    char *both = malloc(size + more);
    memcpy(both, close, size);
    memcpy(both + size, late, more);
    stream_send(ann->ws->stream, both, size + more);
    expect_frame(ann->ws, WS_CLOSE, "\x03\xe8", 2);
    ck_assert(stream_is_closed_by(ann->ws->stream, deadline_in(20)));
    wait_stats(server, "lobby", 0, 0, 0);
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/lobby")->json), 0);
}
END_TEST

START_TEST(who_leaves_without_a_close_is_gone_at_once)
{
    struct server *server = server_start(.threads = 2);
    for (int how = 0; how < 3; how++) {
        struct reader *reader = reader_open(server, "lobby");
        struct publisher *ann = publisher_enter(server, "Ann", "lobby");
        wait_stats(server, "lobby", 1, 1, 1);
        if (how == 0) {
            stream_half_close(reader->ws->stream);
            stream_half_close(ann->ws->stream);
            ck_assert(stream_is_closed_by(reader->ws->stream, deadline_in(20)));
            ck_assert(stream_is_closed_by(ann->ws->stream, deadline_in(20)));
        } else if (how == 1) {
            reader_cut(reader);
            publisher_cut(ann);
        } else {
            stream_reset(reader->ws->stream);
            stream_reset(ann->ws->stream);
        }
        wait_stats(server, "lobby", 0, 0, 0);
    }
}
END_TEST

/* ---- pings ---- */

START_TEST(every_ping_is_answered_in_its_order)
{
    struct server *server = server_start();
    for (size_t j = 0; j < COUNT_OF(targets); j++) {
        struct websocket *ws = websocket_open(server, targets[j], 0, NULL);
        char payload[125];
        memset(payload, 0xfe, sizeof payload);
        for (size_t length = 0; length <= sizeof payload; length += 25) {
            websocket_send_frame(ws, true, WS_PING, payload, length);
            expect_frame(ws, WS_PONG, payload, length);
        }
        char all[1000];
        size_t used = 0, size;
        for (int i = 0; i < 10; i++) { /* in one segment */
            char *frame = websocket_frame(true, WS_PING, textf("ping %d", i), 6, &size);
            memcpy(all + used, frame, size);
            used += size;
        }
        stream_send(ws->stream, all, used);
        for (int i = 0; i < 10; i++)
            expect_frame(ws, WS_PONG, textf("ping %d", i), 6);
        char *slow = websocket_frame(true, WS_PING, payload, sizeof payload, &size);
        send_bytewise(ws->stream, slow, size);
        expect_frame(ws, WS_PONG, payload, sizeof payload);
        websocket_send_frame(ws, true, WS_PONG, "unasked", 7); /* is fine, and says nothing */
        websocket_send_frame(ws, true, WS_PING, "still there", 11);
        expect_frame(ws, WS_PONG, "still there", 11);
        websocket_close(ws);
    }
}
END_TEST

START_TEST(a_message_may_come_in_fragments_with_pings_between_them)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    const char *say =
        "{\"id\":7,\"say\":{\"msg\":\"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\"}}";
    size_t length = strlen(say);
    for (size_t i = 0; i < length; i++) { /* a byte each, in the middle of letters, too */
        websocket_send_frame(ann->ws, false, i ? WS_CONTINUATION : WS_TEXT, say + i, 1);
        websocket_send_frame(ann->ws, true, WS_PING, say + i, 1);
        websocket_send_frame(ann->ws, false, WS_CONTINUATION, "", 0);
    }
    websocket_send_frame(ann->ws, true, WS_CONTINUATION, "", 0);
    for (size_t i = 0; i < length; i++)
        expect_frame(ann->ws, WS_PONG, say + i, 1);
    ck_assert_int_eq(get_int(publisher_receive(ann), "id"), 7);
    reader_wait_message(reader, "lobby", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5");
    publisher_close(ann);
    reader_close(reader);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_message_of_exactly_the_limit_is_read_and_a_byte_more_is_not)
{
    enum { LIMIT = 65536 };
    struct server *server = server_start();
    char *spaces = text_repeat(" ", 300000);
    struct websocket *pub = websocket_open(server, "/pub", 0, NULL);
    websocket_send_frame(pub, true, WS_TEXT, spaces, LIMIT);
    ck_assert_int_eq(websocket_receive(pub, deadline_in(20)), WS_GOT_TEXT);
    ck_assert(json_is_null(json_object_get(json_of(pub->message), "id")));
    websocket_send_frame(pub, true, WS_TEXT, spaces, LIMIT + 1);
    websocket_expect_close(pub, 1009);
    pub = websocket_open(server, "/pub", 0, NULL);
    for (int i = 0; i < 16; i++)
        websocket_send_frame(pub, false, i ? WS_CONTINUATION : WS_TEXT, spaces, LIMIT / 16);
    websocket_send_frame(pub, true, WS_CONTINUATION, " ", 1);
    websocket_expect_close(pub, 1009);

    /* A first frame may be as big as a body; what is read after it may not. */
    struct websocket *ws = websocket_open(server, "/ws", 0, NULL);
    const char *first = "{\"channels\":[\"lobby\"]}";
    websocket_send_frame(ws, false, WS_TEXT, spaces, 262144 - strlen(first));
    websocket_send_frame(ws, true, WS_CONTINUATION, first, strlen(first));
    ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
    websocket_send_frame(ws, true, WS_TEXT, spaces, LIMIT);
    websocket_send_frame(ws, true, WS_PING, "", 0);
    expect_frame(ws, WS_PONG, "", 0);
    websocket_send_frame(ws, true, WS_TEXT, spaces, LIMIT + 1);
    websocket_expect_close(ws, 1009);
    ws = websocket_open(server, "/ws", 0, NULL);
    websocket_send_frame(ws, true, WS_TEXT, spaces, 262145);
    websocket_expect_close(ws, 1009);
}
END_TEST

/* 60 frames may come at once, and then one a second. */
START_TEST(a_frame_that_comes_in_pieces_counts_once)
{
    struct server *server =
        server_start(.rates = true, .yaml = "limits:\n  frames_per_connection: 1\n  burst: 60s\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *say = textf("{\"id\":7,\"say\":{\"msg\":\"%s\"}}", text_repeat("x", 200));
    size_t size;
    char *frame = websocket_frame(true, WS_TEXT, say, strlen(say), &size);
    for (size_t i = 0; i < size; i++) {
        stream_send(ann->ws->stream, frame + i, 1);
        pause_ms(2); /* or they would arrive together */
    }
    ck_assert_int_eq(websocket_receive(ann->ws, deadline_in(10)), WS_GOT_TEXT);
    int64_t deadline = deadline_in(10);
    for (int i = 0; i < 30; i++)
        publisher_send_say(ann, textf("%d", i), NULL);
    for (int i = 0; i < 30; i++)
        ck_assert_msg(websocket_receive(ann->ws, deadline) == WS_GOT_TEXT,
                      "%d answers: a second for each", i);
    /* Too many wait, but none is lost. */
    for (int i = 0; i < 28; i++)
        publisher_send_say(ann, textf("%d", i), NULL);
    for (int i = 0; i < 28; i++)
        ck_assert_ptr_nonnull(publisher_receive(ann));
}
END_TEST

START_TEST(a_reader_that_is_too_slow_is_told_so)
{
    struct server *server = server_start(.yaml = "limits:\n  queue_bytes: 64KiB\n  stall: 1h\n");
    struct reader *slow = reader_open_stalled(server, "lobby", 4096);
    struct reader *good = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    wait_stats(server, "lobby", 2, 1, 1);
    for (int i = 0; i < 400; i++) {
        reader_wait_offset(good, "lobby", publisher_say_ok(ann, big));
        if (i % 20 == 0 && strstr(file_read(server->log), "reader closed"))
            break;
    }
    while (reader_next(slow))
        ;
    ck_assert_int_eq(slow->ws->close_code, 1013);
    ck_assert_str_eq(slow->ws->close_reason, "too slow");
    account_expect_clean(reader_account(slow, "lobby"));
    wait_stats(server, "lobby", 1, 1, 1);
    account_expect_clean(reader_account(good, "lobby"));
}
END_TEST

FLOW_MAIN("websocket", what_breaks_the_protocol_is_told_and_ends,
          what_breaks_the_protocol_leaves_no_work_behind,
          a_close_is_answered_with_its_code_and_the_server_hangs_up,
          nothing_behind_a_close_is_heard, who_leaves_without_a_close_is_gone_at_once,
          every_ping_is_answered_in_its_order,
          a_message_may_come_in_fragments_with_pings_between_them,
          a_message_of_exactly_the_limit_is_read_and_a_byte_more_is_not,
          a_frame_that_comes_in_pieces_counts_once, a_reader_that_is_too_slow_is_told_so)
