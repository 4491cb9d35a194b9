/* 11_http: hostile requests, one after the other, and what becomes of the connection after each.
 * What the parser does with each byte is proved in unit/protocol/http_head.c. */
#include "client.h"
#include "flow.h"
#include "token.h"

#define S(string) string, sizeof(string) - 1
#define HOST      "Host: x\r\n"
#define H11       " HTTP/1.1\r\n" HOST
#define END       "\r\n"

enum after { CLOSED, USABLE };

static const struct {
    const char *bytes;
    size_t length;
    int status;
    enum after after;
} requests[] = {
    /* in order, if not usual */
    {S("GET /stats/a" H11 END), 200, USABLE},
    {S("\r\nGET /stats/a" H11 END), 200, USABLE},
    {S("GET /stats/a HTTP/1.0\r\n\r\n"), 200, CLOSED},
    {S("GET /stats/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 200, CLOSED},
    {S("GET /stats/a" H11 "Connection: close\r\n" END), 200, CLOSED},
    {S("GET /stats/a" H11 "Connection: x, Close\r\n" END), 200, CLOSED},
    {S("GET /stats/a" H11 "Connection: keep-alive\r\n" END), 200, USABLE},
    {S("GET /stats/a HTTP/1.9\r\n" HOST END), 200, USABLE},
    {S("GET http://y/stats/a" H11 END), 200, USABLE},
    {S("GET /stats/a" H11 "Content-Length: 3\r\n" END "abc"), 200, USABLE},
    {S("GET /stats/a" H11 "Upgrade: h2c\r\nConnection: Upgrade\r\n" END), 200, USABLE},
    {S("POST /join/a" H11 "Content-Length: 0\r\n" END), 200, USABLE},
    {S("POST /join/a" H11 "Content-Length: 2\r\nExpect: 100-continue\r\n" END "{}"), 200, USABLE},
    {S("POST /join/a" H11 "Content-Type: text/plain\r\nContent-Length: 2\r\n" END "{}"), 200,
     USABLE},
    {S("POST /join/a HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"), 200, CLOSED},
    {S("OPTIONS * HTTP/1.1\r\n" HOST END), 200, USABLE},
    {S("OPTIONS /nothing" H11 END), 200, USABLE},
    {S("OPTIONS /post" H11 "Content-Length: 2\r\n" END "{}"), 200, USABLE},
    {S("GET /health" H11 END), 200, USABLE},

    /* what is not there, or not so */
    {S("GET /nothing" H11 END), 404, USABLE},
    {S("GET //stats/a" H11 END), 404, USABLE},
    {S("GET /STATS/a" H11 END), 404, USABLE},
    {S("GET /./stats/a" H11 END), 404, USABLE},
    {S("GET /x/../stats/a" H11 END), 404, USABLE},
    {S("GET /..%2f..%2fetc/passwd" H11 END), 404, USABLE},
    {S("GET /chatup.js/" H11 END), 404, USABLE},
    {S("GET /chatup.js%20" H11 END), 404, USABLE},
    {S("POST /nothing" H11 "Content-Length: 5\r\n" END "hello"), 404, USABLE},
    {S("BREW /nothing" H11 END), 404, USABLE},
    {S("BREW /stats/a" H11 END), 405, USABLE},
    {S("TRACE /stats/a" H11 END), 405, USABLE},
    {S("get /stats/a" H11 END), 405, USABLE},
    {S("PATCH /join/a" H11 "Content-Length: 5\r\n" END "hello"), 405, USABLE},
    {S("PUT /post" H11 END), 405, USABLE},
    {S("POST /ev/a" H11 END), 405, USABLE},
    {S("DELETE /lp/a" H11 END), 405, USABLE},
    {S("PUT /sub/a" H11 END), 405, USABLE},
    {S("GET /ws/a" H11 END), 426, USABLE},
    {S("GET /pub" H11 END), 426, USABLE},
    {S("GET /stats" H11 END), 400, USABLE},
    {S("GET /stats/" H11 END), 400, USABLE},
    {S("GET /stats?channel=" H11 END), 400, USABLE},
    {S("GET /stats/%ff" H11 END), 400, USABLE},
    {S("GET /stats/%c0%af" H11 END), 400, USABLE},
    {S("GET /stats/\xff" H11 END), 400, USABLE},
    {S("GET /ev" H11 END), 400, USABLE},
    {S("GET /lp/" H11 END), 400, USABLE},
    {S("GET /sub/a//b" H11 END), 400, USABLE},
    {S("GET /ev%2Fa" H11 END), 404, USABLE},
    {S("GET /%65v/a" H11 END), 404, USABLE},
    {S("POST /join/a" H11 "Content-Length: 1\r\n" END "{"), 400, USABLE},
    {S("POST /post" H11 "Content-Length: 5\r\n" END "hello"), 400, USABLE},
    {S("GET /stats/%zz" H11 END), 400, CLOSED},
    {S("GET /stats/%" H11 END), 400, CLOSED},
    {S("GET /stats/%00" H11 END), 400, CLOSED},
    {S("GET /stats/a?limit=%0" H11 END), 400, CLOSED},
    {S("GET /stats/a" H11 "Authorization: Bearer x\r\n" END), 401, USABLE},
    {S("GET /stats/a" H11 "Authorization: Bearer\r\n" END), 401, USABLE},
    {S("GET /stats/a" H11 "Authorization: Basic x\r\n" END), 200, USABLE},
    {S("GET /stats/user:1" H11 END), 403, USABLE},

    /* how long it is */
    {S("POST /post" H11 "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"), 411, CLOSED},
    {S("POST /post" H11 "Transfer-Encoding: identity\r\n" END), 411, CLOSED},
    {S("POST /post" H11 "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n" END), 411, CLOSED},
    {S("POST /post" H11 "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n"), 411,
     CLOSED},
    {S("GET /stats/a" H11 "Transfer-Encoding:\r\n" END), 411, CLOSED},
    {S("POST /post" H11 "Transfer-Encoding : chunked\r\n" END), 400, CLOSED},
    {S("POST /post" H11 " Transfer-Encoding: chunked\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "X: y\r\n Transfer-Encoding: chunked\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "X: y\nTransfer-Encoding: chunked\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "X: y\rTransfer-Encoding: chunked\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "X\0: y\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 1\r\nContent-Length: 1\r\n" END "x"), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 0\r\nContent-Length: 44\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 1, 1\r\n" END "x"), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: -1\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: +1\r\n" END "x"), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 0x1\r\n" END "x"), 400, CLOSED},
    {S("POST /post" H11 "Content-Length:\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 18446744073709551616\r\n" END), 400, CLOSED},
    {S("POST /post" H11 "Content-Length: 999999999999999999\r\n" END), 413, CLOSED},
    {S("POST /post" H11 "Content-Length: 262145\r\n" END), 413, CLOSED},
    {S("POST /nothing" H11 "Content-Length: 262145\r\n" END), 413, CLOSED},
    {S("GET /stats/a" H11 "Content-Length: 262145\r\n" END), 413, CLOSED},
    {S("POST /post" H11 "Content-Length: 262145\r\nExpect: 100-continue\r\n" END), 413, CLOSED},
    {S("POST /post" H11 "Content-Length: 1\r\nExpect: 200-ok\r\n" END "x"), 417, CLOSED},
    {S("GET /stats/a" H11 "Expect: \r\n" END), 417, CLOSED},

    /* no HTTP, or not ours */
    {S("GET /stats/a\r\n\r\n"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\n" HOST "\n"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\r\nHost: x\n\r\n"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1 \r\n" HOST END), 400, CLOSED},
    {S("GET  /stats/a" H11 END), 400, CLOSED},
    {S("GET /stats/a  HTTP/1.1\r\n" HOST END), 400, CLOSED},
    {S("GET\t/stats/a" H11 END), 400, CLOSED},
    {S(" GET /stats/a" H11 END), 400, CLOSED},
    {S("GET stats/a" H11 END), 400, CLOSED},
    {S("GET /stats/a#b" H11 END), 400, CLOSED},
    {S("GET /stats/a b" H11 END), 400, CLOSED},
    {S("GET * HTTP/1.1\r\n" HOST END), 400, CLOSED},
    {S("GET ftp://x/stats/a" H11 END), 400, CLOSED},
    {S("CONNECT x:443" H11 END), 400, CLOSED},
    {S("GET /stats/a HTTP/1.x\r\n" HOST END), 400, CLOSED},
    {S("GET /stats/a http/1.1\r\n" HOST END), 400, CLOSED},
    {S("GET /stats/a HTTP/0.9\r\n" HOST END), 505, CLOSED},
    {S("GET /stats/a HTTP/2.0\r\n" HOST END), 505, CLOSED},
    {S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, CLOSED},
    {S("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), 400, CLOSED},
    {S("\0"), 400, CLOSED},
    {S("{\"id\":1,\"auth\":\"x\"}"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\r\n\r\n"), 400, CLOSED},
    {S("GET /stats/a" H11 HOST END), 400, CLOSED},
    {S("GET /stats/a" H11 "host: y\r\n" END), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\r\nHost: x y\r\n\r\n"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\r\nHost: x/y\r\n\r\n"), 400, CLOSED},
    {S("GET /stats/a HTTP/1.1\r\nHost : x\r\n\r\n"), 400, CLOSED},
    {S("GET /stats/a" H11 "A B: c\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 ": c\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "no colon\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "A: b\0c\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "A: \x1b[2J\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "Origin: a\r\nOrigin: b\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "Authorization: a\r\nAuthorization: b\r\n" END), 400, CLOSED},
    {S("GET /stats/a" H11 "Idempotency-Key: a\r\nIdempotency-Key: b\r\n" END), 400, CLOSED},
};

static void expect_answer(const struct http_answer *answer, size_t i)
{
    ck_assert_msg(answer != NULL, "case %zu: no answer", i);
    ck_assert_msg(answer->status == requests[i].status, "case %zu: %s%s", i, answer->head,
                  answer->body);
    const char *connection = http_header(answer, "Connection");
    ck_assert_msg(!!connection == (requests[i].after == CLOSED), "case %zu: %s", i, answer->head);
    ck_assert_ptr_nonnull(http_header(answer, "Date"));
    ck_assert_ptr_nonnull(http_header(answer, "Access-Control-Allow-Origin"));
    if (answer->status < 400)
        return;
    ck_assert_str_eq(get_string(answer->json, "status"), "error");
    ck_assert_uint_gt(strlen(get_string(answer->json, "err")), 0);
}

/* "100 Continue" may come before it. */
static struct http_answer *final_answer(struct stream *stream)
{
    struct http_answer *answer = http_receive(stream, true, deadline_in(20));
    if (answer && answer->status == 100)
        return http_receive(stream, false, deadline_in(20));
    if (!answer)
        return NULL;
    const char *length = http_header(answer, "Content-Length");
    size_t left = length ? strtoull(length, NULL, 10) : 0;
    while (stream_available(stream) < left)
        ck_assert_int_eq(stream_receive(stream, deadline_in(20)), STREAM_MORE);
    answer->body = strndup(stream_at(stream), left);
    answer->json = json_loadb(answer->body, left, JSON_REJECT_DUPLICATES, NULL);
    stream_take(stream, left);
    return answer;
}

static void expect_after(struct server *server, struct stream *stream, size_t i)
{
    char *next = http_text(server, "GET", "/health", NULL, NULL);
    if (requests[i].after == USABLE) {
        stream_send(stream, next, strlen(next));
        struct http_answer *answer = http_receive(stream, false, deadline_in(20));
        ck_assert_msg(answer && answer->status == 200, "case %zu: no second answer", i);
    } else {
        ck_assert_msg(stream_receive(stream, deadline_in(20)) == STREAM_ENDED, "case %zu: open", i);
        ck_assert_msg(!stream_available(stream), "case %zu: a second answer", i);
    }
}

START_TEST(hostile_requests_are_answered_and_no_other_is_smuggled)
{
    struct server *server = server_start(.threads = 2);
    ck_assert_uint_ge(COUNT_OF(requests), 100);
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct stream *stream = stream_open(server->port, 0);
            for (size_t at = 0; bytewise && at < requests[i].length; at++)
                stream_send(stream, requests[i].bytes + at, 1);
            if (!bytewise)
                stream_send(stream, requests[i].bytes, requests[i].length);
            expect_answer(final_answer(stream), i);
            expect_after(server, stream, i);
            stream_cut(stream);
        }
}
END_TEST

/* Behind each of them, another one in the same segment. */
START_TEST(what_is_pipelined_is_answered_or_dropped_with_the_connection)
{
    struct server *server = server_start();
    char *next = http_text(server, "GET", "/health", NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        bool open_end = requests[i].length < 4 ||
                        memcmp(requests[i].bytes + requests[i].length - 4, "\r\n\r\n", 4) != 0;
        if (requests[i].after == CLOSED && open_end && requests[i].status != 200)
            continue; /* the next one would belong to it */
        struct stream *stream = stream_open(server->port, 0);
        char *both = malloc(requests[i].length + strlen(next));
        memcpy(both, requests[i].bytes, requests[i].length);
        memcpy(both + requests[i].length, next, strlen(next));
        stream_send(stream, both, requests[i].length + strlen(next));
        stream_half_close(stream); /* and that is no reason not to answer */
        expect_answer(final_answer(stream), i);
        struct http_answer *second = http_receive(stream, false, deadline_in(20));
        ck_assert_msg(!!second == (requests[i].after == USABLE), "case %zu", i);
        ck_assert(stream_is_closed_by(stream, deadline_in(20)));
        stream_cut(stream);
    }
}
END_TEST

START_TEST(a_body_may_be_split_anywhere_also_between_pipelined_requests)
{
    struct server *server = server_start();
    char *one = http_text(server, "POST", "/join/a", NULL, "{\"worker\":{\"id\":\"x\"}}");
    char *two = textf("%s%s", one, http_text(server, "GET", "/stats/a", NULL, NULL));
    size_t length = strlen(two);
    for (size_t split = 1; split < length; split++) {
        struct stream *stream = stream_open(server->port, 0);
        stream_send(stream, two, split);
        if (split % 8 == 0)
            http_get(server, "/health"); /* by now the first part has been read */
        stream_send(stream, two + split, length - split);
        for (int i = 0; i < 2; i++) {
            struct http_answer *answer = http_receive(stream, false, deadline_in(20));
            ck_assert_msg(answer && answer->status == 200, "split at %zu, answer %d", split, i);
        }
        stream_cut(stream);
    }
}
END_TEST

START_TEST(expectations_are_met_before_the_body)
{
    struct server *server = server_start();
    struct stream *stream = stream_open(server->port, 0);
    for (int i = 0; i < 2; i++) {
        char *head = textf("POST /join/a" H11 "Content-Length: 2\r\nExpect: 100-continue\r\n" END);
        stream_send(stream, head, strlen(head));
        struct http_answer *go_on = http_receive(stream, true, deadline_in(20));
        ck_assert_int_eq(go_on->status, 100);
        stream_send(stream, "{}", 2);
        ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 200);
    }
    stream_cut(stream);
}
END_TEST

START_TEST(head_is_get_without_a_body)
{
    struct server *server = server_start();
    static const char *const targets[] = {"/",        "/chatup.js",       "/stats/a", "/messages/a",
                                          "/nothing", "/stats/a?limit=x", "/health",  "/join/a",
                                          "/post",    "/stats/user:1"};
    struct stream *stream = stream_open(server->port, 0); /* all on one */
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_answer *get = http_get(server, targets[i]);
        char *request = http_text(server, "HEAD", targets[i], NULL, NULL);
        stream_send(stream, request, strlen(request));
        struct http_answer *head = http_receive(stream, true, deadline_in(20));
        ck_assert_msg(head != NULL, "%s", targets[i]);
        ck_assert_int_eq(head->status, get->status);
        ck_assert_str_eq(http_header(head, "Content-Length"), http_header(get, "Content-Length"));
        ck_assert_str_eq(http_header(head, "Content-Type"), http_header(get, "Content-Type"));
    }
    stream_cut(stream);
    /* An answer without end has no HEAD, and does not claim to. */
    struct http_answer *answer = http_call(server, "HEAD", "/ev/a", NULL, NULL);
    ck_assert_int_eq(answer->status, 405);
    ck_assert_str_eq(http_header(answer, "Allow"), "OPTIONS, GET");
}
END_TEST

/* ---- limits ---- */

START_TEST(a_head_and_a_body_of_exactly_the_limit_are_read)
{
    struct server *server =
        server_start(.yaml = "limits:\n  header_bytes: 2000\n  body_bytes: 3000\n");
    const char *start = "GET /stats/a" H11 "X: ";
    for (int over = 0; over < 2; over++) {
        char *head =
            textf("%s%s\r\n\r\n", start, text_repeat("x", 2000 - strlen(start) - 4 + (size_t)over));
        ck_assert_int_eq(http_raw(server, head)->status, over ? 431 : 200);
        char *target = text_repeat("x", 2000 - strlen("GET /stats/" H11 END) + (size_t)over);
        char *line = textf("GET /stats/%s" H11 END, target);
        ck_assert_int_eq(http_raw(server, line)->status, over ? 431 : 400); /* no such name */
        char *body = textf("{%s}", text_repeat(" ", 2998 + (size_t)over));
        ck_assert_int_eq(http_post(server, "/join/a", body)->status, over ? 413 : 200);
    }
    ck_assert_int_eq(http_raw(server, textf("GET /%s", text_repeat("x", 1995)))->status, 414);
    char *many = textf("GET /stats/a" H11 "%s" END, text_repeat("a:\r\n", 99));
    ck_assert_int_eq(http_raw(server, many)->status, 200);
    many = textf("GET /stats/a" H11 "%s" END, text_repeat("a:\r\n", 100));
    ck_assert_int_eq(http_raw(server, many)->status, 431);
}
END_TEST

START_TEST(who_sends_a_body_that_is_too_big_sees_why)
{
    enum { BODY = 8 << 20 };
    struct server *server = server_start();
    char *body = text_repeat("x", BODY);
    char *head = textf("POST /post" H11 "Content-Length: %d\r\n\r\n", BODY);
    struct stream *stream = stream_open(server->port, 0);
    ck_assert(stream_send(stream, head, strlen(head)));
    ck_assert_msg(stream_send(stream, body, BODY), "reset while it is sent");
    struct http_answer *answer = http_receive(stream, false, deadline_in(20));
    ck_assert_msg(answer && answer->status == 413, "no answer");
    ck_assert(stream_is_closed_by(stream, deadline_in(20)));
    stream_cut(stream);
}
END_TEST

START_TEST(who_is_slow_is_told_so)
{
    struct server *server = server_start(.yaml = "limits:\n  header: 1s\n  body: 1s\n  idle: 2s\n");
    static const char *const slow[] = {"G",
                                       "GET /stats/a HTTP/1.1\r\n",
                                       "GET /stats/a" H11 "X: ",
                                       "\r\n",
                                       "POST /join/a" H11 "Content-Length: 2\r\n" END,
                                       "POST /join/a" H11 "Content-Length: 2\r\n" END "{",
                                       "POST /join/a" H11 "Content-Length: 2\r\n" END "{}POST /",
                                       "GET /health" H11 END "G"};
    struct stream *streams[COUNT_OF(slow)], *silent = stream_open(server->port, 0);
    struct stream *between = stream_open(server->port, 0);
    char *whole = http_text(server, "GET", "/health", NULL, NULL);
    stream_send(between, whole, strlen(whole));
    ck_assert_int_eq(http_receive(between, false, deadline_in(20))->status, 200);
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        streams[i] = stream_open(server->port, 0);
        stream_send(streams[i], slow[i], strlen(slow[i]));
    }
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        struct http_answer *answer = http_receive(streams[i], false, deadline_in(20));
        if (answer && answer->status == 200)
            answer = http_receive(streams[i], false, deadline_in(20));
        ck_assert_msg(answer && answer->status == 408, "%s: %s", slow[i],
                      answer ? answer->head : "nothing");
        ck_assert_str_eq(http_header(answer, "Connection"), "close");
        ck_assert(stream_is_closed_by(streams[i], deadline_in(20)));
    }
    /* Who has not begun is not told. */
    ck_assert_int_eq(stream_receive(silent, deadline_in(20)), STREAM_ENDED);
    ck_assert_int_eq(stream_receive(between, deadline_in(20)), STREAM_ENDED);
}
END_TEST

/* A byte now and then is not a sign of life that helps. */
START_TEST(a_head_that_drips_is_cut_off)
{
    struct server *server = server_start(.yaml = "limits:\n  header: 1s\n");
    struct stream *stream = stream_open(server->port, 0);
    int64_t deadline = deadline_in(20);
    const char *start = "GET /stats/a" H11 "X: ";
    stream_send(stream, start, strlen(start));
    while (stream_send(stream, "x", 1) && stream_receive(stream, now_ms() + 100) == STREAM_LATE)
        ck_assert_msg(now_ms() < deadline, "it goes on for ever");
    ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 408);
}
END_TEST

START_TEST(an_answer_nobody_takes_is_given_up)
{
    struct server *server = server_start(.yaml = "limits:\n  stall: 1s\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 100; i++)
        publisher_say_ok(ann, text_repeat("x", 30000));
    char *one = http_text(server, "GET", "/messages/lobby", NULL, NULL);
    struct stream *slow = stream_open(server->port, 4096),
                  *patient = stream_open(server->port, 4096);
    for (int i = 0; i < 3; i++) { /* 9 MB for each */
        stream_send(slow, one, strlen(one));
        stream_send(patient, one, strlen(one));
    }
    for (int i = 0; i < 3; i++) { /* who reads, if slowly, gets all of it */
        struct http_answer *answer = http_receive(patient, false, deadline_in(60));
        ck_assert_msg(answer && answer->status == 200, "answer %d", i);
        ck_assert_uint_eq(json_array_size(answer->json), 100);
    }
    int64_t deadline = deadline_in(20); /* the other one is reset, sooner or later */
    for (pause_ms(2500); stream_receive(slow, deadline) == STREAM_MORE;)
        ;
    ck_assert(slow->ended);
    ck_assert_uint_lt(stream_available(slow), 9 * 1000 * 1000);
}
END_TEST

START_TEST(requests_of_clients_that_are_gone_do_no_harm)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        for (int how = 0; how < 4; how++) {
            struct stream *stream = stream_open(server->port, 0);
            size_t length = how % 2 ? requests[i].length : requests[i].length / 2;
            stream_send(stream, requests[i].bytes, length);
            if (how < 2)
                stream_reset(stream);
            else
                stream_cut(stream);
        }
    enum { MEASURE_MS = 1000, TICKS_MAX = 10 };
    http_get(server, "/stats/lobby");
    http_get(server, "/stats/lobby");
    pause_ms(500);
    uint64_t before = server_cpu_ticks(server);
    pause_ms(MEASURE_MS);
    ck_assert_uint_lt(server_cpu_ticks(server) - before, TICKS_MAX);
}
END_TEST

/* ---- names of channels ---- */

static const char *const names[] = {
    "a",
    "a b",
    "a+b",
    "a%b",
    "a%2Fb",
    "a/b",
    "/",
    "//",
    "a//b",
    "../x",
    ".",
    "..",
    "a?b=c&d",
    "#",
    "a#b",
    "&",
    "=",
    ";",
    ":",
    "@",
    "!$'()*,",
    "[]{}",
    "\"quoted\"",
    "\\",
    "<script>",
    "^`|~",
    "\t",
    "\n",
    "\r\n",
    "\x01",
    "\x7f",
    " ",
    " a ",
    "caf\xc3\xa9",
    "\xf0\x9f\x98\x80",
    "\xe2\x80\xae",
    "\xef\xbb\xbf",
    "\xef\xbf\xbf",
    "channel",
    "channels",
    "%00",
    "%",
    "a,b",
    "null",
    "0",
};

static json_t *first_event(struct server *server, const char *target)
{
    struct stream *stream = stream_open(server->port, 0);
    char *request = http_text(server, "GET", target, NULL, NULL);
    stream_send(stream, request, strlen(request));
    const char *data = NULL;
    while (!data || !strchr(data, '\n')) {
        ck_assert_msg(stream_receive(stream, deadline_in(20)) == STREAM_MORE, "%s: %s", target,
                      stream_at(stream));
        const char *head_end = strstr(stream_at(stream), "\r\n\r\n");
        data = head_end ? strstr(head_end, "{\"channel\"") : NULL;
    }
    json_t *frame = json_of(strndup(data, strcspn(data, "\n")));
    stream_cut(stream);
    return frame;
}

START_TEST(every_name_comes_back_as_it_went_by_every_way)
{
    struct server *server = server_start(.threads = 2);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct publisher *ann = publisher_enter(server, "Ann", names[i]);
        char *text = textf("said in %zu", i), *encoded = url_encode(names[i]);
        char *list = url_encode(json_text(json_pack("[s]", names[i])));
        publisher_say_ok(ann, text);
        const char *const ways[] = {textf("/%s", encoded), textf("?channel=%s", encoded),
                                    textf("?channels=%s", list)};
        for (size_t way = 0; way < COUNT_OF(ways); way++) {
            struct websocket *ws = websocket_open(server, textf("/ws%s", ways[way]), 0, NULL);
            ck_assert_int_eq(websocket_receive(ws, deadline_in(20)), WS_GOT_TEXT);
            json_t *frames[] = {
                json_of(ws->message), first_event(server, textf("/ev%s", ways[way])),
                first_event(server, textf("/sub%s", ways[way])),
                json_array_get(
                    json_object_get(http_get(server, textf("/lp%s", ways[way]))->json, "frames"),
                    0)};
            for (size_t j = 0; j < COUNT_OF(frames); j++) {
                ck_assert_msg(!strcmp(get_string(frames[j], "channel"), names[i]), "%s%s: %s",
                              names[i], ways[way], json_text(frames[j]));
                json_t *message = json_array_get(get_array(frames[j], "messages"), 0);
                ck_assert_str_eq(get_string(message, "msg"), text);
            }
            websocket_close(ws);
            if (way == 2)
                continue; /* one channel each: */
            struct http_answer *messages = http_get(server, textf("/messages%s", ways[way]));
            ck_assert_msg(json_array_size(messages->json) == 1, "%s: %s", ways[way],
                          messages->body);
            ck_assert_int_eq(
                get_int(http_get(server, textf("/stats%s", ways[way]))->json, "pubCount"), 1);
            json_t *joined = http_post(server, textf("/join%s", ways[way]), "")->json;
            ck_assert_int_eq(get_int(joined, "offset"), 1);
        }
        publisher_close(ann);
    }
}
END_TEST

FLOW_MAIN("http hostile", hostile_requests_are_answered_and_no_other_is_smuggled,
          what_is_pipelined_is_answered_or_dropped_with_the_connection,
          a_body_may_be_split_anywhere_also_between_pipelined_requests,
          expectations_are_met_before_the_body, head_is_get_without_a_body,
          a_head_and_a_body_of_exactly_the_limit_are_read,
          who_sends_a_body_that_is_too_big_sees_why, who_is_slow_is_told_so,
          a_head_that_drips_is_cut_off, an_answer_nobody_takes_is_given_up,
          requests_of_clients_that_are_gone_do_no_harm,
          every_name_comes_back_as_it_went_by_every_way)
