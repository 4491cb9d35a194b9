#include "forwarded.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S(string)    string, sizeof(string) - 1

static struct network trusted[8];
static int trusted_count;

static void trust(void)
{
    struct text wrong;
    trusted_count = networks_parse("10.0.0.0/8, ::1, 2001:db8:ffff::/48", trusted, 8, &wrong);
    ck_assert_int_eq(trusted_count, 3);
}

/* "-": it says nothing that can be read */
static const char *client_of(const char *header, bool is_forwarded)
{
    static char formatted[ADDRESS_TEXT_SIZE];
    struct address address;
    size_t length = strlen(header);
    char *copy = malloc(length ? length : 1); /* where a sanitizer sees whoever reads on */
    memcpy(copy, header, length);
    memset(&address, 0x55, sizeof address);
    bool found = forwarded_client((struct text){copy, length}, is_forwarded, trusted,
                                  (size_t)trusted_count, &address);
    free(copy);
    if (found) {
        address_format(&address, formatted);
        return formatted;
    }
    for (size_t i = 0; i < sizeof address.bytes; i++)
        ck_assert_int_eq(address.bytes[i], 0x55);
    return "-";
}

START_TEST(the_client_is_the_rightmost_whom_nobody_trusted_vouches_for)
{
    static const struct {
        const char *header, *client;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {" \t192.0.2.1 \t", "192.0.2.1"},
        {"192.0.2.1:4711", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:4711", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"198.51.100.9, 192.0.2.1", "192.0.2.1"}, /* what the client itself says is not believed */
        {"198.51.100.9,192.0.2.1", "192.0.2.1"},
        {"192.0.2.1, 10.0.0.7", "192.0.2.1"},
        {"198.51.100.9, 192.0.2.1, 10.0.0.7, 10.1.2.3", "192.0.2.1"},
        {"192.0.2.1, ::1, 2001:db8:ffff::9", "192.0.2.1"},
        {"10.0.0.7", "10.0.0.7"},
        {"10.0.0.8, 10.0.0.7", "10.0.0.8"}, /* all trusted: the first one */
        {"nonsense, 10.0.0.7", "10.0.0.7"}, /* as far as it can be read */
        {"192.0.2.1, nonsense", "-"},
        {"192.0.2.1,", "-"},
        {"192.0.2.1, , 10.0.0.7", "10.0.0.7"},
        {"", "-"},
        {",", "-"},
        {" , ", "-"},
        {"unknown", "-"},
        {"_hidden", "-"},
        {"example.org", "-"},
        {"192.0.2", "-"},
        {"192.0.2.256", "-"},
        {"192.0.2.1.", "-"},
        {"192.0.2.1/32", "-"},
        {"[192.0.2.1", "-"},
        {"[2001:db8::1", "-"},
        {"[]", "-"},
        {"[", "-"},
        {":", "-"},
        {":80", "-"},
        {"2001:db8::1::2", "-"},
        {"fe80::1%eth0", "-"},
        {"\"192.0.2.1\"", "-"},
        {"0000000000000000000000000000000000000000000000000000000000000.1", "-"},
    };
    trust();
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_msg(!strcmp(client_of(cases[i].header, false), cases[i].client), "%s: %s",
                      cases[i].header, client_of(cases[i].header, false));
    struct address address;
    ck_assert(!forwarded_client((struct text){0}, false, trusted, 3, &address));
}
END_TEST

START_TEST(forwarded_is_read_by_its_for)
{
    static const struct {
        const char *header, *client;
    } cases[] = {
        {"for=192.0.2.1", "192.0.2.1"},
        {"For=192.0.2.1", "192.0.2.1"},
        {"FOR=\"192.0.2.1:4711\"", "192.0.2.1"},
        {"for=\"[2001:db8::1]\"", "2001:db8::1"},
        {"for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"},
        {"by=10.0.0.7;for=192.0.2.1", "192.0.2.1"},
        {"proto=https ; for=192.0.2.1 ;by=x", "192.0.2.1"},
        {"for=198.51.100.9, for=192.0.2.1", "192.0.2.1"},
        {"for=192.0.2.1, for=10.0.0.7", "192.0.2.1"},
        {"for=192.0.2.1;by=10.0.0.7, for=10.0.0.7;proto=http", "192.0.2.1"},
        {"for=unknown, for=10.0.0.7", "10.0.0.7"},
        {"for=_secret, for=10.0.0.7", "10.0.0.7"},
        {"for=192.0.2.1, for=unknown", "-"},
        {"192.0.2.1", "-"},
        {"for=", "-"},
        {"for", "-"},
        {"for=\"", "-"},
        {"for=\"\"", "-"},
        {"for=\"192.0.2.1", "-"},
        {"for 192.0.2.1", "-"},
        {"xfor=192.0.2.1", "-"},
        {"proto=https;host=x", "-"},
        {"", "-"},
        {";", "-"},
        {";;;,;;", "-"},
    };
    trust();
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_msg(!strcmp(client_of(cases[i].header, true), cases[i].client), "%s: %s",
                      cases[i].header, client_of(cases[i].header, true));
}
END_TEST

START_TEST(https_is_what_the_element_of_the_client_says)
{
    static const struct {
        const char *header;
        bool secure;
    } cases[] = {
        {"for=192.0.2.1;proto=https", true},
        {"proto=HTTPS;for=192.0.2.1", true},
        {"for=192.0.2.1;proto=\"https\"", true},
        {"for=192.0.2.1;proto=http", false},
        {"for=192.0.2.1;proto=httpss", false},
        {"for=192.0.2.1", false},
        {"for=192.0.2.1;proto=https, for=10.0.0.7;proto=http", true}, /* behind the first proxy */
        {"for=192.0.2.1, for=10.0.0.7;proto=https", false},
        {"for=198.51.100.9;proto=https, for=192.0.2.1;proto=http", false}, /* it says so itself */
        {"proto=https", false},
        {"for=unknown;proto=https", false},
        {"", false},
    };
    trust();
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_msg(forwarded_is_secure(text_of(cases[i].header), trusted,
                                          (size_t)trusted_count) == cases[i].secure,
                      "%s", cases[i].header);
}
END_TEST

/* ---- the PROXY protocol ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x67\x01\xbb"
#define V6_FROM   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6        V6_FROM V6_FROM "\x12\x67\x01\xbb"

enum { WHOLE = 1, MORE = 0, NONE = -1 };

static const struct {
    const char *bytes;
    size_t length;
    int expected;
    const char *client; /* "": untouched */
} proxies[] = {
    {S("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"), WHOLE, "192.0.2.1"},
    {S("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n"), WHOLE, "2001:db8::1"},
    {S("PROXY UNKNOWN\r\n"), WHOLE, ""},
    {S("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), WHOLE, ""},
    {S("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443"), MORE, ""},
    {S("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r"), MORE, ""},
    {S(""), MORE, ""},
    {S("P"), MORE, ""},
    {S("PROXY"), MORE, ""},
    {S("PROXY "), MORE, ""},
    {S("PROXY \r\n"), NONE, ""},
    {S("PROXY\r\n"), NONE, ""},
    {S("PROXY \n"), NONE, ""},
    {S("PROXY TCP4\r\n"), NONE, ""},
    {S("PROXY TCP4 \r\n"), NONE, ""},
    {S("PROXY TCP4 192.0.2.1\r\n"), NONE, ""},
    {S("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n"), NONE, ""},
    {S("PROXY TCP4 nonsense 198.51.100.1 4711 443\r\n"), NONE, ""},
    {S("PROXY TCP5 192.0.2.1 198.51.100.1 4711 443\r\n"), NONE, ""},
    {S("PROXY  TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"), NONE, ""},
    {S("PROXY TCP4  192.0.2.1 198.51.100.1 4711 443\r\n"), NONE, ""},
    {S("POST / HTTP/1.1\r\n"), NONE, ""},
    {S("GET / HTTP/1.1\r\n"), NONE, ""},
    {S("proxy TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"), NONE, ""},
    {S("\x16\x03\x01"), NONE, ""},
    {S("\r\n\r\n\0\r\nQUIX"), NONE, ""},
    {S("\r\n\r\n"), MORE, ""},
    {S(SIGNATURE), MORE, ""},
    {S(SIGNATURE "\x21\x11\x00"), MORE, ""},
    {S(SIGNATURE "\x21\x11\x00\x0c"), MORE, ""},
    {S(SIGNATURE "\x21\x11\x00\x0c" V4), WHOLE, "192.0.2.1"},
    {S(SIGNATURE "\x21\x12\x00\x0c" V4), WHOLE, "192.0.2.1"}, /* UDP: all the same */
    {S(SIGNATURE "\x21\x11\x00\x11" V4 "\x04\x00\x02xy"), WHOLE, "192.0.2.1"}, /* with a TLV */
    {S(SIGNATURE "\x21\x21\x00\x24" V6), WHOLE, "2001:db8::1"},
    {S(SIGNATURE "\x20\x00\x00\x00"), WHOLE, ""}, /* LOCAL: a health check */
    {S(SIGNATURE "\x20\x11\x00\x0c" V4), WHOLE, ""},
    {S(SIGNATURE "\x21\x00\x00\x00"), WHOLE, ""},
    {S(SIGNATURE "\x21\x31\x00\x02xy"), WHOLE, ""},               /* a unix socket */
    {S(SIGNATURE "\x21\x11\x00\x04\x01\x02\x03\x04"), WHOLE, ""}, /* too short for its family */
    {S(SIGNATURE "\x22\x11\x00\x0c" V4), NONE, ""},
    {S(SIGNATURE "\x11\x11\x00\x0c" V4), NONE, ""},
    {S(SIGNATURE "\x31\x11\x00\x0c" V4), NONE, ""},
};

static long proxy_parse(const char *bytes, size_t length, struct address *out)
{
    unsigned char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    memset(out, 0, sizeof *out);
    long got = proxy_header_parse(copy, length, out);
    free(copy);
    return got;
}

START_TEST(proxy_headers_are_read_at_once_and_byte_by_byte)
{
    for (size_t i = 0; i < COUNT(proxies); i++) {
        struct address address;
        char formatted[ADDRESS_TEXT_SIZE];
        long expected =
            proxies[i].expected == WHOLE ? (long)proxies[i].length : proxies[i].expected;
        long got = proxy_parse(proxies[i].bytes, proxies[i].length, &address);
        ck_assert_msg(got == expected, "case %zu: %ld", i, got);
        address_format(&address, formatted);
        ck_assert_msg(got < 0 || !strcmp(formatted, proxies[i].client), "case %zu: %s", i,
                      formatted);
        for (size_t n = 0; n < proxies[i].length; n++) {
            long early = proxy_parse(proxies[i].bytes, n, &address);
            ck_assert_msg(early == MORE || (early == NONE && expected == NONE), "case %zu at %zu",
                          i, n);
        }
        if (expected <= 0)
            continue;
        char followed[200];
        memset(followed, '\n', sizeof followed);
        memcpy(followed, proxies[i].bytes, proxies[i].length);
        ck_assert_int_eq(proxy_parse(followed, sizeof followed, &address), expected);
    }
}
END_TEST

START_TEST(a_line_of_a_proxy_has_an_end)
{
    struct address address;
    char line[200];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN", 13);
    ck_assert_int_eq(proxy_parse(line, 106, &address), 0);
    ck_assert_int_eq(proxy_parse(line, 107, &address), -1);
    memcpy(line + 105, "\r\n", 2);
    ck_assert_int_eq(proxy_parse(line, 107, &address), 107);
}
END_TEST

UNIT_MAIN("forwarded", the_client_is_the_rightmost_whom_nobody_trusted_vouches_for,
          forwarded_is_read_by_its_for, https_is_what_the_element_of_the_client_says,
          proxy_headers_are_read_at_once_and_byte_by_byte, a_line_of_a_proxy_has_an_end)
