#include "unit.h"

#include "address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static const struct {
    const char *address, *site; /* no site: not an address */
} cases[] = {
    {"192.0.2.7", "192.0.2.7"},
    {"255.255.255.255", "255.255.255.255"},
    {"::ffff:192.0.2.7", "192.0.2.7"},
    {"::FFFF:c000:207", "192.0.2.7"},
    {"2001:db8::1", "2001:db8::/64"},
    {"2001:0DB8:0:0:ffff:1:2:3", "2001:db8::/64"},
    {"2001:db8:0:1::", "2001:db8:0:1::/64"},
    {"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
    {"2001:db8:0:1::5/64", "2001:db8:0:1::/64"},
    {"1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444::/64"},
    {"::1", "::/64"},
    {"fe80::1%eth0", "fe80::/64"},
    {"", ""},
    {"localhost", ""},
    {"192.0.2", ""},
    {"192.0.2.256", ""},
    {"192.0.2.07", ""},
    {"192.0.2.7 ", ""},
    {"192.0.2.0/24", ""},
    {"192.0.2.7/64", ""},
    {"192.0.2.7%eth0", ""},
    {"[::1]", ""},
    {"2001:db8::/32", ""},
    {"2001:db8::/640", ""},
    {"2001:db8:::", ""},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", ""},
    {"1111:2222:3333:4444:5555:6666:7777:8888%a-very-long-zone", "1111:2222:3333:4444::/64"},
};

START_TEST(an_address_has_one_site)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char site[ADDRESS_SITE_SIZE] = "", again[ADDRESS_SITE_SIZE] = "";
        bool good = address_site_parse(text_of(cases[i].address), site);
        ck_assert_str_eq(site, cases[i].site);
        ck_assert_int_eq(good, *cases[i].site != 0);
        ck_assert_int_eq(address_site_parse(text_of(site), again), good); /* it is its own */
        ck_assert_str_eq(again, site);
        struct address address;
        if (address_parse(text_of(cases[i].address), &address)) {
            address_site_format(&address, again);
            ck_assert_str_eq(again, site);
        }
    }
    char site[ADDRESS_SITE_SIZE] = "x";
    ck_assert(!address_site_parse((struct text){0}, site));
    ck_assert(!address_site_parse((struct text){"::1\0x", 5}, site));
    address_site_format(&(struct address){{0}}, site);
    ck_assert_str_eq(site, "");
}
END_TEST

START_TEST(addresses_of_sockets_and_of_texts_are_the_same)
{
    static const struct {
        const char *text, *formatted; /* NULL: not an address */
    } texts[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::ffff:192.0.2.1", "192.0.2.1"}, /* one client, however it came */
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::1", "::1"},
        {"::", ""}, /* unknown */
        {"::192.0.2.1", "::192.0.2.1"},
        {"", NULL},
        {" 192.0.2.1", NULL},
        {"192.0.2.1 ", NULL},
        {"192.0.2.1:80", NULL},
        {"192.0.2.01", NULL},
        {"192.0.2", NULL},
        {"0x7f.0.0.1", NULL},
        {"2130706433", NULL},
        {"1:2:3:4:5:6:7", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"::1::", NULL},
        {":1", NULL},
        {"12345::", NULL},
        {"[::1]", NULL},
        {"fe80::1%lo", NULL},
        {"1111:2222:3333:4444:5555:6666:255.255.255.255",
         "1111:2222:3333:4444:5555:6666:ffff:ffff"},
        {"1111:2222:3333:4444:5555:6666:255.255.255.2555", NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct address address;
        char formatted[ADDRESS_TEXT_SIZE];
        bool good = address_parse(text_of(texts[i].text), &address);
        ck_assert_msg(good == !!texts[i].formatted, "%s", texts[i].text);
        if (!good)
            continue;
        address_format(&address, formatted);
        ck_assert_str_eq(formatted, texts[i].formatted);
        ck_assert_int_eq(address_is_known(&address), *formatted != 0);
    }
    struct address address;
    ck_assert(!address_parse((struct text){"192.0.2.1\0", 10}, &address));
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct address of4, of6;
    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);
    of4 = address_of((struct sockaddr *)&v4);
    of6 = address_of((struct sockaddr *)&v6);
    ck_assert_mem_eq(&of4, &of6, sizeof of4);
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct address unknown = address_of(&local);
    ck_assert(!address_is_known(&unknown));
}
END_TEST

START_TEST(networks_contain_what_shares_their_bits)
{
    static const struct {
        const char *list, *address;
        bool contained;
    } asked[] = {
        {"", "192.0.2.1", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.3/8", "10.9.9.9", true}, /* the rest does not matter */
        {"10.0.0.128/25", "10.0.0.128", true},
        {"10.0.0.128/25", "10.0.0.127", false},
        {"10.0.0.0/31", "10.0.0.1", true},
        {"10.0.0.0/31", "10.0.0.2", false},
        {"10.0.0.1/32", "10.0.0.1", true},
        {"10.0.0.1/32", "10.0.0.0", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1/128", "::1", true},
        {"::1/128", "::2", false},
        {"::ffff:10.0.0.0/104", "10.1.1.1", true},
        {"::ffff:10.0.0.0/104", "11.1.1.1", false},
        {"::1", "127.0.0.1", false},
        {"127.0.0.0/8, ::1", "::1", true},
        {" 127.0.0.0/8 ::1,,10.0.0.0/8 , ", "10.1.1.1", true},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct network networks[4];
        struct text wrong;
        struct address address;
        int count = networks_parse(asked[i].list, networks, 4, &wrong);
        ck_assert_msg(count >= 0, "%s", asked[i].list);
        ck_assert(address_parse(text_of(asked[i].address), &address));
        ck_assert_msg(networks_contain(networks, (size_t)count, &address) == asked[i].contained,
                      "%s in %s", asked[i].address, asked[i].list);
    }
}
END_TEST

START_TEST(the_first_wrong_network_is_named)
{
    static const struct {
        const char *list, *wrong;
    } lists[] = {
        {"x", "x"},
        {"10.0.0.0/8, x, y", "x"},
        {"10.0.0.0/33", "10.0.0.0/33"},
        {"::/129", "::/129"},
        {"10.0.0.0/", "10.0.0.0/"},
        {"10.0.0.0/-1", "10.0.0.0/-1"},
        {"10.0.0.0/8x", "10.0.0.0/8x"},
        {"10.0.0.0/0008", "10.0.0.0/0008"},
        {"10.0.0.0/4294967304", "10.0.0.0/4294967304"},
        {"10.0.0.0/8/8", "10.0.0.0/8/8"},
        {"/8", "/8"},
        {"10.0.0.0//8", "10.0.0.0//8"},
        {"10.0.0.1;10.0.0.2", "10.0.0.1;10.0.0.2"},
        {"localhost", "localhost"},
        {"10.0.0.1,10.0.0.2,10.0.0.3", "10.0.0.3"}, /* more than there is room for */
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct network networks[2];
        struct text wrong = {0};
        ck_assert_int_eq(networks_parse(lists[i].list, networks, 2, &wrong), -1);
        ck_assert_msg(text_is(wrong, lists[i].wrong), "%s", lists[i].list);
    }
}
END_TEST

UNIT_MAIN("address", an_address_has_one_site, addresses_of_sockets_and_of_texts_are_the_same,
          networks_contain_what_shares_their_bits, the_first_wrong_network_is_named)
