/* 15_proxies: for whom a proxy speaks is believed of trusted_proxies alone. It shows in how many
 * connections an address may have, in bans by address, and in the links that /join gives. */
#include "certificate.h"
#include "client.h"
#include "flow.h"
#include "token.h"

#include <unistd.h>

/* One connection per address, so that a second tells whether it counts as the same. */
#define ONE_EACH "limits:\n  connections_per_address: 1\n  exempt: \"127.0.0.0/8\"\n"

/* ---- headers ---- */

/* The status of a reader's handshake with these headers; an open one stays so. */
static int reads(struct server *server, const char *headers)
{
    struct stream *stream = stream_open(server->port, 0);
    char *request = http_text(server, "GET", "/ws/lobby",
                              textf("Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                    "Sec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s",
                                    headers),
                              NULL);
    stream_send(stream, request, strlen(request));
    return http_receive(stream, false, deadline_in(20))->status;
}

/* Whether what the headers name is the client `address`: one of these is open already. */
static bool is_client(struct server *server, const char *headers, const char *address)
{
    int first = reads(server, textf("X-Forwarded-For: %s\r\n", address));
    ck_assert_msg(first == 101 || first == 429, "%s: %d", address, first);
    int second = reads(server, headers);
    ck_assert_msg(second == 101 || second == 429, "%s: %d", headers, second);
    return second == 429;
}

START_TEST(a_trusted_proxy_says_for_whom_it_asks)
{
    static const struct {
        const char *headers, *client; /* as X-Forwarded-For: names it */
    } cases[] = {
        {"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
        {"x-forwarded-for:192.0.2.2:4711\r\n", "192.0.2.2"},
        {"X-Forwarded-For: 203.0.113.9, 192.0.2.3\r\n",
         "192.0.2.3"}, /* what is left of it is hearsay */
        {"X-Forwarded-For: 192.0.2.4, 10.1.2.3\r\n", "192.0.2.4"}, /* over two of our proxies */
        {"X-Forwarded-For: 203.0.113.9, 192.0.2.5, 10.1.2.3,127.0.0.1\r\n", "192.0.2.5"},
        {"X-Forwarded-For: garbage, 192.0.2.6\r\n", "192.0.2.6"},
        {"X-Forwarded-For: 2001:db8:0:1::1\r\n", "2001:db8:0:1::ffff"}, /* one /64, one customer */
        {"X-Forwarded-For: [2001:db8:0:2::1]:4711\r\n", "2001:db8:0:2::2"},
        {"X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"},
        {"Forwarded: for=192.0.2.8\r\n", "192.0.2.8"},
        {"Forwarded: For=\"192.0.2.9:4711\";proto=https;by=10.0.0.1\r\n", "192.0.2.9"},
        {"Forwarded: proto=https; for=\"[2001:db8:0:3::1]:4711\"\r\n", "2001:db8:0:3::3"},
        {"Forwarded: for=203.0.113.9, for=192.0.2.10\r\n", "192.0.2.10"},
        {"Forwarded: for=192.0.2.11, for=10.0.0.1\r\n", "192.0.2.11"},
        /* What most proxies set; the other one may be what the client sent, passed on. */
        {"Forwarded: for=203.0.113.9\r\nX-Forwarded-For: 192.0.2.12\r\n", "192.0.2.12"},
        {"X-Forwarded-For: 192.0.2.16\r\nForwarded: for=unknown\r\n", "192.0.2.16"},
        {"Forwarded: \r\nX-Forwarded-For: 192.0.2.17\r\n", "192.0.2.17"},
        {"X-Forwarded-For: 192.0.2.13\r\nX-Forwarded-For: 10.1.2.3\r\n", "192.0.2.13"},
        {"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.14\r\n", "192.0.2.14"},
        {"Forwarded: for=192.0.2.15\r\nForwarded: for=10.1.2.3\r\n", "192.0.2.15"},
    };
    struct server *server =
        server_start(.threads = 2, .yaml = "trusted_proxies: \"127.0.0.1, 10.0.0.0/8\"\n" ONE_EACH);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ck_assert_msg(is_client(server, cases[i].headers, cases[i].client), "%s is not %s",
                      cases[i].headers, cases[i].client);
    static const char *const others[] = {"198.51.100.1", "198.51.100.2", "2001:db8:1::1"};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        ck_assert_int_eq(reads(server, textf("X-Forwarded-For: %s\r\n", others[i])), 101);
}
END_TEST

/* Who is not believed, or says nothing that can be, counts as who connects: here one that may. */
START_TEST(what_is_not_to_be_believed_is_not)
{
    static const char *const nothing[] = {
        "X-Forwarded-For: \r\n",
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For: 192.0.2.1, unknown\r\n",
        "X-Forwarded-For: 192.0.2.1,\r\n",
        "X-Forwarded-For: 192.0.2.1.1\r\n",
        "X-Forwarded-For: 999.0.2.1\r\n",
        "X-Forwarded-For: [192.0.2.1\r\n",
        "Forwarded: for=unknown\r\n",
        "Forwarded: for=_hidden\r\n",
        "Forwarded: proto=https\r\n",
        "Forwarded: for=\r\n",
        "Forwarded: for=\"\r\n",
        "Forwarded: \r\n",
    };
    struct server *server = server_start(.yaml = "trusted_proxies: 127.0.0.1\n" ONE_EACH);
    ck_assert_int_eq(reads(server, "X-Forwarded-For: 192.0.2.1\r\n"), 101);
    ck_assert_int_eq(reads(server, "X-Forwarded-For: 192.0.2.1\r\n"), 429);
    for (size_t i = 0; i < COUNT_OF(nothing); i++)
        ck_assert_msg(reads(server, nothing[i]) == 101, "%s", nothing[i]);
    stream_come_from("127.0.0.2"); /* not trusted */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(reads(server, "X-Forwarded-For: 192.0.2.1\r\n"), 101);
        ck_assert_int_eq(reads(server, "Forwarded: for=192.0.2.1\r\n"), 101);
    }
    stream_come_from(NULL);
    struct server *trusting_nobody = server_start(.yaml = ONE_EACH);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(reads(trusting_nobody, "X-Forwarded-For: 192.0.2.1\r\n"), 101);
}
END_TEST

static char *host_told(struct server *server, const char *headers)
{
    struct http_answer *join = http_call(server, "POST", "/join/a", headers, "{}");
    ck_assert_int_eq(join->status, 200);
    return strdup(get_string(join->json, "host"));
}

START_TEST(links_are_https_where_the_client_came_by_https)
{
    struct server *server = server_start(.yaml = "trusted_proxies: 127.0.0.1\n");
    char *http = textf("http://127.0.0.1:%d", server->port);
    char *https = textf("https://127.0.0.1:%d", server->port);
    ck_assert_str_eq(host_told(server, NULL), http);
    ck_assert_str_eq(host_told(server, "X-Forwarded-Proto: https\r\n"), https);
    ck_assert_str_eq(host_told(server, "X-Forwarded-Proto: http\r\n"), http);
    ck_assert_str_eq(host_told(server, "Forwarded: for=192.0.2.1;proto=https\r\n"), https);
    ck_assert_str_eq(host_told(server, "Forwarded: for=192.0.2.1;proto=http\r\n"), http);
    stream_come_from("127.0.0.2");
    ck_assert_str_eq(host_told(server, "X-Forwarded-Proto: https\r\n"), http);
}
END_TEST

static int admin(struct server *server, const char *path, const char *items)
{
    return http_post(server, path, token_for("%s", items))->status;
}

START_TEST(a_ban_by_address_means_the_client_and_not_its_proxy)
{
    struct server *server = server_start(.threads = 2, .yaml = "trusted_proxies: 127.0.0.1\n");
    char *bearer = textf("Authorization: Bearer %s\r\n", token_user("Ann", "u-1"));
    static const char body[] = "{\"room\":\"lobby\",\"msg\":\"x\"}";
    ck_assert_int_eq(
        admin(server, "/ban", "[{\"address\":\"192.0.2.7\",\"channel\":\"lobby\",\"expire\":60}]"),
        200);
    const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"X-Forwarded-For: 192.0.2.7\r\n", 403},
        {"Forwarded: for=192.0.2.7\r\n", 403},
        {"X-Forwarded-For: 192.0.2.8, 192.0.2.7\r\n", 403},
        {"X-Forwarded-For: 192.0.2.7, 192.0.2.8\r\n", 200},
        {"X-Forwarded-For: 192.0.2.8\r\n", 200},
        {"", 200},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_answer *answer =
            http_call(server, "POST", "/pub", textf("%s%s", bearer, cases[i].headers), body);
        ck_assert_msg(answer->status == cases[i].status, "%s: %s%s", cases[i].headers, answer->head,
                      answer->body);
    }
}
END_TEST

/* ---- the PROXY protocol ---- */

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* Version 2. command: 0 LOCAL, 1 PROXY; family 1 IPv4, 2 IPv6; extra: bytes of TLVs */
static char *version_2(int version, int command, int family, const unsigned char *from,
                       size_t extra, size_t *size_out)
{
    size_t width = family == 1 ? 4 : 16, body = (family ? 2 * width + 4 : 0) + extra;
    char *bytes = calloc(1, 16 + body);
    memcpy(bytes, v2_signature, 12);
    bytes[12] = (char)(version << 4 | command);
    bytes[13] = (char)(family << 4 | 1);
    bytes[14] = (char)(body >> 8);
    bytes[15] = (char)body;
    if (family)
        memcpy(bytes + 16, from, width);
    *size_out = 16 + body;
    return bytes;
}

static const char behind_yaml[] = "trusted_proxies: 127.0.0.1\n"
                                  "limits:\n  connections_per_address: 1\n"
                                  "  exempt: \"127.0.0.0/8\"\n  header: 500ms\n";

static struct server *start_behind(const char *more)
{
    char *yaml = textf("%s%s", behind_yaml, more ? more : "");
    return server_start(.threads = 2, .yaml = yaml, .proxy_protocol = true);
}

/* Bytes, in pieces of so many, then a request: its status; 0 if the connection is closed. */
static int asks(struct server *server, const char *bytes, size_t size, size_t piece,
                struct stream **stream_out)
{
    struct stream *stream = stream_open_plain(server->port, 0);
    char *request = http_text(server, "GET", "/health", NULL, NULL);
    for (size_t at = 0; at < size; at += piece)
        stream_send(stream, bytes + at, at + piece < size ? piece : size - at);
    stream_send(stream, request, strlen(request));
    struct http_answer *answer = http_receive(stream, false, deadline_in(20));
    *stream_out = stream;
    return answer ? answer->status : 0;
}

static int asks_text(struct server *server, const char *header, struct stream **stream_out)
{
    return asks(server, header, strlen(header), strlen(header) + 1, stream_out);
}

START_TEST(a_proxy_header_says_who_is_behind_it)
{
    static const unsigned char v4[] = {192, 0, 2, 4}, v6[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 7};
    size_t size_4, size_6, size_tlv;
    char *v2_4 = version_2(2, 1, 1, v4, 0, &size_4), *v2_6 = version_2(2, 1, 2, v6, 0, &size_6);
    char *v2_tlv = version_2(2, 1, 1, v4, 3000, &size_tlv);
    const struct {
        const char *header;
        size_t size;
        const char *same; /* version 1, of the same client */
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n", 0, "PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\n"},
        {"PROXY TCP6 2001:db8:0:1::1 ::1 4711 80\r\n", 0, "PROXY TCP6 2001:db8:0:1::2 ::1 1 2\r\n"},
        {v2_4, size_4, "PROXY TCP4 192.0.2.4 10.0.0.1 1 2\r\n"},
        {v2_tlv, size_tlv, "PROXY TCP4 192.0.2.4 10.0.0.1 1 2\r\n"},
        {v2_6, size_6, "PROXY TCP6 2001:db8:0:7::9 ::1 1 2\r\n"},
    };
    struct server *server = start_behind(NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].header);
        static const size_t pieces[] = {1, 7, 100000};
        for (size_t k = 0; k < COUNT_OF(pieces); k++) {
            struct stream *first, *second;
            int64_t deadline = deadline_in(20);
            while (asks(server, cases[i].header, size, pieces[k], &first) != 200) {
                stream_cut(first); /* the one before it is not gone yet */
                ck_assert_msg(now_ms() < deadline, "case %zu in pieces of %zu", i, pieces[k]);
            }
            ck_assert_msg(asks_text(server, cases[i].same, &second) == 0, "case %zu", i);
            stream_cut(first);
            stream_cut(second);
        }
    }
}
END_TEST

START_TEST(headers_that_name_nobody_are_of_the_proxy_itself)
{
    static const unsigned char v4[] = {192, 0, 2, 4};
    size_t local_size, unix_size;
    char *local = version_2(2, 0, 1, v4, 0, &local_size),
         *of_unix = version_2(2, 1, 0, v4, 0, &unix_size);
    struct server *server = start_behind(NULL);
    for (int i = 0; i < 3; i++) { /* as often as it likes: it is exempt */
        struct stream *stream;
        ck_assert_int_eq(asks(server, local, local_size, 1, &stream), 200);
        ck_assert_int_eq(asks(server, of_unix, unix_size, 99, &stream), 200);
        ck_assert_int_eq(asks_text(server, "PROXY UNKNOWN\r\n", &stream), 200);
        ck_assert_int_eq(asks_text(server, "PROXY UNKNOWN ::1 ::2 1 2\r\n", &stream), 200);
    }
}
END_TEST

START_TEST(who_sends_no_good_proxy_header_is_closed)
{
    static const unsigned char v4[] = {192, 0, 2, 4};
    size_t size_v3, size_bad;
    char *v3 = version_2(3, 1, 1, v4, 0, &size_v3), *bad = version_2(2, 2, 1, v4, 0, &size_bad);
    const struct {
        const char *bytes;
        size_t size;
    } wrong[] = {
        {"", 0},
        {"PROXY\r\n", 0},
        {"PROXY TCP4\r\n", 0},
        {"PROXY TCP4 x y 1 2\r\n", 0},
        {"PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n", 0},
        {"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n", 0},
        {"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n", 0},
        {textf("PROXY TCP4 %s\r\n", text_repeat("1", 200)), 0},
        {"\r\n\r\n", 0},
        {v3, size_v3},
        {bad, size_bad},
        {"\x16\x03\x01\x02", 0},
    };
    struct server *server = start_behind(NULL);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct stream *stream;
        size_t size = wrong[i].size ? wrong[i].size : strlen(wrong[i].bytes);
        ck_assert_msg(asks(server, wrong[i].bytes, size, 1000, &stream) == 0, "%zu", i);
    }
    static const char *const halves[] = {"", "P", "PROXY TCP4 192.0.2.1", "\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(halves); i++) { /* nor has it for ever: limits.header */
        struct stream *stream = stream_open_plain(server->port, 0);
        stream_send(stream, halves[i], strlen(halves[i]));
        ck_assert(stream_is_closed_by(stream, deadline_in(20)));
    }
    assert_contains(file_read(server->log), "PROXY header");
    stream_come_from("127.0.0.2"); /* who is no proxy of ours speaks HTTP, and nothing else */
    struct stream *stream;
    ck_assert_int_eq(asks_text(server, "", &stream), 200);
    ck_assert_int_ne(asks_text(server, "PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n", &stream), 200);
}
END_TEST

START_TEST(tls_begins_behind_the_proxy_header)
{
    struct certificate certificate = certificate_make("server");
    struct server *server = start_behind(certificate_yaml(&certificate));
    stream_trust(server->port, certificate.authority);
    for (size_t piece = 1; piece < 100; piece += 13) {
        char *header = textf("PROXY TCP4 192.0.2.%zu 10.0.0.1 4711 443\r\n", piece);
        struct stream *stream = stream_open_plain(server->port, 0);
        for (const char *p = header; *p; p += strnlen(p, piece))
            stream_send(stream, p, strnlen(p, piece));
        stream_secure(stream);
        char *request = http_text(server, "POST", "/join/a", "Connection: close\r\n", "{}");
        stream_send(stream, request, strlen(request));
        struct http_answer *answer = http_receive(stream, false, deadline_in(20));
        ck_assert_int_eq(answer->status, 200);
        assert_contains(get_string(answer->json, "host"), "https://");
        ck_assert(stream_is_closed_by(stream, deadline_in(20)));
        stream_cut(stream);
    }
}
END_TEST

START_TEST(headers_of_whom_a_proxy_header_named_are_not_believed)
{
    struct server *server = start_behind(NULL);
    struct stream *stream;
    asks_text(server, "PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n", &stream);
    char *request = http_text(server, "POST", "/join/a", "X-Forwarded-Proto: https\r\n", "{}");
    stream_send(stream, request, strlen(request));
    struct http_answer *answer = http_receive(stream, false, deadline_in(20));
    assert_contains(get_string(answer->json, "host"), "http://");
}
END_TEST

FLOW_MAIN("proxies", a_trusted_proxy_says_for_whom_it_asks, what_is_not_to_be_believed_is_not,
          links_are_https_where_the_client_came_by_https,
          a_ban_by_address_means_the_client_and_not_its_proxy, a_proxy_header_says_who_is_behind_it,
          headers_that_name_nobody_are_of_the_proxy_itself,
          who_sends_no_good_proxy_header_is_closed, tls_begins_behind_the_proxy_header,
          headers_of_whom_a_proxy_header_named_are_not_believed)
