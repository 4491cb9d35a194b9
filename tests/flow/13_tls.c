/* 13_tls: the same over TLS, and who breaks it. */
#include "certificate.h"
#include "flow.h"
#include "follower.h"
#include "token.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct server *start(const char *yaml)
{
    struct certificate certificate = certificate_make("server");
    struct server *server =
        server_start(.threads = 2,
                     .yaml = textf("%s%s", certificate_yaml(&certificate), yaml ? yaml : ""));
    stream_trust(server->port, certificate.authority);
    return server;
}

/* ---- it works ---- */

START_TEST(everything_goes_over_tls)
{
    struct server *server = start(NULL);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct follower *events = follower_create(server, FOLLOW_EVENTS, "[\"lobby\"]");
    struct follower *polls = follower_create(server, FOLLOW_POLL, "[\"lobby\"]");
    follower_connect(events);
    char *big = text_repeat("x", 30000); /* more than a record */
    publisher_say_ok(ann, "hi");
    publisher_say_ok(ann, big);
    reader_wait_message(reader, "lobby", big);
    follower_wait_message(events, "lobby", big);
    follower_wait_message(polls, "lobby", big);
    struct http_answer *join = http_post(server, "/join/lobby", "{}");
    ck_assert_str_eq(get_string(join->json, "host"), textf("https://127.0.0.1:%d", server->port));
    websocket_close(reader->ws);
    reader->ws = NULL;
}
END_TEST

START_TEST(a_reload_takes_a_new_certificate_and_drops_nobody)
{
    struct certificate first = certificate_make("first"), second = certificate_make("second");
    struct server *server = server_start(.threads = 2, .yaml = certificate_yaml(&first));
    stream_trust(server->port, first.authority);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    ck_assert_int_eq(rename(second.file, first.file), 0);
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_int_eq(run.code, 1); /* it does not fit the key yet, and nothing changes */
    ck_assert_int_eq(http_get(server, "/health")->status, 200);
    ck_assert_int_eq(rename(second.key, first.key), 0);
    run = chatup("reload", "-c", server->config);
    ck_assert_msg(run.code == 0, "%s", run.err);
    publisher_say_ok(ann, "still here");
    reader_wait_offset(reader, "lobby", 1);
    stream_trust(server->port, second.authority); /* and no other: who comes now gets the new one */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(http_get(server, "/health")->status, 200);
}
END_TEST

START_TEST(one_session_carries_many_requests)
{
    struct server *server = start(NULL);
    struct stream *stream = stream_open(server->port, 0);
    char *request = http_text(server, "POST", "/join/lobby", NULL, "{\"x\":1}");
    for (int i = 0; i < 20; i++) {
        for (const char *p = request; *p; p += strnlen(p, 7)) /* a record each */
            stream_send(stream, p, strnlen(p, 7));
        ck_assert_int_eq(http_receive(stream, false, deadline_in(10))->status, 200);
    }
    char *many = text_repeat(request, 100); /* pipelined, several to a record */
    stream_send(stream, many, strlen(many));
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(http_receive(stream, false, deadline_in(10))->status, 200);
    stream_cut(stream);
}
END_TEST

START_TEST(large_histories_reach_slow_readers_whole)
{
    enum { SAYS = 300 };
    struct server *server =
        start("limits:\n  queue_bytes: 64MiB\n  stall: 1h\nhistory:\n  size: 1000\n  bytes: 0\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    struct reader *live = reader_open_stalled(server, "lobby", 4096);
    for (int i = 0; i < SAYS; i++)
        publisher_say_ok(ann, big);
    struct reader *late = reader_open_stalled(server, "lobby", 4096);
    struct stream *page = stream_open(server->port, 4096);
    char *request = http_text(server, "GET", "/messages/lobby", NULL, NULL);
    stream_send(page, request, strlen(request));
    struct http_answer *history = http_receive(page, false, deadline_in(30));
    ck_assert_uint_eq(json_array_size(history->json), SAYS);
    reader_wait_offset(live, "lobby", SAYS);
    reader_wait_offset(late, "lobby", SAYS);
    account_expect_clean(reader_account(live, "lobby"));
    account_expect_clean(reader_account(late, "lobby"));
}
END_TEST

START_TEST(a_reader_that_takes_nothing_is_closed_over_tls_too)
{
    int says = flow_slow() > 1 ? 300 : 800;
    struct server *server = start("limits:\n  stall: 1s\n");
    reader_open_stalled(server, "lobby", 4096);
    struct reader *good = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    wait_stats(server, "lobby", 2, 1, 1);
    for (int i = 0; i < says; i++)
        reader_wait_offset(good, "lobby", publisher_say_ok(ann, big));
    wait_stats(server, "lobby", 1, 1, 1);
    account_expect_clean(reader_account(good, "lobby"));
}
END_TEST

START_TEST(readers_resume_over_tls_after_a_kill)
{
    struct server *server = start(NULL);
    struct reader *reader = reader_open(server, "lobby");
    struct follower *events = follower_create(server, FOLLOW_EVENTS, "[\"lobby\"]");
    follower_connect(events);
    for (int round = 0; round < 3; round++) {
        struct publisher *ann = publisher_enter(server, "Ann", "lobby");
        for (int i = 0; i < 20; i++)
            publisher_say_ok(ann, textf("%d-%d", round, i));
        if (round == 1)
            follower_wait_message(events, "lobby", "1-7");
        server_kill(server);
        server_restart(server);
        reader_resume(reader);
        follower_cut(events);
        follower_connect(events);
        publisher_cut(ann);
    }
    reader_wait_message(reader, "lobby", "2-19");
    follower_wait_message(events, "lobby", "2-19");
    account_expect_clean(reader_account(reader, "lobby"));
    account_expect_clean(reader_account(events->book, "lobby"));
    ck_assert_uint_eq(reader_account(reader, "lobby")->offset, 60);
}
END_TEST

/* ---- who breaks it ---- */

/* How a session with such options begins: the negotiated version, 0 if there is none. */
static int shake_hands(struct server *server, int most, const char *protocols,
                       const char **protocol_out)
{
    struct stream *stream = stream_open_plain(server->port, 0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, most);
    SSL *ssl = SSL_new(context);
    if (protocols)
        SSL_set_alpn_protos(ssl, (const unsigned char *)protocols, (unsigned)strlen(protocols));
    SSL_set_fd(ssl, stream->fd);
    int version = SSL_connect(ssl) == 1 ? SSL_version(ssl) : 0;
    const unsigned char *chosen = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &length);
    if (protocol_out)
        *protocol_out = textf("%.*s", (int)length, chosen ? (const char *)chosen : "");
    SSL_free(ssl);
    SSL_CTX_free(context);
    stream_cut(stream);
    return version;
}

START_TEST(versions_and_protocols_are_ours)
{
    struct server *server = start(NULL);
    const char *protocol;
    ck_assert_int_eq(shake_hands(server, 0, NULL, NULL), TLS1_3_VERSION);
    ck_assert_int_eq(shake_hands(server, TLS1_2_VERSION, NULL, NULL), TLS1_2_VERSION);
    ck_assert_int_eq(shake_hands(server, TLS1_1_VERSION, NULL, NULL), 0);
    ck_assert_int_eq(shake_hands(server, TLS1_VERSION, NULL, NULL), 0);
    ck_assert_int_ne(shake_hands(server, 0, "\x02h2\x08http/1.1", &protocol), 0);
    ck_assert_str_eq(protocol, "http/1.1");
    ck_assert_int_ne(shake_hands(server, 0, "\x02h2", &protocol), 0); /* and then it is HTTP/1.1 */
    ck_assert_str_eq(protocol, "");
    assert_contains(http_get(server, "/metrics")->body, "\nchatup_tls_failures 2\n");
}
END_TEST

START_TEST(renegotiation_is_refused)
{
    struct server *server = start(NULL);
    struct stream *stream = stream_open_plain(server->port, 0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, stream->fd);
    ck_assert_int_eq(SSL_connect(ssl), 1);
    SSL_renegotiate(ssl);
    ck_assert_int_ne(SSL_do_handshake(ssl) == 1 && !SSL_renegotiate_pending(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    stream_cut(stream);
    ck_assert_int_eq(http_get(server, "/health")->status, 200);
}
END_TEST

START_TEST(what_is_no_tls_ends)
{
    static const char *const hellos[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\xff\xff",
        "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        "\x80\x2e\x01\x00\x02",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "\r\n",
        "x",
        "",
    };
    struct server *server = start("limits:\n  header: 500ms\n");
    struct stream *streams[COUNT_OF(hellos) * 2];
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        streams[i] = stream_open_plain(server->port, 0);
        stream_send(streams[i], hellos[i / 2], strlen(hellos[i / 2]));
        if (i % 2)
            stream_half_close(streams[i]);
    }
    for (size_t i = 0; i < COUNT_OF(streams); i++) /* stopped in the middle: limits.header */
        ck_assert_msg(stream_is_closed_by(streams[i], deadline_in(20)), "%s", hellos[i / 2]);
    ck_assert_int_eq(http_get(server, "/health")->status, 200);
}
END_TEST

/* The first flight of a real client, cut off after each of some lengths. */
START_TEST(a_handshake_that_stops_is_closed_in_time)
{
    struct server *server = start("limits:\n  header: 500ms\n");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_connect(ssl);
    char *hello;
    long length = BIO_get_mem_data(out, &hello);
    ck_assert_int_gt(length, 100);
    struct stream *streams[64];
    size_t count = 0;
    for (long part = 1; part <= length && count < COUNT_OF(streams); part += part < 12 ? 1 : 37) {
        streams[count] = stream_open_plain(server->port, 0);
        stream_send(streams[count++], hello, (size_t)part);
    }
    for (size_t i = 0; i < count; i++)
        ck_assert(stream_is_closed_by(streams[i], deadline_in(20)));
    /* and what dribbles in is taken */
    struct stream *slow = stream_open_plain(server->port, 0);
    for (long i = 0; i < length; i++)
        stream_send(slow, hello + i, 1);
    ck_assert_int_eq(stream_receive(slow, deadline_in(10)), STREAM_MORE);
    ck_assert_int_eq(stream_at(slow)[0], 22); /* the server's part of the handshake */
    SSL_free(ssl);
    SSL_CTX_free(context);
}
END_TEST

START_TEST(ends_without_a_word_are_ends)
{
    struct server *server = start(NULL);
    for (int how = 0; how < 4; how++) {
        struct reader *reader = reader_open(server, "lobby");
        struct publisher *ann = publisher_enter(server, "Ann", "lobby");
        wait_stats(server, "lobby", 1, 1, 1);
        struct stream *both[] = {reader->ws->stream, ann->ws->stream};
        for (size_t i = 0; i < COUNT_OF(both); i++) {
            if (how == 0)
                SSL_shutdown(both[i]->ssl); /* close_notify, and the socket stays open */
            else if (how == 1)
                shutdown(both[i]->fd, SHUT_WR); /* half closed, no close_notify */
            else if (how == 2)
                stream_cut(both[i]);
            else
                stream_reset(both[i]);
        }
        wait_stats(server, "lobby", 0, 0, 0);
    }
    struct stream *stream = stream_open(server->port, 0); /* asked, then half closed: answered */
    char *request = http_text(server, "GET", "/stats/lobby", NULL, NULL);
    stream_send(stream, request, strlen(request));
    SSL_shutdown(stream->ssl);
    ck_assert_int_eq(http_receive(stream, false, deadline_in(10))->status, 200);
    ck_assert(stream_is_closed_by(stream, deadline_in(10)));
}
END_TEST

START_TEST(no_descriptor_is_left_behind)
{
    struct server *server = start("limits:\n  header: 300ms\n");
    http_get(server, "/stats/lobby");
    wait_stats(server, "lobby", 0, 0, 0);
    size_t before = server_files(server);
    for (int i = 0; i < 30; i++) {
        struct stream *plain = stream_open_plain(server->port, 0);
        stream_send(plain, "\x16\x03\x01\x02", (size_t)(i % 5));
        if (i % 3 == 0)
            stream_cut(plain);
        else if (i % 3 == 1)
            stream_reset(plain);
        stream_cut(stream_open(server->port, 0));
        stream_reset(stream_open(server->port, 0));
        reader_cut(reader_open(server, "lobby"));
        publisher_cut(publisher_enter(server, "Ann", "lobby"));
        struct follower *follower = follower_create(server, i % FOLLOW_KINDS, "[\"lobby\"]");
        follower_connect(follower);
        follower_next(follower);
        follower_cut(follower);
    }
    int64_t deadline = deadline_in(20);
    while (server_files(server) > before) {
        ck_assert_msg(now_ms() < deadline, "%zu files, were %zu", server_files(server), before);
        pause_ms(20);
    }
}
END_TEST

/* ---- wrong files ---- */

START_TEST(files_that_cannot_be_served_with_are_refused_at_start)
{
    struct certificate good = certificate_make("good"), other = certificate_make("other");
    char *empty = textf("%s/empty.pem", flow_dir());
    fclose(fopen(empty, "w"));
    const struct {
        const char *certificate, *key, *words[2];
    } cases[] = {
        {"none.pem", good.key, {"tls.certificate", "No such file"}},
        {good.file, "none.key", {"tls.key", "No such file"}},
        {empty, good.key, {"tls.certificate", "empty.pem: there is none in it"}},
        {good.file, empty, {"tls.key", "empty.pem"}},
        {good.key, good.key, {"tls.certificate", "good.key"}},
        {good.file, good.file, {"tls.key", "good.pem: "}},
        {good.file, other.key, {"tls.key", "does not fit"}},
        {flow_dir(), good.key, {"tls.certificate", flow_dir()}},
        {good.file, "", {"tls.certificate and tls.key", "one without the other"}},
        {"", good.key, {"tls.certificate and tls.key", "one without the other"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct server_options options = {.yaml =
                                             textf("tls:\n  certificate: \"%s\"\n  key: \"%s\"\n",
                                                   cases[i].certificate, cases[i].key)};
        char *why = serve_refused(&options);
        assert_contains(why, cases[i].words[0]);
        assert_contains(why, cases[i].words[1]);
    }
}
END_TEST

START_TEST(the_originals_variables_name_the_files)
{
    struct certificate certificate = certificate_make("server");
    setenv("CHATUP_SSLCERT", certificate.file, 1);
    setenv("CHATUP_SSLKEY", certificate.key, 1);
    struct server *server = server_start();
    stream_trust(server->port, certificate.authority);
    ck_assert_int_eq(http_get(server, "/health")->status, 200);
    unsetenv("CHATUP_SSLKEY");
    assert_contains(serve_refused(&(struct server_options){0}), "one without the other");
    unsetenv("CHATUP_SSLCERT");
}
END_TEST

FLOW_MAIN("tls", everything_goes_over_tls, a_reload_takes_a_new_certificate_and_drops_nobody,
          one_session_carries_many_requests, large_histories_reach_slow_readers_whole,
          a_reader_that_takes_nothing_is_closed_over_tls_too, readers_resume_over_tls_after_a_kill,
          versions_and_protocols_are_ours, renegotiation_is_refused, what_is_no_tls_ends,
          a_handshake_that_stops_is_closed_in_time, ends_without_a_word_are_ends,
          no_descriptor_is_left_behind, files_that_cannot_be_served_with_are_refused_at_start,
          the_originals_variables_name_the_files)
