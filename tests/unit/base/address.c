#include "unit.h"

#include "address.h"

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

UNIT_MAIN("address", an_address_has_one_site)
