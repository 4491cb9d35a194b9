/* 07_http: requests as they come, right and wrong. */
#include "client.h"
#include "flow.h"
#include "token.h"

/* One request on a connection of its own; the answer must come within two seconds. */
static struct http_answer *at_once(struct server *server, const char *request, bool closes)
{
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, request, strlen(request));
    struct http_answer *answer = http_receive(stream, false, deadline_in(2));
    ck_assert_msg(answer != NULL, "closed without an answer to: %.200s", request);
    if (closes)
        ck_assert_msg(stream_is_closed_by(stream, deadline_in(10)), "not closed after: %.200s",
                      request);
    stream_cut(stream);
    return answer;
}

static void expect_error(const struct http_answer *answer, int status, const char *what)
{
    ck_assert_msg(answer->status == status, "%.200s: %s%s", what, answer->head, answer->body);
    ck_assert_msg(answer->json != NULL, "%.200s: not JSON: %s", what, answer->body);
    ck_assert_str_eq(get_string(answer->json, "status"), "error");
    ck_assert_uint_gt(strlen(get_string(answer->json, "err")), 0);
    ck_assert_ptr_nonnull(http_header(answer, "Access-Control-Allow-Origin"));
}

START_TEST(a_post_without_a_length_is_answered_at_once)
{
    struct server *server = server_start();
    struct http_answer *answer =
        at_once(server, "POST /join/lobby HTTP/1.1\r\nHost: x\r\n\r\n", false);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_int_eq(get_int(answer->json, "offset"), 0);
    answer = at_once(server, "POST /join/lobby HTTP/1.0\r\nHost: x\r\n\r\n", false);
    ck_assert_int_eq(answer->status, 200);
    expect_error(at_once(server, "POST /post HTTP/1.1\r\nHost: x\r\n\r\n", false), 400, "/post");
    expect_error(at_once(server, "POST /ban HTTP/1.1\r\nHost: x\r\n\r\n", false), 400, "/ban");
    answer =
        at_once(server, "POST /join/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", false);
    ck_assert_int_eq(answer->status, 200);
}
END_TEST

START_TEST(transfer_encoding_is_refused_and_nothing_behind_it_is_read)
{
    struct server *server = server_start();
    static const char *const headers[] = {
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "transfer-encoding: identity\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        char *request = textf("POST /join/lobby HTTP/1.1\r\nHost: x\r\n%s\r\n0\r\n\r\n"
                              "POST /join/smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
                              headers[i]);
        struct stream *stream = stream_open(server->port, 0);
        stream_send(stream, request, strlen(request));
        expect_error(http_receive(stream, false, deadline_in(2)), 411, request);
        ck_assert_msg(!http_receive(stream, false, deadline_in(10)), "a second answer to %s",
                      request);
        stream_cut(stream);
    }
}
END_TEST

START_TEST(a_garbage_length_is_refused)
{
    struct server *server = server_start();
    static const char *const lengths[] = {"-1", "abc", "1e3", "+5", "5, 5", "0x10", "5 5", "1.5"};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char *request =
            textf("POST /join/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n", lengths[i]);
        expect_error(at_once(server, request, true), 400, request);
    }
    struct http_answer *answer = at_once(
        server,
        "POST /join/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        true);
    ck_assert_msg(answer->status == 400 || answer->status == 413, "%s", answer->head);
    ck_assert(server_is_alive(server));
}
END_TEST

START_TEST(a_body_may_be_as_large_as_configured)
{
    struct server *server = server_start(.yaml = "limits:\n  body_bytes: 1000\n");
    char *fits = textf("{\"x\":\"%s\"}", text_repeat("x", 1000 - strlen("{\"x\":\"\"}")));
    ck_assert_int_eq(http_post(server, "/join/lobby", fits)->status, 200);
    expect_error(http_post(server, "/join/lobby", text_repeat("x", 1001)), 413, "1001 bytes");
    static const char announced[] =
        "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n";
    expect_error(at_once(server, announced, true), 413, "announced only");
}
END_TEST

START_TEST(paths_and_methods_that_are_none_are_said_so)
{
    struct server *server = server_start();
    static const char *const unknown[] = {"/nothing",
                                          "/joinlobby",
                                          "/join2",
                                          "/../conf/chatup.yaml",
                                          "/..%2fconf%2fchatup.yaml",
                                          "/%2e%2e/CMakeLists.txt",
                                          "/favicon.ico/x"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        expect_error(http_get(server, unknown[i]), 404, unknown[i]);
    static const struct {
        const char *method, *target, *allow;
    } wrong[] = {
        {"GET", "/post", "POST"},           {"GET", "/ban", "POST"},
        {"GET", "/join/lobby", "POST"},     {"POST", "/stats/lobby", "GET"},
        {"POST", "/messages/lobby", "GET"}, {"DELETE", "/join/lobby", "POST"},
        {"PUT", "/post", "POST"},           {"POST", "/", "GET"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct http_answer *answer = http_call(server, wrong[i].method, wrong[i].target, NULL,
                                               wrong[i].method[0] == 'G' ? NULL : "");
        expect_error(answer, 405, wrong[i].target);
        assert_contains(http_header(answer, "Allow"), wrong[i].allow);
    }
}
END_TEST

START_TEST(browsers_may_call_from_other_pages)
{
    struct server *server = server_start();
    static const char *const targets[] = {"/join/lobby",     "/post",    "/ban", "/stats/lobby",
                                          "/messages/lobby", "/nothing", "/"};
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_answer *answer =
            http_call(server, "OPTIONS", targets[i],
                      "Origin: http://site.example\r\nAccess-Control-Request-Method: POST\r\n"
                      "Access-Control-Request-Headers: content-type\r\n",
                      NULL);
        ck_assert_msg(answer->status == 200, "%s: %s", targets[i], answer->head);
        ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Origin"), "*");
        assert_contains(http_header(answer, "Access-Control-Allow-Methods"), "POST");
        assert_contains(http_header(answer, "Access-Control-Allow-Headers"), "content-type");
    }
    /* A page that may call is told so, others are told nothing. */
    struct server *strict = server_start(.yaml = "origins: \"https://site.example\"\n");
    const char *const header = "Access-Control-Allow-Origin";
    struct http_answer *ours =
        http_call(strict, "GET", "/stats/a", "Origin: https://site.example\r\n", NULL);
    struct http_answer *theirs =
        http_call(strict, "GET", "/stats/a", "Origin: https://other.example\r\n", NULL);
    ck_assert_int_eq(ours->status, 200);
    ck_assert_str_eq(http_header(ours, header), "https://site.example");
    ck_assert_msg(!http_header(theirs, header) ||
                      !strcmp(http_header(theirs, header), "https://site.example"),
                  "%s", theirs->head);
}
END_TEST

START_TEST(join_takes_any_json_and_nothing_else)
{
    struct server *server = server_start();
    static const char *const bad[] = {"{", "nonsense", "{\"a\":1,}", "\xff", "{} x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_error(http_post(server, "/join/lobby", bad[i]), 400, bad[i]);
    char *deep = textf("{\"a\":%s%s}", text_repeat("[", 40), text_repeat("]", 40));
    expect_error(http_post(server, "/join/lobby", deep), 400, deep);
    static const char *const good[] = {"", "{}", "{\"worker\":{}}", "{\"x\":[1,2]}",
                                       "{\"worker\":{\"id\":\"chatUp:chatServer:another\"}}"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        ck_assert_msg(http_post(server, "/join/lobby", good[i])->status == 200, "%s", good[i]);
    /* A client of the original sends back the whole answer when its worker failed. */
    struct http_answer *join = http_post(server, "/join/lobby", "");
    json_t *failed = json_pack("{s:o}", "worker", join->json);
    struct http_answer *answer = http_post(server, "/join/lobby", json_text(failed));
    ck_assert_int_eq(answer->status, 418);
    assert_json(answer->json, "{\"error\":\"No workers available\"}");
}
END_TEST

START_TEST(numbers_of_stats_are_numbers)
{
    struct server *server = server_start();
    static const char *const bad[] = {
        "limit=x", "limit=-1", "limit=", "skip=x", "skip=-1", "limit=1x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_error(http_get(server, textf("/stats/lobby?%s", bad[i])), 400, bad[i]);
    ck_assert_int_eq(http_get(server, "/stats/lobby?limit=1000&skip=0")->status, 200);
}
END_TEST

START_TEST(a_connection_serves_one_request_after_the_other)
{
    struct server *server = server_start();
    struct stream *stream = stream_open(server->port, 0);
    for (int i = 0; i < 3; i++) {
        char *request = http_text(server, "POST", "/join/a", NULL, "{\"x\":1}");
        ck_assert(stream_send(stream, request, strlen(request)));
        struct http_answer *answer = http_receive(stream, false, deadline_in(10));
        ck_assert_int_eq(answer->status, 200);
        ck_assert_ptr_null(http_header(answer, "connection"));
    }
    char *last = http_text(server, "GET", "/stats/a", "Connection: close\r\n", NULL);
    ck_assert(stream_send(stream, last, strlen(last)));
    struct http_answer *answer = http_receive(stream, false, deadline_in(10));
    ck_assert_str_eq(http_header(answer, "connection"), "close");
    ck_assert(stream_is_closed_by(stream, deadline_in(10)));
    stream_cut(stream);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_their_order)
{
    enum { REQUESTS = 300 };
    struct server *server = server_start();
    struct stream *stream = stream_open(server->port, 0);
    char *all = textf("%s", "");
    for (int i = 0; i < REQUESTS; i++) {
        const char *body = i % 3 ? NULL : "{\"x\":1}";
        all = textf("%s%s", all,
                    i % 3 == 2 ? http_text(server, "GET", textf("/stats/r?skip=%d", i), NULL, NULL)
                               : http_text(server, "POST", "/join/r", NULL, body));
    }
    ck_assert(stream_send(stream, all, strlen(all)));
    for (int i = 0; i < REQUESTS; i++) {
        struct http_answer *answer = http_receive(stream, false, deadline_in(20));
        ck_assert_msg(answer && answer->status == 200, "answer %d", i);
        if (i % 3 == 2)
            ck_assert_int_eq(get_int(answer->json, "skip"), i);
        else
            ck_assert_ptr_nonnull(json_object_get(answer->json, "messages"));
    }
    stream_cut(stream);
}
END_TEST

START_TEST(nonsense_behind_a_request_ends_the_connection_after_its_answer)
{
    struct server *server = server_start();
    struct stream *stream = stream_open(server->port, 0);
    char *both =
        textf("%s%s", http_text(server, "POST", "/join/a", NULL, "{\"x\":1}"), "nonsense\r\n\r\n");
    ck_assert(stream_send(stream, both, strlen(both)));
    ck_assert_int_eq(http_receive(stream, false, deadline_in(10))->status, 200);
    expect_error(http_receive(stream, false, deadline_in(10)), 400, "nonsense");
    ck_assert(stream_is_closed_by(stream, deadline_in(10)));
    stream_cut(stream);
}
END_TEST

START_TEST(the_page_is_served_with_a_policy)
{
    struct server *server = server_start();
    struct http_answer *page = http_get(server, "/");
    ck_assert_int_eq(page->status, 200);
    assert_contains(http_header(page, "Content-Type"), "text/html");
    assert_contains(http_header(page, "Content-Security-Policy"), "-src");
    assert_contains(page->body, "<html");
    ck_assert_int_eq(http_get(server, "/chatup.js")->status, 200);
    assert_contains(http_header(http_get(server, "/chatup.js"), "Content-Type"), "javascript");
    assert_contains(http_header(http_get(server, "/chatup.css"), "Content-Type"), "text/css");
    static const char *const heads[] = {"/", "/stats/lobby", "/messages/lobby"};
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        struct stream *stream = stream_open(server->port, 0);
        char *request = http_text(server, "HEAD", heads[i], "Connection: close\r\n", NULL);
        stream_send(stream, request, strlen(request));
        struct http_answer *answer = http_receive(stream, true, deadline_in(10));
        ck_assert_msg(answer && answer->status == 200, "HEAD %s", heads[i]);
        ck_assert(stream_is_closed_by(stream, deadline_in(10))); /* so there was no body */
        stream_cut(stream);
    }
}
END_TEST

START_TEST(nonsense_does_no_harm)
{
    struct server *server = server_start();
    static const char *const nonsense[] = {
        "\r\n\r\n",
        "GET\r\n\r\n",
        "NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /stats?channel=%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /stats?channel=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03",
        "GET /ws/a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /pub HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /ws/a HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
        struct stream *stream = stream_open(server->port, 0);
        stream_send(stream, nonsense[i], strlen(nonsense[i]));
        stream_half_close(stream);
        ck_assert_msg(stream_is_closed_by(stream, deadline_in(20)), "still open after: %s",
                      nonsense[i]);
        stream_cut(stream);
    }
    struct stream *stream = stream_open(server->port, 0);
    char *endless = textf("GET / HTTP/1.1\r\nHost: x\r\nX: %s", text_repeat("x", 1000000));
    stream_send(stream, endless, strlen(endless));
    ck_assert(stream_is_closed_by(stream, deadline_in(20)));
    ck_assert_int_eq(http_get(server, "/stats/lobby")->status, 200);
}
END_TEST

FLOW_MAIN("http", a_post_without_a_length_is_answered_at_once,
          transfer_encoding_is_refused_and_nothing_behind_it_is_read, a_garbage_length_is_refused,
          a_body_may_be_as_large_as_configured, paths_and_methods_that_are_none_are_said_so,
          browsers_may_call_from_other_pages, join_takes_any_json_and_nothing_else,
          numbers_of_stats_are_numbers, a_connection_serves_one_request_after_the_other,
          pipelined_requests_are_answered_in_their_order,
          nonsense_behind_a_request_ends_the_connection_after_its_answer,
          the_page_is_served_with_a_policy, nonsense_does_no_harm)
