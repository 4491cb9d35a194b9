#include "json.h"
#include "counters.h"
#include "unit.h"

#include <jansson.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S(string)    string, sizeof(string) - 1

/* From memory of exactly that size, where a sanitizer sees whoever reads on. */
static json_t *read_json(const char *bytes, size_t length, size_t depth)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    json_t *json = json_read((struct text){copy, length}, depth);
    free(copy);
    return json;
}

START_TEST(json_is_objects_and_arrays_of_no_more_depth)
{
    static const struct {
        const char *bytes;
        size_t length;
        bool good; /* with a depth of 4 */
    } cases[] = {
        {S("{}"), true},
        {S("[]"), true},
        {S(" \t\r\n{ } \n"), true},
        {S("[[[[]]]]"), true},
        {S("[[[[[]]]]]"), false},
        {S("{\"a\":{\"a\":{\"a\":{}}}}"), true},
        {S("{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}"), false},
        {S("[{\"a\":[{}]}]"), true},
        {S("[{\"a\":[{\"a\":[]}]}]"), false},
        {S("[[],[],[],[],[],[],[]]"), true}, /* beside one another */
        {S("[[[[]]],[[[]]],{\"a\":[[]]}]"), true},
        {S("[\"[[[[[[[[\"]"), true}, /* in a text they are letters */
        {S("[\"{{{{{{{{\"]"), true},
        {S("[\"\\\"[[[[[[[[\"]"), true},
        {S("[\"\\\\\",[[[[\"\\\\\"]]]]]"), false},
        {S("[\"\\\\\\\"[[[[[[[\"]"), true},
        {S("{\"[[[[[[\":1}"), true},
        {S("[\"\\u005b\\u005b[[[[[\"]"), true},
        {S("[1,2.5,-3e7,true,false,null,\"\\u00e9\\ud83d\\ude00\"]"), true},
        {S("{\"a\":1,\"a\":2}"), true},
        {S(""), false},
        {S(" "), false},
        {S("1"), false},
        {S("\"text\""), false},
        {S("null"), false},
        {S("{"), false},
        {S("["), false},
        {S("]"), false},
        {S("[}"), false},
        {S("]["), false},
        {S("]]]]]][[[["), false},
        {S("{}{}"), false},
        {S("{} x"), false},
        {S("[1,]"), false},
        {S("{\"a\":1,}"), false},
        {S("{a:1}"), false},
        {S("{'a':1}"), false},
        {S("[01]"), false},
        {S("[+1]"), false},
        {S("[.5]"), false},
        {S("[NaN]"), false},
        {S("[Infinity]"), false},
        {S("[1e999]"), false},
        {S("[9223372036854775808]"), false},
        {S("[\"\xff\"]"), false},
        {S("[\"\xed\xa0\x80\"]"), false},
        {S("[\"\xc0\xaf\"]"), false},
        {S("[\"\\ud800\"]"), false},
        {S("[\"\\u0000\"]"), false}, /* what C takes for an end */
        {S("{\"a\\u0000b\":1}"), false},
        {S("[\"a\0b\"]"), false},
        {S("[]\0"), false},
        {S("[\"\n\"]"), false},
        {S("[\"\\x41\"]"), false},
        {S("[\"unfinished"), false},
        {S("[\"unfinished\\"), false},
        {S("\xef\xbb\xbf[]"), false},
        {S("[1] // why"), false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *json = read_json(cases[i].bytes, cases[i].length, 4);
        ck_assert_msg(!json == !cases[i].good, "case %zu: %s", i, cases[i].bytes);
        json_decref(json);
    }
    json_t *last = read_json(S("{\"a\":1,\"a\":2}"), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(last, "a")), 2);
    json_decref(last);
}
END_TEST

START_TEST(every_depth_is_exact)
{
    for (size_t depth = 1; depth <= 1000; depth += depth < 10 ? 1 : 99) {
        char text[2100];
        for (size_t nested = depth - 1; nested <= depth + 1; nested++) {
            memset(text, '[', nested);
            memset(text + nested, ']', nested);
            json_t *json = nested ? read_json(text, 2 * nested, depth) : json_array();
            ck_assert_msg(!json == (nested > depth), "%zu of %zu", nested, depth);
            json_decref(json);
        }
    }
}
END_TEST

/* However many there are, the stack is safe, and somebody counts. */
START_TEST(a_million_brackets_are_refused)
{
    enum { MILLION = 1000000 };
    uint64_t before = counters[COUNT_too_deep_json];
    char *text = malloc(MILLION);
    memset(text, '[', MILLION);
    ck_assert_ptr_null(read_json(text, MILLION, 1000));
    memset(text, '{', MILLION);
    ck_assert_ptr_null(read_json(text, MILLION, 1000));
    for (size_t i = 0; i + 5 <= MILLION; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    ck_assert_ptr_null(read_json(text, MILLION, 1000));
    ck_assert_uint_eq(counters[COUNT_too_deep_json], before + 3);
    free(text);
}
END_TEST

UNIT_MAIN("json", json_is_objects_and_arrays_of_no_more_depth, every_depth_is_exact,
          a_million_brackets_are_refused)
