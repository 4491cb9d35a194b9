#include "unit.h"

#include <chatup/store.h>
#include <chatup/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSAL "{\"status\":\"error\",\"err\":\"blacklistedWord\"}"
enum { LOOPS = 3, PATIENCE_MS = 10000 };

static char why[600];
static struct chatup_test *test;

static void open_with(const char *yaml)
{
    test = chatup_test_open_linked(chatup_plugin_v1(), yaml, LOOPS, why, sizeof why);
    ck_assert_msg(test != NULL, "%s", why);
}

static void done(void)
{
    ck_assert_msg(chatup_test_mistakes(test) == 0, "%s", chatup_test_log(test));
    ck_assert_uint_eq(chatup_test_late(test), 0);
    chatup_test_close(test);
}

static const struct chatup_test_said *say_on(uint32_t loop, const char *text)
{
    return chatup_test_say(test, loop, "lobby", "u1", "Ann", text);
}

/* The plugin's thread has built something, and a loop was told. */
static void wait_thread(void)
{
    ck_assert_msg(chatup_test_wait(test, PATIENCE_MS), "nothing was built");
}

/* Till every loop has the words that it opened with. */
static void wait_ready(void)
{
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        const struct chatup_test_said *said = say_on(loop, "hello");
        while (said->verdict == CHATUP_DEFER)
            wait_thread();
        ck_assert_int_eq(said->verdict, CHATUP_ACCEPT);
    }
}

/* Till text is judged so on every loop. */
static void wait_verdict(const char *text, int32_t verdict)
{
    for (uint32_t loop = 0; loop < LOOPS; loop++)
        while (say_on(loop, text)->verdict != verdict)
            wait_thread();
}

/* The two lists are watched one by one, so one may be there before the other. */
static void wait_shown(const char *text, const char *shown)
{
    for (uint32_t loop = 0; loop < LOOPS; loop++)
        while (strcmp(say_on(loop, text)->msg, shown) != 0)
            wait_thread();
}

static void assert_shown(const char *text, const char *shown)
{
    const struct chatup_test_said *said = say_on(1, text);
    ck_assert_int_eq(said->verdict, CHATUP_ACCEPT);
    ck_assert_str_eq(said->msg, shown);
}

static const struct chatup_test_answer *call(uint32_t method, const char *body)
{
    const struct chatup_test_answer *answer = chatup_test_route(test, 2, method, "", body);
    chatup_test_run(test);
    return answer;
}

static void assert_answer(const struct chatup_test_answer *answer, int32_t status, const char *body)
{
    ck_assert_int_eq(answer->status, status);
    ck_assert_str_eq(answer->body, body);
}

static void change(const char *body)
{
    ck_assert_int_eq(call(CHATUP_POST, body)->status, 200);
}

static char *many_words(const char *what, int from, int to)
{
    char *json = malloc(64 + 16 * (size_t)(to - from)), *at = json;
    at += sprintf(at, "{\"%s\":[\"word%d\"", what, from);
    for (int i = from + 1; i < to; i++)
        at += sprintf(at, ",\"word%d\"", i);
    strcpy(at, "]}");
    return json;
}

START_TEST(what_is_said_before_the_words_are_there_waits_for_them)
{
    static const char yaml[] = "{words: [Fixed], muted: [darn]}";
    const struct chatup_test_said *said[LOOPS][3];
    open_with(yaml);
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        said[loop][0] = say_on(loop, "this is f\xc3\xadxed!");
        said[loop][1] = say_on(loop, "Darn, a badge");
        said[loop][2] = say_on(loop, "prefixed");
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(said[loop][i]->verdict, CHATUP_DEFER);
    }
    for (uint32_t loop = 0; loop < LOOPS; loop++)
        while (said[loop][2]->verdict == CHATUP_DEFER)
            wait_thread();
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        ck_assert_int_eq(said[loop][0]->verdict, CHATUP_REJECT);
        ck_assert_str_eq(said[loop][0]->reply, REFUSAL);
        ck_assert_int_eq(said[loop][1]->verdict, CHATUP_ACCEPT);
        ck_assert_str_eq(said[loop][1]->msg, "***, a badge");
        ck_assert_int_eq(said[loop][2]->verdict, CHATUP_ACCEPT);
        ck_assert_str_eq(said[loop][2]->msg, "prefixed");
    }
    ck_assert_uint_eq(chatup_test_count(test, "blocked"), LOOPS);
    ck_assert_uint_eq(chatup_test_count(test, "muted"), LOOPS);
    done();
}
END_TEST

/* ---- a store that says nothing of what it has, until a message "tell" comes by ---- */

static struct chatup_host quiet_host;
static struct chatup_store quiet_store;
static const struct chatup_host *real_host;
static const struct chatup_store *real_store;
static struct {
    const struct chatup_loop *loop;
    struct chatup_text group, key;
    chatup_changed *changed;
} watched[2];
static size_t watched_count;

static int32_t quiet_watch(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                           struct chatup_text key, chatup_changed *changed, void *arg)
{
    ck_assert_uint_lt(watched_count, 2);
    ck_assert_uint_eq(flags, 0);
    ck_assert_ptr_null(arg);
    watched[watched_count].loop = loop;
    watched[watched_count].group = group; /* literals, both */
    watched[watched_count].key = key;
    watched[watched_count++].changed = changed;
    return 0;
}

static const void *quiet_service(void *self, const char *name)
{
    const void *service = real_host->service(self, name);
    if (strcmp(name, CHATUP_STORE) != 0)
        return service;
    real_store = service;
    quiet_store = *real_store;
    quiet_store.watch = quiet_watch;
    return &quiet_store;
}

static void *quiet_create(const struct chatup_host *host)
{
    watched_count = 0;
    real_host = host;
    quiet_host = *host;
    quiet_host.service = quiet_service;
    return chatup_plugin_v1()->create(&quiet_host);
}

static int32_t quiet_message_in(void *shard, struct chatup_event *event)
{
    if (event->msg.length != 4 || memcmp(event->msg.at, "tell", 4) != 0)
        return chatup_plugin_v1()->message_in(shard, event);
    for (size_t i = 0; i < watched_count; i++)
        real_store->watch(watched[i].loop, 0, watched[i].group, watched[i].key, watched[i].changed,
                          NULL);
    return CHATUP_CONSUME;
}

static void open_quiet(void)
{
    static struct chatup_plugin quiet;
    quiet = *chatup_plugin_v1();
    quiet.create = quiet_create;
    quiet.message_in = quiet_message_in;
    test = chatup_test_open_linked(&quiet, "{words: [bad]}", LOOPS, why, sizeof why);
    ck_assert_msg(test != NULL, "%s", why);
}

START_TEST(where_the_words_do_not_come_messages_fail_in_time_and_nothing_of_them_stays)
{
    const struct chatup_test_said *said[3];
    open_quiet();
    for (int i = 0; i < 3; i++)
        said[i] = say_on(0, "bad");
    chatup_test_advance(test, 3000);
    const struct chatup_test_said *later = say_on(0, "bad");
    chatup_test_advance(test, 2500);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(said[i]->verdict, CHATUP_FAULT);
    ck_assert_int_eq(later->verdict, CHATUP_DEFER);
    const struct chatup_test_said *last = say_on(0, "good");
    ck_assert_int_eq(say_on(0, "tell")->verdict, CHATUP_CONSUME);
    while (last->verdict == CHATUP_DEFER)
        wait_thread();
    ck_assert_int_eq(last->verdict, CHATUP_ACCEPT);
    ck_assert_int_eq(later->verdict, CHATUP_REJECT);
    ck_assert_uint_eq(chatup_test_count(test, "blocked"), 1);
    done(); /* and nothing was resumed that was over */
}
END_TEST

START_TEST(what_waits_at_the_end_is_cancelled)
{
    open_quiet();
    const struct chatup_test_said *said = say_on(0, "good");
    say_on(0, "good");
    chatup_test_stop(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    done();
}
END_TEST

START_TEST(words_come_and_go_on_every_loop)
{
    open_with("{words: [fixed]}");
    wait_ready();
    assert_answer(call(CHATUP_POST, "{\"blacklistAdd\":[\"c++\",\"Bad\"],\"muteAdd\":[\"darn\"]}"),
                  200, "{\"status\":\"ok\",\"changes\":3}");
    wait_verdict("so bad!", CHATUP_REJECT);
    wait_verdict("fixed", CHATUP_REJECT);
    wait_verdict("I like C++.", CHATUP_REJECT);
    ck_assert_str_eq(say_on(0, "bad bad")->reply, REFUSAL);
    assert_shown("my badge", "my badge");
    wait_shown("darn", "***");
    assert_shown("d\xc3\xa4rn it, Da\xc2\xadrn it", "*** it, *** it");
    assert_answer(call(CHATUP_GET, NULL), 200,
                  "{\"words\":[\"Bad\",\"c++\"],\"muted\":[\"darn\"]}");

    change("[{\"blacklistRemove\":[\"Bad\"]},{\"muteRemove\":[\"darn\"]},{}]");
    wait_verdict("bad", CHATUP_ACCEPT);
    wait_verdict("c++", CHATUP_REJECT);
    wait_shown("darn", "darn");
    change("[]");
    assert_answer(call(CHATUP_GET, NULL), 200, "{\"words\":[\"c++\"],\"muted\":[]}");
    done();
}
END_TEST

START_TEST(a_word_is_replaced_to_the_byte)
{
    open_with("{muted: [darn, 'darn it', 'it all', \xc3\xa9t\xc3\xa9], mute_with: '[-]'}");
    wait_ready();
    assert_shown("darn", "[-]");
    assert_shown("\xe2\x9c\x93 darn \xe2\x9c\x93", "\xe2\x9c\x93 [-] \xe2\x9c\x93");
    assert_shown("oh darn it all!", "oh [-]!"); /* what overlaps is one */
    assert_shown("(\xc3\x89TE\xcc\x81)(ete)", "([-])([-])");
    assert_shown("darn\xe2\x80\x8b it", "[-]");
    char text[100 * 5 + 1], shown[100 * 4 + 1];
    for (size_t i = 0; i < 100; i++) {
        memcpy(text + 5 * i, "darn.", 6);
        memcpy(shown + 4 * i, "[-].", 5);
    }
    assert_shown(text, shown);
    done();
}
END_TEST

START_TEST(what_grows_too_long_is_refused_and_is_no_fault)
{
    static char text[32 * 1024 + 1];
    open_with("{muted: [x], mute_with: 'a good deal longer'}");
    wait_ready();
    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = i % 2 ? ' ' : 'x';
    const struct chatup_test_said *said = say_on(0, text);
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    ck_assert_str_eq(said->reply, REFUSAL);
    ck_assert_uint_eq(chatup_test_count(test, "blocked"), 1);
    ck_assert_uint_eq(chatup_test_count(test, "muted"), 0);
    done();
}
END_TEST

START_TEST(events_and_what_servers_say_are_not_looked_at)
{
    open_with("{words: [bad]}");
    wait_ready();
    struct chatup_event event = {.size = sizeof event, .room = {"lobby", 5}, .ev = {"bad", 3}};
    ck_assert_int_eq(chatup_test_event(test, 0, &event)->verdict, CHATUP_ACCEPT);
    event.msg = (struct chatup_text){"bad", 3};
    ck_assert_int_eq(chatup_test_event(test, 0, &event)->verdict, CHATUP_REJECT);
    event.flags = CHATUP_FROM_POST;
    ck_assert_int_eq(chatup_test_event(test, 0, &event)->verdict, CHATUP_ACCEPT);
    done();
}
END_TEST

START_TEST(a_change_is_answered_after_its_last_batch)
{
    open_with(NULL);
    wait_ready();
    uint32_t batches = chatup_test_batches(test);
    char *json = many_words("muteAdd", 0, 100);
    const struct chatup_test_answer *answer = chatup_test_route(test, 0, CHATUP_POST, "", json);
    while (chatup_test_batches(test) < batches + 5) { /* sizes, 32, 32, 32, 4 */
        ck_assert_int_eq(answer->status, 0);
        ck_assert_int_eq(chatup_test_step(test), 1);
    }
    chatup_test_run(test);
    assert_answer(answer, 200, "{\"status\":\"ok\",\"changes\":100}");
    ck_assert_uint_eq(chatup_test_batches(test), batches + 5);
    wait_shown("word99", "***");
    assert_shown("word0 word100", "*** word100");
    free(json);
    done();
}
END_TEST

START_TEST(without_a_store_a_request_is_told_so)
{
    static const char body[] = "{\"blacklistAdd\":[\"bad\"]}";
    open_with(NULL);
    wait_ready();
    chatup_test_store_fails(test, 1, CHATUP_UNAVAILABLE);
    assert_answer(call(CHATUP_POST, body), 503, "{\"status\":\"error\",\"err\":\"unavailable\"}");
    chatup_test_store_fails(test, 1, CHATUP_UNAVAILABLE);
    assert_answer(call(CHATUP_GET, NULL), 503, "{\"status\":\"error\",\"err\":\"unavailable\"}");
    assert_answer(call(CHATUP_GET, NULL), 200, "{\"words\":[],\"muted\":[]}");

    /* The sizes come; what is added does, but its answer is lost. */
    uint32_t batches = chatup_test_batches(test);
    const struct chatup_test_answer *answer = chatup_test_route(test, 0, CHATUP_POST, "", body);
    while (chatup_test_batches(test) == batches)
        ck_assert_int_eq(chatup_test_step(test), 1);
    chatup_test_store_fails(test, 1, CHATUP_TIMEOUT);
    chatup_test_run(test);
    assert_answer(answer, 503, "{\"status\":\"error\",\"err\":\"unknown\"}");
    wait_verdict("bad", CHATUP_REJECT);
    done();
}
END_TEST

START_TEST(a_request_that_is_wrong_changes_nothing_and_hears_what_is)
{
#define WRONG(what) "{\"status\":\"error\",\"err\":\"Wrong JWT content: " what "\"}"
    static const char *const cases[][2] = {
        {"{\"blacklistAd\":[\"x\"]}",
         WRONG("blacklistAd: not one of blacklistAdd, blacklistRemove, muteAdd, muteRemove")},
        {"{\"blacklistAdd\":[\"x\"],\"muteAdd\":\"x\"}", WRONG("muteAdd: a list expected")},
        {"[{\"muteAdd\":[\"x\"]},{\"muteRemove\":[\"x\",7]}]",
         WRONG("muteRemove[1]: a word of 1 to 9 bytes expected")},
        {"{\"blacklistAdd\":[\"\"]}", WRONG("blacklistAdd[0]: a word of 1 to 9 bytes expected")},
        {"{\"blacklistAdd\":[\"1234567890\"]}",
         WRONG("blacklistAdd[0]: a word of 1 to 9 bytes expected")},
        {"[7]", WRONG("an object of lists expected")},
        {"{\"blacklistAdd\":[\"a\",\"b\",\"c\"]}",
         "{\"status\":\"error\",\"err\":\"tooManyWords\"}"},
    };
    open_with("{max_words: 2, max_word_bytes: 9}");
    wait_ready();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_answer(call(CHATUP_POST, cases[i][0]), 400, cases[i][1]);
    assert_answer(call(CHATUP_GET, NULL), 200, "{\"words\":[],\"muted\":[]}");
    change("{\"blacklistAdd\":[\"a\",\"b\"],\"muteAdd\":[\"123456789\",\"b\"]}");
    ck_assert_int_eq(call(CHATUP_POST, "{\"blacklistAdd\":[\"c\"]}")->status, 400);
    done();
}
END_TEST

START_TEST(many_who_add_at_once_never_exceed_the_limit)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        const struct chatup_test_answer *answers[8];
        char bodies[8][64];
        size_t taken = 0, listed = 0;
        open_with("{max_words: 5}");
        wait_ready();
        chatup_test_shuffle(test, seed);
        for (uint32_t i = 0; i < 8; i++) {
            snprintf(bodies[i], sizeof bodies[i], "{\"blacklistAdd\":[\"a%u\",\"b%u\"]}", i, i);
            answers[i] = chatup_test_route(test, i % LOOPS, CHATUP_POST, "", bodies[i]);
        }
        chatup_test_run(test);
        for (uint32_t i = 0; i < 8; i++) {
            ck_assert(answers[i]->status == 200 || answers[i]->status == 400);
            taken += answers[i]->status == 200;
        }
        for (const char *at = call(CHATUP_GET, NULL)->body; (at = strpbrk(at, "ab")); at++)
            listed += at[-1] == '"';
        ck_assert_uint_eq(taken, 2); /* of two words each */
        ck_assert_uint_eq(listed, 4);
        done();
    }
}
END_TEST

START_TEST(every_loop_ends_with_what_the_store_has_in_whatever_order_changes_come)
{
    static const char *const bodies[] = {"{\"blacklistAdd\":[\"one\"]}", "{\"muteAdd\":[\"one\"]}",
                                         "{\"blacklistRemove\":[\"one\"]}"};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        open_with("{words: [end]}");
        chatup_test_shuffle(test, seed);
        if (seed % 2) /* else the changes come while the loops begin */
            wait_ready();
        const struct chatup_test_answer *answers[6];
        for (uint32_t i = 0; i < 6; i++)
            answers[i] = chatup_test_route(test, i % LOOPS, CHATUP_POST, "", bodies[i % 3]);
        chatup_test_run(test);
        for (uint32_t i = 0; i < 6; i++)
            ck_assert_int_eq(answers[i]->status, 200);
        const char *list = call(CHATUP_GET, NULL)->body;
        int32_t verdict = strstr(list, "\"words\":[\"one\"]") ? CHATUP_REJECT : CHATUP_ACCEPT;
        change("{\"blacklistAdd\":[\"last\"]}");
        wait_verdict("last", CHATUP_REJECT);
        for (uint32_t loop = 0; loop < LOOPS; loop++) {
            const struct chatup_test_said *said = say_on(loop, "one");
            ck_assert_int_eq(said->verdict, verdict);
            if (verdict == CHATUP_ACCEPT)
                ck_assert_str_eq(said->msg, "***");
            ck_assert_int_eq(say_on(loop, "end")->verdict, CHATUP_REJECT);
        }
        done();
    }
}
END_TEST

START_TEST(a_reload_keeps_the_words_and_takes_the_options)
{
    open_with("{words: [old]}");
    wait_ready();
    change("{\"blacklistAdd\":[\"bad\"],\"muteAdd\":[\"darn\"]}");
    wait_verdict("bad", CHATUP_REJECT);
    ck_assert_msg(chatup_test_reload(test, "{words: [new], mute_with: '#'}", why, sizeof why) == 0,
                  "%s", why);
    const struct chatup_test_said *said = say_on(1, "bad"); /* at once: it waits */
    while (said->verdict == CHATUP_DEFER)
        wait_thread();
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    wait_verdict("new", CHATUP_REJECT);
    assert_shown("old darn", "old #");
    done();
}
END_TEST

START_TEST(it_may_end_while_words_are_built)
{
    char *json = many_words("blacklistAdd", 0, 2000);
    for (int i = 0; i < 10; i++) {
        open_with("{words: [fixed]}");
        if (i % 2)
            wait_ready();
        change(json);
        done();
    }
    free(json);
}
END_TEST

START_TEST(whoever_has_an_exempt_tag_may_say_what_they_like)
{
    open_with("{words: [bad], muted: [darn], exempt: [staff]}");
    wait_ready();
    ck_assert_int_eq(say_on(0, "bad")->verdict, CHATUP_REJECT);
    chatup_test_tags(test, "staff");
    const struct chatup_test_said *said = say_on(0, "bad darn");
    ck_assert_int_eq(said->verdict, CHATUP_ACCEPT);
    ck_assert_str_eq(said->msg, "bad darn");
    done();
}
END_TEST

UNIT_MAIN("blacklist", whoever_has_an_exempt_tag_may_say_what_they_like,
          what_is_said_before_the_words_are_there_waits_for_them,
          where_the_words_do_not_come_messages_fail_in_time_and_nothing_of_them_stays,
          what_waits_at_the_end_is_cancelled, words_come_and_go_on_every_loop,
          a_word_is_replaced_to_the_byte, what_grows_too_long_is_refused_and_is_no_fault,
          events_and_what_servers_say_are_not_looked_at, a_change_is_answered_after_its_last_batch,
          without_a_store_a_request_is_told_so,
          a_request_that_is_wrong_changes_nothing_and_hears_what_is,
          many_who_add_at_once_never_exceed_the_limit,
          every_loop_ends_with_what_the_store_has_in_whatever_order_changes_come,
          a_reload_keeps_the_words_and_takes_the_options, it_may_end_while_words_are_built)
