#include "host.h"

#include "buffer.h"
#include "chain.h"
#include "clock.h"
#include "desk.h"
#include "message.h"

#include <stdint.h>

/* One plugin of a YAML: probe.so under a name, which misbehaves as the config says. */
#define PROBE(name, on_error, config)                                                              \
    "  - {name: " name ", file: " TEST_PLUGINS "/probe.so, on_error: " on_error                    \
    ", config: {" config "}}\n"
#define CLOSED(name, config) PROBE(name, "closed", config)
#define OPEN(name, config)   PROBE(name, "open", config)

#define ID "6e2a0f3a-9a53-4bd5-a5a4-5a2a7bd6a2c1"

static struct config *conf;
static struct plugin *plugins[8];
static struct chain *chain;
static struct turn turn;
static const char *sender_tags;
static struct desk desk; /* of no loop: nothing is answered later */

static void load_plugins(const char *yaml)
{
    struct error err = {""};
    conf = config_of(yaml);
    desk_init(&desk, NULL, 0, 2, NULL);
    for (size_t i = 0; i < conf->plugin_count; i++) {
        plugins[i] = plugin_load(conf, i, NULL, &err);
        ck_assert_msg(plugins[i] != NULL, "%s", err.text);
    }
}

static void open_chain_after(chain_hook *first, void *first_arg, const char *yaml)
{
    struct error err = {""};
    load_plugins(yaml);
    chain = chain_create(plugins, conf->plugin_count, first, first_arg, &desk, &err);
    ck_assert_msg(chain != NULL, "%s", err.text);
}

static void open_chain(const char *yaml)
{
    open_chain_after(NULL, NULL, yaml);
}

static void close_chain(void)
{
    turn_finish(&turn);
    chain_destroy(chain);
    desk_finish(&desk);
    for (size_t i = 0; i < conf->plugin_count; i++)
        plugin_unload(plugins[i]);
    config_destroy(conf);
}

static struct chatup_text lent(const char *string)
{
    return (struct chatup_text){string, string ? strlen(string) : 0};
}

/* Say text (NULL: send an event) and expect that it comes out as published, or, if that is NULL,
 * whatever; and that the sender gets reply, NULL if none. */
static void say(const char *text, enum chain_verdict verdict, const char *published,
                const char *reply)
{
    turn_finish(&turn);
    turn = (struct turn){.event = {.room = lent("lobby"),
                                   .id = lent(ID),
                                   .sub = lent("demo:Ann"),
                                   .name = lent("Ann"),
                                   .user = lent("{\"name\":\"Ann\"}"),
                                   .msg = lent(text),
                                   .ev = lent(text ? NULL : "wave"),
                                   .time_ms = 1763890000123},
                         .tags = sender_tags,
                         .max_msg = 4096};
    ck_assert_int_eq(chain_in(chain, &turn), verdict);
    if (published) {
        ck_assert_uint_eq(turn.event.msg.length, strlen(published));
        ck_assert_int_eq(memcmp(turn.event.msg.at, published, strlen(published)), 0);
    }
    ck_assert_pstr_eq(turn.reply, reply);
    ck_assert_uint_eq(turn.reply_length, reply ? strlen(reply) : 0);
    ck_assert_ptr_null(turn.staged_msg);
    ck_assert_ptr_null(turn.staged_reply);
    ck_assert_uint_eq(turn.event.room.length, 5);
}

#define UNAVAILABLE(by) "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":\"" by "\"}"
#define REJECTED(by)    "{\"status\":\"error\",\"err\":\"rejected\",\"by\":\"" by "\"}"

/* ---- message_in ---- */

START_TEST(without_plugins_every_message_passes)
{
    open_chain("");
    say("hi", CHAIN_ACCEPT, "hi", NULL);
    close_chain();
}
END_TEST

START_TEST(plugins_run_in_yaml_order_and_see_the_edits_of_those_before)
{
    open_chain(CLOSED("a", "mode: append, tag: '>a'") CLOSED("b", "mode: append, tag: '>b'")
                   CLOSED("c", "mode: accept") CLOSED("d", "mode: append, tag: '>d'"));
    say("hi", CHAIN_ACCEPT, "hi>a>b>d", NULL);
    say("ho", CHAIN_ACCEPT, "ho>a>b>d", NULL);
    close_chain();
}
END_TEST

START_TEST(a_second_edit_of_one_hook_replaces_its_first)
{
    open_chain(CLOSED("a", "mode: append_twice, tag: x"));
    say("hi", CHAIN_ACCEPT, "hix", NULL);
    close_chain();
}
END_TEST

START_TEST(a_text_may_become_empty_and_stays_a_text)
{
    open_chain(CLOSED("a", "mode: empty") CLOSED("b", "mode: append, tag: x"));
    say("hi", CHAIN_ACCEPT, "x", NULL);
    close_chain();
}
END_TEST

START_TEST(an_event_has_no_text_to_replace)
{
    open_chain(CLOSED("a", "mode: append") CLOSED("b", "mode: empty"));
    say(NULL, CHAIN_ACCEPT, NULL, NULL);
    ck_assert_ptr_null(turn.event.msg.at);
    ck_assert_ptr_null(turn.msg);
    close_chain();
}
END_TEST

START_TEST(a_failing_closed_plugin_rejects_and_is_named)
{
    open_chain(CLOSED("a", "mode: append, tag: '>a'") CLOSED("b", "mode: edit_then_fault")
                   CLOSED("c", "mode: append, tag: '>c'"));
    say("hi", CHAIN_REJECT, "hi>a", UNAVAILABLE("b"));
    close_chain();
}
END_TEST

START_TEST(a_failing_open_plugin_is_skipped_with_its_edits)
{
    open_chain(CLOSED("a", "mode: append, tag: '>a'") OPEN("b", "mode: edit_then_fault")
                   CLOSED("c", "mode: append, tag: '>c'"));
    say("hi", CHAIN_ACCEPT, "hi>a>c", NULL);
    close_chain();
}
END_TEST

START_TEST(any_other_verdict_is_a_failure)
{
    static const int verdicts[] = {3, 4, 5, 99, -1, INT32_MAX, -INT32_MAX};
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        char yaml[600];
        snprintf(yaml, sizeof yaml,
                 OPEN("a", "mode: reply_verdict, verdict: %d")
                     CLOSED("b", "mode: reply_verdict, verdict: %d"),
                 verdicts[i], verdicts[i]);
        open_chain(yaml);
        say("hi", CHAIN_REJECT, "hi", UNAVAILABLE("b"));
        ck_assert_uint_eq(plugins[0]->stats->faults, 1);
        ck_assert_uint_eq(plugins[1]->stats->faults, 1);
        close_chain();
    }
}
END_TEST

START_TEST(what_is_no_text_or_no_json_object_is_not_taken)
{
    open_chain(CLOSED("a", "mode: try_all"));
    say("hi", CHAIN_CONSUME, "hi", "{\"results\":[-1,-1,-1,-1,-1,-1,-1,-1]}");
    close_chain();
}
END_TEST

START_TEST(an_edit_has_the_same_limit_as_a_message)
{
    static char longest[4097];
    memset(longest, 'x', 4096);
    open_chain(CLOSED("a", "mode: append, tag: y"));
    say(longest, CHAIN_ACCEPT, longest, NULL); /* refused: the text stays as it was */
    longest[4095] = 0;
    say(longest, CHAIN_ACCEPT, NULL, NULL);
    ck_assert_uint_eq(turn.event.msg.length, 4096);
    close_chain();
}
END_TEST

START_TEST(a_plugin_is_told_how_long_a_text_may_be_also_after_a_reload)
{
    open_chain(CLOSED("a", "mode: max"));
    say("hi", CHAIN_CONSUME, "hi", "{\"max\":32768}");
    chain_set_max_msg(chain, 100);
    say("hi", CHAIN_CONSUME, "hi", "{\"max\":100}");
    close_chain();
}
END_TEST

START_TEST(tags_are_for_the_plugins_behind_and_gone_if_theirs_fails)
{
    open_chain(CLOSED("a", "mode: if_tag, tag: x") CLOSED("b", "mode: tag, tag: x")
                   CLOSED("c", "mode: if_tag, tag: x") OPEN("d", "mode: tag_then_fault, tag: y")
                       CLOSED("e", "mode: if_tag, tag: y") CLOSED("f", "mode: if_tag, tag: x"));
    say("hi ", CHAIN_ACCEPT, "hi xx", NULL);
    ck_assert_str_eq(turn.tags, "x");
    say("ho ", CHAIN_ACCEPT, "ho xx", NULL);
    close_chain();
}
END_TEST

START_TEST(tags_of_the_sender_are_seen_and_never_more_than_eight)
{
    open_chain(CLOSED("a", "mode: if_tag, tag: vip") CLOSED("b", "mode: tag, tag: x")
                   CLOSED("c", "mode: if_tag, tag: x"));
    sender_tags = "staff vip";
    say("hi ", CHAIN_ACCEPT, "hi vipx", NULL);
    ck_assert_str_eq(turn.tags, "staff vip x");
    sender_tags = "1 2 3 4 5 6 7 8";
    say("hi ", CHAIN_REJECT, "hi ", UNAVAILABLE("b")); /* the probe wants to be sure */
    close_chain();
}
END_TEST

START_TEST(a_rejected_message_goes_no_further)
{
    open_chain(CLOSED("a", "mode: verdict, verdict: 1") CLOSED("b", "mode: append"));
    say("hi", CHAIN_REJECT, "hi", REJECTED("a"));
    close_chain();
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 1") CLOSED("b", "mode: append"));
    say("hi", CHAIN_REJECT, "hi", "{\"mine\":1}");
    close_chain();
}
END_TEST

START_TEST(a_consumed_message_goes_no_further)
{
    open_chain(CLOSED("a", "mode: verdict, verdict: 2") CLOSED("b", "mode: append"));
    say("hi", CHAIN_CONSUME, "hi", NULL);
    close_chain();
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 2") CLOSED("b", "mode: append"));
    say("hi", CHAIN_CONSUME, "hi", "{\"mine\":1}");
    close_chain();
    open_chain(CLOSED("a", "mode: bad_reply"));
    say("hi", CHAIN_CONSUME, "hi", NULL);
    close_chain();
}
END_TEST

START_TEST(the_reply_is_of_the_plugin_that_ended_the_turn)
{
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 0") CLOSED("b", "mode: accept"));
    say("hi", CHAIN_ACCEPT, "hi!", "{\"mine\":1}");
    close_chain();
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 0")
                   CLOSED("b", "mode: verdict, verdict: 1"));
    say("hi", CHAIN_REJECT, NULL, REJECTED("b"));
    close_chain();
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 0")
                   CLOSED("b", "mode: verdict, verdict: 2"));
    say("hi", CHAIN_CONSUME, NULL, NULL);
    close_chain();
    open_chain(CLOSED("a", "mode: reply_verdict, verdict: 0")
                   CLOSED("b", "mode: verdict, verdict: 4"));
    say("hi", CHAIN_REJECT, NULL, UNAVAILABLE("b"));
    close_chain();
}
END_TEST

START_TEST(what_a_hook_writes_into_the_event_itself_is_no_edit)
{
    open_chain(CLOSED("a", "mode: scribble") CLOSED("b", "mode: append, tag: '>b'"));
    say("hi", CHAIN_ACCEPT, "hi>b", NULL);
    close_chain();
}
END_TEST

static int32_t guard(void *arg, struct chatup_event *event)
{
    const char *answer = arg;
    ck_assert_uint_eq(event->size, sizeof *event);
    if (event->msg.length != 3)
        return CHATUP_ACCEPT;
    if (answer)
        turn_set_reply((struct turn *)event, answer, strlen(answer));
    return CHATUP_REJECT;
}

START_TEST(the_cores_own_link_is_asked_first)
{
    char banned[] = "{\"status\":\"error\",\"err\":\"banned\"}";
    open_chain_after(guard, banned, CLOSED("a", "mode: append"));
    say("bad", CHAIN_REJECT, "bad", banned);
    say("fine", CHAIN_ACCEPT, "fine!", NULL);
    close_chain();
    open_chain_after(guard, NULL, "");
    say("bad", CHAIN_REJECT, "bad", "{\"status\":\"error\",\"err\":\"rejected\"}");
    close_chain();
}
END_TEST

START_TEST(failures_are_logged_once_a_second_with_their_count)
{
    open_chain(OPEN("a", "mode: verdict, verdict: 42"));
    int saved = log_begin();
    for (int i = 0; i < 5; i++)
        say("secret", CHAIN_ACCEPT, "secret", NULL);
    plugins[0]->fault_logged_ms -= 1000;
    say("secret", CHAIN_ACCEPT, "secret", NULL);
    char *log = log_end(saved);
    char *first = strstr(log, "error message_in failed, it answered 42 (faults since "
                              "the last such line: 1) plugin=a\n");
    ck_assert_ptr_nonnull(first);
    char *second = strstr(first, "(faults since the last such line: 5) plugin=a\n");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_eq(strchr(strchr(first, '\n') + 1, '\n'), strchr(second, '\n'));
    ck_assert_str_eq(strchr(second, '\n'), "\n");
    ck_assert_ptr_null(strstr(log, "secret"));
    ck_assert_uint_eq(plugins[0]->stats->faults, 6);
    free(log);
    close_chain();
}
END_TEST

/* ---- shards ---- */

START_TEST(a_plugin_that_cannot_open_its_shard_stops_the_start)
{
    struct error err = {""};
    struct desk other;
    desk_init(&other, NULL, 1, 2, NULL);
    load_plugins(CLOSED("a", "mode: accept") CLOSED("b", "mode: no_shard"));
    chain = chain_create(plugins, 2, NULL, NULL, &desk, &err);
    ck_assert_ptr_nonnull(chain);
    ck_assert_ptr_eq(chain_shard(chain, 1)->self, plugins[1]->self);
    ck_assert_ptr_null(chain_create(plugins, 2, NULL, NULL, &other, &err));
    ck_assert_str_eq(err.text, "plugin b: could not open its shard for loop 2 of 2");
    desk_finish(&other);
    close_chain();
}
END_TEST

/* ---- message_out ---- */

static struct message *messages[8];
static size_t message_count;

/* Offsets 7, 8, …; "!name" is an event, "-" a tombstone. */
static void batch(const char *first, const char *second, const char *third)
{
    const char *texts[] = {first, second, third};
    struct name *room = name_create(text_of("lobby"));
    message_count = 0;
    for (size_t i = 0; i < 3 && texts[i]; i++) {
        bool event = texts[i][0] == '!';
        struct message *message = message_create(
            room, &(struct message_fields){.id = text_of(ID),
                                           .time_ms = 1763890000123 + (int64_t)i,
                                           .user = text_of("{\"name\":\"Ann\"}"),
                                           .sub = text_of("demo:Ann"),
                                           .msg = text_of(event ? NULL : texts[i]),
                                           .ev = text_of(event ? texts[i] + 1 : NULL),
                                           .data = text_of(event ? "{\"n\":1}" : NULL)});
        message->offset = 7 + i;
        if (texts[i][0] == '-') {
            struct message *tombstone = message_tombstone(message);
            message_unref(message);
            message = tombstone;
        }
        messages[message_count++] = message;
    }
    name_unref(room);
}

/* The readers get exactly this of the batch: "7:hi 8:!wave", offsets and texts, all else of each
 * message as it was. Ends the batch. */
static void shown(const char *expected)
{
    struct buffer json = {0}, want = {0};
    size_t count = 0, written;
    written = chain_out(chain, messages[0]->room, messages, message_count, &json);
    for (const char *p = expected; *p; count++) {
        char text[64];
        int offset, length;
        ck_assert_int_eq(sscanf(p, "%d:%63[^ ] %n", &offset, text, &length), 2);
        p += length;
        struct message_fields fields = messages[offset - 7]->fields;
        if (*text != '!')
            fields.msg = text_of(text);
        struct message *message = message_create(messages[0]->room, &fields);
        message->offset = (uint64_t)offset;
        buffer_text(&want, count ? "," : "");
        message_write_json(message, &want);
        message_unref(message);
    }
    buffer_bytes(&json, "", 1);
    buffer_bytes(&want, "", 1);
    ck_assert_str_eq(json.at, want.at);
    ck_assert_uint_eq(written, count);
    buffer_finish(&json);
    buffer_finish(&want);
    for (size_t i = 0; i < message_count; i++)
        message_unref(messages[i]);
}

START_TEST(without_message_out_a_batch_is_written_as_it_is)
{
    open_chain("  - {name: fine}\n");
    batch("hi", "!wave", "ho");
    shown("7:hi 8:!wave 9:ho");
    batch("-", "hi", NULL);
    shown("8:hi");
    batch("-", NULL, NULL);
    shown("");
    close_chain();
}
END_TEST

START_TEST(the_json_of_a_batch_is_separated_by_commas)
{
    struct buffer json = {0};
    open_chain(CLOSED("a", "mode: out_append, tag: '\"'"));
    batch("hi", "ho", NULL);
    ck_assert_uint_eq(chain_out(chain, messages[0]->room, messages, 2, &json), 2);
    buffer_bytes(&json, "", 1);
    ck_assert_str_eq(json.at,
                     "{\"o\":7,\"user\":{\"name\":\"Ann\"},\"sub\":\"demo:Ann\",\"msg\":\"hi\\\"\","
                     "\"i\":\"" ID "\",\"d\":1763890000.123},"
                     "{\"o\":8,\"user\":{\"name\":\"Ann\"},\"sub\":\"demo:Ann\",\"msg\":\"ho\\\"\","
                     "\"i\":\"" ID "\",\"d\":1763890000.124}");
    buffer_finish(&json);
    ck_assert_uint_eq(chain_out(chain, messages[0]->room, messages, 0, &json), 0);
    ck_assert_uint_eq(json.length, 0);
    message_unref(messages[0]);
    message_unref(messages[1]);
    close_chain();
}
END_TEST

START_TEST(out_hooks_see_the_edits_of_those_before_and_no_tombstones)
{
    open_chain(CLOSED("a", "mode: out_append, tag: a") CLOSED("b", "mode: out_drop")
                   CLOSED("c", "mode: out_append, tag: c"));
    batch("-", "hi", "ho");
    shown("9:hoac");
    batch("hi", "!wave", "ho");
    shown("8:!wave 9:hoac");
    batch("hi", NULL, NULL);
    shown("");
    batch("!wave", "hi", "ho");
    shown("8:hiac 9:hoac");
    close_chain();
}
END_TEST

START_TEST(a_batch_may_be_emptied)
{
    open_chain(CLOSED("a", "mode: out_append") CLOSED("b", "mode: out_drop_all")
                   CLOSED("c", "mode: out_verdict, verdict: 4"));
    batch("hi", "ho", "he");
    shown("");
    ck_assert_uint_eq(plugins[2]->stats->faults, 0); /* nothing was left to show it */
    close_chain();
}
END_TEST

START_TEST(a_failing_open_out_hook_is_skipped_with_its_edits)
{
    open_chain(CLOSED("a", "mode: out_append, tag: a") OPEN("b", "mode: out_fault, tag: b")
                   CLOSED("c", "mode: out_append, tag: c"));
    batch("hi", "ho", "!wave");
    shown("7:hiac 8:hoac 9:!wave");
    ck_assert_uint_eq(plugins[1]->stats->faults, 1);
    close_chain();
}
END_TEST

START_TEST(a_failing_closed_out_hook_shows_nothing)
{
    open_chain(CLOSED("a", "mode: out_append, tag: a") CLOSED("b", "mode: out_fault, tag: b")
                   CLOSED("c", "mode: out_append, tag: c"));
    batch("hi", "ho", "!wave");
    shown("");
    close_chain();
}
END_TEST

START_TEST(a_rejected_batch_is_not_shown_and_no_failure)
{
    open_chain(OPEN("a", "mode: out_verdict, verdict: 1"));
    batch("hi", "ho", NULL);
    shown("");
    ck_assert_uint_eq(plugins[0]->stats->faults, 0);
    close_chain();
}
END_TEST

START_TEST(any_other_verdict_about_a_batch_is_a_failure)
{
    static const int verdicts[] = {2, 3, 4, 5, -1, INT32_MAX};
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        char yaml[300];
        snprintf(yaml, sizeof yaml, OPEN("a", "mode: out_verdict, verdict: %d"), verdicts[i]);
        open_chain(yaml);
        batch("hi", "ho", NULL);
        shown("7:hi 8:ho");
        ck_assert_uint_eq(plugins[0]->stats->faults, 1);
        close_chain();
    }
}
END_TEST

START_TEST(edits_of_a_batch_are_checked)
{
    open_chain(CLOSED("a", "mode: out_try_all") CLOSED("b", "mode: out_scribble")
                   CLOSED("c", "mode: out_append, tag: c"));
    batch("hi", "!wave", NULL);
    shown("7:hic 8:!wave");
    close_chain();
}
END_TEST

/* ---- what it costs: printed, not asserted, since times are of the machine ---- */

enum { COST_ROUNDS = 200000 };

/* Each under a name of its own, by which script/hook-cost finds how many instructions it took. */
#define TURNS(name)                                                                                \
    static __attribute__((noinline)) int name(void)                                                \
    {                                                                                              \
        int accepted = 0;                                                                          \
        for (int i = 0; i < COST_ROUNDS; i++)                                                      \
            accepted += chain_in(chain, &turn) == CHAIN_ACCEPT;                                    \
        return accepted;                                                                           \
    }
TURNS(cost_of_turns_alone)
TURNS(cost_of_turns_with_one_hook)
TURNS(cost_of_turns_with_five_hooks)

static double ns_per_turn(const char *yaml, int (*turns)(void))
{
    open_chain(yaml);
    turn = (struct turn){.event = {.room = lent("room"), .msg = lent("hello")}, .max_msg = 100};
    int64_t began = clock_mono_ns();
    ck_assert_int_eq(turns(), COST_ROUNDS);
    double ns = (double)(clock_mono_ns() - began) / COST_ROUNDS;
    close_chain();
    return ns;
}

START_TEST(a_hook_that_does_nothing_costs_what_is_printed)
{
    double none = ns_per_turn("", cost_of_turns_alone);
    double one = ns_per_turn(CLOSED("a", "mode: nothing"), cost_of_turns_with_one_hook);
    double five = ns_per_turn(CLOSED("a", "mode: nothing") CLOSED("b", "mode: nothing")
                                  CLOSED("c", "mode: nothing") CLOSED("d", "mode: nothing")
                                      CLOSED("e", "mode: nothing"),
                              cost_of_turns_with_five_hooks);
    printf("a turn without plugins %.0f ns; one no-op hook adds %.0f ns, five add %.0f ns\n", none,
           one - none, five - none);
}
END_TEST

HOST_MAIN("chain", a_hook_that_does_nothing_costs_what_is_printed,
          without_plugins_every_message_passes,
          plugins_run_in_yaml_order_and_see_the_edits_of_those_before,
          a_second_edit_of_one_hook_replaces_its_first, a_text_may_become_empty_and_stays_a_text,
          an_event_has_no_text_to_replace, a_failing_closed_plugin_rejects_and_is_named,
          a_failing_open_plugin_is_skipped_with_its_edits, any_other_verdict_is_a_failure,
          what_is_no_text_or_no_json_object_is_not_taken, an_edit_has_the_same_limit_as_a_message,
          tags_are_for_the_plugins_behind_and_gone_if_theirs_fails,
          tags_of_the_sender_are_seen_and_never_more_than_eight,
          a_plugin_is_told_how_long_a_text_may_be_also_after_a_reload,
          a_rejected_message_goes_no_further, a_consumed_message_goes_no_further,
          the_reply_is_of_the_plugin_that_ended_the_turn,
          what_a_hook_writes_into_the_event_itself_is_no_edit, the_cores_own_link_is_asked_first,
          failures_are_logged_once_a_second_with_their_count,
          a_plugin_that_cannot_open_its_shard_stops_the_start,
          without_message_out_a_batch_is_written_as_it_is,
          the_json_of_a_batch_is_separated_by_commas,
          out_hooks_see_the_edits_of_those_before_and_no_tombstones, a_batch_may_be_emptied,
          a_failing_open_out_hook_is_skipped_with_its_edits,
          a_failing_closed_out_hook_shows_nothing, a_rejected_batch_is_not_shown_and_no_failure,
          any_other_verdict_about_a_batch_is_a_failure, edits_of_a_batch_are_checked)
