/* What is said to Slack, and which messages are meant. */
#include "template.h"
#include "triggers.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct chatup_text text(const char *s)
{
    return (struct chatup_text){s, strlen(s)};
}

static const struct chatup_text values[TEMPLATE_NAMES] = {
    [TEMPLATE_ROOM_NAME] = {"lobby", 5},
    [TEMPLATE_USER_NAME] = {"<Ann & Bob>", 11},
    [TEMPLATE_USER_SUB] = {"a-1", 3},
    [TEMPLATE_MSG] = {"hi", 2},
};

static void expands(const char *template_text, bool escape, const char *expected)
{
    char why[200];
    struct template *template = template_parse(text(template_text), why, sizeof why);
    ck_assert_msg(template != NULL, "%s: %s", template_text, why);
    struct chatup_text got = template_expand(template, values, escape);
    ck_assert_uint_eq(got.length, strlen(expected));
    ck_assert_mem_eq(got.at, expected, got.length);
    free((char *)got.at);
    template_destroy(template);
}

static void refused(const char *template_text, const char *expected)
{
    char why[200];
    ck_assert_ptr_null(template_parse(text(template_text), why, sizeof why));
    ck_assert_msg(strstr(why, expected) != NULL, "%s: %s", template_text, why);
}

START_TEST(names_are_replaced_by_their_values)
{
    expands("", false, "");
    expands("just text }", false, "just text }");
    expands("{msg}", false, "hi");
    expands("[{room.name}] {user.name} ({user.sub}): {msg}", false,
            "[lobby] <Ann & Bob> (a-1): hi");
    expands("{msg}{msg}", false, "hihi");
}
END_TEST

START_TEST(two_braces_are_one)
{
    expands("{{", false, "{");
    expands("{{msg} {msg}", false, "{msg} hi");
    expands("{{{msg}", false, "{hi");
}
END_TEST

START_TEST(users_write_no_markup_but_the_template_may)
{
    expands("<!here> {user.name}", true, "<!here> &lt;Ann &amp; Bob&gt;");
}
END_TEST

START_TEST(an_absent_value_is_empty)
{
    char why[200];
    const struct chatup_text none[TEMPLATE_NAMES] = {{NULL, 0}};
    struct template *template = template_parse(text("{user.name}"), why, sizeof why);
    for (int escape = 0; escape < 2; escape++) {
        struct chatup_text got = template_expand(template, none, escape);
        ck_assert_ptr_nonnull(got.at);
        ck_assert_uint_eq(got.length, 0);
        free((char *)got.at);
    }
    template_destroy(template);
}
END_TEST

START_TEST(unknown_and_unclosed_names_are_refused)
{
    refused("{room._name}", "{room._name}");
    refused("{}", "{} is no field");
    refused("{Msg}", "{user.sub}");
    refused("{msg }", "{msg } is no field");
    refused("a {msg", "is not closed");
    refused("{", "is not closed");
    refused("{{{", "is not closed");
}
END_TEST

static bool matches(const char *trigger, const char *message)
{
    struct chatup_value items[] = {{.text = text("never there")}, {.text = text(trigger)}};
    struct triggers *triggers = triggers_create(items, 2);
    bool found = triggers_match(triggers, text(message));
    triggers_destroy(triggers);
    return found;
}

START_TEST(a_trigger_is_found_anywhere_and_in_any_case)
{
    ck_assert(matches("#help", "#help"));
    ck_assert(matches("#help", "please #HeLp me"));
    ck_assert(matches("#HELP", "unhelpful#helpful"));
    ck_assert(matches("\u00e4rger", "so viel \u00c4RGER"));
    ck_assert(
        matches("\u041f\u041e\u041c\u041e\u0429\u042c", "\u043f\u043e\u043c\u043e\u0449\u044c!"));
    ck_assert(matches("\U0001f198", "\U0001f198"));
    ck_assert(matches("gr\u00fcn", "alles GR\u00dcN"));
    ck_assert(matches("#help", "\u00c4h, #Help"));
    ck_assert(!matches("#help", "#hel p"));
    ck_assert(!matches("#help", "a #hel"));
    ck_assert(!matches("#help", ""));
    ck_assert(!matches("\u00e4rger", "arger"));
}
END_TEST

START_TEST(a_letter_that_grows_in_lower_case_has_room)
{
    char message[2 * 1000 + 1];
    for (int i = 0; i < 1000; i++)
        memcpy(message + 2 * i, "\u023a", 3); /* two bytes; U+2C65 has three */
    ck_assert(matches("\u2c65\u2c65", message));
}
END_TEST

UNIT_MAIN("slack_template", names_are_replaced_by_their_values, two_braces_are_one,
          users_write_no_markup_but_the_template_may, an_absent_value_is_empty,
          unknown_and_unclosed_names_are_refused, a_trigger_is_found_anywhere_and_in_any_case,
          a_letter_that_grows_in_lower_case_has_room)
