#include "unit.h"

#include <chatup/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char why[600];
static struct chatup_test *test;

static void open_with(const char *yaml, uint32_t loops)
{
    test = chatup_test_open_linked(chatup_plugin_v1(), yaml, loops, why, sizeof why);
    ck_assert_msg(test != NULL, "%s", why);
}

static void done(void)
{
    ck_assert_msg(chatup_test_mistakes(test) == 0, "%s", chatup_test_log(test));
    chatup_test_close(test);
}

static const struct chatup_test_said *ask(uint32_t loop, const char *room, const char *sub)
{
    return chatup_test_say(test, loop, room, sub, "Ann", "hi");
}

static int32_t say(const char *sub)
{
    const struct chatup_test_said *said = ask(0, "lobby", sub);
    chatup_test_run(test);
    return said->verdict;
}

/* What a message now is refused with, in seconds; 0: it is not. */
static int refused_for(const char *sub)
{
    int seconds = 0;
    const struct chatup_test_said *said = ask(0, "lobby", sub);
    chatup_test_run(test);
    if (said->verdict == CHATUP_ACCEPT)
        return 0;
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    ck_assert_int_eq(
        sscanf(said->reply, "{\"status\":\"err\",\"error\":\"rateLimited\",\"ttw\":%d}", &seconds),
        1);
    ck_assert_int_ge(seconds, 1);
    return seconds;
}

/* Say so much that it is too much; how long that is refused for. */
static int break_a_rule(const char *sub, int messages)
{
    for (int i = 0; i < messages; i++)
        ck_assert_int_eq(say(sub), CHATUP_ACCEPT);
    return refused_for(sub);
}

START_TEST(exactly_so_many_pass_of_those_said_on_four_loops_at_once)
{
    enum { SAID = 60 };
    for (uint64_t seed = 0; seed < 200; seed++) {
        const struct chatup_test_said *said[SAID];
        int passed = 0, refused = 0;
        open_with(NULL, 4);
        chatup_test_shuffle(test, seed);
        for (uint32_t i = 0; i < SAID; i++)
            said[i] = ask(i % 4, i % 3 ? "lobby" : "attic", "u1");
        chatup_test_run(test);
        for (uint32_t i = 0; i < SAID; i++) {
            passed += said[i]->verdict == CHATUP_ACCEPT;
            refused += said[i]->verdict == CHATUP_REJECT;
        }
        ck_assert_int_eq(passed, 15);
        ck_assert_int_eq(refused, SAID - 15);
        ck_assert_uint_eq(chatup_test_count(test, "limited"), SAID - 15);
        /* They broke it once, however many of them asked at the same time. */
        chatup_test_advance(test, 30000);
        ck_assert_int_eq(break_a_rule("u1", 15), 120);
        done();
    }
}
END_TEST

START_TEST(the_reply_says_how_long_is_left_in_whole_seconds_rounded_up)
{
    open_with(NULL, 1);
    ck_assert_int_eq(break_a_rule("u1", 15), 30);
    ck_assert_int_eq(refused_for("u1"), 30);
    chatup_test_advance(test, 10500);
    ck_assert_int_eq(refused_for("u1"), 20);
    chatup_test_advance(test, 19499);
    ck_assert_int_eq(refused_for("u1"), 1);
    chatup_test_advance(test, 1);
    ck_assert_int_eq(refused_for("u1"), 0);
    done();
}
END_TEST

START_TEST(who_breaks_a_rule_again_is_silent_for_longer_up_to_the_last_level)
{
    static const int levels[] = {30, 120, 600, 1800, 1800, 1800};
    open_with(NULL, 1);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        ck_assert_int_eq(break_a_rule("u1", 15), levels[i]);
        chatup_test_advance(test, levels[i] * 1000);
    }
    done();
}
END_TEST

START_TEST(a_level_is_forgotten_after_twice_its_time)
{
    open_with(NULL, 1);
    ck_assert_int_eq(break_a_rule("u1", 15), 30);
    chatup_test_advance(test, 59999);
    ck_assert_int_eq(break_a_rule("u1", 15), 120);
    chatup_test_advance(test, 240000);
    ck_assert_int_eq(break_a_rule("u1", 15), 30);
    done();
}
END_TEST

START_TEST(what_is_said_while_silent_does_not_make_it_longer)
{
    open_with(NULL, 1);
    break_a_rule("u1", 15);
    for (int i = 0; i < 29; i++) {
        chatup_test_advance(test, 1000);
        ck_assert_int_eq(refused_for("u1"), 29 - i);
    }
    chatup_test_advance(test, 1000);
    ck_assert_int_eq(break_a_rule("u1", 15), 120);
    done();
}
END_TEST

START_TEST(a_window_slides)
{
    open_with("{rules: [{messages: 2, per: 10s}], levels: [1s]}", 1);
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    chatup_test_advance(test, 9000);
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    chatup_test_advance(test, 1000);
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    ck_assert_int_eq(say("u1"), CHATUP_REJECT);
    done();
}
END_TEST

START_TEST(a_message_that_one_rule_refuses_is_not_counted_by_the_others)
{
    open_with("{rules: [{messages: 3, per: 1m}, {messages: 2, per: 10s}], levels: [1s]}", 1);
    ck_assert_int_eq(break_a_rule("u1", 2), 1);
    chatup_test_advance(test, 10000);
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT); /* the third of the first rule */
    ck_assert_int_eq(say("u1"), CHATUP_REJECT);
    done();
}
END_TEST

START_TEST(each_user_is_counted_alone_and_by_identity_not_by_name)
{
    open_with(NULL, 1);
    ck_assert_int_eq(break_a_rule("u1", 15), 30);
    ck_assert_int_eq(say("u2"), CHATUP_ACCEPT);
    ck_assert_int_eq(break_a_rule(NULL, 15), 30); /* no sub: by name */
    done();
}
END_TEST

START_TEST(who_has_no_identity_is_not_limited)
{
    open_with("{rules: [{messages: 1, per: 1h}]}", 1);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(chatup_test_say(test, 0, "lobby", "", "", "hi")->verdict, CHATUP_ACCEPT);
    chatup_test_run(test);
    ck_assert_uint_eq(chatup_test_batches(test), 0);
    done();
}
END_TEST

START_TEST(rooms_count_together_or_with_scope_room_each_alone)
{
    static const char *const scopes[] = {"user", "room"};
    for (int i = 0; i < 2; i++) {
        char yaml[80];
        snprintf(yaml, sizeof yaml, "{rules: [{messages: 1, per: 1h}], scope: %s}", scopes[i]);
        open_with(yaml, 1);
        const struct chatup_test_said *lobby = ask(0, "lobby", "u1"),
                                      *attic = ask(0, "attic", "u1");
        chatup_test_run(test);
        ck_assert_int_eq(lobby->verdict, CHATUP_ACCEPT);
        ck_assert_int_eq(attic->verdict, i ? CHATUP_ACCEPT : CHATUP_REJECT);
        done();
    }
}
END_TEST

/* The first batch asks, the second blocks, the third blocks for as long as the level says. */
START_TEST(without_an_answer_of_the_store_the_plugin_has_failed_for_that_message)
{
    static const int32_t failures[] = {CHATUP_UNAVAILABLE, CHATUP_TIMEOUT};
    for (size_t i = 0; i < 2; i++) {
        open_with("{rules: [{messages: 1, per: 1h}]}", 1);
        chatup_test_store_fails(test, 1, failures[i]);
        ck_assert_int_eq(say("u1"), CHATUP_FAULT);
        ck_assert_uint_eq(chatup_test_count(test, "errors"), 1);
        ck_assert_uint_eq(chatup_test_count(test, "limited"), 0);
        /* Of the one that timed out, the count is taken. */
        ck_assert_int_eq(say("u1"), i ? CHATUP_REJECT : CHATUP_ACCEPT);
        done();
    }
}
END_TEST

static int32_t fail_at(uint32_t batch, const char **reply_out)
{
    const struct chatup_test_said *said = ask(0, "lobby", "u1");
    while (chatup_test_batches(test) + 1 < batch)
        chatup_test_step(test);
    chatup_test_store_fails(test, 1, CHATUP_UNAVAILABLE);
    chatup_test_run(test);
    *reply_out = said->reply;
    return said->verdict;
}

START_TEST(a_store_that_fails_while_it_blocks_refuses_for_what_is_known)
{
    const char *reply;
    open_with("{rules: [{messages: 1, per: 1h}], levels: [7s, 9s]}", 1);
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    ck_assert_int_eq(fail_at(1 + 2, &reply), CHATUP_FAULT);  /* it is not blocked, */
    ck_assert_int_eq(fail_at(2 + 3, &reply), CHATUP_REJECT); /* it is, at the first level */
    ck_assert_str_eq(reply, "{\"status\":\"err\",\"error\":\"rateLimited\",\"ttw\":7}");
    ck_assert_int_eq(refused_for("u1"), 7);
    done();
}
END_TEST

START_TEST(a_store_that_is_silent_is_waited_for_for_two_seconds)
{
    open_with(NULL, 1);
    chatup_test_store_holds(test, 1);
    const struct chatup_test_said *said = ask(0, "lobby", "u1");
    chatup_test_advance(test, 1999);
    ck_assert_int_eq(said->verdict, CHATUP_DEFER);
    chatup_test_advance(test, 1);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    chatup_test_store_holds(test, 0);
    chatup_test_run(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_uint_eq(chatup_test_late(test), 1);
    done();
}
END_TEST

START_TEST(what_waits_for_the_store_at_the_end_is_let_go)
{
    open_with(NULL, 2);
    chatup_test_store_holds(test, 1);
    const struct chatup_test_said *said = ask(1, "lobby", "u1");
    chatup_test_stop(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    done();
}
END_TEST

START_TEST(who_is_silent_stays_so_after_a_reload)
{
    open_with(NULL, 1);
    ck_assert_int_eq(break_a_rule("u1", 15), 30);
    ck_assert_int_eq(chatup_test_reload(test, "levels: [1h]", why, sizeof why), 0);
    ck_assert_int_eq(refused_for("u1"), 30);
    chatup_test_advance(test, 30000);
    ck_assert_int_eq(break_a_rule("u1", 15), 3600);
    done();
}
END_TEST

START_TEST(rules_that_make_no_sense_are_refused)
{
    static const char *const yamls[] = {
        "rules: []",
        "rules: [{messages: 0, per: 30s}]",
        "rules: [{messages: 10001, per: 30s}]",
        "rules: [{messages: 5}]",
        "rules: [{messages: 5, per: 30}]",
        "levels: []",
        "scope: planet",
        "ruls: []",
    };
    for (size_t i = 0; i < sizeof yamls / sizeof *yamls; i++)
        ck_assert_msg(!chatup_test_open_linked(chatup_plugin_v1(), yamls[i], 1, why, sizeof why),
                      "%s", yamls[i]);
    ck_assert_msg(strstr(why, "did you mean \"rules\"?") != NULL, "%s", why);
}
END_TEST

START_TEST(whoever_has_an_exempt_tag_is_not_limited)
{
    open_with("{rules: [{messages: 1, per: 1h}], exempt: [bot, staff]}", 1);
    chatup_test_tags(test, "vip staff");
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    chatup_test_tags(test, "vip bots");
    ck_assert_int_gt(break_a_rule("u1", 1), 0);
    chatup_test_tags(test, "bot"); /* also who was limited */
    ck_assert_int_eq(say("u1"), CHATUP_ACCEPT);
    done();
}
END_TEST

UNIT_MAIN("ratelimit", whoever_has_an_exempt_tag_is_not_limited,
          exactly_so_many_pass_of_those_said_on_four_loops_at_once,
          the_reply_says_how_long_is_left_in_whole_seconds_rounded_up,
          who_breaks_a_rule_again_is_silent_for_longer_up_to_the_last_level,
          a_level_is_forgotten_after_twice_its_time,
          what_is_said_while_silent_does_not_make_it_longer, a_window_slides,
          a_message_that_one_rule_refuses_is_not_counted_by_the_others,
          each_user_is_counted_alone_and_by_identity_not_by_name,
          who_has_no_identity_is_not_limited, rooms_count_together_or_with_scope_room_each_alone,
          without_an_answer_of_the_store_the_plugin_has_failed_for_that_message,
          a_store_that_fails_while_it_blocks_refuses_for_what_is_known,
          a_store_that_is_silent_is_waited_for_for_two_seconds,
          what_waits_for_the_store_at_the_end_is_let_go, who_is_silent_stays_so_after_a_reload,
          rules_that_make_no_sense_are_refused)
