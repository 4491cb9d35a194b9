#include "url.h"
#include "buffer.h"
#include "unit.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BAD          "(refused)"

/* From memory of exactly that size, where a sanitizer sees whoever reads on. */
static void expect(const char *what, bool in_query, const char *expected)
{
    struct buffer out = {0};
    size_t length = strlen(what);
    char *copy = malloc(length ? length : 1);
    memcpy(copy, what, length);
    buffer_text(&out, "before ");
    if (!url_decode((struct text){copy, length}, in_query, &out))
        buffer_text(&out, BAD);
    buffer_bytes(&out, "", 1);
    ck_assert_msg(!strcmp(out.at + 7, expected), "%s is \"%s\", not \"%s\"", what, out.at,
                  expected);
    buffer_finish(&out);
    free(copy);
}

START_TEST(percents_are_bytes_and_nothing_else_is)
{
    static const struct {
        const char *what, *in_path, *in_query;
    } cases[] = {
        {"", "", ""},
        {"lobby", "lobby", "lobby"},
        {"a+b", "a+b", "a b"},
        {"a%2Bb", "a+b", "a+b"},
        {"a%20b", "a b", "a b"},
        {"%41%4a%4A", "AJJ", "AJJ"},
        {"%2F%2f", "//", "//"},
        {"%2e%2E/", "../", "../"},
        {"%25", "%", "%"},
        {"%2541", "%41", "%41"}, /* once */
        {"%c3%A9", "\xc3\xa9", "\xc3\xa9"},
        {"%ff", "\xff", "\xff"}, /* what it says is somebody else's concern */
        {"%01%7f", "\x01\x7f", "\x01\x7f"},
        {"\xc3\xa9", "\xc3\xa9", "\xc3\xa9"},
        {"%26%3D%3F%23", "&=?#", "&=?#"},
        {"%", BAD, BAD},
        {"%4", BAD, BAD},
        {"a%", BAD, BAD},
        {"a%4", BAD, BAD},
        {"%zz", BAD, BAD},
        {"%4z", BAD, BAD},
        {"%z4", BAD, BAD},
        {"%%41", BAD, BAD},
        {"% 41", BAD, BAD},
        {"%+1", BAD, BAD},
        {"%-1", BAD, BAD},
        {"%0x", BAD, BAD},
        {"%u0041", BAD, BAD},
        {"%00", BAD, BAD},
        {"a%00b", BAD, BAD},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        expect(cases[i].what, false, cases[i].in_path);
        expect(cases[i].what, true, cases[i].in_query);
    }
}
END_TEST

START_TEST(every_byte_but_nul_round_trips)
{
    for (int byte = 1; byte < 256; byte++) {
        char encoded[4], plain[2] = {(char)byte, 0};
        snprintf(encoded, sizeof encoded, "%%%02X", byte);
        expect(encoded, false, plain);
        expect(encoded, true, plain);
    }
}
END_TEST

START_TEST(arguments_are_apart_only_where_an_ampersand_stood)
{
    static const struct {
        const char *query, *decoded; /* | for NUL */
    } cases[] = {
        {"", ""},
        {"a", "a"},
        {"a=1&b=2", "a=1|b=2"},
        {"a=1&&b=2", "a=1|b=2"},
        {"&a=1&", "a=1"},
        {"&&&", ""},
        {"a=x%26b%3Dy", "a=x&b=y"},
        {"a=b=c", "a=b=c"},
        {"a=+%2B", "a= +"},
        {"a;b", "a;b"},
        {"a=%zz", BAD},
        {"a=1&b=%0", BAD},
        {"a=%00&b", BAD},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buffer out = {0};
        if (!url_decode_query(text_of(cases[i].query), &out)) {
            out.length = 0;
            buffer_text(&out, BAD);
        }
        for (size_t at = 0; at < out.length; at++)
            out.at[at] = out.at[at] ? out.at[at] : '|';
        ck_assert_msg(text_is((struct text){out.at, out.length}, cases[i].decoded), "%s",
                      cases[i].query);
        buffer_finish(&out);
    }
    struct buffer none = {0};
    ck_assert(url_decode_query((struct text){0}, &none));
    ck_assert_uint_eq(none.length, 0);
}
END_TEST

UNIT_MAIN("url", percents_are_bytes_and_nothing_else_is, every_byte_but_nul_round_trips,
          arguments_are_apart_only_where_an_ampersand_stood)
