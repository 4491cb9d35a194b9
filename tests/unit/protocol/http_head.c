#include "http_head.h"
#include "buffer.h"
#include "unit.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S(string)    string, sizeof(string) - 1

/* The start of a request that is in order so far, and its end. */
#define GET  "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST /p HTTP/1.1\r\nHost: x\r\n"
#define END  "\r\n"

enum { GOOD = 1, MORE = 0, MAX_BYTES = 4096 };

static struct http_head head;
static const char *why;

/* From memory of exactly that size, where a sanitizer sees whoever reads on. */
static long parse(const char *bytes, size_t length, size_t max_bytes)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    why = NULL;
    long got = http_head_parse(copy, length, max_bytes, &head, &why);
    ck_assert_msg(got >= 0 || (why && *why), "refused without a reason: %.60s", bytes);
    free(copy);
    return got;
}

/* As they come from a slow client: what is known first decides. */
static long parse_bytewise(const char *bytes, size_t length, size_t max_bytes)
{
    for (size_t n = 0; n < length; n++) {
        long got = parse(bytes, n, max_bytes);
        if (got)
            return got;
    }
    return parse(bytes, length, max_bytes);
}

static const struct {
    const char *bytes;
    size_t length;
    int expected; /* GOOD, MORE, or the status of a refusal */
} cases[] = {
    /* what is right */
    {S(GET END), GOOD},
    {S("GET / HTTP/1.0\r\n\r\n"), GOOD},
    {S("GET / HTTP/1.0\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET / HTTP/1.2\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET /?a=b&c=%20 HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET /a/../b//c HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET HTTPS://x:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("GET http://x?q HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("get / HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: x\r\n\r\n"), GOOD},
    {S("\r\n" GET END), GOOD},
    {S("\r\n\r\n\r\n\r\n" GET END), GOOD},
    {S(GET "Empty:\r\n" END), GOOD},
    {S(GET "Empty: \t \r\n" END), GOOD},
    {S(GET "No-Space:value\r\n" END), GOOD},
    {S(GET "Tabs:\tvalue\tand\tmore\t\r\n" END), GOOD},
    {S(GET "Non-Ascii: caf\xc3\xa9 \xff\xfe\r\n" END), GOOD},
    {S(GET "Colons: a:b:c\r\n" END), GOOD},
    {S(GET "!#$%&'*+-.^_`|~09: x\r\n" END), GOOD},
    {S(GET "Expect: 100-Continue\r\n" END), GOOD},
    {S(POST "Content-Length: 5\r\n" END "hello"), GOOD},
    {S(POST "content-LENGTH:0\r\n" END), GOOD},
    {S(POST "Content-Length: 000000000000000005\r\n" END), GOOD},
    {S(POST "Content-Length: 999999999999999999\r\n" END), GOOD},
    {S(GET END GET END), GOOD},
    {S(GET END "\0\1\2"), GOOD},

    /* what goes on */
    {S(""), MORE},
    {S("\r"), MORE},
    {S("\r\n"), MORE},
    {S("\r\n\r\n\r\n\r\n"), MORE},
    {S("G"), MORE},
    {S("GET / HTTP/1.1"), MORE},
    {S("GET / HTTP/1.1\r"), MORE},
    {S("GET / HTTP/1.1\r\n"), MORE},
    {S(GET), MORE},
    {S(GET "\r"), MORE},
    {S(GET "Half"), MORE},
    {S(GET "Half: x\r"), MORE},

    /* the first line */
    {S("\r\n\r\n\r\n\r\n\r\n" GET END), 400}, /* enough is enough */
    {S("\r" GET END), 400},
    {S("\n" GET END), 400},
    {S("\n\n"), 400},
    {S(" " GET END), 400},
    {S("\t" GET END), 400},
    {S("GET\r\n\r\n"), 400},
    {S("GET /\r\n\r\n"), 400}, /* HTTP/0.9 */
    {S("GET /\r\nHost: x\r\n\r\n"), 400},
    {S("GET  / HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /  HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1.1 \r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1.1 x\r\nHost: x\r\n\r\n"), 400},
    {S("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /\tHTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /\v HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a\x7f HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /a\x1b[0m HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET /#fragment HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET a HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET ?q HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("OPTIONS ** HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET http:// HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET http:/x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET http://?q HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("G\xc3\x89T / HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("G(T / HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("G\0T / HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET: / HTTP/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / http/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1,1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1.\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1.11\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/11.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/-1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/a.b\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTPS/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / ICY/1.1\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/0.9\r\nHost: x\r\n\r\n"), 505},
    {S("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505},
    {S("GET / HTTP/9.9\r\nHost: x\r\n\r\n"), 505},
    {S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
    {S("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400}, /* TLS */
    {S("\x80\x2e\x01\x00\x02"), 400},                         /* SSL 2 */
    {S("\0\0\0\0"), 400},
    {S("\x04\x01"), 400}, /* SOCKS */
    {S("{\"id\":1}\r\n"), 400},
    {S("SSH-2.0-OpenSSH_9.2\r\n"), 400},

    /* ends of lines */
    {S("GET / HTTP/1.1\nHost: x\n\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x\r\n\n"), 400},
    {S(GET "A: b\nContent-Length: 5\r\n" END), 400},
    {S(GET "A: b\n\r\n"), 400},
    {S(GET "A: b\rContent-Length: 5\r\n" END), 400},
    {S(GET "A: b\r\r\n" END), 400},
    {S(GET "\r\r\n"), 400},
    {S("GET / HTTP/1.1\r\r\nHost: x\r\n\r\n"), 400},

    /* names and values */
    {S(GET " A: b\r\n" END), 400},
    {S(GET "\tA: b\r\n" END), 400},
    {S(GET "A: b\r\n c\r\n" END), 400}, /* folded */
    {S(GET "A: b\r\n\tc\r\n" END), 400},
    {S("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), 400},
    {S(GET "A : b\r\n" END), 400},
    {S(GET "A\t: b\r\n" END), 400},
    {S(GET "A b: c\r\n" END), 400},
    {S(GET ": b\r\n" END), 400},
    {S(GET ":\r\n" END), 400},
    {S(GET "A\r\n" END), 400},
    {S(GET "A\0: b\r\n" END), 400},
    {S(GET "A\0B: c\r\n" END), 400},
    {S(GET "A(b): c\r\n" END), 400},
    {S(GET "\"A\": b\r\n" END), 400},
    {S(GET "A/B: c\r\n" END), 400},
    {S(GET "A@B: c\r\n" END), 400},
    {S(GET "A[0]: c\r\n" END), 400},
    {S(GET "caf\xc3\xa9: c\r\n" END), 400},
    {S(GET "\xef\xbb\xbf"
           "A: c\r\n" END),
     400},
    {S(GET "\x0b"
           "A: c\r\n" END),
     400},
    {S(GET "A: \0\r\n" END), 400},
    {S(GET "A: b\0c\r\n" END), 400},
    {S(GET "A: b\x01\r\n" END), 400},
    {S(GET "A: b\x0b\r\n" END), 400},
    {S(GET "A: b\x0c\r\n" END), 400},
    {S(GET "A: b\x1b\r\n" END), 400},
    {S(GET "A: b\x7f\r\n" END), 400},
    {S(GET "GET /smuggled HTTP/1.1\r\n" END), 400},

    /* Host */
    {S("GET / HTTP/1.1\r\n\r\n"), 400},
    {S("GET http://x/ HTTP/1.1\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost:\r\n\r\n"), GOOD},
    {S(GET "Host: x\r\n" END), 400},
    {S(GET "host: y\r\n" END), 400},
    {S("GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x y\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: a@x\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: <x>\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x\"\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x\\y\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x?y\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: caf\xc3\xa9\r\n\r\n"), 400},
    {S("GET / HTTP/1.0\r\nHost: x y\r\n\r\n"), 400},
    {S("GET / HTTP/1.1\r\nHost: x:80\r\n\r\n"), GOOD},
    {S("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"), GOOD},
    {S("GET / HTTP/1.1\r\nHost: under_score.example\r\n\r\n"), GOOD},

    /* lengths */
    {S(POST "Content-Length: 5\r\nContent-Length: 5\r\n" END), 400},
    {S(POST "Content-Length: 5\r\nContent-Length: 6\r\n" END), 400},
    {S(POST "Content-Length: 5\r\ncontent-length: 0\r\n" END), 400},
    {S(POST "Content-Length: 5, 5\r\n" END), 400},
    {S(POST "Content-Length: 5,6\r\n" END), 400},
    {S(POST "Content-Length: 5 5\r\n" END), 400},
    {S(POST "Content-Length:\r\n" END), 400},
    {S(POST "Content-Length: -1\r\n" END), 400},
    {S(POST "Content-Length: -0\r\n" END), 400},
    {S(POST "Content-Length: +5\r\n" END), 400},
    {S(POST "Content-Length: 0x5\r\n" END), 400},
    {S(POST "Content-Length: 5.0\r\n" END), 400},
    {S(POST "Content-Length: 5e1\r\n" END), 400},
    {S(POST "Content-Length: 5;\r\n" END), 400},
    {S(POST "Content-Length: \"5\"\r\n" END), 400},
    {S(POST "Content-Length: 5\0\r\n" END), 400},
    {S(POST "Content-Length: five\r\n" END), 400},
    {S(POST "Content-Length: \xd9\xa5\r\n" END), 400},
    {S(POST "Content-Length: 18446744073709551621\r\n" END), 400},
    {S(POST "Content-Length: 9223372036854775808\r\n" END), 400},
    {S(POST "Content-Length : 5\r\n" END), 400},

    /* what may come once */
    {S(GET "Origin: a\r\nOrigin: b\r\n" END), 400},
    {S(GET "Authorization: a\r\nauthorization: a\r\n" END), 400},
    {S(GET "Idempotency-Key: a\r\nIdempotency-Key: b\r\n" END), 400},
    {S(GET "Last-Event-ID: a\r\nLast-Event-ID: b\r\n" END), 400},
    {S(GET "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n" END), 400},
    {S(GET "Origin:\r\nOrigin:\r\n" END), 400},
};

START_TEST(requests_are_taken_or_refused_at_once_and_byte_by_byte)
{
    ck_assert_uint_ge(COUNT(cases), 120);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *bytes = cases[i].bytes;
        size_t length = cases[i].length;
        long got = parse(bytes, length, MAX_BYTES);
        ck_assert_msg(cases[i].expected == GOOD ? got > 0 : got == -cases[i].expected,
                      "case %zu: %ld, not %d: %s", i, got, cases[i].expected, bytes);
        ck_assert_msg(parse_bytewise(bytes, length, MAX_BYTES) == got, "case %zu in pieces: %s", i,
                      bytes);
    }
}
END_TEST

START_TEST(what_follows_the_head_is_left_alone)
{
    static const char *const heads[] = {GET END, "\r\n\r\n" GET END,
                                        POST "Content-Length: 5\r\n" END};
    static const char *const followers[] = {"", "x", "\r\n", GET END, "\n\n\n", " : \r\n\r\n"};
    for (size_t i = 0; i < COUNT(heads); i++)
        for (size_t j = 0; j < COUNT(followers); j++) {
            char both[200];
            snprintf(both, sizeof both, "%s%s", heads[i], followers[j]);
            ck_assert_int_eq(parse(both, strlen(both), MAX_BYTES), (long)strlen(heads[i]));
        }
}
END_TEST

/* ---- limits ---- */

START_TEST(a_head_of_exactly_the_limit_is_taken_and_a_byte_more_is_not)
{
    char bytes[400];
    int length = snprintf(bytes, sizeof bytes, GET "Long: %0200d\r\n\r\n", 1);
    ck_assert_int_eq(parse(bytes, (size_t)length, (size_t)length), length);
    ck_assert_int_eq(parse(bytes, (size_t)length, (size_t)length + 1), length);
    ck_assert_int_eq(parse(bytes, (size_t)length, (size_t)length - 1), -431);
    ck_assert_int_eq(parse_bytewise(bytes, (size_t)length, (size_t)length - 1), -431);
    ck_assert_int_eq(parse_bytewise(bytes, (size_t)length, (size_t)length), length);
    /* what follows it does not count */
    strcpy(bytes + length, GET END);
    ck_assert_int_eq(parse(bytes, strlen(bytes), (size_t)length), length);
}
END_TEST

START_TEST(a_first_line_too_long_is_told_apart)
{
    enum { LIMIT = 300 };
    char bytes[LIMIT + 100];
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET /", 5);
    ck_assert_int_eq(parse(bytes, LIMIT - 1, LIMIT), 0);
    ck_assert_int_eq(parse(bytes, LIMIT, LIMIT), -414);
    ck_assert_int_eq(parse(bytes, sizeof bytes, LIMIT), -414);
    ck_assert_int_eq(parse_bytewise(bytes, sizeof bytes, LIMIT), -414);
    memset(bytes, 'G', sizeof bytes); /* a method that never ends */
    ck_assert_int_eq(parse(bytes, sizeof bytes, LIMIT), -414);
    /* and a header that does not, in its name or in its value */
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, GET, sizeof GET - 1);
    ck_assert_int_eq(parse(bytes, sizeof bytes, LIMIT), -431);
    bytes[40] = ':';
    ck_assert_int_eq(parse(bytes, sizeof bytes, LIMIT), -431);
    ck_assert_int_eq(parse_bytewise(bytes, sizeof bytes, LIMIT), -431);
    /* nonsense is told before its length is */
    bytes[40] = '\n';
    ck_assert_int_eq(parse(bytes, sizeof bytes, LIMIT), -400);
}
END_TEST

START_TEST(so_many_headers_and_no_more)
{
    char bytes[2000];
    for (int count = HTTP_HEADERS_MAX - 1; count <= HTTP_HEADERS_MAX + 1; count++) {
        int length = snprintf(bytes, sizeof bytes, GET);
        for (int i = 1; i < count; i++)
            length += snprintf(bytes + length, sizeof bytes - (size_t)length, "h%d: x\r\n", i);
        length += snprintf(bytes + length, sizeof bytes - (size_t)length, END);
        long got = parse(bytes, (size_t)length, sizeof bytes);
        ck_assert_int_eq(got, count > HTTP_HEADERS_MAX ? -431 : length);
        ck_assert_int_eq(parse_bytewise(bytes, (size_t)length, sizeof bytes), got);
    }
}
END_TEST

START_TEST(a_host_is_up_to_255_bytes)
{
    char bytes[400];
    for (int length = 254; length <= 256; length++) {
        snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: %0*d\r\n\r\n", length, 1);
        long got = parse(bytes, strlen(bytes), sizeof bytes);
        ck_assert_int_eq(got, length > 255 ? -400 : (long)strlen(bytes));
    }
}
END_TEST

/* ---- what is read out of it ---- */

static struct http_head read_head(const char *bytes)
{
    long got = http_head_parse(bytes, strlen(bytes), MAX_BYTES, &head, &why);
    ck_assert_msg(got == (long)strlen(bytes), "%ld, %s: %s", got, why, bytes);
    return head;
}

START_TEST(the_target_is_taken_apart)
{
    static const struct {
        const char *target, *path, *query; /* NULL: absent */
    } targets[] = {
        {"/", "/", NULL},
        {"/?", "/", ""},
        {"/a?b", "/a", "b"},
        {"/a?b?c", "/a", "b?c"},
        {"/a%3Fb?c%26d", "/a%3Fb", "c%26d"},
        {"//x/y", "//x/y", NULL},
        {"http://x", "/", NULL},
        {"http://x?", "/", ""},
        {"http://x?a/b", "/", "a/b"},
        {"http://x/a?b", "/a", "b"},
        {"https://user:pw@x:8080/a", "/a", NULL},
        {"/http://x/", "/http://x/", NULL},
    };
    for (size_t i = 0; i < COUNT(targets); i++) {
        char bytes[200];
        snprintf(bytes, sizeof bytes, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", targets[i].target);
        struct http_head got = read_head(bytes);
        ck_assert_msg(text_is(got.path, targets[i].path), "%s", targets[i].target);
        ck_assert_msg(!got.query.at == !targets[i].query, "%s", targets[i].target);
        ck_assert_msg(!got.query.at || text_is(got.query, targets[i].query), "%s",
                      targets[i].target);
    }
    ck_assert(text_is(read_head("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").path, "*"));
}
END_TEST

START_TEST(methods_and_versions_are_known)
{
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {{"GET", HTTP_GET},        {"POST", HTTP_POST},  {"PUT", HTTP_PUT},
                   {"DELETE", HTTP_DELETE},  {"HEAD", HTTP_HEAD},  {"OPTIONS", HTTP_OPTIONS},
                   {"get", HTTP_OTHER},      {"GETS", HTTP_OTHER}, {"GE", HTTP_OTHER},
                   {"PROPFIND", HTTP_OTHER}, {"TRACE", HTTP_OTHER}};
    for (size_t i = 0; i < COUNT(methods); i++) {
        char bytes[200];
        snprintf(bytes, sizeof bytes, "%s / HTTP/1.1\r\nHost: x\r\n\r\n", methods[i].name);
        ck_assert_int_eq(read_head(bytes).method, methods[i].method);
        ck_assert(!head.is_1_0 && !head.close);
    }
    ck_assert(read_head("GET / HTTP/1.0\r\n\r\n").is_1_0);
    ck_assert(head.close);
    ck_assert(!head.host.at);
}
END_TEST

START_TEST(headers_are_read_whatever_their_case_and_spaces)
{
    struct http_head got =
        read_head("POST /p HTTP/1.1\r\nHOST:x:1\r\norigin:  https://a.example \t\r\n"
                  "AUTHORIZATION: Bearer a.b.c\r\nidempotency-KEY: k\r\nlast-event-id: e:1\r\n"
                  "Sec-WebSocket-Key: key\r\nX-Forwarded-For: 192.0.2.1\r\n"
                  "X-Forwarded-For: 192.0.2.2\r\nForwarded: for=192.0.2.3\r\n"
                  "X-Forwarded-Proto: https\r\nContent-Length: 0012\r\n\r\n");
    ck_assert(text_is(got.host, "x:1"));
    ck_assert(text_is(got.origin, "https://a.example"));
    ck_assert(text_is(got.authorization, "Bearer a.b.c"));
    ck_assert(text_is(got.idempotency_key, "k"));
    ck_assert(text_is(got.last_event_id, "e:1"));
    ck_assert(text_is(got.websocket_key, "key"));
    ck_assert(text_is(got.forwarded_for, "192.0.2.2"));
    ck_assert(text_is(got.forwarded, "for=192.0.2.3"));
    ck_assert(text_is(got.forwarded_proto, "https"));
    ck_assert_int_eq(got.content_length, 12);
    ck_assert(!got.has_transfer_encoding && !got.close && !got.connection_upgrade);
    got = read_head(GET END);
    ck_assert_int_eq(got.content_length, -1);
    ck_assert(!got.origin.at && !got.authorization.at && !got.websocket_key.at);
    ck_assert(read_head(GET "Origin:\r\n" END).origin.at != NULL); /* there, and empty */
}
END_TEST

START_TEST(headers_of_several_lines_are_joined)
{
    static const struct {
        const char *bytes, *joined;
    } lines[] = {
        {GET END, ""},
        {GET "X-F: a\r\n" END, "a"},
        {GET "X-F:\r\n" END, ""},
        {GET "X-F: a\r\nOther: b\r\nx-f:c, d\r\n" END, "a,c,d"},
        {GET "X-FF: a\r\nX-: b\r\nY: X-F: c\r\n" END, ""},
        {"GET /X-F:a HTTP/1.1\r\nHost: x\r\nX-F: b\r\n\r\n", "b"},
        {"\r\nGET / HTTP/1.1\r\nX-F: b\r\nHost: x\r\n\r\n", "b"},
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct buffer joined = {0};
        char plain[100];
        size_t length = 0;
        http_head_join(lines[i].bytes, strlen(lines[i].bytes), "x-f", &joined);
        for (size_t at = 0; at < joined.length; at++)
            if (joined.at[at] != ' ') /* spaces do not matter in it */
                plain[length++] = joined.at[at];
        plain[length] = 0;
        ck_assert_str_eq(plain, lines[i].joined);
        buffer_finish(&joined);
    }
}
END_TEST

START_TEST(every_transfer_encoding_is_seen)
{
    static const char *const lines[] = {
        "Transfer-Encoding: chunked",
        "transfer-encoding:chunked",
        "Transfer-Encoding:\tchunked",
        "TRANSFER-ENCODING: \"chunked\"",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: cow",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        char bytes[200];
        snprintf(bytes, sizeof bytes, POST "%s\r\n\r\n", lines[i]);
        ck_assert_msg(read_head(bytes).has_transfer_encoding, "%s", lines[i]);
    }
    ck_assert(!read_head(POST "TE: trailers\r\nX-Transfer-Encoding: chunked\r\n" END)
                   .has_transfer_encoding);
}
END_TEST

START_TEST(connections_and_expectations_are_lists_in_any_case)
{
    ck_assert(read_head(GET "Connection: close\r\n" END).close);
    ck_assert(read_head(GET "Connection: Keep-Alive , CLOSE\r\n" END).close);
    ck_assert(read_head(GET "Connection: a\r\nConnection: close\r\n" END).close);
    ck_assert(!read_head(GET "Connection: closed, keep-alive\r\n" END).close);
    ck_assert(read_head(GET "Connection: keep-alive, UPGRADE\r\n" END).connection_upgrade);
    ck_assert(!read_head(GET "Connection: upgrades\r\n" END).connection_upgrade);
    ck_assert(read_head(GET "Upgrade: h2c, WebSocket\r\n" END).upgrade_websocket);
    ck_assert(!read_head(GET "Upgrade: websocket/13\r\n" END).upgrade_websocket);
    ck_assert(read_head(GET "Sec-WebSocket-Version: 13\r\n" END).websocket_13);
    ck_assert(!read_head(GET "Sec-WebSocket-Version: 8\r\n" END).websocket_13);
    ck_assert(!read_head(GET "Sec-WebSocket-Version: 8, 13\r\n" END).websocket_13);
    ck_assert(!read_head(GET "Sec-WebSocket-Version: 013\r\n" END).websocket_13);
    ck_assert(read_head(GET "Expect: 100-CONTINUE\r\n" END).expects_continue);
    ck_assert(!head.expects_else);
    ck_assert(read_head(GET "Expect: 100-continue, more\r\n" END).expects_else);
    ck_assert(read_head(GET "Expect: 200-ok\r\n" END).expects_else);
    ck_assert(read_head(GET "Expect: 100-continue\r\nExpect: x\r\n" END).expects_else);
    ck_assert(!http_list_has(text_of(""), "a") && !http_list_has(text_of(",,"), "a"));
    ck_assert(http_list_has(text_of(",\ta ,"), "A") && !http_list_has(text_of("a b"), "a"));
}
END_TEST

/* Whatever the bytes are, nothing is read that is not there, and pieces make no difference. */
START_TEST(random_changes_do_no_harm)
{
    static const char whole[] = "\r\nPOST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                                "Connection: upgrade, close\r\nX: y\r\n\r\nhello";
    static const char odd[] = "\r\n\0 \t:,/?#\x7f\x80\xff"
                              "0HP1.";
    char bytes[sizeof whole];
    srand(1);
    for (int round = 0; round < 20000; round++) {
        memcpy(bytes, whole, sizeof whole);
        for (int changes = rand() % 4; changes >= 0; changes--)
            bytes[(size_t)rand() % (sizeof whole - 1)] = odd[(size_t)rand() % (sizeof odd - 1)];
        long got = parse(bytes, sizeof whole - 1, 100);
        ck_assert_msg(got <= (long)sizeof whole && (got >= 0 || got <= -400), "%ld", got);
        if (round % 50 == 0)
            ck_assert_int_eq(parse_bytewise(bytes, sizeof whole - 1, 100), got);
    }
}
END_TEST

UNIT_MAIN("http_head", requests_are_taken_or_refused_at_once_and_byte_by_byte,
          what_follows_the_head_is_left_alone,
          a_head_of_exactly_the_limit_is_taken_and_a_byte_more_is_not,
          a_first_line_too_long_is_told_apart, so_many_headers_and_no_more,
          a_host_is_up_to_255_bytes, the_target_is_taken_apart, methods_and_versions_are_known,
          headers_are_read_whatever_their_case_and_spaces, headers_of_several_lines_are_joined,
          every_transfer_encoding_is_seen, connections_and_expectations_are_lists_in_any_case,
          random_changes_do_no_harm)
