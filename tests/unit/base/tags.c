#include "unit.h"

#include "alloc.h"
#include "tags.h"

static char *tags;

static void add(const char *tag)
{
    char *more = tags_with(tags, text_of(tag));
    ck_assert_msg(more != NULL, "%s was not taken", tag);
    free(tags);
    tags = more;
}

START_TEST(a_tag_is_there_once_and_found_whole)
{
    ck_assert(!tags_have(NULL, text_of("vip")));
    add("vip");
    add("staff:night.shift-2_b");
    add("vip");
    ck_assert_str_eq(tags, "vip staff:night.shift-2_b");
    ck_assert(tags_have(tags, text_of("vip")));
    ck_assert(tags_have(tags, text_of("staff:night.shift-2_b")));
    ck_assert(!tags_have(tags, text_of("vi")));
    ck_assert(!tags_have(tags, text_of("vipp")));
    ck_assert(!tags_have(tags, text_of("ip")));
    ck_assert(!tags_have(tags, text_of("vip staff")));
    ck_assert(!tags_have(tags, text_of("")));
    ck_assert(!tags_have(tags, (struct text){0}));
    free(tags);
}
END_TEST

START_TEST(what_is_no_tag_and_more_than_eight_are_not_taken)
{
    static const char *const wrong[] = {"",     "two words", "\xc3\xa9",
                                        "a\nb", "{}",        "123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_ptr_null(tags_with(NULL, text_of(wrong[i])));
    ck_assert_ptr_null(tags_with("a", (struct text){0}));
    ck_assert_ptr_null(tags_with("a", (struct text){"a\0b", 3}));
    add("12345678901234567890123456789012");
    for (const char *tag = "a\0b\0c\0d\0e\0f\0g\0"; *tag; tag += 2)
        add(tag);
    ck_assert_ptr_null(tags_with(tags, text_of("h")));
    add("g");
    free(tags);
}
END_TEST

UNIT_MAIN("tags", a_tag_is_there_once_and_found_whole,
          what_is_no_tag_and_more_than_eight_are_not_taken)
