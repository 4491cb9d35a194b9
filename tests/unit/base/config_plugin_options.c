/* Options of plugins that are choices, lists and maps: what is read, and what is said where it is
 * wrong, however deep. */
#include "config.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char directory[] = "/tmp/chatup-options-XXXXXX";

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

static struct config *load(const char *text)
{
    struct error err = {0};
    FILE *file = fopen("chatup.yaml", "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    struct config *conf = config_load("chatup.yaml", NULL, 0, &err);
    ck_assert_msg(conf, "%s: %s", text, err.text);
    return conf;
}

/* ---- a plugin's table ---- */

static const char *const modes[] = {"redirect", "observe", "off", NULL};
static const struct config_option word = {"word", CONFIG_STRING, NULL, 1, 8, NULL, 0, NULL};
static const struct config_option level = {"level", CONFIG_DURATION, NULL, 1000, 60000, NULL, 0,
                                           NULL};
static const struct config_option rule_keys[] = {
    {"messages", CONFIG_INT, NULL, 1, 100, NULL, 0, NULL},
    {"per", CONFIG_DURATION, "30s", 0, 0, NULL, 0, NULL},
    {"words", CONFIG_SEQUENCE, "[]", 0, 2, &word, 1, NULL},
};
static const struct config_option rule = {"rule", CONFIG_MAPPING, NULL, 0, 0, rule_keys, 3, NULL};
static const struct config_option table[] = {
    {"mode", CONFIG_ENUM, "observe", 0, 0, NULL, 0, modes},
    {"levels", CONFIG_SEQUENCE, "[30s, 1m]", 1, 3, &level, 1, NULL},
    {"rules", CONFIG_SEQUENCE, "[{messages: 15, per: 20s}]", 0, 0, &rule, 1, NULL},
    {"limit", CONFIG_MAPPING, "{messages: 7, words: [a, b]}", 0, 0, rule_keys, 3, NULL},
};
enum { MODE, LEVELS, RULES, LIMIT };

static struct config *read_options(const char *config_yaml, const struct config_option *options,
                                   size_t count, struct config_value *values, bool *ok_out,
                                   struct error *err)
{
    char text[1024];
    snprintf(text, sizeof text, "plugins:\n  - name: a\n  - name: b\n%s%s",
             *config_yaml ? "    config:\n" : "", config_yaml);
    struct config *conf = load(text);
    *ok_out = config_options(conf, 1, options, count, values, err);
    return conf;
}

static void read_good(const char *config_yaml, struct config_value *values)
{
    struct error err = {0};
    bool ok;
    struct config *conf = read_options(config_yaml, table, COUNT(table), values, &ok, &err);
    ck_assert_msg(ok, "%s: %s", config_yaml, err.text);
    config_destroy(conf); /* values are their own */
}

static void assert_refused_by(const struct config_option *options, size_t count,
                              const char *config_yaml, const char *message)
{
    struct config_value values[8] = {{.number = 77}};
    struct error err = {0};
    bool ok;
    struct config *conf = read_options(config_yaml, options, count, values, &ok, &err);
    ck_assert_msg(!ok, "%s: is taken", config_yaml);
    ck_assert_str_eq(err.text, message);
    ck_assert_int_eq(values[0].number, 77);
    config_destroy(conf);
}

static void assert_refused(const char *config_yaml, const char *message)
{
    assert_refused_by(table, COUNT(table), config_yaml, message);
}

/* ---- what is read ---- */

START_TEST(a_choice_is_its_word_and_its_position)
{
    struct config_value values[COUNT(table)];
    read_good("      mode: off\n", values);
    ck_assert_int_eq(values[MODE].number, 2);
    ck_assert_str_eq(values[MODE].text, "off");
    config_values_finish(values, COUNT(values));
}
END_TEST

START_TEST(a_list_has_its_items_in_their_order)
{
    struct config_value values[COUNT(table)];
    read_good("      levels: [2s, 1000ms, 1m]\n", values);
    ck_assert_uint_eq(values[LEVELS].count, 3);
    ck_assert_int_eq(values[LEVELS].items[0].number, 2000);
    ck_assert_int_eq(values[LEVELS].items[1].number, 1000);
    ck_assert_int_eq(values[LEVELS].items[2].number, 60000);
    config_values_finish(values, COUNT(values));
}
END_TEST

START_TEST(a_map_has_its_values_in_the_order_of_the_table)
{
    struct config_value values[COUNT(table)];
    read_good("      limit:\n        per: 1h\n        messages: 9\n", values);
    const struct config_value *limit = &values[LIMIT];
    ck_assert_uint_eq(limit->count, 3);
    ck_assert_int_eq(limit->items[0].number, 9);
    ck_assert_int_eq(limit->items[1].number, 3600000);
    ck_assert_uint_eq(limit->items[2].count, 0);
    config_values_finish(values, COUNT(values));
}
END_TEST

START_TEST(lists_of_maps_of_lists_are_read)
{
    struct config_value values[COUNT(table)];
    read_good("      rules:\n"
              "        - messages: 1\n"
              "        - { messages: 2, per: 5m, words: [x, 'y z'] }\n",
              values);
    const struct config_value *rules = &values[RULES];
    ck_assert_uint_eq(rules->count, 2);
    ck_assert_int_eq(rules->items[0].items[0].number, 1);
    ck_assert_int_eq(rules->items[0].items[1].number, 30000);
    ck_assert_int_eq(rules->items[1].items[1].number, 300000);
    ck_assert_uint_eq(rules->items[1].items[2].count, 2);
    ck_assert_str_eq(rules->items[1].items[2].items[1].text, "y z");
    config_values_finish(values, COUNT(values));
}
END_TEST

START_TEST(defaults_are_yaml)
{
    static const char *const files[] = {
        "", "      {}\n", "      levels:\n      rules: ~\n      limit: null\n      mode:\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct config_value values[COUNT(table)];
        read_good(files[i], values);
        ck_assert_int_eq(values[MODE].number, 1);
        ck_assert_str_eq(values[MODE].text, "observe");
        ck_assert_uint_eq(values[LEVELS].count, 2);
        ck_assert_int_eq(values[LEVELS].items[1].number, 60000);
        ck_assert_uint_eq(values[RULES].count, 1);
        ck_assert_int_eq(values[RULES].items[0].items[1].number, 20000);
        ck_assert_int_eq(values[LIMIT].items[0].number, 7);
        ck_assert_int_eq(values[LIMIT].items[1].number, 30000);
        ck_assert_str_eq(values[LIMIT].items[2].items[1].text, "b");
        config_values_finish(values, COUNT(values));
    }
}
END_TEST

START_TEST(variables_of_the_environment_reach_every_depth)
{
    struct config_value values[COUNT(table)];
    setenv("OPTIONS_WORD", "frog", 1);
    read_good("      limit: { messages: 1, words: [\"${OPTIONS_WORD}\"] }\n", values);
    ck_assert_str_eq(values[LIMIT].items[2].items[0].text, "frog");
    config_values_finish(values, COUNT(values));
}
END_TEST

/* ---- what is refused ---- */

START_TEST(an_unknown_key_is_refused_with_place_and_suggestion_at_any_depth)
{
    assert_refused("      ruls: []\n", "chatup.yaml:5:7: plugins[1].config.ruls: unknown option, "
                                       "did you mean \"rules\"?");
    assert_refused("      rules:\n        - mesages: 15\n",
                   "chatup.yaml:6:11: plugins[1].config.rules[0].mesages: unknown option, "
                   "did you mean \"messages\"?");
    assert_refused("      rules: [{messages: 1}, {messages: 1, prr: 1s}]\n",
                   "chatup.yaml:5:44: plugins[1].config.rules[1].prr: unknown option, "
                   "did you mean \"per\"?");
    assert_refused("      limit:\n        messages: 1\n        colour: red\n",
                   "chatup.yaml:7:9: plugins[1].config.limit.colour: unknown option");
}
END_TEST

START_TEST(a_missing_key_is_refused_with_its_place_at_any_depth)
{
    assert_refused("      rules:\n        - per: 1s\n",
                   "chatup.yaml:6:11: plugins[1].config.rules[0].messages: is missing, the plugin "
                   "needs it");
    assert_refused("      limit:\n        per: 1s\n        messages:\n",
                   "chatup.yaml:7:9: plugins[1].config.limit.messages: is missing, the plugin "
                   "needs it");
}
END_TEST

START_TEST(a_wrong_value_is_refused_with_its_place_at_any_depth)
{
    assert_refused("      mode: bserve\n", "chatup.yaml:5:7: plugins[1].config.mode: must be "
                                           "redirect, observe or off");
    assert_refused("      mode: [off]\n", "chatup.yaml:5:7: plugins[1].config.mode: must be "
                                          "redirect, observe or off");
    assert_refused("      levels: 30s\n",
                   "chatup.yaml:5:7: plugins[1].config.levels: must be a list");
    assert_refused("      levels: [30s, 2m]\n",
                   "chatup.yaml:5:21: plugins[1].config.levels[1]: must be 1s to 1m");
    assert_refused("      levels: [30s, ~]\n",
                   "chatup.yaml:5:21: plugins[1].config.levels[1]: must be a duration such as "
                   "500ms, 30s, 5m, 12h or 30d");
    assert_refused("      limit: [1]\n", "chatup.yaml:5:7: plugins[1].config.limit: must be a map");
    assert_refused("      rules: [7]\n",
                   "chatup.yaml:5:15: plugins[1].config.rules[0]: must be a map");
    assert_refused("      rules:\n        - messages: 3\n        - messages: 101\n",
                   "chatup.yaml:7:11: plugins[1].config.rules[1].messages: must be 1 to 100");
    assert_refused("      rules: [{messages: 1, words: [a, '']}]\n",
                   "chatup.yaml:5:40: plugins[1].config.rules[0].words[1]: must not be empty");
}
END_TEST

START_TEST(min_and_max_of_a_list_are_about_its_length)
{
    static const struct config_option some = {"some",    CONFIG_SEQUENCE, "[]", 2,
                                              INT64_MAX, &word,           1,    NULL};
    assert_refused("      levels: []\n",
                   "chatup.yaml:5:7: plugins[1].config.levels: must have 1 to 3 items, and has 0");
    assert_refused("      levels: [1s, 1s, 1s, 1s]\n",
                   "chatup.yaml:5:7: plugins[1].config.levels: must have 1 to 3 items, and has 4");
    assert_refused_by(&some, 1, "      some: [a]\n",
                      "chatup.yaml:5:7: plugins[1].config.some: must have at least 2 items, and "
                      "has 1");
}
END_TEST

START_TEST(a_message_never_shows_what_was_written)
{
    static const char *const files[] = {
        "      mode: hunter2\n",
        "      levels: hunter2\n",
        "      levels: [hunter2]\n",
        "      limit: hunter2\n",
        "      limit: { messages: hunter2 }\n",
        "      limit: { messages: 1, words: [hunter2 is too long] }\n",
        "      limit: { messages: 1, words: [[hunter2]] }\n",
        "      rules: [hunter2]\n",
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        struct config_value values[COUNT(table)];
        struct error err = {0};
        bool ok;
        struct config *conf = read_options(files[i], table, COUNT(table), values, &ok, &err);
        ck_assert(!ok);
        ck_assert_msg(!strstr(err.text, "hunter"), "%s", err.text);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(a_wrong_default_is_laid_at_the_plugins_door)
{
    static const struct {
        const char *preset, *why;
    } wrong[] = {
        {"30s", "levels: must be a list"},
        {"", "levels: must be a list"},
        {"[30s, 5m]", "levels[1]: must be 1s to 1m"},
        {"[]", "levels: must have 1 to 3 items, and has 0"},
        {"[30s", "did not find expected ',' or ']', while parsing a flow sequence from line 2"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const struct config_option levels = {
            "levels", CONFIG_SEQUENCE, wrong[i].preset, 1, 3, &level, 1, NULL};
        char message[256];
        snprintf(message, sizeof message,
                 "chatup.yaml:3:5: plugins[1].config.levels: the plugin's own default is wrong: %s",
                 wrong[i].why);
        assert_refused_by(&levels, 1, "", message);
    }
    const struct config_option mode = {"mode", CONFIG_ENUM, "of", 0, 0, NULL, 0, modes};
    assert_refused_by(&mode, 1, "",
                      "chatup.yaml:3:5: plugins[1].config.mode: the plugin's own default is wrong: "
                      "it must be redirect, observe or off");
}
END_TEST

START_TEST(more_choices_than_a_message_holds_do_no_harm)
{
    static const char *many[64 + 1];
    for (size_t i = 0; i < 64; i++)
        many[i] = "a-choice-of-twenty-six-bytes";
    const struct config_option mode = {"mode", CONFIG_ENUM, NULL, 0, 0, NULL, 0, many};
    struct config_value value;
    struct error err = {0};
    bool ok;
    struct config *conf = read_options("      mode: x\n", &mode, 1, &value, &ok, &err);
    ck_assert(!ok);
    ck_assert_ptr_nonnull(strstr(err.text, "plugins[1].config.mode: must be a-choice"));
    config_destroy(conf);
}
END_TEST

UNIT_MAIN_IN("config_plugin_options", begin, end, a_choice_is_its_word_and_its_position,
             a_list_has_its_items_in_their_order, a_map_has_its_values_in_the_order_of_the_table,
             lists_of_maps_of_lists_are_read, defaults_are_yaml,
             variables_of_the_environment_reach_every_depth,
             an_unknown_key_is_refused_with_place_and_suggestion_at_any_depth,
             a_missing_key_is_refused_with_its_place_at_any_depth,
             a_wrong_value_is_refused_with_its_place_at_any_depth,
             min_and_max_of_a_list_are_about_its_length, a_message_never_shows_what_was_written,
             a_wrong_default_is_laid_at_the_plugins_door,
             more_choices_than_a_message_holds_do_no_harm)
