/* The list channels of the YAML: what it means, and what is said where it is wrong. */
#include "config.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char directory[] = "/tmp/chatup-channels-XXXXXX";

static void begin(void)
{
    strcpy(strrchr(directory, '-'), "-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void end(void)
{
    unlink("chatup.yaml");
    ck_assert_int_eq(rmdir(directory), 0);
}

static struct config *load(const char *text, struct error *err)
{
    FILE *file = fopen("chatup.yaml", "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return config_load("chatup.yaml", NULL, 0, err);
}

static struct config *load_good(const char *text)
{
    struct error err = {0};
    struct config *conf = load(text, &err);
    ck_assert_msg(conf, "%s: %s", text, err.text);
    return conf;
}

/* "token claim role:a", "nobody" */
static const char *who_text(const struct config_who *who)
{
    static char text[256];
    snprintf(text, sizeof text, "%s%s%s", who->anyone ? " anyone" : "", who->token ? " token" : "",
             who->claim ? " claim" : "");
    for (size_t i = 0; i < who->role_count; i++) {
        strcat(text, " role:");
        strcat(text, who->roles[i]);
    }
    return *text ? text + 1 : "nobody";
}

static void assert_rights(const struct config_channel *channel, const char *const rights[])
{
    for (size_t i = 0; i < RIGHT_COUNT; i++)
        ck_assert_msg(!strcmp(who_text(&channel->who[i]), rights[i]), "%s: %s is %s, not %s",
                      channel->pattern, right_names[i], who_text(&channel->who[i]), rights[i]);
}

START_TEST(a_right_that_is_left_out_follows_from_another)
{
    static const struct {
        const char *rule;
        const char *rights[RIGHT_COUNT]; /* read, join, say, history, users */
    } cases[] = {
        {"read: anyone", {"anyone", "token", "token", "anyone", "anyone"}},
        {"read: token", {"token", "token", "token", "token", "token"}},
        {"read: claim", {"claim", "claim", "claim", "claim", "claim"}},
        {"read: nobody", {"nobody", "nobody", "nobody", "nobody", "nobody"}},
        {"read: role:a b", {"role:a b", "role:a b", "role:a b", "role:a b", "role:a b"}},
        {"read: [claim, role:a, role:b]",
         {"claim role:a role:b", "claim role:a role:b", "claim role:a role:b",
          "claim role:a role:b", "claim role:a role:b"}},
        {"read: [anyone, role:a]",
         {"anyone role:a", "token role:a", "token role:a", "anyone role:a", "anyone role:a"}},
        {"read: anyone, say: role:a", {"anyone", "token", "role:a", "anyone", "anyone"}},
        {"read: anyone, join: claim", {"anyone", "claim", "claim", "anyone", "anyone"}},
        {"read: anyone, history: token", {"anyone", "token", "token", "token", "anyone"}},
        {"read: anyone, users: nobody", {"anyone", "token", "token", "anyone", "nobody"}},
        {"read: [nobody], join: [token], say: nobody, history: anyone, users: role:a",
         {"nobody", "token", "nobody", "anyone", "role:a"}},
        {"read: token, join: , say: ~", {"token", "token", "token", "token", "token"}},
        {"read: token, users: ['role:a,b', \"role:\xc3\xa9\"]",
         {"token", "token", "token", "token", "role:a,b role:\xc3\xa9"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "channels: [{pattern: a, %s}]", cases[i].rule);
        struct config *conf = load_good(text);
        ck_assert_uint_eq(conf->channel_count, 1);
        assert_rights(&conf->channels[0], cases[i].rights);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(rules_keep_their_order)
{
    struct config *conf = load_good("channels:\n  - pattern: \"staff:*\"\n    read: role:staff\n"
                                    "  - pattern: user:{sub}\n    read: token\n"
                                    "  - {pattern: '*', read: anyone}\n");
    ck_assert_uint_eq(conf->channel_count, 3);
    ck_assert_str_eq(conf->channels[0].pattern, "staff:*");
    ck_assert_str_eq(conf->channels[1].pattern, "user:{sub}");
    ck_assert_str_eq(conf->channels[2].pattern, "*");
    config_destroy(conf);
    conf = load_good("channels:\n");
    ck_assert_uint_eq(conf->channel_count, 0);
    config_destroy(conf);
    conf = load_good("channels: []\n");
    ck_assert_uint_eq(conf->channel_count, 0);
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_rule_is_refused_with_its_place)
{
#define WHO     "must be anyone, token, claim, role:NAME or nobody, or a list"
#define ROLE    "role: and 1 to 64 bytes without control characters"
#define AT_READ "chatup.yaml:1:25: channels[0].read: "
#define GUESTS  "needs a token at least: anyone is for read, history and users"
    static const struct {
        const char *text, *message;
    } refusals[] = {
        {"channels: staff", "chatup.yaml:1:1: channels: must be a list of {pattern: …, read: …}"},
        {"channels: {pattern: a}",
         "chatup.yaml:1:1: channels: must be a list of {pattern: …, read: …}"},
        {"channels: [a]",
         "chatup.yaml:1:12: channels[0]: must be a map that begins with \"pattern: …\""},
        {"channels:\n  - read: token",
         "chatup.yaml:2:5: channels[0]: pattern is missing, for example \"staff:*\""},
        {"channels:\n  - pattern:\n    read: token",
         "chatup.yaml:2:5: channels[0]: pattern is missing, for example \"staff:*\""},
        {"channels:\n  - pattern: a\n    join: token",
         "chatup.yaml:2:5: channels[0]: read is missing: anyone, token, claim, role:NAME or "
         "nobody"},
        {"channels:\n  - pattern: a\n    raed: token",
         "chatup.yaml:3:5: channels[0].raed: unknown option, did you mean \"read\"?"},
        {"channels: [{pattern: [a], read: token}]",
         "chatup.yaml:1:13: channels[0].pattern: must be a string"},
        {"channels: [{pattern: '', read: token}]",
         "chatup.yaml:1:13: channels[0].pattern: must be 1 to 200 bytes long"},
        {"channels: [{pattern: 'a\\b', read: token}]",
         "chatup.yaml:1:13: channels[0].pattern: \\ must stand before *, { or \\"},
        {"channels: [{pattern: 'user:{id}', read: token}]",
         "chatup.yaml:1:13: channels[0].pattern: { must begin {sub}; write \\{ for a plain {"},
        {"channels:\n  - {pattern: a, read: token}\n  - {pattern: b, read: token}\n"
         "  - {pattern: a, read: nobody}",
         "chatup.yaml:4:6: channels[2].pattern: channels[0] has it, and the first one decides"},
        {"channels: [{pattern: a, read: everyone}]", AT_READ WHO},
        {"channels: [{pattern: a, read: Token}]", AT_READ WHO},
        {"channels: [{pattern: a, read: ''}]", AT_READ WHO},
        {"channels: [{pattern: a, read: {role: b}}]", AT_READ WHO},
        {"channels: [{pattern: a, read: 'token, claim'}]", AT_READ WHO},
        {"channels: [{pattern: a, read: []}]",
         AT_READ "an empty list; write nobody if you mean it"},
        {"channels: [{pattern: a, read: [token, x]}]",
         "chatup.yaml:1:39: channels[0].read[1]: " WHO},
        {"channels: [{pattern: a, read: [[token]]}]",
         "chatup.yaml:1:32: channels[0].read[0]: " WHO},
        {"channels: [{pattern: a, read: [token, ~]}]",
         "chatup.yaml:1:39: channels[0].read[1]: " WHO},
        {"channels: [{pattern: a, read: [token, nobody]}]",
         "chatup.yaml:1:39: channels[0].read[1]: nobody stands alone"},
        {"channels: [{pattern: a, read: 'role:'}]", AT_READ ROLE},
        {"channels: [{pattern: a, read: \"role:a\\tb\"}]", AT_READ ROLE},
        {"channels: [{pattern: a, read: role:"
         "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg}]",
         AT_READ ROLE},
        {"channels: [{pattern: a, read: token, join: anyone}]",
         "chatup.yaml:1:38: channels[0].join: " GUESTS},
        {"channels: [{pattern: a, read: token, say: [claim, anyone]}]",
         "chatup.yaml:1:38: channels[0].say: " GUESTS},
        {"channel: []", "chatup.yaml:1:1: channel: unknown option, did you mean \"channels\"?"},
    };
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct error err = {0};
        ck_assert_msg(!load(refusals[i].text, &err), "%s", refusals[i].text);
        ck_assert_str_eq(err.text, refusals[i].message);
    }
}
END_TEST

/* head, then format with 0, 1, 2 … in it, then tail. */
static char *text_of_many(const char *head, const char *format, size_t count, const char *tail)
{
    size_t size = strlen(head) + count * (strlen(format) + 8) + strlen(tail) + 1;
    char *text = malloc(size);
    size_t length = (size_t)snprintf(text, size, "%s", head);
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, size - length, format, i);
    snprintf(text + length, size - length, "%s", tail);
    return text;
}

static void assert_limit(char *text, const char *message)
{
    struct error err = {0};
    struct config *conf = load(text, &err);
    ck_assert_str_eq(err.text, message);
    ck_assert_int_eq(!conf, *message != 0);
    config_destroy(conf);
    free(text);
}

START_TEST(rules_and_lists_are_limited)
{
    static const char rule[] = "- {pattern: a%zu, read: token}\n", role[] = "  - role:%zu\n";
    static const char one[] = "channels:\n- pattern: a\n  read:\n";
    assert_limit(text_of_many("channels:\n", rule, 1000, ""), "");
    assert_limit(text_of_many("channels:\n", rule, 1001, ""),
                 "chatup.yaml:1002:3: channels[1000]: at most 1000 rules");
    assert_limit(text_of_many(one, role, 100, "  say: nobody\n"), "");
    assert_limit(text_of_many(one, role, 101, "  say: nobody\n"),
                 "chatup.yaml:104:5: channels[0].read[100]: at most 100 in one list");
}
END_TEST

UNIT_MAIN_IN("config_channels", begin, end, a_right_that_is_left_out_follows_from_another,
             rules_keep_their_order, a_wrong_rule_is_refused_with_its_place,
             rules_and_lists_are_limited)
