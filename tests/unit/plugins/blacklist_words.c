#include "fold.h"
#include "unit.h"
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct words *of(const char *const *list, int kind)
{
    struct word words[64];
    size_t count = 0;
    for (; list[count]; count++)
        words[count] = (struct word){{list[count], strlen(list[count])}, kind};
    struct words *built = words_build(words, count);
    ck_assert_ptr_nonnull(built);
    return built;
}

/* "begin-end " of each hit, in bytes. */
static const char *hits_in(const struct words *words, const char *text)
{
    static char out[400];
    struct hit hits[16];
    size_t count = words_find(words, text, strlen(text), hits, 16);
    *out = 0;
    for (size_t i = 0; i < count; i++)
        sprintf(out + strlen(out), "%zu-%zu ", hits[i].begin, hits[i].end);
    return out;
}

START_TEST(words_are_found_however_they_are_written)
{
    static const char *const list[] = {"bad",
                                       "c++",
                                       "two  words",
                                       "Stra\xc3\x9f"
                                       "e",
                                       "\xe5\x9d\x8f",
                                       "a",
                                       "ad",
                                       NULL};
    static const struct {
        const char *text, *hits;
    } cases[] = {
        {"bad", "0-3 "},
        {"BAD!", "0-3 "},
        {"bad bad", "0-3 4-7 "},
        {"badge bade abad", ""},
        {"b\xc3\xa1"
         "d",
         "0-4 "}, /* an accent */
        {"ba\xcc\x81"
         "d",
         "0-5 "}, /* a combining one */
        {"b\xe2\x80\x8b"
         "ad\xe2\x80\x8b x",
         "0-9 "},                                         /* zero width */
        {"\xef\xbd\x82\xef\xbd\x81\xef\xbd\x84", "0-9 "}, /* full width */
        {"I like c++, and c+", "7-10 "},
        {"xc++", ""},
        {"two \t\n words", "0-12 "},
        {"STRASSE", "0-7 "},
        {"\xe5\x9d\x8f\xe5\x9d\x8f", "0-3 3-6 "}, /* no spaces in Chinese */
        {"this is a dog", "8-9 "},
        {"", ""},
        {" ", ""},
    };
    struct words *words = of(list, WORD_BLOCK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(!strcmp(hits_in(words, cases[i].text), cases[i].hits), "%s: %s",
                      cases[i].text, hits_in(words, cases[i].text));
    words_unref(words);
}
END_TEST

/* An accent is dropped, a vowel is not. */
START_TEST(words_of_other_scripts_are_whole_words_too)
{
    static const struct {
        const char *word, *text, *hits;
    } cases[] = {
        {"\u0915\u092e", "\u0915\u092e", "0-6 "},                    /* Hindi: kam */
        {"\u0915\u092e", "\u0915\u092e\u093e\u0932", ""},            /* kamal begins with it */
        {"\u0915\u0932", "\u0915\u0941\u0932", ""},                  /* kul is not kal */
        {"\u0958", "\u0915\u093c", "0-6 "},                          /* qa: one character, or two */
        {"\u30cf\u30ab", "\u30d0\u30ab", ""},                        /* Japanese: haka, baka */
        {"\u30d0\u30ab", "\uff8a\uff9e\uff76", "0-9 "},              /* half width */
        {"\u30cf", "\u30cf\u3099", ""},                              /* ha within ba */
        {"\u0e01\u0e34\u0e19", "\u0e44\u0e01\u0e34\u0e19", "3-12 "}, /* Thai: no blanks */
        {"\u0e01", "\u0e01\u0e34\u0e19", ""},
        {"\ud55c", "\u1112\u1161\u11ab!", "0-9 "}, /* Korean: one character, or three */
        {"\ud558", "\u1112\u1161\u11ab", ""},
        {"\u05e9\u05dc", "\u05e9\u05c1\u05b8\u05dc", "0-8 "}, /* Hebrew: points are accents */
        {"bad", "bad\u0941", "0-6 "},                         /* marks that are out of place */
        {"bad", "b\u093ead\uff9e.", "0-9 "},
        {"bad",
         "b\001a\xc2\x80"
         "d",
         "0-6 "}, /* controls show nothing */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const list[] = {cases[i].word, NULL};
        struct words *words = of(list, WORD_BLOCK);
        ck_assert_msg(!strcmp(hits_in(words, cases[i].text), cases[i].hits), "%zu: %s: %s", i,
                      cases[i].text, hits_in(words, cases[i].text));
        words_unref(words);
    }
}
END_TEST

/* At each place of a text: what makes it not plain, and what does not. */
START_TEST(a_plain_text_is_told_from_others)
{
    static const unsigned char odd[] = {0, 9, 10, 31, 127, 128, 255},
                               fine[] = {32, 33, '@', 'Z', 126};
    char text[] = "a text, longer than two words of eight bytes";
    ck_assert(fold_is_plain(text, sizeof text - 1));
    ck_assert(fold_is_plain("", 0));
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        char was = text[i];
        for (size_t j = 0; j < sizeof odd; j++) {
            text[i] = (char)odd[j];
            ck_assert_msg(!fold_is_plain(text, sizeof text - 1), "%d at %zu", odd[j], i);
        }
        for (size_t j = 1; j < sizeof fine; j++) {
            text[i] = (char)fine[j];
            ck_assert(fold_is_plain(text, sizeof text - 1));
        }
        text[i] = ' ';
        int two = (i && text[i - 1] == ' ') || text[i + 1] == ' ';
        ck_assert_msg(fold_is_plain(text, sizeof text - 1) == !two, "' ' at %zu", i);
        text[i] = was;
    }
}
END_TEST

START_TEST(a_word_of_both_kinds_is_of_both)
{
    struct word list[] = {{{"x", 1}, WORD_BLOCK}, {{"X", 1}, WORD_MUTE}, {{"\xc2\xad", 2}, 1}};
    struct words *words = words_build(list, 3);
    struct hit hit;
    ck_assert_uint_eq(words_find(words, "x", 1, &hit, 1), 1);
    ck_assert_int_eq(hit.kind, WORD_BLOCK | WORD_MUTE);
    words_unref(words);
    words = words_build(NULL, 0);
    ck_assert_uint_eq(words_find(words, "x", 1, &hit, 1), 0);
    words_unref(words);
}
END_TEST

static uint32_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % sides;
}

static void make(char *out, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = "abcab. "[dice(7)];
    out[length] = 0;
}

/* As it is defined: for each end, the longest first. */
static size_t count_slowly(char list[][8], size_t words, const char *text)
{
    size_t found = 0, length = strlen(text);
    for (size_t end = 1; end <= length; end++)
        for (size_t w = 0; w < words; w++) {
            size_t n = strlen(list[w]);
            if (!n || n > end || memcmp(text + end - n, list[w], n) != 0)
                continue;
            size_t begin = end - n;
            int head = begin == 0 || !fold_is_word((unsigned char)text[begin - 1]) ||
                       !fold_is_word((unsigned char)text[begin]);
            int tail = end == length || !fold_is_word((unsigned char)text[end - 1]) ||
                       !fold_is_word((unsigned char)text[end]);
            found += head && tail;
        }
    return found;
}

START_TEST(it_agrees_with_a_slow_matcher)
{
    for (int round = 0; round < 2000; round++) {
        char list[12][8], text[64];
        struct word words[12];
        size_t count = 0;
        for (int i = 0; i < 12; i++) {
            make(list[count], 1 + dice(5));
            int known = strchr(list[count], ' ') != NULL; /* blanks are trimmed: other tests */
            for (size_t k = 0; k < count; k++)
                known |= !strcmp(list[k], list[count]);
            if (known)
                continue;
            words[count] = (struct word){{list[count], strlen(list[count])}, WORD_BLOCK};
            count++;
        }
        make(text, dice(60));
        for (char *p; (p = strstr(text, "  "));) /* one blank is one */
            p[1] = 'c';
        struct words *built = words_build(words, count);
        struct hit hits[400];
        ck_assert_msg(words_find(built, text, strlen(text), hits, 400) ==
                          count_slowly(list, count, text),
                      "round %d: %s", round, text);
        words_unref(built);
    }
}
END_TEST

START_TEST(it_agrees_with_a_slow_matcher_about_ten_thousand_words)
{
    enum { COUNT = 10000, TEXTS = 40 };
    static char texts[COUNT][8];
    static struct word list[COUNT];
    size_t found = 0;
    for (size_t i = 0; i < COUNT; i++) { /* each once */
        int length = sprintf(texts[i], "%x", (unsigned)(i * 7));
        list[i] = (struct word){{texts[i], (size_t)length}, WORD_BLOCK};
    }
    struct words *words = words_build(list, COUNT);
    for (int i = 0; i < TEXTS; i++) {
        char text[160], *to = text;
        while (to < text + 140)
            to += sprintf(to, "%x%c", dice(COUNT * 8), ".. x"[dice(4)]);
        for (char *p; (p = strstr(text, "  "));)
            p[1] = 'c';
        struct hit hits[100];
        size_t count = words_find(words, text, strlen(text), hits, 100);
        ck_assert_msg(count == count_slowly(texts, COUNT, text), "%s", text);
        for (size_t k = 0; k < count; k++)
            ck_assert_uint_eq(strtoul(text + hits[k].begin, NULL, 16) % 7, 0);
        found += count;
    }
    ck_assert_uint_gt(found, TEXTS); /* it was about something */
    words_unref(words);
}
END_TEST

enum { COST_ROUNDS = 20000 };

/* Under a name of its own, by which script/hook-cost finds how many instructions it took. */
static __attribute__((noinline)) size_t cost_of_searches(struct words *words, const char *text,
                                                         size_t length)
{
    struct hit hit;
    size_t found = 0;
    for (int i = 0; i < COST_ROUNDS; i++)
        found += words_find(words, text, length, &hit, 1);
    return found;
}

/* Printed, not asserted: times are of the machine. */
START_TEST(ten_thousand_words_cost_what_is_printed)
{
    enum { COUNT = 10000 };
    static char texts[COUNT][16];
    static struct word list[COUNT];
    struct timespec a, b, c;
    for (size_t i = 0; i < COUNT; i++) {
        int length = sprintf(texts[i], "w%xrd%zu", (unsigned)dice(1 << 20), i);
        list[i] = (struct word){{texts[i], (size_t)length}, WORD_BLOCK};
    }
    static const char text[] = "a message of the usual length, with some words in it that are not "
                               "on any list, and w12 that looks like one of those";
    clock_gettime(CLOCK_MONOTONIC, &a);
    struct words *words = words_build(list, COUNT);
    clock_gettime(CLOCK_MONOTONIC, &b);
    struct hit hit;
    ck_assert_uint_eq(cost_of_searches(words, text, sizeof text - 1), 0);
    clock_gettime(CLOCK_MONOTONIC, &c);
    printf("10 000 words: built in %.1f ms; %zu bytes searched in %.2f us\n",
           (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6,
           sizeof text - 1,
           ((double)(c.tv_sec - b.tv_sec) * 1e6 + (double)(c.tv_nsec - b.tv_nsec) / 1e3) /
               COST_ROUNDS);
    ck_assert_uint_eq(words_find(words, texts[77], strlen(texts[77]), &hit, 1), 1);
    words_unref(words);
}
END_TEST

UNIT_MAIN("blacklist_words", words_are_found_however_they_are_written,
          words_of_other_scripts_are_whole_words_too, a_plain_text_is_told_from_others,
          a_word_of_both_kinds_is_of_both, it_agrees_with_a_slow_matcher,
          it_agrees_with_a_slow_matcher_about_ten_thousand_words,
          ten_thousand_words_cost_what_is_printed)
