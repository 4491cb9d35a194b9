#include "pattern.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct pattern pattern_of(const char *source)
{
    struct pattern pattern;
    struct error what = {0};
    ck_assert_msg(pattern_init(&pattern, text_of(source), &what), "%s: %s", source, what.text);
    return pattern;
}

static bool matches(const char *source, const char *name, const char *sub)
{
    struct pattern pattern = pattern_of(source);
    bool does = pattern_matches(&pattern, text_of(name), text_of(sub));
    pattern_finish(&pattern);
    return does;
}

START_TEST(a_star_is_any_bytes_and_all_else_is_itself)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "aa", false},
        {"a", "A", false},
        {"ab", "a", false},
        {"*", "a", true},
        {"*", "\n", true},
        {"**", "a", true},
        {"a*", "a", true},
        {"a*", "ab", true},
        {"a*", "ba", false},
        {"*a", "a", true},
        {"*a", "ba", true},
        {"*a", "ab", false},
        {"*a*", "bab", true},
        {"*a*", "bbb", false},
        {"a*a", "a", false}, /* one a is not both ends */
        {"a*a", "aa", true},
        {"ab*ba", "aba", false},
        {"*ab*ab*", "ab", false},
        {"*ab*ab*", "xabyabz", true},
        {"a*b*c", "abbbc", true},
        {"a*b*c", "acb", false},
        {"a*bc", "abcbc", true}, /* the last piece ends the name, wherever else it stands */
        {"user:*", "user:", true},
        {"user:*", "user", false},
        {"user:*", "superuser:1", false},
        {"user:*",
         "user\xef\xbc\x9a"
         "1",
         false}, /* a colon of another width */
        {"caf\xc3\xa9*", "caf\xc3\xa9 2", true},
        {"*\xa9", "caf\xc3\xa9", true}, /* bytes, not characters */
        {"a.b?[c]+$^", "a.b?[c]+$^", true},
        {".*", "a", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"*\\**", "a*b", true},
        {"*\\**", "ab", false},
        {"\\\\*", "\\x", true},
        {"\\\\\\*", "\\*", true},
        {"\\{sub}", "{sub}", true},
        {"a}", "a}", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_msg(matches(cases[i].pattern, cases[i].name, NULL) == cases[i].matches, "%s, %s",
                      cases[i].pattern, cases[i].name);
}
END_TEST

START_TEST(sub_is_the_identity_byte_by_byte_and_nothing_without_one)
{
    static const struct {
        const char *pattern, *name, *sub;
        bool matches;
    } cases[] = {
        {"user:{sub}", "user:42", "42", true},
        {"user:{sub}", "user:4", "42", false},
        {"user:{sub}", "user:422", "42", false},
        {"user:{sub}", "user:42", NULL, false},
        {"user:{sub}", "user:", NULL, false},
        {"user:{sub}", "user:", "", false},
        {"user:{sub}", "user:42", "*", false}, /* what a user is called is no pattern */
        {"user:{sub}", "user:*", "*", true},
        {"user:{sub}", "user:42", "{sub}", false},
        {"user:{sub}", "user:{sub}", "{sub}", true},
        {"user:{sub}", "user:\\*", "\\*", true},
        {"user:{sub}", "user:\xff", "\xff", true},
        {"user:{sub}", "user:42", "\xff", false}, /* what a star is inside */
        {"user:{sub}", "user:42", "\xfe", false},
        {"{sub}*", "42:a", "42", true},
        {"*{sub}*", "a42b", "42", true},
        {"*{sub}*", "a4b2", "42", false},
        {"{sub}-{sub}", "a-a", "a", true},
        {"{sub}-{sub}", "a-b", "a", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_msg(matches(cases[i].pattern, cases[i].name, cases[i].sub) == cases[i].matches,
                      "%s, %s, %s", cases[i].pattern, cases[i].name, cases[i].sub);

    char sub[260] = {0};
    memset(sub, 'x', 256); /* longer than any name */
    ck_assert(!matches("{sub}", "x", sub));
    ck_assert(!matches("*{sub}{sub}", "x", sub));
    sub[200] = 0;
    ck_assert(matches("{sub}", sub, sub));
    ck_assert(!matches("a{sub}", sub, sub));
    ck_assert(matches("*{sub}*", sub, sub));
}
END_TEST

/* The definition, without any cleverness. */
static bool matches_by_definition(const char *pattern, const char *name)
{
    if (!*pattern)
        return !*name;
    if (*pattern == '*')
        return matches_by_definition(pattern + 1, name) ||
               (*name && matches_by_definition(pattern, name + 1));
    return *pattern == *name && matches_by_definition(pattern + 1, name + 1);
}

/* The n-th text over an alphabet, shorter ones first. */
static const char *text_number(size_t n, const char *alphabet, char *out)
{
    size_t base = strlen(alphabet), length = 0;
    for (; n; n = (n - 1) / base)
        out[length++] = alphabet[(n - 1) % base];
    out[length] = 0;
    return out;
}

START_TEST(every_short_pattern_matches_as_defined)
{
    char source[16], name[16];
    for (size_t i = 1; i < 364; i++) { /* 1 to 5 of three */
        struct pattern pattern = pattern_of(text_number(i, "ab*", source));
        for (size_t j = 0; j < 127; j++) { /* 0 to 6 of two */
            text_number(j, "ab", name);
            ck_assert_msg(pattern_matches(&pattern, text_of(name), (struct text){0}) ==
                              matches_by_definition(source, name),
                          "%s, %s", source, name);
        }
        pattern_finish(&pattern);
    }
}
END_TEST

START_TEST(many_stars_do_not_take_for_ever)
{
    char source[201] = {0}, name[201] = {0};
    for (int i = 0; i < 199; i++)
        source[i] = "*a"[i % 2];
    source[199] = 'b';
    memset(name, 'a', 200);
    for (int i = 0; i < 1000; i++) /* tried in all ways, not even one would end */
        ck_assert(!matches(source, name, NULL));
    name[199] = 'b';
    ck_assert(matches(source, name, NULL));
}
END_TEST

START_TEST(a_pattern_has_1_to_200_bytes_and_no_stray_escapes)
{
    static const struct {
        const char *source, *what;
    } refused[] = {
        {"", "must be 1 to 200 bytes long"},
        {"a\\", "\\ must stand before *, { or \\"},
        {"\\a", "\\ must stand before *, { or \\"},
        {"{", "{ must begin {sub}; write \\{ for a plain {"},
        {"a{name}", "{ must begin {sub}; write \\{ for a plain {"},
        {"{sub", "{ must begin {sub}; write \\{ for a plain {"},
        {"{SUB}", "{ must begin {sub}; write \\{ for a plain {"},
        {"a\xff", "must be UTF-8 without NUL"},
        {"\xfe", "must be UTF-8 without NUL"},
    };
    struct pattern pattern;
    struct error what;
    for (size_t i = 0; i < COUNT(refused); i++) {
        ck_assert(!pattern_init(&pattern, text_of(refused[i].source), &what));
        ck_assert_str_eq(what.text, refused[i].what);
    }
    ck_assert(!pattern_init(&pattern, (struct text){"a\0b", 3}, &what));
    ck_assert_str_eq(what.text, "must be UTF-8 without NUL");

    char stars[402];
    for (int i = 0; i < 401; i++)
        stars[i] = "\\*"[i % 2];
    ck_assert(pattern_init(&pattern, (struct text){stars, 400}, &what)); /* names 200 stars */
    pattern_finish(&pattern);
    stars[400] = 'x';
    ck_assert(!pattern_init(&pattern, (struct text){stars, 401}, &what));
    ck_assert_str_eq(what.text, "must be 1 to 200 bytes long");
}
END_TEST

START_TEST(what_a_pattern_could_match_and_reaches_over_can_be_told)
{
    static const struct {
        const char *pattern;
        bool could_be_user_1, reaches_over_user;
    } cases[] = {
        {"*", true, true},        {"u*", true, true},       {"user*", true, true},
        {"user:*", true, false},  {"user:1", true, false},  {"user:{sub}", true, false},
        {"{sub}", true, true},    {"{sub}:1", true, true},  {"us{sub}1", true, true},
        {"user:2", false, false}, {"{sub}:2", false, true}, {"v*", false, false},
        {"user", false, false},   {"\\*", false, false},    {"user:1{sub}", true, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pattern pattern = pattern_of(cases[i].pattern);
        ck_assert_msg(pattern_could_match(&pattern, text_of("user:1")) == cases[i].could_be_user_1,
                      "%s", cases[i].pattern);
        ck_assert_msg(pattern_reaches_over(&pattern, text_of("user:")) ==
                          cases[i].reaches_over_user,
                      "%s", cases[i].pattern);
        pattern_finish(&pattern);
    }
}
END_TEST

UNIT_MAIN("pattern", a_star_is_any_bytes_and_all_else_is_itself,
          sub_is_the_identity_byte_by_byte_and_nothing_without_one,
          every_short_pattern_matches_as_defined, many_stars_do_not_take_for_ever,
          a_pattern_has_1_to_200_bytes_and_no_stray_escapes,
          what_a_pattern_could_match_and_reaches_over_can_be_told)
